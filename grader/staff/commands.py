"""The commands for staff: `python -m grader batch`, `regrade`, `manual`, `gradescope-zip` and `handout`.

Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..command_line import (
    GRADED,
    INTERRUPTED,
    a_path,
    add_course,
    check_target,
    make_parser,
    refuse_here,
    write_format,
    write_json_to,
)  # fmt: skip


def batch(arguments: list[str]) -> int:
    parser = make_parser(
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
    add("folder", type=a_path, metavar="DIR", help="the folder with the submissions, or one archive of it")
    add(
        "--out",
        type=a_path,
        required=True,
        metavar="OUT",
        help="the folder for reports and tables; made where it is not there",
    )
    add(
        "--roster",
        type=a_path,
        metavar="CSV",
        help="who is in the class: a column with ids, others with names and addresses",
    )
    add(
        "--only",
        nargs="+",
        default=[],
        metavar="ID",
        help="only these submissions, named as their reports' folders",
    )
    add("--force", action="store_true", help="grade also what is graded already; scores by hand stay")
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
    add_course(parser)
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
    refuse_here()

    from ..scoring.rubric import load_rubric
    from ..streams import complain, say
    from .class_run import ClassRun, default_jobs
    from .leaderboard_order import board_of
    from .unit import Options

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
    from ..signals import Ended

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


def regrade(arguments: list[str]) -> int:
    parser = make_parser(
        " regrade",
        "Compare two batches of the same submissions: two versions of the rubric or of the kit, or two runs.\n"
        "What changed, student by student and test by test.",
        "example:\n"
        "  python -m grader batch submissions --out graded-again --edition 2025\n"
        "  python -m grader regrade graded graded-again --csv changes.csv",
    )
    parser.add_argument("old", type=a_path, metavar="OLD", help="what one batch wrote: its --out")
    parser.add_argument("new", type=a_path, metavar="NEW", help="what another one wrote")
    parser.add_argument("--csv", type=a_path, metavar="FILE", help="write all changes as a table")
    options = parser.parse_args(arguments)

    from ..streams import say
    from .regrade import as_table, compare_batches, lines

    old, new = Path(options.old), Path(options.new)
    check_target("--csv", options.csv)
    if options.csv:
        write_format("csv", lambda *_: as_table(compare_batches(old, new)), None, None, options.csv)
    for line in lines(compare_batches(old, new)):
        say(line)
    return GRADED


def manual(arguments: list[str]) -> int:
    parser = make_parser(
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
    parser.add_argument("report", type=a_path, help="a report, as --json wrote it; or what a batch wrote, its --out")
    parser.add_argument(
        "scores", nargs="?", help="TOML: a table for each problem, with score and comment; of a class: CSV"
    )
    parser.add_argument("--blind", action="store_true", help="of a class: codes in the template in place of ids")
    parser.add_argument(
        "--json", type=a_path, metavar="FILE", help="where to write the report with the scores (default: REPORT)"
    )
    parser.add_argument("--template", type=a_path, metavar="FILE", help="write a file to enter scores in, and stop")
    options = parser.parse_args(arguments)
    if (options.scores is None) == (options.template is None):
        parser.error("name a file with scores, or --template FILE to get one")

    if Path(options.report).is_dir():
        return _manual_class(Path(options.report), options.scores, options.template, options.blind)

    from ..errors import Refused
    from ..report.manual_scores import read_report, read_scores, template, with_scores
    from ..streams import say

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
    check_target("--json", target)
    graded = with_scores(report, scores)
    write_json_to(graded, target)
    console = sys.stderr if target == "-" else sys.stdout
    for problem in graded["problems"]:
        if problem["id"] in scores:
            say(f"{problem['id']:30} {problem['earned']:g} / {problem['points']:g}", console)
    score = graded["score"]
    say(f"{score['earned']:g} of {score['assessed']:g} assessed points, {score['total']:g} in all.", console)
    return GRADED


def _manual_class(out: Path, scores: str | None, template: str | None, blind: bool) -> int:
    """Write a class' answers as a table, or read its scores from one."""

    from ..errors import Refused
    from ..report.output import write_whole
    from ..streams import say
    from .manual_class import answers_table, enter_class_scores, is_batch, read_class_scores, show_on_pages

    if not is_batch(out):
        raise Refused(f"{out} is not what a batch wrote: it has no folder reports. Name a report, or a batch's --out.")
    if template:
        if Path(template).exists():
            raise Refused(f"{template} exists already; delete it, or name another file.")
        check_target("--template", template)
        try:
            write_whole(template, answers_table(out, blind))
        except OSError as error:
            raise Refused(f"{template} cannot be written: {error.strerror}.") from error
        say(f"{template} written. Enter scores in it, then: python -m grader manual {out} {template}")
        return GRADED
    assert scores is not None
    try:
        given = read_class_scores(Path(scores), out)
        for id, score in enter_class_scores(out, given):
            say(f"{id:30} {score['earned']:g} of {score['assessed']:g} assessed points, {score['total']:g} in all.")
        if old := list(show_on_pages(out, given)):
            say(
                f"An older kit graded {', '.join(old)}: their pages show no scores; a batch with --force "
                "writes them anew, with the scores."
            )
    except OSError as error:
        raise Refused(f"a report in {out} cannot be written: {error.strerror}.") from error
    say("The reports have them. The batch's command, run again, writes them into the tables and grades nothing anew.")
    return GRADED


