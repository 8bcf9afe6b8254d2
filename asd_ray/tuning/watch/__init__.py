"""Watchers of a search: the live table, log lines, TensorBoard, Prometheus, the status file."""
