"""train_bpe: merge the most frequent pair of neighbours, again and again, until the vocabulary is full."""

import pytest

from grader.cases.compare import Mismatch
from grader.cases.fresh_text import shuffled_text, with_letters_exchanged


def check(case, actual):
    """Raise `Mismatch` where `actual` is not the case's output, with the two merges that part in a note."""
    try:
        case.check(actual)
    except Mismatch as mismatch:
        pairs = enumerate(zip(case.expected["merges"], actual["merges"], strict=False))
        if parting := next(((i, want, got) for i, (want, got) in pairs if want != got), None):
            i, want, got = parting
            mismatch.add_note(f"merge number {i + 1} should join {want}, and joins {got}; the merges before it agree")
        raise


@pytest.mark.cases
def test_merges_of_english_text(submission, case):
    """The most frequent pair of each round is merged, and vocabulary and merges come out as specified."""
    check(case, submission.train_bpe(**case.inputs))


@pytest.mark.cases("documents")
def test_special_tokens_separate_documents(submission, case):
    """Special tokens are no text: nothing is learnt from them, and no merge reaches from one document into the next."""
    check(case, submission.train_bpe(**case.inputs))


@pytest.mark.cases("ties")
def test_ties_go_to_the_greater_pair_of_bytes(submission, case):
    """Of equally frequent pairs, the one that is greatest as a pair of bytes objects is merged."""
    check(case, submission.train_bpe(**case.inputs))


@pytest.mark.cases("repeats")
def test_counts_around_repeated_pairs(submission, case):
    """Counts stay right in words such as "aaaa" and "preceded", where merged pairs overlap or stand side by side."""
    check(case, submission.train_bpe(**case.inputs))


@pytest.mark.cases("unicode")
def test_characters_of_several_bytes(submission, case):
    """Merges join bytes, not characters, so they work for every script."""
    check(case, submission.train_bpe(**case.inputs))


@pytest.mark.cases("pretokens")
def test_pretokens_follow_the_pattern(submission, case):
    """Text is cut by GPT-2's pattern, contractions, digits and white space included; merges stay inside."""
    check(case, submission.train_bpe(**case.inputs))


@pytest.mark.cases("sizes")
def test_number_of_merges(submission, case):
    """There are vocab_size - 256 - len(special_tokens) merges, be it none or one."""
    check(case, submission.train_bpe(**case.inputs))


def test_speed(yardstick):
    """Training looks only at what a merge changes, so 130 kB of English and 500 tokens take no longer than 1.5 s."""

    # On a slow or busy machine the reference is slow as well, and the seconds alone decide nothing.
    def draw(chance):
        corpus = with_letters_exchanged(shuffled_text(chance.getrandbits(32), 130_000), chance.getrandbits(32))
        return {"corpus": corpus.encode(), "vocab_size": 500, "special_tokens": ["<|endoftext|>"]}

    student_s, reference_s = yardstick("train_bpe", draw)
    assert student_s <= 1.5 or student_s <= 30 * reference_s, (
        f"training took {student_s:.2f} s, {student_s / reference_s:.0f} times as long as the reference"
    )


@pytest.mark.edge
@pytest.mark.cases("no_special_tokens")
def test_without_special_tokens(submission, case):
    """An empty list of special tokens is allowed."""
    check(case, submission.train_bpe(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("exhausted")
def test_ends_when_no_pair_is_left(submission, case):
    """When every pre-token is one token, training ends with a smaller vocabulary."""
    check(case, submission.train_bpe(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("empty")
def test_no_text(submission, case):
    """A file without any text gives the special tokens, the 256 bytes and no merges."""
    check(case, submission.train_bpe(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("line_ends")
def test_line_ends_are_kept(submission, case):
    """Carriage returns are text: "\\r\\n" is not read as "\\n"."""
    check(case, submission.train_bpe(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("special_forms")
def test_any_string_may_be_a_special_token(submission, case):
    """Special tokens may hold regex characters, spaces or each other; where several fit, the longest counts."""
    check(case, submission.train_bpe(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("path_as_str")
def test_path_as_string(submission, case):
    """input_path may be a str as well as a pathlib.Path."""
    check(case, submission.train_bpe(**case.inputs))
