"""A mixture of experts: experts, gates and a shared expert together, and the losses that keep its router in order."""

import pytest
import torch

from grader.cases.case import Draw
from grader.checks.refusals import check_refused
from grader.checks.untouched import check_untouched

pytestmark = pytest.mark.own_adapter


@pytest.mark.cases("one_token")
def test_one_token(submission, case):
    """A token's output is the sum of its experts' outputs, each times its gate.

    Asked: problem moe_layer, the formula of MixtureOfExperts.
    """
    case.check(submission.run_mixture_of_experts(**case.inputs))


@pytest.mark.cases("batch")
def test_batch(submission, case):
    """Every token of a batch goes to its own experts, and to all of them.

    Asked: problem moe_layer, the formula of MixtureOfExperts.
    """
    case.check(submission.run_mixture_of_experts(**case.inputs))


@pytest.mark.cases("as_they_are")
def test_gates_as_they_are(submission, case):
    """Without renormalising, the gates of a token add up to less than 1.

    Asked: problem moe_layer, the setting renormalise.
    """
    case.check(submission.run_mixture_of_experts(**case.inputs))


@pytest.mark.cases("shared")
def test_shared_expert(submission, case):
    """The shared expert takes every token, and what it gives is added as it is.

    Asked: problem moe_layer, "with no gate".
    """
    case.check(submission.run_mixture_of_experts(**case.inputs))


@pytest.mark.cases("capacity")
def test_capacity(submission, case):
    """With a capacity factor, full experts drop the later tokens of each sequence.

    Asked: problem moe_layer, the setting capacity_factor.
    """
    case.check(submission.run_mixture_of_experts(**case.inputs))


@pytest.mark.cases("balance")
def test_load_balance_loss(submission, case):
    """The load-balance loss is the number of experts times the sum of their shares times their probabilities.

    Asked: problem moe_layer, the formula of load_balance_loss.
    """
    case.check(submission.run_load_balance_loss(**case.inputs))


@pytest.mark.cases("balance_of_several")
def test_load_balance_of_several_choices(submission, case):
    """An expert's share is that of all choices, so that an even load costs 1 whatever top_k is.

    Asked: problem moe_layer, the formula of load_balance_loss.
    """
    case.check(submission.run_load_balance_loss(**case.inputs))


@pytest.mark.cases("router_z")
def test_router_z_loss(submission, case):
    """The router's z-loss is the mean of the squares of log Z.

    Asked: problem moe_layer, the documentation of router_z_loss.
    """
    case.check(submission.run_router_z_loss(**case.inputs))


@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through the experts, and through the gates to the router.

    Asked: problem moe_layer, a router that gets no gradient never learns.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("balance_gradients")
def test_balance_gradients(submission, case):
    """The gradient of the load-balance loss flows through the probabilities, and not through the counts.

    Asked: problem moe_layer, the documentation of load_balance_loss.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """The input and the weights are afterwards what they were.

    Asked: plain safety: inputs belong to the caller.
    """
    check_untouched(submission, case, "in_features", "weights")


@pytest.mark.edge
def test_impossible_settings(submission):
    """More experts per token than there are raise ValueError, whose message has both numbers.

    Asked: the documentation of MixtureOfExperts.
    """
    draw = Draw(0, "impossible experts")
    shapes = {"w1": (3, 2), "w2": (2, 3), "w3": (3, 2)}
    weights = {f"experts.{e}.{w}.weight": draw.normal(*shape) for e in range(3) for w, shape in shapes.items()}
    sizes = {"d_model": 2, "d_ff": 3, "num_experts": 3, "shared_d_ff": 0}
    settings = {"renormalise": True, "capacity_factor": None}
    weights["router.weight"] = draw.normal(3, 2)
    given = {**sizes, **settings, "weights": weights, "in_features": torch.ones(1, 1, 2)}
    assert submission.run_mixture_of_experts(**given, top_k=1).shape == (1, 1, 2)
    given = {**given, "top_k": 5}
    check_refused(submission, "run_mixture_of_experts", given, "top_k = 5 of 3 experts", 5, 3)
