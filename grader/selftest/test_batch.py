"""A class is graded whatever happens: to a submission, to a process that grades it, to the batch, to the disk.

Most of these give the order to a small program in place of the unit, so that it can be made to hang, to be killed and
to be slow; one grades real submissions with the real thing.
"""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from grader.kit.paths import KIT
from grader.report.formats.spreadsheet import cell
from grader.scoring.rubric import load_rubric
from grader.selftest.golden import load_cases
from grader.selftest.report_contract import checked
from grader.staff.batch import digest, spread
from grader.staff.batch_screen import closing_lines
from grader.staff.class_run import ClassRun
from grader.staff.collection import HandedIn
from grader.staff.grade_state import Grade, GradeState, claims_of, read_grade, summary_of, write_grade
from grader.staff.grade_table import ClassRow, class_csv
from grader.staff.roster import Student
from grader.staff.unit import Options, Order
from grader.staff.unit_process import Units

REPORTS = {case.name: json.loads(case.stored()["report.json"]) for case in load_cases()}

STAND_IN = """
import json, os, sys, time
sys.path.insert(0, {kit!r})
from pathlib import Path
from grader.staff.grade_state import Grade, GradeState, write_grade
from grader.staff.unit import Order
order = Order.from_json(sys.stdin.readline())
does = Path(order.source, "does").read_text()
with open(Path({tries!r}, order.id), "a") as tries:
    tries.write("x")
match does.split():
    case ["hang"]:
        time.sleep(600)
    case ["kill"]:
        os.kill(os.getpid(), 9)
    case ["half"]:
        Path(order.target).mkdir(parents=True)
        Path(order.target, "report.json").write_text("half of a report")
        sys.exit("grader: the report cannot be written: No space left on device.")
    case ["complain"]:
        sys.exit("grader: the sky has fallen.")
    case ["sleep", seconds]:
        time.sleep(float(seconds))
target = Path(order.target)
target.mkdir(parents=True, exist_ok=True)
summary = json.loads(Path({summary!r}).read_text())
write_grade(Grade(GradeState.GRADED, asked=order.asked, seconds=1.0, summary=summary), target)
"""


@pytest.fixture
def stand_in(tmp_path) -> tuple[str, ...]:
    """A program in place of the unit: it does what the file `does` of a submission says."""
    summary = tmp_path / "summary.json"
    summary.write_text(json.dumps(summary_of(REPORTS["right"])))
    program = tmp_path / "stand_in.py"
    (tmp_path / "tries").mkdir()
    program.write_text(STAND_IN.format(kit=str(KIT), summary=str(summary), tries=str(tmp_path / "tries")))
    return (sys.executable, str(program))


def handed_in(tmp_path: Path, **submissions: str) -> Path:
    folder = tmp_path / "handed_in"
    for name, does in submissions.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "does").write_text(does)
    return folder


def tries(tmp_path: Path) -> dict[str, int]:
    """{submission: how many times it was begun}."""
    return {path.name: len(path.read_text()) for path in sorted((tmp_path / "tries").iterdir())}


def batch(
    folder: Path, out: Path, command: tuple[str, ...], *, jobs: int = 2, limit_s: float = 30, again: bool = False
):
    run = ClassRun(
        folder, out, Options(problems=("rope",)), load_rubric(), console=Console(quiet=True), units=Units(command)
    )
    run.grade(jobs=2, limit_s=limit_s, again=again)
    lines = "\n".join(run.close())
    with (out / "grades.csv").open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}, lines


def test_each_submission_costs_only_its_own_row(tmp_path, stand_in):
    folder = handed_in(tmp_path, ada="", hangs="hang", killed="kill", fails="complain", grace="")
    (folder / "notes.txt").touch()
    rows, lines = batch(folder, tmp_path / "out", stand_in, limit_s=1.5)
    assert {name: row["state"] for name, row in rows.items()} == {
        "ada": "graded",
        "grace": "graded",
        "hangs": "late",
        "killed": "failed",
        "fails": "failed",
        "notes.txt": "refused",
    }
    assert "it took longer than 0.025 minutes" in rows["hangs"]["look at"]
    assert "was ended by SIGKILL" in rows["killed"]["look at"]
    assert "the sky has fallen" in rows["fails"]["look at"]
    assert "6 submissions: 2 graded, 1 refused, 1 late, 2 failed." in lines


def test_what_is_done_stays_done_and_what_is_not_is_tried_again(tmp_path, stand_in):
    folder, out = handed_in(tmp_path, ada="", killed="kill", grace=""), tmp_path / "out"
    batch(folder, out, stand_in)
    (folder / "killed" / "does").write_text("")
    rows, _ = batch(folder, out, stand_in)
    assert {row["state"] for row in rows.values()} == {"graded"}
    assert tries(tmp_path) == {"ada": 1, "grace": 1, "killed": 2}
    batch(folder, out, stand_in, again=True)
    assert tries(tmp_path) == {"ada": 2, "grace": 2, "killed": 3}


