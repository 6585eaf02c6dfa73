"""How fast the kit and its reference are, each figure as a ratio to what it is compared with in the same run.

    python -m benchmarks            two or three minutes: texts of 5 MB
    python -m benchmarks --full     half an hour: texts of 5, 30 and 50 MB, whole grades, growth of memory
    python -m benchmarks --save     keeps the raw timings below benchmarks/results/, with date, machine and versions

Rounds take turns, so that a busy machine is busy for both sides; the median of the rounds' ratios counts, and the range
is printed beside it. The seconds are the processor's where it says "CPU s". Peers that are not installed are left out
and named. Everything runs on one thread.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from itertools import chain
from pathlib import Path

from rich.console import Console

from grader.kit.paths import KIT

from . import bpe
from .corpus import KINDS, write_corpus
from .table import Row, as_json, as_markdown, as_table

RESULTS = KIT / "benchmarks" / "results"
PEERS = ("rustbpe", "tokenizers", "tiktoken")
VERSIONS = ("torch", "numpy", "regex", *PEERS)
VOCAB_SIZE = 10_000
TRAINING_GOALS = {"rustbpe": (1.3, 1.0)}
"""{peer: the ratio wanted below and from `LARGE_MB`}."""
ENCODING_GOAL, STEP_GOAL, MEMORY_GOAL = 1.0, 1.05, 1.0
LARGE_MB = 30

Measure = Callable[[str, str, float, int], list[Row]]
"""From a corpus, the name of the job, its megabytes, and rounds."""


@dataclass(frozen=True)
class Plan:
    """What is measured: sizes of texts in MB, rounds, and whether a whole grade is part of it."""

    training: tuple[float, ...]
    encoding: tuple[float, ...]
    rounds: int
    steps: int
    whole_grade: bool


QUICK = Plan(training=(5,), encoding=(5,), rounds=3, steps=6, whole_grade=False)
FULL = Plan(training=(5, 30), encoding=(5, 50), rounds=3, steps=30, whole_grade=True)


def main() -> None:
    """Measure and print."""
    doc = __doc__ or ""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="texts of 5, 30 and 50 MB, and a whole grade")
    parser.add_argument("--only", metavar="WORDS", default="", help="only parts whose name matches this pattern")
    parser.add_argument("--rounds", type=int, help="rounds of each pair (default: 3)")
    parser.add_argument("--save", action="store_true", help="keep the raw timings below benchmarks/results/")
    parser.add_argument("--markdown", action="store_true", help="print the table as benchmarks/README.md has it")
    options = parser.parse_args()
    plan = FULL if options.full else QUICK
    rounds = options.rounds or plan.rounds

    log = Console(stderr=True)
    log.print(
        "This takes half an hour, longer on a busy machine." if options.full else "This takes two or three minutes."
    )
    for name in missing():
        log.print(f"{name} is not installed, so nothing is compared with it: python -m pip install {name}")
    start = time.perf_counter()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):  # what was measured by then is shown
        for name, part in parts(plan, rounds, Path(folder)):
            if re.search(options.only, name):
                log.print(f"{time.perf_counter() - start:5.0f} s  {name}")
                rows += part()
    if options.markdown:
        print(as_markdown(rows))
    else:
        console = Console()
        console.width = max(console.width, 130)  # a line that a terminal breaks is easier to read than a narrow column
        console.print(as_table(rows))
    if options.save:
        log.print(f"Kept in {save(rows).relative_to(KIT)}")


def parts(plan: Plan, rounds: int, folder: Path) -> Iterator[tuple[str, Callable[[], list[Row]]]]:
    """All that is measured, by name and in order. A text is made when it is first needed."""

    def on_text(measure: Measure, kind: str, megabytes: float, name: str) -> list[Row]:
        path = folder / f"{kind}-{megabytes}.txt"
        if not path.exists():
            write_corpus(path, kind, megabytes)
        return measure(str(path), name, megabytes, rounds)

    for contest, sizes, measure in (("BPE training", plan.training, training), ("encoding", plan.encoding, encoding)):
        for megabytes in sizes:
            for kind in KINDS:
                name = f"{contest}, {kind}, {megabytes} MB"
                yield name, partial(on_text, measure, kind, megabytes, name)
    yield "training step", lambda: training_steps(plan.steps)
    yield "kit, --help", lambda: [against(HELP, PYTHON, rounds)]
    yield "kit, one problem", lambda: [against(ONE_PROBLEM, TORCH, rounds)]
    if plan.whole_grade:
        yield "kit, the wall", lambda: [wall(rounds)]
        yield "kit, memory", growth


def training(corpus: str, job: str, megabytes: float, rounds: int) -> list[Row]:
    """Time and peak memory of BPE training beside each peer."""
    peers = [name for name in ("rustbpe", "tokenizers") if bpe.is_installed(name)]
    runs = in_turn(corpus, bpe.TRAINING, ["reference", *peers], rounds)
    job += f", {VOCAB_SIZE:,} ids"
    rows = []
    for peer in peers:
        goals = TRAINING_GOALS.get(peer)
        goal = None if goals is None else goals[megabytes >= LARGE_MB]
        rows += [
            row(job, "reference", peer, "cpu", runs, goal),
            row(job, "reference", peer, "peak_mb", runs, MEMORY_GOAL),
        ]
    return rows


def encoding(corpus: str, job: str, _: float, rounds: int) -> list[Row]:
    """Time of encoding with an empty and a filled cache, and peak memory, beside each peer."""
    peers = [name for name in ("tiktoken", "tokenizers") if bpe.is_installed(name)]
    ours = {"reference": "cold", "reference, warm cache": "warm"}
    runs = in_turn(corpus, bpe.ENCODING, [*ours, *peers], rounds)
    rows = [
        row(f"{job}, {how}", name, peer, "cpu", runs, ENCODING_GOAL) for peer in peers for name, how in ours.items()
    ]
    return rows + [row(job, "reference", peer, "peak_mb", runs, MEMORY_GOAL) for peer in peers]


def in_turn(corpus: str, contest: str, names: list[str], rounds: int) -> list[dict[str, dict[str, float]]]:
    """{name: figures} of each round, one after the other in fresh processes."""
    return [
        {name: bpe.measure_in_fresh_process(corpus, VOCAB_SIZE, contest, name) for name in names} for _ in range(rounds)
    ]


def row(
    job: str, ours: str, theirs: str, figure: str, runs: list[dict[str, dict[str, float]]], goal: float | None
) -> Row:
    """Two contenders of a contest, in one figure."""
    what, unit = (job, "CPU s") if figure == "cpu" else (f"{job}: peak memory", "MB")
    pairs = tuple((run[ours][figure], run[theirs][figure]) for run in runs)
    return Row(what, ours, theirs, unit, pairs, goal)


def training_steps(rounds: int) -> list[Row]:
    """The reference's training step beside that of torch's own modules, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.step", "--rounds", str(rounds), "--json"]
    done = subprocess.run(command, cwd=KIT, env=os.environ | bpe.ONE_THREAD, check=True, capture_output=True, text=True)
    return [
        Row(
            f"training step, {size}",
            "reference",
            "torch's modules, eager",
            "CPU s",
            tuple(map(tuple, pairs)),
            STEP_GOAL,
        )
        for size, pairs in json.loads(done.stdout).items()
    ]


