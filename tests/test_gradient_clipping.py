"""Gradient clipping: if the joint l2 norm of all gradients exceeds the limit, all are scaled down to it."""

import pytest
import torch


@pytest.mark.cases
def test_scales_down_to_the_limit(submission, case):
    """Gradients whose l2 norm exceeds the limit are multiplied by limit / norm, in place.

    Asked: problem gradient_clipping, the scaling of a gradient whose norm exceeds M.
    """
    case.check(submission.clip(**case.inputs))


@pytest.mark.cases("joint")
def test_norm_is_of_all_gradients_together(submission, case):
    """The norm is that of all gradients taken together, and one factor scales them all.

    Asked: problem gradient_clipping: the norm is that of the gradient of all parameters.
    """
    case.check(submission.clip(**case.inputs))


@pytest.mark.parametrize("norm", [0.5, 3.0, 700.0])
def test_gradients_within_the_limit_stay(submission, norm):
    """Gradients within the limit stay exactly as they are; beyond it they are scaled.

    Asked: problem gradient_clipping: a norm of at most M leaves the gradient as it is.
    """
    direction = torch.linspace(-1.0, 2.0, 12)
    gradients = [direction[:5] * (norm / direction.norm()), direction[5:].reshape(7, 1) * (norm / direction.norm())]
    parameters = [torch.ones_like(gradient) for gradient in gradients]

    within = submission.clip(parameters=parameters, gradients=gradients, max_l2_norm=1.5 * norm)["gradients"]
    for given, left in zip(gradients, within, strict=True):
        assert torch.equal(given, left), f"the norm is {norm:g} and the limit {1.5 * norm:g}, yet gradients changed"

    beyond = submission.clip(parameters=parameters, gradients=gradients, max_l2_norm=norm / 2)["gradients"]
    found = torch.cat([gradient.flatten() for gradient in beyond]).norm().item()
    assert found == pytest.approx(norm / 2, rel=1e-4), (
        f"the norm is {norm:g} and the limit {norm / 2:g}; after clipping the norm is {found:g}"
    )


@pytest.mark.cases("none_among")
def test_parameters_without_gradient(submission, case):
    """Parameters whose grad is None are left out; the others are clipped.

    Asked: run_gradient_clipping takes the parameters of a model, some of which may be frozen.
    """
    case.check(submission.clip(**case.inputs))


@pytest.mark.cases("parameters")
def test_parameters_do_not_matter(submission, case):
    """Only gradients are measured and changed, never the values of the parameters.

    Asked: problem gradient_clipping: it is gradients that are clipped.
    """
    case.check(submission.clip(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("generator")
def test_generator_of_parameters(submission, case):
    """The parameters may be a generator, as model.parameters() is, which can be read only once.

    Asked: the signature of run_gradient_clipping, whose parameters are any iterable.
    """
    case.check(submission.clip(**case.inputs))


@pytest.mark.advice
def test_no_gradient_at_all(submission):
    """Where no parameter has a gradient, or there is no parameter, nothing happens; one gradient is enough to clip.

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
    case.check(submission.clip(**case.inputs))
