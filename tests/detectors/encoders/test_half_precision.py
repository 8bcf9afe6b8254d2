"""Spectra of encoders keep their precision while nets are trained in bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from asd_ray.detectors.encoders.fbank import KaldiFbank
from asd_ray.detectors.encoders.spectra import MelSpectra


@pytest.mark.parametrize(
    "spectra",
    [KaldiFbank(16_000, 32, "hanning"), MelSpectra(torch.rand(201, 20, generator=torch.Generator()), 400, 160)],
    ids=["Kaldi", "mel"],
)
def test_spectra_are_the_same_in_half_precision(spectra: nn.Module) -> None:
    waves = torch.randn(2, 4_000, generator=torch.Generator().manual_seed(0))
    expected, product = spectra(waves), torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert (product @ product).dtype == torch.bfloat16
        torch.testing.assert_close(spectra(waves), expected, rtol=0, atol=0)
