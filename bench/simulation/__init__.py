"""What the deployed autoscalers do with a spike of jobs; `python -m bench.simulate` runs it."""
