"""Normalising flows that hold a machine's own id more likely than its other ids: Glow_Aff, and MAF likewise.

Dohi, Endo, Purohit, Tanabe, Kawaguchi, "Flow-based Self-supervised Density Estimation for Anomalous Sound Detection",
ICASSP 2021 (arXiv 2103.08801). MAF by the recipe of Primus, Zwifl, Widmer, "CP-JKU Submission to DCASE'21", DCASE 2021.

A flow for all ids of a machine learns the exact density of normal log-mel windows, given the id. Beside its likelihood
under the own id it learns to hold the same sound less likely under the others. A clip's score is the mean over its
windows of the negative log density per dimension, in nats.

This is after the paper's abstract and introduction: of its settings no more was known. It speaks of a model of a target
id to which the other ids are outliers; here, as in CP-JKU's, one flow is told the id.

Left open, and chosen here: the affinity loss is that of CP-JKU's proxy outliers, max(0, aff_margin - (log p(x | own
id) - log p(x | another id, drawn at random)) / dimensions), times `aff_weight`, with the margin and weight of the
example in their README; both terms are of the same window, where they take two. MAF is told the id in its hidden
layers; Glow in its base distribution, a mean and a spread of each id, channel and row, so that the densities under all
ids cost one pass. CP-JKU's front end serves both, standardised by mean and deviation of each mel bin. As in their
training, an epoch hears of a clip as many windows as fit side by side, at places drawn anew; scored are all vectors of
MAF, and pictures of Glow at half overlap. The learning rate falls from 0.3 to 0.9 of the epochs to a tenth of its own
(theirs from epoch 30 to 90 of 100, to 1e-5, which their code takes as a factor); weight decay is 1e-5. Theirs are 4
blocks of 2048 hidden units, ours of 512 to be cheaper; so are Glow's sizes, which are unknown.

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
from asd_ray.detectors.nets.dense import flattened
from asd_ray.detectors.nets.glow import Glow
from asd_ray.detectors.nets.maf import MAF
from asd_ray.detectors.parts import training
from asd_ray.detectors.parts.classes import Classes
from asd_ray.detectors.parts.random_windows import Places
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, per_clip
from asd_ray.features._base import must_be

WEIGHT_DECAY = 1e-5
LEAST_DEVIATION = 0.1  # dB: a bin that never changes in training stays finite where it does
FIRST = 512  # pictures that set Glow's activation normalisation
MOST_UNLIKELY = 1e36  # foreign sound grows from block to block; its likelihood must not end as infinity
AT_ONCE = 4096, 256  # vectors and pictures scored at once: some ten MB a layer


class FlowAff:
    """A detector; see the module for the method.

    `flow` is maf, of vectors of `frames` frames in `blocks` blocks of `hidden` units, or glow, of pictures of
    `glow_frames` frames through `glow_levels` levels of `glow_steps` steps, whose nets have `glow_width` channels.
    `loss` is affinity, or plain: likelihood alone. Of a machine with one id both are the same.

    Variants: `nll` under the clip's own id, and `nll_ratio`, that less the least under another id; of a machine with
    one id that is `nll` again. A clip of an id that was never heard has the id under which it is most likely.
    """

    # 20 epochs of 1,000 clips of 10 s: half an hour of one core
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
        training.check_recipe(self)
        self._learned: _Learned | None = None

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["cp_jku"].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return training.too_few(train, self.front_end, self._size, self._size)  # side by side, see Places

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        frames, windows = training.frames_to_learn(self.front_end, train, self._size, self.context)
        deviation, mean = torch.std_mean(frames, 0, correction=0)
        ids = Classes.of(_by_id(train.frame), least=1)
        net = training.made_with_seed(lambda: self._new_net(len(ids)), self.context)
        self._learned = learned = _Learned(net, mean, deviation.clamp_min(LEAST_DEVIATION), ids)
        generator = self.context.generator()
        gather = self._gather(learned.standardised(frames))
        places = Places(windows, ids.labels(_by_id(train.frame)), frames.device)
        if isinstance(net, Glow):
            some = torch.randint(len(places), (FIRST,), generator=generator).to(frames.device)
            net.initialise(gather(places(some, generator)[0]))
        weights, gradients = flattened(net)
        optimiser = torch.optim.Adam([weights], self.lr, weight_decay=WEIGHT_DECAY, fused=True)
        falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda epoch: _fall(epoch / self.epochs))
        pushed = self.loss == "affinity" and len(ids) > 1

        def step(at: Tensor) -> dict[str, Tensor]:
            starts, own = places(at, generator)
            asked = own[:, None]
            if pushed:
                further = torch.randint(1, len(ids), (len(own), 1), generator=generator).to(own.device)
                asked = torch.cat([asked, (asked + further) % len(ids)], 1)
            likely = net.log_prob(gather(starts), asked) / self._dimensions
            losses = {"nll": -likely[:, 0].mean()}
            if pushed:
                losses["affinity"] = (self.aff_margin - likely[:, 0] + likely[:, 1]).relu().mean()
            gradients.zero_()
            (losses["nll"] + self.aff_weight * losses.get("affinity", 0)).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            return losses

        for progress in training.run_epochs([net], step, len(places), self.epochs, self.batch_size, generator):
            yield progress
            falling.step()

    def score(self, clips: ClipSet) -> Scores:
        learned = self._ready("score")
        frames, windows = training.frames_of(self.front_end, clips, self._size, self.context, self._hop)
        gather = self._gather(learned.standardised(frames))
        every = torch.arange(len(learned.ids), device=frames.device)
        table = torch.empty(len(clips), len(every), dtype=torch.float64, device=frames.device)
        most = AT_ONCE[1] if self.flow == "glow" else AT_ONCE[0] // len(every)
        with torch.inference_mode():
            for part, inside in training.by_clips(windows, most):
                given = gather(training.starts_of(inside, frames.device))
                likely = learned.net.log_prob(given, every.expand(len(given), -1)) / self._dimensions
                table[part] = per_clip(-likely.double().clamp_min(-MOST_UNLIKELY), inside, "mean")
        own, place = table.masked_fill(~learned.ids.allowed(clips.frame).to(table.device), torch.inf).min(1)
        ratio = own
        if len(every) > 1:
            ratio = own - table.scatter(1, place[:, None], torch.inf).amin(1)
        return {"nll": training.as_scores(own), "nll_ratio": training.as_scores(ratio)}

    def state(self) -> State:
        learned = self._ready("state")
        return {
            "net": training.plain(learned.net),
            "mean": learned.mean.cpu(),
            "deviation": learned.deviation.cpu(),
            "ids": {name: place for place, name in enumerate(learned.ids.names)},
        }

    def load(self, state: State) -> None:
        net = training.made_with_seed(lambda: self._new_net(len(state["ids"])), self.context)
        net.load_state_dict(state["net"])
        mean, deviation = (state[name].to(self.context.device) for name in ("mean", "deviation"))
        self._learned = _Learned(net, mean, deviation, Classes(list(state["ids"])))

    @property
    def _size(self) -> int:
        return self.glow_frames if self.flow == "glow" else self.frames

    @property
    def _hop(self) -> int:
        return self.glow_frames // 2 if self.flow == "glow" else 1

    @property
    def _dimensions(self) -> int:
        return self._size * self.front_end.shape[0]

    def _gather(self, frames: Tensor) -> Callable[[Tensor], Tensor]:
        return (training.pictures_of if self.flow == "glow" else training.rows_of)(frames, self._size)

    def _new_net(self, ids: int) -> Glow | MAF:
        if self.flow == "maf":
            return MAF(self._dimensions, classes=ids, hidden=self.hidden, blocks=self.blocks)
        shape = self.front_end.shape[0], self.glow_frames
        return Glow(*shape, classes=ids, width=self.glow_width, steps=self.glow_steps, levels=self.glow_levels)

    def _ready(self, wanted: str) -> _Learned:
        learned = training.after_fit(self, self._learned, wanted)
        learned.net.eval()
        return learned


@dataclass(frozen=True)
class _Learned:
    net: Glow | MAF
    mean: Tensor  # dB of each mel bin
    deviation: Tensor
    ids: Classes

    def standardised(self, frames: Tensor) -> Tensor:
        return (frames - self.mean) / self.deviation


def _by_id(frame: pd.DataFrame) -> pd.DataFrame:
    """Without attributes, which would make classes of a machine of one id."""
    return frame.assign(attributes="{}")


def _fall(share: float) -> float:
    """The learning rate, as a factor, after this share of the epochs."""
    return 1 - 0.9 * min(1.0, max(0.0, (share - 0.3) / 0.6))
