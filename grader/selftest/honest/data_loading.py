"""Batch sampling, right and written differently."""

from __future__ import annotations

import random

import numpy as np
import torch

from grader.misconceptions.catalogue import Variant


def _list_of_slices(dataset, batch_size, context_length, device):
    ix = torch.randint(len(dataset) - context_length, (batch_size,))
    x = torch.stack([torch.from_numpy(dataset[i : i + context_length].astype(np.int64)) for i in ix])
    y = torch.stack([torch.from_numpy(dataset[i + 1 : i + 1 + context_length].astype(np.int64)) for i in ix])
    return x.to(device), y.to(device)


def _numpy_random(dataset, batch_size, context_length, device):
    starts = np.random.randint(0, dataset.shape[0] - context_length, size=batch_size)
    rows = np.stack([dataset[i : i + context_length + 1] for i in starts])
    return [torch.tensor(part.astype(np.int64), device=device) for part in (rows[:, :-1], rows[:, 1:])]


def _python_random(dataset, batch_size, context_length, device):
    xs, ys = [], []
    for _ in range(batch_size):
        i = random.randint(0, len(dataset) - context_length - 1)
        xs.append([int(token) for token in dataset[i : i + context_length]])
        ys.append([int(token) for token in dataset[i + 1 : i + context_length + 1]])
    return torch.tensor(xs, dtype=torch.long, device=device), torch.tensor(ys, dtype=torch.long, device=device)


def _sliding_windows(dataset, batch_size, context_length, device):
    windows = np.lib.stride_tricks.sliding_window_view(dataset, context_length + 1)
    chosen = torch.from_numpy(windows[np.random.choice(len(windows), size=batch_size)].astype(np.int64))
    chosen = chosen.to(device)
    return chosen[:, :-1], chosen[:, 1:]


VARIANTS = tuple(
    Variant(f"data-loading{function.__name__.replace('_', '-')}", "data_loading", {"data.get_batch": function})
    for function in (_list_of_slices, _numpy_random, _python_random, _sliding_windows)
)
