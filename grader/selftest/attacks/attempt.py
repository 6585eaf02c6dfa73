"""Runs an attack at a level of isolation and says what it gained."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from grader.examination.runner import run_tests
from grader.kit.paths import KIT, TESTS
from grader.report.model import build_report
from grader.rules.from_scratch import find_breaches
from grader.rules.integrity import Suspicion, find_suspicions
from grader.scoring.rubric import Problem, load_rubric
from grader.submission.locate import locate
from grader.wall import processes
from grader.wall.isolation import Isolation, Level
from grader.wall.isolation import available as levels_that_work

from ..forked import ForkedExaminer
from .attack import MARK, Attack

BYSTANDER = "learning_rate_schedule"
_LOAD_S = 30
_PLACES = ("/tmp", "/var/tmp", "/dev/shm", "/", str(Path.home()), str(KIT), str(KIT / "grader"), str(TESTS))


@dataclass(frozen=True)
class Report:
    """What came of one attack. faults: what it gained or left behind, in words; empty when it was stopped."""

    level: Level
    faults: tuple[str, ...]
    seconds: float
    earned: dict[str, float] = field(default_factory=dict)
    suspicions: tuple[Suspicion, ...] = ()


def available(attack: Attack) -> list[Isolation]:
    """The levels that work on this machine, strongest first, `none` excepted."""
    with _submission(attack) as folder:
        return [isolation for isolation in levels_that_work(locate(folder)) if isolation.level is not Level.NONE]


def attempt(attack: Attack, isolation: Isolation) -> Report:
    """Grade the attack's submission and look at what it earned and at what is left of it."""
    start = time.monotonic()
    with _submission(attack) as folder:
        before = _contents(folder)
        kit_before = _state_of_kit()
        rubric = load_rubric()
        attacked = dataclasses.replace(rubric[attack.problem], call_limit_s=attack.call_limit_s, needs=())
        bystander = rubric[BYSTANDER]
        earned, suspicions = _graded(folder, isolation, attack, [attacked, bystander])
        faults = [
            *_wrong_verdict(attack, suspicions),
            *_wrong_points(attacked, earned[attacked.id], attack.earns),
            *_wrong_points(bystander, earned[bystander.id], attack.bystander),
            *(f"process {pid} is left" for pid in _left_running(folder.parent)),
            *(f"{path} is left" for path in _left_lying(folder.parent / "tmp")),
        ]
        if _contents(folder) != before:
            faults.append("the submission's folder has changed")
        if changed := dict(_state_of_kit().items() ^ kit_before.items()):
            faults.append(f"the kit has changed: {', '.join(sorted(changed))}")
    return Report(isolation.level, tuple(faults), time.monotonic() - start, earned, suspicions)


@contextlib.contextmanager
def _submission(attack: Attack) -> Iterator[Path]:
    """The submission in a folder of its own, beside the temporary folder of its grade; somebody listens meanwhile."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        tmp = Path(folder, "tmp")
        tmp.mkdir()
        former, tempfile.tempdir = tempfile.tempdir, str(tmp)
        try:
            yield attack.write(Path(folder, "submission"), listener.getsockname()[1])
        finally:
            tempfile.tempdir = former


def _graded(
    folder: Path, isolation: Isolation, attack: Attack, problems: list[Problem]
) -> tuple[dict[str, float], tuple[Suspicion, ...]]:
    """Points per problem, and what the integrity verdict lists."""
    layout = locate(folder)
    run = run_tests(
        layout,
        problems,
        isolation=isolation,
        limits={"load_s": _LOAD_S, **attack.limits},
        launch=ForkedExaminer,
    )
    report = build_report(
        submission=str(folder),
        rubric=load_rubric(),
        problems=problems,
        planned=run.planned,
        outcomes=run.outcomes,
        explanations=run.explanations,
        policy=find_breaches(problems, {}, run.uses_seen),
        seed=run.seed,
        isolation=isolation.as_json(),
        environment={},
        suspicions=find_suspicions(layout, run.noticed, zip(run.planned, run.outcomes, strict=True)),
    )
    return {p.problem.id: p.score.earned for p in report.problems}, report.suspicions


def _wrong_verdict(attack: Attack, suspicions: tuple[Suspicion, ...]) -> Iterator[str]:
    kinds = {suspicion.kind for suspicion in suspicions}
    if missed := set(attack.noticed) - kinds:
        yield f"the integrity verdict does not say: {', '.join(sorted(missed))}"
    if attack.family == "controls":
        yield from (f"honest code is suspected: {suspicion.evidence}" for suspicion in suspicions)


def _wrong_points(problem: Problem, earned: float, expected: str) -> Iterator[str]:
    allowed = {"nothing": (0.0,), "everything": (problem.points,), "any": (earned,)}[expected]
    if earned not in allowed:
        yield f"{problem.id} earned {earned:g} of {problem.points:g}, not {expected}"


def _contents(folder: Path) -> dict[str, str]:
    """{path: what is there}, links as links."""
    return {str(path.relative_to(folder)): _content(path) for path in sorted(folder.rglob("*"))}


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"-> {os.readlink(path)}"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"


def _state_of_kit() -> dict[str, tuple[int, int]]:
    """{path: size and time} of the kit's own files. Bytecode comes and goes, and with it the time of a folder."""
    paths = (path for name in ("grader", "tests", "cs336_basics") for path in (KIT / name).rglob("*"))
    states = ((path, path.lstat()) for path in paths if "__pycache__" not in path.parts)
    return {str(p): (0, 0) if stat.S_ISDIR(s.st_mode) else (s.st_size, s.st_mtime_ns) for p, s in states}


def _left_running(folder: Path) -> Iterator[int]:
    """Processes that an attack has left: children of this one's, or whoever works below its folder."""
    yield from (process.pid for process in processes.started_here() if not process.zombie)
    for entry in Path("/proc").iterdir() if sys.platform == "linux" else ():
        with contextlib.suppress(OSError, ValueError):
            if os.readlink(entry / "cwd").startswith(str(folder)):
                yield int(entry.name)


def _left_lying(tmp: Path) -> Iterator[Path]:
    """Files that an attack has left; whatever is found is removed, so that the next attack is not blamed for it."""
    yield from tmp.iterdir()
    for place in _PLACES:
        path = Path(place, MARK)
        if path.exists():
            path.unlink()
            yield path
