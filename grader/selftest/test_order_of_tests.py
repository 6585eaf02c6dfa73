"""What a report says does not depend on the order in which tests ran, which each grade draws anew."""

from __future__ import annotations

import importlib
import itertools

import pytest
import torch

from grader.diagnosis.attribution import Attribution
from grader.scoring.outcome import Outcome, Result
from grader.submission.in_process import InProcess

REFERENCE = importlib.import_module("grader.reference.adapters")

SIZES = {"test_a[x]": 4, "test_a[y]": 4, "test_b[x]": 4, "test_c[x]": 9, "test_c[y]": 4}
"""{test: numbers in what it asks}"""


def failed_in(order: tuple[str, ...]) -> list[str]:
    """The failures that clues are looked for, of tests that ran in this order."""
    attribution, submission = Attribution({"softmax": ()}), InProcess(REFERENCE)
    for test in order:
        submission.begin_transcript()
        submission.run_softmax(in_features=torch.arange(float(SIZES[test])), dim=0)
        attribution.follow("softmax", Outcome(test, Result.FAIL), None, submission)
    return [failure.test for failure in attribution.failures({})]


@pytest.mark.parametrize("order", list(itertools.permutations(SIZES))[::17])
def test_the_same_failures_are_looked_into(order):
    assert failed_in(order) == ["test_a[x]", "test_b[x]", "test_c[y]"]
