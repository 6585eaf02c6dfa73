"""Modes that see PyTorch's operators, without importing its compiler, which takes as long as PyTorch itself."""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode


class LeanDispatchMode(TorchDispatchMode):
    """A dispatch mode under which compiled code is not run, so that it needs no protection from the compiler.

    That protection is what imports `torch._dynamo` where a dispatch mode begins.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
