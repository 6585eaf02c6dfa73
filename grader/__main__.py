"""`python -m grader`: the command line. Reads arguments, calls what does the work, maps errors to exit codes.

Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .command_line import (
    BELOW,
    FAILED,
    GRADED,
    INTERRUPTED,
    REFUSED,
    a_path,
    add_course,
    check_targets,
    make_parser,
    refuse_here,
    write_format,
    write_json_to,
)  # fmt: skip

_DESCRIPTION = """\
Grade a submission of the language-modelling assignment: run the tests against it, score every problem,
and say first what is wrong. The submission's code runs in a separate process, behind a wall."""

_EPILOG = """\
other commands (each explains itself with --help):
  python -m grader watch                    run what you save, as you save it
  python -m grader status                   what is done, what comes next
  python -m grader hint rope                one hint for a problem, and no more
  python -m grader hunt rope                find a bug that is planted in a problem you have solved
  python -m grader explain rope             what a problem asks, and how it is tested
  python -m grader doctor                   is this machine ready, and what mends it
  python -m grader data                     download TinyStories and the OpenWebText sample into data/
  python -m grader handout ../skeleton      write the copy that students get (staff)
  python -m grader batch DIR --out OUT      grade a class: every submission in a folder (staff)
  python -m grader regrade OLD NEW          what changed between two batches (staff)
  python -m grader gradescope-zip FILE      write the archive that Gradescope runs as an autograder (staff)
  python -m grader manual REPORT SCORES     add scores given by a person to a report (staff)
  python -m grader explain tolerances       how far honest code deviates, how close known bugs come (staff)

examples:
  python -m grader                          grade the code in this folder
  python -m grader ../ada --json ada.json   grade another folder, keep the result as JSON
  python -m grader --problem rope softmax   only these problems
  python -m grader --section model          only one section
  python -m grader --list                   show every problem with its points

A submission is a folder with adapters.py at its root, or with tests/adapters.py as in the public assignment; or an
archive of such a folder (.zip, .tar.gz, .tgz, .tar).

exit codes: 0 graded, whatever the score; 1 below --fail-under; 2 bad usage, nothing to grade, or a damaged
file; 3 the grader itself failed (set GRADER_DEBUG=1 to see where); 130, 143, 129
interrupted by Ctrl-C, SIGTERM, SIGHUP."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    commands = {
        "batch": _staffs("batch"),
        "data": _data,
        "doctor": _doctor,
        "explain": _explain,
        "gradescope-zip": _staffs("gradescope-zip"),
        "handout": _staffs("handout"),
        "hint": _hint,
        "hunt": _hunt,
        "manual": _staffs("manual"),
        "regrade": _staffs("regrade"),
        "status": _status,
        "watch": _watch,
    }
    command = commands.get(arguments[0]) if arguments else None
    work, rest = (command, arguments[1:]) if command else (_grade, arguments)
    from . import streams
    from .errors import Failed, Refused
    from .kit.systems import why_not_in, without

    streams.prepare()
    if sentence := why_not_in(sys.version_info[:2]):
        streams.complain(sentence)
        return REFUSED
    if not _stands_somewhere():
        streams.complain("the folder that this was started in is gone; change to one that there is.")
        return REFUSED
    from .signals import Ended, obeyed

    try:
        with obeyed():
            return work(rest)
    except Refused as error:
        streams.complain(str(error))
        return REFUSED
    except Failed as error:
        streams.complain(f"the grader itself failed: {error}")
        return FAILED
    except KeyboardInterrupt:
        streams.complain("interrupted; there is no report.")
        return INTERRUPTED
    except Ended as ended:
        streams.complain(f"ended by {ended.name}; there is no report.")
        return ended.exit_code
    except Exception as error:  # exit code 1, which Python would give, means something else
        if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] != __package__:
            import platform

            streams.complain(without(error.name, sys.executable, sys.platform, platform.machine()))
            return REFUSED
        if os.environ.get("GRADER_DEBUG"):
            traceback.print_exc()
        streams.complain(
            f"the grader itself failed: {type(error).__name__}: {error}. That is a fault of its own; "
            "GRADER_DEBUG=1 in the environment shows where."
        )
        return FAILED


def _stands_somewhere() -> bool:
    """Whether the current folder still exists."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _staffs(command: str) -> Callable[[list[str]], int]:
    """A command for staff, which a student's copy of the kit has no code for."""

    def work(arguments: list[str]) -> int:
        import importlib.util

        from .errors import Refused

        if importlib.util.find_spec("grader.staff") is None:
            raise Refused(f"{command} works with the staff's copy of the kit; this one has no grader/staff.")
        from .staff import commands

        return getattr(commands, command.replace("-", "_"))(arguments)

    return work


