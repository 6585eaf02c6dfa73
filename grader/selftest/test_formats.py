"""The report for other systems: what each consumer takes; nothing that a submission wrote is more than text to it."""

from __future__ import annotations

import copy
import csv
import datetime
import html
import io
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from grader.errors import Refused
from grader.kit.paths import KIT
from grader.report.formats.account import accounts
from grader.report.formats.classroom50 import as_classroom50
from grader.report.formats.github_actions import MOST_ANNOTATIONS, MOST_BYTES, annotation_lines, summary
from grader.report.formats.gradescope import as_gradescope
from grader.report.formats.junit import as_junit
from grader.report.formats.spreadsheet import as_csv
from grader.scoring.rubric import Visibility
from grader.selftest.forked import run_grader
from grader.selftest.golden import load_cases

REPORTS = {case.name: json.loads(case.stored()["report.json"]) for case in load_cases()}
NOW = datetime.datetime(2026, 11, 26, 18, 0, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
RUNNER = {
    "CLASSROOM": "lm",
    "ASSIGNMENT": "one",
    "SUBMISSION_TAG": "submit/x",
    "COMMIT_URL": "https://c",
    "RELEASE_URL": "https://r",
    "USERNAME": "ada",
    "MODE": "individual",
}

NASTY = (
    "=cmd|' /C calc'!A0 </pre></testcase>]]><script>alert(1)</script> &amp; \"'` | a|b **bold** [x](javascript:1) @all"
    "\n"
    "::error file=adapters.py::owned\r\n::set-env name=PATH::x\n::stop-commands::x %0A%25 {{ x }} ${{ secrets.X }}\n"
    + "".join(map(chr, [*range(32), *range(127, 160), 0x2028, 0x202E, 0x200B, 0xFFFE, 0xFFFF, 0xD800, 0xDFFF, 0x1F600]))
)
"""What a submission might call a test, a file or an error, if it could."""


@pytest.fixture(scope="module")
def nasty() -> dict[str, Any]:
    """A report in which everything that could come from a submission is as nasty as can be."""
    report = copy.deepcopy(REPORTS["known_bug"])
    report["load_fault"] = NASTY
    for problem in report["problems"]:
        ids = [test["id"] for test in problem["tests"]]
        problem["note"] = problem["remark"] = NASTY
        problem["manual"] = {"comment": NASTY}
        for number, test in enumerate(problem["tests"]):
            test["id"] = f"test_x.py::{NASTY}{number}"
            test["title"] = test["message"] = test["detail"] = NASTY
            if test["clue"]:
                test["clue"] |= {"says": [NASTY], "file": NASTY, "line": 7}
            if number % 2:
                test["misconception"] = None
        renamed = {before: test["id"] for before, test in zip(ids, problem["tests"], strict=True)}
        for trouble in problem["troubles"]:
            trouble["tests"] = [renamed[id] for id in trouble["tests"]]
    return report


EVERY = [*REPORTS, "nasty"]


@pytest.fixture(params=EVERY)
def report(request, nasty) -> dict[str, Any]:
    return nasty if request.param == "nasty" else REPORTS[request.param]


GRADESCOPE = {
    # https://gradescope-autograders.readthedocs.io/en/latest/specs/, "Output format", as a schema: its example
    # names every key; the sections below it say which formats, visibilities and statuses there are.
    "type": "object",
    "additionalProperties": False,
    "required": ["score", "tests"],
    "properties": {
        "score": {"type": "number"},
        "execution_time": {"type": "integer"},
        "output": {"type": "string"},
        "output_format": {"enum": ["text", "html", "simple_format", "md", "ansi"]},
        "test_output_format": {"enum": ["text", "html", "simple_format", "md", "ansi"]},
        "test_name_format": {"enum": ["text", "html", "simple_format", "md", "ansi"]},
        "visibility": {"enum": list(Visibility)},
        "stdout_visibility": {"enum": list(Visibility)},
        "extra_data": {"type": "object"},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["score", "max_score", "name"],
                "properties": {
                    "score": {"type": "number", "minimum": 0},
                    "max_score": {"type": "number", "minimum": 0},
                    "status": {"enum": ["passed", "failed"]},
                    "name": {"type": "string"},
                    "name_format": {"enum": ["text", "html", "simple_format", "md", "ansi"]},
                    "number": {"type": "string"},
                    "output": {"type": "string"},
                    "output_format": {"enum": ["text", "html", "simple_format", "md", "ansi"]},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "visibility": {"enum": list(Visibility)},
                    "extra_data": {"type": "object"},
                },
            },
        },
        "leaderboard": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "value"],
                "properties": {
                    "name": {"type": "string"},
                    "value": {"type": ["number", "string"]},
                    "order": {"enum": ["asc", "desc"]},
                },
            },
        },
    },
}


