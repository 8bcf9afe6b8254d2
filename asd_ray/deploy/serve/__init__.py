"""``asd-ray serve``: bundles behind HTTP, on Ray Serve."""
