"""Routing tokens to experts: top-k gates, a bias that selects, hashes, and experts that are full."""

import pytest
import torch

from grader.checks.refusals import check_refused
from grader.checks.untouched import check_untouched

pytestmark = pytest.mark.own_adapter


@pytest.mark.cases("renormalised")
def test_renormalised(submission, case):
    """The gates of the top-k experts are their probabilities over the sum of those, and all others 0.

    Asked: problem moe_routing, the documentation of top_k_gates.
    """
    case.check(submission.run_top_k_gates(**case.inputs))


@pytest.mark.cases("as_they_are")
def test_as_they_are(submission, case):
    """Without renormalising, gates are probabilities from a softmax over all experts.

    Asked: problem moe_routing, the documentation of top_k_gates.
    """
    case.check(submission.run_top_k_gates(**case.inputs))


@pytest.mark.cases("bias_weighs_not")
def test_biased_gates(submission, case):
    """Gates with a bias are sigmoids of the chosen logits over their sum; the bias is not in them.

    Asked: problem moe_routing, the documentation of biased_gates.
    """
    case.check(submission.run_biased_gates(**case.inputs))


@pytest.mark.cases("bias_selects")
def test_bias_selects(submission, case):
    """The bias is added to the scores by which experts are chosen.

    Asked: problem moe_routing, the documentation of biased_gates.
    """
    case.check(submission.run_biased_gates(**case.inputs))


@pytest.mark.cases("hash")
def test_hash_gates(submission, case):
    """The table chooses a token's experts by its id, and the router weighs them.

    Asked: problem moe_routing, the documentation of hash_gates.
    """
    case.check(submission.run_hash_gates(**case.inputs))


@pytest.mark.cases("capacity")
def test_capacity(submission, case):
    """An expert's capacity is its equal part of all choices, times the factor, rounded up.

    Asked: problem moe_routing, the formula of expert_capacity.
    """
    case.check(submission.run_expert_capacity(**case.inputs))


@pytest.mark.cases("drop")
def test_later_tokens_are_dropped(submission, case):
    """A full expert drops the tokens that come later, and other gates stay what they were.

    Asked: problem moe_routing, the documentation of drop_over_capacity.
    """
    case.check(submission.run_drop_over_capacity(**case.inputs))


@pytest.mark.cases("drop_batch")
def test_sequences_do_not_share_room(submission, case):
    """Each sequence of a batch has the whole capacity to itself.

    Asked: problem moe_routing, "in each sequence on its own".
    """
    case.check(submission.run_drop_over_capacity(**case.inputs))


@pytest.mark.edge
def test_equal_scores(submission):
    """Where scores are equal, there are still exactly top_k gates, which add up to 1.

    Asked: the documentation of top_k_gates.
    """
    logits = torch.tensor([[0.5, 0.5, 0.5, 0.5, 0.5], [2.0, 1.0, 1.0, 1.0, -1.0]])
    gates = submission.run_top_k_gates(logits=logits, top_k=2, renormalise=True)
    chosen = (gates > 0).sum(-1).tolist()
    assert chosen == [2, 2], f"with equal scores and top_k = 2, {chosen[0]} and {chosen[1]} experts have a gate"
    assert torch.allclose(gates.sum(-1), torch.ones(2)), f"gates add up to {gates.sum(-1).tolist()}, not to 1"


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through all gates that are not 0, and through the sum that they are divided by.

    Asked: a router that gets no gradient never learns.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """The inputs are afterwards what they were.

    Asked: plain safety: inputs belong to the caller.
    """
    check_untouched(submission, case, *(name for name in case.inputs["inputs"] if name in ("logits", "gates")))


@pytest.mark.edge
def test_impossible_settings(submission):
    """More experts per token than there are, an expert that there is not, and no capacity raise ValueError.

    Asked: the documentation of each function.
    """
    logits = torch.tensor([[0.5, -1.0, 2.0]])
    assert submission.run_top_k_gates(logits=logits, top_k=2, renormalise=True).shape == (1, 3)
    given = {"logits": logits, "top_k": 5, "renormalise": True}
    check_refused(submission, "run_top_k_gates", given, "top_k = 5 of 3 experts", 5, 3)
    given = {"logits": logits, "token_ids": torch.tensor([0]), "table": torch.tensor([[1], [7]])}
    check_refused(submission, "run_hash_gates", given, "a table with expert 7, where there are 3", 7)
    check_refused(submission, "run_drop_over_capacity", {"gates": logits, "capacity": 0}, "capacity = 0", 0)
    sizes = {"tokens": 8, "num_experts": 4, "top_k": 2, "capacity_factor": -1.25}
    check_refused(submission, "run_expert_capacity", sizes, "capacity_factor = -1.25", -1.25)
