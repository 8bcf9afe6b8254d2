"""How pretrained nets are trained: AdamW whose rate rises and falls, and gradients that are never long.

Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; the rates of SGDR, ICLR 2017, without restarts.

Chosen here: the rate rises evenly over the first part of all steps and then falls to 0 in half a cosine; the gradient
of all parameters together has a norm of at most 1; vectors, such as biases and normalisations, do not decay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

LONGEST_GRADIENT = 1.0  # norm of the gradients of all parameters together


def gentle_adamw(
    parameters: Sequence[nn.Parameter], lr: float, weight_decay: float, warmup: float, steps: int
) -> torch.optim.AdamW:
    """The optimiser for `steps` steps; `warmup` is the part of them in which the rate rises."""
    matrices = [each for each in parameters if each.dim() > 1]
    vectors = [each for each in parameters if each.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, fused=True)
    taken = 0

    def before_step(*_: object) -> None:
        nonlocal taken
        nn.utils.clip_grad_norm_(parameters, LONGEST_GRADIENT)
        for group in optimiser.param_groups:
            group["lr"] = lr * rate_factor(taken, warmup, steps)
        taken += 1

    optimiser.register_step_pre_hook(before_step)
    return optimiser


def rate_factor(step: int, warmup: float, steps: int) -> float:
    """The learning rate of a step from 0, as a factor of the largest."""
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising)))
