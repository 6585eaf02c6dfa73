import numpy as np
import torch


def softmax(x, dim):
    a = x.detach().cpu().numpy().astype(np.float32)
    a = np.exp(a - a.max(axis=dim, keepdims=True))
    a = a / a.sum(axis=dim, keepdims=True)
    return torch.from_numpy(a)


def run_softmax(in_features, dim):
    return softmax(in_features, dim)
