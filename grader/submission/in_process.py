"""Open a submission in this process: breakpoints, pdb and plain tracebacks work, and nothing is kept apart."""

from __future__ import annotations

import contextlib
import os
import time
import tracemalloc
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ..kit.paths import KIT
from ..worker import wire
from ..worker.exceptions import ContractBroken, NothingSeen, NotProvided
from ..worker.lean_optimizers import keep_compiler_away
from ..worker.loader import Layout, import_adapters
from ..worker.operation_table import OPERATIONS, own_adapters_of
from ..worker.operations import Operations
from ..worker.usage_monitor import UsageMonitor
from .faults import AdapterMissing, NothingToAssess, Todo, WrongResult
from .files import Files
from .interface import Peak, Submission
from .triton_interpreter import interpret_kernels


def open_in_process(layout: Layout, monitor: UsageMonitor | None = None, files: Files | None = None) -> InProcess:
    """Import a submission here; the rest as for `InProcess`."""
    interpret_kernels()
    keep_compiler_away()
    return InProcess(import_adapters(layout), monitor, files)


class InProcess(Submission):
    """A submission whose adapters module is imported here.

    Arguments are copied and results pass through the wire format, so that a test sees exactly what it would see
    behind the wall; exceptions of the student's code come through as they are.

    Args:
        monitor: watches the calls for uses of ready-made code; nobody does when None.
        files: the submission's files, for tests that read answers and experiments; there are none when None.
    """

    def __init__(
        self, adapters: types.ModuleType, monitor: UsageMonitor | None = None, files: Files | None = None
    ) -> None:
        super().__init__(files)
        interpret_kernels()
        self._operations = Operations(adapters, monitor)
        self.own_adapters = tuple(own_adapters_of(adapters))

    def _perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        try:
            return self._run(operation, arguments)
        finally:
            self.uses_seen += self._operations.uses_seen()

    def _record(self, operation: str, arguments: dict[str, Any]) -> Any:
        root = str(self._files.root if self._files is not None else KIT)
        return wire.decode(wire.encode(self._operations.record(operation, _copied(arguments), root)))

    def cpu_seconds(self) -> float:
        """Processor time of this process and of its children that ended."""
        times = os.times()
        return time.process_time() + times.children_user + times.children_system

    @contextlib.contextmanager
    def measuring_memory(self) -> Iterator[Peak]:
        """As Python's own account has it: judge and code share a process here, so nothing can be seen from outside."""
        peak = Peak()
        tracemalloc.start()
        try:
            yield peak
            peak.bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def _run(self, operation: str, arguments: dict[str, Any]) -> Any:
        copies = _copied(arguments)
        try:
            return wire.decode(wire.encode(self._operations.perform(operation, copies)))
        except NotImplementedError as error:
            raise Todo(str(error)) from error
        except NotProvided as error:
            raise AdapterMissing(str(error)) from error
        except NothingSeen as error:
            if not OPERATIONS[operation].may_show_nothing:
                raise
            raise NothingToAssess(str(error)) from error
        except (ContractBroken, wire.NotPlainData) as error:
            raise WrongResult(str(error)) from error


def _copied(value: Any) -> Any:
    """Plain data of its own for the student's code, as the wire would deliver it.

    The wire itself would take a third of a second for GPT-2's tables, whose bytes and tuples nobody can change.
    """
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return wire.decode(wire.encode(value))
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_copied(item) for item in value)
    return value
