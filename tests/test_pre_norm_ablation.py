"""`runs/pre_norm_ablation`: what becomes of the model when the sums are normalised instead."""

import pytest

from grader.artifacts.claims import check_architecture, check_curves
from grader.artifacts.run import best_of


def test_the_model_is_what_it_is_said_to_be(runs):
    """The model is a post-norm Transformer and otherwise the usual one.

    Asked: problem pre_norm_ablation: the block is a post-norm one.
    """
    check_architecture(runs, norm="post")


def test_the_curves_belong_to_the_configurations(runs, remarks):
    """Steps, tokens and learning rates match the configuration, and at least one run finished.

    Asked: problem experiment_log and the experiment's own deliverable: learning curves.
    """
    remarks("comment")
    check_curves(runs)


@pytest.mark.decisive
def test_the_final_loss_is_that_of_the_weights(runs, reference):
    """The last validation loss is that of the weights in a post-norm model.

    Asked: the experiment's deliverable: a run that was made, and what came of it.
    """
    reference.check_claimed_losses(runs)


@pytest.mark.decisive
def test_the_weights_are_at_home_in_this_architecture(runs, reference):
    """In the usual architecture, the same weights have a clearly different loss.

    Asked: the ablation's deliverable: a model trained in that architecture.
    """
    reference.check_at_home(best_of(runs), norm="pre")


def test_the_curve_begins_as_a_training_does(runs, reference):
    """The curve starts about as a training run with this configuration does, if the kit has the text.

    Asked: the experiment's deliverable: the learning curve of that run.
    """
    reference.check_beginning(runs)
