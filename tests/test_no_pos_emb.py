"""`runs/no_pos_emb`: what becomes of the model when it is told no positions."""

import pytest

from grader.artifacts.claims import CLEARLY, check_architecture, check_curves
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
    reference.check_claimed_loss(best_of(runs))


@pytest.mark.decisive
def test_the_weights_are_at_home_in_this_architecture(runs, reference):
    """In the usual architecture, the same weights have clearly another loss."""
    run = best_of(runs)
    here, there = reference.validation_loss(run), reference.validation_loss(run, position="rope")
    assert abs(here - there) >= CLEARLY, (
        f"{run.folder}: these weights have a loss of {here:.3f} with position = {run.config.position!r}, "
        f"of {there:.3f} with 'rope'; trained with one of them, they should not fit the other"
    )
