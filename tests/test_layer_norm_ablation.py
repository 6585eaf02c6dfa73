"""`runs/layer_norm_ablation`: what becomes of the model without RMSNorm."""

import pytest

from grader.artifacts.claims import check_architecture, check_curves


def test_the_model_is_what_it_is_said_to_be(runs):
    """The model has no RMSNorm: the configuration says so, and the weights contain no gains.

    Asked: problem layer_norm_ablation: all RMSNorms are removed.
    """
    check_architecture(runs, norm="none")


def test_the_curves_belong_to_the_configurations(runs, remarks):
    """Steps, tokens and learning rates match the configuration, and at least one run finished.

    Asked: problem experiment_log and the experiment's own deliverable: learning curves.
    """
    remarks("comment")
    check_curves(runs)


@pytest.mark.decisive
def test_the_final_loss_is_that_of_the_weights(runs, reference):
    """The last validation loss is that of the weights in a model without RMSNorm, and it beats a bigram model.

    Asked: the experiment's deliverable: a run that was made, and what came of it.
    """
    reference.check_claimed_losses(runs)


def test_the_curve_begins_as_a_training_does(runs, reference):
    """The curve starts about as a training run with this configuration does, if the kit has the text.

    Asked: the experiment's deliverable: the learning curve of that run.
    """
    reference.check_beginning(runs)
