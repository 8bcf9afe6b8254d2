"""The families of detectors, one file each."""
