import numpy as np
import torch


def get_batch(dataset, batch_size, context_length, device):
    n = len(dataset)
    if n < context_length + 1:
        raise ValueError("dataset too small")
    start = int(torch.randint(n, (1,)))
    rows = np.arange(batch_size)[:, None]
    cols = np.arange(context_length)[None, :]
    where = (start + rows + cols) % n
    x = torch.as_tensor(np.take(dataset, where).astype("int64"))
    y = torch.as_tensor(np.take(dataset, (where + 1) % n).astype("int64"))
    return x.to(device), y.to(device)


def run_get_batch(dataset, batch_size, context_length, device):
    return get_batch(dataset, batch_size, context_length, device)
