"""Calls one adapter in a Python of its own, as a student's own command would, so that a test can kill it.

A driver starts this file as a script; the only argument is the order, in JSON: the import path, the packages that the
adapters module lies in, its name, the adapter, its arguments, and torch's number of threads.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import IO, Any


def start(adapters: types.ModuleType, adapter: str, arguments: dict[str, Any], output: IO[bytes]) -> subprocess.Popen:
    """Start a fresh Python that imports what this one has imported as `adapters`, and calls an adapter of it."""
    import torch

    packages = adapters.__name__.split(".")[:-1]
    names = [".".join(packages[: i + 1]) for i in range(len(packages))]
    order = {
        "path": sys.path,
        "packages": {name: _describe(sys.modules[name]) for name in names},
        "module": adapters.__name__,
        "adapter": adapter,
        "arguments": arguments,
        "threads": torch.get_num_threads(),  # sums come out the same only if they are split in the same way
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-B", "-X", "utf8", str(Path(__file__).resolve()), json.dumps(order)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=os.getcwd(),
    )


def _describe(package: types.ModuleType) -> tuple[str | None, list[str]]:
    return package.__file__, list(package.__path__)


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
    for name, (file, folders) in order["packages"].items():
        _provide(name, file, folders)
    adapters = importlib.import_module(order["module"])
    import torch

    torch.set_num_threads(order["threads"])
    getattr(adapters, order["adapter"])(**order["arguments"])


if __name__ == "__main__":
    main()
