"""
What Imagen costs to run: pure arithmetic over prices.toml and work.toml, which say where each figure is from.

How much there is of each thing is in model.py for the cluster, and in site.py for the rest of prod.

`manage.py cost` prints it; docs/cost.md has what it prints, and what to make of it.
"""