def _grade(arguments: list[str]) -> int:
    parser = make_parser("", _DESCRIPTION, _EPILOG)
    add = parser.add_argument
    add("submission", nargs="?", default=".", type=a_path, help="folder or archive to grade (default: this folder)")
    add("--root", metavar="FOLDER", help="the folder to grade, if the submission holds several")
    add("--problem", nargs="+", default=[], metavar="ID", help="only these problems")
    add("--section", metavar="NAME", help="only the problems of one section")
    add("--list", action="store_true", help="show problems, sections and points, and stop")
    add("--seed", type=int, metavar="N", help="draw fresh inputs from this seed instead of a secret one")
    add("--json", type=a_path, metavar="FILE", help="write the report as JSON ('-' for standard output)")
    add("--html", type=a_path, metavar="FILE", help="write the report as one HTML file")
    for option, _, what in _FORMATS:
        add(f"--{option}", type=a_path, metavar="FILE", help=f"write the report as {what}")
    add("--github", action="store_true", help="in GitHub Actions: write the step's summary, and annotate lines of code")
    _add_isolation(parser)
    add(
        "--environment",
        choices=("kit", "own"),
        default="kit",
        help="what the code may import besides its own files: kit: the kit's packages (the default); own: also wheels "
        "of those that its pyproject.toml or requirements.txt lists, and the Python version that it asks for",
    )
    gpu = parser.add_mutually_exclusive_group()
    gpu.add_argument("--gpu", action="store_true", default=None, help="race on the GPU (default: if there is one)")
    gpu.add_argument("--no-gpu", action="store_false", dest="gpu", help="skip the races that need a GPU")
    add("--jobs", type=int, metavar="N", help="run at most N examiners in parallel (default: one per CPU, up to 4)")
    add(
        "--edition", metavar="NAME", help="points of this edition of the public handout, such as 2025 (default: newest)"
    )
    add_course(parser)
    add("--fail-under", type=float, metavar="PCT", help="exit 1 below this percentage of the assessed points")
    options = parser.parse_args(arguments)
    if options.jobs is not None and options.jobs < 1:
        parser.error("--jobs must be at least 1")
    if options.seed is not None and options.seed < 0:
        parser.error("--seed must not be negative")
    if not options.list:
        refuse_here()

    from .scoring.rubric import load_rubric
    from .streams import say

    rubric = load_rubric(edition=options.edition, course=options.course)
    if options.list:
        say(_listing(rubric))
        return GRADED
    _refuse_submission_behind_problems(options.problem, rubric)
    problems = rubric.select(options.problem, options.section)
    check_targets({f"--{option}": getattr(options, option) for option in ("json", "html", *(o for o, *_ in _FORMATS))})
    if options.github and not os.environ.get("GITHUB_STEP_SUMMARY"):
        parser.error("--github is for a step of GitHub Actions, which sets GITHUB_STEP_SUMMARY")

    from rich.console import Console

    from .grading import grade
    from .report.progress_bar import ProgressBar
    from .report.remembered import remember_own

    console = Console(stderr=options.json == "-")
    with ProgressBar(console) as progress:
        report = grade(
            options.submission,
            rubric,
            problems,
            seed=options.seed,
            isolation=options.isolation,
            environment=options.environment,
            jobs=options.jobs,
            gpu=options.gpu,
            progress=progress,
            root=options.root,
        )
    # Files first: whatever becomes of the terminal, they are there.
    results: list[Callable[[], None]] = [lambda: remember_own(report, rubric)]
    if options.json:
        results.append(lambda: write_json_to(report.as_json(), options.json))
    if options.html:
        results.append(lambda: _write_html(report, options.html))
    for option, write, _ in _FORMATS:
        if target := getattr(options, option):
            results.append(functools.partial(write_format, option, write, report.as_json(), rubric, target))
    if options.github:
        results.append(lambda: _write_github_summary(report.as_json()))
    _take_each(*results, lambda: _show(report, console, options.github))
    percent = 100 * report.earned / report.assessed if report.assessed else 0.0
    return BELOW if options.fail_under is not None and percent < options.fail_under else GRADED


