"""Accounting of a Transformer language model: parameters, memory, and FLOPs of the forward pass.

Every quantity is defined in the docstrings of `accounting.py`, so there is one right number for each. Where a quantity
is put together from others, what follows from your own is right as well, so that one mistake costs once.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.checks.counts import check_account, check_counts, describe

pytestmark = pytest.mark.own_adapter


def memory_of(case, num_parameters):
    """Bytes of that many parameters."""
    return case.inputs["options"]["bytes_per_parameter"] * num_parameters


def forward_pass_of(case, matmul_flops):
    """FLOPs of a batch with these matrix multiplies in every sequence."""
    return case.inputs["options"]["batch_size"] * sum(matmul_flops.values())


def shares_of(matmul_flops):
    """The components' shares of these FLOPs."""
    share = {name: flops / sum(matmul_flops.values()) for name, flops in matmul_flops.items()}
    return {
        "attention_projections": share["q_proj"] + share["k_proj"] + share["v_proj"] + share["output_proj"],
        "attention_products": share["attention_scores"] + share["weighted_values"],
        "ffn": share["w1"] + share["w2"] + share["w3"],
        "lm_head": share["lm_head"],
    }


@pytest.mark.cases("parameter_counts")
def test_parameter_counts(submission, case):
    """Embedding, attention, feed-forward networks, norms and head have as many parameters as in the model.

    Asked: problem transformer_accounting (a).
    """
    check_counts(case.expected, submission.run_parameter_counts(**case.inputs), describe(case))


@pytest.mark.cases("num_parameters")
def test_num_parameters(submission, case):
    """The number of trainable parameters is the sum over the model's parts.

    Asked: problem transformer_accounting (a).
    """
    found = submission.accounted(**case.inputs)
    check_account(case, found, lambda parameter_counts: sum(parameter_counts.values()))


@pytest.mark.cases("parameter_memory")
def test_parameter_memory(submission, case):
    """In float32, every parameter takes 4 bytes.

    Asked: problem transformer_accounting (a): memory to load the model in single precision.
    """
    found = submission.accounted(**case.inputs)
    check_account(case, found, lambda num_parameters: memory_of(case, num_parameters))


@pytest.mark.cases("matmul_flops")
def test_matmul_flops(submission, case):
    """Each matrix multiply of the forward pass takes 2 m n p FLOPs, over all layers and heads.

    Asked: problem transformer_accounting (b).
    """
    check_counts(case.expected, submission.run_matmul_flops(**case.inputs), describe(case))


@pytest.mark.cases("forward_flops")
def test_forward_flops(submission, case):
    """The forward pass of one sequence takes the FLOPs of all its matrix multiplies.

    Asked: problem transformer_accounting (b).
    """
    found = submission.accounted(**case.inputs)
    check_account(case, found, lambda matmul_flops: forward_pass_of(case, matmul_flops))


@pytest.mark.cases("flops_shares")
def test_flops_shares(submission, case):
    """The components' shares are fractions of all FLOPs of the forward pass.

    Asked: problem transformer_accounting (c) and (d).
    """
    check_account(case, submission.accounted(**case.inputs), shares_of)


@pytest.mark.cases("long_context")
def test_long_context(submission, case):
    """At a context of 16,384 tokens, the terms that grow with its square outgrow the linear ones.

    Asked: problem transformer_accounting (e).
    """
    check_account(case, submission.accounted(**case.inputs), shares_of)


@pytest.mark.edge
@pytest.mark.cases("batch")
def test_batch(submission, case):
    """A batch of n sequences takes n times the FLOPs of one sequence.

    Asked: the documentation of forward_flops.
    """
    found = submission.accounted(**case.inputs)
    check_account(case, found, lambda matmul_flops: forward_pass_of(case, matmul_flops))


@pytest.mark.edge
@pytest.mark.cases("bytes")
def test_bytes_per_parameter(submission, case):
    """Parameters of another size take that many bytes each.

    Asked: the documentation of parameter_memory.
    """
    found = submission.accounted(**case.inputs)
    check_account(case, found, lambda num_parameters: memory_of(case, num_parameters))


@pytest.mark.edge
@pytest.mark.cases("exact")
def test_whole_numbers(submission, case):
    """Counts are ints, and exact even where floats cannot represent every whole number.

    Asked: plain safety: counts of things are whole numbers.
    """
    rules = {
        "num_parameters": lambda parameter_counts: sum(parameter_counts.values()),
        "forward_flops": lambda matmul_flops: forward_pass_of(case, matmul_flops),
    }
    check_account(case, submission.accounted(**case.inputs), rules[case.inputs["wanted"]], exact=True)


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
    """More and narrower heads at the same d_model change neither the parameters nor the FLOPs.

    Asked: the documentation of parameter_counts and matmul_flops.
    """
    config["d_model"] *= heads
    one = {name: submission.perform(f"run_{name}", {"config": config}) for name in ("parameter_counts", "matmul_flops")}
    for name, counts in one.items():
        assert isinstance(counts, dict), f"{name}: expected a dict, got {type(counts).__name__}"
        assert counts, f"{name} is empty"
        assert any(counts.values()), f"all entries of {name} are 0"
        many = submission.perform(f"run_{name}", {"config": config | {"num_heads": heads}})
        check_counts(counts, many, (name, f"{heads} heads, where what is expected is your result for 1 head"))
