"""Encoders of their true architecture, as the package transformers saves them: with random weights, or trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from asd_ray.clips.bank import Bank, ClipSet
from asd_ray.clips.table import NORMAL, TRAIN
from asd_ray.detectors import Context, family
from asd_ray.detectors.encoders import transformers_nets

OF_ENCODER = "changed.net."  # begins the names of the encoder's weights in a state of `finetuned` with tune="all"
package: Any = vars(transformers_nets)["transformers"]  # imported by us, so that it works beside any torch


def random_ast(folder: Path, **config: Any) -> Any:
    """AST with weights of torch's random numbers, saved to a folder."""
    net = package.ASTModel(package.ASTConfig(**config)).eval()
    net.save_pretrained(folder)
    package.ASTFeatureExtractor(max_length=config.get("max_length", 1024)).save_pretrained(folder)
    return net


def trained_ast(folder: Path, start: Path, bank: Bank, epochs: int, seconds: float) -> None:
    """The AST of `start`, trained to tell the ids and attributes of all machines of the bank apart, saved to `folder`.

    Margin, scale and learning rate are milder than those of `finetuned`, so that a net from random weights learns.
    """
    frame = bank.frame
    train = ClipSet(bank, np.flatnonzero(((frame["split"] == TRAIN) & (frame["label"] == NORMAL)).to_numpy()))
    params = {"encoder": "ast", "tune": "all", "backends": "knn", "seconds": seconds, "batch_size": 16, "lr": 1e-3}
    params |= {"margin": 0.2, "scale": 16.0, "epochs": epochs}
    detector = family("finetuned").detector(
        Context(seed=0, rate=bank.decoding.rate, weights={"ast": str(start)}), **params
    )
    for _ in detector.fit(train):
        pass
    learned = detector.state()["net"]
    net = package.ASTModel.from_pretrained(start)
    net.load_state_dict({name.removeprefix(OF_ENCODER): weights for name, weights in learned.items()})
    net.save_pretrained(folder)
    package.ASTFeatureExtractor.from_pretrained(start).save_pretrained(folder)
