"""Where things lie: paths of a run, local and S3 files, locks, heartbeats, caches of a node."""
