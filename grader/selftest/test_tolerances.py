"""How far an output strains a case's tolerance is what `compare` would say."""

from __future__ import annotations

import math

import pytest
import torch

from grader.cases.compare import Mismatch, Tolerance, compare
from grader.selftest.tolerances import strain

X = torch.randn(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


TOLERANCES = [Tolerance(1e-3), Tolerance(1e-3, absolute=0.01), Tolerance(0.0, absolute=0.1)]


def times(factor: float, tolerance: Tolerance) -> Tolerance:
    """Wider by this factor."""
    typical = None if tolerance.typical is None else tolerance.typical * factor
    return Tolerance(tolerance.relative * factor, tolerance.absolute * factor, typical)


@pytest.mark.parametrize("tolerance", TOLERANCES)
@pytest.mark.parametrize(
    ("expected", "actual"),
    [(X, X + 0.01), ({"a": [X, 2.0]}, {"a": [X * 1.003, 2.001]}), (3.0, 3.01), ((X[:1], 5), (X[:1] + 1e-4, 5))],
    ids=["tensor", "nested", "number", "tuple"],
)
def test_a_tolerance_is_multiplied_by_the_strain(expected, actual, tolerance):
    factor = strain(expected, actual, tolerance)
    assert 0 < factor < math.inf
    compare(expected, actual, times(1.001 * factor, tolerance))
    with pytest.raises(Mismatch):
        compare(expected, actual, times(0.999 * factor, tolerance))


def test_what_is_lost_on_the_whole_is_a_strain_of_its_own():
    tolerance = Tolerance(1.0, typical=1e-3)
    factor = strain(X, 1.01 * X, tolerance)
    assert factor == pytest.approx(10)
    compare(X, 1.01 * X, times(1.001 * factor, tolerance))
    with pytest.raises(Mismatch, match="less precise"):
        compare(X, 1.01 * X, times(0.999 * factor, tolerance))
    with pytest.raises(Mismatch, match="expected zeros"):
        compare(0 * X, X, Tolerance(1.0, absolute=100.0, typical=1e-3))


@pytest.mark.parametrize(
    "actual",
    [X[:5], X.float(), X.tolist(), X.index_fill(0, torch.tensor([2]), math.nan), None],
    ids=["shape", "dtype", "type", "nan", "none"],
)
def test_no_tolerance_makes_another_form_right(actual):
    assert strain(X, actual, Tolerance(1.0)) == math.inf


def test_what_is_equal_strains_nothing():
    assert strain({"x": X, "n": 3, "zero": torch.zeros(2)}, {"x": X, "n": 3, "zero": torch.zeros(2)}, Tolerance()) == 0
