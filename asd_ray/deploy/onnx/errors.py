"""Why a detector has no file."""

from __future__ import annotations

from asd_ray.errors import AsdRayError


class CannotExport(AsdRayError):
    """A detector that ONNX cannot express. Other members of the ensemble may have a file all the same."""

    def __init__(self, reason: str, detector: str = "this detector") -> None:
        super().__init__(f"{detector} cannot be exported to ONNX: {reason}")
        self.reason = reason
