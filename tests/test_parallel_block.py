"""A block whose attention and feed-forward network stand side by side: x + attn(ln1(x)) + ffn(ln(x))."""

from typing import Any

import pytest
import torch

from grader.cases.case import Case, Draw
from grader.cases.compare import Tolerance, compare
from grader.cases.weights import block_shapes, draw_weights
from grader.checks.untouched import check_untouched

pytestmark = pytest.mark.own_adapter

D_MODEL, D_FF = 24, 64


def drawn_block(draw: Draw, shared_norm: bool) -> dict[str, Any]:
    """A block of two heads, as arguments of the adapter."""
    shapes = dict(block_shapes(D_MODEL, D_FF))
    if shared_norm:
        del shapes["ln2.weight"]
    sizes = {"d_model": D_MODEL, "num_heads": 2, "d_ff": D_FF, "max_seq_len": 6, "theta": 1e4}
    return {**sizes, "shared_norm": shared_norm, "weights": draw_weights(draw, shapes)}


@pytest.mark.cases("shared")
def test_shared_norm(submission, case):
    """With a shared norm, both branches read ln1(x), and the stream gets what both add.

    Asked: problem parallel_block, the first formula.
    """
    case.check(submission.run_parallel_block(**case.inputs))


@pytest.mark.cases("two_norms")
def test_two_norms(submission, case):
    """With two norms, attention reads ln1(x) and the feed-forward network ln2(x).

    Asked: problem parallel_block, the second formula.
    """
    case.check(submission.run_parallel_block(**case.inputs))


@pytest.mark.relation
def test_branches_do_not_see_each_other(submission):
    """What both branches add together is what each adds while the other one is silent.

    Asked: problem parallel_block, side by side.
    """
    draw = Draw(0, "branches side by side")
    for shared_norm in (True, False):
        block, x = drawn_block(draw, shared_norm), draw.normal(2, 4, D_MODEL)

        def added(*silent: str, block: dict = block, x: torch.Tensor = x) -> torch.Tensor:
            weights = {k: torch.zeros_like(v) if k in silent else v for k, v in block["weights"].items()}
            return submission.run_parallel_block(**{**block, "weights": weights}, in_features=x) - x

        attention, network = added("ffn.w2.weight"), added("attn.output_proj.weight")
        for name, one in (("attention", attention), ("the feed-forward network", network)):
            assert one.abs().max() > 1e-3, f"{name} adds nothing"
        compare(attention + network, added(), Tolerance(1e-4), "what both branches add")


def test_every_weight_is_used(submission):
    """Each weight affects the output.

    Asked: problem parallel_block, the submodules.
    """
    draw = Draw(0, "weights of a parallel block")
    for shared_norm in (True, False):
        block, x = drawn_block(draw, shared_norm), draw.normal(2, 4, D_MODEL)
        before = submission.run_parallel_block(**block, in_features=x)
        for name, weight in block["weights"].items():
            weights = block["weights"] | {name: weight.flip(-1)}
            change = (
                (submission.run_parallel_block(**{**block, "weights": weights}, in_features=x) - before).abs().max()
            )
            assert change > 1e-4, f"{name} was changed, and the output was not"


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients reach the input on all three paths.

    Asked: what comes before the block must be trained, too.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
def test_input_unchanged(submission):
    """The input is afterwards what it was.

    Asked: plain safety: inputs belong to the caller.
    """
    draw = Draw(0, "the input of a parallel block")
    inputs = drawn_block(draw, True) | {"in_features": draw.normal(1, 2, D_MODEL)}
    given = {"adapter": "run_parallel_block", "inputs": inputs}
    check_untouched(submission, Case("block", "inputs_after", given), "in_features")
