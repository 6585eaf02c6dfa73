"""FlashAttention in Triton, run by Triton's interpreter: forward, log-sum-exp, and gradients."""

import pytest

from grader.cases.case import Draw
from grader.cases.compare import Tolerance, compare

pytestmark = pytest.mark.own_adapter

FACTORY = "get_flashattention_autograd_function_triton"


@pytest.mark.cases("output")
def test_output(submission, case):
    """The output is softmax(Q K^T / sqrt(d)) V, for any number of tiles of keys.

    Asked: the definition of softmax(Q K^T / sqrt(d)) V.
    """
    case.check(submission.attention_output(**case.inputs))


@pytest.mark.relation
@pytest.mark.cases("causal_output")
def test_causal(submission, case):
    """With is_causal, query i sees only the keys 0 to i.

    Asked: the argument is_causal.
    """
    causal = submission.attention_output(**case.inputs)
    for seen in (16, 32, 64):
        prefix = {name: case.inputs[name][:, :seen].clone() for name in "QKV"}
        whole = submission.attention_output(**{**case.inputs, **prefix, "is_causal": False})
        where = f"output of query {seen - 1}, beside that without is_causal where there are {seen} queries and keys"
        compare(whole[:, seen - 1], causal[:, seen - 1], case.tolerance, where)
    assert (causal[:, 0] - case.inputs["V"][:, 0]).abs().max() < 1e-4, "query 0 does not give the first value"


def test_probabilities_add_up_to_one(submission):
    """If all values are equal, the output is that value, whatever the scores.

    Asked: the definition of softmax(Q K^T / sqrt(d)) V.
    """
    draw = Draw(0, "equal values")
    row = draw.normal(2, 1, 16)
    given = {"Q": draw.normal(2, 64, 16, scale=1.5), "K": draw.normal(2, 128, 16, scale=1.5)}
    output = submission.attention_output(factory=FACTORY, **given, V=row.expand(2, 128, 16).clone(), is_causal=False)
    compare(row.expand(2, 64, 16), output, Tolerance(1e-5))


def test_sequences_are_independent(submission):
    """Attention never mixes the sequences of a batch.

    Asked: inputs have the shape [batch, queries or keys, d].
    """
    draw = Draw(0, "independent sequences")
    given = {name: draw.normal(3, 32, 16) for name in "QKV"}
    together = submission.attention_output(factory=FACTORY, **given, is_causal=False)
    for i in range(3):
        one = {name: value[i : i + 1].clone() for name, value in given.items()}
        alone = submission.attention_output(factory=FACTORY, **one, is_causal=False)
        compare(alone[0], together[i], Tolerance(1e-5), f"output of sequence {i}, beside that of this sequence alone")
    assert (together[0] - together[1]).abs().max() > 1e-3, "different sequences give the same output"


@pytest.mark.cases("average")
def test_equal_scores(submission, case):
    """If all scores are equal, the output is the plain average of the values, whatever the scale.

    Asked: the definition of softmax(Q K^T / sqrt(d)) V.
    """
    case.check(submission.attention_output(**case.inputs))


@pytest.mark.cases("log_sum_exp", "causal_log_sum_exp")
def test_log_sum_exp(submission, case):
    """forward saves one tensor of shape [batch, queries]: the natural logarithm of each query's sum of e^score.

    Asked: problem flash_attention_pytorch, whose algorithm this is: L = m + log l is saved.
    """
    case.check(submission.attention_log_sum_exp(**case.inputs))


@pytest.mark.cases("gradients", "causal_gradients")
def test_gradients(submission, case):
    """The backward pass gives the gradients of queries, keys and values, causal and not.

    Asked: problem flash_attention_pytorch, the formulas of the backward pass, and the argument is_causal.
    """
    case.check(submission.attention_gradients(**case.inputs))


@pytest.mark.cases("large")
def test_large_scores(submission, case):
    """Scores whose exponential overflows still give the right average.

    Asked: problem flash_attention_pytorch: what is summed up is corrected whenever a larger score appears.
    """
    case.check(submission.attention_output(**case.inputs))


def test_runs_as_a_kernel(submission):
    """The forward pass runs a Triton kernel, and PyTorch makes no tensor as large as half of the score matrix.

    Asked: problem flash_attention_triton: the same algorithm, as a kernel.
    """
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
    """The numbers of queries and keys may differ; they and d need not be powers of two or multiples of a tile.

    Asked: problem flash_attention_triton: loads beyond the end of a tensor need a mask.
    """
    case.check(submission.attention_output(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("lengths_gradients")
def test_gradients_for_any_length(submission, case):
    """The gradients are also right for any numbers of queries and keys.

    Asked: problem flash_attention_triton: loads beyond the end of a tensor need a mask.
    """
    case.check(submission.attention_gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.relation
@pytest.mark.cases("half")
def test_half_precision(submission, case):
    """float16 inputs give a float16 output, computed from sums in float32.

    Asked: problem flash_attention_triton: sums are kept in float32, whatever the inputs are.
    """
    wide = {name: case.inputs[name].float() for name in "QKV"}
    in_float32 = submission.attention_output(**{**case.inputs, **wide})
    output = submission.attention_output(**case.inputs)
    compare(in_float32.half(), output, case.tolerance, "output, beside that for the same values in float32")


@pytest.mark.edge
@pytest.mark.relation
@pytest.mark.cases("half_gradients")
def test_gradients_in_half_precision(submission, case):
    """float16 inputs have float16 gradients, computed from sums in float32.

    Asked: problem flash_attention_triton: sums are kept in float32, whatever the inputs are.
    """
    wide = {name: case.inputs[name].float() for name in ("Q", "K", "V", "cotangent")}
    in_float32 = submission.attention_gradients(**{**case.inputs, **wide})
    gradients = submission.attention_gradients(**case.inputs)
    due = {name: gradient.half() for name, gradient in in_float32.items()}
    compare(due, gradients, case.tolerance, "gradients, beside those for the same values in float32")


@pytest.mark.edge
@pytest.mark.relation
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the inputs in memory does not matter.

    Asked: plain safety: heads that were split off by a transposition are laid out so.
    """
    contiguous = {**case.inputs, **{name: case.inputs[name].contiguous() for name in "QKV"}}
    due, output = submission.attention_output(**contiguous), submission.attention_output(**case.inputs)
    compare(due, output, Tolerance(1e-5), "output, beside that for contiguous copies")
