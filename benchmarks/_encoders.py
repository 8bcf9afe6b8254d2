"""Encoders with random weights of their true architecture, as the package transformers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asd_ray.detectors.encoders import transformers_nets

package: Any = vars(transformers_nets)["transformers"]  # imported by us, so that it works beside any torch


def random_ast(folder: Path, **config: Any) -> Any:
    """AST with weights of torch's random numbers, saved to a folder."""
    net = package.ASTModel(package.ASTConfig(**config)).eval()
    net.save_pretrained(folder)
    package.ASTFeatureExtractor(max_length=config.get("max_length", 1024)).save_pretrained(folder)
    return net