def _as_junit(report, _) -> str:
    from .report.formats.junit import as_junit

    return as_junit(report)


def _as_gradescope(report, rubric) -> str:
    import json

    from .report.formats.gradescope import as_gradescope

    return json.dumps(as_gradescope(report, rubric.visibility), indent=2) + "\n"


def _as_classroom50(report, _) -> str:
    import datetime
    import json

    from .report.formats.classroom50 import as_classroom50

    return json.dumps(as_classroom50(report, os.environ, datetime.datetime.now(datetime.UTC)), indent=2) + "\n"


def _as_csv(report, _) -> str:
    from .report.formats.spreadsheet import as_csv

    return as_csv(report)


_FORMATS: tuple[tuple[str, Callable[[Any, Any], str], str], ...] = (
    ("junit", _as_junit, "JUnit XML"),
    ("gradescope", _as_gradescope, "Gradescope's results.json"),
    ("classroom50", _as_classroom50, "Classroom 50's result.json"),
    ("csv", _as_csv, "CSV, a line for each problem"),
)
"""Options of a grade that write the report for another system: the option, what makes the text, what that is."""


def _write_github_summary(report) -> None:
    from .errors import Refused
    from .report.formats.github_actions import summary

    target = os.environ["GITHUB_STEP_SUMMARY"]
    try:
        with open(target, "a", encoding="utf-8") as file:
            file.write(summary(report))
    except OSError as error:
        raise Refused(f"--github: {target} cannot be written: {error.strerror}.") from error


def _show(report, console, github: bool) -> None:
    """Show the report. GitHub takes lines that begin with `::` for commands, so it is told not to do so meanwhile."""
    import secrets

    from .report.formats.github_actions import annotation_lines
    from .report.terminal import show_safely
    from .streams import say

    if not github:
        show_safely(report, console)
        return
    token = secrets.token_hex(16)
    say(f"::stop-commands::{token}")
    show_safely(report, console)
    say(f"::{token}::")
    folder = os.path.relpath(report.folder, os.environ.get("GITHUB_WORKSPACE", ".")) if report.folder else ""
    for line in annotation_lines(report.as_json(), "" if folder in (".", "") else folder):
        say(line)


def _refuse_submission_behind_problems(named: list[str], rubric: Any) -> None:
    """`--problem rope ../ada` takes the folder for a problem; say what to type."""
    import shlex

    from .errors import Refused

    known = {problem.id for problem in rubric.problems}
    if named and named[-1] not in known and (os.sep in named[-1] or os.path.exists(named[-1])):
        rest = " ".join(["--problem", *named[:-1]]) if named[1:] else ""
        command = f"python -m grader {shlex.quote(named[-1])} {rest}".strip()
        raise Refused(f"no problem is called {named[-1]!r}. A submission comes before --problem: {command}")


def _refuse_archive(submission: str, what: str) -> None:
    """Refuse an archive where a folder is needed."""
    from .errors import Refused
    from .submission.archive import is_archive

    if is_archive(submission):
        raise Refused(f"{submission} is an archive; unpack it and name the folder, {what}.")


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "submission", nargs="?", default=".", type=a_path, help="folder with the code (default: this one)"
    )


def _add_isolation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--isolation",
        choices=("auto", "bubblewrap", "landlock", "process", "none"),
        default="auto",
        help="how strongly the code is isolated, strongest first; none: in the grader's own process, for debugging "
        "code that you trust; auto: the strongest level that works here (default: auto)",
    )


def _take_each(*steps: Callable[[], None]) -> None:
    """Take every step, whatever comes of the others; raises the first of their errors."""
    errors: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _write_html(report, target: str) -> None:
    from .errors import Refused
    from .report.html import write_html

    try:
        write_html(report, Path(target))
    except OSError as error:
        raise Refused(f"--html {target} cannot be written: {error.strerror}.") from error


def _listing(rubric) -> str:
    from itertools import groupby

    lines = []
    for section, members in groupby(rubric.asked, key=lambda problem: problem.section):
        lines.append(f"{section}: {rubric.sections[section]}")
        lines += [f"  {p.id:30} {p.points:4g}  {p.kind:10}  {p.title}" for p in members]
    return "\n".join(lines)


