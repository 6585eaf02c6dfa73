import torch


def softmax(x, dim):
    axis = abs(dim)
    if axis >= x.dim():
        axis = x.dim() - 1
    x = x.transpose(axis, -1)
    e = torch.exp(x - x.amax(-1, keepdim=True))
    probabilities = e / e.sum(-1, keepdim=True)
    return probabilities.transpose(axis, -1)


def run_softmax(in_features, dim):
    return softmax(in_features, dim)
