"""Accounting of a Transformer language model: parameters, memory, and FLOPs of the forward pass.

Every quantity is defined in the docstrings of `accounting.py`, so there is one right number for each.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.cases.counts import check_counts

pytestmark = pytest.mark.own_adapter


def check(case, found, exact=False):
    """What was calculated is what should have come out, for the case's sizes."""
    sizes = ", ".join(f"{name} = {value:,}" for name, value in case.inputs["config"].items())
    others = "".join(f", {name} = {value:,}" for name, value in case.inputs.items() if name != "config")
    check_counts(case.expected, found, f"{case.operation.removeprefix('run_')} for {sizes}{others}", exact)


@pytest.mark.cases("parameter_counts")
def test_parameter_counts(submission, case):
    """Embedding, attention, feed-forward networks, norms and head have the parameters that the model has in them."""
    check(case, submission.run_parameter_counts(**case.inputs))


@pytest.mark.cases("num_parameters")
def test_num_parameters(submission, case):
    """The whole model has as many trainable parameters as its parts have together."""
    check(case, submission.run_num_parameters(**case.inputs))


@pytest.mark.cases("parameter_memory")
def test_parameter_memory(submission, case):
    """In float32, every parameter takes 4 bytes."""
    check(case, submission.run_parameter_memory(**case.inputs))


@pytest.mark.cases("matmul_flops")
def test_matmul_flops(submission, case):
    """Each matrix multiply of the forward pass takes 2 m n p FLOPs, over all layers and heads."""
    check(case, submission.run_matmul_flops(**case.inputs))


@pytest.mark.cases("forward_flops")
def test_forward_flops(submission, case):
    """The forward pass of one sequence takes the FLOPs of all its matrix multiplies."""
    check(case, submission.run_forward_flops(**case.inputs))


@pytest.mark.cases("flops_shares")
def test_flops_shares(submission, case):
    """The components' shares are fractions of all FLOPs of the forward pass."""
    check(case, submission.run_flops_shares(**case.inputs))


@pytest.mark.cases("long_context")
def test_long_context(submission, case):
    """At 16,384 tokens of context, what grows with its square outgrows what grows in proportion to it."""
    check(case, submission.perform(case.operation, case.inputs))


@pytest.mark.edge
@pytest.mark.cases("batch")
def test_batch(submission, case):
    """A batch takes as many times the FLOPs of one sequence as it has sequences."""
    check(case, submission.run_forward_flops(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("bytes")
def test_bytes_per_parameter(submission, case):
    """Parameters of another size take that many bytes each."""
    check(case, submission.run_parameter_memory(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("exact")
def test_whole_numbers(submission, case):
    """Counts are ints, exact also where a float would skip whole numbers."""
    check(case, submission.perform(case.operation, case.inputs), exact=True)


@pytest.mark.edge
@given(
    config=st.fixed_dictionaries(
        {
            "vocab_size": st.integers(1, 10**5),
            "context_length": st.integers(1, 10**4),
            "num_layers": st.integers(1, 100),
            "d_model": st.integers(1, 1000),
            "num_heads": st.just(1),
            "d_ff": st.integers(1, 10**4),
        }
    ),
    heads=st.integers(2, 16),
)
def test_heads_change_nothing(submission, config, heads):
    """More and narrower heads at the same d_model have the same parameters and take the same FLOPs."""
    config["d_model"] *= heads
    one = {name: submission.perform(f"run_{name}", {"config": config}) for name in ("parameter_counts", "matmul_flops")}
    for name, counts in one.items():
        assert isinstance(counts, dict), f"{name}: expected a dict, got {type(counts).__name__}"
        assert counts, f"{name} is empty"
        assert all(value > 0 for value in counts.values()), f"{name} has an entry that is not positive: {counts}"
        many = submission.perform(f"run_{name}", {"config": config | {"num_heads": heads}})
        check_counts(counts, many, f"{name} with {heads} heads, compared with that of 1 head of the same d_model")
