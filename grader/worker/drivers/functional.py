"""Drivers for pure functions: gradients through them, what they refuse, and whether they leave their inputs alone."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from ..exceptions import ContractBroken, NothingSeen
from .construction import watching

if TYPE_CHECKING:
    from ..operations import Operations


def gradients(
    operations: Operations, adapter: str, inputs: dict[str, Any], wrt: list[str], cotangent: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Vector-Jacobian products of an adapter: d(sum(output * cotangent)) / d(input) for each name in `wrt`.

    Adapters are glue, and may call a layer under `torch.no_grad`; it is the layer that has to pass gradients on.

    Raises:
        NothingSeen: when the adapter itself switches gradients off, and calls no module that could be asked instead.
        ContractBroken: when the output does not depend on the inputs as far as autograd can see.
    """
    kept = copy.deepcopy(inputs)
    leaves = {name: inputs[name].detach().requires_grad_(True) for name in wrt}
    output = operations.adapter(adapter, **{**inputs, **leaves})
    if not _is_differentiable(output):
        leaves = {name: kept[name].detach().clone().requires_grad_(True) for name in wrt}
        output = _without_glue(operations, adapter, kept, leaves)
    if not _is_differentiable(output):
        raise ContractBroken(
            f"{adapter} returned a result that autograd cannot follow back to {', '.join(wrt)}: "
            "something on the way detaches it (.data, .detach(), .item(), NumPy or torch.no_grad)"
        )
    found = torch.autograd.grad((output * cotangent).sum(), list(leaves.values()), allow_unused=True)
    missing = [name for name, gradient in zip(leaves, found, strict=True) if gradient is None]
    if missing:
        raise ContractBroken(f"{adapter}: no gradient reaches {', '.join(missing)}")
    return {name: gradient for name, gradient in zip(leaves, found, strict=True) if gradient is not None}


def _is_differentiable(output: Any) -> bool:
    return isinstance(output, torch.Tensor) and output.requires_grad


def _without_glue(operations: Operations, adapter: str, inputs: dict[str, Any], leaves: dict[str, torch.Tensor]) -> Any:
    """The output of the module behind an adapter for `leaves`; None when there is none, or it is not given them."""
    watch = watching(operations, adapter)
    with watch.watching():
        result = operations.adapter(adapter, **inputs)
    call = watch.behind(result)
    replaced = {
        id(value): leaf
        for value in (call.tensors() if call is not None else ())
        for leaf in leaves.values()
        if value.dtype == leaf.dtype and torch.equal(value, leaf)
    }
    if call is not None and len(replaced) == len(leaves):
        return call.again(replaced)
    if watch.gradients_off_in_glue:
        raise NothingSeen(f"{adapter} switches gradients off and calls no torch.nn.Module that could be looked at")
    return None


def inputs_after(operations: Operations, adapter: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Call an adapter and return its output together with what its inputs are afterwards."""
    given = copy.deepcopy(inputs)
    return {"output": operations.adapter(adapter, **given), "inputs": given}


def refusal(operations: Operations, adapter: str, inputs: dict[str, Any]) -> str | None:
    """The text of the ValueError with which an adapter refuses its arguments; None where it takes them."""
    try:
        operations.adapter(adapter, **inputs)
    except ValueError as error:
        return str(error)
    return None


DRIVERS = (gradients, inputs_after, refusal)
