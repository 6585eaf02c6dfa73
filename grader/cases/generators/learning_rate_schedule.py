"""Cases for the cosine schedule with linear warm-up: rates at the corners and in between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..case import Case, Draw
from ..compare import Tolerance


def generate(draw: Draw) -> Iterator[Case]:
    def case(name: str, group: str, iterations: Iterable[int], schedule: dict[str, Any]) -> Case:
        # A cosine in float32 is off by 1e-7 of the whole range.
        tolerance = Tolerance(2e-5, absolute=1e-6 * schedule["max_learning_rate"])
        return Case(
            name, "learning_rates", {"iterations": sorted(set(iterations)), "schedule": schedule}, group, tolerance
        )

    short = _schedule(1.0, 0.1, 7, 21)
    long = _schedule(draw.number(1e-4, 1e-2), 1e-5, draw.integer(100, 300), draw.integer(1000, 3000))
    drawn = _schedule(draw.number(0.5, 2), draw.number(0.05, 0.3), draw.integer(5, 12), draw.integer(25, 60))
    for name, schedule in (("short", short), ("long", long), ("drawn", drawn)):
        warmup, cycle = schedule["warmup_iters"], schedule["cosine_cycle_iters"]
        yield case(name, "warmup", [0, 1, 2, warmup // 2, warmup - 1], schedule)
        yield case(name, "top", [warmup], schedule)
        quarters = [warmup + (cycle - warmup) * i // 4 for i in range(1, 4)]
        yield case(name, "cosine", [warmup + 1, *quarters, cycle - 2, cycle - 1], schedule)
        yield case(name, "end", [cycle], schedule)
        late = [2 * cycle - warmup, 2 * cycle, 100 * cycle]
        yield case(name, "after", late, schedule)

    yield case("no_warmup", "no_warmup", [0, 1, 5, 9], _schedule(draw.number(0.1, 1), 0.01, 0, 10))
    yield case("one_step_of_warmup", "short", [0, 1, 7, 8], _schedule(draw.number(0.1, 1), 0.01, 1, 7))
    yield case("one_step_of_cosine", "short", [4, 5, 6], _schedule(draw.number(0.1, 1), 0.02, 4, 5))
    yield case("down_to_zero", "to_zero", [5, 7, 9, 12, 13], _schedule(draw.number(0.1, 1), 0.0, 3, 12))
    # At the iteration where warm-up and cosine end together, two rates are right; the test asks for it apart.
    yield case("no_cosine", "no_cosine", [4, 6, 7, 50], _schedule(draw.number(0.1, 1), 0.02, 5, 5))


def _schedule(high: float, low: float, warmup: int, cycle: int) -> dict[str, Any]:
    return {
        "max_learning_rate": high,
        "min_learning_rate": low,
        "warmup_iters": warmup,
        "cosine_cycle_iters": cycle,
    }
