"""SiLU, and the SwiGLU network: W2 (silu(W1 x) * W3 x)."""

import pytest
import torch

from grader.cases.case import Draw
from grader.cases.initialisation import check_truncated_normal
from grader.cases.placement import check_placement

CONFIG = {"d_model": 40, "d_ff": 120}
SHAPES = {"w1.weight": (120, 40), "w2.weight": (40, 120), "w3.weight": (120, 40)}


@pytest.mark.cases("silu")
def test_silu(submission, case):
    """SiLU multiplies every number by its sigmoid."""
    case.check(submission.run_silu(**case.inputs))


@pytest.mark.cases
def test_swiglu(submission, case):
    """SwiGLU is W2 (silu(W1 x) * W3 x), with a hidden dimension of any size d_ff."""
    case.check(submission.run_swiglu(**case.inputs))


@pytest.mark.cases("shapes")
def test_any_leading_dimensions(submission, case):
    """The input may have any number of leading dimensions, or none; every vector is treated alike."""
    case.check(submission.run_swiglu(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the input in memory does not matter."""
    case.check(submission.run_swiglu(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("silu_far_out")
def test_silu_far_from_zero(submission, case):
    """SiLU stays finite for every finite number: large ones come back, very negative ones give 0."""
    case.check(submission.run_silu(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """SiLU and SwiGLU return new tensors and leave what they are given as it was."""
    case.check(submission.inputs_after(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through both branches of the network to its input."""
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.own_adapter
def test_parameters(submission):
    """A new SwiGLU has three weights and no biases: w1 and w3 of shape [d_ff, d_model], w2 of [d_model, d_ff]."""
    state = submission.module_state(factory="get_swiglu_module", config=CONFIG, seed=0)
    shapes = {name: tuple(value.shape) for name, value in state["parameters"].items()}
    assert shapes == SHAPES, f"expected the parameters {SHAPES}, got {shapes}"
    frozen = [name for name, trained in state["requires_grad"].items() if not trained]
    assert not frozen, f"these have requires_grad=False, so they would never be trained: {frozen}"


@pytest.mark.edge
@pytest.mark.own_adapter
def test_initial_weights(submission):
    """The three weights start as those of Linear do, and differ from each other."""
    state = submission.module_state(factory="get_swiglu_module", config=CONFIG, seed=1)
    for name in SHAPES:
        assert name in state["parameters"], f"a new SwiGLU has no parameter called {name}"
        check_truncated_normal(state["parameters"][name], (2 / 160) ** 0.5, f"{name} of a new SwiGLU(40, 120)")
    same = torch.equal(state["parameters"]["w1.weight"], state["parameters"]["w3.weight"])
    assert not same, "w1.weight and w3.weight start with the same numbers"


@pytest.mark.edge
@pytest.mark.own_adapter
def test_weights_learn(submission):
    """The gradient of the output reaches all three weights."""
    example = Draw(0, "positionwise_feedforward").normal(5, 40)
    gradients = submission.module_gradients(factory="get_swiglu_module", config=CONFIG, seed=0, example=example)
    assert set(gradients) == set(SHAPES), f"expected the parameters {sorted(SHAPES)}, got {sorted(gradients)}"
    idle = [name for name, gradient in gradients.items() if gradient is None or not gradient.any()]
    assert not idle, f"no gradient arrives at {', '.join(idle)}"


@pytest.mark.edge
@pytest.mark.own_adapter
def test_device_and_dtype(submission):
    """A new SwiGLU has its weights on the device and in the dtype that are asked for."""
    check_placement(submission, "get_swiglu_module", CONFIG, "a new SwiGLU")
