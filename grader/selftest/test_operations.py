"""One table says what is known of each operation, and whatever else names one agrees with it."""

from __future__ import annotations

import ast
import subprocess
import sys
import types

import pytest

from grader.kit.paths import TESTS
from grader.scoring.rubric import load_rubric
from grader.selftest.layouts import copy_of_kit
from grader.submission.in_process import InProcess
from grader.submission.interface import Submission, UnknownOperation
from grader.worker.drivers import DRIVERS
from grader.worker.operation_table import OPERATIONS, Again


def test_the_table_and_the_code_have_the_same_operations():
    import grader.reference.adapters as adapters

    ours = {name for name in vars(adapters) if name.startswith(("run_", "get_"))}
    assert {name for name, operation in OPERATIONS.items() if operation.is_adapter} == ours
    assert {name for name, operation in OPERATIONS.items() if not operation.is_adapter} == set(DRIVERS)


def test_every_operation_belongs_to_a_problem_that_there_is():
    problems = {problem.id for problem in load_rubric().problems}
    assert {operation.problem for operation in OPERATIONS.values()} <= problems | {""}
    assert all(operation.problem for operation in OPERATIONS.values() if operation.is_adapter)


def test_what_may_be_asked_after_a_decoy_may_be_probed():
    """Both call the operation again with the same arguments; a decoy exchanges tensors on top of that."""
    assert all(operation.probed for operation in OPERATIONS.values() if operation.again is Again.AFTER_A_DECOY)


def test_tests_ask_for_known_operations_only():
    own = set(vars(Submission)) | {"adapters", "generation", "own_adapters"}
    asked = {
        (path.name, node.func.attr)
        for path in TESTS.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "submission"
    }
    assert asked
    assert not {(file, name) for file, name in asked if name not in OPERATIONS and name not in own}


def test_an_operation_that_is_not_in_the_table_is_no_fault_of_the_submission():
    module = types.ModuleType("adapters")
    module.run_sofmax = lambda in_features: in_features  # type: ignore[attr-defined]
    submission = InProcess(module)
    with pytest.raises(UnknownOperation, match="'run_sofmax' is not an operation"):
        submission.run_sofmax(in_features=1)
    with pytest.raises(UnknownOperation):
        submission.timed("run_sofmax", {})


def test_a_typo_in_a_test_of_the_kit_ends_the_grade_and_costs_nobody_a_point(tmp_path):
    kit = copy_of_kit(tmp_path)
    claims = kit / "tests" / "test_softmax.py"
    claims.write_text(
        claims.read_text("utf-8").replace("submission.run_softmax(", "submission.run_sofmax(", 1), "utf-8"
    )
    command = [sys.executable, "-m", "grader", "grader/reference", "--problem", "softmax", "--json", "report.json"]
    ended = subprocess.run(command, cwd=kit, capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    assert "'run_sofmax' is not an operation" in ended.stderr
    assert not (kit / "report.json").exists()
