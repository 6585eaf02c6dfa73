"""The report as one HTML file that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..scoring.races import RaceResult
from . import words
from .dependency_graph import lay_out
from .model import DifferenceMap, Report
from .output import write_whole
from .race_lines import describe_machine

_HERE = Path(__file__).resolve().parent
_CELL = 14  # pixels, with a gap of one
_FIRST = 3
"""As many problems are named at the top as what to begin with."""


def render(report: Report) -> str:
    """The whole page. What a submission wrote is escaped, wherever it stands."""
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    shown = report.most_urgent_first
    held = [_drawn(result) for result in report.speed.results if result.status == "measured"]
    page = environment.get_template("report.html.j2")
    first = [problem for problem in shown if problem.troubles and not problem.blocked_by][:_FIRST]
    return page.render(
        report=report, shown=shown, first=first, graph=lay_out(report), draw=_heat, words=words, races=held,
        legend=describe_machine(report.speed),
    )  # fmt: skip


def write_html(report: Report, path: Path) -> None:
    """Write the page.

    Raises:
        OSError: when it cannot be written there.
    """
    write_whole(path, render(report))


def _drawn(result: RaceResult) -> dict[str, Any]:
    """What the picture shows of a race; shares are those of the roofline, or of the faster where there is none."""
    end = result.fastest_rate
    return {
        "title": "  ".join(words.race(result)),
        "share": min(1.0, result.rate / end),
        "reference_share": min(1.0, result.reference_rate / end),
        "rates": words.rates(result),
        "ratio": f"{words.ratio(result)}: {result.verdict} {words.thresholds(result)}",
    }


@dataclass(frozen=True)
class _Heat:
    """A picture of where a tensor differs: a path for the cells of each level; width and height in pixels."""

    says: str
    width: int
    height: int
    paths: tuple[str, ...]


def _heat(map: DifferenceMap) -> _Heat:
    paths = [""] * len(words.LEVELS)
    for y, row in enumerate(map.cells):
        for x, level in enumerate(row):
            paths[int(level)] += f"M{x * _CELL} {y * _CELL}h{_CELL - 1}v{_CELL - 1}h-{_CELL - 1}z"
    return _Heat(words.map_of(map), len(map.cells[0]) * _CELL, len(map.cells) * _CELL, tuple(paths))
