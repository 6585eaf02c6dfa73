"""Grade one submission: find it, run the tests, put the report together."""

from __future__ import annotations

from collections.abc import Sequence

from .environment import describe_environment
from .isolation import choose
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
    """Grade these problems of the submission in a folder.

    Args:
        isolation: "auto" (the strongest level that works here) or the name of a level; see `runner.run_tests` for the
            rest.

    Raises:
        SubmissionNotFound: there is nothing to grade.
        Refused, Failed: as `runner.run_tests`.
    """
    become_undumpable()  # it knows the seed, and the submission runs as the same user
    layout = locate(submission)
    chosen = choose(isolation, layout)
    tested = [problem for problem in problems if has_tests(problem)]
    run = run_tests(layout, tested, seed=seed, isolation=chosen, jobs=jobs, progress=progress)
    return build_report(
        submission=submission,
        rubric=rubric,
        problems=problems,
        planned=run.planned,
        outcomes=run.outcomes,
        explanations=run.explanations,
        seed=run.seed,
        isolation=chosen.as_json(),
        environment={**describe_environment(), "seconds": round(run.seconds, 2)},
        load_fault=run.load_fault,
    )