def test_gradescope_takes_it(report):
    made = json.loads(json.dumps(as_gradescope(report)))
    Draft202012Validator(GRADESCOPE).validate(made)
    assert made["score"] == report["score"]["earned"]
    assert len(made["tests"]) == len(report["problems"])
    assert {made["output_format"], *(test["output_format"] for test in made["tests"])} == {"text"}
    assert {test["name_format"] for test in made["tests"]} == {"text"}
    # Where no status is given, Gradescope takes 0 of 0 points for a pass: so only what nobody assessed has none.
    unknown = [test for test in made["tests"] if "status" not in test]
    assert all(test["max_score"] == 0 for test in unknown)
    assert len(unknown) == sum(problem["status"] == "not_assessed" for problem in report["problems"])


def test_gradescope_hides_what_staff_want_hidden():
    made = as_gradescope(REPORTS["known_bug"], {"linear": Visibility.AFTER_DUE_DATE})
    assert {test["visibility"] for test in made["tests"] if test["name"].startswith("linear")} == {"after_due_date"}
    assert {test["visibility"] for test in made["tests"] if not test["name"].startswith("linear")} == {"visible"}


# Elements: what may stand in them, attributes that must be there, others. As in junit-10.xsd of Jenkins' xUnit plugin.
JUNIT = {
    "testsuites": ({"testsuite"}, set(), {"name", "time", "tests", "failures", "errors"}),
    "testsuite": ({"testcase"}, {"name", "tests", "failures", "errors"}, {"time", "skipped"}),
    "testcase": ({"failure", "error", "skipped"}, {"name"}, {"time", "classname"}),
    **dict.fromkeys(("failure", "error", "skipped"), (set(), set(), {"type", "message"})),
}


def test_junit_takes_it(report):
    root = ET.fromstring(as_junit(report))
    assert root.tag == "testsuites"
    for element in root.iter():
        children, needed, more = JUNIT[element.tag]
        assert {child.tag for child in element} <= children
        assert needed <= set(element.keys()) <= needed | more
        for key in {"tests", "failures", "errors", "skipped"} & set(element.keys()):
            assert int(element.get(key, "")) >= 0
    for suite in root:
        counts = {tag: len(list(suite.iter(tag))) for tag in ("testcase", "failure", "error", "skipped")}
        said = {
            tag: int(suite.get(key, ""))
            for tag, key in zip(counts, ("tests", "failures", "errors", "skipped"), strict=True)
        }
        assert counts == said
    assert len(list(root.iter("testcase"))) == sum(len(problem["tests"]) for problem in report["problems"])


def test_junit_fails_what_costs_points_and_nothing_else():
    made = ET.fromstring(as_junit(REPORTS["known_bug"]))
    problems = {problem["id"]: problem for problem in REPORTS["known_bug"]["problems"]}
    for suite in made:
        problem = problems[suite.get("name", "")]
        failing = [
            test
            for test in problem["tests"]
            if test["outcome"] in ("fail", "error", "timeout", "crash")
            and test["kind"] != "advice" and test["charged"] and not test["carried_forward"]
        ]  # fmt: skip
        assert len(failing) == int(suite.get("failures", "")) + int(suite.get("errors", ""))


TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 0}
CLASSROOM50 = {
    # What schemas/result-v1.schema.json of https://github.com/foundation50/classroom50 says (of August 2026), in the
    # same terms, and what its runner's validate_result adds: `team`, and that nothing earns more than it is worth.
    "type": "object",
    "additionalProperties": False,
    "required": [
        *("schema", "classroom", "assignment", "assignment_type", "owner", "submission", "commit", "release", "review"),
        *("datetime", "score", "max-score", "tests"),
    ],
    "properties": {
        "schema": {"const": "classroom50/result/v1"},
        **dict.fromkeys(("classroom", "assignment", "owner", "commit", "release", "review"), TEXT),
        "submission": {"type": "string", "pattern": "^submit/"},
        "assignment_type": {"enum": ["individual", "group", "team"]},
        "datetime": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$"},
        "graded_at": TEXT,
        **dict.fromkeys(("score", "max-score"), COUNT),
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["test-name", "passed", "score", "max-score"],
                "properties": {
                    "test-name": TEXT, "passed": {"type": "boolean"}, "score": COUNT, "max-score": COUNT,
                },
            },
        },
        "submitted_by": {"type": "object"},
    },
}  # fmt: skip
CLASSROOM50_BYTES = 10 << 20
"""Its collector reads no larger file."""


