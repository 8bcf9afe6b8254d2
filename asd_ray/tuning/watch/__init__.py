"""What watches a search: the board, log lines, TensorBoard, Prometheus, the status file."""
