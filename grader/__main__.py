"""`python -m grader`: the command line. Reads arguments, calls what does the work, maps errors to exit codes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .outcome import Outcome
    from .report.model import Report

GRADED, BELOW, REFUSED, FAILED = 0, 1, 2, 3

_DESCRIPTION = """\
Grade a submission of the language-modelling assignment: run the tests against it, score every problem,
and say what is wrong first. The submission's code runs in a process of its own, behind a wall."""

_EPILOG = """\
examples:
  python -m grader                          grade the code in this folder
  python -m grader ../ada --json ada.json   grade another folder, keep the result as JSON
  python -m grader --problem rope softmax   only these problems
  python -m grader --section model          only one section
  python -m grader --list                   show every problem with its points
  python -m grader handout ../skeleton      write the copy that students get (staff)

A submission is a folder with adapters.py at its root, or with tests/adapters.py as in the public assignment.

exit codes: 0 graded, whatever the score; 1 below --fail-under; 2 bad usage, nothing to grade, or a damaged file;
3 the grader itself failed."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["handout"]:
        return _handout(arguments[1:])
    return _grade(arguments)


def _grade_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m grader",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("submission", nargs="?", default=".", help="folder to grade (default: this one)")
    parser.add_argument("--problem", nargs="+", default=[], metavar="ID", help="only these problems")
    parser.add_argument("--section", metavar="NAME", help="only the problems of one section")
    parser.add_argument("--list", action="store_true", help="show problems, sections and points, and stop")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="draw fresh inputs from this seed instead of a secret one"
    )
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON ('-' for standard output)")
    parser.add_argument(
        "--isolation",
        choices=("auto", "process", "none"),
        default="auto",
        help="auto: the strongest there is; process: a process of its own; none: in this program, for debugging "
        "code you trust (default: auto)",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="examiners side by side (default: 1)")
    parser.add_argument(
        "--fail-under", type=float, metavar="PCT", help="exit 1 below this percentage of assessed points"
    )
    return parser


def _grade(arguments: list[str]) -> int:
    parser = _grade_parser()
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    if options.seed is not None and options.seed < 0:
        parser.error("--seed must not be negative")

    from .rubric import RubricError, load_rubric
    from .runner import RunFailed, RunRefused
    from .submission import SubmissionNotFound

    try:
        rubric = load_rubric()
        if options.list:
            _list(rubric)
            return GRADED
        problems = rubric.select(options.problem, options.section)
        if options.json not in (None, "-") and not Path(options.json).absolute().parent.is_dir():
            raise RunRefused(f"--json {options.json}: there is no folder {Path(options.json).absolute().parent}.")
        report = _run(options, rubric, problems)
    except (RubricError, SubmissionNotFound, RunRefused) as error:
        print(f"grader: {error}", file=sys.stderr)
        return REFUSED
    except RunFailed as error:
        print(f"grader: the grader itself failed: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\ngrader: interrupted; nothing was graded.", file=sys.stderr)
        return 130

    if options.fail_under is not None:
        percent = 100 * report.earned / report.assessed if report.assessed else 0.0
        if percent < options.fail_under:
            return BELOW
    return GRADED


def _run(options: argparse.Namespace, rubric, problems) -> Report:
    """Grade, show the report and write it."""
    import json

    from rich.console import Console

    from .environment import describe_environment
    from .report.model import build_report, write_json
    from .report.terminal import show
    from .runner import RunRefused, has_tests, run_tests
    from .submission import locate

    layout = locate(options.submission)
    console = Console(stderr=options.json == "-")
    isolation = "process" if options.isolation == "auto" else options.isolation
    tested = [problem for problem in problems if has_tests(problem)]
    with _progress(console) as progress:
        run = run_tests(layout, tested, seed=options.seed, isolation=isolation, jobs=options.jobs, progress=progress)
    report = build_report(
        submission=str(options.submission),
        rubric=rubric,
        problems=problems,
        planned=run.planned,
        outcomes=run.outcomes,
        seed=run.seed,
        isolation={"level": isolation, "missing": _MISSING[isolation]},
        environment={**describe_environment(), "seconds": round(run.seconds, 2)},
        load_fault=run.load_fault,
    )
    show(report, console)
    if options.json == "-":
        json.dump(report.as_json(), sys.stdout, indent=2, ensure_ascii=False)
        print()
    elif options.json:
        try:
            write_json(report, options.json)
        except OSError as error:
            raise RunRefused(f"--json {options.json} cannot be written: {error.strerror}.") from error
    return report


_MISSING = {
    "process": ["a private file system", "network isolation"],
    "none": ["any wall: the code ran in the grader's own process"],
}


def _progress(console):
    """A progress bar with the test that is running; quiet where the output is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from .runner import Progress as Watcher

    class Bar(Watcher):
        def __init__(self) -> None:
            self.bar = Progress(
                TextColumn("{task.description:40.40}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=console,
                transient=True,
            )
            self.task = self.bar.add_task("loading the submission", total=None)

        def __enter__(self) -> Bar:
            self.bar.start()
            return self

        def __exit__(self, *_: object) -> None:
            self.bar.stop()

        def planned(self, tests: int) -> None:
            total = self.bar.tasks[0].total or 0
            self.bar.update(self.task, total=total + tests)

        def started(self, test_id: str) -> None:
            self.bar.update(self.task, description=test_id.removeprefix("test_"))

        def finished(self, outcome: Outcome) -> None:
            self.bar.advance(self.task)

    return Bar()


def _list(rubric) -> None:
    from itertools import groupby

    for section, members in groupby(rubric.problems, key=lambda problem: problem.section):
        print(f"{section}: {rubric.sections[section]}")
        for problem in members:
            print(f"  {problem.id:30} {problem.points:4g}  {problem.kind:10}  {problem.title}")


def _handout(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "python -m grader handout",
        description="Write the copy of this kit that students get: without reference solution, case generators "
        "and self-tests.",
    )
    parser.add_argument("folder", help="where to write it; must not exist or be empty")
    options = parser.parse_args(arguments)

    from .handout import HandoutError, write_handout

    try:
        files = write_handout(Path(options.folder))
    except HandoutError as error:
        print(f"grader: {error}", file=sys.stderr)
        return REFUSED
    print(f"{files} files written to {options.folder}. Students start there with `make test`.")
    return GRADED


if __name__ == "__main__":
    sys.exit(main())
