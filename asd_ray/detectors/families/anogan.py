"""AnoGAN: distance to the closest spectrogram that a GAN can generate.

Schlegl, Seeböck, Waldstein, Schmidt-Erfurth, Langs, "Unsupervised Anomaly Detection with Generative Adversarial
Networks to Guide Marker Discovery", IPMI 2017.

A generator learns to turn random codes into log-mel spectrograms of 128 × 128 that a discriminator cannot tell from
those of normal clips (DCGAN). To score a window, 500 steps of gradient descent search for the code whose spectrogram is
closest to it, both directly and in the features of the discriminator. The score is the remaining loss: 0.9 times the
sum of absolute differences of the spectrograms plus 0.1 times that of the features.

The paper's setting is written from memory: 500 steps, the weight 0.1 and 20 epochs. Left open, and chosen here: the
paper has images of 64 × 64 and not audio, so window, front end and scale are those of AEGAN-AD, to allow a comparison,
and generator and discriminator have one layer more. They are trained on windows that start every 8 frames, with the
batch size and Adam settings of GANomaly. Scored are windows side by side, with Adam at 0.01 and torch's other settings;
the rest of a clip after its last whole window is not used, 57 of 313 frames. The features are those before the verdict.
A search starts from the code of zeros, the mean of all codes, with batch normalisation in eval mode, so that a score
depends neither on chance nor on other clips. A clip's score is the mean or the largest over its windows.

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
from asd_ray.detectors.parts.transfer import to_device
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, per_clip
from asd_ray.features._base import must_be

SEARCH_BATCH = 128  # windows per search; it keeps the outputs of all layers for the gradients


class Nets(nn.Module):
    """Generator and discriminator."""

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        self.generator = dcgan.decoder(pictures.SIZE, channels, latent, norm="batch")
        self.discriminator = pictures.Discriminator(channels)
        dcgan.initialise(self)

    def generate(self, codes: Tensor) -> Tensor:
        """[n, latent] -> [n, 1, 128, 128]."""
        images: Tensor = self.generator(codes[:, :, None, None])
        return images.float()


class AnoGan:
    """A GAN of normal spectrograms and a search for the closest one; see the module for the method.

    A window starts every `hop` frames in training and every `score_hop` frames in scoring. `channels` is the number of
    channels of the largest images; towards the code they double to 16 times as many. `latent` is the length of a code.
    A search takes `steps` steps with learning rate `search_lr`; scoring time is proportional to `steps`. In the loss,
    the features have the weight `weight`, in [0, 1], and the spectrograms the rest.

    Variants: `loss_mean` and `loss_max` over a clip's windows.
    """

    # a search takes 500 forward and backward passes of both nets, for two windows of a 10 s clip
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
        training.check_training_settings(self)
        training.check_fraction(self, "beta1")
        self._nets: Nets | None = None
        self._scale = pictures.Scale()

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["aegan_ad"].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return training.too_few_windows(train, self.front_end, pictures.SIZE, self.hop)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        frames, windows = training.training_frames(self.front_end, train, pictures.SIZE, self.context, self.hop)
        self._scale, self._nets = pictures.Scale.fit(frames), self._new_nets()
        starts = training.window_starts(windows, frames.device)
        image_at = training.images_of(self._scale(frames), pictures.SIZE)
        generator = self.context.generator()
        step = self._step(self._nets, lambda at: image_at(starts[at]), generator)
        yield from training.run_epochs([self._nets], step, len(windows), self.epochs, self.batch_size, generator)

    def score(self, clips: ClipSet) -> Scores:
        nets = self._fitted_nets("score")
        frames, windows = training.frames_of(self.front_end, clips, pictures.SIZE, self.context, self.score_hop)

        def remaining_loss(images: Tensor) -> Tensor:
            with torch.no_grad():
                image_features = nets.discriminator.features(images)

            def loss(codes: Tensor) -> Tensor:
                generated = nets.generate(codes)
                return residual_losses(
                    generated, images, nets.discriminator.features(generated), image_features, self.weight
                )

            codes = closest_codes(loss, images.new_zeros((len(images), self.latent)), self.steps, self.search_lr)
            with torch.no_grad():
                return loss(codes)

        losses = pictures.measure_windows(remaining_loss, self._scale(frames), windows, SEARCH_BATCH)
        return {f"loss_{how}": training.as_scores(per_clip(losses, windows, how)) for how in ("mean", "max")}

    def state(self) -> State:
        return {"nets": training.cpu_weights(self._fitted_nets("state")), "scale": asdict(self._scale)}

    def load(self, state: State) -> None:
        nets = self._new_nets()
        nets.load_state_dict(state["nets"])
        self._nets, self._scale = nets, pictures.Scale(**state["scale"])

    def _step(self, nets: Nets, image_of: Callable[[Tensor], Tensor], generator: torch.Generator) -> training.Step:
        device, discriminator = self.context.device, nets.discriminator
        for_generator, for_discriminator = (
            pictures.new_adam(net.parameters(), self.lr, self.beta1) for net in (nets.generator, discriminator)
        )

        def step(positions: Tensor) -> dict[str, Tensor]:
            real = image_of(positions).contiguous()
            with training.autocast(self.context):
                codes = torch.randn((len(real), self.latent), generator=generator)
                generated = nets.generate(to_device(codes, device))
                discriminator_loss = pictures.discriminator_loss(discriminator(real), discriminator(generated.detach()))
            training.minimise(for_discriminator, discriminator_loss)

            discriminator.requires_grad_(False)  # its gradients are not needed for the generator's step
            with training.autocast(self.context):
                logits = discriminator(generated)
            generator_loss = cross_entropy(logits, torch.ones_like(logits))
            training.minimise(for_generator, generator_loss)
            discriminator.requires_grad_(True)
            return {"generator": generator_loss, "discriminator": discriminator_loss}

        return step

    def _new_nets(self) -> Nets:
        return pictures.new_nets(lambda: Nets(self.channels, self.latent), self.context)

    def _fitted_nets(self, method: str) -> Nets:
        return training.require_fitted(self, self._nets, method).eval()


def residual_losses(
    generated: Tensor, real: Tensor, generated_features: Tensor, real_features: Tensor, weight: float
) -> Tensor:
    """The loss of each generated image: summed absolute differences of images and, by `weight`, of features."""
    image_differences = (generated - real).abs().sum((1, 2, 3))
    feature_differences = (generated_features - real_features).abs().sum((1, 2, 3))
    return (1 - weight) * image_differences + weight * feature_differences


def closest_codes(loss: Callable[[Tensor], Tensor], codes: Tensor, steps: int, lr: float) -> Tensor:
    """The codes after `steps` of Adam. `loss` returns one value per code, independent of the other codes."""
    codes = codes.clone().requires_grad_()
    adam = torch.optim.Adam([codes], lr=lr)
    for _ in range(steps):
        (codes.grad,) = torch.autograd.grad(loss(codes).sum(), codes)
        adam.step()
    return codes.detach()
