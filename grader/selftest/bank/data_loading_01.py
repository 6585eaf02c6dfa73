import numpy as np
import torch


def get_batch(dataset, batch_size, context_length, device):
    if len(dataset) < context_length + 1:
        raise ValueError("dataset too short")
    starts = torch.randint(0, len(dataset) - context_length - 1, (batch_size,))
    x = torch.stack([torch.from_numpy(dataset[s : s + context_length].astype(np.int64)) for s in starts.tolist()])
    y = torch.stack(
        [torch.from_numpy(dataset[s + 1 : s + 1 + context_length].astype(np.int64)) for s in starts.tolist()]
    )
    return x.to(device), y.to(device)


def run_get_batch(dataset, batch_size, context_length, device):
    return get_batch(dataset, batch_size, context_length, device)
