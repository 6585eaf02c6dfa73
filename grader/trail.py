"""Follow the failures of one examination back to known bugs.

The trail keeps the fingerprints of failing tests on stored cases, which `diagnosis` compares with the stored evidence,
and the outputs of failing cases. Where the misconceptions themselves are at hand (staff), the bugs that were found are
planted into the reference and asked for their output: a case is explained when the submission gave the same. So it is
with fresh cases, for which there is no stored evidence, and with the work of several bugs at once.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .cases.case import Case
from .cases.fingerprint import fingerprint, fingerprint_transcript
from .diagnosis import FORESEEN, Transcript, diagnose, load_known_bugs, same
from .outcome import Explanation, Outcome, Result

Wrong = tuple[str, Case, Any]
"""A failing test with its case and the one output that the submission gave."""

_UNKNOWN = (Result.TODO, Result.SKIP, Result.ABSENT, Result.NOT_RUN)
"""Results that say nothing about what the code does."""
_NO_FAILURE = (Result.PASS, *_UNKNOWN)


@dataclass
class Trail:
    """What one examination has seen so far.

    needs: {problem: the problems that it builds on}, in the order in which they are examined.
    """

    needs: Mapping[str, tuple[str, ...]]
    _failing: dict[str, dict[str, Transcript]] = field(default_factory=dict)
    _ran: dict[str, set[str]] = field(default_factory=dict)
    _wrong: dict[str, list[Wrong]] = field(default_factory=dict)

    def follow(self, problem: str, outcome: Outcome, case: Case | None, transcript: list[Any]) -> None:
        """Take note of a test that has finished; `transcript` is what its calls gave."""
        failed = outcome.result not in _NO_FAILURE
        if failed and case is not None and len(transcript) == 1 and not isinstance(transcript[0], BaseException):
            self._wrong.setdefault(problem, []).append((outcome.id, case, transcript[0]))
        if case is not None and case.fresh:
            return
        if outcome.result in _UNKNOWN:
            return
        self._ran.setdefault(problem, set()).add(outcome.id)
        if failed:
            self._failing.setdefault(problem, {})[outcome.id] = fingerprint_transcript(transcript)

    def explain(self) -> dict[str, Explanation]:
        """{failed test: explanation}, for those that a known bug explains."""
        if not self._failing:
            return {}
        bugs = load_known_bugs()
        explained: dict[str, Explanation] = {}
        found: dict[str, set[str]] = {}
        for problem in self.needs:
            upstream = {bug for needed in self._below(problem) for bug in found.get(needed, ())}
            candidates = [bug for bug in bugs if bug.problem == problem or bug.id in upstream]
            named = diagnose(problem, self._failing.get(problem, {}), self._ran.get(problem, ()), candidates)
            found[problem] = {bug.id for bug in named.values() if bug.problem == problem}
            for test, bug in named.items():
                explained[test] = Explanation(bug.id, carried=bug.problem != problem)
            here = dict.fromkeys(bug.id for bug in named.values())
            wrong = self._wrong.get(problem, [])
            fresh = [entry for entry in wrong if entry[1].fresh]
            explained |= dict(_explain_by_planting(problem, fresh, [[bug] for bug in here]))
            if upstream:
                below = sorted(upstream)
                rest = [entry for entry in wrong if entry[0] not in explained]
                explained |= dict(_explain_by_planting(problem, rest, [below]))
                rest = [entry for entry in rest if entry[0] not in explained]
                more = _explain_by_one_more(problem, rest, below)
                found[problem] |= {explanation.bug for explanation in more.values()}
                explained |= more
        return explained

    def _below(self, problem: str) -> set[str]:
        """The problems that a problem builds on, directly or not."""
        direct = set(self.needs.get(problem, ()))
        return direct.union(*(self._below(needed) for needed in direct))


def _explain_by_planting(
    problem: str, wrong: Sequence[Wrong], hypotheses: Sequence[Sequence[str]]
) -> Iterator[tuple[str, Explanation]]:
    """Plant the bugs of each hypothesis together, and see whether they give the submission's wrong outputs.

    Args:
        wrong: ids of tests, their cases and what the submission gave.
        hypotheses: ids of bugs that the stored cases revealed.
    """
    if not hypotheses or not wrong or not _has_catalogue():
        return
    from .in_process import InProcess
    from .misconceptions.catalogue import load_catalogue

    adapters = importlib.import_module(f"{__package__}.reference.adapters")
    catalogue = {m.id: m for m in load_catalogue()}
    for test, case, actual in wrong:
        for hypothesis in hypotheses:
            bugs = [catalogue[bug] for bug in hypothesis]
            with contextlib.ExitStack() as stack:
                for bug in bugs:
                    stack.enter_context(bug.planted())
                try:
                    output = InProcess(adapters).perform(case.operation, case.inputs)
                except Exception:  # whatever a wrong variant raises, it is no output to compare with
                    continue
            if same(fingerprint(output), fingerprint(actual)):
                yield test, Explanation(bugs[0].id, carried=bugs[0].problem != problem)
                break


def _explain_by_one_more(problem: str, wrong: Sequence[Wrong], below: Sequence[str]) -> dict[str, Explanation]:
    """The one bug of the problem itself that, together with those found below, explains nearly all that is left."""
    if not wrong or not _has_catalogue():
        return {}
    from .misconceptions.catalogue import load_catalogue

    together = [[bug.id, *below] for bug in load_catalogue(problem)]
    likely = [bugs for bugs in together if any(_explain_by_planting(problem, wrong[:1], [bugs]))]
    explained = [dict(_explain_by_planting(problem, wrong, [bugs])) for bugs in likely]
    most = max(map(len, explained), default=0)
    best = [explanations for explanations in explained if len(explanations) == most]
    return best[0] if len(best) == 1 and most >= FORESEEN * len(wrong) else {}


def _has_catalogue() -> bool:
    """Whether the misconceptions themselves are here; students have only their evidence."""
    return importlib.util.find_spec(f"{__package__}.misconceptions") is not None
