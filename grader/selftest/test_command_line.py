"""What a person sees at the command line: help, exit codes, and one clear sentence for bad input."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from grader.__main__ import main
from grader.command_line import check_targets
from grader.kit.paths import KIT
from grader.selftest.forked import run_grader
from grader.selftest.layouts import copy_of_kit
from grader.selftest.report_contract import checked


def run(*arguments: str | Path, kit: Path = KIT) -> subprocess.CompletedProcess[str]:
    if kit == KIT:
        return run_grader(*arguments, COLUMNS="100")
    command = [sys.executable, "-m", "grader", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(command, cwd=kit, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def kit(tmp_path) -> Path:
    """A copy of the kit that a test may damage."""
    return copy_of_kit(tmp_path)


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a refused run."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    return line


def test_help_needs_neither_torch_nor_rich():
    command = [sys.executable, "-X", "importtime", "-m", "grader", "--help"]
    result = subprocess.run(command, cwd=KIT, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert imported.isdisjoint({"torch", "numpy", "rich", "pytest", "msgpack"})
    assert "exit codes" in result.stdout


def test_an_unknown_problem_is_refused():
    assert "Did you mean 'rmsnorm'?" in refused(run("--problem", "rmsnrm"))


def test_tolerances_of_a_problem_without_cases_are_refused():
    line = refused(run("explain", "tolerances", "--problem", "softmax", "data_loading"))
    assert line.startswith("grader: data_loading: no cases, so no tolerances; grader/cases/generators/data_loading.py")


def test_an_unknown_section_is_refused():
    assert "Did you mean 'model'?" in refused(run("--section", "modle"))


def test_a_folder_without_adapters_is_refused(tmp_path):
    assert "no adapters.py and no tests/adapters.py" in refused(run(tmp_path))


def test_a_missing_folder_is_refused(tmp_path):
    assert "is not there" in refused(run(tmp_path / "nowhere"))


def test_adapters_that_are_not_utf8_are_refused(tmp_path):
    (tmp_path / "adapters.py").write_bytes("# ä".encode("latin-1"))
    assert "is not UTF-8 text" in refused(run(tmp_path))


def test_a_folder_for_json_that_does_not_exist_is_refused_before_grading():
    assert "there is no folder" in refused(run("--problem", "rmsnorm", "--json", "nowhere/report.json"))


def test_a_typo_in_the_rubric_is_refused(kit):
    rubric = kit / "grader" / "scoring" / "rubric.toml"
    rubric.write_text(rubric.read_text().replace("points = 15", "ponits = 15", 1))
    assert "unknown key 'ponits'. Did you mean 'points'?" in refused(run(kit=kit))


def test_a_damaged_fixture_is_refused(kit):
    (kit / "tests" / "fixtures" / "cases" / "rmsnorm.msgpack").write_bytes(b"\xc1 no cases")
    assert "rmsnorm.msgpack is damaged" in refused(run("grader/reference", "--problem", "rmsnorm", kit=kit))


def test_a_missing_fixture_is_refused(kit):
    (kit / "tests" / "fixtures" / "cases" / "rmsnorm.msgpack").unlink()
    assert "rmsnorm.msgpack cannot be read" in refused(run("grader/reference", "--problem", "rmsnorm", kit=kit))


def test_a_test_file_that_cannot_be_collected_is_our_failure_not_the_students(kit):
    (kit / "tests" / "test_rmsnorm.py").write_text("import no_such_module\n")
    result = run("grader/reference", "--problem", "rmsnorm", kit=kit)
    assert result.returncode == 3
    assert "the grader itself failed" in result.stderr


@pytest.fixture(scope="module")
def graded(tmp_path_factory) -> list[dict]:
    """The reports of two grades that are alike, each in the place of an older file."""
    reports = []
    for name in ("first", "second"):
        folder = tmp_path_factory.mktemp(name)
        (target := folder / "report.json").write_text("old")
        options = ("--problem", "rmsnorm", "--fail-under", "100", "--json", target)
        assert run("grader/reference", *options).returncode == 0
        assert [path.name for path in folder.iterdir()] == ["report.json"]
        reports.append(checked(target.read_text()))
    return reports


def test_json_replaces_the_file_as_a_whole(graded):
    assert [report["score"] for report in graded] == [{"earned": 1.0, "assessed": 1, "total": 1}] * 2


def test_fail_under_decides_the_exit_code(graded):
    assert graded  # with all of the points that --fail-under asks for, exit code 0
    assert run(".", "--problem", "rmsnorm", "--fail-under", "1").returncode == 1


def test_a_seed_is_drawn_when_none_is_given(graded):
    first, second = (report["seed"] for report in graded)
    assert first != second


def test_a_seed_repeats_a_run(graded):
    seed = graded[0]["seed"]
    shown = run("grader/reference", "--problem", "rmsnorm", "--seed", str(seed), "--json", "-").stdout
    again = checked(shown)
    assert again["seed"] == seed

    def without_seconds(report: dict) -> list[dict]:
        return [{**test, "seconds": 0} for problem in report["problems"] for test in problem["tests"]]

    assert without_seconds(again) == without_seconds(graded[0])


# ------------------------------------------------------------------------------------------------------------
# What is meant otherwise than it is typed


@pytest.mark.parametrize(
    "arguments",
    [
        [""],
        ["--json", ""],
        ["--html", ""],
        ["--junit", ""],
        ["hint", "rope", ""],
        ["watch", "rope", ""],
        ["status", ""],
        ["doctor", ""],
        ["batch", ""],
        ["batch", ".", "--out", ""],
        ["manual", ""],
        ["handout", ""],
    ],
    ids=" ".join,
)
def test_an_empty_name_is_no_folder_and_no_file(arguments):
    """As of `python -m grader "$ADA" --json "$OUT"` where a variable is not set: this folder is not what was meant."""
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert "the name is empty; is a variable not set?" in result.stderr


@pytest.mark.parametrize("second", ["report.json", "link", "folder/../report.json"])
def test_two_reports_in_one_file_are_refused_before_grading(tmp_path, second):
    (tmp_path / "folder").mkdir()
    (tmp_path / "report.json").write_text("old")
    (tmp_path / "link").symlink_to("report.json")
    line = refused(run(".", "--problem", "rmsnorm", "--json", tmp_path / "report.json", "--html", tmp_path / second))
    assert "--json and --html both go to" in line
    assert (tmp_path / "report.json").read_text() == "old"


def test_two_reports_on_standard_output_are_refused():
    assert "--json and --csv both go to -" in refused(run(".", "--problem", "rmsnorm", "--json", "-", "--csv", "-"))


def test_devices_take_any_number_of_reports():
    check_targets({"--json": os.devnull, "--html": os.devnull, "--csv": None})


def test_a_submission_behind_problems_is_told_where_it_belongs(tmp_path):
    (tmp_path / "ada's").mkdir()
    line = refused(run("--problem", "softmax", "rope", tmp_path / "ada's"))
    command = line.rpartition("python -m grader ")[2]
    assert shlex.split(command) == [str(tmp_path / "ada's"), "--problem", "softmax", "rope"]


def test_a_folder_that_is_gone_is_a_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["--list"]) == 2
    assert (
        capsys.readouterr().err == "grader: the folder that this was started in is gone; change to one that there is.\n"
    )
