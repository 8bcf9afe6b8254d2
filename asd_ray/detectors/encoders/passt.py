"""PaSST (Koutini et al., 2021) by the package hear21passt, from a state dict of the user.

hear21passt imports one function of timm, which fetches weights and is never called here. timm needs torchvision, which
cannot be imported beside a torch of another build. So neither of them is imported, and neither has to be installed.
"""

from __future__ import annotations

import sys
from types import ModuleType

import torch
from torch import Tensor

from asd_ray._torchaudio import load as load_torchaudio
from asd_ray.detectors.encoders.checkpoint import (
    blocks_of,
    by_step,
    explained,
    filled,
    quiet,
    read_checkpoint,
    without_prefix,
)
from asd_ray.detectors.encoders.encoder import Encoder

HUB = "timm.models._hub"


def _import_without_timm() -> None:
    """Import hear21passt with a stand-in for the module of timm, unless that was imported before."""
    stand_in = ModuleType(HUB)
    stand_in.__dict__["download_cached_file"] = None
    used = sys.modules.setdefault(HUB, stand_in)
    try:
        import hear21passt.models.passt  # noqa: F401
    finally:
        if used is stand_in:
            del sys.modules[HUB]  # other code can still import timm itself


load_torchaudio()  # hear21passt imports it, and cannot beside a torch without CUDA
_import_without_timm()

from hear21passt.models import passt as package  # noqa: E402
from hear21passt.models.preprocess import AugmentMelSTFT  # noqa: E402

package.first_RUN = False  # the package prints the shapes of its first run
EXPECTED = "a published state dict of PaSST, such as passt-s-f128-p16-s10-ap.476-swa.pt"
RATE, MELS = 32_000, 128
HEAD = 64  # dimensions of an attention head in the published nets
HOP = 320  # samples between mel frames, but for two published nets
HOP_OF_STEPS = {320: 100}  # steps of time that have a position -> hop


class Passt(Encoder):
    """Patches of a mel spectrogram, which may overlap. Layers are the outputs of the blocks, the last one normalised.

    The two class tokens take part in attention but are no frames.
    """

    def __init__(self, net: package.PaSST, hop: int) -> None:
        super().__init__()
        with quiet():  # it prints its highest frequency
            self.mel = AugmentMelSTFT(n_mels=MELS, sr=RATE, hopsize=hop, fmin_aug_range=10, fmax_aug_range=2000)
        self.net, self.rate = net, RATE
        self.layers, self.width = len(net.blocks), net.embed_dim
        self.bands, steps = net.patch_embed.grid_size
        # Samples whose mel frames have no more patches than there are positions of time.
        self.longest = (steps * self._stride + self._patch - 1) * hop

    @property
    def _patch(self) -> int:
        return int(self.net.patch_embed.patch_size[1])

    @property
    def _stride(self) -> int:
        return int(self.net.patch_embed.stride[1])

    def piece_frames(self, samples: int) -> int:
        if samples - 1 <= self.mel.n_fft // 2:  # too short for the mirrored ends of its windows
            return 0
        mel_frames = 1 + (samples - 1) // self.mel.hopsize  # pre-emphasis takes one sample
        steps = (mel_frames - self._patch) // self._stride + 1
        return int(max(0, steps) * self.bands)

    def encode(self, waves: Tensor) -> list[Tensor]:
        net = self.net
        with torch.autocast(waves.device.type, enabled=False):  # bfloat16 is too coarse for a logarithm of powers
            levels = self.mel(waves.float())
        patches = net.patch_embed.norm(net.patch_embed.proj(levels[:, None]))
        steps = patches.shape[-1]
        patches = patches + net.time_new_pos_embed[..., :steps] + net.freq_new_pos_embed
        extra = [net.cls_token] if net.dist_token is None else [net.cls_token, net.dist_token]
        first = torch.cat(extra, 1) + net.new_pos_embed
        tokens = torch.cat([first.expand(len(waves), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
        tokens, outputs = net.pos_drop(tokens), []
        for block in net.blocks:
            tokens = block(tokens)
            outputs.append(tokens)
        outputs[-1] = net.norm(tokens)
        return by_step([output[:, len(extra) :] for output in outputs], self.bands)

    def train(self, mode: bool = True) -> Passt:
        super().train(mode)
        self.mel.eval()  # in training it masks and warps on its own
        return self


def build(net: str, path: str) -> Encoder:
    """The encoder of a state dict, built by the shapes of its tensors. Classifiers in it are not used.

    Twenty seconds and a hop of 160 samples give the same shapes, so a net of the latter kind needs
    ``{"config": {"hop": 160}, "model": state dict}``.
    """
    config, weights = read_checkpoint(path, "config", EXPECTED)
    weights = without_prefix(weights, "patch_embed.proj.weight", ("net.", "model."))
    made = filled(lambda: _net(weights), weights, path, EXPECTED, ("head.", "head_dist."))
    steps = made.patch_embed.grid_size[1]
    with explained(path, EXPECTED):
        hop = int(config.get("hop", HOP_OF_STEPS.get(steps, HOP)))
        if not 1 <= hop <= RATE:
            raise ValueError(f"config has hop = {hop}, but it is in samples, from 1 to {RATE}")
        return Passt(made, hop)


def _net(weights: dict[str, Tensor]) -> package.PaSST:
    width, _, *patch = weights["patch_embed.proj.weight"].shape
    bands, steps = weights["freq_new_pos_embed"].shape[2], weights["time_new_pos_embed"].shape[3]
    stride = MELS // bands
    return package.PaSST(
        img_size=(MELS, steps * stride),
        patch_size=tuple(patch),
        stride=(stride, stride),
        embed_dim=width,
        depth=blocks_of(weights, "blocks."),
        num_heads=width // HEAD,
        distilled="dist_token" in weights,
        num_classes=0,
    )
