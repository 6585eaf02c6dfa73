"""What people type: `python -m grader PATH`, with no option, on whole solutions of the public assignment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from grader.kit.paths import KIT
from grader.selftest.layouts import public_solution, with_rope_in_halves
from grader.selftest.report_contract import checked

OUTSIDE = {"not_assessed", "not_provided"}


def typed(path: Path, target: Path, *options: str) -> dict[str, Any]:
    """The JSON report of one default grade on one core, and what it showed."""
    command = [sys.executable, "-m", "grader", str(path), "--json", str(target), "--jobs", "1", *options]
    result = subprocess.run(command, cwd=KIT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return {**checked(target.read_text("utf-8")), "shown": result.stdout}


def lost(report: dict[str, Any]) -> dict[str, float]:
    """{problem: the points that it lost}, of those that count here."""
    missed = {p["id"]: round(p["points"] - p["unassessed"] - p["earned"], 2) for p in report["problems"]}
    return {problem: points for problem, points in missed.items() if points}


def problem(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(p for p in report["problems"] if p["id"] == name)


@pytest.fixture(scope="module")
def right(tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("right")
    return typed(public_solution(folder / "assignment1-basics"), folder / "report.json")


def test_a_right_solution_loses_nothing(right):
    assert lost(right) == {}
    assert right["score"]["earned"] == right["score"]["assessed"] > 50
    assert all(total["earned"] == total["assessed"] for total in right["extensions"].values())
    assert right["integrity"]["verdict"] == "clean"
    assert right["own_adapters"] == []


def test_what_only_the_kits_own_adapters_show_is_outside_the_total(right):
    for found in right["problems"]:
        own = all(test["outcome"] == "skip" and not test["charged"] for test in found["tests"])
        if found["kind"] == "code" and own:
            assert (found["status"], found["unassessed"]) == ("not_provided", found["points"])
        elif found["kind"] == "code":
            assert found["status"] == "pass", found["id"]
            assert not found["blocked_by"]


@pytest.fixture(scope="module")
def half_done(tmp_path_factory) -> dict[str, Any]:
    """Most is unwritten, and the tokenizer's module is written for Python 3.12 and imported when it is needed."""
    folder = tmp_path_factory.mktemp("half")
    root = public_solution(folder / "assignment1-basics")
    adapters = root / "tests" / "adapters.py"
    written = {"run_linear", "run_embedding", "run_softmax", "run_rmsnorm", "get_tokenizer"}
    source = adapters.read_text("utf-8")
    for name in (line[4:].partition("(")[0] for line in source.splitlines() if line.startswith("def ")):
        if name not in written:
            source += f"\n\ndef {name}(*_, **__):\n    raise NotImplementedError\n"
    adapters.write_text(source, "utf-8")
    tokenizer = root / "cs336_basics" / "tokenizer.py"
    tokenizer.write_text(tokenizer.read_text("utf-8") + "\n\ntype Merge = tuple[bytes, bytes]\n", "utf-8")
    return typed(root, folder / "report.json")


def test_a_half_done_solution_keeps_what_it_has(half_done):
    written = {"linear", "embedding", "softmax", "rmsnorm"}
    for found in half_done["problems"]:
        if found["id"] in written:
            assert (found["status"], found["earned"]) == ("pass", found["points"])
        elif found["kind"] == "code" and found["status"] not in OUTSIDE and found["id"] != "tokenizer":
            assert found["status"] == "todo", found["id"]


def test_syntax_of_a_newer_python_is_explained_in_a_call_too(half_done):
    found = problem(half_done, "tokenizer")
    if sys.version_info >= (3, 12):
        assert found["earned"] == found["points"]
        return
    messages = {test["message"] for test in found["tests"] if test["outcome"] not in ("pass", "skip")}
    assert len(messages) == 1
    assert "cs336_basics/tokenizer.py" in (message := messages.pop())
    assert "is written for Python 3.12 or later; this is Python 3.11" in message


@pytest.fixture(scope="module")
def wrong(tmp_path_factory) -> dict[str, Any]:
    """One bug, in an archive, whose trainer needs a package that nobody has installed."""
    folder = tmp_path_factory.mktemp("wrong")
    root = with_rope_in_halves(public_solution(folder / "ada" / "assignment1-basics"))
    trainer = root / "cs336_basics" / "bpe.py"
    trainer.write_text(f"import heap_of_the_future\n{trainer.read_text('utf-8')}", "utf-8")
    archive = shutil.make_archive(str(folder / "ada"), "zip", folder / "ada")
    return typed(Path(archive), folder / "report.json")


def test_one_bug_costs_once_in_an_archive(wrong):
    costs = lost(wrong)
    costs.pop("train_bpe", None)  # whether a missing package costs points is decided elsewhere
    costs.pop("train_bpe_speed", None)
    assert set(costs) == {"rope"}
    assert problem(wrong, "transformer_lm")["blocked_by"] == ["rope"]
    assert "feature k with feature k + d_k/2" in wrong["shown"]


def test_a_missing_package_is_named_and_costs_nothing_else(wrong):
    assert "heap_of_the_future" in wrong["shown"]
    assert problem(wrong, "train_bpe")["earned"] == 0
    assert wrong["load_fault"] is None
