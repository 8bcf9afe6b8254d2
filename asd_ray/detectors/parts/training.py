"""One training loop for dense nets on vectors of a few frames, and what goes with it: splits, batches, checks.

All frames lie in one contiguous tensor on the device. A vector is a row of an overlapping view of it and is named by
its first frame, so that a batch is one index_select of 256 rows and the vectors are never written out as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from asd_ray.clips.bank import ClipSet
from asd_ray.detectors._base import Context, Progress
from asd_ray.detectors.nets.dense import DenseNet, by_autograd, by_hand, flattened
from asd_ray.errors import AsdRayError
from asd_ray.features import FrontEnd, Windows, vectors, windows_of
from asd_ray.features._base import must_be

CHUNK = 4096  # vectors at once where nothing is learned: about 10 MB of input, as quick on a CPU as any larger one
LEAST = 2  # vectors to learn from: batch normalisation needs two

Step = Callable[[Tensor], dict[str, Tensor]]  # positions of a batch -> its mean losses, after a step of learning
T = TypeVar("T")
Net = TypeVar("Net", bound=nn.Module)
Pairs = Callable[[Tensor], tuple[Tensor, Tensor]]  # first frames of a batch -> what goes in, what should come out


@dataclass(frozen=True)
class Recipe:
    """How a net is trained; `adam_eps` is the one setting of Adam in which Keras and torch differ."""

    epochs: int
    batch_size: int
    lr: float
    adam_eps: float = 1e-8


def check_recipe(owner: object) -> None:
    """The parameters that every trained family has."""
    check_whole(owner, "epochs", 1)
    check_whole(owner, "batch_size", 2)  # batch normalisation needs two
    lr = getattr(owner, "lr", None)
    must_be(owner, "lr", _is_number(lr) and 0 < lr < math.inf, "above 0")


def check_whole(owner: object, name: str, least: int) -> None:
    value = getattr(owner, name)
    holds = isinstance(value, int) and not isinstance(value, bool) and value >= least
    must_be(owner, name, holds, f"a whole number of at least {least}")


def check_fraction(owner: object, name: str) -> None:
    value = getattr(owner, name)
    must_be(owner, name, _is_number(value) and 0 <= value < 1, "in [0, 1)")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def made_with_seed(make: Callable[[], Net], context: Context) -> Net:
    """The net that `make` gives for this trial's seed, on its device; the process's own stream is left as it was."""
    with torch.random.fork_rng(devices=[context.device] if context.device.type == "cuda" else []):
        torch.manual_seed(context.seed)
        return make().to(context.device)


def after_fit(owner: object, learned: T | None, wanted: str) -> T:
    """What `owner` has learned, for `score` or `state`."""
    if learned is None:
        raise AsdRayError(f"{wanted} of {type(owner).__name__} was asked for before fit; call fit or load first")
    return learned


def frames_of(front_end: FrontEnd, clips: ClipSet, size: int, context: Context, hop: int = 1) -> tuple[Tensor, Windows]:
    """All frames of `clips` as one tensor on the device, and where their windows of `size` start in it.

    The frames of a clip that is shorter than a window are repeated up to one.
    """
    features = context.features.get(front_end, clips, device=context.device)
    frames, lengths = features.tensor(context.device), features.lengths
    if len(lengths) and lengths.min() < size:
        whole = np.maximum(lengths, size)
        within = np.arange(whole.sum()) - np.repeat(np.cumsum(whole) - whole, whole)
        at = np.repeat(np.cumsum(lengths) - lengths, whole) + within % np.repeat(lengths, whole)
        frames, lengths = frames[torch.from_numpy(at).to(frames.device)], whole
    return frames, windows_of(lengths, size, hop)


def frames_to_learn(
    front_end: FrontEnd, train: ClipSet, size: int, context: Context, hop: int = 1
) -> tuple[Tensor, Windows]:
    """As `frames_of`, for whoever learns something of the frames before `run_epochs` asks whether there are any."""
    if not len(train):
        raise AsdRayError("training needs clips but got none; give it normal clips of the machine")
    return frames_of(front_end, train, size, context, hop)


def too_few(train: pd.DataFrame, front_end: FrontEnd, size: int, hop: int = 1, kept: float = 1.0) -> str:
    """Why `run_epochs` would refuse the windows of these clips, of which `kept` are learned from; "" if it would not.

    For `suits` of a detector; before the lengths of clips are known nothing is too few.
    """
    if "samples" not in train:
        return ""
    frames = np.array([max(size, front_end.frames(int(samples))) for samples in train["samples"]], np.int64)
    count = int(((frames - size) // hop + 1).sum() * kept)
    if count >= LEAST:
        return ""
    return f"it learns from {LEAST} windows of {size} frames or more, and the training clips have {count}; record more"


def rows_of(frames: Tensor, size: int) -> Callable[[Tensor], Tensor]:
    """First frames -> their vectors, [n, size·mels]. Of the ways to gather, index_select on the view is the quickest
    on a CPU: about 0.7 of the time of gathering single frames, a quarter of that of ``view[starts]``."""
    view = vectors(frames, size) if len(frames) else frames  # no clips, no rows
    return lambda starts: view.index_select(0, starts)


def pictures_of(frames: Tensor, size: int) -> Callable[[Tensor], Tensor]:
    """First frames -> their pictures, [n, 1, mels, size]: mel by time, gathered as `rows_of` gathers vectors."""
    row, mels = rows_of(frames, size), frames.shape[1]
    return lambda starts: row(starts).view(-1, 1, size, mels).transpose(2, 3)


def split_tail(count: int, fraction: float) -> tuple[Tensor, Tensor]:
    """Positions to learn from, and the last `fraction` of them held out, as Keras' validation_split does it."""
    kept = int(count * (1 - fraction))
    return torch.arange(kept), torch.arange(kept, count)


