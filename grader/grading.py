"""Grade one submission: find it, run the tests, put the report together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from .archive import is_archive, unpacked
from .environment import describe_environment
from .integrity import find_suspicions
from .isolation import choose
from .policy import find_breaches, mentions_in
from .processes import become_undumpable
from .report.model import Report, build_report
from .rubric import Problem, Rubric
from .runner import Progress, has_tests, run_tests
from .submission import locate


def grade(
    submission: str,
    rubric: Rubric,
    problems: Sequence[Problem],
    *,
    seed: int | None = None,
    isolation: str = "auto",
    jobs: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Grade these problems of the submission in a folder or an archive.

    Args:
        isolation: "auto" (the strongest level that works here) or the name of a level; see `runner.run_tests` for the
            rest.

    Raises:
        SubmissionNotFound: there is nothing to grade.
        ArchiveRefused: the archive is damaged, too large or reaches outside.
        Refused, Failed: as `runner.run_tests`.
    """
    become_undumpable()  # it knows the seed, and the submission runs as the same user
    tested = [problem for problem in problems if has_tests(problem)]
    with _folder(submission) as folder:
        layout = locate(folder, named=submission)
        chosen = choose(isolation, layout)
        mentions = mentions_in(layout, tested)
        run = run_tests(layout, tested, seed=seed, isolation=chosen, jobs=jobs, progress=progress)
        suspicions = find_suspicions(layout, run.noticed, zip(run.planned, run.outcomes, strict=True))
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
        environment={**describe_environment(), "seconds": round(run.seconds, 2)},
        load_fault=run.load_fault,
        for_staff=run.for_staff,
        left_out=run.left_out,
    )


@contextlib.contextmanager
def _folder(submission: str) -> Iterator[Path]:
    """The folder of a submission; that of an archive exists only as long as it is being graded."""
    if is_archive(submission):
        with unpacked(submission) as folder:
            yield folder
    else:
        yield Path(submission)
