"""`runs/train_bpe_expts_owt`: a tokenizer for text from the web."""

import pytest

from grader.artifacts.claims import check_of_the_web, none_of
from grader.artifacts.run import kit_text
from grader.artifacts.vocabulary import read_training, read_vocabulary

FOLDER = "runs/train_bpe_expts_owt"
SIZE = 32_000


@pytest.fixture
def training(submission):
    """What `config.toml` says about the training."""
    return read_training(submission.files, FOLDER)


@pytest.fixture
def vocabulary(submission):
    """The tables of `vocab.json` and `merges.txt`."""
    return read_vocabulary(submission.files, FOLDER)


def test_the_tables_are_those_of_a_training(training, vocabulary):
    """The vocabulary is the special tokens, the 256 bytes and what the merges make, with ids in that order."""
    none_of(vocabulary.faults())
    assert set(training.special_tokens) == set(vocabulary.special_tokens), (
        f"config.toml lists the special tokens {list(training.special_tokens)}, the vocabulary has "
        f"{vocabulary.special_tokens[:5]}"
    )
    size = len(vocabulary.tokens)
    own_text = kit_text(training.text) is None
    assert size == training.vocab_size or (size < training.vocab_size and not own_text), (
        f"vocab.json has {size} tokens, config.toml says {training.vocab_size}"
    )
    assert size == SIZE or not own_text, f"the assignment asks for {SIZE:,} tokens; vocab.json has {size:,}"


@pytest.mark.decisive
def test_the_merges_are_learnt_from_the_text(training, vocabulary, reference):
    """The merges are what BPE gives: the same again on a text of the kit, else those of such text."""
    text = kit_text(training.text)
    if text is None:
        check_of_the_web(vocabulary)
        return
    tokens, merges = reference.train_bpe(text.encode(), training.vocab_size, list(training.special_tokens))
    wrong = next((n for n, (a, b) in enumerate(zip(vocabulary.merges, merges, strict=False)) if a != b), None)
    assert wrong is None, (
        f"merge {wrong + 1} is {vocabulary.merges[wrong]}; training on {training.text} gives {merges[wrong]}"
    )
    assert len(vocabulary.merges) == len(merges), f"{len(vocabulary.merges)} merges, where there are {len(merges)}"
    assert set(vocabulary.tokens.values()) == tokens, "the tokens are not those that the training gives"


def test_the_longest_token(training, vocabulary, remarks):
    """The longest token is the one that is named."""
    remarks("comment")
    longest = max(len(token) for token in vocabulary.tokens.values())
    candidates = {token for token in vocabulary.tokens.values() if len(token) == longest}
    named = training.longest_token
    spelt = {named.encode("utf-8", "replace"), f" {named}".encode("utf-8", "replace")}
    assert candidates & spelt, f"longest_token is {named[:60]!r}; there are tokens of {longest} bytes"
