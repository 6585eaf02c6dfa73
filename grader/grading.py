"""Grade one submission: find it, run the tests, put the report together."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import Refused
from .escape import visible
from .examination.runner import ExaminationResult, Launch, default_jobs, first_examiner, has_tests, run_tests
from .report.environment import describe_environment
from .report.model import Report, build_report
from .rules.from_scratch import find_breaches, mentions_in
from .rules.integrity import find_suspicions
from .scoring.outcome import Result
from .scoring.progress import Progress
from .scoring.races import NO_RACES, RaceResult, Speed
from .scoring.rubric import Problem, ProblemKind, Rubric
from .submission.archive import is_archive, unpacked
from .submission.files import Files
from .submission.locate import locate
from .submission.source_files import not_connected
from .wall.isolation import Isolation, Level, choose
from .wall.processes import become_undumpable
from .worker.loader import Layout
from .worker.stand_ins import NAMES as STAND_INS

if TYPE_CHECKING:
    from .performance.assess import RaceJudge  # which a student's copy of the kit has not


def grade(
    submission: str,
    rubric: Rubric,
    problems: Sequence[Problem],
    *,
    seed: int | None = None,
    isolation: str | Isolation = "auto",
    environment: str = "kit",
    jobs: int | None = None,
    gpu: bool | None = None,
    progress: Progress | None = None,
    launch: Launch | None = None,
    root: str | None = None,
) -> Report:
    """Grade these problems of the submission in a folder or an archive.

    Args:
        root: the folder to grade inside of it, where it holds several; `class.zip/ada` says the same.
        isolation: "auto" (the strongest level that works here), the name of a level, or what was chosen before.
        environment: "kit" (the grader's own Python and packages run the submission) or "own" (packages that it asks for
            are installed for it; see `wall/own_environment.py`).
        jobs: how many examiners work side by side at most; None: `default_jobs()`. See `runner.run_tests` for the rest.
        gpu: whether races are held on a GPU: yes, no, or (None) if there is one.

    Raises:
        SubmissionNotFound: there is nothing to grade.
        ArchiveRefused: the archive is damaged, too large or reaches outside.
        Refused, Failed: as `runner.run_tests`.
    """
    if gpu and _has_races():
        from .performance.assess import require_gpu

        require_gpu(gpu)
    become_undumpable()  # it knows the seed, and the submission runs as the same user
    raced = [problem for problem in problems if problem.kind is ProblemKind.PERFORMANCE]
    held = _held_here(raced, isolation, gpu)
    below = [problem for problem in rubric.below(problems) if has_tests(problem)]
    # Whether a race counts depends on what it builds on, also when nobody asks for that.
    counted_with = set(rubric.below(held))
    tested = [p for p in rubric.problems if has_tests(p) and (p in problems or p in counted_with)]
    below = [problem for problem in below if problem not in tested]
    submission, root = _inside(submission, root)
    named = os.path.join(submission, root) if root else submission
    with (
        first_examiner() if launch is None else contextlib.nullcontext() as begun,
        _folder(submission, root) as folder,
    ):
        layout = locate(folder, named=named)
        made: dict[str, object] = {}
        if environment == "own":
            layout, made = _with_own_environment(layout)
        chosen = isolation if isinstance(isolation, Isolation) else choose(isolation, layout)
        mentions = mentions_in(layout, [*tested, *below])
        jobs = jobs or default_jobs()
        with _judge_of_races(layout, chosen, held) as judge:
            run = run_tests(
                layout,
                tested,
                below=below,
                optional=rubric.settled_unless_begun(tested),
                seed=seed,
                isolation=chosen,
                jobs=jobs,
                lines=rubric.lines,
                progress=progress,
                launch=launch,
                begun=begun,
                at_first_end=judge.start_ahead if judge else None,
            )
            # After the tests, when nothing else of this grade is running.
            speed = _hold_races(judge, raced, chosen, gpu, progress, run)
            noticed = {**run.noticed, "races": speed.noticed}
        suspicions = find_suspicions(layout, noticed, zip(run.planned, run.outcomes, strict=True))
        todo = {
            test.problem
            for test, outcome in zip(run.planned, run.outcomes, strict=True)
            if outcome.result is Result.TODO
        }
        elsewhere = not_connected(Files(layout.root), layout.adapters, todo)
    examined = [p for p in rubric.problems if p in tested or p.id in run.looked_at]
    return build_report(
        submission=visible(named),
        rubric=rubric,
        problems=problems,
        looked_at=[problem for problem in examined if problem not in problems],
        planned=run.planned,
        outcomes=run.outcomes,
        explanations=run.explanations,
        clues=run.clues,
        policy=find_breaches(examined, mentions, run.uses_seen),
        suspicions=suspicions,
        seed=run.seed,
        isolation=chosen.as_json(),
        environment={
            **describe_environment(),
            **made,
            "seconds": round(run.seconds + speed.seconds, 2),
            "stand_ins": _stand_ins(noticed),
        },
        load_fault=run.load_fault,
        for_staff=run.for_staff,
        left_out=run.left_out,
        unbegun=run.unbegun,
        own_adapters=run.own_adapters,
        speed=speed,
        folder="" if is_archive(submission) else str(Path(named).resolve()),
        elsewhere=elsewhere,
    )


def _with_own_environment(layout: Layout) -> tuple[Layout, dict[str, object]]:
    """The layout with an environment made for it, and what the report says about that."""
    from .wall.own_environment import make_environment

    made = make_environment(layout)
    return dataclasses.replace(layout, environment=made.environment), {"own": made.as_json()}


def _stand_ins(noticed: Mapping[str, Iterable[Any]]) -> list[str]:
    """The packages in whose place the worker had a module that does nothing; it says so from behind the wall."""
    named = {
        remark.get("evidence")
        for remarks in noticed.values()
        for remark in remarks
        if type(remark) is dict and remark.get("kind") == "stand_in"
    }
    return [name for name in STAND_INS if name in named]


def _has_races() -> bool:
    """Whether this copy of the kit has what submissions are raced against; a student's has not."""
    return importlib.util.find_spec(f"{__package__}.performance") is not None


