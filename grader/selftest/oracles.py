"""What comparisons of the architecture lab with other people's implementations have in common."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from grader.cases.case import Draw


def wide(draw: Draw, *shape: int) -> Tensor:
    """Standard normal values in float64."""
    return draw.normal(*shape, dtype=torch.float64)


def same(ours: Tensor, theirs: Tensor) -> None:
    """Both agree to nearly all digits of float64."""
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def module_of(name: str) -> Any:
    """A module of a package that may be missing; the test is skipped then."""
    return pytest.importorskip(name, reason=f"{name.partition('.')[0]} is an optional oracle")


def split(x: Tensor, weight: Tensor, heads: int) -> Tensor:
    """A projection [... seq features] as heads [... heads seq d_k]."""
    return F.linear(x, weight).unflatten(-1, (heads, -1)).transpose(-2, -3)
