"""What is built while an adapter runs: modules as their constructors leave them, and the calls of modules.

Public submissions have adapters like `run_linear`, which build a layer, load the test's weights into it and call it.
Parameters before they are loaded, and the layer itself, can be seen only on the way. The watch is a profile function
(`sys.setprofile`), so it takes part in nothing: it notes when the outermost `__init__` of a module returns, and which
module was called with what, outside of any other module's `forward`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .exceptions import NothingSeen

_TORCH = os.path.dirname(os.path.realpath(torch.__file__)) + os.sep
_GRADIENT_MODES = os.path.join("torch", "autograd", "grad_mode.py")
_HERE = os.path.dirname(os.path.realpath(__file__)) + os.sep
_MOST_STATES = 6

# What torch.use_deterministic_algorithms calls, after it has imported torch's compiler, which takes seconds.
_set_deterministic = torch._C._set_deterministic_algorithms


@dataclass(frozen=True)
class State:
    """Parameters of a module at one moment: {name: value} and {name: requires_grad}.

    saved: the shapes of what its state dict holds, so that a checkpoint would keep it.
    """

    parameters: dict[str, Tensor]
    trainable: dict[str, bool]
    saved: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, module: nn.Module) -> State:
        named = dict(module.named_parameters())
        return cls(
            {name: value.detach().clone() for name, value in named.items()},
            {name: value.requires_grad for name, value in named.items()},
            tuple(tuple(value.shape) for value in module.state_dict().values() if isinstance(value, Tensor)),
        )

    def equals(self, other: State) -> bool:
        """Whether nothing has changed between the two."""
        return (
            self.trainable == other.trainable
            and self.parameters.keys() == other.parameters.keys()
            and all(_identical(value, other.parameters[name]) for name, value in self.parameters.items())
        )


@dataclass(eq=False)
class Built:
    """A module that was built, and what its parameters were before weights were loaded into it.

    states: when the constructor returned, and after each method of its own that was called then, which may be what
    gives it its first values.
    """

    module: nn.Module
    states: list[State] = field(default_factory=list)

    def note(self) -> None:
        if len(self.states) == _MOST_STATES or any(value.is_meta for value in self.module.parameters()):
            return
        state = State.of(self.module)
        if not self.states or not self.states[-1].equals(state):
            self.states.append(state)


@dataclass(eq=False)
class Call:
    """A module's `forward` that ran outside of any other's, with copies of the tensors it was given."""

    module: nn.Module
    positional: tuple[Any, ...]
    named: dict[str, Any]
    output: Any = None

    def again(self, replaced: dict[int, Tensor]) -> Any:
        """Make the call once more with gradients on; `replaced` names other tensors for some arguments, by id.

        Raises:
            NothingSeen: the module holds tensors of inference mode, which take part in no gradient.
        """
        arguments = [replaced.get(id(value), value) for value in self.positional]
        named = {name: replaced.get(id(value), value) for name, value in self.named.items()}
        try:
            with torch.inference_mode(False), torch.enable_grad():
                return self.module(*arguments, **named)
        except RuntimeError as error:
            if "nference tensor" in str(error):
                raise NothingSeen(f"{type(self.module).__name__} is built in inference mode") from error
            raise

    def tensors(self) -> list[Tensor]:
        """The tensors among its arguments."""
        return [value for value in (*self.positional, *self.named.values()) if isinstance(value, Tensor)]


class ConstructionMonitor:
    """Watches one call of an adapter.

    Args:
        adapter: the function that is called.
        glue: the file of the adapters; what its author does there is no part of a layer.
    """

    def __init__(self, adapter: Any, glue: str) -> None:
        self.built: list[Built] = []
        self.calls: list[Call] = []
        self.gradients_off_in_glue = False
        self._adapter = getattr(inspect.unwrap(adapter), "__code__", None)
        self._glue = glue
        self._making = 0
        self._running: list[types.FrameType] = []
        self._before: Any = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch what is enclosed. Memory that is handed out unwritten is filled with NaN, so that it can be told."""
        self._before = sys.getprofile()
        deterministic = torch.are_deterministic_algorithms_enabled()
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        _set_deterministic(True, warn_only=True)
        sys.setprofile(self._notice)
        try:
            yield
        finally:
            sys.setprofile(self._before)
            _set_deterministic(deterministic, warn_only=warn_only)

    def subjects(self) -> list[Built]:
        """The built modules that the adapter called; all that were built where it called none itself."""
        called = {id(call.module) for call in self.calls}
        return [built for built in self.built if id(built.module) in called] or self.built

    def behind(self, result: Any) -> Call | None:
        """The call of a module whose output the adapter returned, if it returned one as it was."""
        if not isinstance(result, Tensor):
            return None
        for call in reversed(self.calls):
            output = call.output
            if isinstance(output, Tensor) and output.dtype == result.dtype and torch.equal(output, result):
                _leave_inference_mode(call.module)
                return call
        return None

    # ------------------------------------------------------------------------------------------------------------
    # While the adapter runs

    def _notice(self, frame: types.FrameType, event: str, argument: Any) -> None:
        if self._before is not None:
            self._before(frame, event, argument)
        if event == "call":
            self._begins(frame)
        elif event == "return":
            self._ends(frame, argument)

    def _begins(self, frame: types.FrameType) -> None:
        code = frame.f_code
        if code.co_name in ("__enter__", "__init__") and code.co_filename.endswith(_GRADIENT_MODES):
            self.gradients_off_in_glue |= self._is_glue(frame.f_back)
        elif not isinstance(module := _first_argument(frame), nn.Module):
            return
        elif code in _codes(type(module), "__init__"):
            self._making += 1
        elif code in _codes(type(module), "forward"):
            if not self._running:
                self.calls.append(Call(module, *_arguments(frame)))
            self._running.append(frame)
        elif code.co_name == "load_state_dict" and (built := self._built(module)):
            built.note()

    def _ends(self, frame: types.FrameType, returned: Any) -> None:
        code = frame.f_code
        if self._running and frame is self._running[-1]:
            self._running.pop()
            if not self._running:
                self.calls[-1].output = returned.detach().clone() if isinstance(returned, Tensor) else None
        elif not isinstance(module := _first_argument(frame), nn.Module):
            return
        elif code in _codes(type(module), "__init__"):
            self._making -= 1
            if not self._making and not self._running and "_parameters" in vars(module):  # else it was never begun
                self.built.append(Built(module))
                self.built[-1].note()
        elif self._making or self._running:
            return
        elif (code.co_name == "apply" or not code.co_filename.startswith(_TORCH)) and (built := self._built(module)):
            built.note()

    def _built(self, value: Any) -> Built | None:
        return next((built for built in self.built if built.module is value), None)

    def _is_glue(self, frame: types.FrameType | None) -> bool:
        """Whether the adapter's own lines, or a decorator around it, are what switches gradients off."""
        while frame is not None and _real(frame.f_code.co_filename).startswith(_TORCH):
            frame = frame.f_back
        if frame is None or self._adapter is None or self._adapter.co_filename != self._glue:
            return False
        return frame.f_code is self._adapter or _real(frame.f_code.co_filename).startswith(_HERE)


