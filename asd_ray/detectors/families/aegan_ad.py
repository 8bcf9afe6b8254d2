"""An autoencoder and its critic: AEGAN-AD, with all nineteen of its scores.

Jiang, Zhang, Deng, Fan, Liu, "Unsupervised Anomaly Detection and Localization of Machine Audio: A GAN-Based Approach",
ICASSP 2023, completed from the authors' published code.

The generator is an autoencoder that learns to rebuild log-mel pictures of 128 × 128 from normal clips; a critic learns
to tell them from the rebuilt ones (WGAN-GP). The generator never hears the critic's verdict: besides the squared error
it is made to match the mean (and the deviation) over a batch of the critic's features. Anomalous is what is rebuilt
badly, as a picture (`G_x_…`) or as its code (`G_z_…`), or whose critic's features lie far from those of the training
clips (`D_…`).

Left open, and chosen here: clips differ in length, so a `…_sum` is the mean over a clip's windows times the windows of
a clip of 10 s, which for such a clip is the sum. As in the authors' code, what a test clip has beyond the least and the
largest value of training is not cut off, an incomplete batch at the end of an epoch is left out, and the critic and
the decoder have all their norms whatever `first_norm` says. A set with fewer windows than a batch is one batch. The
pictures are rebuilt once a step for critic and generator alike, where the authors' code does it twice. D_knn is the
mean, not the sum, of two distances; with too few training clips for their covariance to have an inverse, D_maha holds
its variances above a millionth of the largest.

Published, harmonic mean of AUC source, AUC target and pAUC in per cent, DCASE 2022 development: bearing 76.03
(G_z_1_sum), fan 65.83 (G_z_cos_min), gearbox 75.27 (G_z_cos_min), slider 74.06 (D_lof), ToyCar 78.46 (G_z_1_sum), where
score, epoch, norm, training set and beta1 were all chosen on the test labels. All five had matching "mean" and norm
"layer", but gearbox "mean_std" and "batch"; bearing, fan and ToyCar first_norm False; ToyCar beta1 0. Mean of AUC and
pAUC, DCASE 2020 development: fan 77.01, pump 81.26, slider 86.50, ToyCar 86.62, ToyConveyor 73.27, valve 77.60 (eta 1,
but 0.05 for ToyConveyor and valve).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, mse_loss

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.nets import dcgan
from asd_ray.detectors.parts import pictures, training
from asd_ray.detectors.parts.backends import Backend, Backends, Knn, Lof, Mahalanobis, MeanCosine, targets_of
from asd_ray.detectors.parts.pictures import SIZE, WINDOWS
from asd_ray.errors import AsdRayError
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, Windows, per_clip
from asd_ray.features._base import must_be

MATCHINGS = ("mean", "mean_std")
BANKS: dict[str, Backend] = {
    "D_maha": Mahalanobis(),
    "D_knn": Knn(k=2),
    "D_lof": Lof(k=4),
    "D_cos": MeanCosine(),
}
MEASURES = ("x_1", "x_2", "z_1", "z_2", "z_cos")  # what the generator's scores are sums, minima and maxima of


class Depthwise(nn.Module):
    """One 4×4 filter a channel, which covers the whole of a 4×4 picture; [n, channels, 4, 4] -> [n, channels].

    A grouped convolution does the same, but the second gradient of one is taken channel by channel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, dcgan.WAIST, dcgan.WAIST) * dcgan.SPREAD)

    def forward(self, pictures: Tensor) -> Tensor:
        return (pictures * self.weight).sum((2, 3))


