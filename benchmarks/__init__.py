"""Benchmarks: `python -m benchmarks` measures the table of docs/speed.md and prints it."""
