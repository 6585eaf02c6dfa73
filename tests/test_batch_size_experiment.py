"""`runs/batch_size_experiment`: the same model with several batch sizes."""

import pytest

from grader.artifacts.claims import check_curves, check_sweep

MAY_DIFFER = (
    *("steps", "warmup_steps", "max_lr", "min_lr"),
    *("accumulation_steps", "eval_every", "eval_batches"),
)
"""What goes with a batch size: learning rates are tuned anew, and fewer steps see as many tokens."""


def test_at_least_three_sizes(runs):
    """There are runs with at least three batch sizes, and nothing else differs between them.

    Asked: problem batch_size_experiment: several batch sizes, from 1 up to what memory allows.
    """
    check_sweep(runs, "batch_size", may_differ=MAY_DIFFER)


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


def test_small_and_large(runs):
    """The largest batch is at least eight times as large as the smallest.

    Asked: problem batch_size_experiment: small sizes, large ones, and some in between.
    """
    sizes = [run.config.batch_size for run in runs]
    assert max(sizes) >= 8 * min(sizes), f"the batch sizes go from {min(sizes)} to {max(sizes)} only"


def test_the_curve_begins_as_a_training_does(runs, reference):
    """The curve starts about as a training run with this configuration does, if the kit has the text.

    Asked: the experiment's deliverable: the learning curve of that run.
    """
    reference.check_beginning(runs)
