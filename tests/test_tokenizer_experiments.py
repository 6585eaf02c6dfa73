"""Figures about tokenizers in `answers.toml`, measured again with the tokenizers they belong to."""

import pytest

from grader.artifacts.vocabulary import Vocabulary, read_vocabulary, vocabulary_from
from grader.cases import assets

PILE_BYTES = (825e9, 825 * 2**30)
PLAUSIBLE_BYTES_PER_SECOND = (1e3, 1e11)  # from the slowest loop in Python to a cluster


@pytest.fixture(scope="module")
def made():
    """Tokenizers that were trained for this file, so that each is trained once."""
    return {}


@pytest.fixture
def stories(submission, answers, made):
    """The tokenizer for stories."""
    return tokenizer(submission, answers, "train_bpe_tinystories", "stories.txt", made)


@pytest.fixture
def english(submission, answers, made):
    """The other tokenizer."""
    return tokenizer(submission, answers, "train_bpe_expts_owt", "english.txt", made)


def tokenizer(submission, answers, run: str, text: str, made: dict[str, Vocabulary]) -> Vocabulary:
    if answers.choice("tokenizers", ("runs", "kit")) == "runs":
        return read_vocabulary(submission.files, f"runs/{run}")
    if text not in made:
        corpus = assets.read(f"text/{text}")
        trained = submission.train_bpe(corpus=corpus, vocab_size=1000, special_tokens=["<|endoftext|>"])
        made[text] = vocabulary_from(f"this submission's train_bpe, on {text},", trained)
    return made[text]


@pytest.mark.decisive
def test_compression_at_home(answers, stories, english):
    """Each tokenizer compresses its own kind of text as the answers say.

    Asked: problem tokenizer_experiments (a).
    """
    answers.close("stories_bytes_per_token", stories.bytes_per_token(assets.text("stories_valid.txt")))
    answers.close("english_bytes_per_token", english.bytes_per_token(assets.text("english_small.txt")))


@pytest.mark.decisive
def test_compression_abroad(answers, stories):
    """The tokenizer for stories compresses other text as the answer says.

    Asked: problem tokenizer_experiments (b).
    """
    answers.close("crossed_bytes_per_token", stories.bytes_per_token(assets.text("english_small.txt")))


def test_time_for_the_pile(answers, for_staff):
    """The time for the Pile follows from the throughput.

    Asked: problem tokenizer_experiments (c).
    """
    answers.pass_on(for_staff, "what_happens", "why_uint16")
    speed, hours = answers.number("bytes_per_second"), answers.number("hours_for_the_pile")
    low, high = PLAUSIBLE_BYTES_PER_SECOND
    assert low <= speed <= high, f"bytes_per_second: {speed:g} is no plausible throughput; the unit is bytes a second"
    needed = [size / speed / 3600 for size in PILE_BYTES]
    assert 0.95 * min(needed) <= hours <= 1.05 * max(needed), (
        f"hours_for_the_pile: at {speed:g} bytes a second, 825 GB do not take {hours:g} hours"
    )


def test_sixteen_bits(answers, stories, english):
    """uint16 holds every id of these vocabularies, at two bytes per token.

    Asked: problem tokenizer_experiments (d).
    """
    given = answers.number("ids_of_uint16")
    assert given == 2**16, f"ids_of_uint16: 16 bits do not make {given:g} different numbers"
    size = max(len(stories.tokens), len(english.tokens))
    given = answers.number("largest_vocabulary")
    assert given == size, f"largest_vocabulary: the larger tokenizer has {size} tokens, not {given:g}"
    assert size <= 2**16, f"a vocabulary of {size} tokens does not fit into uint16"
    answers.close("uint16_bytes", 2 * stories.count(assets.text("stories_valid.txt")))
