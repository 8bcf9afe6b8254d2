"""GANomaly: an autoencoder whose output is encoded again.

Akcay, Atapour-Abarghouei, Breckon, "GANomaly: Semi-Supervised Anomaly Detection via Adversarial Training", ACCV 2018,
completed from the authors' published code.

An encoder turns a log-mel spectrogram of 128 × 128 into a code, a decoder rebuilds the spectrogram from it, and a
second encoder encodes the result. All three learn from normal clips to preserve the spectrogram, its code, and the
features that a discriminator of real and rebuilt spectrograms computes. A window is anomalous if its two codes differ:
the score is their mean squared difference.

Left open, and chosen here: the paper has images of 32 × 32 and not audio, so window, front end and scale are those of
AEGAN-AD, to allow a comparison, and a window starts every 8 frames. A clip's score is the mean or the largest over its
windows; the authors' code also rescales scores to [0, 1] by those of the other test clips, which is left out here. The
mean absolute difference of the spectrograms is a second score: it has the largest weight in training, but the paper
does not score by it. Nor does it compare the codes of clips, as `backends` do. A discriminator that makes no more
mistakes (a loss below 0.00001) is reset to its own initial weights, not to new random ones.

Published, harmonic mean of AUC source, AUC target and pAUC in per cent, DCASE 2022 development, in the table of Jiang
et al. 2023: bearing 55.40, fan 53.60, gearbox 53.44, slider 63.10, ToyCar 52.48.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from asd_ray._precision import full_float32
from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.nets import dcgan
from asd_ray.detectors.parts import pictures, training
from asd_ray.detectors.parts.backends import Backends, targets_of
from asd_ray.detectors.parts.classifier import backends_for
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, Windows, per_clip
from asd_ray.features._base import must_be

RESET_LOSS = 1e-5  # loss below which the discriminator is reset


class Generator(nn.Module):
    """Encoder, decoder, and the second encoder."""

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        self.encoder = dcgan.encoder(pictures.SIZE, channels, latent, norm="batch", first_norm=False)
        self.decoder = dcgan.decoder(pictures.SIZE, channels, latent, norm="batch")
        self.again = dcgan.encoder(pictures.SIZE, channels, latent, norm="batch", first_norm=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The rebuilt images, the codes of the input images, and the codes of the rebuilt ones."""
        code = self.encoder(images)
        rebuilt = self.decoder(code)
        return rebuilt.float(), code.float().flatten(1), self.again(rebuilt).float().flatten(1)


class Nets(nn.Module):
    """Generator and discriminator."""

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        self.generator = Generator(channels, latent)
        self.discriminator = pictures.Discriminator(channels)
        dcgan.initialise(self)


