"""The worker's main loop: read a request, run it, answer with plain data, until the judge hangs up.

The judge starts this file as a script (see `grader/wall/walled.py`), with the number of an inherited socket as its only
argument, in a process without any other part of the grader. Everything that a submission does (raise, exit, recurse,
return nonsense) ends as an answer; everything that ends the process (a signal, `os._exit`, a segmentation fault) the
judge sees as a closed socket.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import importlib.util
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PACKAGE = "grader_worker"
_TEXT_LIMIT = 4000


def main() -> None:
    """Serve requests on the socket whose descriptor is the first argument; the second says how to shut oneself in."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    order = json.loads(sys.argv[2])
    # A submission's own child processes must not hold the judge's channel open, or its end would go unnoticed.
    os.set_inheritable(channel.fileno(), False)
    os.register_at_fork(after_in_child=channel.close)
    _import_own_package()
    _shut_in(**order)
    from grader_worker.lean_imports import without_collections

    with without_collections():
        from grader_worker import wire
        from grader_worker.lean_optimizers import keep_compiler_away

    keep_compiler_away()
    faulthandler.register(signal.SIGUSR1, all_threads=False)  # a call that takes too long is asked where it is
    worker = Worker()
    while (request := _receive(channel, wire)) is not None:
        answer = worker.answer(request["operation"], request["arguments"], request["buffers"])
        frame = {"id": request["id"], "uses_seen": worker.uses_seen(), "noticed": worker.noticed()}
        try:
            body = wire.encode({**frame, **answer})
        except wire.NotPlainData as error:
            message = str(error).replace("result['value']", "result", 1)
            body = wire.encode({**frame, "kind": "not_plain", "message": message})
        channel.sendall(wire.LENGTH.pack(len(body)) + body)


def _shut_in(
    memory_mib: int,
    processes: int | None,
    landlock: dict[str, list[str]] | None,
    user: dict[str, int | None] | None,
) -> None:
    """Give up, before anything else is loaded, what a submission must not have."""
    from grader_worker import limits
    from grader_worker.landlock import confine
    from grader_worker.user import become

    limits.forbid_new_privileges()
    if user is not None:
        become(**user)
    limits.die_with_parent()  # the kernel forgets it where the user changes
    limits.limit_resources(processes)
    limits.limit_memory(memory_mib)
    limits.leave_keyring()
    limits.give_up_privileges()
    if landlock is not None:
        confine(**landlock)


def _import_own_package() -> None:
    """Import this folder as a package of its own, so that no other part of the grader becomes importable."""
    spec = importlib.util.spec_from_file_location(PACKAGE, HERE / "__init__.py", submodule_search_locations=[str(HERE)])
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


def _receive(channel: socket.socket, wire: Any) -> Any:
    """The next request, or None when the judge has closed the channel."""
    header = _read_exactly(channel, wire.LENGTH.size)
    if header is None:
        return None
    body = _read_exactly(channel, wire.LENGTH.unpack(header)[0])
    return None if body is None else wire.decode(body)


def _read_exactly(channel: socket.socket, size: int) -> bytearray | None:
    buffer = bytearray(size)
    view, received = memoryview(buffer), 0
    while received < size:
        count = channel.recv_into(view[received:])
        if count == 0:
            return None
        received += count
    return buffer


