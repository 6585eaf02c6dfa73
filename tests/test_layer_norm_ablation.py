"""`runs/layer_norm_ablation`: what becomes of the model without RMSNorm."""

import pytest

from grader.artifacts.claims import check_architecture, check_curves


def test_the_model_is_what_it_is_said_to_be(runs):
    """The model has no RMSNorm: the configuration says so, and no gains are among the weights."""
    check_architecture(runs, norm="none")


def test_the_curves_belong_to_the_configurations(runs, remarks):
    """Steps, tokens and learning rates follow from the configuration, and one run at least got to its end."""
    remarks("comment")
    check_curves(runs)


@pytest.mark.decisive
def test_the_final_loss_is_that_of_the_weights(runs, reference):
    """The last validation loss of the curve is what the weights have in a model without RMSNorm."""
    reference.check_claimed_losses(runs)
