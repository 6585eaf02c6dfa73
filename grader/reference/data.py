"""Batches of training examples, cut from one long array of token ids."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


def get_batch(
    dataset: Int[np.ndarray, " tokens"], batch_size: int, context_length: int, device: str | torch.device
) -> tuple[Int[Tensor, "batch_size context_length"], Int[Tensor, "batch_size context_length"]]:
    """Draw `batch_size` random windows of the dataset, each with the window one token later.

    For a window that starts at i, the inputs are dataset[i : i + context_length] and the targets are
    dataset[i + 1 : i + context_length + 1]. Draw starts independently and uniformly from all for which both fit.
    Use torch's global generator, so that `torch.manual_seed` makes batches repeatable.

    Args:
        dataset: one-dimensional array of any integer type. It may be memory-mapped and far larger than
            memory: only the windows are read.
        batch_size: number of windows.
        context_length: number of tokens per window.
        device: where the two tensors are placed, such as "cpu" or "cuda:0".

    Returns:
        Inputs and targets, two int64 tensors of shape [batch_size, context_length] on `device`.

    Raises:
        ValueError: the dataset has fewer than context_length + 1 tokens.

    Problem: data_loading
    """
    starts = len(dataset) - context_length
    if starts < 1:
        raise ValueError(
            f"A window of {context_length} tokens and the token after it do not fit into a dataset of "
            f"{len(dataset)}; use a longer dataset or a smaller context_length."
        )
    start = torch.randint(starts, (batch_size, 1)).numpy()
    windows = torch.from_numpy(dataset[start + np.arange(context_length + 1)].astype(np.int64)).to(device)
    return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()
