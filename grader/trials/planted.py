"""The reference's adapters, in a fresh Python with the variant planted that the environment names.

What is planted in one process is not there in those that it starts. A trial gives the tests this module as the
submission's adapters; so a driver that starts a Python of its own imports it there, and gets the same variant.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from ..misconceptions.catalogue import PLANTED, Variant, load_catalogue

_adapters = importlib.import_module("grader.reference.adapters")


def __getattr__(name: str) -> Any:
    return getattr(_adapters, name)


def _variants(problem: str) -> tuple[Variant, ...]:
    try:
        honest = importlib.import_module(f"grader.selftest.honest.{problem}").VARIANTS
    except ModuleNotFoundError:
        honest = ()
    return (*load_catalogue(problem), *honest)


def _plant(problem: str, id: str) -> None:
    for variant in _variants(problem):
        if variant.id == id:
            variant.plant()


if PLANTED in os.environ:
    _plant(*os.environ[PLANTED].split(":", 1))
