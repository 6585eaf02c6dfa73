import numpy as np
import torch


def get_batch(dataset, batch_size, context_length, device):
    high = len(dataset) - context_length
    if high < 1:
        raise ValueError("not enough tokens")
    begin = torch.randint(high, (batch_size, 1))
    index = begin + torch.arange(context_length + 1)
    chunk = dataset[index.numpy()]
    chunk = torch.from_numpy(chunk.astype(np.int16)).long().to(device)
    return chunk[:, :-1], chunk[:, 1:]


def run_get_batch(dataset, batch_size, context_length, device):
    return get_batch(dataset, batch_size, context_length, device)