def split_random(count: int, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As `split_tail` with the held out positions drawn at random."""
    kept = int(count * (1 - fraction))
    order = torch.randperm(count, generator=generator)
    return order[:kept].sort().values, order[kept:].sort().values


def batches(order: Tensor, size: int) -> list[Tensor]:
    """`order` in pieces of `size`; a last piece of one joins its neighbour, for batch normalisation needs two."""
    pieces = list(torch.split(order, size))
    if len(pieces) > 1 and len(pieces[-1]) == 1:
        pieces[-2:] = [torch.cat(pieces[-2:])]
    return pieces


def run_epochs(
    nets: Sequence[nn.Module], step: Step, count: int, epochs: int, batch_size: int, generator: torch.Generator
) -> Iterator[Progress]:
    """`step` over all of `count` positions in a new order each epoch; yields the mean of each loss after every epoch.

    The nets are put into training mode before each epoch, since whoever scored after the last one left them in eval
    mode. The loop waits for the device once an epoch, at its end.
    """
    if count < LEAST:
        raise AsdRayError(f"training needs {LEAST} vectors or more but got {count}; give it more or longer clips")
    device = next(nets[0].parameters()).device
    for epoch in range(1, epochs + 1):
        for net in nets:
            net.train()
        sums: dict[str, Tensor] = {}
        for batch in batches(torch.randperm(count, generator=generator).to(device), batch_size):
            for name, loss in step(batch).items():
                sums[name] = sums.get(name, 0) + loss.detach() * len(batch)
        yield Progress(epoch, {name: float(total) / count for name, total in sums.items()})


def autocast(device: torch.device, learning: bool = True) -> torch.autocast:
    """bfloat16 in matrix products and convolutions on a GPU while a net learns; nothing on a CPU."""
    return torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda" and learning)


def train(
    net: DenseNet, pairs: Pairs, starts: Tensor, held_out: Tensor, recipe: Recipe, generator: torch.Generator
) -> Iterator[Progress]:
    """Minimise the mean squared error over `starts`; `starts` and `held_out` are first frames."""
    device = next(net.parameters()).device
    weights, gradients = flattened(net)
    slopes = by_hand(net) if device.type == "cpu" else by_autograd(net, gradients)
    optimiser = torch.optim.Adam([weights], lr=recipe.lr, eps=recipe.adam_eps, fused=True)
    starts, held_out = starts.to(device), held_out.to(device)

    def step(at: Tensor) -> dict[str, Tensor]:
        loss = slopes(*pairs(starts[at]))
        optimiser.step()
        return {"train": loss}

    for progress in run_epochs([net], step, len(starts), recipe.epochs, recipe.batch_size, generator):
        if len(held_out):
            progress.losses["validation"] = _mean_loss(net, pairs, held_out)
        yield progress


@torch.inference_mode()
def _mean_loss(net: nn.Module, pairs: Pairs, starts: Tensor) -> float:
    net.eval()
    total = torch.zeros((), device=starts.device)
    for chunk in torch.split(starts, CHUNK):
        given, wanted = pairs(chunk)
        total += mse_loss(net(given), wanted) * len(chunk)
    return float(total) / len(starts)


def by_clips(windows: Windows, most: int = CHUNK) -> Iterator[tuple[slice, Windows]]:
    """Windows of whole clips, about `most` at a time, and which clips they are."""
    ends = np.cumsum(windows.counts)
    first = 0
    while first < len(windows.counts):
        begin = int(ends[first] - windows.counts[first])
        last = max(first + 1, int(np.searchsorted(ends, begin + most, "right")))
        part = slice(begin, int(ends[last - 1]))
        yield (
            slice(first, last),
            Windows(windows.start[part], windows.clip[part] - first, windows.counts[first:last], windows.size),
        )
        first = last


def starts_of(windows: Windows, device: torch.device | str = "cpu") -> Tensor:
    return torch.from_numpy(windows.start).to(device)


def as_scores(values: Tensor) -> npt.NDArray[np.floating]:
    scores: npt.NDArray[np.floating] = values.double().cpu().numpy()
    return scores


def plain(net: nn.Module) -> dict[str, Tensor]:
    """The net's weights as a state holds them: copies on the CPU, so that training on does not change them."""
    return {name: value.detach().cpu().clone() for name, value in net.state_dict().items()}
