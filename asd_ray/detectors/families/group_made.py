"""Group MADE: the density of five consecutive frames, each predicted from the frames before it in a chosen order.

Giri, Tenneti, Cheng, Helwani, Isik, Krishnaswamy, "Unsupervised Anomalous Sound Detection Using Self-Supervised
Classification and Group Masked Autoencoder for Density Estimation", DCASE 2020 challenge, technical report.

A masked dense net outputs a mixture of Gaussians for every mel bin of five log-mel frames. The masks order frames, not
bins: given the frames before it in the order, the bins of a frame are independent. A clip's score is the mean of the
negative log likelihoods of its vectors.

Order "middle", which was submitted, is p(3 | 1, 2, 4, 5) · p(1, 2, 4, 5): nothing precedes the four outer frames, so
theirs is one fixed mixture per bin. Order "causal" is frame 1 to 5.

Left open, and chosen here: ReLU without batch normalisation, hence He's initial weights; means of the mixtures start at
quantiles of the normal distribution; the front end is that of the 2020 baseline; each mel bin is standardised by its
mean and standard deviation (0.1 dB or more) over the training frames; the logarithm of a Gaussian's standard deviation
is -7 or more; batch 512, 100 epochs, no validation clips. The report does not say whether the outer frames count in the
score. Variant `all` counts every frame; `middle` counts the third alone, which the causal order predicts from the first
two. Both are means over bins, in standardised units.

Published, AUC (pAUC) in per cent, DCASE 2020 development, order "middle" (System 4): fan 70.10 (53.62), pump 75.68
(68.97), slider 93.29 (83.46), valve 89.68 (70.95), ToyCar 80.51 (71.89), ToyConveyor 76.03 (60.70).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pandas as pd
import torch
from torch import Tensor, nn

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress, Scores, State
from asd_ray.detectors.nets.made import MaskedLinear, hidden_degrees, hidden_mask
from asd_ray.detectors.parts import training
from asd_ray.detectors.parts.error_maps import ErrorMap, WindowSums
from asd_ray.families.resources import Resources
from asd_ray.features import PRESETS, FrontEnd, per_clip
from asd_ray.features._base import must_be

CHUNK = 512  # vectors per forward pass without gradients: the mixtures of one frame are 8 MB
BLOCK = 64  # vectors per block on a CPU: the terms of all components of four frames are 1.3 MB
MIN_LOG_SIGMA = -7.0
MIN_DEVIATION = 0.1  # dB; a mel bin that is silent in training has a deviation of 0
HALF_LOG_TAU = 0.9189385332046727  # log(2π) / 2


class GroupMade:
    """A masked density model of consecutive frames; see the module for the method.

    `frames` is odd, so that there is a middle one. The hidden layers are four of `hidden` units, one of `bottleneck`
    and four of `hidden`. Each mixture has `components` Gaussians. Variants: `all` frames and the `middle` one.
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
        training.check_whole(self, "hidden", frames - 1)  # at least one unit per degree
        training.check_whole(self, "bottleneck", frames - 1)
        training.check_whole(self, "components", 1)
        must_be(self, "order", order in ("middle", "causal"), "'middle' or 'causal'")
        training.check_training_settings(self)
        self._net: GroupMadeNet | None = None

    @property
    def front_end(self) -> FrontEnd:
        return PRESETS["baseline_2020"].at(self.context.rate)

    def suits(self, train: pd.DataFrame) -> str:
        return training.too_few_windows(train, self.front_end, self.frames)

    def fit(self, train: ClipSet) -> Iterator[Progress]:
        frames, windows = training.training_frames(self.front_end, train, self.frames, self.context)
        net = self._net = training.build_with_seed(self._new_net, self.context)
        net.standardise_by(frames)
        row, starts = training.rows_of(frames, self.frames), training.window_starts(windows, frames.device)
        # float32 on a GPU too: the net is small, and the likelihood of a narrow Gaussian needs all digits of its mean.
        optimiser = torch.optim.Adam(net.parameters(), lr=self.lr, fused=True)

        def step(positions: Tensor) -> dict[str, Tensor]:
            loss = net(row(starts[positions])).sum(1).mean() / net.bins
            training.minimise(optimiser, loss)
            return {"train": loss}

        count, generator = len(starts), self.context.generator()
        yield from training.run_epochs([net], step, count, self.epochs, self.batch_size, generator)

    def score(self, clips: ClipSet) -> Scores:
        net = self._fitted_net("score")
        frames, windows = training.frames_of(self.front_end, clips, self.frames, self.context)
        row, mels = training.rows_of(frames, self.frames), net.bins // self.frames
        mean_of_all = torch.empty(len(clips), device=frames.device)
        mean_of_middle = torch.empty_like(mean_of_all)
        with torch.inference_mode():
            for chunk, chunk_windows in training.clip_chunks(windows, CHUNK):
                nll = net(row(training.window_starts(chunk_windows, frames.device))) / mels
                mean_of_all[chunk] = per_clip(nll.mean(1), chunk_windows, "mean")
                mean_of_middle[chunk] = per_clip(nll[:, self.frames // 2], chunk_windows, "mean")
        return {"all": training.as_scores(mean_of_all), "middle": training.as_scores(mean_of_middle)}

    def error_map(self, clips: ClipSet) -> list[ErrorMap]:
        """The negative log likelihood of each band of each frame, averaged over all vectors with that frame.

        Its mean, weighted by the number of vectors with each frame, is the variant `all`.
        """
        net = self._fitted_net("error_map")
        frames, windows = training.frames_of(self.front_end, clips, self.frames, self.context)
        row, sums = training.rows_of(frames, self.frames), WindowSums(self.front_end, clips, self.frames, frames.device)
        with torch.inference_mode():
            for starts in torch.split(training.window_starts(windows, frames.device), CHUNK):
                sums.add(starts, net.nll_of_bands(row(starts)))
        return sums.averages()

    def state(self) -> State:
        return {"net": training.cpu_weights(self._fitted_net("state"))}

    def load(self, state: State) -> None:
        net = training.build_with_seed(self._new_net, self.context)
        net.load_state_dict(state["net"])
        self._net = net

    def _new_net(self) -> GroupMadeNet:
        widths = [*[self.hidden] * 4, self.bottleneck, *[self.hidden] * 4]
        return GroupMadeNet(degrees(self.order, self.frames), self.front_end.shape[0], widths, self.components)

    def _fitted_net(self, method: str) -> GroupMadeNet:
        return training.require_fitted(self, self._net, method).eval()


def degrees(order: str, frames: int) -> list[int]:
    """The place in the order of each frame, frames in order of time."""
    if order == "causal":
        return list(range(1, frames + 1))
    return [2 if frame == frames // 2 else 1 for frame in range(frames)]


class GroupMadeNet(nn.Module):
    """[vectors, frames · mels] -> [vectors, frames]: minus the log density of each frame, in standardised units.

    Most weights in the last layer of a MADE are masked. Here each group of frames has its own layer with only the
    weights that the mask would leave. The first group depends on nothing and has biases only.
    """

    shift: Tensor
    spread: Tensor
    by_degree: Tensor  # positions that sort frames by degree
    in_time: Tensor  # positions that sort them back

    def __init__(self, frame_degrees: Sequence[int], mels: int, widths: Sequence[int], components: int) -> None:
        super().__init__()
        degree_tensor, last_degree = torch.tensor(frame_degrees), max(frame_degrees)
        self.bins = len(frame_degrees) * mels
        self.register_buffer("shift", torch.zeros(mels))
        self.register_buffer("spread", torch.ones(mels))
        self.register_buffer("by_degree", degree_tensor.argsort(stable=True), persistent=False)
        self.register_buffer("in_time", self.by_degree.argsort(), persistent=False)
        self.sizes = [list(frame_degrees).count(degree) for degree in range(1, last_degree + 1)]  # frames per group
        layers: list[nn.Module] = []
        degrees_below = degree_tensor.repeat_interleave(mels)
        for width in widths:
            own_degrees = hidden_degrees(width, last_degree)
            masked = MaskedLinear(hidden_mask(degrees_below, own_degrees))
            masked.he()
            layers += [masked, nn.ReLU(inplace=True)]
            degrees_below = own_degrees
        self.hidden = nn.Sequential(*layers)
        self.shape = 3, components, mels  # mixtures of one frame: logits of weights, means, log standard deviations
        biases = torch.zeros(self.shape)
        quantiles = torch.special.ndtri((torch.arange(components) + 0.5) / components)
        biases[1] = quantiles[:, None]
        self.first = nn.Parameter(biases.repeat(self.sizes[0], 1, 1, 1))
        self.heads = nn.ModuleList()
        for degree, size in enumerate(self.sizes[1:], 2):
            head = nn.Linear(int((degrees_below < degree).sum()), size * biases.numel())
            head.bias.data = biases.repeat(size, 1, 1, 1).flatten()
            self.heads.append(head)

    @torch.no_grad()
    def standardise_by(self, frames: Tensor) -> None:
        """Take mean and standard deviation of each mel bin from the training frames."""
        deviation, mean = torch.std_mean(frames, 0, correction=0)
        self.shift.copy_(mean)
        self.spread.copy_(deviation.clamp_min(MIN_DEVIATION))

    def forward(self, rows: Tensor) -> Tensor:
        return self._nll(rows, negative_log_density)

    def nll_of_bands(self, rows: Tensor) -> Tensor:
        """As `forward`, but not summed over the bins of a frame: [vectors, frames, mels]."""
        return self._nll(rows, MixtureNll.apply)

    def _nll(self, rows: Tensor, density: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        values = (rows.view(len(rows), -1, len(self.shift)) - self.shift) / self.spread
        groups = torch.split(values.index_select(1, self.by_degree), self.sizes, 1)
        nll = [density(group, mixtures) for group, mixtures in zip(groups, self.mixtures(values), strict=True)]
        return torch.cat(nll, 1).index_select(1, self.in_time)

    def mixtures(self, values: Tensor) -> Iterator[Tensor]:
        """The mixtures of each group, [vectors, its frames, 3, components, mels]; the first group's are [1, …]."""
        yield self.first[None]
        hidden = self.hidden(values.flatten(1))
        for head, size in zip(self.heads, self.sizes[1:], strict=True):
            yield head(hidden[:, : head.in_features]).view(-1, size, *self.shape)


def negative_log_density(values: Tensor, mixtures: Tensor) -> Tensor:
    """[n, frames, mels] -> [n, frames]: minus the log density, summed over mels."""
    # With one mixture for all values, a CPU works in blocks that fit into its cache: about 1.5 times as fast.
    block = BLOCK if len(mixtures) == 1 and values.device.type == "cpu" else max(1, len(values))
    nll = [MixtureNll.apply(piece, mixtures).sum(2) for piece in torch.split(values, block)]  # type: ignore[no-untyped-call]
    return torch.cat(nll)


class MixtureNll(torch.autograd.Function):
    """Values [n, frames, mels] and mixtures [n or 1, frames, 3, components, mels] -> minus the log densities.

    The gradient of the mixtures is written out; with one mixture for all values this takes half the time of autograd.
    The values get no gradient. Components are not the last dimension, because sums over a last dimension of ten are
    slow.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, mixtures: Tensor) -> Tensor:
        logits, means, log_sigmas = mixtures.unbind(2)
        clamped = log_sigmas.clamp_min(MIN_LOG_SIGMA)
        inverse_sigmas = torch.exp(-clamped)
        distances = (values[:, :, None] - means).mul_(inverse_sigmas)
        responsibilities = torch.addcmul(logits - clamped, distances, distances, value=-0.5)
        highest = responsibilities.amax(2, keepdim=True)
        total = responsibilities.sub_(highest).exp_().sum(2, keepdim=True)
        responsibilities.div_(total)  # the part of each component in the density of the value
        weights = logits.softmax(2)
        ctx.save_for_backward(responsibilities, distances, inverse_sigmas, weights, mixtures)
        return (logits.logsumexp(2) - (highest + total.log()).squeeze(2)).add_(HALF_LOG_TAU)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        responsibilities, distances, inverse_sigmas, weights, mixtures = ctx.saved_tensors
        gradient = gradient[:, :, None]
        responsibilities = responsibilities * gradient
        first_moment = responsibilities * distances
        second_moment = first_moment * distances
        mixture_gradient = mixtures.new_empty(mixtures.shape)
        if len(mixtures) == 1:  # one mixture for all values: sum its gradient
            gradient, responsibilities, first_moment, second_moment = (
                tensor.sum(0, keepdim=True) for tensor in (gradient, responsibilities, first_moment, second_moment)
            )
        torch.mul(weights, gradient, out=mixture_gradient[:, :, 0]).sub_(responsibilities)
        torch.mul(first_moment, inverse_sigmas, out=mixture_gradient[:, :, 1]).neg_()
        torch.mul(
            responsibilities.sub_(second_moment), mixtures[:, :, 2] >= MIN_LOG_SIGMA, out=mixture_gradient[:, :, 2]
        )
        return None, mixture_gradient
