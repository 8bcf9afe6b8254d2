from __future__ import annotations

import numpy as np
import pytest
import torch

from asd_ray.detectors.parts.spec_masks import WIDEST, draw_masks, masked


def test_what_lies_in_a_mask_becomes_zero_and_nothing_else() -> None:
    spectrograms = torch.rand(6, 23, 17) + 1
    masks = draw_masks(6, 2, np.random.default_rng(0))
    actual = masked(spectrograms, masks)
    for clip in range(6):
        for frame in range(23):
            for bin in range(17):
                places = (frame + 0.5) / 23, (bin + 0.5) / 17
                hidden = any(
                    begin <= place < end
                    for place, own in zip(places, masks[clip].tolist(), strict=True)
                    for begin, end in own
                )
                assert actual[clip, frame, bin] == (0 if hidden else spectrograms[clip, frame, bin])


def test_widths_and_places_are_uniform_and_lie_inside() -> None:
    masks = draw_masks(4000, 1, np.random.default_rng(0)).double()
    assert masks.shape == (4000, 2, 1, 2)
    begin, end = masks.unbind(3)
    width = end - begin
    assert float(begin.min()) >= 0
    assert float(end.max()) <= 1
    assert float(width.mean()) == pytest.approx(WIDEST / 2, abs=0.003)
    assert float(width.max()) == pytest.approx(WIDEST, abs=0.002)
    assert float((begin / (1 - width)).mean()) == pytest.approx(0.5, abs=0.02)


def test_each_clip_has_its_own_masks_at_the_same_place_for_any_window() -> None:
    masks = draw_masks(50, 1, np.random.default_rng(0))
    short, long = (masked(torch.ones(50, frames, 2000 // frames), masks) for frames in (200, 50))
    hidden = [(each.amax(2) == 0).float().mean(1) for each in (short, long)]
    assert float(hidden[0].std()) > 0.02
    torch.testing.assert_close(hidden[0], hidden[1], atol=1 / 50 + 1 / 200, rtol=0)


def test_gradients_pass_where_nothing_is_masked() -> None:
    spectrograms = torch.rand(3, 10, 12, requires_grad=True)
    masks = draw_masks(3, 1, np.random.default_rng(1))
    masked(spectrograms, masks).sum().backward()
    assert spectrograms.grad is not None
    torch.testing.assert_close(spectrograms.grad, masked(torch.ones(3, 10, 12), masks))
