"""The local profile's one command: every process of the site on one machine, under supervisor."""
