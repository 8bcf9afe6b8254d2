"""Shared training code: windows of frames as vectors or images, checks of parameters, splits, batches, training loops.

All frames lie in one contiguous tensor on the device. A vector is a row of an overlapping view of that tensor and is
named by its first frame. A batch is therefore one index_select of 256 rows, and the vectors are never all written out.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
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
from asd_ray.detectors.nets.dense import DenseNet, autograd_step, flatten_parameters, manual_step
from asd_ray.detectors.parts.allocator import kept_memory
from asd_ray.errors import AsdRayError
from asd_ray.features import FrontEnd, Windows, vectors, windows_of
from asd_ray.features._base import must_be

CHUNK = 4096  # vectors per forward pass without gradients: about 10 MB; larger is no faster on a CPU
MIN_VECTORS = 2  # to train on: batch normalisation needs two

Step = Callable[[Tensor], dict[str, Tensor]]  # positions of a batch -> its mean losses, after one training step
T = TypeVar("T")
Net = TypeVar("Net", bound=nn.Module)
InputsAndTargets = Callable[[Tensor], tuple[Tensor, Tensor]]  # first frames of a batch -> inputs, targets of the net


@dataclass(frozen=True)
class TrainingSettings:
    """How a dense net is trained. `adam_eps` is the only setting of Adam in which Keras and torch differ."""

    epochs: int
    batch_size: int
    lr: float
    adam_eps: float = 1e-8


def check_training_settings(owner: object) -> None:
    """Check the parameters of every trained family: `epochs`, `batch_size` and `lr`."""
    check_whole(owner, "epochs", 1)
    check_whole(owner, "batch_size", 2)  # batch normalisation needs two
    lr = getattr(owner, "lr", None)
    must_be(owner, "lr", _is_number(lr) and 0 < lr < math.inf, "above 0")


def check_whole(owner: object, name: str, least: int) -> None:
    """The parameter must be an integer of at least `least`."""
    value = getattr(owner, name)
    holds = isinstance(value, int) and not isinstance(value, bool) and value >= least
    must_be(owner, name, holds, f"a whole number of at least {least}")


def check_fraction(owner: object, name: str) -> None:
    """The parameter must be a number in [0, 1)."""
    value = getattr(owner, name)
    must_be(owner, name, _is_number(value) and 0 <= value < 1, "in [0, 1)")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def build_with_seed(build: Callable[[], Net], context: Context) -> Net:
    """The net that `build` returns with this trial's seed, on its device. The global random state is left unchanged."""
    with torch.random.fork_rng(devices=[context.device] if context.device.type == "cuda" else []):
        torch.manual_seed(context.seed)
        return build().to(context.device)


def require_fitted(owner: object, fitted: T | None, method: str) -> T:
    """`fitted`, or an AsdRayError if it is None: `score` and `state` need a call of `fit` or `load` first."""
    if fitted is None:
        raise AsdRayError(f"{method} of {type(owner).__name__} was called before fit; call fit or load first")
    return fitted


def frames_of(front_end: FrontEnd, clips: ClipSet, size: int, context: Context, hop: int = 1) -> tuple[Tensor, Windows]:
    """All frames of `clips` as one tensor on the device, and where their windows of `size` start in it.

    A clip shorter than one window is repeated up to the length of one.
    """
    features = context.features.get(front_end, clips, device=context.device)
    frames, lengths = features.tensor(context.device), features.lengths
    if len(lengths) and lengths.min() < size:
        padded = np.maximum(lengths, size)
        offsets = np.arange(padded.sum()) - np.repeat(np.cumsum(padded) - padded, padded)
        source = np.repeat(np.cumsum(lengths) - lengths, padded) + offsets % np.repeat(lengths, padded)
        frames, lengths = frames[torch.from_numpy(source).to(frames.device)], padded
    return frames, windows_of(lengths, size, hop)


def training_frames(
    front_end: FrontEnd, train: ClipSet, size: int, context: Context, hop: int = 1
) -> tuple[Tensor, Windows]:
    """As `frames_of`, but no clips are an error: for families that use the frames before `run_epochs`."""
    if not len(train):
        raise AsdRayError("training needs clips but got none; check the training split of this machine")
    return frames_of(front_end, train, size, context, hop)


