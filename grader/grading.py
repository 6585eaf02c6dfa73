"""Grade one submission: find it, run the tests, put the report together."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

from .archive import is_archive, unpacked
from .environment import describe_environment
from .integrity import find_suspicions
from .isolation import Isolation, Level, choose
from .locate import locate
from .policy import find_breaches, mentions_in
from .processes import become_undumpable
from .report.model import Report, build_report
from .rubric import Kind, Problem, Rubric
from .runner import Launch, Progress, default_jobs, has_tests, run_tests
from .speed import NO_RACES, Speed
from .worker.loader import Layout


def grade(
    submission: str,
    rubric: Rubric,
    problems: Sequence[Problem],
    *,
    seed: int | None = None,
    isolation: str = "auto",
    jobs: int | None = None,
    gpu: bool | None = None,
    progress: Progress | None = None,
    launch: Launch | None = None,
) -> Report:
    """Grade these problems of the submission in a folder or an archive.

    Args:
        isolation: "auto" (the strongest level that works here) or the name of a level.
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
    tested = [problem for problem in problems if has_tests(problem)]
    with _folder(submission) as folder:
        layout = locate(folder, named=submission)
        chosen = choose(isolation, layout)
        mentions = mentions_in(layout, tested)
        jobs = jobs or default_jobs()
        run = run_tests(layout, tested, seed=seed, isolation=chosen, jobs=jobs, progress=progress, launch=launch)
        raced = [problem for problem in problems if problem.kind is Kind.PERFORMANCE]
        # After the tests, when nothing else of this grade is running.
        speed = _hold_races(layout, raced, chosen, gpu, progress, run.load_fault)
        noticed = {**run.noticed, "races": speed.noticed}
        suspicions = find_suspicions(layout, noticed, zip(run.planned, run.outcomes, strict=True))
    return build_report(
        submission=submission,
        rubric=rubric,
        problems=problems,
        planned=run.planned,
        outcomes=run.outcomes,
        explanations=run.explanations,
        policy=find_breaches(tested, mentions, run.witnessed),
        suspicions=suspicions,
        seed=run.seed,
        isolation=chosen.as_json(),
        environment={**describe_environment(), "seconds": round(run.seconds + speed.seconds, 2)},
        load_fault=run.load_fault,
        for_staff=run.for_staff,
        left_out=run.left_out,
        speed=speed,
        folder="" if is_archive(submission) else str(Path(submission).resolve()),
    )


def _has_races() -> bool:
    """Whether this copy of the kit has what submissions are raced against; a student's has not."""
    return importlib.util.find_spec(f"{__package__}.performance") is not None


def _hold_races(
    layout: Layout,
    problems: Sequence[Problem],
    isolation: Isolation,
    gpu: bool | None,
    progress: Progress | None,
    load_fault: str | None,
) -> Speed:
    """Hold the races of these problems, if there is something to race, and something to race against."""
    if not problems:
        return NO_RACES
    if load_fault:
        return Speed(notes={problem.id: "nothing could run" for problem in problems})
    if not _has_races():
        return Speed(notes={problem.id: "raced with the staff's copy of the kit only" for problem in problems})
    if isolation.level is Level.NONE:
        return Speed(
            notes={problem.id: "races need a process of their own (--isolation process)" for problem in problems}
        )
    from .performance.assess import assess_speed

    return assess_speed(layout, problems, isolation=isolation, gpu=gpu, progress=progress)


@contextlib.contextmanager
def _folder(submission: str) -> Iterator[Path]:
    """The folder of a submission; that of an archive exists only as long as it is being graded."""
    if is_archive(submission):
        with unpacked(submission) as folder:
            yield folder
    else:
        yield Path(submission)
