"""Gradient clipping: if the joint l2 norm of all gradients exceeds the limit, all are scaled down to it.

Claims that are not about the norm compare with what the same function does to the same gradients otherwise.
"""

import pytest
import torch


def check_same(expected, found, what):
    """Clipping gave the same gradients, and left the parameters alone."""
    for i, (right, own) in enumerate(zip(expected, found, strict=True)):
        assert torch.allclose(right, own, rtol=1e-5, atol=1e-9), f"gradient {i} is clipped in another way {what}"


@pytest.mark.cases
def test_scales_down_to_the_limit(submission, case):
    """Gradients whose l2 norm exceeds the limit are multiplied by limit / norm, in place.

    Asked: problem gradient_clipping, the scaling of a gradient whose norm exceeds M.
    """
    case.check(submission.clip(**case.inputs))


@pytest.mark.cases("joint")
def test_norm_is_of_all_gradients_together(submission, case):
    """The norm is that of all gradients together, and one factor scales them all.

    Asked: problem gradient_clipping: the norm is that of the gradient of all parameters.
    """
    case.check(submission.clip(**case.inputs))


@pytest.mark.parametrize("norm", [0.05, 0.5, 0.9])
def test_gradients_within_the_limit_stay(submission, norm):
    """Gradients within the limit stay exactly the same.

    Asked: problem gradient_clipping: a norm of at most M leaves the gradient as it is.
    """
    direction = torch.linspace(-1.0, 2.0, 12)
    gradients = [direction[:5] * (norm / direction.norm()), direction[5:].reshape(7, 1) * (norm / direction.norm())]
    limit = 1.5 * norm
    within = submission.clip(parameters=gradients, gradients=gradients, max_l2_norm=limit)["gradients"]
    for given, left in zip(gradients, within, strict=True):
        assert torch.equal(given, left), f"the norm is {norm:g} and the limit {limit:g}, yet gradients changed"


@pytest.mark.cases("none_among")
def test_parameters_without_gradient(submission, case):
    """Parameters whose grad is None are skipped; the others are clipped.

    Asked: run_gradient_clipping takes the parameters of a model, some of which may be frozen.
    """
    found = submission.clip(**case.inputs)["gradients"]
    kept = [i for i, gradient in enumerate(case.inputs["gradients"]) if gradient is not None]
    only = {name: [case.inputs[name][i] for i in kept] for name in ("parameters", "gradients")}
    alone = submission.clip(**only, max_l2_norm=case.inputs["max_l2_norm"])["gradients"]
    check_same(alone, [found[i] for i in kept], "when there are parameters without gradient beside it")


@pytest.mark.cases("parameters")
def test_parameters_do_not_matter(submission, case):
    """Only gradients are measured and changed, never the values of the parameters.

    Asked: problem gradient_clipping: it is gradients that are clipped.
    """
    found = submission.clip(**case.inputs)
    for i, (given, left) in enumerate(zip(case.inputs["parameters"], found["parameters"], strict=True)):
        assert torch.equal(given, left), f"parameter {i} was changed"
    usual = submission.clip(**case.inputs | {"parameters": case.inputs["gradients"]})
    check_same(usual["gradients"], found["gradients"], "when only the values of the parameters are others")


@pytest.mark.edge
@pytest.mark.cases("generator")
def test_generator_of_parameters(submission, case):
    """The parameters may be a generator such as model.parameters(), which can be read only once.

    Asked: the signature of run_gradient_clipping, whose parameters are any iterable.
    """
    found = submission.clip(**case.inputs)["gradients"]
    listed = submission.clip(**case.inputs | {"as_generator": False})["gradients"]
    check_same(listed, found, "when the parameters are a generator")


@pytest.mark.advice
def test_no_gradient_at_all(submission):
    """If no parameter has a gradient, or there is no parameter, nothing happens; one gradient alone is clipped.

    Asked: nowhere; a training loop clips after a backward pass, which leaves a gradient.
    """
    weights = [torch.arange(4.0), torch.ones(2, 3)]
    for parameters in (weights, []):
        result = submission.clip(parameters=parameters, gradients=[None] * len(parameters), max_l2_norm=1.0)
        assert all(map(torch.equal, result["parameters"], parameters)), "there was no gradient, yet parameters changed"
    result = submission.clip(parameters=weights[1:], gradients=[torch.full((2, 3), 2.0)], max_l2_norm=1.0)
    found = result["gradients"][0].norm().item()
    assert found == pytest.approx(1.0, rel=1e-4), f"a gradient of norm 4.9 was clipped to 1; its norm is {found:g}"


@pytest.mark.edge
@pytest.mark.cases("eps")
def test_eps(submission, case):
    """The factor is limit / (norm + 1e-6).

    Asked: problem gradient_clipping, the epsilon of 1e-6 for numerical stability.
    """
    case.check(submission.clip(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("strided")
def test_strided_gradients(submission, case):
    """The layout of a gradient in memory does not matter.

    Asked: plain safety: how a tensor lies in memory is no part of its value.
    """
    found = submission.clip(**case.inputs)["gradients"]
    dense = {name: [t.contiguous() for t in case.inputs[name]] for name in ("parameters", "gradients")}
    check_same(submission.clip(**case.inputs | dense)["gradients"], found, "when they are transposed in memory")
