"""What races say about speed, and the points for it. Pure: no clock, no torch.

The races themselves are in `grader/performance`, which students do not get; a report without them is possible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .points import Score, Status
from .rubric import Problem


@dataclass(frozen=True)
class RaceResult:
    """What came of one race.

    status: "measured", "wrong" (a timed call was), "impossible" (faster than the device), "failed" (it raised, or
    ended), "todo", "not_provided", "busy" (the device was, so that nothing could be measured) or "absent" (what the
    code needs is not here); message: more on that.
    verdict: see `statistics.Verdict`; share: of the points for this race, between 0 and 1.
    student_ms, reference_ms, roofline_ms: medians for one call, and the time in which the device could do it at best.
    work, unit: what a call moves or computes at least, so that work / time is a rate in `unit` per second.
    """

    problem: str
    tensors: str
    status: str
    message: str = ""
    verdict: str = ""
    ratio: float = 0.0
    low: float = 0.0
    high: float = 0.0
    full: float = 0.0
    none: float = 0.0
    share: float = 0.0
    pairs: int = 0
    student_ms: float = 0.0
    reference_ms: float = 0.0
    roofline_ms: float = 0.0
    work: float = 0.0
    unit: str = ""
    student_mib: float = 0.0
    reference_mib: float = 0.0

    def as_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, fields: dict[str, Any]) -> RaceResult:
        return cls(**fields)

    @property
    def is_assessed(self) -> bool:
        return self.status not in ("busy", "absent")

    @property
    def rate(self) -> float:
        """What the student's code reaches, in `unit` per second."""
        return self._rate(self.student_ms)

    @property
    def reference_rate(self) -> float:
        return self._rate(self.reference_ms)

    @property
    def roofline_rate(self) -> float:
        return self._rate(self.roofline_ms)

    @property
    def fastest_rate(self) -> float:
        """Where a picture's scale ends: at the roofline, or at the faster of both where there is none."""
        return self.roofline_rate or max(self.rate, self.reference_rate)

    def _rate(self, milliseconds: float) -> float:
        return self.work / (1e-3 * milliseconds) if milliseconds else 0.0


@dataclass(frozen=True)
class Speed:
    """What came of all races of a grade.

    notes: {problem: why it is not assessed}; machine: the device and its state, versions, ceilings;
    noticed: what the submission did meanwhile that honest code has no reason for.
    """

    results: tuple[RaceResult, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    noticed: tuple[Any, ...] = ()

    def of(self, problem: str) -> tuple[RaceResult, ...]:
        return tuple(result for result in self.results if result.problem == problem)

    def as_json(self) -> list[dict[str, Any]]:
        """One object a race, with the machine that it was run on."""
        return [{**result.as_plain(), "machine": dict(self.machine)} for result in self.results]


NO_RACES = Speed()


def score_races(problem: Problem, results: Sequence[RaceResult], *, knows_kit: bool = True) -> Score:
    """The points for a problem: the mean of its races' shares, and nothing if an answer was wrong.

    Args:
        knows_kit: as in `scoring.score_problem`; what is missing only for lack of it stays outside the total.
    """
    statuses = {result.status for result in results}
    if not results or not all(result.is_assessed for result in results):
        return Score(0.0, Status.NOT_ASSESSED, unassessed=float(problem.points))
    for status, verdict in (("todo", Status.TODO), ("not_provided", Status.NOT_PROVIDED)):
        if statuses == {status}:
            is_outside = verdict is Status.NOT_PROVIDED and not knows_kit
            return Score(0.0, verdict, unassessed=float(problem.points) if is_outside else 0.0)
    if statuses != {"measured"}:
        return Score(0.0, Status.FAIL)
    share = sum(result.share for result in results) / len(results)
    earned = round(problem.points * share, 2)
    return Score(earned, Status.PASS if share == 1 else Status.PARTIAL if earned > 0 else Status.FAIL)
