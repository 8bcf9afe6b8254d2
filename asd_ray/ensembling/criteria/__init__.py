"""Criteria: what ranks candidates without labels. One file per criterion, and the table of them all."""

from __future__ import annotations

from asd_ray.ensembling.criteria._base import Criterion, Evidence

__all__ = ["Criterion", "Evidence"]
