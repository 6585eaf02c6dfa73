"""What machine and which versions a grade ran with."""

from __future__ import annotations

import importlib.metadata
import os
import platform

_PACKAGES = ("torch", "numpy", "regex", "einops", "pytest", "hypothesis", "triton")


def describe_environment() -> dict[str, object]:
    """Versions and machine, without importing any of the packages."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