def test_what_was_handed_in_anew_is_graded_anew_and_other_options_are_another_grade(tmp_path):
    folder = handed_in(tmp_path, ada="")
    before = digest(folder / "ada", Options())
    assert digest(folder / "ada", Options()) == before
    assert digest(folder / "ada", Options(problems=("rope",))) != before
    (folder / "ada" / "model.py").write_text("x = 1")
    assert digest(folder / "ada", Options()) != before


def test_half_of_a_state_is_none(tmp_path):
    write_grade(Grade(GradeState.GRADED, summary={}), tmp_path)
    assert read_grade(tmp_path)
    text = (tmp_path / "state.json").read_text()
    for damaged in (text[: len(text) // 2], "", "[]", text.replace("graded", "great"), text.replace("1", "2", 1)):
        (tmp_path / "state.json").write_text(damaged)
        assert read_grade(tmp_path) is None, damaged


BATCH = """
import sys
sys.path.insert(0, {kit!r})
from pathlib import Path
from grader.staff.batch import run_batch
from grader.staff.unit import Options
from grader.staff.collection import collect
from grader.staff.unit_process import Units
units = Units({command!r})
run_batch(collect(Path({folder!r})), Path({out!r}), Options(problems=("rope",)), jobs=2, limit_s=60, units=units)
"""


def test_a_batch_that_is_killed_goes_on_where_it_was(tmp_path, stand_in):
    """And what it had begun is graded by nobody else meanwhile, although nobody ended it."""
    folder = handed_in(tmp_path, **{f"student{i}": "sleep 0.4" for i in range(6)})
    out = tmp_path / "out"
    source = BATCH.format(kit=str(KIT), folder=str(folder), out=str(out), command=stand_in)
    first = subprocess.Popen([sys.executable, "-c", source])
    end = time.monotonic() + 30
    while len(list(out.glob("reports/*/state.json"))) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    begun = sum(tries(tmp_path).values())
    assert 2 <= begun < 6
    rows, _ = batch(folder, out, stand_in)
    assert {row["state"] for row in rows.values()} == {"graded"}
    assert tries(tmp_path) == {f"student{i}": 1 for i in range(6)}


def test_two_batches_that_share_a_folder_grade_each_submission_once(tmp_path, stand_in):
    folder = handed_in(tmp_path, **{f"student{i}": "sleep 0.2" for i in range(4)})
    out = tmp_path / "out"
    source = BATCH.format(kit=str(KIT), folder=str(folder), out=str(out), command=stand_in)
    batches = [subprocess.Popen([sys.executable, "-c", source]) for _ in range(2)]
    assert [process.wait(30) for process in batches] == [0, 0]
    assert tries(tmp_path) == {f"student{i}": 1 for i in range(4)}


def test_a_disk_that_takes_no_report_is_said_in_the_row(tmp_path, stand_in):
    folder, out = handed_in(tmp_path, ada="", grace=""), tmp_path / "out"
    (out / "reports").mkdir(parents=True)
    (out / "reports" / "ada").write_text("a file, where a folder has to be")
    rows, _ = batch(folder, out, stand_in)
    assert rows["grace"]["state"] == "graded"
    assert rows["ada"]["state"] == "failed"


def test_half_of_a_report_is_none(tmp_path, stand_in):
    rows, _ = batch(handed_in(tmp_path, ada="half"), tmp_path / "out", stand_in)
    assert "No space left on device" in rows["ada"]["look at"]
    assert [path.name for path in (tmp_path / "out" / "reports" / "ada").iterdir()] == ["state.json"]


def test_a_unit_ends_with_whoever_asked(tmp_path):
    """Also while it grades: else a batch that is killed would leave as many processes as it has jobs."""
    (tmp_path / "adapters.py").write_text("import time\ntime.sleep(600)")
    order = Order("ada", str(tmp_path), str(tmp_path / "out"), "", Options(problems=("rope",)))
    unit = subprocess.Popen(
        [sys.executable, "-m", "grader.staff.unit"], cwd=KIT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert unit.stdin
    assert unit.stderr
    unit.stdin.write(order.as_json() + "\n")
    unit.stdin.flush()
    time.sleep(1.0)
    assert unit.poll() is None
    unit.stdin.close()
    assert unit.wait(20) == 128 + signal.SIGTERM
    assert "ended by SIGTERM" in unit.stderr.read()
    unit.stderr.close()
    assert not (tmp_path / "out" / "state.json").exists()


def test_no_more_waits_than_is_needed():
    """Ten thousand submissions are ten thousand names, and not as many orders."""
    given: list[int] = []

    def work():
        for number in range(1000):
            given.append(number)
            yield lambda number=number: number

    with ThreadPoolExecutor(2) as pool:
        results = spread(pool, work(), 4, lambda _, error: -1)
        next(results)
        assert len(given) <= 5
        assert len(set(results)) >= 996


def row(id: str, name: str = "", report: str = "right", **grade) -> ClassRow:
    known = Grade(**{"state": GradeState.GRADED, "summary": summary_of(REPORTS[report]), **grade})
    return ClassRow(HandedIn(id, (Student(id, name),), Path(id)), known)


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@x", "\t=1", "\r\n=1", "＝1"])
def test_no_cell_is_a_formula(name):
    (line,) = csv.DictReader(class_csv([row(name, name)], []).splitlines())
    assert line["id"].startswith("'")
    assert line["name"].startswith("'")
    assert cell(-1.5) == -1.5


def test_a_group_has_a_line_for_each_student():
    one = row("group")
    both = ClassRow(HandedIn("group", (Student("1", "Ada"), Student("2", "Grace")), Path("x")), one.grade)
    assert [line["id"] for line in csv.DictReader(class_csv([both], []).splitlines())] == ["1", "2"]


def test_the_table_tells_nothing_from_zero():
    """An empty cell: nothing was assessed; a zero: nothing was earned."""
    table = list(
        csv.DictReader(
            class_csv(
                [row("ada", report="half_done"), row("x", state=GradeState.LATE, summary=None)], ["linear", "rope"]
            ).splitlines()
        )
    )
    problems = {p["id"]: p for p in REPORTS["half_done"]["problems"]}
    for id, found in problems.items():
        if id in table[0]:
            assessed = found["points"] > found["unassessed"]
            assert table[0][id] == (str(found["earned"]) if assessed else "")
    assert table[1]["earned"] == table[1]["linear"] == ""


def test_a_person_is_told_what_to_look_at():
    rows = [
        row("mallory", report="attack"),
        row("ada"),
        row("ready", report="ready_made"),
        row("none", report="does_not_load"),
    ]
    lines = "\n".join(closing_lines(rows))
    assert "mallory: integrity: " in lines
    assert "ready: ready-made code" in lines
    assert "none: nothing of it could run" in lines
    assert "At the level process, code can read the expected answers" in lines


def test_a_claim_holds_if_all_of_its_cases_do():
    def case(claim: str, name: str, outcome: str, kind: str = "core", charged: bool = True) -> dict:
        return {"id": f"test_x.py::{claim}[{name}]", "outcome": outcome, "kind": kind, "charged": charged}

    tests = [
        case("a", "1", "pass"), case("a", "2", "fail"), case("a", "3", "error"),
        case("b", "1", "absent"), case("b", "2", "pass"),
        case("c", "1", "fail", "advice"), case("d", "1", "fail", charged=False), case("e", "1", "absent"),
    ]  # fmt: skip
    assert claims_of({"tests": tests}) == {"test_x.py::a": "fail", "test_x.py::b": "pass", "test_x.py::e": "absent"}


def test_a_class_is_graded(tmp_path):
    """The real thing, as it is typed: right code, an archive that is none, and code that ends its process."""
    folder, out = tmp_path / "class", tmp_path / "out"
    golden = next(case for case in load_cases() if case.name == "right").folder / "submission"
    shutil.copytree(golden, folder / "ada lovelace", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "grace.zip").write_bytes(b"PK\3\4 and nothing more")
    (folder / "mallory").mkdir()
    (folder / "mallory" / "adapters.py").write_text(
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos._exit(0)"
    )
    (folder / "roster.csv").write_text("id,name\n1,Ada Lovelace\n2,Grace\n3,=Mallory\n4,Alan\n")
    options = ("--roster", folder / "roster.csv", "--problem", "gradient_clipping", "--jobs", "2")
    command = [sys.executable, "-m", "grader", "batch", folder, "--out", out, *options]
    result = subprocess.run(list(map(str, command)), cwd=KIT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    with (out / "grades.csv").open(newline="") as file:
        rows = {found["id"]: found for found in csv.DictReader(file)}
    assert {id: found["state"] for id, found in rows.items()} == {
        "1": "graded",
        "2": "refused",
        "3": "graded",
        "4": "missing",
    }
    assert rows["1"]["earned"] == rows["1"]["assessed"] != ""
    assert rows["3"]["earned"] == "0.0"
    assert rows["3"]["name"] == "'=Mallory"
    assert "nothing of it could run" in rows["3"]["look at"]
    report = checked((out / "reports" / "1" / "report.json").read_text())
    known = read_grade(out / "reports" / "1")
    assert known
    assert known.summary == summary_of(report)
    assert "<html" in (out / "reports" / "1" / "report.html").read_text()
    page = (out / "index.html").read_text()
    assert "2 graded" in page
    assert 'href="reports/1/report.html"' in page
    assert "4 submissions: 2 graded, 1 refused, 1 missing." in result.stdout
