"""What a misconception is, and how one is planted into the reference for a while."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import pkgutil
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

_REFERENCE = "grader.reference"
_APART = frozenset({f"{_REFERENCE}._triton_kernels"})
"""Needs Triton, and takes nothing from other modules."""

PLANTED = "GRADER_PLANTED"
"""Environment variable that names the variants which are planted, for fresh processes: see `trials/planted.py`."""


@dataclass(frozen=True)
class Variant:
    """The reference with something replaced.

    id: unique, begins with what it is about, as in "rope-halves-instead-of-pairs".
    problem: the problem whose code is replaced.
    replaces: {dotted name below `grader.reference`: what stands there instead}, such as
        {"rope.RotaryPositionalEmbedding.forward": wrong_forward}.
    """

    id: str
    problem: str
    replaces: Mapping[str, Any]

    @property
    def address(self) -> str:
        """Where to find it again: "problem:id", and "problem:id#n" for the further form n of a misconception."""
        return f"{self.problem}:{self.id}"

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """Replace for the duration of a with-block."""
        before = os.environ.get(PLANTED)
        undo: list[tuple[Any, str, Any]] = []
        try:
            os.environ[PLANTED] = self.address
            undo = self.plant()
            yield
        finally:
            _take_out(undo)
            if before is None:
                del os.environ[PLANTED]
            else:
                os.environ[PLANTED] = before

    def plant(self) -> list[tuple[Any, str, Any]]:
        """Replace, for good, all of it or nothing; gives what stood there before, as (owner, attribute, original)."""
        undo: list[tuple[Any, str, Any]] = []
        modules = _modules()
        try:
            for name, replacement in self.replaces.items():
                owner, attribute = owner_of(name)
                original = vars(owner)[attribute]
                others = [
                    module for module in modules if module is not owner and vars(module).get(attribute) is original
                ]
                for place in (owner, *others):
                    undo.append((place, attribute, original))
                    setattr(place, attribute, replacement)
        except BaseException:
            _take_out(undo)
            raise
        return undo


@functools.cache
def _modules() -> tuple[types.ModuleType, ...]:
    """Every module of the reference that takes names from others, each imported before anything is planted: imported
    later, it would keep what is planted for good."""
    package = importlib.import_module(_REFERENCE)
    found = (module.name for module in pkgutil.walk_packages(package.__path__, f"{_REFERENCE}."))
    return tuple(importlib.import_module(name) for name in sorted(found) if name not in _APART)


@dataclass(frozen=True)
class Misconception(Variant):
    """A wrong variant, with the words that explain it.

    diagnosis: one sentence that says what the code does (not what to type), for a student.
    hint: a question to ask oneself or a check to run, not the answer.
    frequency: "common", "occasional" or "rare" among real solutions.
    claims: the test functions that have to notice it; a trial runs only these. None named, all of its problem's tests:
        naming them is for problems whose tests take seconds each.
    throughout: whether it leaves nothing right, not even the plainest answer, so that it may cost all of its problem's
        points. Every other bug may cost no more than the rubric's `one_bug`.
    forms: other code that deserves the same words, each as in `replaces`: real code has a bug in more than one form.
    form: which of its forms this is; 0 is `replaces` itself.
    """

    diagnosis: str
    hint: str
    frequency: str
    claims: tuple[str, ...] = ()
    throughout: bool = False
    forms: tuple[Mapping[str, Any], ...] = ()
    form: int = 0

    @property
    def address(self) -> str:
        return f"{super().address}#{self.form}" if self.form else super().address

    @property
    def every_form(self) -> tuple[Misconception, ...]:
        """This one first, then one for each further form."""
        further = (replace(self, replaces=form, form=i) for i, form in enumerate(self.forms, start=1))
        return (self, *further)


def replacing(
    problem: str,
    name: str,
    begins: str,
    id: str,
    function: Callable[..., Any],
    diagnosis: str,
    hint: str,
    frequency: str = "occasional",
    throughout: bool = False,
    forms: Iterable[Callable[..., Any]] = (),
) -> Misconception:
    """A misconception with one function in the place of `name`; its diagnosis begins with `begins`.

    forms: other functions that deserve the same words.
    """
    return Misconception(
        id=f"{problem.replace('_', '-')}-{id}",
        problem=problem,
        replaces={name: function},
        diagnosis=f"{begins}{diagnosis}",
        hint=hint,
        frequency=frequency,
        throughout=throughout,
        forms=tuple({name: form} for form in forms),
    )


def _take_out(undo: list[tuple[Any, str, Any]]) -> None:
    for owner, attribute, original in reversed(undo):
        setattr(owner, attribute, original)


def owner_of(name: str) -> tuple[Any, str]:
    """The module or class that holds a dotted name, and the last part of the name."""
    *path, attribute = name.split(".")
    owner: Any = importlib.import_module(_REFERENCE)
    for part in path:
        in_package = hasattr(owner, "__path__")
        owner = importlib.import_module(f"{owner.__name__}.{part}") if in_package else getattr(owner, part)
    return owner, attribute


@functools.cache
def load_catalogue(problem: str | None = None) -> tuple[Misconception, ...]:
    """All misconceptions, or those of one problem: those of the modules here that have a tuple `MISCONCEPTIONS`."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    modules = (importlib.import_module(f"{__package__}.{name}") for name in names if problem in (None, name))
    return tuple(known for module in modules for known in getattr(module, "MISCONCEPTIONS", ()))
