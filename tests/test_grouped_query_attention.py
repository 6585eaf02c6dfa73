"""Causal attention whose query heads share heads of keys and values: MHA, GQA and MQA by the number of these."""

from typing import Any

import pytest
import torch

from grader.cases.case import Case, Draw
from grader.cases.weights import draw_weights
from grader.checks.refusals import check_refused
from grader.checks.untouched import check_untouched

pytestmark = pytest.mark.own_adapter

D_MODEL, HEADS, SEQ_LEN = 8, 4, 5
D_K = D_MODEL // HEADS


def drawn_inputs(draw: Draw, num_kv_heads: int = 2, num_heads: int = HEADS) -> dict[str, Any]:
    """A batch of two sequences and weights."""
    d_kv = num_kv_heads * D_MODEL // num_heads
    shapes = dict.fromkeys(("q_proj_weight", "k_proj_weight", "v_proj_weight", "o_proj_weight"), (D_MODEL, D_MODEL))
    weights = draw_weights(draw, {**shapes, **dict.fromkeys(("k_proj_weight", "v_proj_weight"), (d_kv, D_MODEL))})
    sizes = {"d_model": D_MODEL, "num_heads": num_heads, "num_kv_heads": num_kv_heads, "max_seq_len": 8, "theta": None}
    return {**sizes, **weights, "in_features": draw.normal(2, SEQ_LEN, D_MODEL)}


@pytest.mark.cases("mha")
def test_as_many_kv_heads_as_heads(submission, case):
    """With as many heads of keys and values as query heads, it is multi-head attention.

    Asked: problem grouped_query_attention, the formula.
    """
    case.check(submission.run_grouped_query_attention(**case.inputs))


@pytest.mark.cases("mqa")
def test_one_kv_head(submission, case):
    """With one head of keys and values, all query heads use it.

    Asked: problem grouped_query_attention, the formula.
    """
    case.check(submission.run_grouped_query_attention(**case.inputs))


@pytest.mark.cases("gqa")
def test_groups(submission, case):
    """Query heads that are neighbours share a head of keys and values.

    Asked: problem grouped_query_attention, the formula: g = i // (num_heads / num_kv_heads).
    """
    case.check(submission.run_grouped_query_attention(**case.inputs))


@pytest.mark.cases("rope")
def test_with_rope(submission, case):
    """RoPE rotates queries and keys, at the given positions, or at 0, 1, 2, ...

    Asked: problem grouped_query_attention, the argument theta.
    """
    case.check(submission.run_grouped_query_attention(**case.inputs))


@pytest.mark.relation
def test_who_shares_what(submission):
    """Other keys or values in one head change the outputs of the query heads of its group, and no others.

    Asked: problem grouped_query_attention, the formula: g = i // (num_heads / num_kv_heads).
    """
    draw = Draw(0, "who shares what")
    inputs = drawn_inputs(draw) | {"o_proj_weight": torch.eye(D_MODEL)}
    before = submission.run_grouped_query_attention(**inputs).unflatten(-1, (HEADS, D_K))
    for name in ("k_proj_weight", "v_proj_weight"):
        for kv_head in range(2):
            weight = inputs[name].clone()
            weight[kv_head * D_K : (kv_head + 1) * D_K] = draw.normal(D_K, D_MODEL)
            after = submission.run_grouped_query_attention(**{**inputs, name: weight}).unflatten(-1, (HEADS, D_K))
            changed = [head for head in range(HEADS) if (after - before)[..., head, :].abs().max() > 1e-4]
            group = [2 * kv_head, 2 * kv_head + 1]
            assert changed == group, (
                f"head {kv_head} of 2 in {name} was changed, and the query heads {changed} gave other outputs; with "
                f"{HEADS} query heads, its group is {group}"
            )


@pytest.mark.edge
def test_causal(submission):
    """No output depends on a later token.

    Asked: problem multihead_self_attention: token i attends to the tokens j <= i.
    """
    draw = Draw(0, "causal attention in groups")
    inputs = drawn_inputs(draw)
    before = submission.run_grouped_query_attention(**inputs)
    x = inputs["in_features"].clone()
    x[:, 2:] = draw.normal(2, SEQ_LEN - 2, D_MODEL)
    change = (submission.run_grouped_query_attention(**{**inputs, "in_features": x}) - before).abs().amax(-1)
    assert change[:, :2].max() < 1e-4, "a change of the tokens from 2 on changes outputs before 2"
    assert change[:, 2:].min() > 1e-5, "a change of the tokens from 2 on leaves an output from 2 on as it was"


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through queries, keys and values.

    Asked: what comes before attention must be trained, too.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
def test_input_unchanged(submission):
    """The input is afterwards what it was.

    Asked: plain safety: inputs belong to the caller.
    """
    given = {"adapter": "run_grouped_query_attention", "inputs": drawn_inputs(Draw(0, "the input of groups"))}
    check_untouched(submission, Case("attention", "inputs_after", given), "in_features")


@pytest.mark.edge
def test_impossible_heads(submission):
    """Heads that cannot be shared equally raise ValueError, whose message has both numbers.

    Asked: the documentation of GroupedQueryAttention.
    """
    draw = Draw(0, "impossible groups")
    assert submission.run_grouped_query_attention(**drawn_inputs(draw)).shape == (2, SEQ_LEN, D_MODEL)
    given = drawn_inputs(draw, 3)
    check_refused(submission, "run_grouped_query_attention", given, "4 query heads for 3 heads of keys", HEADS, 3)
    given = drawn_inputs(draw, 1, num_heads=3)
    check_refused(submission, "run_grouped_query_attention", given, f"3 heads for d_model = {D_MODEL}", 3, D_MODEL)