def test_classroom50_takes_it(report):
    text = json.dumps(as_classroom50(report, RUNNER, NOW))
    assert len(text.encode()) < CLASSROOM50_BYTES
    made = json.loads(text)
    Draft202012Validator(CLASSROOM50).validate(made)
    assert (made["owner"], made["datetime"]) == ("ada", "2026-11-26T17:00:00Z")
    assert all(part["score"] <= part["max-score"] for part in (made, *made["tests"]))
    assert made["score"] == sum(test["score"] for test in made["tests"])
    assert made["score"] == round(100 * report["score"]["earned"])
    assert made["max-score"] == round(100 * report["score"]["assessed"])


def test_classroom50s_runner_puts_in_what_it_has_not_told():
    """Whose repository it is, and of what kind the assignment is: without these variables, nothing is made up."""
    told = {name: value for name, value in RUNNER.items() if name not in ("USERNAME", "MODE")}
    made = as_classroom50(REPORTS["right"], told, NOW)
    assert not {"owner", "assignment_type"} & made.keys()
    Draft202012Validator(CLASSROOM50).validate({**made, "owner": "ada", "assignment_type": "group"})


def test_classroom50_needs_its_runner():
    with pytest.raises(Refused, match="SUBMISSION_TAG, RELEASE_URL"):
        as_classroom50(REPORTS["right"], {"CLASSROOM": "x", "ASSIGNMENT": "y", "COMMIT_URL": "z"}, NOW)


def test_a_step_of_github_actions_takes_it(report):
    """Each annotation is one line, and one command; the summary holds no markup but its own."""
    lines = annotation_lines(report, "solutions/ada")
    assert len(lines) <= MOST_ANNOTATIONS
    for line in lines:
        command = re.fullmatch(r"::error ((?:[a-z]+=[^,:\r\n]*,?)+)::([^\r\n]*)", line)
        assert command, line
        properties = dict(part.split("=", 1) for part in command[1].split(","))
        assert properties.keys() <= {"file", "line", "title"}
        assert properties.get("file", "solutions/ada/x").startswith("solutions/ada/")
        assert not re.search("%(?!0A|0D|25|3A|2C)", line)
    text = summary(report)
    assert len(text.encode()) <= MOST_BYTES
    outside = re.sub(r"<pre>[^<]*</pre>", "", text)
    assert not re.search(r"<(?!!)|(?<!\\)`", outside)
    table = [line for line in outside.splitlines() if line.startswith("|")]
    assert len(table) == len(report["problems"]) + 2
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {4}


def test_a_summary_that_would_be_too_long_ends_early_and_says_so():
    report = copy.deepcopy(REPORTS["known_bug"])
    report["problems"] = report["problems"] * 400
    for problem in report["problems"]:
        for test in problem["tests"]:
            test["message"] = "ä" * 3000
    text = summary(report)
    assert len(text.encode()) <= MOST_BYTES
    assert text.count("<pre>") == text.count("</pre>") > 0
    assert text.endswith("the report has it.\n")


def test_csv_is_a_table_without_formulas(report):
    rows = list(csv.reader(io.StringIO(as_csv(report))))
    assert {len(row) for row in rows} == {8}
    assert len(rows) == len(report["problems"]) + 1
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for row in rows for cell in row)


def test_nothing_nasty_reaches_any_format_unseen(nasty):
    """What could steer a terminal, or is no character of XML, is an escape in all of them."""
    texts = [
        json.dumps(as_gradescope(nasty), ensure_ascii=False),
        json.dumps(as_classroom50(nasty, RUNNER, NOW), ensure_ascii=False),
        as_junit(nasty),
        summary(nasty),
        as_csv(nasty),
        "".join(annotation_lines(nasty)),
    ]
    for text in texts:
        assert all(c.isprintable() or c == "\n" for c in text)
        assert "calc" in text
        assert "\\u202e" in html.unescape(text).replace("\\\\", "\\")


