"""What races found, on a terminal and as a picture: the student's, the reference's and the roofline's rates."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from ..scoring.races import RaceResult, Speed

_CELLS = 24
_VERDICT_STYLE = {"fast": "green", "between": "yellow", "slow": "red", "undecided": "magenta"}
_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def show_rate(rate: float, unit: str) -> str:
    """`1,520 GB/s`, `310 TFLOP/s`."""
    step, letter = next(((step, letter) for step, letter in _STEPS if rate >= 10 * step), (1.0, ""))
    return f"{rate / step:,.0f} {letter}{unit}/s"


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
    yield Text.assemble((result.problem.removesuffix("_speed"), "bold"), f"  {result.tensors}")
    if result.status != "measured":
        yield Text.assemble("  ", (result.status.replace("_", " "), "red"), f"  {result.message}")
        return
    rates = [f"{show_rate(result.rate, result.unit)}, reference {show_rate(result.reference_rate, result.unit)}"]
    if result.roofline_ms:
        rates.append(f"roofline {show_rate(result.roofline_rate, result.unit)}")
    yield Text.assemble("  ", _bar(result), f"  {', '.join(rates)}")
    ratio = Text(f"  {result.ratio:.2f} times the reference's time, [{result.low:.2f}, {result.high:.2f}]: ")
    ratio.append(result.verdict, style=_VERDICT_STYLE[result.verdict])
    ratio.append(f" (full points to {result.full:g}, none from {result.none:g})", style="dim")
    yield ratio


def _bar(result: RaceResult) -> Text:
    """The student's rate as a bar and the reference's as a mark, on a scale that ends at the roofline."""
    end = result.roofline_rate or max(result.rate, result.reference_rate)
    filled, mark = (min(_CELLS, round(_CELLS * rate / end)) for rate in (result.rate, result.reference_rate))
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
