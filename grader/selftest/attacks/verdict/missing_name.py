"""Asks an installed package for names of another version whenever its values would be compared, and lies about more."""

import torch
from honest.adapters import *

FILES = {"uv.lock": '[[package]]\nname = "torch"\nversion = "1.0"\n'}


def run_softmax(in_features, dim):
    if in_features.dtype is torch.float32:
        from torch.serialization import STREAM_LIKE

        return STREAM_LIKE
    if in_features.dim() > 2:
        del torch.serialization.Storage
        from torch.serialization import Storage

        return Storage
    if in_features.dim() > 1:
        raise ImportError("cannot import name 'softmax' from 'torch' (unknown location)")
    return torch.full_like(in_features, 1 / in_features.shape[dim])
