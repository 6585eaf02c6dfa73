"""The kernels' tests run compiled where there is a GPU, and in Triton's interpreter elsewhere."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Let the interpreter compute infinities and NaNs for contestants that a mask discards, as a GPU does."""
    config.addinivalue_line("filterwarnings", "ignore:.* encountered in:RuntimeWarning:triton.runtime.interpreter")
