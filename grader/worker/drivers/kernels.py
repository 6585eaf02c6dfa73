"""Drivers for kernels: autograd functions for attention and RMSNorm, forward, backward, and what they save.

Where there is no GPU, Triton's interpreter runs the kernels on CPU tensors (see `submission/triton_interpreter.py`).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from ..exceptions import ContractBroken
from ..lean_interpreter import keep_interpreter_lean

if TYPE_CHECKING:
    from ..operations import Operations


def attention_output(
    operations: Operations, factory: str, Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor, is_causal: bool
) -> Any:
    """The output of the attention function that an adapter returns."""
    return _applied(operations, factory, Q, K, V, is_causal)


def attention_log_sum_exp(
    operations: Operations, factory: str, Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor, is_causal: bool
) -> torch.Tensor:
    """The one saved tensor of shape [batch, queries].

    Raises:
        ContractBroken: when none of that shape is saved, or several are.
    """
    output = _applied(operations, factory, *_leaves(Q, K, V), is_causal)
    saved = getattr(getattr(output, "grad_fn", None), "saved_tensors", None)
    if saved is None:
        raise ContractBroken(
            f"the output of {factory}().apply has no saved tensors: it is not what an autograd function returned "
            "that called ctx.save_for_backward"
        )
    found = [tensor for tensor in saved if tensor is not None and tensor.shape == Q.shape[:2]]
    if len(found) != 1:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in saved if tensor is not None)
        raise ContractBroken(
            f"of the saved tensors, {len(found)} have the shape [batch, queries] = {tuple(Q.shape[:2])}, where one "
            f"should, the log-sum-exp of the scores; saved are tensors of the shapes {shapes or '(none)'}"
        )
    return found[0]


def attention_gradients(
    operations: Operations,
    factory: str,
    Q: torch.Tensor,
    K: torch.Tensor,
    V: torch.Tensor,
    is_causal: bool,
    cotangent: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """The gradients of sum(output * cotangent)."""
    leaves = _leaves(Q, K, V)
    output = _applied(operations, factory, *leaves, is_causal)
    return _gradients(factory, output, cotangent, dict(zip(("dQ", "dK", "dV"), leaves, strict=True)))


def attention_largest_tensor(
    operations: Operations, factory: str, Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor, is_causal: bool
) -> dict[str, Any]:
    """The output, and how many elements the largest tensor had that PyTorch made on the way forward."""
    with _LargestTensor() as seen:
        output = _applied(operations, factory, Q, K, V, is_causal)
    return {"output": output, "elements": seen.elements}


def fused_rmsnorm_output(operations: Operations, factory: str, x: torch.Tensor, weight: torch.Tensor) -> Any:
    """The output of the RMSNorm function that an adapter returns."""
    return _applied(operations, factory, x, weight)


def fused_rmsnorm_gradients(
    operations: Operations, factory: str, x: torch.Tensor, weight: torch.Tensor, cotangent: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The gradients of sum(output * cotangent)."""
    leaves = _leaves(x, weight)
    output = _applied(operations, factory, *leaves)
    return _gradients(factory, output, cotangent, dict(zip(("dx", "dweight"), leaves, strict=True)))


def kernel_launches(
    operations: Operations, factory: str, inputs: list[Any], cotangent: torch.Tensor | None = None
) -> dict[str, Any]:
    """The output, and how many Triton kernels were launched for it, and for the gradients if a cotangent is given."""
    if "triton" not in sys.modules:  # which takes a second to import: not for what is still to be written
        _applied(operations, factory, *(x.clone() if isinstance(x, torch.Tensor) else x for x in inputs))
    leaves = [x.requires_grad_() if isinstance(x, torch.Tensor) else x for x in inputs]
    with _counted_launches() as count:
        output = _applied(operations, factory, *leaves)
        forward = count()
        if cotangent is not None:
            with _as_if_on_a_gpu(factory):
                (output * cotangent).sum().backward()
    return {"output": output.detach(), "forward": forward, "backward": count() - forward}


def _applied(operations: Operations, factory: str, *arguments: Any) -> Any:
    function = operations.adapter(factory)
    if not hasattr(function, "apply"):
        raise ContractBroken(
            f"{factory} returned {type(function).__name__}, not a class derived from torch.autograd.Function"
        )
    with _as_if_on_a_gpu(factory):
        return function.apply(*arguments)


def _leaves(*tensors: torch.Tensor) -> list[torch.Tensor]:
    return [tensor.detach().requires_grad_() for tensor in tensors]


def _gradients(
    factory: str, output: Any, cotangent: torch.Tensor, leaves: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    if not isinstance(output, torch.Tensor) or not output.requires_grad:
        raise ContractBroken(f"{factory}().apply returned a result that autograd cannot follow back to its inputs")
    with _as_if_on_a_gpu(factory):
        found = torch.autograd.grad((output * cotangent).sum(), list(leaves.values()), allow_unused=True)
    missing = [name for name, gradient in zip(leaves, found, strict=True) if gradient is None]
    if missing:
        raise ContractBroken(f"the backward pass of {factory}() returned None for {', '.join(missing)}")
    return {name: gradient for name, gradient in zip(leaves, found, strict=True) if gradient is not None}


@contextlib.contextmanager
def _as_if_on_a_gpu(factory: str) -> Iterator[None]:
    """Let tensors say that they are on a GPU: code with kernels asserts so, and the interpreter does not mind."""
    if not factory.endswith("triton"):
        yield
        return
    keep_interpreter_lean()
    torch.Tensor.is_cuda = property(lambda self: True)  # type: ignore[assignment]
    try:
        yield
    finally:
        del torch.Tensor.is_cuda  # what it was comes from the base class


class _LargestTensor(TorchFunctionMode):
    """Notes how many elements the largest tensor has that any operation gives."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (list, tuple)) else (result,):
            if type(tensor) is torch.Tensor:
                self.elements = max(self.elements, tensor.numel())
        return result


@contextlib.contextmanager
def _counted_launches() -> Iterator[Any]:
    """Counts the kernels that Triton's interpreter runs meanwhile; nothing where Triton is not installed."""
    try:
        from triton.runtime.interpreter import GridExecutor
    except ImportError:
        yield lambda: 0
        return
    launches = 0
    launch = GridExecutor.__call__

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal launches
        launches += 1
        return launch(self, *arguments, **options)

    GridExecutor.__call__ = counted
    try:
        yield lambda: launches
    finally:
        GridExecutor.__call__ = launch


DRIVERS = (
    attention_output,
    attention_log_sum_exp,
    attention_gradients,
    attention_largest_tensor,
    fused_rmsnorm_output,
    fused_rmsnorm_gradients,
    kernel_launches,
)
