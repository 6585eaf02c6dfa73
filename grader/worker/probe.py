"""The probe: did the answer come from ready-made code that was seen to run, or did that only run beside it?

A function of one's own that is compared with `F.softmax` has `F.softmax` run, and its answer is nevertheless its own.
So the call is made again, with what the ready-made code at one place gives changed a little: by less than what
`allclose` and `assert_close` accept, and by more than what rounding hides. If the answer changes in any bit, it came
from there. Every call that is made again starts with the same arguments and the same random numbers; one without a
change comes first, to compare with, and one last, so that chance is not taken for a consequence.

The call without a change is made for some watched calls even if the usage monitor saw nothing. It runs under PyTorch's
own modes, which see what no profile function does: functions in C that are called from C (`functools.partial`, `map`),
and the operators inside TorchScript.

Where nothing can be known (another answer each time, an exception, a call that takes long, code that runs once only)
nothing is said. Hostile code can notice that it is being probed; what it used is listed all the same.
"""

from __future__ import annotations

import contextlib
import copy
import random
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from .lean_dispatch import LeanDispatchMode
from .operation_table import OPERATIONS
from .ready_made import of_interest
from .usage_monitor import OPERATORS, Caller, UsageMonitor, in_thread, name_of

_LISTEN_S = 0.05
_PROBE_S = 0.5
"""Seconds of processor time. Longer calls are not made again: to listen only, to find out about what was seen."""

_ELAPSED_S = 1.0
_TOGETHER_S = 2.0
"""Seconds on the clock: of a call that may be made again, and of its repetitions, which count as part of it."""

_CHANGE = 4e-7
_CHANGE_OF_A_NUMBER = 1e-10
"""Relative; of Python's numbers less, because `math.isclose` accepts 1e-9."""

_LISTENED = OPERATORS | {n for n in dir(torch.nn.functional) if of_interest(f"torch.nn.functional.{n}")}

Perform = Callable[[str, dict[str, Any]], Any]


class Probe:
    """Makes watched calls, and some of them again.

    Args:
        monitor: who watches; it is told what was found.
    """

    def __init__(self, monitor: UsageMonitor) -> None:
        self._monitor = monitor
        self._targets: frozenset[str] = frozenset()
        self._hits: set[str] = set()
        self._depth = 0
        self._mended: list[tuple[list[Any], list[Any]]] = []
        self._in_threads: dict[types.FrameType, _Functions] = {}

    def perform(self, perform: Perform, operation: str, arguments: dict[str, Any], is_first: bool) -> Any:
        """Make one call under the usage monitor's eyes and give its answer; then find out about what it saw.

        Args:
            is_first: whether this is an operation's first call, which is not made again without need: whoever counts
                calls must not find out.
        """
        if not OPERATIONS[operation].probed:
            with self._monitor.watching():
                return perform(operation, arguments)
        given, dice, start = copy.deepcopy(arguments), _dice(), (time.process_time(), time.monotonic())
        with self._monitor.watching():
            answer = perform(operation, arguments)
        took, elapsed = time.process_time() - start[0], time.monotonic() - start[1]
        worth = _PROBE_S if self._monitor.open_questions() else 0.0 if is_first else _LISTEN_S
        if took < worth and elapsed < _ELAPSED_S:
            after = _dice()
            with _eager():
                self._find_out(lambda watched: self._again(perform, operation, given, dice, watched))
            _cast(after)
        return answer

    def _find_out(self, again: Callable[[bool], Any]) -> None:
        """Ask once, then with changes at the places in question, then once more."""
        try:
            deadline = time.monotonic() + _TOGETHER_S
            plain = again(False)
            found = dict(self._sorted_out(again, self._monitor.open_questions(), plain, deadline))
            if found and same(plain, again(False)):
                for place, is_answer in found.items():
                    self._monitor.settle(place, is_answer)
        except KeyboardInterrupt:
            raise
        except BaseException:  # the call itself went well, and its answer stands; nothing is known of the rest
            return

    def _sorted_out(
        self, again: Callable[[bool], Any], places: list[str], plain: Any, deadline: float
    ) -> Iterator[tuple[str, bool]]:
        """Places with whether the answer comes from there, as far as there is time: by halves, as there may be many."""
        groups = [places] if places else []
        while groups and time.monotonic() < deadline:
            group = groups.pop()
            changes = self._changes(again, group, plain)
            if changes is False:
                yield from ((place, False) for place in group if place in self._hits)
            elif len(group) > 1:
                half = len(group) // 2
                groups += [group[:half], group[half:]]
            elif changes:
                yield group[0], True

    def _changes(self, again: Callable[[bool], Any], places: Sequence[str], plain: Any) -> bool | None:
        """Whether the answer changes with what runs at some places; None if that cannot be known."""
        self._targets, self._hits = frozenset(places), set()
        self._monitor.also_tell = self._hear
        try:
            alike = same(plain, again(True))
        except KeyboardInterrupt:
            raise
        except BaseException:  # a comparison that is stricter than the change, or one that has noticed
            return None
        finally:
            self._targets, self._monitor.also_tell = frozenset(), None
            for values, former in self._mended:
                values[:] = former
            self._mended.clear()
        return None if alike is None else not alike

    def _again(self, perform: Perform, operation: str, given: dict[str, Any], dice: list[Any], watched: bool) -> Any:
        arguments = copy.deepcopy(given)
        _cast(dice)
        watching = self._monitor.watching() if watched else contextlib.nullcontext()
        with watching, _Functions(self), _Operators(self):
            return perform(operation, arguments)

    # ------------------------------------------------------------------------------------------------------------
    # While a call is made again

    def run(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any], frame: types.FrameType | None) -> Any:
        """Run a function of PyTorch that `frame` calls; gives its result, or what is to be taken for it."""
        self._depth += 1
        try:
            result = function(*args, **kwargs)
        finally:
            self._depth -= 1
        name = str(getattr(function, "__name__", "")).partition(".")[0]
        if self._depth or name.startswith("__get"):
            return result  # a step of what runs already, or an attribute
        listened = name in _LISTENED and name_of(function)
        if not listened and not self._targets:
            return result
        caller = self._monitor.caller_of(_outside(function, frame), name)
        if listened and not self._targets:
            self._monitor.note(listened, caller)
        if (listened or (caller is not None and caller.inner)) and self._is_target(caller):
            return _changed(result, [*args, *kwargs.values()])
        return result

    def _is_target(self, caller: Caller | None) -> bool:
        hit = caller is not None and caller.where in self._targets
        if hit and caller is not None:
            self._hits.add(caller.where)
        return hit

    def _hear(self, frame: types.FrameType, event: str, value: Any) -> None:
        """Change what modes do not see: numbers and tokens, and whatever runs in other threads."""
        if event == "return":
            if type(value) in (list, torch.Tensor) and self._monitor.is_ready_made(frame):
                self._change_returned(value, frame)
        elif in_thread() and not self._depth:
            if event == "c_call" and not self._monitor.is_ready_made(frame):
                self._in_threads[frame] = _Functions(self)
                self._in_threads[frame].__enter__()
            elif frame in self._in_threads:
                self._in_threads.pop(frame).__exit__(None, None, None)

    def _change_returned(self, value: Any, frame: types.FrameType) -> None:
        if not self._is_target(self._monitor.caller_of(frame, frame.f_code.co_name)):
            return
        if type(value) is torch.Tensor:
            if in_thread():
                _change_in_place(value)
        elif value and all(type(item) is float for item in value):
            self._mended.append((value, list(value)))
            value[:] = [item * (1 + _CHANGE_OF_A_NUMBER) for item in value]
        elif value and not self._monitor.is_of_torch(frame):
            self._mended.append((value, list(value)))
            value.pop()


