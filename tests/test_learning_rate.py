"""`runs/learning_rate`: the same run with several learning rates."""

import pytest

from grader.artifacts.claims import CLEARLY, check_curves, check_sweep, is_worse
from grader.artifacts.run import best_of


def test_at_least_three_rates(runs):
    """There are runs with at least three learning rates, and nothing else differs between them.

    Asked: problem learning_rate: a sweep over learning rates.
    """
    check_sweep(runs, "max_lr", may_differ=("min_lr", "warmup_steps"))


def test_the_curves_belong_to_the_configurations(runs, remarks):
    """Steps, tokens and learning rates of every run match its configuration, and no two curves are the same.

    Asked: problem experiment_log and the experiment's own deliverable: learning curves.
    """
    remarks("comment")
    check_curves(runs)


@pytest.mark.decisive
def test_the_final_losses_are_those_of_the_weights(runs, reference):
    """Every run's last validation loss is that of its weights, and the best run beats a bigram model.

    Asked: the experiment's deliverable: runs that were made, and what came of them.
    """
    reference.check_claimed_losses(runs)


def test_the_highest_rate_is_too_high(runs):
    """The highest learning rate diverges, or ends clearly worse than the best one.

    Asked: problem learning_rate: at least one of the runs diverges.
    """
    best, highest = best_of(runs), max(runs, key=lambda run: run.config.max_lr)
    assert is_worse(highest, best), (
        f"max_lr = {highest.config.max_lr:g} ends at {highest.final_loss:.3f}, the best run at {best.final_loss:.3f}: "
        f"try higher rates until one diverges, or is worse by {CLEARLY} at least"
    )


def test_the_curve_begins_as_a_training_does(runs, reference):
    """The curve starts about as a training run with this configuration does, if the kit has the text.

    Asked: the experiment's deliverable: the learning curve of that run.
    """
    reference.check_beginning(runs)
