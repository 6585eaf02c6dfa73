"""RMSNorm in Triton, run by Triton's interpreter: forward and backward."""

import pytest

from grader.cases.case import Draw

pytestmark = pytest.mark.own_adapter

FACTORY = "get_rmsnorm_autograd_function_triton"


@pytest.mark.cases("output")
def test_output(submission, case):
    """Each vector is divided by its root mean square and scaled by the gain."""
    case.check(submission.fused_rmsnorm_output(**case.inputs))


@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """The backward pass gives the gradients of the input, and of the gain, summed over all vectors."""
    case.check(submission.fused_rmsnorm_gradients(**case.inputs))


@pytest.mark.cases("eps")
def test_eps(submission, case):
    """eps = 1e-5 is added to the mean square, which shows in output and gradients when the input is small."""
    case.check(getattr(submission, case.operation)(**case.inputs))


def test_runs_as_a_kernel(submission):
    """Forward and backward each run a Triton kernel."""
    draw = Draw(0, "launches")
    x, weight, cotangent = draw.normal(6, 32), draw.normal(32), draw.normal(6, 32)
    seen = submission.kernel_launches(factory=FACTORY, inputs=[x, weight], cotangent=cotangent)
    assert seen["output"].shape == x.shape, f"the output has the shape {tuple(seen['output'].shape)}"
    assert seen["forward"] >= 1, "no Triton kernel was launched on the way forward"
    assert seen["backward"] >= 1, "no Triton kernel was launched on the way back"


@pytest.mark.edge
@pytest.mark.cases("shapes")
def test_any_shape(submission, case):
    """There may be any number of leading dimensions, and d_model need not be a power of two."""
    case.check(getattr(submission, case.operation)(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("half")
def test_half_precision(submission, case):
    """float16 inputs give float16 results, from sums in float32 that do not overflow."""
    case.check(getattr(submission, case.operation)(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the input in memory does not matter."""
    case.check(submission.fused_rmsnorm_output(**case.inputs))
