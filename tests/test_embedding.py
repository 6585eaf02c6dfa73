"""Embedding: one vector per token id."""

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.initialisation import check_truncated_normal
from grader.cases.placement import check_placement

CONFIG = {"num_embeddings": 300, "embedding_dim": 70}


@pytest.mark.cases
def test_matches_reference(submission, case):
    """Embedding gives, for every token id, the row of the table with that number."""
    case.check(submission.run_embedding(**case.inputs))


@pytest.mark.cases("every_id")
def test_every_id(submission, case):
    """Every id from 0 to vocab_size - 1 has a row, and may occur any number of times."""
    case.check(submission.run_embedding(**case.inputs))


@pytest.mark.cases("shapes")
def test_ids_of_any_shape(submission, case):
    """Token ids may come in any shape; the output has one dimension more, of size d_model."""
    case.check(submission.run_embedding(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("corners")
def test_corners(submission, case):
    """A single id without dimensions and tensors that are transposed in memory are looked up like any other."""
    case.check(submission.run_embedding(**case.inputs))


@pytest.mark.edge
@pytest.mark.own_adapter
def test_parameter(submission):
    """A new Embedding has one trainable parameter, `weight`, of shape [num_embeddings, embedding_dim]."""
    state = submission.module_state(factory="get_embedding_module", config=CONFIG, seed=0)
    shapes = {name: tuple(value.shape) for name, value in state["parameters"].items()}
    assert shapes == {"weight": (300, 70)}, f"expected one parameter, weight of shape (300, 70); got {shapes}"
    assert state["requires_grad"] == {"weight": True}, "the table has requires_grad=False, so it would never be trained"
    assert "weight" in state["state_dict"], "the table is missing from the state dict, so a checkpoint would lose it"


@pytest.mark.edge
@pytest.mark.own_adapter
def test_initial_table(submission):
    """The table starts normal with variance 1, cut off at -3 and 3."""
    state = submission.module_state(factory="get_embedding_module", config=CONFIG, seed=1)
    assert "weight" in state["parameters"], "a new Embedding has no parameter called weight"
    check_truncated_normal(state["parameters"]["weight"], 1.0, "the table of a new Embedding(300, 70)")


@pytest.mark.edge
@pytest.mark.own_adapter
def test_rows_learn(submission):
    """Gradients reach exactly those rows of the table that were looked up."""
    ids = Draw(0, "embedding").integers(0, 300, 4, 5)
    gradients = submission.module_gradients(factory="get_embedding_module", config=CONFIG, seed=0, example=ids)
    gradient = gradients.get("weight")
    assert gradient is not None, "no gradient arrives at the table"
    learning = set(gradient.abs().sum(-1).nonzero().flatten().tolist())
    assert learning == set(ids.flatten().tolist()), (
        f"{torch.unique(ids).numel()} different ids were looked up, but {len(learning)} rows get a gradient"
    )


@pytest.mark.edge
@pytest.mark.own_adapter
def test_device_and_dtype(submission):
    """A new Embedding has its table on the device and in the dtype that are asked for."""
    check_placement(submission, "get_embedding_module", CONFIG, "a new Embedding")
