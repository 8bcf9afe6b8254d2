"""A density of five consecutive frames, of which one is predicted from the others: Group MADE.

Giri, Tenneti, Cheng, Helwani, Isik, Krishnaswamy, "Unsupervised Anomalous Sound Detection Using Self-Supervised
Classification and Group Masked Autoencoder for Density Estimation", DCASE 2020 challenge, technical report.

A masked dense net gives every mel bin of five log-mel frames a mixture of Gaussians. The masks order frames, not bins:
the bins of a frame are independent of each other given the frames before it in the order. Order "middle", which was
submitted, is p(3 | 1, 2, 4, 5) · p(1, 2, 4, 5), where nothing precedes the four outer frames, so that theirs is one
fixed mixture a bin; "causal" is frame 1 to 5. A clip's score is the mean of its vectors' negative log likelihoods.

Left open, and chosen here: ReLU without batch normalisation, so He's initial weights; means of the mixtures start at
quantiles of the normal distribution; the front end is that of the 2020 baseline; each mel bin is standardised by its
mean and standard deviation (0.1 dB or more) over the training frames; the logarithm of a Gaussian's standard deviation
is -7 or more; batch 512, 100 epochs, none held out. The report does not say whether the outer frames count in the
score: variant `all` counts every frame, `middle` the third alone, which the causal order predicts from the first two.
Both are a mean over bins, in standardised units.

Published, AUC (pAUC) in per cent, DCASE 2020 development, order "middle" (System 4): fan 70.10 (53.62), pump 75.68
(68.97), slider 93.29 (83.46), valve 89.68 (70.95), ToyCar 80.51 (71.89), ToyConveyor 76.03 (60.70).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pandas as pd
import torch
from torch import Tensor, nn

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.nets.made import MaskedLinear, hidden_degrees, hidden_mask
from asd_ray.detectors.parts import training
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, per_clip
from asd_ray.features._base import must_be

CHUNK = 512  # vectors scored at once, or those of one longer clip: the mixtures of one frame are 8 MB
BLOCK = 64  # vectors whose components' terms of four frames are 1.3 MB
LEAST_LOG_SIGMA = -7.0
LEAST_DEVIATION = 0.1  # dB; a mel bin in which training is silent has none
HALF_LOG_TAU = 0.9189385332046727  # log(2π) / 2


class GroupMade:
    """A detector; see the module for the method.

    `frames` is odd, so that one is in the middle. The hidden layers are four of `hidden` units, one of `bottleneck`
    and four of `hidden`. Variants: `all` frames and the `middle` one.
    """

    RESOURCES: ClassVar[Resources] = Resources(cpu=1.0, gpu=0.25, suits_cpu=False)  # a fifth of the autoencoder's speed
    VERSION: ClassVar[int] = 1

    def __init__(
        self,
        context: Context,
        *,
        frames: int = 5,
        hidden: int = 128,
        bottleneck: int = 32,
        components: int = 10,
        order: str = "middle",
        lr: float = 1e-3,
        batch_size: int = 512,
        epochs: int = 100,
    ) -> None:
        self.context = context
        self.frames, self.hidden, self.bottleneck = frames, hidden, bottleneck
        self.components, self.order = components, order
        self.lr, self.batch_size, self.epochs = lr, batch_size, epochs
        training.check_whole(self, "frames", 3)
        must_be(self, "frames", frames % 2 == 1, "odd")
        training.check_whole(self, "hidden", frames - 1)  # a unit for every degree
        training.check_whole(self, "bottleneck", frames - 1)
        training.check_whole(self, "components", 1)
        must_be(self, "order", order in ("middle", "causal"), "'middle' or 'causal'")
        training.check_recipe(self)
        self._net: GroupMadeNet | None = None

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["baseline_2020"].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return training.too_few(train, self.front_end, self.frames)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        frames, windows = training.frames_to_learn(self.front_end, train, self.frames, self.context)
        net = self._net = training.made_with_seed(self._new_net, self.context)
        net.standardise_by(frames)
        row, starts = training.rows_of(frames, self.frames), training.starts_of(windows, frames.device)
        # In float32 also on a GPU: the net is small, and a narrow Gaussian's likelihood needs the digits of its mean.
        optimiser = torch.optim.Adam(net.parameters(), lr=self.lr, fused=True)

        def step(at: Tensor) -> dict[str, Tensor]:
            optimiser.zero_grad()
            loss = net(row(starts[at])).sum(1).mean() / net.bins
            loss.backward()
            optimiser.step()
            return {"train": loss}

        count, generator = len(starts), self.context.generator()
        yield from training.run_epochs([net], step, count, self.epochs, self.batch_size, generator)

    def score(self, clips: ClipSet) -> Scores:
        net = self._ready("score")
        frames, windows = training.frames_of(self.front_end, clips, self.frames, self.context)
        row, mels = training.rows_of(frames, self.frames), net.bins // self.frames
        of_all = torch.empty(len(clips), device=frames.device)
        of_middle = torch.empty_like(of_all)
        with torch.inference_mode():
            for part, inside in training.by_clips(windows, CHUNK):
                costs = net(row(training.starts_of(inside, frames.device))) / mels
                of_all[part] = per_clip(costs.mean(1), inside, "mean")
                of_middle[part] = per_clip(costs[:, self.frames // 2], inside, "mean")
        return {"all": training.as_scores(of_all), "middle": training.as_scores(of_middle)}

    def state(self) -> State:
        return {"net": training.plain(self._ready("state"))}

    def load(self, state: State) -> None:
        net = training.made_with_seed(self._new_net, self.context)
        net.load_state_dict(state["net"])
        self._net = net

    def _new_net(self) -> GroupMadeNet:
        widths = [*[self.hidden] * 4, self.bottleneck, *[self.hidden] * 4]
        return GroupMadeNet(degrees(self.order, self.frames), self.front_end.shape[0], widths, self.components)

    def _ready(self, wanted: str) -> GroupMadeNet:
        return training.after_fit(self, self._net, wanted).eval()


def degrees(order: str, frames: int) -> list[int]:
    """Of each frame in time, its place in the order."""
    if order == "causal":
        return list(range(1, frames + 1))
    return [2 if frame == frames // 2 else 1 for frame in range(frames)]


class GroupMadeNet(nn.Module):
    """[vectors, frames · mels] -> [vectors, frames]: minus the log density of each frame, standardised.

    The last layer of a MADE is mostly mask. Here each group of frames has a layer of its own with only the weights
    that its mask would leave, and the first group, which sees nothing, has biases alone.
    """

    shift: Tensor
    spread: Tensor
    by_degree: Tensor
    in_time: Tensor

    def __init__(self, places: Sequence[int], mels: int, widths: Sequence[int], components: int) -> None:
        super().__init__()
        of_frames, last = torch.tensor(places), max(places)
        self.bins = len(places) * mels
        self.register_buffer("shift", torch.zeros(mels))
        self.register_buffer("spread", torch.ones(mels))
        self.register_buffer("by_degree", of_frames.argsort(stable=True), persistent=False)
        self.register_buffer("in_time", self.by_degree.argsort(), persistent=False)
        self.sizes = [list(places).count(degree) for degree in range(1, last + 1)]  # frames of each group
        layers: list[nn.Module] = []
        below = of_frames.repeat_interleave(mels)
        for width in widths:
            own = hidden_degrees(width, last)
            masked = MaskedLinear(hidden_mask(below, own))
            masked.he()
            layers += [masked, nn.ReLU(inplace=True)]
            below = own
        self.hidden = nn.Sequential(*layers)
        self.shape = 3, components, mels  # of one frame's mixtures: weights as logits, means, log standard deviations
        biases = torch.zeros(self.shape)
        quantiles = torch.special.ndtri((torch.arange(components) + 0.5) / components)
        biases[1] = quantiles[:, None]
        self.first = nn.Parameter(biases.repeat(self.sizes[0], 1, 1, 1))
        self.heads = nn.ModuleList()
        for degree, size in enumerate(self.sizes[1:], 2):
            head = nn.Linear(int((below < degree).sum()), size * biases.numel())
            head.bias.data = biases.repeat(size, 1, 1, 1).flatten()
            self.heads.append(head)

    @torch.no_grad()
    def standardise_by(self, frames: Tensor) -> None:
        deviation, mean = torch.std_mean(frames, 0, correction=0)
        self.shift.copy_(mean)
        self.spread.copy_(deviation.clamp_min(LEAST_DEVIATION))

    def forward(self, rows: Tensor) -> Tensor:
        values = (rows.view(len(rows), -1, len(self.shift)) - self.shift) / self.spread
        groups = torch.split(values.index_select(1, self.by_degree), self.sizes, 1)
        costs = [cost(group, mixtures) for group, mixtures in zip(groups, self.mixtures(values), strict=True)]
        return torch.cat(costs, 1).index_select(1, self.in_time)

    def mixtures(self, values: Tensor) -> Iterator[Tensor]:
        """Of each group, [vectors, its frames, 3, components, mels]; those of the first are one for all vectors."""
        yield self.first[None]
        seen = self.hidden(values.flatten(1))
        for head, size in zip(self.heads, self.sizes[1:], strict=True):
            yield head(seen[:, : head.in_features]).view(len(values), size, *self.shape)


def cost(values: Tensor, mixtures: Tensor) -> Tensor:
    """[n, frames, mels] -> [n, frames]: minus the log density, summed over mels."""
    # A CPU takes one mixture for all values in blocks that fit into its cache: about 1.5 times the speed.
    block = BLOCK if len(mixtures) == 1 and values.device.type == "cpu" else max(1, len(values))
    costs = [MixtureCost.apply(piece, mixtures).sum(2) for piece in torch.split(values, block)]  # type: ignore[no-untyped-call]
    return torch.cat(costs)


class MixtureCost(torch.autograd.Function):
    """Values [n, frames, mels] and mixtures [n or 1, frames, 3, components, mels] -> minus the log densities.

    The gradient of the mixtures is written out; where one is for all values that needs half of autograd's time. The
    values get none. Components are not the last dimension, since sums over a last dimension of ten are slow.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, mixtures: Tensor) -> Tensor:
        logits, means, log_sigmas = mixtures.unbind(2)
        held = log_sigmas.clamp_min(LEAST_LOG_SIGMA)
        inverse = torch.exp(-held)
        distances = (values[:, :, None] - means).mul_(inverse)
        shares = torch.addcmul(logits - held, distances, distances, value=-0.5)
        highest = shares.amax(2, keepdim=True)
        total = shares.sub_(highest).exp_().sum(2, keepdim=True)
        shares.div_(total)  # of each component in the density of the value
        weights = logits.softmax(2)
        ctx.save_for_backward(shares, distances, inverse, weights, mixtures)
        return (logits.logsumexp(2) - (highest + total.log()).squeeze(2)).add_(HALF_LOG_TAU)

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[None, Tensor]:
        shares, distances, inverse, weights, mixtures = ctx.saved_tensors
        slopes = slopes[:, :, None]
        shares = shares * slopes
        first = shares * distances
        second = first * distances
        into = mixtures.new_empty(mixtures.shape)
        if len(mixtures) == 1:  # for all values
            slopes, shares, first, second = (each.sum(0, keepdim=True) for each in (slopes, shares, first, second))
        torch.mul(weights, slopes, out=into[:, :, 0]).sub_(shares)
        torch.mul(first, inverse, out=into[:, :, 1]).neg_()
        torch.mul(shares.sub_(second), mixtures[:, :, 2] >= LEAST_LOG_SIGMA, out=into[:, :, 2])
        return None, into
