"""asd_ray: many anomalous sound detectors, tuned and combined, one answer a machine."""

__version__ = "0.1.0"
