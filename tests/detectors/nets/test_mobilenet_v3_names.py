from __future__ import annotations

import pytest
import torch

from asd_ray.detectors.nets.mobilenet_v3 import MobileNetV3
from asd_ray.detectors.nets.mobilenet_v3_names import from_published

from ...published_mobilenet_v3 import STATES, published_forward, timm_state, torchvision_state


@pytest.mark.parametrize("style", STATES)
@torch.inference_mode()
def test_the_net_computes_what_the_published_one_does(style: str) -> None:
    state, images = STATES[style](seed=1), torch.randn(2, 3, 64, 40)
    net = MobileNetV3(3).eval()
    net.load_state_dict({**net.state_dict(), **from_published(state)})
    torch.testing.assert_close(net(images), published_forward(style, state, images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("style", STATES)
@pytest.mark.parametrize("channels", [1, 2, 3])
@torch.inference_mode()
def test_one_image_in_every_channel_gives_what_it_gives_in_every_colour(style: str, channels: int) -> None:
    state, image = STATES[style](seed=1), torch.randn(2, 1, 64, 40)
    net = MobileNetV3(channels).eval()
    net.start_from(from_published(state))
    expected = published_forward(style, state, image.expand(-1, 3, -1, -1))
    torch.testing.assert_close(net(image.expand(-1, channels, -1, -1)), expected, rtol=1e-4, atol=1e-5)


def test_every_tensor_of_the_net_is_taken_from_the_file() -> None:
    for state in (torchvision_state(), timm_state()):
        own = {name for name in MobileNetV3().state_dict() if not name.endswith("num_batches_tracked")}
        assert set(from_published(state)) == own


def test_the_classifier_and_the_counters_may_be_missing() -> None:
    for state, classes in ((torchvision_state(), "classifier.3"), (timm_state(), "classifier")):
        short = {name: value for name, value in state.items() if not name.endswith("tracked")}
        del short[f"{classes}.weight"], short[f"{classes}.bias"]
        weights = from_published(state)
        assert all(torch.equal(value, weights[name]) for name, value in from_published(short).items())


def test_another_net_is_refused_with_the_first_names_that_do_not_fit() -> None:
    state = timm_state()
    for name in [name for name in state if name.startswith("blocks.0.0.bn1.")]:
        del state[name]
    with pytest.raises(ValueError, match=r"it is timm's, but it lacks blocks\.0\.0\.bn1\.weight, .* and 1 more$"):
        from_published(state)

    state = torchvision_state()
    state["features.0.0.weight"] = torch.zeros(24, 3, 3, 3)
    with pytest.raises(ValueError, match=r"the shapes features\.0\.0\.weight \[24, 3, 3, 3\] for \[16, 3, 3, 3\]$"):
        from_published(state)

    state = timm_state()
    state["blocks.7.0.conv.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"the net does not have blocks\.7\.0\.conv\.weight$"):
        from_published(state)

    state = timm_state()
    state["bn1.bias"][3] = torch.nan
    with pytest.raises(ValueError, match=r"not all numbers of bn1\.bias are finite"):
        from_published(state)

    with pytest.raises(ValueError, match=r"neither features\.0\.0\.weight .* nor conv_stem\.weight"):
        from_published(MobileNetV3(3).state_dict())
