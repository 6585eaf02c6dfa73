"""Modules that take the place of packages which are not installed here, and do nothing.

A submission of the public assignment may import wandb, which the assignment installs, to log its training. No test
looks at that, and the package is large, so where it is missing a module of that name accepts every call. The folder
comes last on the worker's import path: a package that is installed, and one of the submission's own, come first.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
NAMES = ("wandb",)


class StandIns:
    """Notes which stand-ins have been imported, so that the report can say so."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def take(self) -> list[dict[str, str]]:
        """A remark for each stand-in that has come into use since the last time."""
        new = [name for name in NAMES if name not in self._said and _is_stand_in(name)]
        self._said.update(new)
        return [{"kind": "stand_in", "evidence": name, "where": ""} for name in new]


def _is_stand_in(name: str) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return isinstance(file, str) and os.path.dirname(os.path.realpath(file)) == str(FOLDER)
