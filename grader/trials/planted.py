"""The reference's adapters, in a fresh Python with the variants planted that the environment names.

What is planted in one process is not there in those that it starts. A trial gives the tests this module as the
submission's adapters; so a driver that starts a Python of its own imports it there, and gets the same variant.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any

from ..misconceptions.catalogue import PLANTED, Variant, load_catalogue
from ..misconceptions.together import together

_adapters = importlib.import_module("grader.reference.adapters")


def __getattr__(name: str) -> Any:
    return getattr(_adapters, name)


def _variants(problem: str) -> tuple[Variant, ...]:
    try:
        honest = importlib.import_module(f"grader.selftest.honest.{problem}").VARIANTS
    except ModuleNotFoundError:
        honest = ()
    return (*(form for known in load_catalogue(problem) for form in known.every_form), *honest)


def _plant(addresses: Sequence[str]) -> None:
    problems = dict.fromkeys(address.partition(":")[0] for address in addresses)
    variants = {variant.address: variant for problem in problems for variant in _variants(problem)}
    if named := [variants[address] for address in addresses if address in variants]:
        together(named).plant()


if PLANTED in os.environ:
    _plant(os.environ[PLANTED].split())
