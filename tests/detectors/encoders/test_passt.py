"""The adapter of PaSST beside the package's own forward. Without hear21passt these tests are skipped."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from .files import check_refusals, refused

if find_spec("hear21passt") is None:
    pytest.skip("hear21passt is not installed", allow_module_level=True)

from asd_ray.detectors.encoders.passt import HUB, Passt, build  # noqa: E402  it makes the package importable

from hear21passt.models.helpers import vit_helpers  # noqa: E402  # isort: skip
from hear21passt.models import passt as package  # noqa: E402  # isort: skip
from hear21passt.models.preprocess import AugmentMelSTFT  # noqa: E402  # isort: skip
from hear21passt.wrapper import PasstBasicWrapper  # noqa: E402  # isort: skip


def test_nothing_of_timm_is_imported() -> None:
    assert vit_helpers.download_cached_file is None
    assert HUB not in sys.modules


def own(stride: int = 10, seconds: float = 2.0, hop: int = 320, **changes: Any) -> PasstBasicWrapper:
    """The package's whole net, as its ``get_basic_model``, small and with random weights."""
    sizes = {"embed_dim": 128, "depth": 3, "num_heads": 2, "distilled": True} | changes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        frames = round(seconds * 32_000 / hop)
        net = package.PaSST(img_size=(128, frames), stride=(stride, stride), num_classes=5, **sizes)
        for weight in net.parameters():
            weight.data += torch.randn_like(weight) * 0.05
        masks = {"freqm": 48, "timem": 192, "fmin_aug_range": 10, "fmax_aug_range": 2000}  # as the package has them
        mel = AugmentMelSTFT(n_mels=128, sr=32_000, win_length=800, hopsize=hop, n_fft=1024, **masks)
        return PasstBasicWrapper(mel=mel, net=net, mode="embed_only").eval()


def saved(path: Path, net: PasstBasicWrapper) -> Path:
    torch.save(net.net.state_dict(), path)
    return path


def waves(samples: int = 48_000, count: int = 2) -> Tensor:
    return torch.rand(count, samples, generator=torch.Generator().manual_seed(1)) - 0.5


def test_a_spectrogram_is_the_same_in_half_precision(tmp_path: Path) -> None:
    encoder = build("passt", str(saved(tmp_path / "passt.pt", own()))).eval()
    assert isinstance(encoder, Passt)
    seen: list[Tensor] = []
    encoder.net.patch_embed.proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        encoder(waves())
        with torch.autocast("cpu", torch.bfloat16):
            encoder(waves())
    torch.testing.assert_close(seen[1], seen[0], rtol=0, atol=0)


def tokens(net: PasstBasicWrapper, sound: Tensor) -> tuple[list[Tensor], Tensor]:
    """What the package gives: all tokens after each block, and its embedding of the clip."""
    seen: list[Tensor] = []

    def keep(block: nn.Module, args: Any, output: Tensor) -> None:
        seen.append(output)

    hooks = [block.register_forward_hook(keep) for block in net.net.blocks]
    with torch.no_grad():
        embedding = net(sound)
    for hook in hooks:
        hook.remove()
    return seen, embedding


@pytest.mark.parametrize("changes", [{}, {"distilled": False}, {"stride": 16}])
@pytest.mark.parametrize("samples", [24_000, 64_000])
def test_every_layer_is_that_of_the_package(tmp_path: Path, changes: dict[str, Any], samples: int) -> None:
    net = own(**changes)
    encoder = build("passt", str(saved(tmp_path / "passt.pt", net))).eval()
    seen, embedding = tokens(net, waves(samples))
    with torch.no_grad():
        found = encoder(waves(samples))
        seen[-1] = net.net.norm(seen[-1])
    first = net.net.num_tokens
    torch.testing.assert_close(seen[-1][:, :first].mean(1), embedding)  # the package's own output is of these tokens
    by_band = torch.stack(seen, 1)[:, :, first:].unflatten(2, (encoder.bands, -1)).transpose(2, 3).flatten(2, 3)
    assert found.shape == by_band.shape == (2, 3, encoder.frames(samples), 128)
    assert by_band.std() > 0.1
    torch.testing.assert_close(found, by_band, atol=1e-5, rtol=1e-5)


def test_sizes_and_pieces(tmp_path: Path) -> None:
    encoder = build("passt", str(saved(tmp_path / "passt.pt", own(seconds=9.98)))).eval()
    assert (encoder.rate, encoder.layers, encoder.width, encoder.bands) == (32_000, 3, 128, 12)
    assert encoder.frames(320_000) == 99 * 12  # ten seconds are one piece
    assert encoder.longest == 321_600
    assert encoder.piece_frames(encoder.longest) == 99 * 12
    assert encoder.piece_frames(encoder.longest + 1) == 100 * 12
    assert encoder.frames(513) == 0
    short = build("passt", str(saved(tmp_path / "short.pt", own(seconds=0.5)))).eval()
    with torch.no_grad():
        whole = short(waves(40_000, 1))
        assert whole.shape[2] == short.frames(40_000)
        torch.testing.assert_close(whole[:, :, : short.frames(20_000)], short(waves(40_000, 1)[:, :20_000]))


@pytest.mark.parametrize("form", ["safetensors", "wrapper", "hop"])
def test_other_forms(tmp_path: Path, form: str) -> None:
    net = own(hop=160 if form == "hop" else 320)
    path, state = tmp_path / "passt.pt", net.net.state_dict()
    if form == "safetensors":
        path = tmp_path / "passt.safetensors"
        save_file(state, path, metadata={"config": json.dumps({"hop": 320})})
    elif form == "wrapper":
        torch.save(net.state_dict(), path)
    else:
        torch.save({"config": {"hop": 160}, "model": state}, path)
    with torch.no_grad():
        found = build("passt", str(path)).eval()(waves())
    seen, _ = tokens(net, waves())
    by_band = seen[0][:, 2:].unflatten(1, (12, -1)).transpose(1, 2).flatten(1, 2)
    torch.testing.assert_close(found[:, 0], by_band, atol=1e-5, rtol=1e-5)


def test_training_does_not_change_its_spectrogram_and_weights_can_learn(tmp_path: Path) -> None:
    path = saved(tmp_path / "passt.pt", own())
    before = torch.get_rng_state()
    encoder = build("passt", str(path))
    assert torch.equal(before, torch.get_rng_state())
    assert isinstance(encoder, Passt)
    encoder.train()
    assert torch.equal(encoder.mel(waves()), encoder.mel(waves()))
    encoder(waves()).square().mean().backward()
    weight = encoder.net.blocks[0].attn.qkv.weight
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def test_other_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    path = saved(tmp_path / "good.pt", own())
    check_refusals(build, "passt", path, tmp_path)
    content = torch.load(path, weights_only=True)
    for hop in (0, "long"):
        torch.save({"config": {"hop": hop}, "model": content}, tmp_path / "hop.pt")
        refused(build, "passt", tmp_path / "hop.pt", "no such encoder")
    del content["blocks.1.norm1.weight"]
    torch.save(content, tmp_path / "lacks.pt")
    refused(build, "passt", tmp_path / "lacks.pt", "lacks 1 tensors, such as blocks.1.norm1.weight")
