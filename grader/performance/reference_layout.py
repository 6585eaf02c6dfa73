"""Where the code is that submissions are compared with. Imports no torch."""

from __future__ import annotations

from ..kit.paths import KIT
from ..submission.locate import locate
from ..worker.loader import Layout


def reference_layout(device: str) -> Layout:
    """The staff solution, or on a GPU (`device` is "cuda") the kernels."""
    return locate(KIT / "grader" / ("kernels" if device == "cuda" else "reference"))
