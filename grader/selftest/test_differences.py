"""What a failure says as data: the same as its message, plain, and of bounded size whatever an output holds."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from grader.cases.compare import Mismatch, Tolerance, compare, plainly_equal
from grader.scoring.outcome import Difference, Outcome, Result


def difference(expected, actual) -> Difference:
    with pytest.raises(Mismatch) as caught:
        compare(expected, actual, Tolerance(1e-3))
    return caught.value.difference("batch-fresh")


def test_the_first_and_the_largest_difference_of_a_tensor():
    expected = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    found = difference(expected, torch.tensor([[1.0, 2.5], [9.0, 4.0]]))
    assert (found.expected, found.got) == (2.0, 2.5)
    largest = found.where.pop("largest")
    assert found.where == {
        "case": "batch-fresh",
        "part": "output",
        "kind": "value",
        "index": [0, 1],
        "differing": 2,
        "of": 4,
        "map": {"at": [], "rows": 2, "columns": 2, "cells": ["02", "30"]},
    }
    assert (largest["difference"], largest["index"]) == (6.0, [1, 0])
    assert 0 < largest["allowed"] < 0.01


@pytest.mark.parametrize(
    ("expected", "actual", "kind", "said"),
    [
        (torch.zeros(2, 3), torch.zeros(3, 2), "shape", ([2, 3], [3, 2])),
        (torch.zeros(2), torch.zeros(2).double(), "dtype", ("torch.float32", "torch.float64")),
        (torch.zeros(2), None, "type", ("a torch.Tensor", "None")),
        ([1, 2, 3], [1, 2], "length", (3, 2)),
        ({"a": 1}, {"b": 1}, "keys", ("'a'", "'b'")),
        ({"a": 1}, {"a": 2}, "value", (1, 2)),
        ([1], [np.int64(2)], "value", (1, 2)),
        ("abc", "abd", "value", ("abc", "abd")),
        (0.5, math.inf, "value", (0.5, "inf")),
        (True, False, "value", (True, False)),
    ],
)
def test_every_kind_of_difference_is_data(expected, actual, kind, said):
    found = difference(expected, actual)
    assert found.where["kind"] == kind
    assert (found.expected, found.got) == said


def test_not_a_number_is_a_text_since_json_has_none():
    found = difference(torch.tensor([1.0, 2.0]), torch.tensor([1.0, torch.nan]))
    assert (found.expected, found.got) == (2.0, "nan")
    assert found.where == {
        "case": "batch-fresh",
        "part": "output",
        "kind": "finite",
        "index": [1],
        "differing": 1,
        "of": 2,
        "largest": None,
        "map": {"at": [], "rows": 1, "columns": 2, "cells": ["03"]},
    }


def test_a_map_has_few_cells_and_loses_no_difference():
    expected = torch.ones(2, 3, 40, 100)
    actual = expected.clone()
    actual[1, 2, 39, 99] += 0.05
    actual[1, 2, 0, 0] -= 0.5
    actual[1, 2, 0, 1] = 9
    found = difference(expected, actual).where["map"]
    assert (found["at"], found["rows"], found["columns"]) == ([1, 2], 40, 100)
    assert found["cells"] == ["3" + 14 * "0", *12 * [15 * "0"], 14 * "0" + "1"]


def test_a_map_is_of_the_matrix_with_the_first_difference():
    expected = torch.tensor([[[1.0, torch.inf]], [[1.0, 2.0]]])
    assert difference(expected, torch.tensor([[[1.0, 3.0]], [[9.0, 9.0]]])).where["map"]["cells"] == ["03"]
    assert difference(torch.tensor(1.0), torch.tensor(2.0)).where["map"] is None


def test_a_map_does_not_tell_expected_values():
    """Who knows that one of two values is wrong knows the right one."""
    expected = torch.tensor([[True, False], [False, True]])
    for dtype in (torch.bool, torch.int64):
        assert difference(expected.to(dtype), torch.ones(2, 2, dtype=dtype)).where["map"] is None


@pytest.mark.parametrize(
    "value",
    [
        *("\x1b[2J" * 10_000, "\u202e" * 10_000, "\U0001f600" * 10_000, b"\x1b" * 100_000, 2**63, -(2**63), 10**9000),
        *(math.nan, -math.inf, [1] * 100_000, [[[[1]]]], {"\x1b" * 10: "x" * 10_000}, object(), torch.zeros(9, 9)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_comes_is_short_plain_and_cannot_command_a_terminal(value):
    found = Difference.bounded(value, value, {"part": value, "index": value})
    text = json.dumps([found.expected, found.got, found.where], allow_nan=False, ensure_ascii=False)
    assert len(text) < 4 * 2 * 2100
    assert text.isprintable()


def test_it_travels_with_the_outcome():
    outcome = Outcome("a::b", Result.FAIL, "m", difference=difference(torch.zeros(2), torch.ones(2)))
    assert Outcome.from_plain(json.loads(json.dumps(outcome.as_plain()))) == outcome
    assert Outcome.from_plain(Outcome("a::b", Result.PASS).as_plain()).difference is None


@pytest.mark.parametrize("expected", [torch.ones(2), 1.0, 3, [1], (1, 2), {"a": 1}, "text", b"bytes"], ids=repr)
def test_none_is_what_a_stub_returns(expected):
    """Whoever replaces `raise NotImplementedError` by `pass`, or forgets a `return`, hears so."""
    with pytest.raises(Mismatch, match="got None; is the function unwritten, or is a `return` missing"):
        compare(expected, None)


class _EqualToAll:
    def __eq__(self, _: object) -> bool:
        return True


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ([1, 2, 3], [1, 2, 3], True),
        ((b"a", "b", 3), (b"a", "b", 3), True),
        ({0: b"a", 1: b"b"}, {1: b"b", 0: b"a"}, True),
        ([], [], True),
        ([1, 2, 3], [1, 2], False),
        ([1, 2], (1, 2), False),
        ({0: b"a"}, {0: b"b"}, False),
        ({0: b"a"}, {1: b"a"}, False),
        ([1, 0], [True, False], False),
        ([1, 2], [1, np.int64(2)], False),
        ([1.0], [1.0], False),
        ([math.nan], [math.nan], False),
        ([[1]], [[1]], False),
        ([1], [_EqualToAll()], False),
        ({0: b"a"}, {0: _EqualToAll()}, False),
        (b"ab", b"ab", False),
    ],
)
def test_only_what_is_plain_is_found_equal_at_once(expected, actual, same):
    assert plainly_equal(expected, actual) == same


def test_bools_are_no_ids():
    """`True == 1`, and yet a list of bools is no list of ids."""
    assert difference([1, 0], [True, False]).where["kind"] == "type"
    assert difference({0: 1}, {0: True}).where["kind"] == "type"
    compare([1, 2], [1, np.int64(2)])
