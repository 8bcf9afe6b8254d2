from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from asd_ray._torchaudio import load as load_torchaudio
from asd_ray.detectors.encoders.dasheng import Dasheng, build

from .files import check_refusals, refused

load_torchaudio()
from dasheng.pretrained.pretrained import Dasheng as Net  # noqa: E402

SMALL = {
    "embed_dim": 24,
    "depth": 3,
    "num_heads": 4,
    "target_length": 100,
    "patch_size": [64, 4],
    "patch_stride": [64, 4],
}


def checkpoint(path: Path, seed: int = 0, **changes: Any) -> Path:
    """A file of the published form, with small random weights and statistics."""
    config = SMALL | changes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Net(**config)
        for weight in net.parameters():
            weight.data += torch.randn_like(weight) * 0.05
        net.init_bn[1].running_mean.uniform_(-20, 20)
        net.init_bn[1].running_var.uniform_(50, 100)
    torch.save({"config": config, "model": net.state_dict()}, path)
    return path


def waves(samples: int = 24_000, count: int = 2) -> Tensor:
    return torch.rand(count, samples, generator=torch.Generator().manual_seed(1)) - 0.5


def own_layers(path: Path, sound: Tensor) -> Tensor:
    """What the package gives: the outputs of its blocks, and of the net in place of the last; one wave at a time."""
    net = Net.from_pretrained(str(path)).eval()
    clips = []
    for wave in sound:
        seen: list[list[Tensor]] = [[] for _ in net.blocks]

        def keep(block: nn.Module, args: Any, output: Tensor, seen: list[list[Tensor]] = seen) -> None:
            seen[[*net.blocks].index(block)].append(output)

        hooks = [block.register_forward_hook(keep) for block in net.blocks]
        with torch.no_grad():
            last = net(wave[None])
        for hook in hooks:
            hook.remove()
        clips.append(torch.cat([*(torch.cat(pieces, 1) for pieces in seen[:-1]), last]))
    return torch.stack(clips)


@pytest.mark.parametrize("changes", [{}, {"init_values": 0.1}, {"win_size": 400, "num_heads": 2}])
@pytest.mark.parametrize("samples", [12_000, 40_001])
def test_every_layer_is_that_of_the_package(tmp_path: Path, changes: dict[str, Any], samples: int) -> None:
    path = checkpoint(tmp_path / "dasheng.pt", **changes)
    encoder = build("dasheng", str(path)).eval()
    with torch.no_grad():
        found = encoder(waves(samples))  # 40,001 samples are 62 steps, of which 25 have a position
    own = own_layers(path, waves(samples))
    assert found.shape == own.shape == (2, 3, encoder.frames(samples), 24)
    assert own.std() > 0.1
    torch.testing.assert_close(found, own, atol=1e-5, rtol=1e-5)


def test_a_spectrogram_is_the_same_in_half_precision(tmp_path: Path) -> None:
    encoder = build("dasheng", str(checkpoint(tmp_path / "dasheng.pt"))).eval()
    assert isinstance(encoder, Dasheng)
    seen: list[Tensor] = []
    encoder.net.patch_embed.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        encoder(waves(8_000))
        with torch.autocast("cpu", torch.bfloat16):
            encoder(waves(8_000))
    torch.testing.assert_close(seen[1], seen[0], rtol=0, atol=0)


def test_a_token_of_the_whole_clip_is_no_frame(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "dasheng.pt", pooling="token")
    encoder = build("dasheng", str(path)).eval()
    with torch.no_grad():
        found = encoder(waves(12_000))
    torch.testing.assert_close(found, own_layers(path, waves(12_000))[:, :, 1:], atol=1e-5, rtol=1e-5)


def test_a_clip_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    """In the package a loud clip cuts off the quiet parts of the others."""
    path = checkpoint(tmp_path / "dasheng.pt")
    encoder, package = build("dasheng", str(path)).eval(), Net.from_pretrained(str(path)).eval()
    quiet, loud = torch.cat([waves(8_000, 1) * 1e-4, torch.zeros(1, 8_000)], 1), waves(16_000, 1)
    both = torch.cat([quiet, loud * 2])
    with torch.no_grad():
        torch.testing.assert_close(encoder(both)[:1], encoder(quiet))
        assert (package(both)[:1] - package(quiet)).abs().max() > 1e-3


def test_sizes(tmp_path: Path) -> None:
    encoder = build("dasheng", str(checkpoint(tmp_path / "dasheng.pt")))
    assert (encoder.rate, encoder.layers, encoder.width, encoder.bands) == (16_000, 3, 24, 1)
    assert encoder.frames(160_000) == 250
    assert encoder.frames(256) == 0
    encoder.train()
    assert not encoder.net.init_bn[1].training
    assert encoder.net.blocks.training


def test_the_config_may_leave_the_published_sizes_out(tmp_path: Path) -> None:
    """The package's own ``dasheng_base(path)`` names them."""
    path = checkpoint(tmp_path / "dasheng.pt", embed_dim=768, num_heads=12, depth=1)
    content = torch.load(path, weights_only=True)
    short = {
        name: value for name, value in content["config"].items() if name not in ("embed_dim", "depth", "num_heads")
    }
    torch.save({"config": short, "model": content["model"]}, tmp_path / "short.pt")
    save_file(content["model"], tmp_path / "short.safetensors", metadata={"config": json.dumps(short)})
    files = [path, tmp_path / "short.pt", tmp_path / "short.safetensors"]
    with torch.no_grad():
        first, *others = (build("dasheng", str(file)).eval()(waves(8_000)) for file in files)
    assert all(torch.equal(first, other) for other in others)


def test_loading_leaves_the_random_numbers_alone_and_weights_can_learn(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "dasheng.pt")
    before = torch.get_rng_state()
    encoder = build("dasheng", str(path))
    assert torch.equal(before, torch.get_rng_state())
    assert isinstance(encoder, Dasheng)
    encoder(waves(8_000)).square().mean().backward()
    weight = encoder.net.blocks[0].attn.qkv.weight
    assert encoder.tunable
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def test_other_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "good.pt")
    check_refusals(build, "dasheng", path, tmp_path)
    content = torch.load(path, weights_only=True)
    wrong = {
        "depth": {"depth": 40},
        "heads": {"num_heads": 5},
        "mels": {"n_mels": "many"},
        "length": {"target_length": 2},
    }
    for name, change in wrong.items():
        torch.save(content | {"config": content["config"] | change}, tmp_path / f"{name}.pt")
        refused(build, "dasheng", tmp_path / f"{name}.pt", "no such encoder", "give a published checkpoint")
    del content["config"]["num_heads"]
    torch.save(content, tmp_path / "unknown.pt")
    refused(build, "dasheng", tmp_path / "unknown.pt", "no num_heads")
