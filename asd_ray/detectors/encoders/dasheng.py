"""Dasheng (Dinkel et al., 2024) by the package dasheng, from a checkpoint of the user."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from asd_ray._torchaudio import load as load_torchaudio
from asd_ray.detectors.encoders.checkpoint import Config, blocks_of, by_step, explained, filled, read_checkpoint
from asd_ray.detectors.encoders.encoder import Encoder

load_torchaudio()  # dasheng imports it, and cannot beside a torch without CUDA

from dasheng.pretrained.pretrained import Dasheng as Net  # noqa: E402

EXPECTED = 'a published checkpoint of Dasheng, {"config": {…}, "model": {…}}, such as dasheng_base.pt'
RATE = 16_000
HEADS = {768: 12, 1280: 16, 1536: 24}  # by the width of the published nets; their configs need not say it


class Dasheng(Encoder):
    """Steps of 40 ms of a mel spectrogram in one band. Layers are the outputs of the blocks, the last one normalised.

    Clips longer than the net's positions (10.08 s) are cut where the package cuts them: after the spectrogram. The
    package cuts powers 120 dB below the loudest of a whole batch; here each clip counts alone, so that its embedding
    does not depend on the other clips. For a batch of one, both are the same.
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        self.rate, self.longest = RATE, sys.maxsize
        self.layers, self.width = len(net.blocks), net.embed_dim
        self.bands = net.patch_embed.grid_size[0]
        self.steps = net.target_length // net.patch_stride[-1]  # that have a position

    def piece_frames(self, samples: int) -> int:
        if samples <= self.net.front_end[0].n_fft // 2:  # too short for the mirrored ends of its windows
            return 0
        mel_frames = 1 + samples // self.net.hop_size
        patch, stride = self.net.patch_embed.patch_size[1], self.net.patch_embed.patch_stride[1]
        return int(max(0, (mel_frames - patch) // stride + 1) * self.bands)

    def encode(self, waves: Tensor) -> list[Tensor]:
        with torch.autocast(waves.device.type, enabled=False):  # bfloat16 is too coarse for a logarithm of powers
            levels = self.net.init_bn(self.net.front_end(waves[:, None].float()))
        patches = self.net.patch_embed(levels)
        pieces = [self._blocks(piece) for piece in patches.split(self.steps, dim=-1)]
        return [torch.cat(layer, 1) for layer in zip(*pieces, strict=True)]

    def train(self, mode: bool = True) -> Dasheng:
        super().train(mode)
        self.net.init_bn.eval()  # its statistics are those of pre-training
        return self

    def _blocks(self, patches: Tensor) -> list[Tensor]:
        """[n, width, bands, steps] -> [n, frames, width] of each layer."""
        net = self.net
        patches = patches + net.time_pos_embed[..., : patches.shape[-1]] + net.freq_pos_embed
        tokens = patches.flatten(2).transpose(1, 2)
        extra = 0
        if net.pooling == "token":
            token = (net.cls_token + net.token_pos_embed).expand(len(tokens), -1, -1)
            tokens, extra = torch.cat([token, tokens], 1), 1
        tokens, outputs = net.pos_drop(tokens), []
        for block in net.blocks:
            tokens = block(tokens)
            outputs.append(tokens)
        outputs[-1] = net.norm(tokens)
        return by_step([output[:, extra:] for output in outputs], self.bands)


def build(net: str, path: str) -> Encoder:
    """The encoder of a checkpoint, as ``Dasheng.from_pretrained`` of the package builds it."""
    config, weights = read_checkpoint(path, "config", EXPECTED)
    with explained(path, EXPECTED):
        encoder = Dasheng(filled(lambda: _net(config, weights), weights, path, EXPECTED))
        if encoder.steps < 1 or encoder.bands < 1:
            raise ValueError("config has a target_length or n_mels below one patch")
    return encoder


def _net(config: Config, weights: dict[str, Tensor]) -> Net:
    width, depth = len(weights["patch_embed.proj.weight"]), blocks_of(weights, "blocks.")
    if config.get("embed_dim", width) != width or config.get("depth", depth) != depth:
        raise ValueError(f"config has another width or depth than the weights, {width} and {depth}")
    heads = config.get("num_heads", HEADS.get(width))
    if heads is None:
        raise ValueError(f"config has no num_heads, and no published net is {width} wide")
    sizes = {name: value for name, value in config.items() if not name.endswith("_type")}  # these name classes
    return Net(**sizes | {"embed_dim": width, "depth": depth, "num_heads": heads})