class Critic(nn.Module):
    """The trunk of an encoder; one 4×4 filter a channel, whose outputs are the features; and a verdict on these."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = width = dcgan.width(SIZE, channels)
        self.features = nn.Sequential(*dcgan.trunk(SIZE, channels), Depthwise(width))
        self.verdict = nn.Sequential(nn.LayerNorm(width), nn.LeakyReLU(dcgan.SLOPE), nn.Linear(width, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """One number a picture, higher for real ones."""
        values: Tensor = self.verdict(self.features(pictures))
        return values.float().squeeze(1)


class Nets(nn.Module):
    """The generator, which is an encoder and a decoder, and the critic."""

    def __init__(self, channels: int, latent: int, norm: str, first_norm: bool) -> None:
        super().__init__()
        self.encoder = dcgan.encoder(SIZE, channels, latent, norm=norm, first_norm=first_norm)
        self.decoder = dcgan.decoder(SIZE, channels, latent, norm=norm)
        self.critic = Critic(channels)
        dcgan.initialise(self)

    def rebuilt(self, pictures: Tensor) -> Tensor:
        made: Tensor = self.decoder(self.encoder(pictures))
        return made.float()


@dataclass(frozen=True)
class Learned:
    """What was learned from: all frames, scaled, their windows, and which clips are of the target domain."""

    frames: Tensor
    windows: Windows
    target: Tensor


class AeganAd:
    """A detector; see the module for the method.

    A window starts every `hop` frames, in training and in scoring. `channels` is the width of the first convolution,
    which doubles to 16 times that, and `latent` the length of a picture's code. `norm` ("layer" or "batch") is that of
    the generator, and `first_norm` whether its first convolution has one. `penalty` weighs the gradient penalty, `eta`
    the `matching` of features: "mean", or "mean_std" for their standard deviations too.

    Variants: `D_maha`, `D_knn`, `D_lof`, `D_cos` of a clip's mean features; `G_x_1` and `G_x_2` (absolute and squared
    error of a picture), `G_z_1`, `G_z_2` and `G_z_cos` (the same of its code, and cosine distance), each as `_sum`,
    `_min` and `_max` over the clip's windows.
    """

    # a 10 s clip has 186 windows, of which a CPU core learns from some seven a second
    RESOURCES: ClassVar[Resources] = Resources(cpu=1.0, gpu=0.5, suits_cpu=False)
    VERSION: ClassVar[int] = 1

    def __init__(
        self,
        context: Context,
        *,
        hop: int = 1,
        channels: int = 32,
        latent: int = 256,
        norm: str = "layer",
        first_norm: bool = True,
        matching: str = "mean",
        eta: float = 0.1,
        penalty: float = 10.0,
        lr: float = 2e-4,
        beta1: float = 0.5,
        batch_size: int = 512,
        epochs: int = 60,
    ) -> None:
        self.context = context
        self.hop, self.channels, self.latent = hop, channels, latent
        self.norm, self.first_norm = norm, first_norm
        self.matching, self.eta, self.penalty = matching, eta, penalty
        self.lr, self.beta1, self.batch_size, self.epochs = lr, beta1, batch_size, epochs
        for name in ("hop", "channels", "latent"):
            training.check_whole(self, name, 1)
        must_be(self, "norm", norm in dcgan.NORMS, f"one of {', '.join(dcgan.NORMS)}")
        must_be(self, "first_norm", type(first_norm) is bool, "True or False")
        must_be(self, "matching", matching in MATCHINGS, f"one of {', '.join(MATCHINGS)}")
        must_be(self, "eta", eta >= 0, "0 or more")
        must_be(self, "penalty", penalty >= 0, "0 or more")
        training.check_recipe(self)
        training.check_fraction(self, "beta1")
        self._nets: Nets | None = None
        self._scale = pictures.Scale()
        self._banks: Backends | None = None  # None: to be made from _learned
        self._learned: Learned | None = None

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["aegan_ad"].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return "" if len(train) > 1 else "it compares clips and needs 2 or more to learn from; record more"

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        if len(train) < 2:
            raise AsdRayError(f"AeganAd compares clips and needs 2 or more to learn from but got {len(train)}")
        frames, windows = training.frames_of(self.front_end, train, SIZE, self.context, self.hop)
        self._scale, generator = pictures.Scale.of(frames), self.context.generator()
        frames = self._scale(frames)
        self._nets, self._banks, self._learned = self._new_nets(), None, Learned(frames, windows, targets_of(train))
        starts, whole = training.starts_of(windows), len(windows) - len(windows) % min(self.batch_size, len(windows))

        def drawn() -> Tensor:
            """First frames of as many windows as fill whole batches, others in every epoch."""
            return starts[torch.randperm(len(starts), generator=generator)[:whole]].to(frames.device)

        heard = drawn()
        step = self._step(self._nets, training.pictures_of(frames, SIZE), heard, generator)
        for progress in training.run_epochs([self._nets], step, whole, self.epochs, self.batch_size, generator):
            self._banks = None
            yield progress
            heard.copy_(drawn())
        self._learned_banks()
        self._learned = None  # gives the frames back

    def score(self, clips: ClipSet) -> Scores:
        nets, banks = self._ready("score"), self._learned_banks()
        frames, windows = training.frames_of(self.front_end, clips, SIZE, self.context, self.hop)
        features, means, least, most = over_windows(nets, self._scale(frames), windows)
        of_ten_seconds = (self.front_end.frames(10 * self.front_end.rate) - SIZE) // self.hop + 1
        found = banks.score(features, ["all"] * len(features))
        scores = {name: training.as_scores(values) for name, values in found.items()}
        for i, measure in enumerate(MEASURES):
            for how, values in (("sum", means * of_ten_seconds), ("min", least), ("max", most)):
                scores[f"G_{measure}_{how}"] = training.as_scores(values[:, i])
        return scores

    def state(self) -> State:
        nets = self._ready("state")
        return {
            "nets": training.plain(nets),
            "banks": self._learned_banks().state(),
            "scale": asdict(self._scale),
        }

    def load(self, state: State) -> None:
        nets = self._new_nets()
        nets.load_state_dict(state["nets"])
        self._nets, self._learned, self._banks = nets, None, Backends(BANKS)
        self._banks.load(state["banks"])
        self._scale = pictures.Scale(**state["scale"])

    def _step(
        self, nets: Nets, picture: Callable[[Tensor], Tensor], heard: Tensor, generator: torch.Generator
    ) -> training.Step:
        device, critic = heard.device, nets.critic
        own = [*nets.encoder.parameters(), *nets.decoder.parameters()]
        for_critic, for_generator = (
            torch.optim.Adam(list(weights), lr=self.lr, betas=(self.beta1, 0.999), fused=True)
            for weights in (critic.parameters(), own)
        )

        def step(at: Tensor) -> dict[str, Tensor]:
            real = picture(heard[at]).contiguous()
            with training.autocast(device):
                made = nets.rebuilt(real)
            fake, shares = made.detach(), torch.rand((len(real), 1, 1, 1), generator=generator).to(device)
            slopes = gradient_penalty(critic, real, fake, shares)  # a gradient of gradients: not in bfloat16
            with training.autocast(device):
                of_real, of_fake = critic(torch.cat([real, fake])).chunk(2)
            judged = of_fake.mean() - of_real.mean() + self.penalty * slopes
            for_critic.zero_grad()
            judged.backward()
            for_critic.step()

            critic.requires_grad_(False)  # its gradients are not wanted now
            with training.autocast(device):
                wanted, found = critic.features(real).float(), critic.features(made).float()
            error, unlike = mse_loss(made, real), unlikeness(found, wanted, self.matching)
            for_generator.zero_grad()
            (error + self.eta * unlike).backward()  # type: ignore[no-untyped-call]
            for_generator.step()
            critic.requires_grad_(True)
            return {"reconstruction": error, "matching": unlike, "critic": judged, "penalty": slopes}

        return step

    def _new_nets(self) -> Nets:
        return pictures.new_nets(lambda: Nets(self.channels, self.latent, self.norm, self.first_norm), self.context)

    def _ready(self, wanted: str) -> Nets:
        return training.after_fit(self, self._nets, wanted).eval()

    def _learned_banks(self) -> Backends:
        """Of the mean features of all training clips in one, learned again when training has moved on since."""
        if self._banks is None:
            assert self._learned is not None
            critic, learned = self._ready("score").critic, self._learned
            found = learned.frames.new_empty((len(learned.windows.counts), critic.width))
            picture = training.pictures_of(learned.frames, SIZE)
            with torch.inference_mode():
                for part, inside in training.by_clips(learned.windows, WINDOWS):
                    features = critic.features(picture(training.starts_of(inside, self.context.device)))
                    found[part] = per_clip(features, inside, "mean")
            self._banks = Backends(BANKS, seed=self.context.seed)
            self._banks.fit(found, ["all"] * len(found), learned.target)
        return self._banks


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, shares: Tensor) -> Tensor:
    """How far from 1 the critic's slope is between each real picture and a fake one: mean of (|slope| - 1)²."""
    between = (shares * real + (1 - shares) * fake).requires_grad_()
    (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    missed: Tensor = slopes.flatten(1).norm(dim=1) - 1
    return missed.square().mean()


def unlikeness(found: Tensor, wanted: Tensor, matching: str) -> Tensor:
    """How badly the statistics over a batch of features match: squared error of their means, and deviations."""
    unlike = mse_loss(found.mean(0), wanted.mean(0))
    if matching == "mean_std":
        unlike = unlike + mse_loss(found.std(0, correction=0), wanted.std(0, correction=0))
    return unlike


@torch.inference_mode()
def over_windows(nets: Nets, frames: Tensor, windows: Windows) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of each clip its mean features, and mean, minimum and maximum of the MEASURES, [clips, 5] each."""
    clips, picture = len(windows.counts), training.pictures_of(frames, SIZE)
    features = frames.new_empty((clips, nets.critic.width))
    means, least, most = (frames.new_empty((clips, len(MEASURES))) for _ in range(3))
    for part, inside in training.by_clips(windows, WINDOWS):
        real = picture(training.starts_of(inside, frames.device)).contiguous()
        features[part] = per_clip(nets.critic.features(real), inside, "mean")
        measured = measures(nets, real)
        for values, how in ((means, "mean"), (least, "min"), (most, "max")):
            values[part] = per_clip(measured, inside, how)
    return features, means, least, most


def measures(nets: Nets, real: Tensor) -> Tensor:
    """[n, 5]: the MEASURES of each window, summed over its pixels or over the length of its code."""
    code = nets.encoder(real)
    made = nets.decoder(code)
    code_made = nets.encoder(made)
    of_pixels, of_code = (made - real).flatten(1), (code_made - code).flatten(1)
    likeness = cosine_similarity(code.flatten(1), code_made.flatten(1))
    sums = [each for error in (of_pixels, of_code) for each in (error.abs().sum(1), error.square().sum(1))]
    return torch.stack([*sums, 1 - likeness], 1)
