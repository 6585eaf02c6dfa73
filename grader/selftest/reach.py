"""Which parts of the reference do a problem's tests run?

A misconception can change the outcome of a test only if the test runs what it replaces. That is found out once per
problem, so that the kill matrix need not try every misconception on every problem.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from grader.kit.paths import REFERENCE
from grader.misconceptions.catalogue import Variant, owner_of
from grader.trials.trial import Trial, try_variant


@dataclass(frozen=True)
class Reach:
    """What was run: `layers.Linear.forward` of the reference's own functions, and every name that these use."""

    functions: frozenset[str]
    names: frozenset[str]

    def includes(self, variant: Variant) -> bool:
        """Whether anything that a variant replaces was run, or may have been."""
        return any(self._includes(replaced) for replaced in variant.replaces)

    def _includes(self, replaced: str) -> bool:
        if any(name == replaced or name.startswith(f"{replaced}.") for name in self.functions):
            return True
        last = replaced.rpartition(".")[2]  # a function that was not called was not run, but a constant may be used
        return last in self.names and not isinstance(_original(replaced), types.FunctionType)


def reach_of(problem: str) -> tuple[Trial, Reach]:
    """Run a problem's tests on the reference; what they say about it, and what they run of it."""
    codes: set[types.CodeType] = set()

    def watch(frame: types.FrameType, event: str, arg: object) -> None:
        codes.add(frame.f_code)

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        trial = try_variant(Variant("reference", problem, {}), problem)[problem]
    finally:
        sys.settrace(before)
    own = [code for code in codes if Path(code.co_filename).is_relative_to(REFERENCE)]
    return trial, Reach(frozenset(map(_dotted, own)), frozenset(name for code in own for name in _used(code)))


def _dotted(code: types.CodeType) -> str:
    module = Path(code.co_filename).relative_to(REFERENCE).with_suffix("")
    return f"{'.'.join(module.parts)}.{code.co_qualname}"


def _used(code: types.CodeType) -> Collection[str]:
    return (*code.co_names, *code.co_freevars)


def _original(replaced: str) -> object:
    owner, attribute = owner_of(replaced)
    return getattr(owner, attribute)