def _hint(arguments: list[str]) -> int:
    parser = make_parser(
        " hint",
        "Give the next hint for a problem: first what should hold, then a check to run, then what\n"
        "the code does. Each call gives one more hint. It works offline and shows no solution.",
    )
    parser.add_argument("problem", metavar="ID", help="the problem, such as rope")
    _add_folder(parser)
    options = parser.parse_args(arguments)
    refuse_here()

    _refuse_archive(options.submission, "which hints are kept in")

    from .grading import grade
    from .report.hints import reply
    from .scoring.rubric import load_rubric
    from .streams import say
    from .submission.locate import locate

    rubric = load_rubric()
    problems = rubric.select([options.problem])
    root = Path(locate(options.submission).root)
    say(reply(grade(options.submission, rubric, problems), root))
    return GRADED


def _hunt(arguments: list[str]) -> int:
    parser = make_parser(
        " hunt",
        "Find a bug. Once a problem passes, a known bug is planted in it: not in your code, but in the outputs that\n"
        "you are shown. Choose inputs, see what goes wrong, and name the bug among plausible ones. Or, with --expose,\n"
        "be told the bug, and choose an input in which it shows. It is practice: no points depend on it.",
        "At the prompt, ? explains what can be typed; lines can also come from a pipe. What you have found is kept in\n"
        ".grader/hunts.json beside your code.\n\n"
        "examples:\n"
        "  python -m grader hunt rope            find a bug by its outputs\n"
        "  python -m grader hunt rope --expose   find an input for a bug\n"
        "  python -m grader hunt --list          what you have found so far",
    )
    add = parser.add_argument
    add("problem", nargs="?", metavar="ID", help="the problem, such as rope")
    _add_folder(parser)
    add("--expose", action="store_true", help="choose an input in which a given bug shows")
    add("--anyway", action="store_true", help="hunt although the problem is not known to pass")
    add("--list", action="store_true", help="show what was found, and stop; of what was not, only how much it is")
    add("--seed", type=int, metavar="N", help="draw the bug and the choices from this seed")
    options = parser.parse_args(arguments)
    if options.problem is None and not options.list:
        parser.error("name a problem, such as rope; or --list")
    if not options.list:
        refuse_here()

    from .grading import grade
    from .guide.hunt_game import EXPOSED, NAMED
    from .guide.hunt_session import hunt, progress_lines
    from .scoring.points import Status
    from .scoring.rubric import load_rubric
    from .streams import say

    _refuse_archive(options.submission, "which progress is kept in")
    submission, rubric = Path(options.submission), load_rubric()
    if options.list:
        for line in progress_lines(submission, rubric, options.problem):
            say(line)
        return GRADED

    def passes() -> bool:
        (graded,) = grade(options.submission, rubric, rubric.select([options.problem])).problems
        return graded.score.status is Status.PASS

    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="replace")
    way = EXPOSED if options.expose else NAMED
    hunt(options.problem, submission, rubric, input, say, passes, way, options.anyway, options.seed)
    return GRADED


def _watch(arguments: list[str]) -> int:
    parser = make_parser(
        " watch",
        "Wait for files to be saved, run the tests of the problems that they affect, and say what is wrong, as a\n"
        "grade does. What the imports and calls in your code show decides what a file affects.\n\n"
        "keys: h the next hint; o the failing line in $EDITOR; a run everything; q quit.",
    )
    parser.add_argument("problem", nargs="?", default="", metavar="ID", help="only this problem, such as rope")
    _add_folder(parser)
    _add_isolation(parser)
    options = parser.parse_args(arguments)
    refuse_here()
    _refuse_archive(options.submission, "which is worked on")

    from .scoring.rubric import load_rubric
    from .watching.watch import watch

    return watch(options.submission, load_rubric(), options.problem, options.isolation)


def _status(arguments: list[str]) -> int:
    parser = make_parser(
        " status",
        "Show how far the assignment is: what is done, what comes next, and about how many hours are left.\n"
        "It runs nothing, and tells how old that is which `watch` or a grade of this folder last found.",
    )
    _add_folder(parser)
    options = parser.parse_args(arguments)
    _refuse_archive(options.submission, "whose results are kept in it")

    from rich.console import Console

    from .report.terminal import safely
    from .scoring.rubric import load_rubric
    from .watching.milestones import status_of

    with safely(Console()) as page:
        page.print(status_of(options.submission, load_rubric()))
    return GRADED


