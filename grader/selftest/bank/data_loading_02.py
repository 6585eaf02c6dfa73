import numpy as np
import torch


def get_batch(dataset, batch_size, context_length, device):
    n = dataset.shape[0]
    if n <= context_length:
        raise ValueError(f"{n} tokens are too few for a context of {context_length}")
    ix = torch.randint(n - context_length, (batch_size,)).numpy()
    rows = [np.asarray(dataset[i : i + context_length], dtype=np.int64) for i in ix]
    x = torch.tensor(np.stack(rows), device=device)
    y = torch.roll(x, shifts=-1, dims=1)
    return x, y


def run_get_batch(dataset, batch_size, context_length, device):
    return get_batch(dataset, batch_size, context_length, device)