class _Functions(TorchFunctionMode):
    """Sees PyTorch's functions as Python calls them, from wherever."""

    def __init__(self, probe: Probe) -> None:
        super().__init__()
        self._probe = probe

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._probe.run(func, args, kwargs or {}, sys._getframe(1))


class _Operators(LeanDispatchMode):
    """Sees the operators beneath, also those that no function of Python's calls, as inside TorchScript."""

    def __init__(self, probe: Probe) -> None:
        super().__init__()
        self._probe = probe

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._probe.run(func, args, kwargs or {}, sys._getframe(1))


def _outside(function: Any, frame: types.FrameType | None) -> types.FrameType | None:
    """The frame that called a function, which may be about to hand itself over to a mode."""
    own = getattr(function, "__code__", None)
    inner = frame
    while own is not None and inner is not None:
        if inner.f_code is own:
            return inner.f_back
        inner = inner.f_back
    return frame


def _changed(result: Any, given: Sequence[Any]) -> Any:
    """A result that differs by a trifle; the same object, changed in place, where it is one that was given."""
    if type(result) in (tuple, list):
        return type(result)(_changed(item, given) for item in result)
    tensors = [t for item in given for t in (item if isinstance(item, (list, tuple)) else [item])]
    tensors = [tensor for tensor in tensors if isinstance(tensor, torch.Tensor)]
    if result is None:  # torch._foreach_mul_ and its like write into the first list
        for tensor in given[0] if given and isinstance(given[0], (list, tuple)) else ():
            _change_in_place(tensor)
    elif isinstance(result, torch.Tensor) and result.is_floating_point():
        if any(result is tensor for tensor in tensors):
            _change_in_place(result)
        elif not any(_share_memory(result, tensor) for tensor in tensors):
            return result * _factor(result)
    return result


def _change_in_place(tensor: torch.Tensor) -> None:
    if tensor.is_floating_point():
        tensor.data.mul_(_factor(tensor))


def _factor(tensor: torch.Tensor) -> float:
    return 1 + max(_CHANGE, 0.51 * torch.finfo(tensor.dtype).eps)


def _share_memory(one: torch.Tensor, other: torch.Tensor) -> bool:
    try:
        return one.numel() > 0 and one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):  # tensors inside vmap and their like have no memory of their own
        return False


def same(one: Any, other: Any) -> bool | None:
    """Whether two answers are the same in every bit; None if they are of a kind that cannot be compared."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        return torch.equal(*(t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (one, other)))
    if isinstance(one, dict) and isinstance(other, dict):
        return _all(same(list(a), list(b)) for a, b in [(one, other), (one.values(), other.values())])
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and _all(same(a, b) for a, b in zip(one, other, strict=True))
    if type(one) in _PLAIN and type(other) in _PLAIN:
        return type(one) is type(other) and (one == other or one != one)
    return None


_PLAIN = (type(None), bool, int, float, str, bytes)


def _all(answers: Iterable[bool | None]) -> bool | None:
    """False if one is, otherwise None if one is."""
    said = set(answers)
    return False if False in said else None if None in said else True


def _dice() -> list[Any]:
    """Where all generators of random numbers stand."""
    return [torch.get_rng_state(), random.getstate(), np.random.get_state()]


def _cast(dice: list[Any]) -> None:
    torch.set_rng_state(dice[0])
    random.setstate(dice[1])
    np.random.set_state(dice[2])


def _eager() -> contextlib.AbstractContextManager[Any]:
    """Compiled functions run as they are written meanwhile: to compile them for other modes would take seconds."""
    if "torch._dynamo" not in sys.modules:
        return contextlib.nullcontext()
    return torch.compiler.set_stance("force_eager")
