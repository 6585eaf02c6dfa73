"""Ratios with their spread: what is measured, how it is shown, and the JSON that keeps it. Nothing here measures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Row:
    """One thing measured beside another, a few times in turn.

    Args:
        what: the job, such as "BPE training, English, 5 MB, 10,000 ids".
        ours, theirs: names of the two that are compared.
        unit: of the numbers, such as "CPU s".
        pairs: (ours, theirs) of each round.
        goal: the ratio that we want to stay below, if there is one.
    """

    what: str
    ours: str
    theirs: str
    unit: str
    pairs: tuple[tuple[float, float], ...]
    goal: float | None = None

    @property
    def ratios(self) -> list[float]:
        """Ours divided by theirs, of each round: below 1 we are better."""
        return [ours / theirs for ours, theirs in self.pairs]


def summary(ratios: Sequence[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def as_table(rows: Sequence[Row]) -> Table:
    """What `python -m benchmarks` prints."""
    table = Table("what", "ours", "beside", "theirs", "ratio", "min to max", "goal")
    for column in (1, 3, 4, 5, 6):
        table.columns[column].justify = "right"
    for row in rows:
        ours, theirs = (statistics.median(column) for column in zip(*row.pairs, strict=True))
        ratio = summary(row.ratios)
        table.add_row(
            row.what, f"{_short(ours)} {row.unit}", row.theirs, f"{_short(theirs)} {row.unit}",
            f"{ratio['median']:.2f}", f"{ratio['min']:.2f} to {ratio['max']:.2f}",
            "" if row.goal is None else f"{row.goal:.2f}",
        )  # fmt: skip
    return table


def as_markdown(rows: Sequence[Row]) -> str:
    """The same for README: ratios only, since seconds are those of one machine."""
    lines = ["| what | beside | ratio | min to max | goal |", "|---|---|---:|---:|---:|"]
    for row in rows:
        ratio = summary(row.ratios)
        ours = "" if row.ours == "reference" else f" ({row.ours})"
        goal = "" if row.goal is None else f"{row.goal:.2f}"
        lines.append(
            f"| {row.what}{ours} | {row.theirs} | {ratio['median']:.2f} | "
            f"{ratio['min']:.2f} to {ratio['max']:.2f} | {goal} |"
        )
    return "\n".join(lines)


def as_json(
    rows: Sequence[Row], date: str, command: str, machine: dict[str, Any], versions: dict[str, str]
) -> dict[str, Any]:
    """What `--save` writes. Keys may be added, not renamed.

    `pairs` has each round's numbers in `unit`, ours first. `versions` names what is not installed "missing".
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "date": date,
        "command": command,
        "machine": machine,
        "versions": versions,
        "rows": [
            {
                "what": row.what,
                "ours": row.ours,
                "theirs": row.theirs,
                "unit": row.unit,
                "pairs": [list(pair) for pair in row.pairs],
                "ratio": summary(row.ratios),
                "goal": row.goal,
            }
            for row in rows
        ],
    }


def _short(number: float) -> str:
    return f"{number:.3g}" if number < 1000 else f"{number:.0f}"
