"""AEGAN-AD: an autoencoder with a critic, and all of its nineteen scores.

Jiang, Zhang, Deng, Fan, Liu, "Unsupervised Anomaly Detection and Localization of Machine Audio: A GAN-Based Approach",
ICASSP 2023, completed from the authors' published code.

The generator is an autoencoder that learns to rebuild log-mel spectrograms of 128 × 128 from normal clips; a critic
learns to tell them from the rebuilt ones (WGAN-GP). The generator is not trained by the critic's verdict: besides the
squared error, it matches the mean (and the standard deviation) of the critic's features over a batch. A clip is
anomalous if it is rebuilt badly, as a spectrogram (`G_x_…`) or as its code (`G_z_…`), or if its critic features are far
from those of the training clips (`D_…`).

Left open, and chosen here: clips differ in length, so a `…_sum` is the mean over a clip's windows times the windows of
a clip of 10 s, which for a clip of 10 s is the sum. A set with fewer windows than a batch is one batch. The
spectrograms are rebuilt once per step for critic and generator together, where the authors' code does it twice. D_knn
is the mean of two distances, not their sum. If there are too few training clips to invert their covariance, D_maha
keeps its variances above a millionth of the largest. As in the authors' code, values of a test clip outside the range
of training are not clipped, an incomplete batch at the end of an epoch is skipped, and critic and decoder have all
their norms whatever `first_norm` is.

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

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, mse_loss

from asd_ray._precision import full_float32
from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.nets import dcgan
from asd_ray.detectors.parts import pictures, training
from asd_ray.detectors.parts.backends import Backend, Backends, Knn, Lof, Mahalanobis, MeanCosine, targets_of
from asd_ray.detectors.parts.classifier import backends_for
from asd_ray.detectors.parts.error_maps import ErrorMap, WindowSums
from asd_ray.detectors.parts.layer_statistics import layer_statistics
from asd_ray.detectors.parts.pictures import SIZE, WINDOWS
from asd_ray.detectors.parts.train_ids import check_train_ids, clips_of_ids, missing_ids, of_train_ids
from asd_ray.detectors.parts.transfer import to_device
from asd_ray.errors import AsdRayError
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, Windows, per_clip
from asd_ray.features._base import must_be

MATCHINGS = ("mean", "mean_std")
BACKENDS: dict[str, Backend] = {
    "D_maha": Mahalanobis(),
    "D_knn": Knn(k=2),
    "D_lof": Lof(k=4),
    "D_cos": MeanCosine(),
}
MEASURES = ("x_1", "x_2", "z_1", "z_2", "z_cos")  # per window; a clip's score is their sum, minimum or maximum


class Depthwise(nn.Module):
    """One 4×4 filter per channel that covers the whole 4×4 image; [n, channels, 4, 4] -> [n, channels].

    A grouped convolution gives the same result, but its second gradient is computed channel by channel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, dcgan.WAIST_SIZE, dcgan.WAIST_SIZE) * dcgan.INITIAL_DEVIATION)

    def forward(self, images: Tensor) -> Tensor:
        return (images * self.weight).sum((2, 3))


class Critic(nn.Module):
    """The trunk of an encoder, one 4×4 filter per channel that gives the features, and a verdict on the features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = width = dcgan.width(SIZE, channels)
        self.features = nn.Sequential(*dcgan.trunk(SIZE, channels), Depthwise(width))
        self.verdict = nn.Sequential(nn.LayerNorm(width), nn.LeakyReLU(dcgan.SLOPE), nn.Linear(width, 1))

    def forward(self, images: Tensor) -> Tensor:
        """One number per image, higher for real ones."""
        values: Tensor = self.verdict(self.features(images))
        return values.float().squeeze(1)


class Nets(nn.Module):
    """The generator, which consists of encoder and decoder, and the critic."""

    def __init__(self, channels: int, latent: int, norm: str, first_norm: bool) -> None:
        super().__init__()
        self.encoder = dcgan.encoder(SIZE, channels, latent, norm=norm, first_norm=first_norm)
        self.decoder = dcgan.decoder(SIZE, channels, latent, norm=norm)
        self.critic = Critic(channels)
        dcgan.initialise(self)

    def rebuild(self, images: Tensor) -> Tensor:
        """The images that the decoder makes of the encoder's codes."""
        rebuilt: Tensor = self.decoder(self.encoder(images))
        return rebuilt.float()


