"""Detectors as ONNX files, for machines without torch."""

from asd_ray.deploy.onnx.export import Exported, export
from asd_ray.deploy.onnx.families import WHY_NOT, why_not

__all__ = ["WHY_NOT", "Exported", "export", "why_not"]
