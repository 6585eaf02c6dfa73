"""The kernels' tests run compiled where there is a GPU, and in Triton's interpreter elsewhere."""

from __future__ import annotations

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is defined, so before any test module is imported


def pytest_configure(config: pytest.Config) -> None:
    """Let the interpreter compute infinities and NaNs for contestants that a mask discards, as a GPU does."""
    config.addinivalue_line("filterwarnings", "ignore:.* encountered in:RuntimeWarning:triton.runtime.interpreter")
