"""One submission at work: calls its adapters, runs the drivers, keeps the objects that live between calls."""

from __future__ import annotations

import inspect
import itertools
import types
from typing import Any

import torch

from .drivers import DRIVERS
from .exceptions import NotProvided
from .operation_table import OPERATIONS
from .probe import Probe
from .recorder import Recorder, Recording
from .usage_monitor import UsageMonitor


class Operations:
    """The operations that tests ask of a submission: its adapters, and the drivers built on them.

    Args:
        adapters: the imported adapters module.
        monitor: who watches what the submission calls, if anyone does.
    """

    def __init__(self, adapters: types.ModuleType, monitor: UsageMonitor | None = None) -> None:
        self.adapters = adapters
        self._monitor = monitor
        self.objects: dict[int, Any] = {}
        self._handles = itertools.count(1)

    def perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Run one operation, an adapter (`run_*`, `get_*`) or a driver, on plain data."""
        monitor, subject = self._monitor, arguments.get("adapter") or arguments.get("factory")
        if monitor is None or operation.startswith("timed_") or not monitor.is_due(operation, subject):
            return self._perform(operation, arguments)
        return Probe(monitor).perform(self._perform, operation, arguments, monitor.is_first(operation, subject))

    def record(self, operation: str, arguments: dict[str, Any], root: str) -> Recording:
        """Make a call for what is computed on its way; nobody watches it, and its answer is for no test.

        Args:
            root: the submission's folder.
        """
        monitor, self._monitor = self._monitor, None
        try:
            return Recorder(root).record(lambda: self._perform(operation, arguments))
        finally:
            self._monitor = monitor

    def uses_seen(self) -> list[dict[str, str]]:
        """The uses of ready-made code that were seen since the last time this was asked."""
        return [] if self._monitor is None else self._monitor.take()

    def _perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Run an operation with gradients on, as they are when a program starts.

        A script for sampling that the adapters import may have switched them off for all of its process.
        """
        with torch.inference_mode(False), torch.enable_grad():
            return self._run(operation, arguments)

    def _run(self, operation: str, arguments: dict[str, Any]) -> Any:
        if OPERATIONS[operation].is_adapter:
            return self.adapter(operation, **arguments)
        return DRIVERS[operation](self, **arguments)

    def adapter(self, name: str, **arguments: Any) -> Any:
        """Call an adapter with the contract's keyword names.

        Raises:
            NotProvided: when the submission has no adapter of that name.
        """
        function = self.require(name)
        if OPERATIONS[name].by_position and not _accepts(function, arguments):
            result = function(*arguments.values())
        else:
            result = function(**arguments)
        if self._monitor is not None:
            self._monitor.inspect(function, result)
        return result

    def require(self, name: str) -> Any:
        """The adapter of that name, without calling it.

        Raises:
            NotProvided: when the submission has none.
        """
        function = getattr(self.adapters, name, None)
        if function is None:
            raise NotProvided(f"the submission has no adapter {name}")
        return function

    def keep(self, value: Any) -> int:
        """Store an object for later calls and return its handle."""
        handle = next(self._handles)  # never one that was given before, though its object may be gone
        self.objects[handle] = value
        return handle


def _accepts(function: Any, arguments: dict[str, Any]) -> bool:
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError:
        return False
    except ValueError:  # no signature to look at, as with builtins
        return True
    return True
