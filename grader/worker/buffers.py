"""Arguments whose memory is used again: the same objects with new values in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def fill(kept: Any, new: Any) -> bool:
    """Write the values of `new` into the tensors and arrays of `kept`, in place.

    Returns whether that was possible: both must be alike but for these values. If not, `kept` may be half changed.
    """
    if type(kept) is not type(new):
        return False
    if isinstance(new, torch.Tensor):
        if kept.shape != new.shape or kept.dtype != new.dtype:
            return False
        kept.detach().copy_(new)
        return True
    if isinstance(new, np.ndarray):
        if kept.shape != new.shape or kept.dtype != new.dtype or not kept.flags.writeable:
            return False
        np.copyto(kept, new)
        return True
    if isinstance(new, dict):
        return kept.keys() == new.keys() and all(fill(kept[key], value) for key, value in new.items())
    if isinstance(new, (list, tuple)):
        return len(kept) == len(new) and all(map(fill, kept, new))
    return bool(kept == new)