def _leave_inference_mode(module: nn.Module) -> None:
    """Put ordinary tensors in the place of those that an adapter in inference mode has made."""
    ordinary: dict[int, Any] = {}
    with torch.inference_mode(False):
        for part in module.modules():
            for held in (part._parameters, part._buffers):
                for name, value in held.items():
                    if value is None or not value.is_inference():
                        continue
                    if id(value) not in ordinary:  # tied ones stay tied
                        copy = value.clone()
                        is_weight = isinstance(value, nn.Parameter)
                        ordinary[id(value)] = nn.Parameter(copy, value.requires_grad) if is_weight else copy
                    held[name] = ordinary[id(value)]


@functools.lru_cache(maxsize=4096)
def _real(file: str) -> str:
    return os.path.realpath(file)


SETS_PROFILE = inspect.unwrap(ConstructionMonitor.watching).__code__
"""The kit's own code that sets a profile function, and passes on to the one before it what it is told."""


def _codes(kind: type, method: str) -> list[types.CodeType]:
    """The code of a method of a class and of those that it inherits, whatever the functions are called."""
    functions = (inspect.unwrap(vars(base)[method]) for base in kind.__mro__ if method in vars(base))
    return [function.__code__ for function in functions if isinstance(function, types.FunctionType)]


def _first_argument(frame: types.FrameType) -> Any:
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None


def _arguments(frame: types.FrameType) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a method was called with, its module left out, as positional and named arguments."""
    code, values = frame.f_code, frame.f_locals
    ordinary, only_named = code.co_argcount, code.co_kwonlyargcount
    names = list(code.co_varnames[: ordinary + only_named])
    positional = [values.get(name) for name in names[1:ordinary]]
    named = {name: values.get(name) for name in names[ordinary:]}
    rest = iter(code.co_varnames[ordinary + only_named :])
    if code.co_flags & inspect.CO_VARARGS:
        positional += values.get(next(rest), ())
    if code.co_flags & inspect.CO_VARKEYWORDS:
        named |= values.get(next(rest), {})
    return tuple(map(_kept, positional)), {name: _kept(value) for name, value in named.items()}


def _identical(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and torch.allclose(one, other, 0, 0, equal_nan=True)


def _kept(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    with torch.inference_mode(False):
        return value.clone().detach()
