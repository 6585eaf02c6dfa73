"""What keeps logits in their place: soft-cap, z-loss, smoothed labels, and a tied embedding with its scale."""

import pytest
import torch

from grader.checks.refusals import check_refused
from grader.checks.untouched import check_untouched

pytestmark = pytest.mark.own_adapter


@pytest.mark.cases("soft_cap")
def test_soft_cap(submission, case):
    """A soft-cap is cap tanh(x / cap): small numbers stay, large ones come near the cap.

    Asked: problem stability, the formula of soft_cap.
    """
    case.check(submission.run_soft_cap(**case.inputs))


@pytest.mark.cases("capped_attention")
def test_capped_attention(submission, case):
    """Attention caps its scores after they are divided by sqrt(d_k).

    Asked: problem stability, the formula of soft_cap_attention.
    """
    case.check(submission.run_soft_cap_attention(**case.inputs))


@pytest.mark.cases("masked_attention")
def test_masked_attention(submission, case):
    """The mask comes after the cap, so that what is masked has no weight.

    Asked: problem stability, "capped, and not masked yet".
    """
    case.check(submission.run_soft_cap_attention(**case.inputs))


@pytest.mark.cases("z_loss")
def test_z_loss(submission, case):
    """The z-loss is the mean of the squares of log Z, times its coefficient.

    Asked: problem stability, the formula of z_loss.
    """
    case.check(submission.run_z_loss(**case.inputs))


@pytest.mark.cases("z_loss_far")
def test_z_loss_of_large_logits(submission, case):
    """The z-loss of logits in the thousands is large, and finite.

    Asked: problem stability, finite for logits of any size.
    """
    case.check(submission.run_z_loss(**case.inputs))


@pytest.mark.cases("smoothing")
def test_smoothing(submission, case):
    """Smoothed labels give every class, the target too, an equal part of the smoothing.

    Asked: problem stability, the formula of smoothed_cross_entropy.
    """
    case.check(submission.run_smoothed_cross_entropy(**case.inputs))


@pytest.mark.cases("smoothing_far")
def test_smoothing_of_large_logits(submission, case):
    """Smoothed cross-entropy is finite for logits in the thousands.

    Asked: problem stability, finite for logits of any size.
    """
    case.check(submission.run_smoothed_cross_entropy(**case.inputs))


@pytest.mark.cases("embedding")
def test_tied_embedding(submission, case):
    """The embedding is a row of the table, times sqrt(d_model) where it is scaled.

    Asked: problem stability, the formula of TiedEmbedding.
    """
    case.check(submission.run_tied_embedding(**case.inputs))


@pytest.mark.cases("logits")
def test_tied_logits(submission, case):
    """Logits are dot products with the rows of the same table, and are not scaled.

    Asked: problem stability, the formula of TiedEmbedding.
    """
    case.check(submission.run_tied_logits(**case.inputs))


@pytest.mark.cases("tied_gradient")
def test_tied_gradient(submission, case):
    """The table gets the gradients of both of its uses.

    Asked: problem stability, one parameter with the gradients of both uses.
    """
    case.check(submission.run_tied_gradient(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradients")
def test_gradients(submission, case):
    """Gradients are those of the formulas, through every part of them.

    Asked: what comes before must be trained, too.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """The inputs are afterwards what they were.

    Asked: plain safety: inputs belong to the caller.
    """
    check_untouched(submission, case, *case.inputs["inputs"])


@pytest.mark.edge
def test_impossible_settings(submission):
    """A cap of 0, a coefficient below 0 and a smoothing of 1 raise ValueError, whose message has the number.

    Asked: the documentation of soft_cap, z_loss and smoothed_cross_entropy.
    """
    logits = torch.tensor([[0.5, -1.0, 2.0]])
    assert submission.run_soft_cap(in_features=logits, cap=5.0).shape == (1, 3)
    check_refused(submission, "run_soft_cap", {"in_features": logits, "cap": -2.5}, "cap = -2.5", -2.5)
    check_refused(submission, "run_z_loss", {"logits": logits, "coefficient": -0.25}, "coefficient = -0.25", -0.25)
    given = {"logits": logits, "targets": torch.tensor([2]), "smoothing": 1.5}
    check_refused(submission, "run_smoothed_cross_entropy", given, "smoothing = 1.5", 1.5)
