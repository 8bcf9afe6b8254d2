"""An autoencoder whose output is encoded again: GANomaly.

Akcay, Atapour-Abarghouei, Breckon, "GANomaly: Semi-Supervised Anomaly Detection via Adversarial Training", ACCV 2018,
completed from the authors' published code.

An encoder makes a code of a log-mel picture of 128 × 128, a decoder rebuilds the picture from it, and a second encoder
makes a code of what was rebuilt. All three learn from normal clips to keep the picture, its code, and the features that
a discriminator of real and rebuilt pictures finds in it. Anomalous is a window whose two codes differ: its score is
their mean squared difference.

Left open, and chosen here: the paper has images of 32 × 32 and not audio, so that window, front end and scale are
those of AEGAN-AD, to be compared with it, and a window starts every 8 frames. A score is the mean or the largest over
a clip's windows, and is not brought to [0, 1] by those of other test clips, as the authors' code does. Beside it
stands the mean absolute difference of the pictures, which training weighs most and the paper does not score by. A
discriminator that makes no mistakes any more (a loss below 0.00001) begins again with the weights that it had at
first, not with new random ones.

Published, harmonic mean of AUC source, AUC target and pAUC in per cent, DCASE 2022 development, in the table of Jiang
et al. 2023: bearing 55.40, fan 53.60, gearbox 53.44, slider 63.10, ToyCar 52.48.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.nets import dcgan
from asd_ray.detectors.parts import pictures, training
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, per_clip
from asd_ray.features._base import must_be

LEAST = 1e-5  # loss of the discriminator below which it begins again


class Generator(nn.Module):
    """Encoder, decoder, encoder."""

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        self.encoder = dcgan.encoder(pictures.SIZE, channels, latent, norm="batch", first_norm=False)
        self.decoder = dcgan.decoder(pictures.SIZE, channels, latent, norm="batch")
        self.again = dcgan.encoder(pictures.SIZE, channels, latent, norm="batch", first_norm=False)

    def forward(self, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The rebuilt pictures, and the codes of the given and of the rebuilt ones."""
        code = self.encoder(real)
        made = self.decoder(code)
        return made.float(), code.float().flatten(1), self.again(made).float().flatten(1)


class Nets(nn.Module):
    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        self.generator = Generator(channels, latent)
        self.discriminator = pictures.Discriminator(channels)
        dcgan.initialise(self)


class Ganomaly:
    """A detector; see the module for the method.

    A window starts every `hop` frames, in training and in scoring. `channels` is the width of the first convolution,
    which doubles to 16 times that, and `latent` the length of a picture's code. `w_adv`, `w_con` and `w_enc` weigh the
    squared difference of the discriminator's features, the absolute one of the pictures and the squared one of the
    codes.

    Variants: `z_mean` and `z_max` over a clip's windows, the paper's score; and `x_mean` and `x_max`.
    """

    # a 10 s clip has 24 windows, each of which goes five times through a stack as wide as AEGAN-AD's is at 64
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
        training.check_recipe(self)
        training.check_fraction(self, "beta1")
        self._generator: Generator | None = None
        self._scale = pictures.Scale()

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["aegan_ad"].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return training.too_few(train, self.front_end, pictures.SIZE, self.hop)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        frames, windows = training.frames_to_learn(self.front_end, train, pictures.SIZE, self.context, self.hop)
        self._scale, nets = pictures.Scale.of(frames), self._new_nets()
        self._generator = nets.generator
        starts = training.starts_of(windows, frames.device)
        picture = training.pictures_of(self._scale(frames), pictures.SIZE)
        step = self._step(nets, lambda at: picture(starts[at]))
        yield from training.run_epochs(
            [nets], step, len(windows), self.epochs, self.batch_size, self.context.generator()
        )

    def score(self, clips: ClipSet) -> Scores:
        generator = self._ready("score")
        frames, windows = training.frames_of(self.front_end, clips, pictures.SIZE, self.context, self.hop)

        def unlike(real: Tensor) -> Tensor:
            """[n, 2]: of codes and of pictures."""
            made, code, code_made = generator(real)
            return torch.stack([(code - code_made).square().mean(1), (made - real).abs().flatten(1).mean(1)], 1)

        with torch.inference_mode():
            found = pictures.of_windows(unlike, self._scale(frames), windows).view(-1, 2)
        return {
            f"{name}_{how}": training.as_scores(per_clip(values.contiguous(), windows, how))
            for name, values in zip(("z", "x"), found.unbind(1), strict=True)
            for how in ("mean", "max")
        }

    def state(self) -> State:
        return {"generator": training.plain(self._ready("state")), "scale": asdict(self._scale)}

    def load(self, state: State) -> None:
        generator = self._new_nets().generator
        generator.load_state_dict(state["generator"])
        self._generator, self._scale = generator, pictures.Scale(**state["scale"])

    def _step(self, nets: Nets, picture: Callable[[Tensor], Tensor]) -> training.Step:
        """The generator learns first, then the discriminator, from the same rebuilt pictures."""
        generator, discriminator = nets.generator, nets.discriminator
        device, first = self.context.device, copy.deepcopy(discriminator.state_dict())
        for_generator, for_discriminator = (
            torch.optim.Adam(net.parameters(), lr=self.lr, betas=(self.beta1, 0.999), fused=True)
            for net in (generator, discriminator)
        )

        def step(at: Tensor) -> dict[str, Tensor]:
            real = picture(at).contiguous()
            discriminator.requires_grad_(False)  # its gradients are not wanted now
            with training.autocast(device):
                made, code, code_made = generator(real)
                wanted, found = discriminator.features(real).float(), discriminator.features(made).float()
            adversarial, context, encoder = mse_loss(found, wanted), l1_loss(made, real), mse_loss(code_made, code)
            for_generator.zero_grad()
            (self.w_adv * adversarial + self.w_con * context + self.w_enc * encoder).backward()  # type: ignore[no-untyped-call]
            for_generator.step()

            discriminator.requires_grad_(True)
            with training.autocast(device):
                judged = pictures.mistaken(discriminator(real), discriminator(made.detach()))
            for_discriminator.zero_grad()
            judged.backward()  # type: ignore[no-untyped-call]
            for_discriminator.step()
            if float(judged.detach()) < LEAST:
                discriminator.load_state_dict(first)
            return {"adversarial": adversarial, "context": context, "encoder": encoder, "discriminator": judged}

        return step

    def _new_nets(self) -> Nets:
        return pictures.new_nets(lambda: Nets(self.channels, self.latent), self.context)

    def _ready(self, wanted: str) -> Generator:
        return training.after_fit(self, self._generator, wanted).eval()
