"""What listens: bundles, scoring of new sound, explaining, watching and serving."""
