"""BEATs (Chen et al., 2022) and OpenBEATs by the package openbeats, from a checkpoint of the user."""

from __future__ import annotations

import os

from torch import Tensor

from asd_ray._torchaudio import load as load_torchaudio
from asd_ray.detectors.encoders.checkpoint import Config, blocks_of, explained, filled, read_checkpoint, without_prefix
from asd_ray.detectors.encoders.encoder import Encoder
from asd_ray.detectors.encoders.fbank import KaldiFbank
from asd_ray.errors import AsdRayError

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # openbeats imports transformers, which then never asks for a file
load_torchaudio()  # openbeats imports it, and cannot beside a torch without CUDA

from openbeats.beats_encoder import BeatsEncoder  # noqa: E402

EXPECTED = 'a published checkpoint of BEATs or OpenBEATs, {"cfg": {…}, "model": {…}}'
RATE, MELS = 16_000, 128
SHORTEST = 3_200  # samples; a shorter wave is repeated, as the package does it
LONGEST = 30 * RATE  # chosen here: attention grows with the square of the length
MEAN, DEVIATION = 15.41663, 6.55582  # of the filter banks, where the config names no others
SIZES = (  # key of the config, tensor, dimension: the weights must agree before a net of this size is made
    ("embed_dim", "patch_embedding.weight", 0),
    ("input_patch_size", "patch_embedding.weight", 2),
    ("encoder_embed_dim", "encoder.layer_norm.weight", 0),
    ("encoder_ffn_embed_dim", "encoder.layers.0.fc1.weight", 0),
    ("num_buckets", "encoder.layers.0.self_attn.relative_attention_bias.weight", 0),
)


class Beats(Encoder):
    """Patches of 16 by 16 of a mel spectrogram. Layers are the outputs of the blocks, the last one as the package's."""

    def __init__(self, net: BeatsEncoder, mean: float, deviation: float) -> None:
        super().__init__()
        self.net, self.mean, self.deviation = net, mean, deviation
        self.fbank = KaldiFbank(RATE, MELS, "povey")
        self.rate, self.longest = RATE, LONGEST
        self.layers, self.width = len(net.encoder.layers), net.config.encoder_embed_dim
        self.patch: int = net.config.input_patch_size
        self.bands = MELS // self.patch

    def piece_frames(self, samples: int) -> int:
        if 0 < samples < SHORTEST:
            samples *= SHORTEST // samples + 1
        return self.fbank.frames(samples) // self.patch * self.bands

    def encode(self, waves: Tensor) -> list[Tensor]:
        if waves.shape[1] < SHORTEST:
            waves = waves.repeat(1, SHORTEST // waves.shape[1] + 1)
        mels = (self.fbank(waves * 2**15) - self.mean) / (2 * self.deviation)
        patches = self.net.layer_norm(self.net.patch_embedding(mels[:, None]).flatten(2).transpose(1, 2))
        if self.net.post_extract_proj is not None:
            patches = self.net.post_extract_proj(patches)
        patches = self.net.dropout_input(patches)
        # Asked for a layer beyond the last, it runs all blocks and returns the output of each: [tokens, n, width].
        last, outputs = self.net.encoder.extract_features(patches, None, self.layers)
        if self.net.encoder.layer_norm_first:
            last = self.net.encoder.layer_norm(last)
        return [*(output.transpose(0, 1) for output, _ in outputs[1:-1]), last]


def build(net: str, path: str) -> Encoder:
    """The encoder of a checkpoint. A classifier's head in it is not used."""
    config, weights = read_checkpoint(path, "cfg", EXPECTED)
    weights = without_prefix(weights, "patch_embedding.weight", ("encoder.",))
    if not config:
        raise AsdRayError(
            f"{path}: it has no 'cfg', which says how the net is built (ESPnet's fine-tuned files lack it); save "
            '{"cfg": the cfg of the checkpoint that training started from, "model": its state dict}'
        )
    # With flash attention, the package drops attention weights at random in evaluation, too. It is the same function.
    config["use_flash_attn"] = False
    made: BeatsEncoder = filled(
        lambda: _net(config, weights), weights, path, EXPECTED, ("patch_embedding_pad", "raw2fbank_pad")
    )
    with explained(path, EXPECTED):
        return Beats(made, float(config.get("fbank_mean", MEAN)), float(config.get("fbank_std", DEVIATION)))


def _net(config: Config, weights: dict[str, Tensor]) -> BeatsEncoder:
    for key, name, dimension in SIZES:
        if key in config and name in weights and config[key] != weights[name].shape[dimension]:
            raise ValueError(f"cfg has {key} = {config[key]!r}, but {name} is {tuple(weights[name].shape)}")
    if config.get("encoder_layers", 12) != blocks_of(weights, "encoder.layers."):
        raise ValueError("cfg has another number of encoder_layers than the weights")
    return BeatsEncoder(input_size=0, beats_config=config)
