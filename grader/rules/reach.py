"""Which of a submission's files, and what in them, each problem's adapters reach. Read from the source alone.

Where something is saved, this decides what may have changed by it: `affected`.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..scoring.rubric import Problem, ProblemKind
from ..submission.faults import Fault
from ..submission.files import Files
from ..worker.loader import Layout
from ..worker.operation_table import adapters_of
from .meanings import Program, TooInvolved
from .reachable_names import definitions_reached_from

ANSWERS = "answers.toml"
_FILE_LIMIT = 1 << 20


@dataclass(frozen=True)
class Reach:
    """What a problem's adapters reach. Paths are relative to the submission, with `/` between their parts.

    definitions: the text of each function, class and variable that is reached, with the file that it is in;
    files: those with such definitions, but for the adapters themselves, which belong to every problem;
    imports: files that are imported for it, directly or not;
    place: file and line of the first definition that an adapter leads to.
    """

    definitions: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    imports: frozenset[str] = frozenset()
    place: tuple[str, int] | None = None


def reach_of(layout: Layout, problems: Iterable[Problem]) -> dict[str, Reach]:
    """{problem: what its adapters reach}; of source that cannot be followed, nothing."""
    source = _Source(Program(Path(layout.root), layout.adapters, layout.package, layout.import_path))
    found: dict[str, Reach] = {}
    for problem in problems:
        try:
            found[problem.id] = source.reach(problem, Path(layout.adapters).as_posix())
        except (RecursionError, TooInvolved, OSError, ValueError):
            found[problem.id] = Reach()
    return found


class _Source:
    """The source of a submission, of which each part is looked at once, however many problems reach it."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._text_of = functools.cache(lambda module, node: f"{module.file}: {module.text_of(node)}")
        self._named_in = functools.cache(lambda module, node: module.modules_named_in(ast.walk(node)))
        self._imports_of = functools.cache(lambda module: module.modules_named_in())

    def reach(self, problem: Problem, adapters: str) -> Reach:
        if problem.kind is ProblemKind.ANSWER:
            answers = frozenset({ANSWERS})
            return Reach(answers, answers, answers)
        reached = definitions_reached_from(self._program, adapters_of(problem.id))
        files = {module.file for module, _ in reached} - {adapters, ""}
        imported: set[str] = set()
        waiting = [module for module, _ in reached]
        waiting += [named for module, node in reached for named in self._named_in(module, node)]
        while waiting:
            module = waiting.pop()
            if module.file not in imported:
                imported.add(module.file)
                waiting += self._imports_of(module)
        texts = frozenset(self._text_of(module, node) for module, node in reached)
        places = [(module.file, node.lineno) for module, node in reached if module.file in files]
        return Reach(texts, frozenset(files), frozenset(imported) - {""}, next(iter(places), None))


def affected(saved: Collection[str], before: Mapping[str, Reach], after: Mapping[str, Reach]) -> tuple[str, ...]:
    """The problems that may have come out differently by what was saved, or removed, in the order of `after`.

    Those of which a reached definition has another text now; where there are none, as when a comment has changed or
    nothing has, those with a definition in one of these files; else those that import one of them.

    Args:
        saved: the files, as in `Reach`; before, after: what the problems reached before that, and reach now.
    """
    touched = [problem for problem in after if _changed(saved, before.get(problem, Reach()), after[problem])]
    for files in ("files", "imports"):
        touched = touched or [
            problem
            for problem in after
            if not getattr(after[problem], files).isdisjoint(saved)
            or not getattr(before.get(problem, Reach()), files).isdisjoint(saved)
        ]
    return tuple(touched)


def _changed(saved: Collection[str], before: Reach, after: Reach) -> bool:
    """Whether a definition in one of these files is another one now."""
    return any(text.partition(": ")[0] in saved for text in before.definitions ^ after.definitions)


def state_of(files: Files, reach: Reach) -> str:
    """A short text that changes with the contents of the files that a problem rests on."""
    digest = hashlib.sha256()
    for name in sorted(reach.imports):
        try:
            content = files.read(name, _FILE_LIMIT)
        except Fault:
            content = b""
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]