@dataclass(frozen=True)
class TrainingData:
    """All scaled frames of the training clips, their windows, and which clips are of the target domain."""

    frames: Tensor
    windows: Windows
    target: Tensor


class AeganAd:
    """An autoencoder with a critic; see the module for the method.

    A window starts every `hop` frames, in training and in scoring. `channels` is the width of the first convolution,
    the last has 16 times as many; `latent` is the length of a code. `norm` ("layer" or "batch") is that of the
    generator, and `first_norm` decides whether its first convolution has one. `penalty` is the weight of the gradient
    penalty, `eta` that of the `matching` of features: "mean", or "mean_std" for their standard deviations too.
    `backends` names further backends on a clip's mean features, such as "pca,knn_dn"; the paper has none of them.
    `train_ids` names the ids whose training clips it learns from, such as "00,01,02"; "" is all of them.

    Variants: `D_maha`, `D_knn`, `D_lof`, `D_cos` of a clip's mean features; `G_x_1` and `G_x_2` (absolute and squared
    error of a spectrogram), `G_z_1`, `G_z_2` and `G_z_cos` (the same of its code, and cosine distance), each as `_sum`,
    `_min` and `_max` over the clip's windows; and one for each of `backends`, under its own name.
    """

    # a 10 s clip has 186 windows; a CPU core trains on about seven per second
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
        backends: str = "",
        train_ids: str = "",
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
        training.check_training_settings(self)
        training.check_fraction(self, "beta1")
        self.backends, self.train_ids = backends, train_ids
        check_train_ids(self)
        self._all_backends = {**BACKENDS, **backends_for(backends, dcgan.width(SIZE, channels))}
        self._nets: Nets | None = None
        self._scale = pictures.Scale()
        self._mean_frame: Tensor | None = None  # of the scaled training frames
        self._backends: Backends | None = None  # None: to be fitted to _training_data
        self._training_data: TrainingData | None = None

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["aegan_ad"].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        if reason := missing_ids(train, self.train_ids):
            return reason
        enough = of_train_ids(train, self.train_ids).sum() > 1
        return "" if enough else "it compares clips and needs at least 2 to learn from; record more"

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        train = clips_of_ids(train, self.train_ids)
        if len(train) < 2:
            raise AsdRayError(f"AeganAd compares clips and needs at least 2 to learn from but got {len(train)}")
        frames, windows = training.frames_of(self.front_end, train, SIZE, self.context, self.hop)
        self._scale, generator = pictures.Scale.fit(frames), self.context.generator()
        frames = self._scale(frames)
        self._mean_frame = frames.mean(0)
        self._nets, self._backends = self._new_nets(), None
        self._training_data = TrainingData(frames, windows, targets_of(train))
        starts = training.window_starts(windows)
        count = len(windows) - len(windows) % min(self.batch_size, len(windows))  # windows that fill whole batches

        def draw() -> Tensor:
            """First frames of `count` random windows."""
            return starts[torch.randperm(len(starts), generator=generator)[:count]].to(frames.device)

        epoch_starts = draw()
        step = self._step(self._nets, training.images_of(frames, SIZE), epoch_starts, generator)
        for progress in training.run_epochs([self._nets], step, count, self.epochs, self.batch_size, generator):
            self._backends = None
            yield progress
            epoch_starts.copy_(draw())  # other windows in every epoch
        self._fitted_backends()
        self._training_data = None  # frees the frames

    def score(self, clips: ClipSet) -> Scores:
        nets, backends = self._fitted_nets("score"), self._fitted_backends()
        frames, windows = training.frames_of(self.front_end, clips, SIZE, self.context, self.hop)
        features, means, minima, maxima = clip_statistics(nets, self._scale(frames), windows)
        windows_of_10_s = (self.front_end.frames(10 * self.front_end.rate) - SIZE) // self.hop + 1
        distances = backends.score(features, ["all"] * len(features))
        scores = {name: training.as_scores(values) for name, values in distances.items()}
        for i, measure in enumerate(MEASURES):
            for how, values in (("sum", means * windows_of_10_s), ("min", minima), ("max", maxima)):
                scores[f"G_{measure}_{how}"] = training.as_scores(values[:, i])
        return scores

    def error_map(self, clips: ClipSet) -> list[ErrorMap]:
        """Localisation as in the authors' program: how far the rebuilt clip is from the mean training spectrogram.

        The rebuilt windows are averaged where they overlap, one window per frame whatever `hop` is. The result is the
        absolute difference to the mean of the training frames, as a fraction of the range of training (0 to 1). It is
        not the error of rebuilding: the generator removes noise from what it rebuilds, but keeps an anomaly that is
        strong. The authors subtract a mean spectrogram that changes over time, from clips of equal length; here each
        band has one mean, because clips start at any moment of the machine's cycle and differ in length.
        """
        self._fitted_nets("error_map")
        if self._mean_frame is None:
            raise AsdRayError(
                "error_map of AeganAd needs the mean training frame, but this state was made before states had it; "
                "train the detector again, or explain without its own map"
            )
        mean = self._mean_frame.double().cpu().numpy()
        return [np.abs(rebuilt - mean) / 2 for rebuilt in self._rebuilt(clips, "error_map")]

    def rebuilt(self, clips: ClipSet) -> list[ErrorMap]:
        """The clips as the generator rebuilds them, [frames, mels] each, in the decibels of `front_end`."""
        return [self._scale.undo(values) for values in self._rebuilt(clips, "rebuilt")]

    def embeddings(self, clips: ClipSet) -> Scores:
        """For each clip the mean over its windows of the critic's features, and of the `layer_statistics`.

        The layers are those of the generator that rebuilds the windows, unless it has batch norms, and those of the
        critic of the windows themselves. Windows overlap by half, whatever `hop` is.
        """
        nets = self._fitted_nets("embeddings")
        frames, windows = training.frames_of(self.front_end, clips, SIZE, self.context, SIZE // 2)
        image_at = training.images_of(self._scale(frames), SIZE)
        parts: dict[str, list[Tensor]] = {"features": [], "layer_statistics": []}
        with torch.inference_mode():
            for _, chunk in training.clip_chunks(windows, WINDOWS):
                images = image_at(training.window_starts(chunk, frames.device)).contiguous()
                statistics = layer_statistics(nets, lambda x: (nets.rebuild(x), nets.critic(x)), images)
                values = nets.critic.features(images), statistics
                for part, own in zip(parts.values(), values, strict=True):
                    part.append(per_clip(own, chunk, "mean"))
        return {name: training.as_scores(torch.cat(part)) for name, part in parts.items()}

    def state(self) -> State:
        nets = self._fitted_nets("state")
        mean_frame = {} if self._mean_frame is None else {"mean_frame": self._mean_frame.cpu().clone()}
        return {
            "nets": training.cpu_weights(nets),
            "banks": self._fitted_backends().state(),
            "scale": asdict(self._scale),
            **mean_frame,
        }

    def load(self, state: State) -> None:
        nets = self._new_nets()
        nets.load_state_dict(state["nets"])
        self._nets, self._training_data, self._backends = nets, None, Backends(self._all_backends)
        self._backends.load(state["banks"])
        self._scale = pictures.Scale(**state["scale"])
        mean_frame = state.get("mean_frame")  # not in the states of earlier versions, which score without it
        self._mean_frame = None if mean_frame is None else mean_frame.to(self.context.device)

    def _rebuilt(self, clips: ClipSet, method: str) -> list[ErrorMap]:
        """The rebuilt windows, scaled, averaged where they overlap: one window per frame whatever `hop` is."""
        nets = self._fitted_nets(method)
        frames, windows = training.frames_of(self.front_end, clips, SIZE, self.context)
        image_at = training.images_of(self._scale(frames), SIZE)
        sums = WindowSums(self.front_end, clips, SIZE, frames.device)
        with torch.inference_mode():
            for starts in torch.split(training.window_starts(windows, frames.device), WINDOWS):
                sums.add(starts, nets.rebuild(image_at(starts).contiguous())[:, 0].transpose(1, 2))
        return sums.averages()

    def _step(
        self, nets: Nets, image_at: Callable[[Tensor], Tensor], epoch_starts: Tensor, generator: torch.Generator
    ) -> training.Step:
        device, critic = epoch_starts.device, nets.critic
        generator_weights = [*nets.encoder.parameters(), *nets.decoder.parameters()]
        for_critic = pictures.new_adam(critic.parameters(), self.lr, self.beta1)
        for_generator = pictures.new_adam(generator_weights, self.lr, self.beta1)

        def step(positions: Tensor) -> dict[str, Tensor]:
            real = image_at(epoch_starts[positions]).contiguous()
            with training.autocast(self.context):
                rebuilt = nets.rebuild(real)
            fake = rebuilt.detach()
            fractions = to_device(torch.rand((len(real), 1, 1, 1), generator=generator), device)
            penalty = gradient_penalty(critic, real, fake, fractions)  # a gradient of gradients: not in bfloat16
            with training.autocast(self.context):
                real_scores, fake_scores = critic(torch.cat([real, fake])).chunk(2)
            critic_loss = fake_scores.mean() - real_scores.mean() + self.penalty * penalty
            training.minimise(for_critic, critic_loss)

            critic.requires_grad_(False)  # its gradients are not needed for the generator's step
            with training.autocast(self.context):
                real_features, rebuilt_features = critic.features(real).float(), critic.features(rebuilt).float()
            error, matching = mse_loss(rebuilt, real), matching_loss(rebuilt_features, real_features, self.matching)
            training.minimise(for_generator, error + self.eta * matching)
            critic.requires_grad_(True)
            return {"reconstruction": error, "matching": matching, "critic": critic_loss, "penalty": penalty}

        return step

    def _new_nets(self) -> Nets:
        return pictures.new_nets(lambda: Nets(self.channels, self.latent, self.norm, self.first_norm), self.context)

    def _fitted_nets(self, method: str) -> Nets:
        return training.require_fitted(self, self._nets, method).eval()

    def _fitted_backends(self) -> Backends:
        """Backends fitted to the mean features of all training clips, again if training has continued since."""
        if self._backends is None:
            assert self._training_data is not None
            critic, data = self._fitted_nets("score").critic, self._training_data
            features = data.frames.new_empty((len(data.windows.counts), critic.width))
            image_at = training.images_of(data.frames, SIZE)
            with torch.inference_mode(), full_float32():  # also in `fit`, because clips are compared with them
                for chunk, chunk_windows in training.clip_chunks(data.windows, WINDOWS):
                    window_features = critic.features(
                        image_at(training.window_starts(chunk_windows, self.context.device))
                    )
                    features[chunk] = per_clip(window_features, chunk_windows, "mean")
            self._backends = Backends(self._all_backends, seed=self.context.seed)
            self._backends.fit(features, ["all"] * len(features), data.target)
        return self._backends


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, fractions: Tensor) -> Tensor:
    """Mean of (|gradient| - 1)² of the critic, at a random point between each real image and a fake one."""
    between = (fractions * real + (1 - fractions) * fake).requires_grad_()
    (gradients,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    difference: Tensor = gradients.flatten(1).norm(dim=1) - 1
    return difference.square().mean()


def matching_loss(rebuilt_features: Tensor, real_features: Tensor, matching: str) -> Tensor:
    """Squared error between the batch means of the features, and with "mean_std" also between their deviations."""
    loss = mse_loss(rebuilt_features.mean(0), real_features.mean(0))
    if matching == "mean_std":
        loss = loss + mse_loss(rebuilt_features.std(0, correction=0), real_features.std(0, correction=0))
    return loss


@torch.inference_mode()
def clip_statistics(nets: Nets, frames: Tensor, windows: Windows) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For each clip its mean features, and mean, minimum and maximum of the MEASURES, [clips, 5] each."""
    clips, image_at = len(windows.counts), training.images_of(frames, SIZE)
    features = frames.new_empty((clips, nets.critic.width))
    means, minima, maxima = (frames.new_empty((clips, len(MEASURES))) for _ in range(3))
    for chunk, chunk_windows in training.clip_chunks(windows, WINDOWS):
        images = image_at(training.window_starts(chunk_windows, frames.device)).contiguous()
        features[chunk] = per_clip(nets.critic.features(images), chunk_windows, "mean")
        values = window_measures(nets, images)
        for statistic, how in ((means, "mean"), (minima, "min"), (maxima, "max")):
            statistic[chunk] = per_clip(values, chunk_windows, how)
    return features, means, minima, maxima


def window_measures(nets: Nets, images: Tensor) -> Tensor:
    """[n, 5]: the MEASURES of each window, summed over its pixels or over the length of its code."""
    code = nets.encoder(images)
    rebuilt = nets.decoder(code)
    code_of_rebuilt = nets.encoder(rebuilt)
    image_errors, code_errors = (rebuilt - images).flatten(1), (code_of_rebuilt - code).flatten(1)
    similarity = cosine_similarity(code.flatten(1), code_of_rebuilt.flatten(1))
    sums = [value for error in (image_errors, code_errors) for value in (error.abs().sum(1), error.square().sum(1))]
    return torch.stack([*sums, 1 - similarity], 1)
