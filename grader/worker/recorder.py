"""The recorder: what one call of a submission computes, operation by operation, and at which of its lines.

A call that went wrong is made once more under PyTorch's function mode, which is told of every public operation: of
`@` and `+=` as well as of functions and methods, in the order in which the code asks for them. (The dispatch mode below
it sees more, and in pieces: three operators where the student wrote one einsum.) The innermost frame outside of
libraries says where: if it is none of the submission's, the operation is a driver's or torch's own, and is left out.
What autograd does by itself, and what TorchScript runs, is not seen.

NumPy's functions ask no mode. Arrays are seen where tensors become arrays, and where the submission's functions return
them.

What comes of it is data for an explanation, and no point depends on it: code that behaves differently when it is
recorded fools its author only. It is bounded in the number of values, in the size of each, in bytes and in seconds.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

_MOST_STEPS = 1500
_MOST_NUMBERS = 1 << 15
"""Of one value; a larger one is a step without a value."""

_MOST_BYTES = 16 << 20
_SECONDS = 3.0
"""Of processor time; a clock ends what waits after `_GUARD` times as long. On a busy machine a second does little."""
_GUARD = 10.0

_CALLERS = 8
_ARRAYS = 16
"""From so many arrays before it, the last ones, one that a function returns may come: nobody sees from which."""

_NAME_LIMIT = 60
_PATH_LIMIT = 300
_ARGUMENT_DEPTH = 3

_HERE = os.path.dirname(os.path.realpath(__file__)) + os.sep
_OVERWRITES = frozenset({"copy_", "__set__", "set_", "fill_", "zero_", "normal_", "uniform_"})
"""After these, nothing is left of what a tensor held before."""

_WRITES = frozenset({"__setitem__", "copy_", "index_put_", "index_copy_", "index_fill_", "scatter_", "set_"})

Recording = dict[str, Any]
"""steps: a list of {"file", "line", "call": which call of a function, counted, the line belongs to, "callers": [file,
line] of the submission's calls that led there, from the innermost outwards, "name" of the operation, "value": array or
None, "from": indices of earlier steps that it was computed from, "writes": whether it wrote into a tensor that was
there before}; answer: what the call gave; ended: what the call raised, as {"type", "file", "line"}, or None; full:
whether something was left out as a bound was reached."""


class Recorder(TorchFunctionMode):
    """Records one call.

    Args:
        root: the submission's folder.
    """

    def __init__(self, root: str) -> None:
        super().__init__()
        self._root = os.path.realpath(root) + os.sep
        self._own: dict[str, str] = {}
        self._steps: list[dict[str, Any]] = []
        self._bytes = 0
        self._full = False
        self._results: list[Any] = []
        self._frames: list[types.FrameType] = []
        """What the ids and addresses below stand for: kept, so that none is given away again."""
        self._step_of: dict[int, int] = {}
        self._writer_of: dict[int, int] = {}
        self._calls: dict[int, int] = {}
        self._ends = time.thread_time() + _SECONDS
        self._ends_at = time.monotonic() + _GUARD * _SECONDS

    def record(self, call: Callable[[], Any]) -> Recording:
        """Make the call; whatever it raises is part of the recording."""
        ended = answer = None
        before = sys.getprofile()
        try:
            with _eager():
                if before is None:
                    sys.setprofile(self._on_return)
                with self:
                    answer = call()
        except (Exception, SystemExit) as error:
            ended = self._place_of(error)
        finally:
            if before is None:
                sys.setprofile(None)
        return {"steps": self._steps, "answer": answer, "ended": ended, "full": self._full}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not self._full and (place := self._own_frame(sys._getframe(1))):
            with contextlib.suppress(
                RuntimeError, TypeError, NotImplementedError
            ):  # tensors without values, as in vmap
                self._note(str(getattr(func, "__name__", "")), place, [*args, *kwargs.values()], result)
        return result

    def _on_return(self, frame: types.FrameType, event: str, returned: Any) -> None:
        if event != "return" or type(returned) is not np.ndarray or self._full or id(returned) in self._step_of:
            return
        if self._file(frame.f_code.co_filename):
            origins = [i for i, result in enumerate(self._results) if isinstance(result, np.ndarray)]
            self._add(frame.f_code.co_name, frame, origins[-_ARRAYS:], returned, False)

    # ------------------------------------------------------------------------------------------------------------

    def _note(self, name: str, frame: types.FrameType, arguments: list[Any], result: Any) -> None:
        if time.thread_time() > self._ends or time.monotonic() > self._ends_at:
            self._full = True
            return
        sources = [tensor for item in arguments for tensor in _tensors(item)]
        writes = name in _WRITES or (result is None and bool(sources))
        results = _tensors(result) if result is not None else sources[:1] if writes else []
        if isinstance(result, (float, np.ndarray)):
            results = [result]
        if name == "__get__" and any(self._step_of.get(id(r)) is not None for r in results):
            return  # an attribute, such as the gradient, that is known
        read = sources[1:] if name in _OVERWRITES else sources
        origins = sorted({step for tensor in read for step in self._steps_of(tensor)})
        writes = writes or any(any(r is s for s in sources) for r in results)
        for one in results:
            self._add(name, frame, origins, one, writes)

    def _steps_of(self, value: Any) -> Iterator[int]:
        """The steps that an argument came from: that which made it, and the last one that wrote into its memory."""
        for known, key in ((self._step_of, id(value)), (self._writer_of, _address(value))):
            if key in known:
                yield known[key]

    def _add(self, name: str, frame: types.FrameType, origins: list[int], value: Any, writes: bool) -> None:
        if len(self._steps) >= _MOST_STEPS:
            self._full = True
            return
        if id(frame) not in self._calls:
            self._calls[id(frame)] = len(self._calls)
            self._frames.append(frame)
        step = {
            "file": self._file(frame.f_code.co_filename)[:_PATH_LIMIT],
            "line": frame.f_lineno,
            "call": self._calls[id(frame)],
            "callers": self._callers(frame),
            "name": name[:_NAME_LIMIT],
            "value": self._copied(value),
            "from": origins,
            "writes": writes,
        }
        index = len(self._steps)
        self._steps.append(step)
        self._results.append(value)
        self._step_of[id(value)] = index
        if writes:
            self._writer_of[_address(value)] = index

    def _callers(self, frame: types.FrameType) -> list[list[Any]]:
        found: list[list[Any]] = []
        outer = self._own_frame(frame.f_back)
        while outer is not None and len(found) < _CALLERS:
            found.append([self._file(outer.f_code.co_filename)[:_PATH_LIMIT], outer.f_lineno])
            outer = self._own_frame(outer.f_back)
        return found

    def _copied(self, value: Any) -> np.ndarray | None:
        """A copy of a value, if it is a number or numbers and there is room for it."""
        if isinstance(value, torch.Tensor):
            if not 0 < value.numel() <= _MOST_NUMBERS or value.device.type == "meta":
                return None
            plain = value.detach().cpu()
            if plain.is_complex():
                plain = torch.view_as_real(plain.resolve_conj())
            if not plain.is_floating_point():
                return None
            array = plain.to(torch.float64 if plain.dtype is torch.float64 else torch.float32).numpy().copy()
        else:
            array = np.asarray(value)
            if not 0 < array.size <= _MOST_NUMBERS or array.dtype.kind != "f":
                return None
            array = array.astype(array.dtype if array.dtype.itemsize in (4, 8) else np.float32)  # a copy
        if self._bytes + array.nbytes > _MOST_BYTES:
            self._full = True
            return None
        self._bytes += array.nbytes
        return array

    # ------------------------------------------------------------------------------------------------------------

    def _own_frame(self, frame: types.FrameType | None) -> types.FrameType | None:
        """The innermost frame of the submission from here on; None when the worker's own code comes first."""
        while frame is not None:
            if frame.f_code is not _OWN_CODE:
                name = frame.f_code.co_filename
                if self._file(name):
                    return frame
                if _is_here(name):
                    return None
            frame = frame.f_back
        return None

    def _file(self, name: str) -> str:
        """A source file's path within the submission; "" for one of something else."""
        if name not in self._own:
            real = os.path.realpath(name)
            is_own = (
                os.path.isabs(name)
                and real.startswith(self._root)
                and not real.startswith(_HERE)
                and "site-packages" not in real
            )
            self._own[name] = real[len(self._root) :].replace(os.sep, "/") if is_own else ""
        return self._own[name]

    def _place_of(self, error: BaseException) -> dict[str, Any]:
        """What ended the call, and the innermost line of the submission on its way."""
        found: tuple[str, int] = ("", 0)
        trace = error.__traceback__
        while trace is not None:
            if file := self._file(trace.tb_frame.f_code.co_filename):
                found = file, trace.tb_lineno
            trace = trace.tb_next
        return {"type": type(error).__name__[:_NAME_LIMIT], "file": found[0][:_PATH_LIMIT], "line": found[1]}


_OWN_CODE = Recorder.__torch_function__.__code__


@functools.cache
def _is_here(name: str) -> bool:
    """Whether a source file is of the worker itself."""
    return os.path.realpath(name).startswith(_HERE)


def _tensors(value: Any, depth: int = 0) -> list[Any]:
    """The tensors in an argument or a result, as far as they are in plain sight."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (list, tuple)) and depth < _ARGUMENT_DEPTH:
        return [tensor for item in value for tensor in _tensors(item, depth + 1)]
    return []


def _address(value: Any) -> int:
    """Where the memory of a tensor begins, which its views share; 0 where there is none."""
    try:
        return value.untyped_storage().data_ptr() if isinstance(value, torch.Tensor) else 0
    except (NotImplementedError, RuntimeError):
        return 0


def _eager() -> contextlib.AbstractContextManager[Any]:
    """Compiled functions run as they are written meanwhile."""
    if "torch._dynamo" not in sys.modules:
        return contextlib.nullcontext()
    return torch.compiler.set_stance("force_eager")
