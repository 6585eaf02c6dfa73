"""A driver that says how many numbers a call holds in tensors at one time."""

from __future__ import annotations

import contextlib
import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from ..operations import Operations


def numbers_held(operations: Operations, adapter: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """The output of an adapter, and how many floating-point numbers the tensors it made held at most at one time.

    Counted is what PyTorch's functions return: memory that several tensors share, once; that of the inputs, not at all.
    """
    held = _Held(value for value in inputs.values() if isinstance(value, torch.Tensor))
    with torch.no_grad(), held:
        output = operations.adapter(adapter, **inputs)
    return {"output": output, "held": held.most}


class _Held(TorchFunctionMode):
    """Counts the numbers in the memory of all tensors that are made meanwhile, for as long as one of them lives."""

    def __init__(self, given: Any) -> None:
        super().__init__()
        self.most = 0
        self._now = 0
        self._given = {tensor.untyped_storage().data_ptr() for tensor in given}
        self._users: dict[int, set[int]] = {}
        """By address of memory: which tensors, by id, are alive that use it."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (list, tuple)) else (result,):
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
                with contextlib.suppress(NotImplementedError, RuntimeError):  # tensors without memory
                    self._note(tensor)
        return result

    def _note(self, tensor: torch.Tensor) -> None:
        memory = tensor.untyped_storage()
        address, numbers = memory.data_ptr(), memory.nbytes() // tensor.element_size()
        if address in self._given or id(tensor) in self._users.get(address, ()):
            return
        if address not in self._users:
            self._users[address] = set()
            self._now += numbers
            self.most = max(self.most, self._now)
        self._users[address].add(id(tensor))
        weakref.finalize(tensor, self._forget, address, id(tensor), numbers).atexit = False

    def _forget(self, address: int, tensor: int, numbers: int) -> None:
        users = self._users.get(address)
        if users is None or tensor not in users:
            return
        users.remove(tensor)
        if not users:
            del self._users[address]
            self._now -= numbers


DRIVERS = (numbers_held,)