def too_few_windows(train: pd.DataFrame, front_end: FrontEnd, size: int, hop: int = 1, fraction: float = 1.0) -> str:
    """Why `run_epochs` would fail for the windows of these clips, for a detector's `suits`; "" if it would not.

    `fraction` of the windows are used for training. Without a column `samples` the lengths are unknown, and the answer
    is "".
    """
    if "samples" not in train:
        return ""
    frames = np.array([max(size, front_end.frames(int(samples))) for samples in train["samples"]], np.int64)
    count = int(((frames - size) // hop + 1).sum() * fraction)
    if count >= MIN_VECTORS:
        return ""
    return (
        f"it needs at least {MIN_VECTORS} windows of {size} frames to learn from, but the training clips have {count}; "
        "record more"
    )


def rows_of(frames: Tensor, size: int) -> Callable[[Tensor], Tensor]:
    """A function: first frames -> their vectors, [n, size·mels].

    index_select on the view is the fastest way on a CPU: about 0.7 of the time of gathering single frames, and a
    quarter of the time of ``view[starts]``.
    """
    view = vectors(frames, size) if len(frames) else frames  # without clips there are no rows
    return lambda starts: view.index_select(0, starts)


def images_of(frames: Tensor, size: int) -> Callable[[Tensor], Tensor]:
    """A function: first frames -> their images, [n, 1, mels, size]. They are gathered as `rows_of` gathers vectors."""
    row, mels = rows_of(frames, size), frames.shape[1]
    return lambda starts: row(starts).view(-1, 1, size, mels).transpose(2, 3)


def split_tail(count: int, fraction: float) -> tuple[Tensor, Tensor]:
    """Positions to train on, and the last `fraction` of positions held out, as validation_split of Keras does."""
    training_count = int(count * (1 - fraction))
    return torch.arange(training_count), torch.arange(training_count, count)


def split_random(count: int, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As `split_tail`, but the positions to hold out are drawn at random."""
    training_count = int(count * (1 - fraction))
    order = torch.randperm(count, generator=generator)
    return order[:training_count].sort().values, order[training_count:].sort().values


def batches(order: Tensor, size: int) -> list[Tensor]:
    """`order` in batches of `size`. A last batch of one joins the one before: batch normalisation needs two."""
    pieces = list(torch.split(order, size))
    if len(pieces) > 1 and len(pieces[-1]) == 1:
        pieces[-2:] = [torch.cat(pieces[-2:])]
    return pieces


def run_epochs(
    nets: Sequence[nn.Module],
    step: Step,
    count: int,
    epochs: int,
    batch_size: int,
    generator: torch.Generator,
    positions_on: torch.device | None = None,
) -> Iterator[Progress]:
    """Train by calling `step` on batches of `count` positions; yield the mean losses after each epoch.

    The order of positions is new in each epoch. The nets are put into training mode before each epoch, because a call
    of `score` in between leaves them in eval mode. The loop waits for the device once per epoch, at its end; a `step`
    must not wait. Positions are on the nets' device, or on `positions_on`.
    """
    if count < MIN_VECTORS:
        raise AsdRayError(
            f"training needs at least {MIN_VECTORS} vectors but got {count}; use more clips or longer ones"
        )
    device = next(weight for net in nets for weight in net.parameters()).device
    with kept_memory() if device.type == "cpu" else nullcontext():
        for epoch in range(1, epochs + 1):
            for net in nets:
                net.train()
            sums: dict[str, Tensor] = {}
            for batch in batches(torch.randperm(count, generator=generator).to(positions_on or device), batch_size):
                for name, loss in step(batch).items():
                    sums[name] = sums.get(name, 0) + loss.detach() * len(batch)
            yield Progress(epoch, {name: float(total) / count for name, total in sums.items()})


def minimise(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of the optimiser down the gradient of `loss`."""
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def autocast(context: Context, *nets: nn.Module) -> torch.autocast:
    """bfloat16 in matrix products and convolutions of nets that train: on a GPU, and on a CPU if the user wants it.

    On a CPU, nets with depthwise convolutions stay in float32, since bfloat16 makes these slower.
    """
    kind, training = context.device.type, all(net.training for net in nets)
    if kind == "cuda":
        return torch.autocast("cuda", torch.bfloat16, enabled=training)
    wanted = kind == "cpu" and context.bfloat16 and training and cpu_has_bfloat16()
    return torch.autocast("cpu", torch.bfloat16, enabled=wanted and not any(map(_is_depthwise, nets)))


def _is_depthwise(net: nn.Module) -> bool:
    return any(isinstance(part, nn.Conv2d) and part.groups > 1 for part in net.modules())


@functools.cache
def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself. Elsewhere torch imitates it, which is slower than float32."""
    capabilities: Callable[[], dict[str, object]] = getattr(torch.cpu, "get_capabilities", dict)  # not in torch 2.8
    known = capabilities()
    return any(known.get(name) is True for name in ("avx512_bf16", "amx_bf16", "bf16"))


def train(
    net: DenseNet,
    inputs_and_targets: InputsAndTargets,
    starts: Tensor,
    held_out: Tensor,
    settings: TrainingSettings,
    generator: torch.Generator,
) -> Iterator[Progress]:
    """Minimise the mean squared error over `starts`, and report that over `held_out`; both are first frames."""
    device = next(net.parameters()).device
    weights, gradients = flatten_parameters(net)
    gradient_step = manual_step(net) if device.type == "cpu" else autograd_step(net, gradients)
    optimiser = torch.optim.Adam([weights], lr=settings.lr, eps=settings.adam_eps, fused=True)
    starts, held_out = starts.to(device), held_out.to(device)

    def step(positions: Tensor) -> dict[str, Tensor]:
        loss = gradient_step(*inputs_and_targets(starts[positions]))
        optimiser.step()
        return {"train": loss}

    for progress in run_epochs([net], step, len(starts), settings.epochs, settings.batch_size, generator):
        if len(held_out):
            progress.losses["validation"] = _mean_loss(net, inputs_and_targets, held_out)
        yield progress


@torch.inference_mode()
def _mean_loss(net: nn.Module, inputs_and_targets: InputsAndTargets, starts: Tensor) -> float:
    net.eval()
    total = torch.zeros((), device=starts.device)
    for chunk in torch.split(starts, CHUNK):
        inputs, targets = inputs_and_targets(chunk)
        total += mse_loss(net(inputs), targets) * len(chunk)
    return float(total) / len(starts)


def clip_chunks(windows: Windows, at_most: int = CHUNK) -> Iterator[tuple[slice, Windows]]:
    """The windows in chunks of whole clips, about `at_most` windows each, and which clips each chunk holds."""
    ends = np.cumsum(windows.counts)
    first_clip = 0
    while first_clip < len(windows.counts):
        first_window = int(ends[first_clip] - windows.counts[first_clip])
        next_clip = max(first_clip + 1, int(np.searchsorted(ends, first_window + at_most, "right")))
        chunk = slice(first_window, int(ends[next_clip - 1]))
        yield (
            slice(first_clip, next_clip),
            Windows(
                windows.start[chunk],
                windows.clip[chunk] - first_clip,
                windows.counts[first_clip:next_clip],
                windows.size,
            ),
        )
        first_clip = next_clip


def window_starts(windows: Windows, device: torch.device | str = "cpu") -> Tensor:
    """The first frames of the windows, as a tensor."""
    return torch.from_numpy(windows.start).to(device)


def as_scores(values: Tensor) -> npt.NDArray[np.floating]:
    """One score per clip, as float64 in numpy."""
    scores: npt.NDArray[np.floating] = values.double().cpu().numpy()
    return scores


def cpu_weights(net: nn.Module) -> dict[str, Tensor]:
    """The net's weights for a state: copies on the CPU, so that further training does not change them."""
    return {name: value.detach().cpu().clone() for name, value in net.state_dict().items()}
