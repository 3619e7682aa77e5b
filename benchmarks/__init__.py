"""What this package costs, measured. `python -m benchmarks` prints the tables."""
