"""FlashAttention in Triton, run by Triton's interpreter: forward, log-sum-exp, and gradients."""

import pytest

from grader.cases.case import Draw

pytestmark = pytest.mark.own_adapter

FACTORY = "get_flashattention_autograd_function_triton"


@pytest.mark.cases("output")
def test_output(submission, case):
    """The output is softmax(Q K^T / sqrt(d)) V, however many tiles the keys fill."""
    case.check(submission.attention_output(**case.inputs))


@pytest.mark.cases("causal_output")
def test_causal(submission, case):
    """With is_causal, query i sees the keys 0 to i only."""
    case.check(submission.attention_output(**case.inputs))


@pytest.mark.cases("average")
def test_equal_scores(submission, case):
    """Where all scores are equal, the output is the plain average of the values, whatever the scale.

    Asked: the definition of softmax(Q K^T / sqrt(d)) V.
    """
    case.check(submission.attention_output(**case.inputs))


@pytest.mark.cases("log_sum_exp", "causal_log_sum_exp")
def test_log_sum_exp(submission, case):
    """One tensor of shape [batch, queries] is saved: the natural logarithm of each query's sum of e^score."""
    case.check(submission.attention_log_sum_exp(**case.inputs))


@pytest.mark.cases("gradients", "causal_gradients")
def test_gradients(submission, case):
    """The backward pass gives the gradients of queries, keys and values, causal and not."""
    case.check(submission.attention_gradients(**case.inputs))


@pytest.mark.cases("large")
def test_large_scores(submission, case):
    """Scores whose exponential overflows still give the right average."""
    case.check(submission.attention_output(**case.inputs))


def test_runs_as_a_kernel(submission):
    """The way forward runs a Triton kernel, and PyTorch makes no tensor as large as half of the scores."""
    draw, length = Draw(0, "tiles"), 256
    given = {name: draw.normal(1, length, 16) for name in "QKV"}
    seen = submission.kernel_launches(factory=FACTORY, inputs=[*given.values(), False])
    assert seen["output"].shape == given["Q"].shape, f"the output has the shape {tuple(seen['output'].shape)}"
    assert seen["forward"] >= 1, "no Triton kernel was launched"
    made = submission.attention_largest_tensor(factory=FACTORY, **given, is_causal=False)
    assert made["elements"] <= length * length // 2, (
        f"for {length} queries and keys, PyTorch made a tensor of {made['elements']:,} elements; "
        f"the whole matrix of scores has {length * length:,}"
    )


@pytest.mark.edge
@pytest.mark.cases("lengths")
def test_any_length(submission, case):
    """Numbers of queries and keys may differ; they and the width d need not be powers of two or multiples of a tile."""
    case.check(submission.attention_output(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("lengths_gradients")
def test_gradients_for_any_length(submission, case):
    """The gradients are right for such numbers of queries and keys, too."""
    case.check(submission.attention_gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("half")
def test_half_precision(submission, case):
    """float16 inputs give a float16 output, from sums in float32."""
    case.check(submission.attention_output(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("half_gradients")
def test_gradients_in_half_precision(submission, case):
    """float16 inputs have float16 gradients, from sums in float32."""
    case.check(submission.attention_gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the inputs in memory does not matter."""
    case.check(submission.attention_output(**case.inputs))
