"""The option --weights of the verbs that load or check detectors, or train the rows of a paper."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest
import torch

from asd_ray.families.weights import BROUGHT_VARIABLE
from tests.published_mobilenet_v3 import timm_state

WORDS = {
    "bundle": ["fan"],
    "conformance": ["pretrained"],
    "ensemble": [],
    "explain": ["fan.bundle", "new.wav"],
    "onnx": ["fan.bundle"],
    "paper": ["--list"],
    "report": [],
    "score": ["fan.bundle", "new.wav"],
    "serve": ["fan.bundle"],
    "watch": ["fan.bundle", "folder"],
}


@pytest.mark.parametrize("verb", WORDS)
def test_a_missing_file_is_one_message_before_anything_is_done(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = importlib.import_module(f"asd_ray.cli.{verb}").main
    assert main([*WORDS[verb], "--weights", f"beats={tmp_path / 'none.pt'}"]) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert message.startswith(f"asd-ray {verb}: ")
    assert "none.pt: no such file, but --weights names it for beats" in message
    assert main([*WORDS[verb], "--weights", "beats"]) == 2
    assert "--weights beats: give NET=FILE" in " ".join(capsys.readouterr().err.split())


def test_the_rows_that_need_the_file_can_be_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from asd_ray.cli.paper import main

    words = ["cho2022", "--csv"]
    path = tmp_path / "net.pt"
    torch.save(timm_state(), path)
    printed = []
    for more in ([], ["--weights", f"mobilenet_v3={path}"]):
        assert main([*words, *more]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] != printed[1]
    assert BROUGHT_VARIABLE not in os.environ
