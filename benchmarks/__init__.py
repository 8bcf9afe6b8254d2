"""What is promised about speed, measured: `python -m benchmarks` prints the README's table."""
