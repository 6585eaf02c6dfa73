"""FlashAttention in PyTorch: attention by tiles, its log-sum-exp, and its gradients."""

import pytest

from grader.cases.case import Draw

pytestmark = pytest.mark.own_adapter

FACTORY = "get_flashattention_autograd_function_pytorch"


@pytest.mark.cases("output")
def test_output(submission, case):
    """The output is softmax(Q K^T / sqrt(d)) V, however many tiles the keys fill."""
    case.check(submission.attention_output(**case.inputs))


@pytest.mark.cases("average")
def test_equal_scores(submission, case):
    """Where all scores are equal, the output is the plain average of the values, whatever the scale.

    Asked: the definition of softmax(Q K^T / sqrt(d)) V.
    """
    case.check(submission.attention_output(**case.inputs))


@pytest.mark.cases("log_sum_exp")
def test_log_sum_exp(submission, case):
    """One tensor of shape [batch, queries] is saved: the natural logarithm of each query's sum of e^score."""
    case.check(submission.attention_log_sum_exp(**case.inputs))


@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """The backward pass gives the gradients of queries, keys and values."""
    case.check(submission.attention_gradients(**case.inputs))


@pytest.mark.cases("large")
def test_large_scores(submission, case):
    """Scores whose exponential overflows still give the right average."""
    case.check(submission.attention_output(**case.inputs))


def test_scores_are_never_held_whole(submission):
    """No tensor made on the way forward is as large as half of the matrix of scores."""
    draw, length = Draw(0, "tiles"), 512
    given = {name: draw.normal(1, length, 16) for name in "QKV"}
    seen = submission.attention_largest_tensor(factory=FACTORY, **given, is_causal=False)
    scores = length * length
    assert seen["output"].shape == given["Q"].shape, f"the output has the shape {tuple(seen['output'].shape)}"
    assert seen["elements"] <= scores // 2, (
        f"for {length} queries and keys, a tensor of {seen['elements']:,} elements was made; "
        f"the whole matrix of scores has {scores:,}"
    )


@pytest.mark.edge
@pytest.mark.cases("causal_output")
def test_causal(submission, case):
    """With is_causal, query i sees the keys 0 to i only."""
    case.check(submission.attention_output(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("causal_log_sum_exp")
def test_causal_log_sum_exp(submission, case):
    """With is_causal, the log-sum-exp of query i sums over the keys 0 to i only."""
    case.check(submission.attention_log_sum_exp(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("causal_gradients")
def test_causal_gradients(submission, case):
    """With is_causal, no gradient reaches a key from the queries before it."""
    case.check(submission.attention_gradients(**case.inputs))


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
