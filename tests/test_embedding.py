"""Embedding: one vector per token id."""

import pytest

from grader.cases.case import Draw
from grader.checks.new_layers import check_parameter_gradients, new
from grader.checks.placement import check_placement

SHAPE = (300, 80)


def new_embedding(submission):
    """A new Embedding(300, 80)."""
    draw = Draw(0, "a new Embedding")
    weights, ids = draw.normal(*SHAPE, scale=5) + 3, draw.integers(0, 300, 2, 3)
    inputs = {"vocab_size": 300, "d_model": 80, "weights": weights, "token_ids": ids}
    return new(submission, "run_embedding", inputs, "a new Embedding(300, 80)")


@pytest.mark.cases
def test_matches_reference(submission, case):
    """Embedding returns, for every token id, the table's row with that index.

    Asked: problem embedding, and the signature of run_embedding.
    """
    case.check(submission.run_embedding(**case.inputs))


@pytest.mark.cases("every_id")
def test_every_id(submission, case):
    """Every id from 0 to vocab_size - 1 has a row, and may occur any number of times.

    Asked: problem embedding: the table has vocab_size rows.
    """
    case.check(submission.run_embedding(**case.inputs))


@pytest.mark.cases("large")
def test_large_tables(submission, case):
    """The table and the ids may be as large as those of a real model.

    Asked: problem embedding: the look-up is the same for every size.
    """
    case.check(submission.run_embedding(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("shapes")
def test_ids_of_any_shape(submission, case):
    """Token ids may have any shape; the output has one more dimension, of size d_model.

    Asked: the "..." in the signature of run_embedding.
    """
    case.check(submission.run_embedding(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("corners")
def test_corners(submission, case):
    """A single id without dimensions, and tensors transposed in memory, are looked up like any other.

    Asked: plain safety: a tensor is its values.
    """
    case.check(submission.run_embedding(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("dtypes")
def test_dtype(submission, case):
    """A float64, float16 or bfloat16 Embedding returns vectors of that dtype.

    Asked: problem embedding, the parameter `dtype` of the layer.
    """
    case.check(submission.in_dtype(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("weight_gradients")
def test_rows_learn(submission, case):
    """Gradients reach exactly the rows that were looked up, and add up if an id occurs several times.

    Asked: problem embedding, the table is a torch.nn.Parameter.
    """
    check_parameter_gradients(case, submission.parameter_gradients(**case.inputs))


@pytest.mark.edge
def test_parameter(submission):
    """A new Embedding has one trainable parameter, of shape [num_embeddings, embedding_dim].

    Asked: problem embedding, d_model is the last dimension of the table, a torch.nn.Parameter.
    """
    new_embedding(submission).check_registered([(SHAPE, 1.0)])


@pytest.mark.edge
def test_initial_table(submission):
    """The table is initialised with a variance of 1.

    Asked: section "parameter initialization".
    """
    new_embedding(submission).check_spread([(SHAPE, 1.0)])


@pytest.mark.edge
def test_initial_table_is_cut(submission):
    """The table is initialised from a normal distribution truncated at -3 and 3.

    Asked: section "parameter initialization".
    """
    new_embedding(submission).check_cut([SHAPE, SHAPE[::-1]])


@pytest.mark.edge
@pytest.mark.own_adapter
def test_device_and_dtype(submission):
    """A new Embedding has its table on the requested device and in the requested dtype.

    Asked: problem embedding, the parameters `device` and `dtype` of the layer.
    """
    check_placement(submission, "get_embedding_module", {"num_embeddings": 300, "embedding_dim": 80}, "a new Embedding")
