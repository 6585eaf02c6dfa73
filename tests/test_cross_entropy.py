"""Cross-entropy: the mean over all rows of -log softmax(logits)[target]."""

import pytest
import torch

from grader.checks.untouched import inputs_after


def number(loss):
    """A loss, whatever the shape in which its one value comes; that it should have none is a claim of its own."""
    return loss.reshape(()) if isinstance(loss, torch.Tensor) and loss.numel() == 1 else loss


@pytest.mark.cases
def test_matches_reference(submission, case):
    """Cross-entropy is the mean of -log softmax(logits)[target] over the batch.

    Asked: problem cross_entropy, its formula, averaged over the batch.
    """
    case.check(number(submission.run_cross_entropy(**case.inputs)))


@pytest.mark.cases("large")
def test_large_logits(submission, case):
    """With logits in the thousands, neither exp overflows nor log gets zero.

    Asked: problem cross_entropy, subtract the largest logit and cancel log and exp.
    """
    case.check(number(submission.run_cross_entropy(**case.inputs)))


@pytest.mark.cases("many")
def test_large_batches(submission, case):
    """Batch and vocabulary may be as large as in real training.

    Asked: problem cross_entropy: the formula holds for every size.
    """
    case.check(number(submission.run_cross_entropy(**case.inputs)))


@pytest.mark.edge
@pytest.mark.cases("batched")
def test_more_batch_dimensions(submission, case):
    """With two batch dimensions, such as batch and sequence, the mean goes over both.

    Asked: problem cross_entropy, any additional batch dimensions come before the vocabulary.
    """
    case.check(number(submission.run_cross_entropy(**case.inputs)))


@pytest.mark.advice
@pytest.mark.cases("further_dimensions")
def test_any_number_of_batch_dimensions(submission, case):
    """With three batch dimensions, the loss is still one number: the mean over all of them.

    Asked: nowhere for more than batch and sequence, which are all that a language model has.
    """
    case.check(number(submission.run_cross_entropy(**case.inputs)))


@pytest.mark.advice
@pytest.mark.cases
def test_scalar(submission, case):
    """The loss is a tensor without dimensions.

    Asked: the annotation Float[Tensor, ""] of run_cross_entropy.
    """
    case.check(submission.run_cross_entropy(**case.inputs))


@pytest.mark.advice
@pytest.mark.cases("dtypes")
def test_dtype(submission, case):
    """Logits may be float64, float16 or bfloat16; the loss has the same dtype or a more precise one.

    Asked: models are built with a `dtype`; the assignment says nothing of the loss's.
    """
    loss = number(submission.run_cross_entropy(**case.inputs))
    logits = case.inputs["inputs"]
    if isinstance(loss, torch.Tensor) and torch.promote_types(loss.dtype, logits.dtype) == loss.dtype:
        loss = loss.to(logits.dtype)
    case.check(loss)


@pytest.mark.edge
@pytest.mark.cases("gradient")
def test_gradient(submission, case):
    """The gradient with respect to the logits is (softmax - one-hot target) / batch size.

    Asked: the loss is what the model is trained by.
    """
    case.check(submission.gradients(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("aliasing")
def test_inputs_stay_as_they_are(submission, case):
    """Logits and targets are not modified.

    Asked: plain safety: inputs belong to the caller.
    """
    found = inputs_after(submission, case)
    if isinstance(found, dict) and "output" in found:
        found = found | {"output": number(found["output"])}
    case.check(found)
