"""`runs/generate`: a text that the model wrote, with the model."""

import pytest

from grader.artifacts.claims import check_not_copied, check_sample


def test_the_text_is_that_of_the_ids(runs, remarks):
    """The text matches its token ids; there are 256 of them, or the last one ends the text.

    Asked: problem generate: 256 tokens of text, or up to the first end-of-text token.
    """
    remarks("comment")
    check_sample(runs[0])


@pytest.mark.decisive
def test_the_model_wrote_it(runs, reference):
    """According to the submitted model, the text is neither noise nor one repeated token.

    Asked: problem generate: text that the trained model generates.
    """
    reference.check_plausible(runs[0])


@pytest.mark.edge
def test_it_is_not_copied(runs):
    """The text is not copied from the training text.

    Asked: problem generate: text that the model generates.
    """
    check_not_copied(runs[0])
