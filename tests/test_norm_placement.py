"""A block whose norms stand before its branches, on the sums, on what is added, or on both ends of a branch."""

from typing import Any

import pytest
import torch

from grader.cases.case import Case, Draw
from grader.cases.weights import block_shapes, draw_weights
from grader.checks.refusals import check_refused
from grader.checks.untouched import check_untouched

pytestmark = pytest.mark.own_adapter

D_MODEL, D_FF = 24, 64
PLACEMENTS = ("pre", "post", "branch", "double")


def drawn_block(draw: Draw, placement: str) -> dict[str, Any]:
    """A block of two heads, as arguments of the adapter."""
    shapes = dict(block_shapes(D_MODEL, D_FF))
    if placement == "double":
        shapes |= {"ln1_out.weight": (D_MODEL,), "ln2_out.weight": (D_MODEL,)}
    sizes = {"d_model": D_MODEL, "num_heads": 2, "d_ff": D_FF, "max_seq_len": 6, "theta": 1e4}
    return {**sizes, "placement": placement, "weights": draw_weights(draw, shapes)}


@pytest.mark.cases("pre")
def test_pre(submission, case):
    """With "pre", each branch reads the normalised stream, and the stream itself is never normalised.

    Asked: problem norm_placement, the table of placements.
    """
    case.check(submission.run_norm_placement_block(**case.inputs))


@pytest.mark.cases("post")
def test_post(submission, case):
    """With "post", the sum of the stream and the branch is normalised.

    Asked: problem norm_placement, the table of placements.
    """
    case.check(submission.run_norm_placement_block(**case.inputs))


@pytest.mark.cases("branch")
def test_branch(submission, case):
    """With "branch", what a branch adds is normalised, and neither what it reads nor the sum.

    Asked: problem norm_placement, the table of placements.
    """
    case.check(submission.run_norm_placement_block(**case.inputs))


@pytest.mark.cases("double")
def test_double(submission, case):
    """With "double", a branch is normalised at both ends, by two norms of its own, inside of the residual connection.

    Asked: problem norm_placement, the table of placements.
    """
    case.check(submission.run_norm_placement_block(**case.inputs))


def test_every_weight_is_used(submission):
    """Each weight affects the output, whatever the placement.

    Asked: problem norm_placement, the submodules.
    """
    draw = Draw(0, "weights of blocks with norms")
    for placement in PLACEMENTS:
        block, x = drawn_block(draw, placement), draw.normal(2, 4, D_MODEL)
        before = submission.run_norm_placement_block(**block, in_features=x)
        for name, weight in block["weights"].items():
            weights = block["weights"] | {name: weight.flip(-1)}
            after = submission.run_norm_placement_block(**{**block, "weights": weights}, in_features=x)
            change = (after - before).abs().max()
            assert change > 1e-4, f"with {placement!r}, {name} was changed, and the output was not"


@pytest.mark.relation
def test_size_of_the_stream(submission):
    """A stream 1,000 times as large goes through the block, and only "post" makes it small again.

    Asked: problem norm_placement, what normalises the stream and what does not.
    """
    draw = Draw(0, "size of the stream")
    for placement in PLACEMENTS:
        block, x = drawn_block(draw, placement), draw.normal(1, 4, D_MODEL, scale=1000)
        if placement == "branch":  # of what is not normalised before it, attention must not overflow
            block["weights"] = {k: v * (0.01 if "proj" in k else 1) for k, v in block["weights"].items()}
        size = submission.run_norm_placement_block(**block, in_features=x).square().mean().sqrt().item()
        low, high = (0.3, 3) if placement == "post" else (900, 1100)
        assert low < size < high, (
            f"with {placement!r}, an input of the size 1,000 (root mean square) gives an output of the size {size:.3g}"
        )


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients reach the input on both paths.

    Asked: what comes before the block must be trained, too.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
def test_input_unchanged(submission):
    """The input is afterwards what it was.

    Asked: plain safety: inputs belong to the caller.
    """
    draw = Draw(0, "the input of a block with norms")
    inputs = drawn_block(draw, "pre") | {"in_features": draw.normal(1, 2, D_MODEL)}
    given = {"adapter": "run_norm_placement_block", "inputs": inputs}
    check_untouched(submission, Case("block", "inputs_after", given), "in_features")


@pytest.mark.edge
def test_unknown_placement(submission):
    """An unknown placement raises ValueError, with the name in its message.

    Asked: the documentation of NormPlacementBlock.
    """
    block = drawn_block(Draw(0, "an unknown placement"), "pre") | {"in_features": torch.ones(1, 2, D_MODEL)}
    assert submission.run_norm_placement_block(**block).shape == (1, 2, D_MODEL)
    check_refused(
        submission, "run_norm_placement_block", block | {"placement": "middle"}, "the placement 'middle'", "middle"
    )
