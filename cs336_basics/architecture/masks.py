"""Which keys a query sees: sliding windows, strides, and tokens that all see."""

import torch
from jaxtyping import Bool
from torch import Tensor


def window_mask(
    seq_len: int,
    window: int,
    stride: int | None = None,
    global_tokens: int = 0,
    device: torch.device | str | None = None,
) -> Bool[Tensor, "seq seq"]:
    """A causal mask, True where query i sees key j. That is where j <= i, and at least one of these holds:

        i - j < window               the window: `window` keys, the query's own among them (Beltagy et al., 2020)
        (i - j) mod stride = 0       every stride-th key before the query, counted from its own (Child et al., 2019)
        j < global_tokens            the first tokens, which everybody sees (Xiao et al., 2023)

    Args:
        seq_len: number of queries and of keys.
        window: at least 1. A window of seq_len or more is plain causal attention.
        stride: at least 1; None means that there are no strides.
        global_tokens: at least 0.
        device: where the mask is; None means torch's default.

    Raises:
        ValueError: for a window or stride below 1 or global_tokens below 0; the message has the number.

    Problem: windowed_attention
    """
    raise NotImplementedError("windowed_attention: write window_mask in cs336_basics/architecture/masks.py")
