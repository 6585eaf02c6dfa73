"""The integrity verdict: did a submission do what honest code has no reason for? Evidence for a person, never points.

Evidence comes from the worker (`worker/audit.py`), from the wall (answers that change, messages that are none), from
the submission's files, and from the outcomes: who answers every stored case and hardly a fresh one knew the answers.

Pure, but for looking at which files a submission has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..escape import visible
from ..scoring.outcome import Outcome, PlannedTest, Result
from ..submission.files import entries, is_file
from ..worker.loader import Layout

_KINDS = {
    "answers": "answers differ between identical calls",
    "channel": "wrote to the judge's channel",
    "disguised": "gave code the name of another's file",
    "files": "reached for the judge's files",
    "memorised": "knows the stored answers only",
    "network": "reached for the network",
    "patched": "replaced functions that others rely on",
    "processes": "reached for another process",
    "searched": "searched the interpreter for objects",
    "shadowed": "shadows modules",
    "tampered": "replaced the grader's own code",
    "writes": "tried to write outside its own folders",
}
_FEWEST_STORED = 3
_MOST_FRESH_RIGHT = 0.25
_LISTED = 50

# Of these an accidental namesake breaks programs at once, so that nobody keeps one by mistake. `sitecustomize` is none:
# the worker does not import it, and honest people keep one. Neither is `grader`: whoever hands in their whole copy of
# the kit has one, and no process of the judge looks for modules in a submission.
_SHADOWED = frozenset(
    {
        *("builtins", "ctypes", "gc", "hypothesis", "importlib", "inspect", "json", "msgpack", "numpy", "os", "pickle"),
        *("pytest", "socket", "struct", "subprocess", "sys", "threading", "time", "torch"),
        *("tracemalloc", "traceback", "grader_worker"),
    }
)


@dataclass(frozen=True)
class Suspicion:
    """One thing that a submission did.

    kind: stable id, a key of the table above; problem: during whose tests, "races", or "" while it was imported;
    where: `file:line` in the submission, or ""; evidence: a sentence.
    """

    kind: str
    problem: str
    where: str
    evidence: str

    @property
    def title(self) -> str:
        return _KINDS[self.kind]

    def as_json(self) -> dict[str, str]:
        return {**asdict(self), "title": self.title}


def find_suspicions(
    layout: Layout, noticed: Mapping[str, Iterable[Any]], tests: Iterable[tuple[PlannedTest, Outcome]]
) -> tuple[Suspicion, ...]:
    """Put the evidence together, the same thing once.

    Args:
        noticed: {problem: remarks}, which come from behind the wall in part, so anything at all.
    """
    found = [*_shadowed(layout), *_remarked(noticed), *_memorised(tests)]
    first: dict[tuple[str, str], Suspicion] = {}
    for suspicion in found:
        first.setdefault((suspicion.kind, suspicion.where or suspicion.evidence), suspicion)
    return tuple(first.values())[:_LISTED]


def _remarked(noticed: Mapping[str, Iterable[Any]]) -> Iterator[Suspicion]:
    for problem, remarks in noticed.items():
        for remark in remarks:
            match remark:
                case {"kind": str(kind), "evidence": str(evidence), "where": str(where)} if kind in _KINDS:
                    yield Suspicion(kind, problem, visible(where), _sentence(visible(evidence)))


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _shadowed(layout: Layout) -> Iterator[Suspicion]:
    """Files of the submission that would be imported in place of modules that everybody relies on."""
    for folder in dict.fromkeys((layout.root, *layout.import_path)):
        for entry in entries(Path(folder)):
            name = entry.stem if entry.suffix == ".py" else entry.name if is_file(entry / "__init__.py") else ""
            if name in _SHADOWED:
                where = str(entry.relative_to(layout.root)) if entry.is_relative_to(layout.root) else entry.name
                yield Suspicion("shadowed", "", visible(where), f"It brings a module of its own called {name}.")


def _memorised(tests: Iterable[tuple[PlannedTest, Outcome]]) -> Iterator[Suspicion]:
    """Problems whose stored cases all pass while hardly a fresh one does, though both are drawn alike."""
    stored: dict[str, list[bool]] = {}
    fresh: dict[str, list[bool]] = {}
    for test, outcome in tests:
        if test.judges_values and outcome.result not in (Result.TODO, Result.SKIP, Result.NOT_RUN):
            (fresh if test.fresh else stored).setdefault(test.problem, []).append(outcome.result is Result.PASS)
    for problem, right in stored.items():
        drawn = fresh.get(problem, [])
        if len(right) >= _FEWEST_STORED and all(right) and drawn and _share(drawn) <= _MOST_FRESH_RIGHT:
            evidence = f"All {len(right)} stored cases are right, and {sum(drawn)} of {len(drawn)} fresh ones."
            yield Suspicion("memorised", problem, "", evidence)


def _share(passed: Sequence[bool]) -> float:
    return sum(passed) / len(passed)
