"""The report as one HTML file that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..scoring.races import RaceResult
from . import words
from .model import Report
from .output import write_whole
from .race_lines import describe_machine

_HERE = Path(__file__).resolve().parent


def render(report: Report) -> str:
    """The whole page. What a submission wrote is escaped, wherever it stands."""
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    shown = report.most_urgent_first
    held = [_drawn(result) for result in report.speed.results if result.status == "measured"]
    page = environment.get_template("report.html.j2")
    return page.render(report=report, shown=shown, words=words, races=held, legend=describe_machine(report.speed))


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
