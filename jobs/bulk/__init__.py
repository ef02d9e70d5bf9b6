"""Work on many jobs at once, for an operator: chosen, paced, made exactly once, followed and counted."""
