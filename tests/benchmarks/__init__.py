"""What this package costs, measured. `python -m tests.benchmarks` prints the tables."""
