"""Relative positions: learned vectors with clipping (Shaw), and biases in buckets (T5)."""

from typing import Any

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.compare import Tolerance, compare
from grader.checks.refusals import check_refused
from grader.checks.untouched import inputs_after

pytestmark = pytest.mark.own_adapter


@pytest.mark.cases("key_vectors")
def test_key_vectors(submission, case):
    """Each key gets the vector of its distance added before its product with the query.

    Asked: problem relative_positions, the first formula.
    """
    case.check(submission.run_relative_attention(**case.inputs))


@pytest.mark.cases("clipped")
def test_clipped(submission, case):
    """Distances beyond m have the vector of m, those below -m the vector of -m.

    Asked: problem relative_positions, the first formula: r is clipped.
    """
    case.check(submission.run_relative_attention(**case.inputs))


@pytest.mark.cases("value_vectors")
def test_value_vectors(submission, case):
    """Each value gets the vector of its distance added before the weighted sum.

    Asked: problem relative_positions, the second formula.
    """
    case.check(submission.run_relative_attention(**case.inputs))


@pytest.mark.cases("zeros")
def test_vectors_of_zeros(submission, case):
    """Vectors of zeros leave scaled dot-product attention.

    Asked: problem relative_positions, both formulas.
    """
    case.check(submission.run_relative_attention(**case.inputs))


@pytest.mark.cases("near")
def test_near_buckets(submission, case):
    """Near the query, every distance has a bucket of its own.

    Asked: problem relative_positions, the buckets.
    """
    case.check(submission.run_t5_buckets(**case.inputs))


@pytest.mark.cases("one_direction")
def test_buckets_of_one_direction(submission, case):
    """Farther back, buckets widen with the logarithm of the distance, up to the last.

    Asked: problem relative_positions, the buckets.
    """
    case.check(submission.run_t5_buckets(**case.inputs))


@pytest.mark.cases("both_directions")
def test_buckets_of_both_directions(submission, case):
    """If bidirectional, the lower half of the buckets lies behind the query, the upper half ahead of it.

    Asked: problem relative_positions, the buckets.
    """
    case.check(submission.run_t5_buckets(**case.inputs))


@pytest.mark.cases("bias")
def test_bias(submission, case):
    """Each head has a number for each bucket.

    Asked: problem relative_positions, the bias.
    """
    case.check(submission.run_t5_bias(**case.inputs))


@pytest.mark.cases("t5")
def test_t5_attention(submission, case):
    """The bias is added to scores that are not divided by sqrt(d_k).

    Asked: problem relative_positions, T5's attention.
    """
    case.check(submission.run_t5_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.relation
def test_distances_alone_count(submission):
    """Queries and keys that move on together keep their bias.

    Asked: problem relative_positions: a bias is that of the distance.
    """
    draw = Draw(0, "distances alone count")
    given: dict[str, Any] = {"table": draw.normal(8, 2), "max_distance": 19, "bidirectional": True}
    queries, keys = torch.tensor([4, 0, 7]), torch.tensor([0, 1, 5, 9])
    before = submission.run_t5_bias(**given, query_positions=queries, key_positions=keys)
    after = submission.run_t5_bias(**given, query_positions=queries + 100, key_positions=keys + 100)
    compare(before, after, Tolerance(1e-5), "bias 100 positions later")
    assert (before[0] - before[1]).abs().max() > 1e-3, "both heads have the same bias"


@pytest.mark.edge
@pytest.mark.cases("causal")
def test_causal(submission, case):
    """With causal, a query sees its own key and those before it.

    Asked: problem relative_positions, the argument causal.
    """
    case.check(submission.run_relative_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("masked")
def test_mask(submission, case):
    """A bias makes no key visible that the mask hides.

    Asked: problem relative_positions, the argument mask.
    """
    case.check(submission.run_t5_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """The vectors and the table get gradients, a clipped vector from all keys beyond it.

    Asked: problem relative_positions: vectors and biases are learned.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """All inputs are afterwards what they were.

    Asked: plain safety: inputs belong to the caller.
    """
    case.check(inputs_after(submission, case))


@pytest.mark.edge
def test_impossible_vectors(submission):
    """An even number of vectors, and other numbers for keys than for values, raise ValueError that has them.

    Asked: the documentation of relative_attention.
    """
    given: dict[str, Any] = {name: torch.ones(3, 2) for name in "QKV"}
    given |= {"key_vectors": torch.ones(5, 2), "value_vectors": torch.ones(5, 2), "causal": False}
    assert submission.run_relative_attention(**given).shape == (3, 2)
    adapter, other = "run_relative_attention", torch.ones(7, 2)
    check_refused(submission, adapter, given | {"value_vectors": other}, "5 key_vectors with 7 value_vectors", 5, 7)
    four = {"key_vectors": torch.ones(4, 2), "value_vectors": None}
    check_refused(submission, adapter, given | four, "4 key_vectors", 4)


@pytest.mark.edge
def test_impossible_buckets(submission):
    """Buckets that cannot be halved, and a max_distance that is exact anyway, raise ValueError that has them.

    Asked: the documentation of t5_buckets.
    """
    given = {"ahead": torch.tensor([-1, 0, 1]), "num_buckets": 8, "max_distance": 16, "bidirectional": True}
    assert submission.run_t5_buckets(**given).shape == (3,)
    check_refused(submission, "run_t5_buckets", given | {"num_buckets": 7}, "7 buckets for both directions", 7)
    one = {"bidirectional": False, "num_buckets": 12, "max_distance": 6}
    check_refused(submission, "run_t5_buckets", given | one, "a max_distance of 6, for 6 exact distances", 6)