@dataclass(frozen=True)
class Command:
    """A Python command and what it is called."""

    name: str
    arguments: tuple[str, ...]


HELP = Command("--help", ("-m", "grader", "--help"))
PYTHON = Command("python alone", ("-c", "pass"))
ONE_PROBLEM = Command("tests of one problem", ("-m", "pytest", "-q", "tests/test_rope.py"))
TORCH = Command("import torch", ("-c", "import torch"))


def against(ours: Command, theirs: Command, rounds: int) -> Row:
    """Two commands, by the clock."""
    pairs = tuple((seconds(ours.arguments), seconds(theirs.arguments)) for _ in range(rounds))
    return Row(ours.name, "kit", theirs.name, "s", pairs)


def seconds(arguments: Sequence[str]) -> float:
    """Wall time of one Python command run from the kit's folder; it has to succeed."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=KIT, check=True, capture_output=True)
    return time.perf_counter() - start


def wall(rounds: int) -> Row:
    """Time in tests behind the wall beside that in one process, over whole grades of the reference."""
    pairs = tuple((test_seconds("process"), test_seconds("none")) for _ in range(rounds))
    return Row("tests of a grade behind the wall", "kit", "in process", "s", pairs)


def test_seconds(isolation: str) -> float:
    """Sum over all tests of the time a grade of the reference spent in them."""
    command = ["-m", "grader", "grader/reference", "--seed", "0", "--isolation", isolation, "--json", "-"]
    result = subprocess.run([sys.executable, *command], cwd=KIT, check=True, capture_output=True, text=True)
    report = json.loads(result.stdout)
    return sum(test["seconds"] for problem in report["problems"] for test in problem["tests"])


def growth() -> list[Row]:
    """How memory grows with the text."""
    training_peak = Row(
        "BPE training of 64 MiB: peak memory", "reference", "of 4 MiB", "MiB",
        ((peak_mib("train", 64), peak_mib("train", 4)),),
    )  # fmt: skip
    stream = Row(
        "encode_iterable over 5 MiB: growth", "reference", "1 MiB", "MiB", ((peak_mib("stream", 5), 1.0),), 1.0
    )
    return [training_peak, stream]


def peak_mib(what: str, megabytes: int) -> float:
    """A figure of `benchmarks.memory`, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", what, str(megabytes)]
    return float(subprocess.run(command, cwd=KIT, check=True, capture_output=True, text=True).stdout)


def missing() -> list[str]:
    """Peers that are not installed."""
    return [name for name in PEERS if not bpe.is_installed(name)]


def save(rows: list[Row]) -> Path:
    """Write the raw timings; a second file of a day gets a number."""
    today = datetime.date.today().isoformat()
    names = chain([f"{today}-speed.json"], (f"{today}-speed-{number}.json" for number in range(2, 1000)))
    path = next(RESULTS / name for name in names if not (RESULTS / name).exists())
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    path.write_text(json.dumps(as_json(rows, today, command, machine(), versions()), indent=1) + "\n", "utf-8")
    return path


def machine() -> dict[str, object]:
    """What the figures were taken on. Its name is nobody's business."""
    cpuinfo = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else []
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_1_min": load,
    }


def versions() -> dict[str, str]:
    """{package: version, or "missing"}."""
    found = {}
    for name in VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


if __name__ == "__main__":
    main()
