"""`runs/train_bpe_tinystories`: a tokenizer for simple stories."""

import pytest

from grader.artifacts.claims import check_learnt, check_longest_token, check_of_stories, check_tables
from grader.artifacts.vocabulary import read_training, read_vocabulary

FOLDER = "runs/train_bpe_tinystories"
SIZE = 10_000


@pytest.fixture
def training(submission):
    """What `config.toml` says about the training."""
    return read_training(submission.files, FOLDER)


@pytest.fixture
def vocabulary(submission):
    """The tables of `vocab.json` and `merges.txt`."""
    return read_vocabulary(submission.files, FOLDER)


def test_the_tables_are_those_of_a_training(training, vocabulary):
    """The vocabulary holds the special tokens, the 256 bytes and the merged tokens, with ids in that order.

    Asked: problem train_bpe_tinystories: save the vocabulary and the merges, as problem train_bpe gives them.
    """
    check_tables(training, vocabulary, SIZE)


@pytest.mark.decisive
def test_the_merges_are_learnt_from_the_text(training, vocabulary, reference):
    """The merges are those of BPE: exactly reproduced on a text of the kit, otherwise typical of such text.

    Asked: problem train_bpe_tinystories: train on its text, as problem train_bpe says.
    """
    check_learnt(training, vocabulary, reference.train_bpe, otherwise=check_of_stories)


def test_the_longest_token(training, vocabulary, remarks):
    """The longest token, not counting special tokens, is the one that the configuration names.

    Asked: problem train_bpe_tinystories: which token is the longest?
    """
    remarks("comment")
    check_longest_token(training, vocabulary)
