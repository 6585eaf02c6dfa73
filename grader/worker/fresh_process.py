"""Calls one adapter, or one driver, in a Python of its own: a test can kill it, and it knows nothing of earlier calls.

A driver starts this file as a script; the only argument is the order, in JSON: the import path, the packages that the
adapters module lies in, its name, torch's number of threads, the placeholders for packages that are missing, and what
to call: an adapter with its arguments, or a driver with the files that hold its arguments and take its answer.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import traceback
import types
from pathlib import Path
from typing import IO, Any

_PACKAGE = "grader_worker"


def start(adapters: types.ModuleType, adapter: str, arguments: dict[str, Any], output: IO[bytes]) -> subprocess.Popen:
    """Start a fresh Python that imports what this one has imported as `adapters`, and calls an adapter of it."""
    return _start(adapters, {"adapter": adapter, "arguments": arguments}, output)


def perform(adapters: types.ModuleType, driver: str, arguments: dict[str, Any], limit_s: float) -> Any:
    """Run a driver in a fresh Python, as `start` makes it; gives what the driver returns, plain data.

    Raises:
        NotImplementedError, ImportError, SyntaxError: as the submission raised it there.
        ContractBroken: any other exception; the process ended, or took longer than `limit_s` seconds.
    """
    from . import wire
    from .exceptions import ContractBroken

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        given, answered = Path(folder, "arguments"), Path(folder, "answer")
        given.write_bytes(wire.encode(arguments))
        process = _start(adapters, {"driver": driver, "arguments": str(given), "answer": str(answered)}, output)
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise ContractBroken(f"a process of its own did not end within {limit_s:g} s") from None
        finally:
            process.kill()
            process.wait()
        if not answered.exists():
            output.seek(0)
            said = output.read().decode("utf-8", "replace").strip().splitlines()
            last = f"; the last it printed: {said[-1][:300]}" if said else ""
            raise ContractBroken(f"a process of its own ended before it was done{last}")
        answer = wire.decode(answered.read_bytes())
    if answer["kind"] == "todo":
        raise NotImplementedError(answer["message"])
    if answer["kind"] == "missing":
        raise ModuleNotFoundError(answer["message"], name=answer["name"])
    if answer["kind"] == "import":
        raise ImportError(answer["message"])
    if answer["kind"] == "syntax":
        raise SyntaxError(answer["message"], (answer["name"], answer["line"], None, None))
    if answer["kind"] != "ok":
        raise ContractBroken(f"in a process of its own: {answer['message']}")
    return answer["value"]


def _start(adapters: types.ModuleType, call: dict[str, Any], output: IO[bytes]) -> subprocess.Popen:
    import torch

    from .lacking import Placeholders

    placeholders = Placeholders.in_use()
    packages = adapters.__name__.split(".")[:-1]
    names = [".".join(packages[: i + 1]) for i in range(len(packages))]
    order = {
        "path": sys.path,
        "packages": {name: _describe(sys.modules[name]) for name in names},
        "module": adapters.__name__,
        "placeholders": placeholders and placeholders.as_plain(),
        "threads": torch.get_num_threads(),  # sums come out the same only if they are split in the same way
        **call,
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-B", "-X", "utf8", str(Path(__file__).resolve()), json.dumps(order)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=os.getcwd(),
    )


def _describe(package: types.ModuleType) -> tuple[str | None, list[str]]:
    return getattr(package, "__file__", None), list(package.__path__)  # a package without __init__.py has no file


def _provide(name: str, file: str | None, folders: list[str]) -> None:
    """Import a package from where the other process had it from: it need not be found by searching the path."""
    if file is None:
        package = types.ModuleType(name)
        package.__path__ = folders
        sys.modules[name] = package
        return
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folders)
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)


def main() -> None:
    """Carry out the order."""
    order = json.loads(sys.argv[1])
    sys.path[:] = order["path"]
    if order["placeholders"]:
        _provide("lacking", str(Path(__file__).with_name("lacking.py")), [])
        sys.modules.pop("lacking").Placeholders.resume(order["placeholders"])
    here = Path(__file__).resolve().parent
    _provide(_PACKAGE, str(here / "__init__.py"), [str(here)])
    with importlib.import_module(f"{_PACKAGE}.lean_imports").without_collections():
        importlib.import_module(f"{_PACKAGE}.lean_optimizers").keep_compiler_away()
        import torch
    for name, (file, folders) in order["packages"].items():
        _provide(name, file, folders)
    adapters = importlib.import_module(order["module"])

    torch.set_num_threads(order["threads"])
    if "adapter" in order:
        getattr(adapters, order["adapter"])(**order["arguments"])
    else:
        _run_driver(adapters, order["driver"], Path(order["arguments"]), Path(order["answer"]))


def _run_driver(adapters: types.ModuleType, driver: str, given: Path, answered: Path) -> None:
    """Run a driver beside the submission, and write what came of it."""
    operations, wire = (importlib.import_module(f"{_PACKAGE}.{name}") for name in ("operations", "wire"))
    try:
        value = operations.Operations(adapters).perform(driver, wire.decode(given.read_bytes()))
        answer = wire.encode({"kind": "ok", "value": value})
    except NotImplementedError as error:
        answer = wire.encode({"kind": "todo", "message": str(error)})
    except ModuleNotFoundError as error:
        answer = wire.encode({"kind": "missing", "message": str(error), "name": str(error.name)})
    except ImportError as error:
        answer = wire.encode({"kind": "import", "message": str(error)[:1000]})
    except SyntaxError as error:
        where = {"name": str(error.filename), "line": error.lineno or 0}
        answer = wire.encode({"kind": "syntax", "message": str(error.msg)[:1000], **where})
    except Exception as error:
        traceback.print_exc()
        lacking = importlib.import_module(f"{_PACKAGE}.lacking")
        if subject := lacking.missing_name(error, os.getcwd()):
            answer = wire.encode({"kind": "import", "message": str(lacking.MissingName(subject))})
        else:
            answer = wire.encode({"kind": "error", "message": f"{type(error).__name__}: {error}"[:1000]})
    answered.write_bytes(answer)


if __name__ == "__main__":
    main()
    with contextlib.suppress(Exception):  # whatever the submission has put in their place
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)  # taking torch down takes half as long as importing it
