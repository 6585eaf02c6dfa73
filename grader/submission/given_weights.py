"""A submission of our own in this process, spared the random first weights that its adapters overwrite at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from .in_process import InProcess

_ABOUT_ADAPTERS = ("gradients", "parameter_gradients", "inputs_after", "in_dtype")
"""Operations that call an adapter with `inputs`; not those that ask for its first weights, as `new_parameters` does."""


class GivenWeights(InProcess):
    """Trusted code, such as the reference, opened in this process.

    An adapter that is given all weights makes a layer, whose first weights are drawn at random, and overwrites them.
    Drawing takes as long as the whole of a small call; so these first weights are zeros here, which nobody sees.
    """

    def _perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        given = arguments["inputs"] if operation in _ABOUT_ADAPTERS else arguments
        with _zeros_for_draws() if _has_weights(given) else contextlib.nullcontext():
            return super()._perform(operation, arguments)


def _has_weights(arguments: Mapping[str, Any]) -> bool:
    return any(name == "weights" or name.endswith("_weight") for name in arguments)


@contextlib.contextmanager
def _zeros_for_draws() -> Iterator[None]:
    def zeros(tensor: torch.Tensor, *_: float, **__: float) -> torch.Tensor:
        with torch.no_grad():
            return tensor.zero_()

    drawing = torch.nn.init.trunc_normal_
    torch.nn.init.trunc_normal_ = zeros  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.nn.init.trunc_normal_ = drawing
