"""What statuses, results, effects and races are called where a person reads them."""

from __future__ import annotations

from ..rules.from_scratch import Effect
from ..scoring.outcome import Result
from ..scoring.points import Status
from ..scoring.races import RaceResult
from .model import DifferenceMap, Report

STATUS = {
    Status.PASS: "✓ pass",
    Status.PARTIAL: "◐ partial",
    Status.FAIL: "✗ fail",
    Status.TODO: "○ todo",
    Status.NOT_PROVIDED: "– not provided",
    Status.ERROR: "! error",
    Status.NOT_ASSESSED: "· not assessed",
}
RESULT = {
    Result.FAIL: "failed",
    Result.ERROR: "raised an error",
    Result.TIMEOUT: "took too long",
    Result.CRASH: "ended the process",
    Result.NOT_RUN: "was not run",
    Result.TODO: "is not written yet",
    Result.SKIP: "is not provided",
    Result.ABSENT: "could not be assessed",
}
EFFECT = {
    Effect.ZERO: "the problem earns no points",
    Effect.CARRIED: "costs no points here",
    Effect.WARN: "costs no points",
}
LEVELS = ("right", "a little off", "off", "off by more than a typical value")
"""What the digits of a map of differences are called."""
ADVICE = "Advice costs no points. The assignment does not ask for it, but it makes code safer for others to use."
SUSPICIOUS = "This costs no points by itself. A person should look at it."
LACKING = "Missing here"
INSTALL = (
    "Tests that need these are not assessed. --environment own installs what the submission's pyproject.toml or "
    "requirements.txt lists. The kit's own packages keep their versions."
)

_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def map_of(map: DifferenceMap) -> str:
    """What a map shows: which matrix, and how much of it a cell is."""
    high, wide = -(-map.rows // len(map.cells)), -(-map.columns // len(map.cells[0]))
    whole = f"{map.part}{list(map.at) or ''}"
    cell = "a cell is one value" if high == wide == 1 else f"a cell is {high} × {wide} values"
    return f"Where {whole} differs ({map.rows} × {map.columns}; {cell}):"


def unbegun(report: Report) -> list[str]:
    """A sentence for each section of which nothing is written."""
    return [
        f"Not begun, and no part of the total: {report.sections[section]}, {len(problems)} "
        f"problem{'s' * (len(problems) > 1)}, {sum(p.problem.points for p in problems):g} points."
        for section, problems in report.unbegun.items()
    ]


def race(result: RaceResult) -> tuple[str, str]:
    """The problem without `_speed`, and the tensors: a race in two words."""
    return result.problem.removesuffix("_speed"), result.tensors


def rates(result: RaceResult) -> str:
    """`1,520 GB/s, reference 2,310 GB/s, roofline 3,000 GB/s`."""
    shown = [_rate(result.rate, result.unit), f"reference {_rate(result.reference_rate, result.unit)}"]
    if result.roofline_ms:
        shown.append(f"roofline {_rate(result.roofline_rate, result.unit)}")
    return ", ".join(shown)


def ratio(result: RaceResult) -> str:
    """The student's time over the reference's, with its interval."""
    return f"{result.ratio:.2f} times the reference's time, [{result.low:.2f}, {result.high:.2f}]"


def thresholds(result: RaceResult) -> str:
    """Which ratios earn what."""
    return f"(full points up to {result.full:g}, no points from {result.none:g})"


def _rate(rate: float, unit: str) -> str:
    step, letter = next(((step, letter) for step, letter in _STEPS if rate >= 10 * step), (1.0, ""))
    return f"{rate / step:,.0f} {letter}{unit}/s"
