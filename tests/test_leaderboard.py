"""`runs/leaderboard`: the lowest loss within an hour and a half.

A person gives the points; this is what a machine can say about the claim.
"""

import pytest

from grader.artifacts.claims import check_curves, none_of
from grader.artifacts.run import best_of, faults_of_weights

SECONDS = 5400


def test_the_curve_belongs_to_the_configuration(runs, remarks):
    """Steps, tokens and learning rates follow from the configuration."""
    remarks("comment")
    check_curves(runs)


def test_within_the_time(runs):
    """The metrics end within an hour and a half."""
    seconds = best_of(runs).records[-1].seconds
    assert seconds <= SECONDS, f"the last record is at {seconds:,.0f} s; {SECONDS:,} are allowed"


def test_the_weights_are_those_of_the_configuration(runs):
    """The weights are those of a model with this configuration."""
    none_of(faults_of_weights(best_of(runs)))


@pytest.mark.decisive
def test_the_final_loss_is_that_of_the_weights(runs, reference):
    """The last validation loss of the curve is what the weights have."""
    reference.check_claimed_losses(runs)
