"""What races found, on a terminal and as a picture: the student's, the reference's and the roofline's rates."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from ..scoring.races import RaceResult, Speed
from . import words

_CELLS = 24
_VERDICT_STYLE = {"fast": "green", "between": "yellow", "slow": "red", "undecided": "magenta"}


def speed_panel(speed: Speed) -> Panel | None:
    """All races that could be held; None when there was none."""
    held = [result for result in speed.results if result.status not in ("todo", "not_provided")]
    if not held:
        return None
    shown: list[RenderableType] = []
    for result in held:
        shown += _lines(result)
    shown.append(Text(describe_machine(speed), style="dim"))
    return Panel(Group(*shown), title="Speed", title_align="left", border_style="blue")


def _lines(result: RaceResult) -> Iterator[Text]:
    """The race, the rates as a bar and in figures, and the ratio."""
    problem, tensors = words.race(result)
    yield Text.assemble((problem, "bold"), f"  {tensors}")
    if result.status != "measured":
        yield Text.assemble("  ", (result.status.replace("_", " "), "red"), f"  {result.message}")
        return
    yield Text.assemble("  ", _bar(result), f"  {words.rates(result)}")
    verdict = (result.verdict, _VERDICT_STYLE[result.verdict])
    yield Text.assemble(f"  {words.ratio(result)}: ", verdict, " ", (words.thresholds(result), "dim"))


def _bar(result: RaceResult) -> Text:
    """The student's rate as a bar and the reference's as a mark, on a scale that ends at the roofline."""
    filled, mark = (
        min(_CELLS, round(_CELLS * rate / result.fastest_rate)) for rate in (result.rate, result.reference_rate)
    )
    text = Text()
    for cell in range(1, _CELLS + 1):
        if cell == max(mark, 1):
            text.append("┃", style="bold")
        else:
            text.append("█" if cell <= filled else "·", style="blue" if cell <= filled else "dim")
    return text


def describe_machine(speed: Speed) -> str:
    """How to read the picture, and which device it is of."""
    device = speed.machine.get("device")
    described = ", ".join(
        f"{name.replace('_', ' ')} {value}"
        for name, value in speed.machine.items()
        if name not in ("device", "ceilings", "afterwards")
    )
    where = f"\n{device}: {described}." if device else ""
    return f"Bar: your rate; its end is the roofline, ┃ the reference. [ ]: the interval at the 99 % level.{where}"