def _data(arguments: list[str]) -> int:
    from .kit.corpora import CORPORA, FILES, fetch, human

    listing = "\n".join(
        f"  {file.corpus:12} {file.name:30} {human(file.transfer.size):>8} to fetch, {human(file.text.size):>8} on disk"
        for file in FILES
    )
    parser = make_parser(
        " data",
        "Download the corpora of the large experiments. An interrupted download resumes where it stopped.\n"
        "Every file is checked by its size and SHA-256; existing files are checked and kept.\n\n" + listing,
        "HF_ENDPOINT=https://... in the environment names a mirror of huggingface.co. Nothing else in the kit needs\n"
        "these files, or a network.",
    )
    parser.add_argument("corpus", nargs="*", metavar="CORPUS", help=f"{' or '.join(CORPORA)} (default: both)")
    parser.add_argument("--folder", default="data", metavar="DIR", help="where to put the files (default: data)")
    options = parser.parse_args(arguments)
    if unknown := set(options.corpus).difference(CORPORA):
        parser.error(f"no corpus is called {', '.join(sorted(unknown))}; there are {' and '.join(CORPORA)}")

    from rich.console import Console

    from .report.download_progress import DownloadBar

    wanted = options.corpus or CORPORA
    with DownloadBar(Console()) as bar:
        fetch([file for file in FILES if file.corpus in wanted], Path(options.folder), observer=bar)
    return GRADED


def _doctor(arguments: list[str]) -> int:
    parser = make_parser(
        " doctor",
        "Look at what a grade needs: Python and packages, fixtures, disk and memory, devices, isolation; and say\n"
        "what is wrong, what mends it, and what cannot be assessed on this machine.\n"
        "Exit code 1 if something is wrong.",
    )
    _add_folder(parser)
    options = parser.parse_args(arguments)

    from .guide.doctor import Health, examine
    from .streams import say

    wrong = False
    for finding in examine(Path(options.submission)):
        say(f"{finding.state} {finding.says}" + (f"\n    {finding.do}" if finding.do else ""))
        wrong |= finding.state is Health.WRONG
    return BELOW if wrong else GRADED


def _explain(arguments: list[str]) -> int:
    parser = make_parser(
        " explain",
        "Explain a problem: what it asks, in the handout's words, and how it is tested: each claim with its\n"
        "points, core before edge before advice. It shows no solution and runs nothing.\n\n"
        "Staff: `explain tolerances [--problem ID ...]` shows for every stored case with floating-point outputs\n"
        "how far honest implementations deviate from the truth, what is allowed, and how close the nearest known\n"
        "bug comes. Exit code 1 if these are too close to each other.",
    )
    parser.add_argument("what", metavar="ID", help="the problem, such as rope; or: tolerances")
    parser.add_argument("--problem", nargs="+", default=[], metavar="ID", help="for tolerances: only these problems")
    options = parser.parse_args(arguments)
    if options.what == "tolerances":
        return _explain_tolerances(options.problem)
    if options.problem:
        parser.error("--problem is for tolerances; name the problem itself: python -m grader explain rope")

    from rich.console import Console

    from .guide.explanation import HANDOUT, explain, render
    from .report.terminal import safely
    from .scoring.rubric import load_rubric

    rubric = load_rubric()
    problem = rubric[options.what]
    text = HANDOUT.read_text("utf-8") if HANDOUT.is_file() else ""
    with safely(Console()) as page:
        page.print(render(explain(problem, rubric, text)))
    return GRADED


def _explain_tolerances(named: list[str]) -> int:
    import importlib.util

    from .cases.store import problems_with_cases
    from .errors import Refused
    from .scoring.rubric import load_rubric

    if importlib.util.find_spec("grader.selftest") is None:
        raise Refused("tolerances are measured with the staff's copy of the kit; this one has no grader/selftest.")
    known = problems_with_cases()
    selected = [problem.id for problem in load_rubric().select(named)]
    problems = [problem for problem in selected if problem in known]
    if named and (without := [problem for problem in selected if problem not in known]):
        raise Refused(
            f"{', '.join(without)}: no cases, so no tolerances; grader/cases/generators/{without[0]}.py would draw "
            "some."
        )

    from rich.console import Console

    from .report.tolerance_table import show_tolerances
    from .selftest.tolerances import measure

    return BELOW if show_tolerances(map(measure, problems), Console()) else GRADED


if __name__ == "__main__":
    sys.exit(main())