class Ganomaly:
    """An autoencoder that compares the codes of input and output; see the module for the method.

    A window starts every `hop` frames, in training and in scoring. `channels` is the width of the first convolution,
    the last has 16 times as many; `latent` is the length of a code. The training loss weighs by `w_adv` the squared
    difference of the discriminator's features, by `w_con` the absolute difference of the spectrograms, and by `w_enc`
    the squared difference of the codes. `backends` names backends, such as "pca,knn_dn", that compare the mean code of
    a clip with those of all training clips.

    Variants: `z_mean` and `z_max` over a clip's windows, the difference of codes as in the paper; `x_mean` and `x_max`,
    that of the spectrograms; and one for each of `backends`.
    """

    # a 10 s clip has 24 windows; each takes five passes of a stack as wide as that of AEGAN-AD with 64 channels
    RESOURCES: ClassVar[Resources] = Resources(cpu=1.0, gpu=0.5, suits_cpu=False)
    VERSION: ClassVar[int] = 1

    def __init__(
        self,
        context: Context,
        *,
        hop: int = 8,
        channels: int = 64,
        latent: int = 100,
        w_adv: float = 1.0,
        w_con: float = 50.0,
        w_enc: float = 1.0,
        lr: float = 2e-4,
        beta1: float = 0.5,
        backends: str = "",
        batch_size: int = 64,
        epochs: int = 15,
    ) -> None:
        self.context = context
        self.hop, self.channels, self.latent = hop, channels, latent
        self.w_adv, self.w_con, self.w_enc = w_adv, w_con, w_enc
        self.lr, self.beta1, self.batch_size, self.epochs = lr, beta1, batch_size, epochs
        for name in ("hop", "channels", "latent"):
            training.check_whole(self, name, 1)
        for name in ("w_adv", "w_con", "w_enc"):
            must_be(self, name, getattr(self, name) >= 0, "0 or more")
        must_be(self, "w_con", w_adv + w_con + w_enc > 0, "above 0 where w_adv and w_enc are 0")
        training.check_training_settings(self)
        training.check_fraction(self, "beta1")
        self.backends, self._by_name = backends, backends_for(backends, latent)
        self._generator: Generator | None = None
        self._scale = pictures.Scale()
        self._backends: Backends | None = None  # None: to be fitted to _training_data
        self._training_data: tuple[Tensor, Windows, Tensor] | None = None  # scaled frames, and which clips are target

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["aegan_ad"].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return training.too_few_windows(train, self.front_end, pictures.SIZE, self.hop)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        frames, windows = training.training_frames(self.front_end, train, pictures.SIZE, self.context, self.hop)
        self._scale, nets = pictures.Scale.fit(frames), self._new_nets()
        self._generator, self._backends = nets.generator, None
        starts, frames = training.window_starts(windows, frames.device), self._scale(frames)
        self._training_data = frames, windows, targets_of(train)
        image_at = training.images_of(frames, pictures.SIZE)
        step = self._step(nets, lambda at: image_at(starts[at]))
        for progress in training.run_epochs(
            [nets], step, len(windows), self.epochs, self.batch_size, self.context.generator()
        ):
            self._backends = None
            yield progress
        self._fitted_backends()
        self._training_data = None  # frees the frames

    def score(self, clips: ClipSet) -> Scores:
        generator = self._fitted_nets("score")
        frames, windows = training.frames_of(self.front_end, clips, pictures.SIZE, self.context, self.hop)
        frames = self._scale(frames)

        def differences(images: Tensor) -> Tensor:
            """[n, 2]: the differences of codes and of images."""
            rebuilt, code, code_of_rebuilt = generator(images)
            return torch.stack(
                [(code - code_of_rebuilt).square().mean(1), (rebuilt - images).abs().flatten(1).mean(1)], 1
            )

        with torch.inference_mode():
            by_window = pictures.measure_windows(differences, frames, windows).view(-1, 2)
        scores = {
            f"{name}_{how}": training.as_scores(per_clip(values.contiguous(), windows, how))
            for name, values in zip(("z", "x"), by_window.unbind(1), strict=True)
            for how in ("mean", "max")
        }
        if self._by_name:
            by_name = self._fitted_backends().score(self._codes(frames, windows), ["all"] * len(clips))
            scores |= {name: training.as_scores(values) for name, values in by_name.items()}
        return scores

    def embeddings(self, clips: ClipSet) -> Scores:
        """The mean code of each clip's windows."""
        self._fitted_nets("embeddings")
        frames, windows = training.frames_of(self.front_end, clips, pictures.SIZE, self.context, self.hop)
        return {"code": training.as_scores(self._codes(self._scale(frames), windows))}

    def state(self) -> State:
        generator = training.cpu_weights(self._fitted_nets("state"))
        banks = {"banks": self._fitted_backends().state()} if self._by_name else {}
        return {"generator": generator, "scale": asdict(self._scale), **banks}

    def load(self, state: State) -> None:
        generator = self._new_nets().generator
        generator.load_state_dict(state["generator"])
        self._generator, self._scale = generator, pictures.Scale(**state["scale"])
        self._backends, self._training_data = Backends(self._by_name, seed=self.context.seed), None
        self._backends.load(state.get("banks", {}))

    @full_float32()  # also in `fit`, because clips are compared with them
    @torch.inference_mode()
    def _codes(self, frames: Tensor, windows: Windows) -> Tensor:
        """[clips, latent]: the mean codes of scaled frames."""
        encoder = self._fitted_nets("score").encoder
        codes = pictures.measure_windows(lambda images: encoder(images).float().flatten(1), frames, windows)
        return per_clip(codes.view(-1, self.latent), windows, "mean")

    def _fitted_backends(self) -> Backends:
        """Backends fitted to the mean codes of all training clips, again if training has continued since."""
        if self._backends is None:
            backends = Backends(self._by_name, seed=self.context.seed)
            if self._by_name:
                assert self._training_data is not None
                frames, windows, target = self._training_data
                backends.fit(self._codes(frames, windows), ["all"] * len(target), target)
            self._backends = backends
        return self._backends

    def _step(self, nets: Nets, image_of: Callable[[Tensor], Tensor]) -> training.Step:
        """The generator is trained first, then the discriminator, on the same rebuilt images."""
        generator, discriminator = nets.generator, nets.discriminator
        now = list(discriminator.state_dict().values())  # these share its memory
        initial = [value.clone() for value in now]
        for_generator, for_discriminator = (
            pictures.new_adam(net.parameters(), self.lr, self.beta1) for net in (generator, discriminator)
        )

        def step(positions: Tensor) -> dict[str, Tensor]:
            real = image_of(positions).contiguous()
            discriminator.requires_grad_(False)  # its gradients are not needed for the generator's step
            with training.autocast(self.context):
                rebuilt, code, code_of_rebuilt = generator(real)
                real_features = discriminator.features(real).float()
                rebuilt_features = discriminator.features(rebuilt).float()
            adversarial = mse_loss(rebuilt_features, real_features)
            context = l1_loss(rebuilt, real)
            encoder = mse_loss(code_of_rebuilt, code)
            training.minimise(for_generator, self.w_adv * adversarial + self.w_con * context + self.w_enc * encoder)

            discriminator.requires_grad_(True)
            with training.autocast(self.context):
                discriminator_loss = pictures.discriminator_loss(discriminator(real), discriminator(rebuilt.detach()))
            training.minimise(for_discriminator, discriminator_loss)
            reset_where(discriminator_loss < RESET_LOSS, now, initial)
            return {
                "adversarial": adversarial,
                "context": context,
                "encoder": encoder,
                "discriminator": discriminator_loss,
            }

        return step

    def _new_nets(self) -> Nets:
        return pictures.new_nets(lambda: Nets(self.channels, self.latent), self.context)

    def _fitted_nets(self, method: str) -> Generator:
        return training.require_fitted(self, self._generator, method).eval()


@torch.no_grad()
def reset_where(condition: Tensor, now: Sequence[Tensor], initial: Sequence[Tensor]) -> None:
    """Give the tensors `now` their `initial` values if `condition`, one bool, holds.

    Nothing asks here what it is, because the answer of a GPU would be waited for in every step.
    """
    for value, first in zip(now, initial, strict=True):
        torch.where(condition, first, value, out=value)
