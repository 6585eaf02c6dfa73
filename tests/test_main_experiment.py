"""`runs/main_experiment`: the same architecture, trained on text from the web."""

import pytest

from grader.artifacts.claims import check_architecture, check_curves, check_sample
from grader.artifacts.run import best_of


def test_the_model_is_the_usual_one(runs):
    """The architecture is the assignment's, and the weights are those of the configuration."""
    check_architecture(runs)


def test_the_curve_belongs_to_the_configuration(runs, remarks):
    """Steps, tokens and learning rates follow from the configuration."""
    remarks("comment")
    check_curves(runs)


@pytest.mark.decisive
def test_the_final_loss_is_that_of_the_weights(runs, reference):
    """The last validation loss of the curve is what the weights have."""
    reference.check_claimed_losses(runs)


def test_the_text_is_the_models_own(runs, reference):
    """The generated text is that of its token ids, and to the model it is text like any other."""
    run = best_of(runs)
    check_sample(run)
    reference.check_plausible(run)
