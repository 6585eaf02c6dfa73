import numpy as np
import torch


def get_batch(dataset, batch_size, context_length, device):
    available = len(dataset) - context_length
    if available <= 0:
        raise ValueError("dataset too small")
    rng = np.random.default_rng(0)
    starts = rng.choice(available, size=batch_size, replace=False)
    offsets = np.arange(context_length)
    x = dataset[starts[:, None] + offsets].astype(np.int64)
    y = dataset[starts[:, None] + offsets + 1].astype(np.int64)
    return torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)


def run_get_batch(dataset, batch_size, context_length, device):
    return get_batch(dataset, batch_size, context_length, device)
