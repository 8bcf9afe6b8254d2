"""The nearest picture that a generator can make: AnoGAN.

Schlegl, Seeböck, Waldstein, Schmidt-Erfurth, Langs, "Unsupervised Anomaly Detection with Generative Adversarial
Networks to Guide Marker Discovery", IPMI 2017.

A generator learns to make log-mel pictures of 128 × 128 from random codes that a discriminator cannot tell from those
of normal clips (DCGAN). For a picture to be judged a code is sought, by 500 steps of gradient descent, whose picture is
like it and gives the discriminator like features. Anomalous is a window that no code makes well: its score is what is
left, 0.9 times the absolute difference of the pictures plus 0.1 times that of the features, summed over all.

The paper's setting is written from memory: 500 steps, the weight 0.1 and 20 epochs. Left open, and chosen here: the
paper has images of 64 × 64 and not audio, so that window, front end and scale are those of AEGAN-AD, to be compared
with it, and generator and discriminator have one layer more. They learn from windows that start every 8 frames, with
the batches and Adam of GANomaly; searched for are windows side by side, with Adam at 0.01 and torch's other settings.
What is left of a clip behind its last whole window is not heard: 57 of 313 frames. The features are those before the
verdict. A search begins at the code of zeros, the middle of all codes, with the norms at rest, so that a score depends
neither on chance nor on the other clips. The score is the mean or the largest over a clip's windows.

Published, harmonic mean of AUC source, AUC target and pAUC in per cent, DCASE 2022 development, in the table of Jiang
et al. 2023: bearing 52.70, fan 41.89, gearbox 49.45, slider 48.77, ToyCar 41.41.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.nets import dcgan
from asd_ray.detectors.parts import pictures, training
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, per_clip
from asd_ray.features._base import must_be

SEARCHED = 128  # windows at once in a search, which keeps all layers' outputs for the way back


class Nets(nn.Module):
    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        self.generator = dcgan.decoder(pictures.SIZE, channels, latent, norm="batch")
        self.discriminator = pictures.Discriminator(channels)
        dcgan.initialise(self)

    def made(self, codes: Tensor) -> Tensor:
        """[n, latent] -> [n, 1, 128, 128]."""
        made: Tensor = self.generator(codes[:, :, None, None])
        return made.float()


class AnoGan:
    """A detector; see the module for the method.

    A window starts every `hop` frames in training, every `score_hop` frames in scoring. `channels` is the width of the
    widest picture, which grows to 16 times that, and `latent` the length of a code. `steps` of length `search_lr` are
    made to find a code; scoring takes as long as there are steps. `weight`, in [0, 1], is that of the features in the
    loss, the rest that of the pictures.

    Variants: `loss_mean` and `loss_max` over a clip's windows.
    """

    # a search goes 500 times through both nets and back, for two windows of a 10 s clip
    RESOURCES: ClassVar[Resources] = Resources(cpu=1.0, gpu=0.5, suits_cpu=False)
    VERSION: ClassVar[int] = 1

    def __init__(
        self,
        context: Context,
        *,
        hop: int = 8,
        score_hop: int = 128,
        channels: int = 64,
        latent: int = 100,
        steps: int = 500,
        search_lr: float = 0.01,
        weight: float = 0.1,
        lr: float = 2e-4,
        beta1: float = 0.5,
        batch_size: int = 64,
        epochs: int = 20,
    ) -> None:
        self.context = context
        self.hop, self.score_hop, self.channels, self.latent = hop, score_hop, channels, latent
        self.steps, self.search_lr, self.weight = steps, search_lr, weight
        self.lr, self.beta1, self.batch_size, self.epochs = lr, beta1, batch_size, epochs
        for name in ("hop", "score_hop", "channels", "latent", "steps"):
            training.check_whole(self, name, 1)
        must_be(self, "search_lr", search_lr > 0, "above 0")
        must_be(self, "weight", 0 <= weight <= 1, "in [0, 1]")
        training.check_recipe(self)
        training.check_fraction(self, "beta1")
        self._nets: Nets | None = None
        self._scale = pictures.Scale()

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["aegan_ad"].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return training.too_few(train, self.front_end, pictures.SIZE, self.hop)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        frames, windows = training.frames_to_learn(self.front_end, train, pictures.SIZE, self.context, self.hop)
        self._scale, self._nets = pictures.Scale.of(frames), self._new_nets()
        starts = training.starts_of(windows, frames.device)
        picture = training.pictures_of(self._scale(frames), pictures.SIZE)
        generator = self.context.generator()
        step = self._step(self._nets, lambda at: picture(starts[at]), generator)
        yield from training.run_epochs([self._nets], step, len(windows), self.epochs, self.batch_size, generator)

    def score(self, clips: ClipSet) -> Scores:
        nets = self._ready("score")
        frames, windows = training.frames_of(self.front_end, clips, pictures.SIZE, self.context, self.score_hop)

        def left(real: Tensor) -> Tensor:
            with torch.no_grad():
                wanted = nets.discriminator.features(real)

            def loss(codes: Tensor) -> Tensor:
                made = nets.made(codes)
                return unlikeness(made, real, nets.discriminator.features(made), wanted, self.weight)

            codes = nearest(loss, real.new_zeros((len(real), self.latent)), self.steps, self.search_lr)
            with torch.no_grad():
                return loss(codes)

        found = pictures.of_windows(left, self._scale(frames), windows, SEARCHED)
        return {f"loss_{how}": training.as_scores(per_clip(found, windows, how)) for how in ("mean", "max")}

    def state(self) -> State:
        return {"nets": training.plain(self._ready("state")), "scale": asdict(self._scale)}

    def load(self, state: State) -> None:
        nets = self._new_nets()
        nets.load_state_dict(state["nets"])
        self._nets, self._scale = nets, pictures.Scale(**state["scale"])

    def _step(self, nets: Nets, picture: Callable[[Tensor], Tensor], generator: torch.Generator) -> training.Step:
        device, discriminator = self.context.device, nets.discriminator
        for_generator, for_discriminator = (
            torch.optim.Adam(net.parameters(), lr=self.lr, betas=(self.beta1, 0.999), fused=True)
            for net in (nets.generator, discriminator)
        )

        def step(at: Tensor) -> dict[str, Tensor]:
            real = picture(at).contiguous()
            with training.autocast(device):
                made = nets.made(torch.randn((len(real), self.latent), generator=generator).to(device))
                judged = pictures.mistaken(discriminator(real), discriminator(made.detach()))
            for_discriminator.zero_grad()
            judged.backward()  # type: ignore[no-untyped-call]
            for_discriminator.step()

            discriminator.requires_grad_(False)  # its gradients are not wanted now
            with training.autocast(device):
                of_made = discriminator(made)
            doubted = cross_entropy(of_made, torch.ones_like(of_made))
            for_generator.zero_grad()
            doubted.backward()  # type: ignore[no-untyped-call]
            for_generator.step()
            discriminator.requires_grad_(True)
            return {"generator": doubted, "discriminator": judged}

        return step

    def _new_nets(self) -> Nets:
        return pictures.new_nets(lambda: Nets(self.channels, self.latent), self.context)

    def _ready(self, wanted: str) -> Nets:
        return training.after_fit(self, self._nets, wanted).eval()


def unlikeness(made: Tensor, real: Tensor, found: Tensor, wanted: Tensor, weight: float) -> Tensor:
    """Of each picture the absolute differences to the real one and, with `weight`, of their features, summed."""
    of_pictures, of_features = (made - real).abs().sum((1, 2, 3)), (found - wanted).abs().sum((1, 2, 3))
    return (1 - weight) * of_pictures + weight * of_features


def nearest(loss: Callable[[Tensor], Tensor], codes: Tensor, steps: int, lr: float) -> Tensor:
    """The codes after `steps` of Adam down their own losses; `loss` gives one for each code, whatever the others."""
    codes = codes.clone().requires_grad_()
    adam = torch.optim.Adam([codes], lr=lr)
    for _ in range(steps):
        (codes.grad,) = torch.autograd.grad(loss(codes).sum(), codes)
        adam.step()
    return codes.detach()