def test_a_problem_is_accounted_for_as_in_the_report():
    """One complaint for each known bug, and what it breaks."""
    (linear,) = (one for one in accounts(REPORTS["known_bug"]) if one.id == "linear")
    assert linear.complaints[0].bug.startswith("Your Linear multiplies by the weight as if")
    assert linear.complaints[0].file == "layers.py"
    assert "Look at layers.py, line 6." in linear.text()
    (attack,) = (one for one in accounts(REPORTS["right"]) if one.id == "gradient_clipping")
    assert attack.passed
    assert attack.complaints == ()


def test_as_typed(tmp_path):
    """All of them from one grade; GitHub takes no command from what the report shows."""
    submission = next(case for case in load_cases() if case.name == "known_bug").folder / "submission"
    files = {option: tmp_path / option for option in ("junit", "gradescope", "classroom50", "csv")}
    options = [word for option, path in files.items() for word in (f"--{option}", str(path))]
    step = tmp_path / "summary.md"
    step.write_text("before\n")
    variables = {**RUNNER, "GITHUB_STEP_SUMMARY": str(step), "GITHUB_WORKSPACE": str(KIT)}
    result = run_grader(submission, "--problem", "linear", "--github", *options, **variables)
    assert result.returncode == 0, result.stderr
    assert ET.parse(files["junit"]).getroot().tag == "testsuites"
    Draft202012Validator(GRADESCOPE).validate(json.loads(files["gradescope"].read_text()))
    Draft202012Validator(CLASSROOM50).validate(json.loads(files["classroom50"].read_text()))
    assert files["csv"].read_text().startswith("problem,title")
    assert step.read_text().startswith("before\n## 0 of 1 assessed points")
    stop, *shown = result.stdout.splitlines()
    token = stop.removeprefix("::stop-commands::")
    end = shown.index(f"::{token}::")
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert shown[end + 1].startswith(
        "::error file=grader/selftest/golden/known_bug/submission/layers.py,line=6,title=linear"
    )


def test_gradescope_runs_the_archive_as_it_is(tmp_path):
    """Unpacked where Gradescope unpacks it, and run as it is run there; a submission that is none has its sentence."""
    archive = tmp_path / "autograder.zip"
    course = tmp_path / "course.toml"
    course.write_text('[visibility]\nunicode1 = "after_due_date"\n[problem.unicode1]\npoints = 4\n')
    command = [sys.executable, "-m", "grader", "gradescope-zip", str(archive), "--problem", "unicode1"]
    said = subprocess.run([*command, "--course", str(course)], cwd=KIT, capture_output=True, text=True, check=True)
    assert "2 CPUs and 4 GB" in said.stdout
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
        opened.extractall(tmp_path / "source")
        assert opened.getinfo("run_autograder").external_attr >> 16 & 0o111
    assert {"setup.sh", "run_autograder", "requirements.txt", "kit/grader/reference/rope.py"} <= set(names)
    assert not [name for name in names if "/selftest/" in name or "__pycache__" in name]
    assert all("==" in line for line in (tmp_path / "source" / "requirements.txt").read_text().splitlines())
    subprocess.run(["bash", "-n", str(tmp_path / "source" / "setup.sh")], check=True)

    def run() -> dict[str, Any]:
        program = [sys.executable, str(tmp_path / "source" / "run_autograder")]
        environment = {"AUTOGRADER_ROOT": str(tmp_path), "PATH": "/usr/bin:/bin"}
        subprocess.run(program, cwd=tmp_path, env=environment, check=True)
        results = tmp_path / "results" / "results.json"
        made = json.loads(results.read_text())
        Draft202012Validator(GRADESCOPE).validate(made)
        results.unlink()
        return made

    (tmp_path / "submission").mkdir()
    nothing = run()
    assert (nothing["score"], nothing["tests"]) == (0.0, [])
    assert "no adapters.py" in nothing["output"]
    right = next(case for case in load_cases() if case.name == "right").folder / "submission"
    shutil.copytree(right, tmp_path / "submission", dirs_exist_ok=True)
    made = run()
    assert made["score"] == 4.0
    assert [test["visibility"] for test in made["tests"]] == ["after_due_date"]
