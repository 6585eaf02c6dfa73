"""Drivers for a cache of keys and values: what is in it, whether it moves, and how much is computed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..exceptions import ContractBroken
from ..lean_dispatch import LeanDispatchMode

if TYPE_CHECKING:
    from ..operations import Operations


def cache_contents(
    operations: Operations, adapter: str, sizes: dict[str, int], appended: list[dict[str, Any]]
) -> dict[str, Any]:
    """Make a cache, append to it, and say what it holds.

    Args:
        adapter: gives a cache with `keys`, `values`, `lengths` and `append(keys, values, counts)`.
        sizes: arguments of the adapter.
        appended: arguments of each call of `append`.

    Returns:
        keys, values: tensors as they are at the end; lengths: after each call; in_place: whether keys and values are at
        the end where they were at the start, and as large.

    Raises:
        ContractBroken: the cache has no such attributes.
    """
    cache = operations.adapter(adapter, **sizes, dtype=appended[0]["keys"].dtype)
    start = _where(cache)
    lengths = []
    for arguments in appended:
        cache.append(**arguments)
        lengths.append([int(length) for length in cache.lengths])
    return {
        "keys": cache.keys.clone(),
        "values": cache.values.clone(),
        "lengths": lengths,
        "in_place": _where(cache) == start,
    }


def matmul_work(operations: Operations, adapter: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """The output of an adapter, and the FLOPs of the matrix products that it took, 2 for each multiplication."""
    with torch.no_grad(), _MatmulWork() as seen:
        output = operations.adapter(adapter, **inputs)
    return {"output": output, "flops": seen.flops}


class _MatmulWork(LeanDispatchMode):
    """Counts as `torch.utils.flop_counter` does, whose import takes seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        if name in ("addmm", "baddbmm", "addmv"):
            self._product(*args[1:3])
        elif name in ("mm", "bmm", "mv", "dot", "vdot"):
            self._product(*args[:2])
        elif name.startswith("_scaled_dot_product"):
            q, k, v = args[:3]
            self.flops += 2 * q.numel() * k.shape[-2] + 2 * q[..., 0].numel() * k.shape[-2] * v.shape[-1]
        return function(*args, **(kwargs or {}))

    def _product(self, left: torch.Tensor, right: torch.Tensor) -> None:
        self.flops += 2 * left.numel() * (right.shape[-1] if right.ndim > 1 else 1)


def _where(cache: Any) -> list[tuple[int, tuple[int, ...]]]:
    found = []
    for name in ("keys", "values"):
        tensor = getattr(cache, name, None)
        if not isinstance(tensor, torch.Tensor):
            raise ContractBroken(f"the cache's `{name}` is no tensor, but {type(tensor).__name__}")
        found.append((tensor.data_ptr(), tuple(tensor.shape)))
    if not isinstance(getattr(cache, "lengths", None), torch.Tensor):
        raise ContractBroken("the cache has no tensor `lengths`")
    return found


DRIVERS = (cache_contents, matmul_work)
