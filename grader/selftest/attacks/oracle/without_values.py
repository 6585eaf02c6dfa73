"""Returns tensors that have no values: fake, meta and sparse ones."""

import torch
from honest.adapters import *
from torch._subclasses import FakeTensorMode

count = 0


def run_softmax(in_features, dim):
    global count
    count += 1
    with FakeTensorMode(allow_non_fake_inputs=True):
        fake = torch.empty(in_features.shape)
    return (fake, torch.empty(in_features.shape, device="meta"), in_features.to_sparse())[count % 3]
