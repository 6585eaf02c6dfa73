import numpy as np
import torch


def get_batch(dataset, batch_size, context_length, device):
    num_chunks = (len(dataset) - 1) // context_length
    if num_chunks < 1:
        raise ValueError("The dataset is shorter than one window and its target.")
    chunk = torch.randint(num_chunks, (batch_size,))
    starts = chunk * context_length
    inputs = np.stack([dataset[s : s + context_length] for s in starts])
    targets = np.stack([dataset[s + 1 : s + 1 + context_length] for s in starts])
    inputs, targets = torch.tensor(inputs.astype(np.int64)), torch.tensor(targets.astype(np.int64))
    return inputs.to(device), targets.to(device)


def run_get_batch(dataset, batch_size, context_length, device):
    return get_batch(dataset, batch_size, context_length, device)
