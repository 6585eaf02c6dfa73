"""Print how long the kit takes, each figure beside what it is compared with in the same run.

python -m benchmarks [--repeats N]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from grader.kit.paths import KIT


def seconds(*command: str) -> float:
    """Wall time of one command run from the kit's folder; it has to succeed."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=KIT, check=True, capture_output=True)
    return time.perf_counter() - start


def in_turn(repeats: int, *measure: Callable[[], float]) -> list[float]:
    """Medians of several measurements that take turns, so that a slow spell of the machine meets them all."""
    rounds = [[one() for one in measure] for _ in range(repeats)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def test_seconds(isolation: str) -> float:
    """Sum over all tests of the time a grade of the reference spent in them."""
    command = ["-m", "grader", "grader/reference", "--seed", "0", "--isolation", isolation, "--json", "-"]
    result = subprocess.run([sys.executable, *command], cwd=KIT, check=True, capture_output=True, text=True)
    report = json.loads(result.stdout)
    return sum(test["seconds"] for problem in report["problems"] for test in problem["tests"])


def peak_mib(what: str, megabytes: int) -> float:
    """A figure of `benchmarks.memory`, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", what, str(megabytes)]
    return float(subprocess.run(command, cwd=KIT, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="rounds; medians are shown (default: 3)")
    repeats = parser.parse_args().repeats

    table = Table("what", "measured", "compared with", "measured", "difference or ratio")
    for column in (1, 3, 4):
        table.columns[column].justify = "right"

    help_s, python_s = in_turn(repeats, lambda: seconds("-m", "grader", "--help"), lambda: seconds("-c", "pass"))
    table.add_row("--help", f"{help_s:.2f}", "python alone", f"{python_s:.2f}", f"+{help_s - python_s:.2f} s")

    rope_s, torch_s = in_turn(
        repeats,
        lambda: seconds("-m", "pytest", "-q", "tests/test_rope.py"),
        lambda: seconds("-c", "import torch"),
    )
    table.add_row(
        "pytest tests/test_rope.py", f"{rope_s:.2f}", "import torch", f"{torch_s:.2f}", f"+{rope_s - torch_s:.2f} s"
    )

    behind_s, inside_s = in_turn(repeats, lambda: test_seconds("process"), lambda: test_seconds("none"))
    table.add_row(
        "tests behind the wall", f"{behind_s:.2f}", "in process", f"{inside_s:.2f}", f"x {behind_s / inside_s:.3f}"
    )

    (grade_s,) = in_turn(repeats, lambda: seconds("-m", "grader", "grader/reference"))
    table.add_row("full grade of the reference", f"{grade_s:.1f}", "the limit", "60", f"x {grade_s / 60:.2f}")

    small, large = peak_mib("train", 4), peak_mib("train", 64)
    table.add_row(
        "training on 64 MB, peak", f"{large:.0f} MiB", "on 4 MB", f"{small:.0f} MiB", f"+{large - small:.0f} MiB"
    )
    growth = peak_mib("stream", 5)
    table.add_row("encode_iterable over 5 MB", f"{growth:.2f} MiB", "the limit", "1 MiB", f"x {growth:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
