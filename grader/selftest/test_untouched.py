"""Inputs stay as they are: code that changes them fails such a claim, and code that cannot be called does not."""

from __future__ import annotations

import types

import pytest
import torch

from grader.cases.case import Case
from grader.cases.compare import Mismatch
from grader.checks.untouched import check_untouched
from grader.submission.faults import NothingToAssess, Todo
from grader.submission.in_process import InProcess

CASE = Case("one", "inputs_after", {"adapter": "run_silu", "inputs": {"in_features": torch.ones(3)}}, "untouched")


def check(run_silu):
    adapters = types.ModuleType("adapters")
    vars(adapters)["run_silu"] = run_silu
    check_untouched(InProcess(adapters), CASE, "in_features")


def not_built(in_features):
    raise TypeError("Transformer() got an unexpected keyword argument")


def not_written(in_features):
    raise NotImplementedError


def test_a_model_that_cannot_be_built_does_not_lose_this_claim_too():
    with pytest.raises(NothingToAssess, match="a call that fails at once"):
        check(not_built)


def test_an_error_in_the_computation_counts_as_everywhere():
    with pytest.raises(RuntimeError, match="size mismatch"):
        check(lambda in_features: torch.ones(2, 2) @ in_features)


def test_code_that_changes_its_inputs_fails():
    with pytest.raises(Mismatch):
        check(lambda in_features: in_features.mul_(2))


def test_a_failure_that_the_plain_call_does_not_show_counts():
    calls = iter([not_built])
    with pytest.raises(TypeError):
        check(lambda in_features: next(calls, torch.sigmoid)(in_features))


def test_a_stub_stays_todo():
    with pytest.raises(Todo):
        check(not_written)
