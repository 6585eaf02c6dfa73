"""Cross-entropy: the mean over all rows of -log softmax(logits)[target]."""

import pytest


@pytest.mark.cases
def test_matches_reference(submission, case):
    """Cross-entropy is the mean of -log softmax(logits)[target] over the batch."""
    case.check(submission.run_cross_entropy(**case.inputs))


@pytest.mark.cases("large")
def test_large_logits(submission, case):
    """Logits of thousands neither overflow in exp nor give the logarithm of zero."""
    case.check(submission.run_cross_entropy(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("batched")
def test_more_batch_dimensions(submission, case):
    """With more than one batch dimension, as in batch by sequence, the mean is over all of them."""
    case.check(submission.run_cross_entropy(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("gradient")
def test_gradient(submission, case):
    """The gradient with respect to the logits is (softmax - one-hot target) / batch size."""
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("aliasing")
def test_inputs_stay_as_they_are(submission, case):
    """Logits and targets are not modified."""
    case.check(submission.inputs_after(**case.inputs))