def _held_here(raced: Sequence[Problem], isolation: str | Isolation, gpu: bool | None) -> list[Problem]:
    """The problems whose races can be held here."""
    level = isolation.level if isinstance(isolation, Isolation) else isolation
    if not raced or not _has_races() or level == Level.NONE:
        return []
    from .performance.assess import can_be_held

    return [problem for problem in raced if can_be_held(problem.id, gpu)]


@contextlib.contextmanager
def _judge_of_races(layout: Layout, isolation: Isolation, problems: Sequence[Problem]) -> Iterator[RaceJudge | None]:
    """Who will hold the races of these problems, if there are any."""
    if not problems:
        yield None
        return
    from .performance.assess import RaceJudge

    with RaceJudge(layout, isolation, problems) as judge:
        yield judge


def _hold_races(
    judge: RaceJudge | None,
    problems: Sequence[Problem],
    isolation: Isolation,
    gpu: bool | None,
    progress: Progress | None,
    run: ExaminationResult,
) -> Speed:
    """Hold the races of these problems, if there is something to race, and something to race against."""
    if not problems:
        return NO_RACES
    if run.load_fault:
        return Speed(notes={problem.id: "nothing could run" for problem in problems})
    if not _has_races():
        return Speed(notes={problem.id: "raced with the staff's copy of the kit only" for problem in problems})
    if isolation.level is Level.NONE:
        return Speed(
            notes={problem.id: "races need a process of their own (--isolation process)" for problem in problems}
        )
    from .performance.assess import assess_speed, can_be_held

    todo = [problem for problem in problems if can_be_held(problem.id, gpu) and is_unwritten(problem, run)]
    rest = [problem for problem in problems if problem not in todo]
    speed = assess_speed(judge, rest, gpu=gpu, progress=progress)
    unheld = [RaceResult(p.id, "", "todo", f"{' and '.join(p.needs)}: still to be written") for p in todo]
    return dataclasses.replace(speed, results=(*unheld, *speed.results))


def is_unwritten(race: Problem, run: ExaminationResult) -> bool:
    """Whether every test of what a race is about found a stub, or nothing: then three processes would show no more."""
    found = [o.result for test, o in zip(run.planned, run.outcomes, strict=True) if test.problem in race.needs]
    return Result.TODO in found and set(found) <= {Result.TODO, Result.SKIP, Result.ABSENT}


def _inside(submission: str, root: str | None) -> tuple[str, str | None]:
    """A path that goes on inside an archive, as in `class.zip/ada`, as the archive and the folder in it."""
    for archive in Path(submission).parents:
        if is_archive(archive):
            return str(archive), os.path.join(os.path.relpath(submission, archive), root or "")
    return submission, root


@contextlib.contextmanager
def _folder(submission: str, root: str | None) -> Iterator[Path]:
    """The folder of a submission; that of an archive exists only as long as it is being graded.

    Raises:
        Refused: the submission has no folder `root`.
    """
    with unpacked(submission) if is_archive(submission) else contextlib.nullcontext(Path(submission)) as folder:
        chosen = Path(os.path.realpath(folder / root)) if root else folder
        if root and not (chosen.is_dir() and chosen.is_relative_to(os.path.realpath(folder))):
            raise Refused(f"--root {root}: {submission} holds no such folder.")
        yield chosen
