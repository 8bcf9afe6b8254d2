"""Why a detector has no file."""

from asd_ray.errors import AsdRayError


class CannotExport(AsdRayError):
    """A detector that ONNX cannot express. Other members of the ensemble may have a file all the same."""
