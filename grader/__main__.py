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

GRADED, BELOW, REFUSED, FAILED, INTERRUPTED = 0, 1, 2, 3, 130

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
        "batch": _batch,
        "data": _data,
        "doctor": _doctor,
        "explain": _explain,
        "gradescope-zip": _gradescope_zip,
        "handout": _handout,
        "hint": _hint,
        "hunt": _hunt,
        "manual": _manual,
        "regrade": _regrade,
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


def _parser(command: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        f"python -m grader{command}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _grade(arguments: list[str]) -> int:
    parser = _parser("", _DESCRIPTION, _EPILOG)
    add = parser.add_argument
    add("submission", nargs="?", default=".", help="folder or archive to grade (default: this folder)")
    add("--root", metavar="FOLDER", help="the folder to grade, if the submission holds several")
    add("--problem", nargs="+", default=[], metavar="ID", help="only these problems")
    add("--section", metavar="NAME", help="only the problems of one section")
    add("--list", action="store_true", help="show problems, sections and points, and stop")
    add("--seed", type=int, metavar="N", help="draw fresh inputs from this seed instead of a secret one")
    add("--json", metavar="FILE", help="write the report as JSON ('-' for standard output)")
    add("--html", metavar="FILE", help="write the report as one HTML file")
    for option, _, what in _FORMATS:
        add(f"--{option}", metavar="FILE", help=f"write the report as {what}")
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
    _add_course(parser)
    add("--fail-under", type=float, metavar="PCT", help="exit 1 below this percentage of the assessed points")
    options = parser.parse_args(arguments)
    if options.jobs is not None and options.jobs < 1:
        parser.error("--jobs must be at least 1")
    if options.seed is not None and options.seed < 0:
        parser.error("--seed must not be negative")
    if not options.list:
        _refuse_here()

    from .scoring.rubric import load_rubric
    from .streams import say

    rubric = load_rubric(edition=options.edition, course=options.course)
    if options.list:
        say(_listing(rubric))
        return GRADED
    problems = rubric.select(options.problem, options.section)
    _check_target("--json", options.json)
    _check_target("--html", options.html)
    for option, _, _ in _FORMATS:
        _check_target(f"--{option}", getattr(options, option))
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
        results.append(lambda: _write_json(report.as_json(), options.json))
    if options.html:
        results.append(lambda: _write_html(report, options.html))
    for option, write, _ in _FORMATS:
        if target := getattr(options, option):
            results.append(functools.partial(_write_format, option, write, report.as_json(), rubric, target))
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


def _write_format(option: str, write: Callable[..., str], report: Any, rubric: Any, target: str) -> None:
    from .errors import Refused
    from .report.output import write_whole
    from .streams import say

    text = write(report, rubric)
    if target == "-":
        say(text.rstrip("\n"))
        return
    try:
        write_whole(target, text)
    except OSError as error:
        raise Refused(f"--{option} {target} cannot be written: {error.strerror}.") from error


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


def _refuse_here() -> None:
    """Refuse what starts a submission on a system that has no wall, before importing what would build one."""
    from .errors import Refused
    from .kit.systems import why_not_on

    if sentence := why_not_on(sys.platform):
        raise Refused(sentence)


def _refuse_archive(submission: str, what: str) -> None:
    """Refuse an archive where a folder is needed."""
    from .errors import Refused
    from .submission.archive import is_archive

    if is_archive(submission):
        raise Refused(f"{submission} is an archive; unpack it and name the folder, {what}.")


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


def _add_course(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--course",
        type=Path,
        metavar="FILE",
        help="what a course has differently: points, problems left out, policy, visibility (docs/course.md)",
    )


def _check_target(option: str, target: str | None) -> None:
    """Refuse a place that cannot take the report before grading, not after it."""
    from .errors import Refused

    if target and target != "-":
        path = Path(target).absolute()
        if not path.parent.is_dir():
            raise Refused(f"{option} {target}: there is no folder {path.parent}.")
        if path.is_dir():
            raise Refused(f"{option} {target} is a folder; name a file.")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise Refused(f"{option} {target} cannot be written: the permission is missing.")


def _write_json(report, target: str) -> None:
    import json

    from .errors import Refused
    from .report.output import write_json
    from .streams import say

    if target == "-":
        is_utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
        text = json.dumps(report, indent=2, ensure_ascii=not is_utf8)
        say(text.encode("utf-8", "backslashreplace").decode("utf-8"))
        return
    try:
        write_json(report, target)
    except OSError as error:
        raise Refused(f"--json {target} cannot be written: {error.strerror}.") from error


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
    parser = _parser(
        " hint",
        "Give the next hint for a problem: first what should hold, then a check to run, then what\n"
        "the code does. Each call gives one more hint. It works offline and shows no solution.",
    )
    parser.add_argument("problem", metavar="ID", help="the problem, such as rope")
    parser.add_argument("submission", nargs="?", default=".", help="folder with the code (default: this one)")
    options = parser.parse_args(arguments)
    _refuse_here()

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
    parser = _parser(
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
    add("submission", nargs="?", default=".", help="folder with the code (default: this one)")
    add("--expose", action="store_true", help="choose an input in which a given bug shows")
    add("--anyway", action="store_true", help="hunt although the problem is not known to pass")
    add("--list", action="store_true", help="show what was found, and stop; of what was not, only how much it is")
    add("--seed", type=int, metavar="N", help="draw the bug and the choices from this seed")
    options = parser.parse_args(arguments)
    if options.problem is None and not options.list:
        parser.error("name a problem, such as rope; or --list")
    if not options.list:
        _refuse_here()

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
    parser = _parser(
        " watch",
        "Wait for files to be saved, run the tests of the problems that they affect, and say what is wrong, as a\n"
        "grade does. What the imports and calls in your code show decides what a file affects.\n\n"
        "keys: h the next hint; o the failing line in $EDITOR; a run everything; q quit.",
    )
    parser.add_argument("problem", nargs="?", default="", metavar="ID", help="only this problem, such as rope")
    parser.add_argument("submission", nargs="?", default=".", help="folder with the code (default: this one)")
    _add_isolation(parser)
    options = parser.parse_args(arguments)
    _refuse_here()
    _refuse_archive(options.submission, "which is worked on")

    from .scoring.rubric import load_rubric
    from .watching.watch import watch

    return watch(options.submission, load_rubric(), options.problem, options.isolation)


def _status(arguments: list[str]) -> int:
    parser = _parser(
        " status",
        "Show how far the assignment is: what is done, what comes next, and about how many hours are left.\n"
        "It runs nothing, and tells how old that is which `watch` or a grade of this folder last found.",
    )
    parser.add_argument("submission", nargs="?", default=".", help="folder with the code (default: this one)")
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
    parser = _parser(
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
    parser = _parser(
        " doctor",
        "Look at what a grade needs: Python and packages, fixtures, disk and memory, devices, isolation; and say\n"
        "what is wrong, what mends it, and what cannot be assessed on this machine.\n"
        "Exit code 1 if something is wrong.",
    )
    parser.add_argument("submission", nargs="?", default=".", help="folder with the code (default: this one)")
    options = parser.parse_args(arguments)

    from .guide.doctor import Health, examine
    from .streams import say

    wrong = False
    for finding in examine(Path(options.submission)):
        say(f"{finding.state} {finding.says}" + (f"\n    {finding.do}" if finding.do else ""))
        wrong |= finding.state is Health.WRONG
    return BELOW if wrong else GRADED


def _explain(arguments: list[str]) -> int:
    parser = _parser(
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


def _manual(arguments: list[str]) -> int:
    parser = _parser(
        " manual",
        "Add a person's scores and comments to a report; the totals then include them.\n"
        "--template writes the file to enter them in, with questions and answers as comments.",
        "example:\n"
        "  python -m grader ../ada --json ada.json\n"
        "  python -m grader manual ada.json --template ada.toml     then enter scores in ada.toml\n"
        "  python -m grader manual ada.json ada.toml --json ada-graded.json\n"
        "  python -m grader manual graded --template answers.csv --blind    a whole class, by question\n"
        "  python -m grader manual graded answers.csv                       then the batch again, for the tables",
    )
    parser.add_argument("report", help="a report, as --json wrote it; or what a batch wrote, its --out")
    parser.add_argument(
        "scores", nargs="?", help="TOML: a table for each problem, with score and comment; of a class: CSV"
    )
    parser.add_argument("--blind", action="store_true", help="of a class: codes in the template in place of ids")
    parser.add_argument("--json", metavar="FILE", help="where to write the report with the scores (default: REPORT)")
    parser.add_argument("--template", metavar="FILE", help="write a file to enter scores in, and stop")
    options = parser.parse_args(arguments)
    if (options.scores is None) == (options.template is None):
        parser.error("name a file with scores, or --template FILE to get one")

    if Path(options.report).is_dir():
        return _manual_class(Path(options.report), options.scores, options.template, options.blind)

    from .errors import Refused
    from .report.manual_scores import read_report, read_scores, template, with_scores
    from .streams import say

    report = read_report(Path(options.report))
    if options.template:
        if Path(options.template).exists():
            raise Refused(f"{options.template} exists already; delete it, or name another file.")
        try:
            Path(options.template).write_text(template(report), "utf-8")
        except OSError as error:
            raise Refused(f"{options.template} cannot be written: {error.strerror}.") from error
        say(f"{options.template} written. Enter scores in it, then: python -m grader manual {options.report} ...")
        return GRADED
    scores = read_scores(Path(options.scores), report)
    target = options.json or options.report
    _check_target("--json", target)
    graded = with_scores(report, scores)
    _write_json(graded, target)
    console = sys.stderr if target == "-" else sys.stdout
    for problem in graded["problems"]:
        if problem["id"] in scores:
            say(f"{problem['id']:30} {problem['earned']:g} / {problem['points']:g}", console)
    score = graded["score"]
    say(f"{score['earned']:g} of {score['assessed']:g} assessed points, {score['total']:g} in all.", console)
    return GRADED


def _manual_class(out: Path, scores: str | None, template: str | None, blind: bool) -> int:
    """Write a class' answers as a table, or read its scores from one."""
    _need_staffs_copy("manual with a batch")

    from .errors import Refused
    from .report.output import write_whole
    from .staff.manual_class import answers_table, enter_class_scores, is_batch, read_class_scores
    from .streams import say

    if not is_batch(out):
        raise Refused(f"{out} is not what a batch wrote: it has no folder reports. Name a report, or a batch's --out.")
    if template:
        if Path(template).exists():
            raise Refused(f"{template} exists already; delete it, or name another file.")
        _check_target("--template", template)
        try:
            write_whole(template, answers_table(out, blind))
        except OSError as error:
            raise Refused(f"{template} cannot be written: {error.strerror}.") from error
        say(f"{template} written. Enter scores in it, then: python -m grader manual {out} {template}")
        return GRADED
    assert scores is not None
    try:
        for id, score in enter_class_scores(out, read_class_scores(Path(scores), out)):
            say(f"{id:30} {score['earned']:g} of {score['assessed']:g} assessed points, {score['total']:g} in all.")
    except OSError as error:
        raise Refused(f"a report in {out} cannot be written: {error.strerror}.") from error
    say("The reports have them. The batch's command, run again, writes them into the tables and grades nothing anew.")
    return GRADED


def _need_staffs_copy(command: str) -> None:
    """Refuse what a student's copy of the kit has no code for."""
    import importlib.util

    from .errors import Refused

    if importlib.util.find_spec("grader.staff") is None:
        raise Refused(f"{command} works with the staff's copy of the kit; this one has no grader/staff.")


def _batch(arguments: list[str]) -> int:
    parser = _parser(
        " batch",
        "Grade every submission in a folder: folders or archives, one for each student, as collected or as\n"
        "Gradescope and Canvas export them. Each is graded in a process of its own, so that whatever a submission\n"
        "does costs only its own row. OUT gets reports/ID/report.json and report.html, grades.csv, and\n"
        "index.html, which shows the class on one page.\n\n"
        "Interrupted, killed or out of power: the same command goes on where it was. It also grades again what was\n"
        "handed in anew, and everything when the rubric or the options have changed.",
        "examples:\n"
        "  python -m grader batch submissions --out graded\n"
        "  python -m grader batch submissions --out graded --roster class.csv --isolation bubblewrap\n"
        "  python -m grader batch submissions --out graded --only ada grace --force",
    )
    add = parser.add_argument
    add("folder", metavar="DIR", help="the folder with the submissions, or one archive of it")
    add("--out", required=True, metavar="OUT", help="the folder for reports and tables; made where it is not there")
    add("--roster", metavar="CSV", help="who is in the class: a column with ids, others with names and addresses")
    add(
        "--only",
        nargs="+",
        default=[],
        metavar="ID",
        help="only these submissions, named as their reports' folders",
    )
    add("--force", action="store_true", help="grade also what is graded already")
    add("--jobs", type=int, metavar="N", help="grade N submissions at a time (default: one for each CPU)")
    add("--scheduler", metavar="ADDRESS", help="let a Dask cluster grade, such as tcp://head:8786 (docs/cluster.md)")
    add("--part", type=_part, default=(1, 1), metavar="K/N", help="only the K-th of N parts, as of an array job")
    add("--limit", type=float, default=60, metavar="MINUTES", help="end what takes longer (default: 60)")
    add("--problem", nargs="+", default=[], metavar="ID", help="only these problems")
    add("--section", metavar="NAME", help="only the problems of one section")
    add("--seed", type=int, metavar="N", help="the same fresh inputs for all (default: a secret seed for each)")
    parser.add_argument(
        "--isolation",
        choices=("auto", "bubblewrap", "landlock", "process"),
        default="auto",
        help="how strongly code is isolated, strongest first; auto: the strongest level that works (default: auto)",
    )
    add("--environment", choices=("kit", "own"), default="kit", help="as for one grade")
    add("--gpu", action="store_true", help="hold the races on a GPU, too; best with --jobs 1")
    add("--similarity", action="store_true", help="also write similarity.html: which submissions are alike, and where")
    add(
        "--leaderboard",
        type=Path,
        metavar="TEXT",
        help="also measure each submission's runs/leaderboard on this text, and write leaderboard.csv and .html",
    )
    add("--leaderboard-kib", type=int, default=256, metavar="N", help="how much of the text counts (default: 256)")
    add("--anonymous", action="store_true", help="aliases in place of ids in leaderboard.html, for students to see")
    add("--edition", metavar="NAME", help="points of this edition of the public handout")
    _add_course(parser)
    options = parser.parse_args(arguments)
    if options.leaderboard_kib < 1:
        parser.error("--leaderboard-kib must be at least 1")
    if options.anonymous and not options.leaderboard:
        parser.error("--anonymous is about the leaderboard: name its text with --leaderboard TEXT")
    if options.jobs is not None and options.jobs < 1:
        parser.error("--jobs must be at least 1")
    if options.limit <= 0:
        parser.error("--limit must be positive")
    if options.seed is not None and options.seed < 0:
        parser.error("--seed must not be negative")
    _refuse_here()
    _need_staffs_copy("batch")

    from .scoring.rubric import load_rubric
    from .staff.class_run import ClassRun, default_jobs
    from .staff.leaderboard_order import board_of
    from .staff.unit import Options
    from .streams import complain, say

    board = board_of(options.leaderboard, options.leaderboard_kib, options.anonymous) if options.leaderboard else None
    asked = Options(
        tuple(options.problem), options.section, options.seed, options.isolation, options.environment, options.gpu,
        options.edition, str(options.course.absolute()) if options.course else None,
    )  # fmt: skip
    rubric = load_rubric(edition=options.edition, course=options.course)
    rubric.select(options.problem, options.section)  # a misspelt one is refused before anything is graded
    run = ClassRun(
        Path(options.folder), Path(options.out), asked, rubric, roster=options.roster and Path(options.roster),
        only=options.only, part=options.part,
    )  # fmt: skip
    from .signals import Ended

    try:
        jobs = options.jobs or default_jobs()
        how: dict[str, Any] = {
            "jobs": jobs, "limit_s": 60 * options.limit, "again": options.force, "scheduler": options.scheduler
        }  # fmt: skip
        run.grade(**how)
        if board:
            run.measure(board, **how)
        if options.similarity:
            run.compare(jobs)
    except (KeyboardInterrupt, Ended) as ended:
        complain(f"ended meanwhile; {run.progress}. The same command goes on from there.")
        return ended.exit_code if isinstance(ended, Ended) else INTERRUPTED
    for line in run.close(board) if options.part == (1, 1) else run.part_lines():
        say(line)
    return GRADED


def _part(text: str) -> tuple[int, int]:
    """`3/100` as its numbers."""
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is no part: write 3/100 for the third of a hundred")
    return int(number), int(count)


def _regrade(arguments: list[str]) -> int:
    parser = _parser(
        " regrade",
        "Compare two batches of the same submissions: two versions of the rubric or of the kit, or two runs.\n"
        "What changed, student by student and test by test.",
        "example:\n"
        "  python -m grader batch submissions --out graded-again --edition 2025\n"
        "  python -m grader regrade graded graded-again --csv changes.csv",
    )
    parser.add_argument("old", metavar="OLD", help="what one batch wrote: its --out")
    parser.add_argument("new", metavar="NEW", help="what another one wrote")
    parser.add_argument("--csv", metavar="FILE", help="write all changes as a table")
    options = parser.parse_args(arguments)
    _need_staffs_copy("regrade")

    from .staff.regrade import as_table, compare_batches, lines
    from .streams import say

    old, new = Path(options.old), Path(options.new)
    _check_target("--csv", options.csv)
    if options.csv:
        _write_format("csv", lambda *_: as_table(compare_batches(old, new)), None, None, options.csv)
    for line in lines(compare_batches(old, new)):
        say(line)
    return GRADED


def _gradescope_zip(arguments: list[str]) -> int:
    parser = _parser(
        " gradescope-zip",
        "Write the archive that Gradescope runs as an autograder: upload it under Configure Autograder. It holds the\n"
        "kit with the solution, which students cannot download, and installs the versions that are installed here.",
        "example:\n  python -m grader gradescope-zip autograder.zip --section model --course course.toml",
    )
    add = parser.add_argument
    add("file", metavar="FILE", help="the archive to write, such as autograder.zip")
    add("--problem", nargs="+", default=[], metavar="ID", help="only these problems")
    add("--section", metavar="NAME", help="only the problems of one section")
    add("--edition", metavar="NAME", help="points of this edition of the public handout")
    _add_course(parser)
    options = parser.parse_args(arguments)
    _need_staffs_copy("gradescope-zip")

    from .scoring.rubric import load_rubric
    from .staff.gradescope_zip import CONTAINER, write_gradescope_zip
    from .streams import say

    load_rubric(edition=options.edition, course=options.course).select(options.problem, options.section)
    _check_target("FILE", options.file)
    kept = ["--section", options.section] if options.section else []
    kept += ["--problem", *options.problem] if options.problem else []
    kept += ["--edition", options.edition] if options.edition else []
    count = write_gradescope_zip(Path(options.file), kept, options.course)
    say(f"{options.file} written, with {count} files. {CONTAINER}")
    return GRADED


def _handout(arguments: list[str]) -> int:
    parser = _parser(
        " handout",
        "Write the copy of this kit that students get: without the reference solution, the case\n"
        "generators and the self-tests. Its AGENTS.md and CLAUDE.md tell coding assistants what they may do for a\n"
        "student (explain, ask, point to a failing test) and what not (write the solution).",
    )
    parser.add_argument("folder", help="where to write it; must not exist or be empty")
    parser.add_argument("--no-assistants", action="store_true", help="leave out AGENTS.md and CLAUDE.md")
    parser.add_argument(
        "--course", type=Path, metavar="FILE", help="take the name of the students' package from there (docs/course.md)"
    )
    options = parser.parse_args(arguments)

    from .kit.handout import PACKAGE, write_handout
    from .scoring.rubric import load_rubric
    from .streams import say

    package = load_rubric(course=options.course).package or PACKAGE
    files = write_handout(Path(options.folder), not options.no_assistants, package)
    say(f"{files} files written to {options.folder}. Students start there with `make test`.")
    return GRADED


if __name__ == "__main__":
    sys.exit(main())
