"""RoPE in halves and interleaved, on all features or the first few, and the permutation that relates both layouts."""

from typing import Any

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.compare import Tolerance, compare
from grader.checks.refusals import check_refused
from grader.checks.untouched import inputs_after

pytestmark = pytest.mark.own_adapter

SAME = Tolerance(1e-4)


def rotate(submission, x: torch.Tensor, layout: str, positions: torch.Tensor, rotary_dim: int | None = None):
    given: dict[str, Any] = {"d_k": x.shape[-1], "theta": 50.0, "max_seq_len": 64, "layout": layout}
    return submission.run_rope_variant(**given, rotary_dim=rotary_dim, in_query_or_key=x, token_positions=positions)


@pytest.mark.cases("interleaved")
def test_interleaved(submission, case):
    """Interleaved, the features 2k and 2k + 1 are a pair.

    Asked: problem rope_variants, the table of layouts.
    """
    case.check(submission.run_rope_variant(**case.inputs))


@pytest.mark.cases("halves")
def test_halves(submission, case):
    """In halves, the features k and k + rotary_dim/2 are a pair.

    Asked: problem rope_variants, the table of layouts.
    """
    case.check(submission.run_rope_variant(**case.inputs))


@pytest.mark.cases("partial")
def test_partial(submission, case):
    """Interleaved, only the first rotary_dim features turn, with the wavelengths of that many features.

    Asked: problem rope_variants, partial rotary.
    """
    case.check(submission.run_rope_variant(**case.inputs))


@pytest.mark.cases("partial_halves")
def test_partial_in_halves(submission, case):
    """In halves, pairs are made of the first rotary_dim features alone.

    Asked: problem rope_variants, partial rotary.
    """
    case.check(submission.run_rope_variant(**case.inputs))


@pytest.mark.cases("permutation")
def test_permutation(submission, case):
    """In each head, the even rows come first, and then the odd ones.

    Asked: problem rope_variants, the permutation.
    """
    case.check(submission.run_permute_for_halves(**case.inputs))


@pytest.mark.relation
def test_same_scores(submission):
    """Permuted weights with RoPE in halves give the scores of the original weights with RoPE interleaved.

    Asked: problem rope_variants, the permutation.
    """
    draw = Draw(0, "the same scores in both layouts")
    x, positions = draw.normal(5, 6), torch.tensor([0, 1, 2, 7, 9])
    weights = {name: draw.normal(8, 6) for name in "qk"}

    def scores(layout: str, weights: dict[str, torch.Tensor]) -> torch.Tensor:
        q, k = ((x @ w.T).unflatten(-1, (2, 4)).transpose(0, 1).contiguous() for w in weights.values())
        return rotate(submission, q, layout, positions) @ rotate(submission, k, layout, positions).mT

    permuted = {name: submission.run_permute_for_halves(weight=w, num_heads=2) for name, w in weights.items()}
    right = scores("interleaved", weights)
    assert right.abs().max() > 1e-3, "all scores are 0"
    compare(right, scores("halves", permuted), SAME, "scores with permuted weights")


@pytest.mark.relation
def test_relative_positions(submission):
    """In both layouts, the product of two rotated vectors depends on the difference of their positions alone.

    Asked: problem rope: that is what the rotation is for.
    """
    draw = Draw(0, "relative positions in both layouts")
    for layout in ("interleaved", "halves"):
        q, k = draw.normal(1, 8), draw.normal(1, 8)

        def score(i: int, j: int, q: torch.Tensor = q, k: torch.Tensor = k, layout: str = layout) -> torch.Tensor:
            turned = (rotate(submission, x, layout, torch.tensor([p])) for x, p in ((q, i), (k, j)))
            one, other = turned
            return (one * other).sum()

        compare(score(3, 1), score(13, 11), SAME, f"product at the positions 13 and 11, {layout}")
        assert (score(3, 1) - score(3, 2)).abs() > 1e-4, f"{layout}: other distances give the same product"


@pytest.mark.edge
@pytest.mark.cases("positions")
def test_positions(submission, case):
    """Positions may come in any order, and differ by sequence.

    Asked: problem rope, the argument token_positions.
    """
    case.check(submission.run_rope_variant(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("dtypes")
def test_dtypes(submission, case):
    """The output has the dtype of its input.

    Asked: problem rope_variants, the shape and dtype of x.
    """
    case.check(submission.run_rope_variant(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """The input is afterwards what it was.

    Asked: plain safety: inputs belong to the caller.
    """
    case.check(inputs_after(submission, case))


@pytest.mark.edge
def test_impossible_settings(submission):
    """A rotary_dim that is odd or above d_k, an unknown layout, and rows that are no heads raise ValueError.

    Asked: the documentation of PartialRotaryEmbedding and permute_for_halves; the message has the values.
    """
    x, positions = torch.ones(1, 4), torch.tensor([1])
    assert rotate(submission, x, "halves", positions).shape == (1, 4)
    given = {"d_k": 4, "theta": 50.0, "max_seq_len": 8, "layout": "halves", "rotary_dim": None}
    given |= {"in_query_or_key": x, "token_positions": positions}
    check_refused(submission, "run_rope_variant", given | {"rotary_dim": 3}, "a rotary_dim of 3", 3)
    check_refused(submission, "run_rope_variant", given | {"rotary_dim": 6}, "a rotary_dim of 6 for d_k = 4", 6, 4)
    check_refused(submission, "run_rope_variant", given | {"layout": "thirds"}, "the layout 'thirds'", "thirds")
    odd = {"weight": torch.ones(6, 2), "num_heads": 2}
    check_refused(submission, "run_permute_for_halves", odd, "2 heads of 3 rows", 6, 2)
