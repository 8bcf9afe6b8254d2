"""Encoders of the package transformers give what the package's own feature extractors and nets give."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asd_ray.detectors.encoders.encoder import Encoder
from asd_ray.detectors.encoders.loading import encoder_name, load_encoder
from asd_ray.errors import AsdRayError

from ...tiny_encoders import CLASSES, save_tiny

import transformers  # isort: skip

SECONDS = {"ast": 9.0, "clap": 3.3, "wav2vec2": 1.5, "hubert": 1.5, "wavlm": 1.5, "whisper": 4.0}


def load(net: str, folder: Path) -> Encoder:
    return load_encoder(encoder_name(net, str(folder)), {net: str(folder)})


def noise(encoder: Encoder, seconds: float, clips: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    waves = torch.randn(clips, round(seconds * encoder.rate), generator=generator)
    return 0.1 * waves * torch.linspace(0.01, 1, waves.shape[1])


def of_the_package(net: str, model: Any, folder: Path, waves: Tensor, rate: int) -> Tensor:
    """[n, layers, frames, width] as the package has them: frames of its whole input, patches in its own order."""
    extractor = getattr(transformers, CLASSES[net][1]).from_pretrained(folder, local_files_only=True)
    inputs = dict(extractor([one.numpy() for one in waves], sampling_rate=rate, return_tensors="pt"))
    parts = {
        "ast": "audio_spectrogram_transformer",
        "clap": "audio_model",
        "wav2vec2": "wav2vec2",
        "whisper": "model.encoder",
    }
    if net == "clap":
        inputs["is_longer"] = torch.zeros(len(waves), 1, dtype=torch.bool)
    with torch.no_grad():
        outputs = model.get_submodule(parts.get(net, ""))(**inputs, output_hidden_states=True)
    if net == "clap":
        last: Tensor = outputs.last_hidden_state
        return last.permute(0, 3, 2, 1).flatten(1, 2)[:, None]
    hidden = torch.stack([*outputs.hidden_states[1:-1], outputs.last_hidden_state], 1)
    if net == "ast":
        return hidden[:, :, 2:].unflatten(2, (12, 101)).transpose(2, 3).flatten(2, 3)
    return hidden


@pytest.mark.parametrize(
    ("net", "settings"),
    [
        *((net, {}) for net in CLASSES),
        ("clap", {"truncation": "rand_trunc"}),
        ("wav2vec2", {"do_normalize": False}),
        ("ast", {"do_normalize": False}),
    ],
)
def test_all_layers_are_those_of_the_package(net: str, settings: dict[str, Any], tmp_path: Path) -> None:
    model = save_tiny(net, tmp_path, **settings)
    encoder = load(net, tmp_path)
    waves = noise(encoder, SECONDS[net])
    expected = of_the_package(net, model, tmp_path, waves, encoder.rate)
    with torch.no_grad():
        embeddings = encoder(waves)
    frames = encoder.frames(waves.shape[1])
    assert embeddings.shape == (2, encoder.layers, frames, encoder.width)
    assert 0 < frames <= expected.shape[2]
    assert encoder.layers == expected.shape[1] == (1 if net == "clap" else 3)
    assert float(expected.std()) > 0.01
    torch.testing.assert_close(embeddings, expected[:, :, :frames], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("net", ["ast", "whisper", "wavlm"])
def test_a_long_clip_is_encoded_in_equal_pieces(net: str, tmp_path: Path) -> None:
    save_tiny(net, tmp_path)
    encoder = load(net, tmp_path)
    waves = noise(encoder, 1.5 * encoder.longest / encoder.rate, clips=1)
    half = waves.shape[1] // 2
    with torch.no_grad():
        embeddings, pieces = encoder(waves), [encoder(waves[:, :half]), encoder(waves[:, half : 2 * half])]
    assert embeddings.shape[2] == encoder.frames(waves.shape[1]) == 2 * encoder.frames(half)
    torch.testing.assert_close(embeddings, torch.cat(pieces, 2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("net", ["wav2vec2", "whisper"])
def test_all_layers_are_there_in_training_and_gradients_reach_the_first(net: str, tmp_path: Path) -> None:
    save_tiny(net, tmp_path)
    encoder = load(net, tmp_path)
    assert not encoder.training
    assert not any(weight.requires_grad for weight in encoder.parameters())
    encoder.train().requires_grad_(True)
    embeddings = encoder(noise(encoder, 0.5))
    assert embeddings.shape[1] == 3
    embeddings[:, -1].sum().backward()
    first = encoder.get_submodule("net").conv1 if net == "whisper" else encoder.get_submodule("net.feature_projection")
    assert any(weight.grad is not None and bool(weight.grad.abs().sum() > 0) for weight in first.parameters())


def rename_weights(folder: Path) -> None:
    os.rename(folder / "model.safetensors", folder / "pytorch_model.bin")


def other_net(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "model_type": "bert"}))


def deeper(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "num_hidden_layers": 4}))


def without_extractor(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()


def quantized(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "quantization_config": {"quant_method": "gptq"}}))


def adapted(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def torn(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (rename_weights, "a pickle such as pytorch_model.bin is not read, because it may run code; convert it once"),
        (other_net, "config.json is of 'bert', but ast needs a model of 'audio-spectrogram-transformer'"),
        (deeper, "its weights lack 16 tensors of ast, such as layers.3."),
        (without_extractor, "transformers cannot read it as ast"),
        (quantized, "config.json has a quantization_config, which is not supported; bring the whole net"),
        (adapted, "adapter_config.json has the package load another net; merge the adapter"),
        (torn, "transformers cannot read it as ast"),
    ],
)
def test_a_folder_that_is_not_the_net_is_refused(damage: Any, message: str, tmp_path: Path) -> None:
    save_tiny("ast", tmp_path)
    damage(tmp_path)
    with pytest.raises(AsdRayError) as raised:
        load("ast", tmp_path)
    assert message in str(raised.value)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("net", ["ast", "clap", "wavlm", "whisper"])
def test_a_net_in_half_precision_runs_in_32_bits(net: str, tmp_path: Path) -> None:
    save_tiny(net, tmp_path).half().save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float16"
    encoder = load(net, tmp_path)
    assert {weight.dtype for weight in encoder.parameters()} == {torch.float32}
    assert encoder(noise(encoder, 1.5)).isfinite().all()


def test_code_in_a_folder_is_not_run(tmp_path: Path) -> None:
    save_tiny("ast", tmp_path)
    (tmp_path / "own.py").write_text("raise SystemExit('run')")
    content = json.loads((tmp_path / "config.json").read_text())
    content["auto_map"] = {"AutoModel": "own.Own", "AutoConfig": "own.Own"}
    (tmp_path / "config.json").write_text(json.dumps(content))
    waves = np.zeros((1, 8000), np.float32)
    assert load("ast", tmp_path)(torch.from_numpy(waves)).shape[1] == 3
