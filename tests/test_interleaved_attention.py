"""Layers of two kinds in one stack: windowed ones with RoPE, and full ones without any position."""

from typing import Any

import pytest

from grader.cases.case import Case, Draw
from grader.cases.compare import Tolerance, compare
from grader.cases.weights import block_shapes, draw_weights
from grader.checks.refusals import check_refused
from grader.checks.untouched import check_untouched

pytestmark = pytest.mark.own_adapter

D_MODEL = 8
PROJECTIONS = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "o_proj_weight")


def attention_inputs(draw: Draw, seq_len: int, theta: float | None, window: int | None) -> dict[str, Any]:
    weights = draw_weights(draw, dict.fromkeys(PROJECTIONS, (D_MODEL, D_MODEL)))
    sizes = {"d_model": D_MODEL, "num_heads": 2, "max_seq_len": 16, "theta": theta, "window": window}
    return {**sizes, **weights, "in_features": draw.normal(1, seq_len, D_MODEL)}


def stack_inputs(draw: Draw, num_layers: int, every: int, window: int, seq_len: int) -> dict[str, Any]:
    sizes = {"num_layers": num_layers, "d_model": D_MODEL, "num_heads": 2, "d_ff": 12, "max_seq_len": 16, "theta": 30.0}
    shapes = {f"layers.{i}.{name}": s for i in range(num_layers) for name, s in block_shapes(D_MODEL, 12).items()}
    weights = draw_weights(draw, shapes)
    return {
        **sizes,
        "window": window,
        "every": every,
        "weights": weights,
        "in_features": draw.normal(1, seq_len, D_MODEL),
    }


@pytest.mark.cases("kinds")
def test_kinds(submission, case):
    """Every n-th layer is full, the first of them layer n - 1.

    Asked: problem interleaved_attention, layer_kinds.
    """
    assert submission.run_layer_kinds(**case.inputs) == case.expected


@pytest.mark.cases("one_kind")
def test_one_kind(submission, case):
    """With every = 1, all layers are full; with every above their number, none is.

    Asked: problem interleaved_attention, layer_kinds.
    """
    assert submission.run_layer_kinds(**case.inputs) == case.expected


@pytest.mark.cases("plain")
def test_attention_without_window_and_positions(submission, case):
    """With neither window nor theta, it is causal attention that knows no positions.

    Asked: problem interleaved_attention, the table of kinds.
    """
    case.check(submission.run_windowed_self_attention(**case.inputs))


@pytest.mark.cases("window")
def test_window(submission, case):
    """With a window of w, a query sees w keys, its own among them.

    Asked: problem interleaved_attention, the argument window.
    """
    case.check(submission.run_windowed_self_attention(**case.inputs))


@pytest.mark.cases("rope")
def test_rope(submission, case):
    """With theta, queries and keys are rotated.

    Asked: problem interleaved_attention, the argument theta.
    """
    case.check(submission.run_windowed_self_attention(**case.inputs))


@pytest.mark.cases("one_window")
def test_windowed_layer(submission, case):
    """A stack of one windowed layer is a block with a window and RoPE.

    Asked: problem interleaved_attention, the table of kinds.
    """
    case.check(submission.run_interleaved_stack(**case.inputs))


@pytest.mark.cases("one_full")
def test_full_layer(submission, case):
    """A stack of one full layer is a block whose attention sees all, and knows no positions.

    Asked: problem interleaved_attention, the table of kinds.
    """
    case.check(submission.run_interleaved_stack(**case.inputs))


@pytest.mark.cases("stack")
def test_stack(submission, case):
    """Each layer of a stack is of its kind, and has its own weights.

    Asked: problem interleaved_attention, InterleavedStack.
    """
    case.check(submission.run_interleaved_stack(**case.inputs))


@pytest.mark.cases("one_token")
def test_one_token(submission, case):
    """For one token alone, both kinds of layers are the same.

    Asked: problem interleaved_attention, InterleavedStack.
    """
    case.check(submission.run_interleaved_stack(**case.inputs))


@pytest.mark.edge
@pytest.mark.relation
def test_full_layers_know_no_order(submission):
    """Without positions, the order of the tokens before the last does not change its output.

    Asked: problem interleaved_attention, the table of kinds.
    """
    inputs = attention_inputs(Draw(0, "full layers know no order"), 5, None, None)
    before = submission.run_windowed_self_attention(**inputs)
    assert before.shape == (1, 5, D_MODEL), f"the output has the shape {tuple(before.shape)}"
    x = inputs["in_features"][:, [2, 0, 3, 1, 4]].contiguous()
    after = submission.run_windowed_self_attention(**{**inputs, "in_features": x})
    compare(before[:, -1], after[:, -1], Tolerance(1e-4), "output of the last token, with those before it reordered")
    assert (before[:, 0] - after[:, 0]).abs().max() > 1e-4, "other tokens give the same output"


@pytest.mark.edge
@pytest.mark.relation
def test_reach(submission):
    """Through two windowed layers of 2, a token reaches two further ones, and through a full one all.

    Asked: problem interleaved_attention: why there are full layers.
    """
    draw = Draw(0, "how far a token reaches")
    for every, reach in ((3, 2), (2, 5)):
        inputs = stack_inputs(draw, 2, every, 2, 6)
        x = inputs["in_features"].clone()
        x[:, 0] = draw.normal(D_MODEL)
        before = submission.run_interleaved_stack(**inputs)
        change = (submission.run_interleaved_stack(**{**inputs, "in_features": x}) - before).abs().amax((0, 2))
        changed = [i for i, size in enumerate(change.tolist()) if size > 1e-4]
        assert changed == list(range(reach + 1)), (
            f"a change of token 0 changes the outputs {changed}, with every = {every}, two layers and a window of 2; "
            f"it reaches tokens 0 to {reach}"
        )


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through layers of both kinds.

    Asked: what comes before the stack must be trained, too.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
def test_input_unchanged(submission):
    """The input is afterwards what it was.

    Asked: plain safety: inputs belong to the caller.
    """
    inputs = stack_inputs(Draw(0, "the input of a stack"), 2, 2, 2, 1)
    given = {"adapter": "run_interleaved_stack", "inputs": inputs}
    check_untouched(submission, Case("stack", "inputs_after", given), "in_features")


@pytest.mark.edge
def test_impossible_settings(submission):
    """`every` and windows below 1, and heads that do not divide d_model, raise ValueError that has the numbers.

    Asked: the documentation of layer_kinds and WindowedSelfAttention.
    """
    draw = Draw(0, "impossible settings of a stack")
    assert len(submission.run_layer_kinds(num_layers=2, every=1)) == 2
    check_refused(submission, "run_layer_kinds", {"num_layers": 4, "every": 0}, "every = 0", 0)
    given = attention_inputs(draw, 2, None, 3)
    assert submission.run_windowed_self_attention(**given).shape == (1, 2, D_MODEL)
    check_refused(submission, "run_windowed_self_attention", given | {"window": 0}, "a window of 0", 0)
    three = given | {"num_heads": 3}
    check_refused(submission, "run_windowed_self_attention", three, f"3 heads for d_model = {D_MODEL}", 3, D_MODEL)
