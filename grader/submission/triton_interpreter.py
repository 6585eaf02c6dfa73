"""Triton without a GPU: its interpreter runs kernels on the CPU, on tensors that lie there."""

from __future__ import annotations

import os

INTERPRETED = {"TRITON_INTERPRET": "1", "TORCHDYNAMO_DISABLE": "1"}
"""The environment in which kernels are interpreted, and torch.compile leaves code as it is: what it would make is for a
GPU, or needs a C++ compiler, and gives the same values."""


def interpret_kernels() -> None:
    """Have the kernels of this process interpreted.

    To be called before anything imports triton, which looks as it defines its own functions.
    """
    os.environ.update(INTERPRETED)