class Worker:
    """Answers requests: `load` once, then any number of operations, with `warm`, `ping` and `record` in between."""

    def __init__(self) -> None:
        self.operations: Any = None
        self.audit: Any = None
        self.stand_ins: Any = None
        self.where: Any = None
        self.import_path: list[str] = []
        self.root = ""
        self._kept: Any = None

    def answer(self, operation: str, arguments: dict[str, Any], buffers: str = "new") -> dict[str, Any]:
        """Run one request and describe what happened; never raises.

        Args:
            buffers: "new"; "keep" the arguments for the next request; or "fill" those that were kept with the new
                values, in place, so that the submission meets the same objects with other contents.
        """
        from grader_worker.buffers import fill
        from grader_worker.exceptions import ContractBroken, NothingSeen, NotProvided
        from grader_worker.own_frames import one_line

        try:
            if operation == "load":
                return self._load(**arguments)
            if operation == "ping":
                return {"kind": "ok", "value": None}
            if operation == "warm":
                return self._warm(**arguments)
            if operation == "record":
                return {"kind": "ok", "value": self._record(**arguments)}
            if operation == "look_up":
                return self._look_up(**arguments)
            if buffers == "fill" and fill(self._kept, arguments):
                arguments = self._kept
            self._kept = arguments if buffers == "keep" else None
            return {"kind": "ok", "value": self.operations.perform(operation, dict(arguments))}
        except NotProvided as error:
            return {"kind": "not_provided", "message": str(error)}
        except NothingSeen as error:
            return {"kind": "nothing_seen", "message": str(error)}
        except ContractBroken as error:
            return {"kind": "broken", "message": str(error)}
        except NotImplementedError as error:
            return {"kind": "todo", "message": one_line(error)}
        except SystemExit as error:
            return self._failure("exit", f"the code called sys.exit({error.code!r})", error)
        except BaseException as error:
            return self._failure("error", self._explained(error) or one_line(error), error)

    def _warm(self, modules: list[str], import_path: list[str]) -> dict[str, Any]:
        """Import libraries that loading the submission would otherwise import then."""
        from grader_worker.lean_imports import without_collections

        sys.path[:] = import_path
        with without_collections():
            for module in modules:
                importlib.import_module(module)
        return {"kind": "ok", "value": None}

    def _record(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Make a call for what is computed on its way, and forget what was seen or noticed meanwhile."""
        try:
            return self.operations.record(operation, arguments, self.root)
        finally:
            self.uses_seen()

    def _look_up(self, module: str, name: str, import_path: list[str]) -> dict[str, Any]:
        """Look at an installed package; asked only of a worker that loads no submission."""
        from grader_worker.lacking import look_up

        return {"kind": "ok", "value": look_up(module, name, import_path)}

    def uses_seen(self) -> list[dict[str, str]]:
        """What the request that was just answered used of ready-made code."""
        return [] if self.operations is None else self.operations.uses_seen()

    def noticed(self) -> list[dict[str, str]]:
        """What the submission did meanwhile that honest code has no reason for."""
        return [] if self.audit is None else [*self.stand_ins.take(), *self.audit.take()]

    def _load(self, layout: dict[str, Any], import_path: list[str], hidden: list[str]) -> dict[str, Any]:
        from grader_worker.audit import Audit
        from grader_worker.lacking import Placeholders
        from grader_worker.loader import Layout, explain_import_error, import_adapters
        from grader_worker.operation_table import own_adapters_of
        from grader_worker.operations import Operations
        from grader_worker.stand_ins import FOLDER, StandIns
        from grader_worker.usage_monitor import UsageMonitor

        sys.path[:] = [*import_path, str(FOLDER)]
        where = self.where = Layout.from_plain(layout)
        self.import_path = import_path
        self.root = where.root
        self.stand_ins = StandIns()
        self.audit = Audit(where.root, hidden, import_path)
        placeholders = Placeholders(where, import_path)
        failures = {}
        while True:
            try:
                adapters = import_adapters(where)
                break
            except BaseException as error:
                with self.audit.unconcerned():
                    answer = self._failure("error", explain_import_error(error, where), error)
                    is_mended = placeholders.provide(error)
                if is_mended:
                    failures[answer["missing_name"]] = {key: answer[key] for key in ("message", "traceback")}
                    continue
                # With placeholders about, whatever happens while importing may be due to them.
                missing = {"package": placeholders.packages, "missing_name": placeholders.names}
                return {**answer, **{key: answer[key] or "".join(names[:1]) for key, names in missing.items()}}
        self.operations = Operations(adapters, UsageMonitor(where.root))
        self.audit.watch_over(worker=self, operations=self.operations)
        # Whether these names are missing, and why, is for the judge to find out; else the import has failed.
        stood_in = {name: failures[name] for name in placeholders.names if name in failures}
        return {"kind": "ok", "value": {"own_adapters": own_adapters_of(adapters), "stood_in": stood_in}}

    def _explained(self, error: BaseException) -> str:
        """What an import within a call met, in the words for one that fails at once; "" where there are none."""
        from grader_worker.loader import explain_by_place

        try:
            return explain_by_place(error, self.where)[:_TEXT_LIMIT]
        except Exception:  # an exception of the submission's own may answer questions about it with another
            return ""

    def _failure(self, kind: str, message: str, error: BaseException) -> dict[str, Any]:
        """An answer about an exception, with what the machine may lack for this code."""
        from grader_worker.own_frames import traceback_in

        return {
            "kind": kind,
            "type": type(error).__name__[:100],
            "message": message,
            "traceback": traceback_in(self.root, error),
            **self._lacked(error),
        }

    def _lacked(self, error: BaseException) -> dict[str, str]:
        from grader_worker.lacking import missing_name, missing_package, newer_python

        lacked = dict.fromkeys(("package", "missing_name", "newer"), "")
        if self.where is None:
            return lacked
        # An exception of the submission's own may answer questions about it with another.
        with contextlib.suppress(Exception):
            lacked["package"] = missing_package(error, self.where, self.import_path) or ""
            lacked["newer"] = newer_python(error, self.root) or ""
            lacked["missing_name"] = missing_name(error, self.root) or ""
        return lacked


if __name__ == "__main__":
    main()
