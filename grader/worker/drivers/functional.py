"""Drivers for pure functions: gradients through them, and whether they leave their inputs alone."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from ..faults import ContractBroken

if TYPE_CHECKING:
    from ..bench import Bench


def gradients(
    bench: Bench, adapter: str, inputs: dict[str, Any], wrt: list[str], cotangent: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Vector-Jacobian products of an adapter: d(sum(output * cotangent)) / d(input) for each name in `wrt`.

    Raises:
        ContractBroken: when the output does not depend on the inputs as far as autograd can see.
    """
    leaves = {name: inputs[name].detach().requires_grad_(True) for name in wrt}
    output = bench.adapter(adapter, **{**inputs, **leaves})
    if not isinstance(output, torch.Tensor) or not output.requires_grad:
        raise ContractBroken(
            f"{adapter} returned a result that autograd cannot follow back to {', '.join(wrt)}: "
            "something on the way detaches it (.data, .detach(), .item(), NumPy or torch.no_grad)"
        )
    found = torch.autograd.grad((output * cotangent).sum(), list(leaves.values()), allow_unused=True)
    missing = [name for name, gradient in zip(leaves, found, strict=True) if gradient is None]
    if missing:
        raise ContractBroken(f"{adapter}: no gradient reaches {', '.join(missing)}")
    return {name: gradient for name, gradient in zip(leaves, found, strict=True) if gradient is not None}


def inputs_after(bench: Bench, adapter: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Call an adapter and return its output together with what its inputs are afterwards."""
    given = copy.deepcopy(inputs)
    return {"output": bench.adapter(adapter, **given), "inputs": given}


DRIVERS = (gradients, inputs_after)
