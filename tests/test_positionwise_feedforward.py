"""The SwiGLU network, W2 (silu(W1 x) * W3 x), and SiLU by itself."""

import pytest

from grader.cases.case import Draw
from grader.cases.weights import usual_d_ff
from grader.checks.new_layers import check_own_start, check_parameter_gradients, new
from grader.checks.placement import check_placement
from grader.checks.untouched import inputs_after
from grader.submission.faults import AdapterMissing, NothingToAssess, Todo, is_refusal

D_MODEL = 48
D_FF = usual_d_ff(D_MODEL)
STD = (2 / (D_MODEL + D_FF)) ** 0.5
WEIGHTS = [((D_FF, D_MODEL), STD), ((D_FF, D_MODEL), STD), ((D_MODEL, D_FF), STD)]


def arguments(seed_of: str) -> dict:
    """What run_swiglu takes."""
    draw = Draw(0, seed_of)
    shapes = {"w1_weight": (D_FF, D_MODEL), "w2_weight": (D_MODEL, D_FF), "w3_weight": (D_FF, D_MODEL)}
    weights = {name: draw.normal(*shape) for name, shape in shapes.items()}
    return {"d_model": D_MODEL, "d_ff": D_FF, **weights, "in_features": draw.normal(2, 3, D_MODEL)}


def new_swiglu(submission):
    """A new SwiGLU(48, 128)."""
    return new(submission, "run_swiglu", arguments("a new SwiGLU"), "a new SwiGLU(48, 128)")


def of_silu(submission, operation, inputs):
    """What an operation gives that is about `run_silu`; where only that adapter is not written, nothing is charged.

    The assignment asks for SwiGLU, and never says that SiLU has to be a function of its own.
    """
    try:
        return getattr(submission, operation)(**inputs)
    except (Todo, AdapterMissing):
        submission.run_swiglu(**arguments("SiLU inside SwiGLU"))  # todo, too, where nothing is written yet
        raise NothingToAssess("run_silu is not written, and SwiGLU does without it") from None


@pytest.mark.cases
def test_swiglu(submission, case):
    """SwiGLU is W2 (silu(W1 x) * W3 x), with SiLU on the W1 branch.

    Asked: problem positionwise_feedforward, the formula of SwiGLU; d_ff is 8/3 d_model, a multiple of 64.
    """
    case.check(submission.run_swiglu(**case.inputs))


@pytest.mark.cases("large")
def test_large_inputs(submission, case):
    """There may be many inputs, and their values may be large.

    Asked: problem positionwise_feedforward: the formula holds for every size and every number.
    """
    case.check(submission.run_swiglu(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("other_d_ff")
def test_d_ff_is_not_ignored(submission, case):
    """A d_ff other than 8/3 d_model is used or refused with an error; it never gives a wrong result.

    Asked: the signature of run_swiglu, whose weights have d_ff rows or columns.
    """
    try:
        output = submission.run_swiglu(**case.inputs)
    except Exception as error:
        if is_refusal(error):
            return
        raise
    case.check(output)


@pytest.mark.advice
@pytest.mark.cases("other_d_ff")
def test_any_d_ff(submission, case):
    """The hidden dimension may have any size d_ff.

    Asked: the signature of run_swiglu; the assignment's text says 8/3 d_model, a multiple of 64.
    """
    case.check(submission.run_swiglu(**case.inputs))


@pytest.mark.advice
@pytest.mark.cases("shapes")
def test_any_leading_dimensions(submission, case):
    """The input may have any number of leading dimensions, or none; every vector is treated alike.

    Asked: the "..." in the signature of run_swiglu; the assignment itself uses [batch, sequence, d_model] only.
    """
    case.check(submission.run_swiglu(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("silu")
def test_silu(submission, case):
    """SiLU multiplies every number by its sigmoid.

    Asked: the signature of run_silu; the assignment's text has SiLU only inside SwiGLU.
    """
    case.check(of_silu(submission, "run_silu", case.inputs))


@pytest.mark.edge
@pytest.mark.cases("silu_far_out")
def test_silu_far_from_zero(submission, case):
    """SiLU stays finite for every finite number: large numbers stay as they are, very negative ones give 0.

    Asked: plain safety: the assignment recommends torch.sigmoid for its numerical stability.
    """
    case.check(of_silu(submission, "run_silu", case.inputs))


@pytest.mark.edge
@pytest.mark.cases("strided")
def test_strided_input(submission, case):
    """The layout of the input in memory does not matter.

    Asked: plain safety: a tensor is its values.
    """
    case.check(submission.run_swiglu(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("dtypes")
def test_dtype(submission, case):
    """A float64, float16 or bfloat16 SwiGLU returns results of that dtype, as precise as it allows.

    Asked: the parameter `dtype` of its Linear layers.
    """
    case.check(submission.in_dtype(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """SwiGLU returns a new tensor and does not modify its input.

    Asked: plain safety: inputs belong to the caller.
    """
    case.check(inputs_after(submission, case))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients flow through both branches of the network to its input.

    Asked: what comes before the layer must be trained, too.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("silu_gradients", "silu_untouched")
def test_silu_in_training(submission, case):
    """Gradients flow through SiLU, and its input is not modified.

    Asked: what comes before it must be trained, too.
    """
    case.check(of_silu(submission, case.operation, case.inputs))


@pytest.mark.edge
@pytest.mark.cases("weight_gradients")
def test_weights_learn(submission, case):
    """The gradient of the output reaches all three weights.

    Asked: the weights of Linear layers are trained.
    """
    check_parameter_gradients(case, submission.parameter_gradients(**case.inputs))


@pytest.mark.edge
def test_parameters(submission):
    """A new SwiGLU has three weights and no biases: w1 and w3 of shape [d_ff, d_model], w2 of [d_model, d_ff].

    Asked: problem positionwise_feedforward, the shapes of W1, W2 and W3.
    """
    new_swiglu(submission).check_registered(WEIGHTS)


@pytest.mark.edge
def test_initial_weights(submission):
    """The three weights are initialised with Linear's variance, and differ from each other.

    Asked: section "parameter initialization".
    """
    check_own_start(submission, new_swiglu(submission), WEIGHTS, made_of=["Linear"])


@pytest.mark.edge
@pytest.mark.own_adapter
def test_device_and_dtype(submission):
    """A new SwiGLU has its weights on the requested device and in the requested dtype.

    Asked: the parameters `device` and `dtype` of its Linear layers.
    """
    check_placement(submission, "get_swiglu_module", {"d_model": D_MODEL, "d_ff": D_FF}, "a new SwiGLU")
