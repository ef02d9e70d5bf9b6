"""
What Imagen costs to run: pure arithmetic over prices.toml and work.toml, which say where each figure is from.

`manage.py cost` prints it; docs/cost.md has what it prints, and what to make of it.
"""
