"""RMSNorm in Triton, run by Triton's interpreter: forward and backward."""

import pytest

from grader.cases.case import Draw
from grader.cases.compare import Tolerance, compare

pytestmark = pytest.mark.own_adapter

FACTORY = "get_rmsnorm_autograd_function_triton"


@pytest.mark.cases("output")
def test_output(submission, case):
    """Each vector is divided by its root mean square and scaled by the gain.

    Asked: problem rmsnorm, its formula.
    """
    case.check(submission.fused_rmsnorm_output(**case.inputs))


@pytest.mark.cases("gradients")
def test_gradient_of_the_input(submission, case):
    """The backward pass gives the gradient of the input.

    Asked: an autograd function has a backward pass: what comes before it is trained through it.
    """
    found = submission.fused_rmsnorm_gradients(**case.inputs)
    compare(case.expected["dx"], found["dx"], case.tolerance, "the gradient of the input")


@pytest.mark.cases("gradients")
def test_gradient_of_the_gain(submission, case):
    """The backward pass gives the gradient of the gain, summed over all vectors.

    Asked: problem fused_rmsnorm: the gain's gradient is a sum over all rows.
    """
    found = submission.fused_rmsnorm_gradients(**case.inputs)
    compare(case.expected["dweight"], found["dweight"], case.tolerance, "the gradient of the gain")


def test_vectors_are_independent(submission):
    """Every vector is normalised by itself, and the output grows with the gain.

    Asked: problem rmsnorm, its formula.
    """
    draw = Draw(0, "independent vectors")
    x, weight = draw.normal(6, 32), draw.uniform(32, low=0.5, high=2.0)
    together = submission.fused_rmsnorm_output(factory=FACTORY, x=x, weight=weight)
    alone = submission.fused_rmsnorm_output(factory=FACTORY, x=x[2:3].clone(), weight=weight)
    compare(alone[0], together[2], Tolerance(1e-5), "output of a vector among others, beside that of this vector alone")
    doubled = submission.fused_rmsnorm_output(factory=FACTORY, x=x, weight=2 * weight)
    compare(2 * together, doubled, Tolerance(1e-5), "output for twice the gain, beside twice the output")


@pytest.mark.cases("eps")
def test_eps(submission, case):
    """eps = 1e-5 is added to the mean square; this matters when the input is small.

    Asked: problem rmsnorm, its formula, with the eps that get_rmsnorm_autograd_function_triton names.
    """
    case.check(submission.fused_rmsnorm_output(**case.inputs))


def test_runs_as_a_kernel(submission):
    """Forward and backward each run a Triton kernel.

    Asked: problem fused_rmsnorm: a kernel in place of PyTorch's operations.
    """
    draw = Draw(0, "launches")
    x, weight, cotangent = draw.normal(6, 32), draw.normal(32), draw.normal(6, 32)
    seen = submission.kernel_launches(factory=FACTORY, inputs=[x, weight], cotangent=cotangent)
    assert seen["output"].shape == x.shape, f"the output has the shape {tuple(seen['output'].shape)}"
    assert seen["forward"] >= 1, "no Triton kernel was launched on the way forward"
    assert seen["backward"] >= 1, "no Triton kernel was launched on the way back"


@pytest.mark.edge
@pytest.mark.cases("shapes")
def test_any_shape(submission, case):
    """There may be any number of leading dimensions, and d_model need not be a power of two.

    Asked: problem fused_rmsnorm: the row's length is not a power of two.
    """
    case.check(submission.fused_rmsnorm_output(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("shapes_gradients")
def test_gradients_for_any_shape(submission, case):
    """The gradients are also right for these shapes.

    Asked: problem fused_rmsnorm: the row's length is not a power of two.
    """
    case.check(submission.fused_rmsnorm_gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("half")
def test_half_precision(submission, case):
    """float16 inputs give a float16 output, computed from float32 sums that do not overflow.

    Asked: problem rmsnorm: it computes in float32 and gives the input's dtype.
    """
    case.check(submission.fused_rmsnorm_output(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("half_gradients")
def test_gradients_in_half_precision(submission, case):
    """float16 inputs have float16 gradients.

    Asked: plain safety: a gradient has the dtype of what it belongs to.
    """
    case.check(submission.fused_rmsnorm_gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.relation
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the input in memory does not matter.

    Asked: plain safety: a tensor is its values.
    """
    contiguous = {**case.inputs, "x": case.inputs["x"].contiguous()}
    due, output = submission.fused_rmsnorm_output(**contiguous), submission.fused_rmsnorm_output(**case.inputs)
    compare(due, output, Tolerance(1e-5), "output, beside that for a contiguous copy")
