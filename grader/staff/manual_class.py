"""Free text of a whole class, by question, as one table; and a table with scores, back into the reports.

A person reads all answers to one question in a row, which is faster and fairer than student by student. Blind, a
code stands in the place of each id: it comes from a secret that stays in the folder of the batch.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import hmac
import io
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import Refused
from ..escape import in_one_line
from ..report.formats.spreadsheet import cell
from ..report.html import write_html
from ..report.manual_scores import ManualScore, read_report, with_scores
from ..report.output import write_json
from ..report.stored import report_from_json
from ..scoring.rubric import load_rubric
from ..submission.archive import is_archive
from .batch import REPORTS
from .grade_state import PAGE, REPORT, read_grade, summary_of, write_grade
from .kept_scores import keep_scores

COLUMNS = ("id", "problem", "points", "question", "answer", "score", "comment")
_SECRET = ".blind"
_MOST_BYTES = 64 << 20


def is_batch(path: Path) -> bool:
    """Whether a path is what a batch wrote."""
    return (path / REPORTS).is_dir()


def graded_ids(out: Path) -> list[str]:
    """The submissions that have a report, by id."""
    return sorted(path.parent.name for path in (out / REPORTS).glob(f"*/{REPORT}"))


def answers_table(out: Path, blind: bool = False) -> str:
    """All that a person grades or reads, a line for each question of each student, by question.

    Args:
        blind: codes in place of ids, and in their order.
    """
    code = BlindCode(out) if blind else str
    lines = []
    for id in graded_ids(out):
        report = read_report(out / REPORTS / id / REPORT)
        for at, problem in enumerate(report["problems"]):
            for number, (question, answer) in enumerate(_questions(problem)):
                given = problem.get("manual", {}) if number == 0 else {}
                cells = (problem["points"], question, answer, given.get("score"), given.get("comment", ""))
                lines.append(((at, number, code(id)), (code(id), problem["id"], *cells)))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([cell(value) for value in line] for _, line in sorted(lines, key=lambda found: found[0]))
    return text.getvalue()


def _questions(problem: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for written in problem["for_staff"]:
        yield str(written.get("question", "")), str(written.get("answer", ""))
    if not problem["for_staff"] and problem.get("kind") == "manual":
        yield str(problem.get("title", "")), ""


class BlindCode:
    """{id: its code}: the same for the same batch, and not to be worked out from the id alone."""

    def __init__(self, out: Path) -> None:
        path = out / _SECRET
        if not path.is_file():
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w") as file:
                    file.write(secrets.token_hex(32))
        self._secret = path.read_bytes()

    def __call__(self, id: str) -> str:
        return "s-" + hmac.new(self._secret, id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:10]


def read_class_scores(path: Path, out: Path) -> dict[str, dict[str, ManualScore]]:
    """{submission: {problem: its score}} from a table with scores; lines without score and comment say nothing.

    Raises:
        Refused: for a line that names nobody, or no problem, two scores for one problem, and a score out of range.
    """
    ids = {id: id for id in graded_ids(out)}
    if (out / _SECRET).is_file():
        code = BlindCode(out)
        ids |= {code(id): id for id in list(ids)}
    scores: dict[str, dict[str, ManualScore]] = {}
    points: dict[str, dict[str, float]] = {}
    for number, row in _rows(path):
        score, comment = (row.get("score") or "").strip(), (row.get("comment") or "").strip()
        if not score and not comment:
            continue
        where, named = f"{path}, row {number}", (row.get("id") or "").strip()
        id = ids.get(named) or ids.get(named.removeprefix("'"))
        if id is None:
            raise Refused(f"{where}: no report in {out} is of {in_one_line(named)!r}.")
        if id not in points:
            report = read_report(out / REPORTS / id / REPORT)
            points[id] = {problem["id"]: problem["points"] for problem in report["problems"]}
        problem = (row.get("problem") or "").strip()
        if problem not in points[id]:
            raise Refused(f"{where}: the report of {named} has no problem {in_one_line(problem)!r}.")
        given = ManualScore(_score(score, points[id][problem], where), comment.removeprefix("'"))
        before = scores.setdefault(id, {}).get(problem)
        scores[id][problem] = given if before is None else _both(before, given, where)
    return scores


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise Refused(f"{path} is larger than {_MOST_BYTES >> 20} MiB.")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Refused(f"{path} is not UTF-8 text; save it as CSV in UTF-8.") from error
    header = text.partition("\n")[0]
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count))
        missing = [name for name in ("id", "problem", "score") if name not in (reader.fieldnames or ())]
        if missing:
            raise Refused(f"{path} has no column {', '.join(missing)}; `--template` writes a table that has them.")
        yield from enumerate(reader, start=2)
    except csv.Error as error:
        raise Refused(f"{path} is no CSV file: {error}.") from error


def _score(text: str, points: float, where: str) -> float | None:
    if not text:
        return None
    try:
        score = float(text.replace(",", "."))
    except ValueError:
        score = -1.0
    if not 0 <= score <= points:
        raise Refused(f"{where}: score is {in_one_line(text, 40)!r}; it must be a number from 0 to {points:g}.")
    return score


def _both(before: ManualScore, now: ManualScore, where: str) -> ManualScore:
    """The score of a problem that has several questions: it may stand in any one of its lines; comments add up."""
    if before.score is not None and now.score is not None and before.score != now.score:
        raise Refused(
            f"{where}: the problem has the score {before.score:g} in another line; a score is the whole problem's."
        )
    score = before.score if now.score is None else now.score
    return ManualScore(score, "\n".join(filter(None, (before.comment, now.comment))))


def enter_class_scores(
    out: Path, scores: Mapping[str, Mapping[str, ManualScore]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Put scores into reports; gives each submission with its new total. What it has done stays done if it ends early.

    Raises:
        OSError: a report cannot be written.
    """
    for id, given in scores.items():
        folder = out / REPORTS / id
        graded = with_scores(read_report(folder / REPORT), given)
        keep_scores(folder, given, graded)
        write_json(graded, folder / REPORT)
        if known := read_grade(folder):
            write_grade(replace(known, summary=summary_of(graded)), folder)
        yield id, graded["score"]


def show_on_pages(out: Path, ids: Iterable[str]) -> Iterator[str]:
    """Write the pages of these submissions anew, from their reports; gives those whose reports an older kit wrote.

    Raises:
        OSError: a page cannot be written.
    """
    rubric = load_rubric()
    for id in ids:
        folder = out / REPORTS / id
        table = read_report(folder / REPORT)
        try:
            report = report_from_json(table, rubric, _folder_of(table["submission"]))
        except (KeyError, ValueError, TypeError):
            yield id
            continue
        write_html(report, folder / PAGE)


def _folder_of(submission: str) -> str:
    """The folder that was graded, as `Report` has it."""
    return "" if is_archive(submission) else str(Path(submission).resolve())
