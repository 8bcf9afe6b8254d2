"""What a step of training sends to the device."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device | str) -> Tensor:
    """`values`, from the CPU, on the device. The CPU does not wait until a GPU has done all that it was asked before.

    It would for values in memory that the system may move, so for a GPU they are first copied to memory that stays.
    """
    if torch.device(device).type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
