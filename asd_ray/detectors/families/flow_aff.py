"""Normalising flows that make a machine's own id more likely than its other ids: Glow_Aff, and MAF with the same loss.

Dohi, Endo, Purohit, Tanabe, Kawaguchi, "Flow-based Self-supervised Density Estimation for Anomalous Sound Detection",
ICASSP 2021 (arXiv 2103.08801). MAF by the recipe of Primus, Zwifl, Widmer, "CP-JKU Submission to DCASE'21", DCASE 2021.

One flow for all ids of a machine learns the density of normal log-mel windows, given the id. Besides the likelihood
under the own id, training makes the same sound less likely under the other ids. A clip's score is the mean over its
windows of the negative log density per dimension, in nats.

This follows the paper's abstract and introduction: no more of its settings was known. The paper describes one model per
target id to which the other ids are outliers; here, as in CP-JKU's, one flow gets the id as input.

Left open, and chosen here: the affinity loss is that of CP-JKU's proxy outliers, max(0, aff_margin - (log p(x | own id)
- log p(x | another id, drawn at random)) / dimensions), times `aff_weight`, with the margin and weight of the example
in their README; both terms are of the same window, where they take two. MAF gets the id in its hidden layers. Glow gets
it in its base distribution, a mean and a deviation for each id, channel and row, so that the densities under all ids
cost one pass. The front end is CP-JKU's, standardised by mean and deviation of each mel bin. As in their training, an
epoch uses as many windows of a clip as fit side by side, at random positions. All vectors of a clip are scored by MAF,
images at half overlap by Glow. The learning rate falls to a tenth between 0.3 and 0.9 of the epochs (theirs from epoch
30 to 90 of 100, to 1e-5, which their code applies as a factor); weight decay is 1e-5. They have 4 blocks of 2048 hidden
units; 512 here cost less. The sizes of Glow are unknown and chosen to be small.

Published, AUC (pAUC) in per cent, DCASE 2020 development, Glow_Aff in the table of Liu et al. 2022: fan 74.90 (65.30),
pump 83.40 (73.80), slider 94.60 (82.80), valve 91.40 (75.00), ToyCar 92.20 (84.10), ToyConveyor 71.50 (59.00), average
85.20 (73.90). The abstract's gain in AUC over the plain flow: 4.6 points for MAF, 5.8 for Glow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.nets.dense import flatten_parameters
from asd_ray.detectors.nets.glow import Glow
from asd_ray.detectors.nets.maf import MAF
from asd_ray.detectors.parts import training
from asd_ray.detectors.parts.classes import Classes
from asd_ray.detectors.parts.random_windows import RandomWindows
from asd_ray.detectors.parts.transfer import to_device
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, per_clip
from asd_ray.features._base import must_be

WEIGHT_DECAY = 1e-5
MIN_DEVIATION = 0.1  # dB: keeps a bin finite that never changes in training but does so later
INITIAL_IMAGES = 512  # images that set Glow's activation normalisation
MAX_NLL = 1e36  # values of unusual sound grow from block to block, but a score must not become infinite
MAX_WINDOWS = 4096, 256  # vectors and images per forward pass without gradients: about 10 MB per layer


class FlowAff:
    """A normalising flow with an affinity loss; see the module for the method.

    `flow` is "maf", on vectors of `frames` frames in `blocks` blocks of `hidden` units, or "glow", on images of
    `glow_frames` frames through `glow_levels` levels of `glow_steps` steps, whose nets have `glow_width` channels.
    `loss` is "affinity", or "plain" for the likelihood alone. For a machine with one id both are the same.

    Variants: `nll` under the clip's own id, and `nll_ratio`, `nll` minus the lowest under another id; for a machine
    with one id that is `nll` again. A clip of an id that was not in training gets the id under which it is most likely.
    """

    # 20 epochs of 1,000 clips of 10 s take half an hour on one core
    RESOURCES: ClassVar[Resources] = Resources(cpu=1.0, gpu=0.25, suits_cpu=False)
    VERSION: ClassVar[int] = 1

    def __init__(
        self,
        context: Context,
        *,
        flow: str = "maf",
        loss: str = "affinity",
        aff_weight: float = 1.0,
        aff_margin: float = 0.5,
        frames: int = 5,
        hidden: int = 512,
        blocks: int = 4,
        glow_frames: int = 32,
        glow_width: int = 32,
        glow_steps: int = 4,
        glow_levels: int = 3,
        lr: float = 1e-4,
        batch_size: int = 512,
        epochs: int = 100,
    ) -> None:
        self.context = context
        self.flow, self.loss, self.aff_weight, self.aff_margin = flow, loss, aff_weight, aff_margin
        self.frames, self.hidden, self.blocks = frames, hidden, blocks
        self.glow_frames, self.glow_width = glow_frames, glow_width
        self.glow_steps, self.glow_levels = glow_steps, glow_levels
        self.lr, self.batch_size, self.epochs = lr, batch_size, epochs
        must_be(self, "flow", flow in ("maf", "glow"), "'maf' or 'glow'")
        must_be(self, "loss", loss in ("affinity", "plain"), "'affinity' or 'plain'")
        must_be(self, "aff_weight", aff_weight >= 0, "0 or more")
        must_be(self, "aff_margin", aff_margin > 0, "above 0")
        for name in ("frames", "hidden", "blocks", "glow_frames", "glow_width", "glow_steps", "glow_levels"):
            training.check_whole(self, name, 1)
        whole = 2**glow_levels
        must_be(self, "glow_levels", self.front_end.shape[0] % whole == 0, "7 or less")
        must_be(self, "glow_frames", glow_frames % whole == 0, f"a multiple of 2^glow_levels, {whole},")
        training.check_training_settings(self)
        self._fitted: _FittedFlow | None = None

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["cp_jku"].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        hop = self._size  # RandomWindows draws as many as fit side by side
        return training.too_few_windows(train, self.front_end, self._size, hop)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        frames, windows = training.training_frames(self.front_end, train, self._size, self.context)
        deviation, mean = torch.std_mean(frames, 0, correction=0)
        ids = Classes.from_clips(_by_id(train.frame), at_least=1)
        net = training.build_with_seed(lambda: self._new_net(len(ids)), self.context)
        self._fitted = fitted = _FittedFlow(net, mean, deviation.clamp_min(MIN_DEVIATION), ids)
        generator = self.context.generator()
        inputs_at = self._inputs_at(fitted.standardised(frames))
        random_windows = RandomWindows(windows, ids.labels(_by_id(train.frame)), frames.device)
        if isinstance(net, Glow):
            positions = torch.randint(len(random_windows), (INITIAL_IMAGES,), generator=generator).to(frames.device)
            net.initialise(inputs_at(random_windows(positions, generator)[0]))
        weights, gradients = flatten_parameters(net)
        optimiser = torch.optim.Adam([weights], self.lr, weight_decay=WEIGHT_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda epoch: _learning_rate_factor(epoch / self.epochs)
        )
        has_affinity = self.loss == "affinity" and len(ids) > 1

        def step(batch: Tensor) -> dict[str, Tensor]:
            starts, own_ids = random_windows(batch, generator)
            ids_to_compare = own_ids[:, None]
            if has_affinity:
                offsets = torch.randint(1, len(ids), (len(own_ids), 1), generator=generator)
                offsets = to_device(offsets, frames.device)
                ids_to_compare = torch.cat([ids_to_compare, (ids_to_compare + offsets) % len(ids)], 1)
            log_densities = net.log_prob(inputs_at(starts), ids_to_compare) / self._dimensions
            losses = {"nll": -log_densities[:, 0].mean()}
            if has_affinity:
                losses["affinity"] = (self.aff_margin - log_densities[:, 0] + log_densities[:, 1]).relu().mean()
            gradients.zero_()
            (losses["nll"] + self.aff_weight * losses.get("affinity", 0)).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            return losses

        for progress in training.run_epochs([net], step, len(random_windows), self.epochs, self.batch_size, generator):
            yield progress
            schedule.step()

    def score(self, clips: ClipSet) -> Scores:
        fitted = self._fitted_flow("score")
        frames, windows = training.frames_of(self.front_end, clips, self._size, self.context, self._hop)
        inputs_at = self._inputs_at(fitted.standardised(frames))
        all_ids = torch.arange(len(fitted.ids), device=frames.device)
        nll_by_id = torch.empty(len(clips), len(all_ids), dtype=torch.float64, device=frames.device)
        at_most = MAX_WINDOWS[1] if self.flow == "glow" else MAX_WINDOWS[0] // len(all_ids)
        with torch.inference_mode():
            for chunk, chunk_windows in training.clip_chunks(windows, at_most):
                inputs = inputs_at(training.window_starts(chunk_windows, frames.device))
                log_densities = fitted.net.log_prob(inputs, all_ids.expand(len(inputs), -1)) / self._dimensions
                nll_by_id[chunk] = per_clip(-log_densities.double().clamp_min(-MAX_NLL), chunk_windows, "mean")
        own_nll, own_id = nll_by_id.masked_fill(~fitted.ids.allowed(clips.frame).to(nll_by_id.device), torch.inf).min(1)
        ratio = own_nll
        if len(all_ids) > 1:
            ratio = own_nll - nll_by_id.scatter(1, own_id[:, None], torch.inf).amin(1)
        return {"nll": training.as_scores(own_nll), "nll_ratio": training.as_scores(ratio)}

    def state(self) -> State:
        fitted = self._fitted_flow("state")
        return {
            "net": training.cpu_weights(fitted.net),
            "mean": fitted.mean.cpu(),
            "deviation": fitted.deviation.cpu(),
            "ids": {name: number for number, name in enumerate(fitted.ids.names)},
        }

    def load(self, state: State) -> None:
        net = training.build_with_seed(lambda: self._new_net(len(state["ids"])), self.context)
        net.load_state_dict(state["net"])
        mean, deviation = (state[name].to(self.context.device) for name in ("mean", "deviation"))
        self._fitted = _FittedFlow(net, mean, deviation, Classes(list(state["ids"])))

    @property
    def _size(self) -> int:
        return self.glow_frames if self.flow == "glow" else self.frames

    @property
    def _hop(self) -> int:
        return self.glow_frames // 2 if self.flow == "glow" else 1

    @property
    def _dimensions(self) -> int:
        return self._size * self.front_end.shape[0]

    def _inputs_at(self, frames: Tensor) -> Callable[[Tensor], Tensor]:
        return (training.images_of if self.flow == "glow" else training.rows_of)(frames, self._size)

    def _new_net(self, ids: int) -> Glow | MAF:
        if self.flow == "maf":
            return MAF(self._dimensions, classes=ids, hidden=self.hidden, blocks=self.blocks)
        shape = self.front_end.shape[0], self.glow_frames
        return Glow(*shape, classes=ids, width=self.glow_width, steps=self.glow_steps, levels=self.glow_levels)

    def _fitted_flow(self, method: str) -> _FittedFlow:
        fitted = training.require_fitted(self, self._fitted, method)
        fitted.net.eval()
        return fitted


@dataclass(frozen=True)
class _FittedFlow:
    """The flow with the standardisation and the ids that it was trained with."""

    net: Glow | MAF
    mean: Tensor  # dB of each mel bin
    deviation: Tensor
    ids: Classes

    def standardised(self, frames: Tensor) -> Tensor:
        """Frames in standard deviations from the training mean."""
        return (frames - self.mean) / self.deviation


def _by_id(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame without attributes, which would otherwise become the classes of a machine with one id."""
    return frame.assign(attributes="{}")


def _learning_rate_factor(progress: float) -> float:
    """The learning rate as a factor of `lr`; `progress` is the fraction of epochs done."""
    return 1 - 0.9 * min(1.0, max(0.0, (progress - 0.3) / 0.6))
