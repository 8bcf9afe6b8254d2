from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from asd_ray._torchaudio import load as load_torchaudio
from asd_ray.detectors.encoders.beats import Beats, build

from .files import check_refusals, refused

load_torchaudio()
from openbeats.beats_encoder import BeatsEncoder  # noqa: E402
from openbeats.model import OpenBeats  # noqa: E402

SMALL = {
    "embed_dim": 16,
    "encoder_layers": 3,
    "encoder_embed_dim": 24,
    "encoder_ffn_embed_dim": 32,
    "encoder_attention_heads": 4,
    "conv_pos": 16,
    "conv_pos_groups": 4,
    "num_buckets": 32,
    "max_distance": 80,
    "relative_position_embedding": True,
    "gru_rel_pos": True,
    "deep_norm": True,
    "dropout": 0.1,
}
VARIANTS = [
    {},
    {"deep_norm": False, "layer_norm_first": True, "fbank_mean": 10.0},
    {"embed_dim": 24, "gru_rel_pos": False},
]


def checkpoint(path: Path, seed: int = 0, **changes: Any) -> Path:
    """A file of the published form, with small random weights."""
    config = SMALL | changes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = BeatsEncoder(0, beats_config=config)
        for weight in net.encoder.parameters():  # those at zero or one, too
            weight.data += torch.randn_like(weight) * 0.05
    torch.save({"cfg": config, "model": net.state_dict()}, path)
    return path


def waves(samples: int = 24_000, count: int = 2) -> Tensor:
    return torch.rand(count, samples, generator=torch.Generator().manual_seed(1)) - 0.5


def own_layers(path: Path, sound: Tensor) -> Tensor:
    """What the package gives for each layer: of one wave at a time, as its ``encode``."""
    net = OpenBeats.from_pretrained(str(path)).encoder
    depth, lengths = len(net.encoder.layers), torch.tensor([sound.shape[1]])
    clips = []
    with torch.no_grad():
        for wave in sound:
            layers = []
            # Asked for layer k, the package returns what goes into block k: the output of block k - 1.
            for net.max_layer in [*range(1, depth), None]:
                layers.append(net(wave[None], lengths)[0][0])
            clips.append(torch.stack(layers))
    return torch.stack(clips)


@pytest.mark.parametrize("changes", VARIANTS)
@pytest.mark.parametrize("samples", [24_000, 2_000])
def test_every_layer_is_that_of_the_package(tmp_path: Path, changes: dict[str, Any], samples: int) -> None:
    path = checkpoint(tmp_path / "beats.pt", **changes)
    encoder = build("beats", str(path)).eval()
    with torch.no_grad():
        found = encoder(waves(samples))
    own = own_layers(path, waves(samples))
    assert found.shape == own.shape == (2, 3, encoder.frames(samples), 24)
    assert own.std() > 0.1
    torch.testing.assert_close(found, own, atol=1e-5, rtol=1e-5)


def test_frames_are_steps_of_time_with_their_bands(tmp_path: Path) -> None:
    encoder = build("beats", str(checkpoint(tmp_path / "beats.pt"))).eval()
    assert (encoder.rate, encoder.layers, encoder.width, encoder.bands) == (16_000, 3, 24, 8)
    assert encoder.frames(160_000) == 62 * 8  # 998 mel frames
    assert encoder.frames(0) == 0
    patches = encoder.net.patch_embedding(torch.eye(32, 128)[None, None])
    in_order = patches.flatten(2).transpose(1, 2)  # as `encode` has them
    assert torch.equal(in_order[0, 8 + 1], patches[0, :, 1, 1])


def test_a_long_clip_is_encoded_in_pieces(tmp_path: Path) -> None:
    encoder = build("beats", str(checkpoint(tmp_path / "beats.pt"))).eval()
    encoder.longest = 8_000
    sound = waves(16_000, 1)
    with torch.no_grad():
        whole, first, second = encoder(sound), encoder(sound[:, :8_000]), encoder(sound[:, 8_000:])
    torch.testing.assert_close(whole, torch.cat([first, second], 2))


@pytest.mark.parametrize("form", ["safetensors", "prefixed", "bare model", "half"])
def test_other_forms_give_the_same_embeddings(tmp_path: Path, form: str) -> None:
    path = checkpoint(tmp_path / "beats.pt")
    content = torch.load(path, weights_only=True)
    model, other = dict(content["model"]), tmp_path / "other.pt"
    if form == "safetensors":
        other = tmp_path / "other.safetensors"
        shared = {name: value.clone() for name, value in model.items()}
        save_file(shared, other, metadata={"cfg": json.dumps(content["cfg"])})
    elif form == "prefixed":  # of a fine-tuned model of ESPnet, with a head
        prefixed = {f"encoder.{name}": value for name, value in model.items()} | {
            "decoder.linear_out.weight": torch.ones(2, 24)
        }
        torch.save({"cfg": content["cfg"], "model": prefixed}, other)
    elif form == "bare model":  # the package reads a file without 'model', too
        torch.save({"cfg": content["cfg"]} | model, other)
    else:
        halves = {name: value.half() for name, value in model.items()}
        torch.save({"cfg": content["cfg"], "model": halves}, other)
        torch.save({"cfg": content["cfg"], "model": {name: value.float() for name, value in halves.items()}}, path)
    with torch.no_grad():
        first, second = (build("beats", str(file)).eval()(waves()) for file in (path, other))
    assert torch.equal(first, second)


def test_flash_attention_of_the_config_does_not_make_it_random(tmp_path: Path) -> None:
    plain, flash = checkpoint(tmp_path / "plain.pt"), checkpoint(tmp_path / "flash.pt", use_flash_attn=True)
    with torch.no_grad():
        first, second = (build("beats", str(path)).eval()(waves()) for path in (plain, flash))
    assert torch.equal(first, second)


def test_loading_leaves_the_random_numbers_alone_and_weights_can_learn(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "beats.pt")
    before = torch.get_rng_state()
    encoder = build("beats", str(path))
    assert torch.equal(before, torch.get_rng_state())
    assert isinstance(encoder, Beats)
    encoder.eval()(waves()).square().mean().backward()
    weight = encoder.net.encoder.layers[0].self_attn.q_proj.weight
    assert encoder.tunable
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def test_other_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "good.pt")
    check_refusals(build, "beats", path, tmp_path)
    content = torch.load(path, weights_only=True)
    torch.save(content["model"], tmp_path / "bare.pt")
    refused(build, "beats", tmp_path / "bare.pt", "no 'cfg'", "save")
    for name, change in {
        "layers": {"encoder_layers": 40},
        "heads": {"encoder_attention_heads": 5},
        "width": {"embed_dim": 10**9},
        "mean": {"fbank_mean": "high"},
    }.items():
        torch.save(content | {"cfg": content["cfg"] | change}, tmp_path / f"{name}.pt")
        refused(build, "beats", tmp_path / f"{name}.pt", "no such encoder", "give a published checkpoint")
    del content["model"]["encoder.layers.1.fc1.weight"]
    torch.save(content, tmp_path / "lacks.pt")
    refused(build, "beats", tmp_path / "lacks.pt", "lacks 1 tensors, such as encoder.layers.1.fc1.weight")
