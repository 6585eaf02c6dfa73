"""`runs/no_pos_emb`: what becomes of the model when it is told no positions."""

import pytest

from grader.artifacts.claims import check_architecture, check_curves
from grader.artifacts.run import best_of


def test_the_model_is_what_it_is_said_to_be(runs):
    """The model has no position embedding, and is like the usual one in everything else."""
    check_architecture(runs, position="none")


def test_the_curves_belong_to_the_configurations(runs, remarks):
    """Steps, tokens and learning rates follow from the configuration, and one run at least got to its end."""
    remarks("comment")
    check_curves(runs)


@pytest.mark.decisive
def test_the_final_loss_is_that_of_the_weights(runs, reference):
    """The last validation loss of the curve is what the weights have in a model without RoPE."""
    reference.check_claimed_losses(runs)


@pytest.mark.decisive
def test_the_weights_are_at_home_in_this_architecture(runs, reference):
    """In the usual architecture, the same weights have clearly another loss."""
    reference.check_at_home(best_of(runs), position="rope")