def gradescope_zip(arguments: list[str]) -> int:
    parser = make_parser(
        " gradescope-zip",
        "Write the archive that Gradescope runs as an autograder: upload it under Configure Autograder. It holds the\n"
        "kit with the solution, which students cannot download, and installs the versions that are installed here.",
        "example:\n  python -m grader gradescope-zip autograder.zip --section model --course course.toml",
    )
    add = parser.add_argument
    add("file", type=a_path, metavar="FILE", help="the archive to write, such as autograder.zip")
    add("--problem", nargs="+", default=[], metavar="ID", help="only these problems")
    add("--section", metavar="NAME", help="only the problems of one section")
    add("--edition", metavar="NAME", help="points of this edition of the public handout")
    add_course(parser)
    options = parser.parse_args(arguments)

    from ..scoring.rubric import load_rubric
    from ..streams import say
    from .gradescope_zip import CONTAINER, write_gradescope_zip

    load_rubric(edition=options.edition, course=options.course).select(options.problem, options.section)
    check_target("FILE", options.file)
    kept = ["--section", options.section] if options.section else []
    kept += ["--problem", *options.problem] if options.problem else []
    kept += ["--edition", options.edition] if options.edition else []
    count = write_gradescope_zip(Path(options.file), kept, options.course)
    say(f"{options.file} written, with {count} files. {CONTAINER}")
    return GRADED


def handout(arguments: list[str]) -> int:
    parser = make_parser(
        " handout",
        "Write the copy of this kit that students get: without the reference solution, the case\n"
        "generators and the self-tests. Its AGENTS.md and CLAUDE.md tell coding assistants what they may do for a\n"
        "student (explain, ask, point to a failing test) and what not (write the solution).",
    )
    parser.add_argument("folder", type=a_path, help="where to write it; must not exist or be empty")
    parser.add_argument("--no-assistants", action="store_true", help="leave out AGENTS.md and CLAUDE.md")
    parser.add_argument(
        "--course", type=Path, metavar="FILE", help="take the name of the students' package from there (docs/course.md)"
    )
    options = parser.parse_args(arguments)

    from ..kit.handout import PACKAGE, write_handout
    from ..scoring.rubric import load_rubric
    from ..streams import say

    package = load_rubric(course=options.course).package or PACKAGE
    files = write_handout(Path(options.folder), not options.no_assistants, package)
    say(f"{files} files written to {options.folder}. Students start there with `make test`.")
    return GRADED
