"""train_bpe: merge the most frequent pair of neighbours, again and again, until the vocabulary is full.

Each claim looks at one thing. Only the first one, on English text, needs all of them.
"""

import collections
import itertools
import string
import time

import pytest

from grader.cases.compare import Mismatch, compare

END = "<|endoftext|>"


def check(case, actual):
    """Raise `Mismatch` where `actual` is not the case's output, with what is most telling in a note."""
    try:
        case.check(actual)
    except Mismatch as mismatch:
        for note in filter(None, (_counted(case, actual["merges"]), _parting(case, actual["merges"]))):
            mismatch.add_note(note)
        raise


def check_merges(case, actual, exactly=False):
    """Raise `Mismatch` where the merges are not those of the case, as far as both go or `exactly`.

    How many there must be, and what else the vocabulary holds, is a matter of another claim, and so is that pairs are
    tuples; but less than half of the merges is no answer.
    """
    want, got = case.expected["merges"], _as_tuples(actual["merges"])
    if len(got) != len(want) if exactly else 2 * len(got) < len(want):
        raise Mismatch(_counted(case, got), "output['merges']", "length", len(want), len(got))
    both = min(len(want), len(got))
    try:
        compare(want[:both], got[:both], where="output['merges']")
    except Mismatch as mismatch:
        if note := _parting(case, got):
            mismatch.add_note(note)
        raise


def _as_tuples(merges):
    return [tuple(pair) if isinstance(pair, list) else pair for pair in merges]


def _counted(case, merges):
    """How many merges there are and should be; empty where the number is right."""
    want = len(case.expected["merges"])
    size, special = case.inputs["vocab_size"], len(case.inputs["special_tokens"])
    if len(merges) == want:
        return ""
    made = f"{len(merges)} merges were made" if merges else "no merge was made: the list of merges is empty"
    if want < size - 256 - special:
        return f"{made}; after {want} no pair is left"
    return f"{made}; vocab_size = {size} leaves room for {want}, beside 256 bytes and {special} special tokens"


def _parting(case, merges):
    """Where the merges part from the right ones; empty where they do not."""
    pairs = enumerate(zip(case.expected["merges"], _as_tuples(merges), strict=False))
    parting = next(((i, want, got) for i, (want, got) in pairs if want != got), None)
    if parting is None:
        return ""
    i, want, got = parting
    return f"merge number {i + 1} should join {want}, and joins {got}{'; the merges before it agree' if i else ''}"


@pytest.mark.cases
def test_merges_of_english_text(submission, case):
    """The most frequent pair of each round is merged, and vocabulary and merges are as specified.

    Asked: problem train_bpe as a whole, on text such as people train on.
    """
    check(case, submission.train_bpe(**case.inputs))


@pytest.mark.cases("merges")
def test_most_frequent_pair_is_merged(submission, case):
    """Pairs are counted as often as their words occur, and counts are updated after each merge.

    Asked: handout, section 2.4, "compute BPE merges". No pairs are tied here, and no word has a letter twice.
    """
    check_merges(case, submission.train_bpe(**case.inputs))


@pytest.mark.cases("ties")
def test_ties_go_to_the_greater_pair_of_bytes(submission, case):
    """Of equally frequent pairs, the greatest as a pair of bytes objects is merged.

    Asked: handout, section 2.4: ties are broken by the lexicographically greater pair.
    """
    check_merges(case, submission.train_bpe(**case.inputs))


@pytest.mark.cases("repeats")
def test_counts_around_repeated_pairs(submission, case):
    """Counts stay right in words such as "aaaa" and "preceded", where merged pairs overlap or are side by side.

    Asked: handout, section 2.4: every occurrence of the pair is merged. No pairs are tied here.
    """
    check_merges(case, submission.train_bpe(**case.inputs))


@pytest.mark.cases("unicode")
def test_characters_of_several_bytes(submission, case):
    """Merges join bytes, not characters, so they work for every script.

    Asked: problem train_bpe: a byte-level tokenizer, whose first tokens are the 256 bytes.
    """
    check_merges(case, submission.train_bpe(**case.inputs))


@pytest.mark.cases("pretokens")
def test_pretokens_follow_the_pattern(submission, case):
    """GPT-2's pattern splits the text: contractions, letters and digits of all scripts, signs, white space.

    Asked: handout, section 2.4: pre-tokenisation by the given regular expression.
    """
    check_merges(case, submission.train_bpe(**case.inputs))


@pytest.mark.cases("documents")
def test_special_tokens_separate_documents(submission, case):
    """Special tokens are not text: nothing is learnt from them, and no merge crosses from one document to the next.

    Asked: handout, section 2.5: special tokens are removed before pre-tokenisation, and nothing merges across them.
    """
    check_merges(case, submission.train_bpe(**case.inputs))


@pytest.mark.cases("one_document")
def test_a_long_document_is_cut_nowhere(submission, case):
    """A document of 270 kB counts as a whole: however the file is read in parts, no word is cut in two.

    Asked: handout, section 2.5: chunks end at the beginning of a special token, and nowhere else.
    """
    check_merges(case, submission.train_bpe(**case.inputs))


@pytest.mark.cases("many_documents")
def test_every_document_counts_once(submission, case):
    """If a file of many documents is read in parts, none is cut in two, lost or counted twice.

    Asked: handout, section 2.5: chunks end at the beginning of a special token; the result is that of the whole file.
    """
    check_merges(case, submission.train_bpe(**case.inputs))


@pytest.mark.cases("vocabulary")
def test_vocabulary_has_the_size_asked_for(submission, case):
    """The vocabulary holds the special tokens, the 256 bytes and as many merges as fit into vocab_size.

    Asked: problem train_bpe: vocab_size counts the bytes, the merges and the special tokens.
    """
    answer = submission.train_bpe(**case.inputs)
    check(case, {**answer, "merges": _as_tuples(answer["merges"])})


def test_speed(submission, chance):
    """Training takes less time than counting and rewriting all words for each merge.

    Asked: problem train_bpe, and the public suite's limit of time, half of what that takes. No seconds are judged, but
    how many times longer a merge takes than counting once, on this machine and in the same minute: counting and
    rewriting everything takes 3 to 4 times as long, and whoever does clearly less has met the limit.
    """
    assert_merges_are_quick(submission, chance, allowed=2.5)


@pytest.mark.edge
def test_merges_look_at_what_they_change(submission, chance):
    """A merge costs less than counting all pairs once: it looks only at the words that contain the pair.

    Asked: handout, section 2.5: index the counts of pairs and update them incrementally. Judged as in test_speed.
    """
    assert_merges_are_quick(submission, chance, allowed=0.75)


_FEW_MERGES, _MANY_MERGES = 2, 34


def assert_merges_are_quick(submission, chance, allowed):
    """Assert that a merge takes at most `allowed` times as long as counting the pairs of all words once.

    The text has two parts without a letter in common: words of two letters, which all merges are in, and 8,000 others,
    which a merge has no reason to look at. The difference between few merges and many is what merges cost; start-up,
    reading and the first count are in both. The least of several times counts, of processor time where it is known.
    Whether the merges are right is a matter of the other claims.
    """
    corpus, idle = _text_of_two_parts(chance)
    count_s, seconds = [], {_FEW_MERGES: [], _MANY_MERGES: []}
    for turn in range(5):
        for merges in (_MANY_MERGES, _FEW_MERGES):
            inputs = {"corpus": corpus.encode(), "vocab_size": 257 + merges, "special_tokens": [END]}
            answer, taken = submission.timed("train_bpe", inputs)
            seconds[merges].append(taken)
            count_s.append(_seconds_to_count(idle))
            if merges == _MANY_MERGES:
                assert 2 * len(answer["merges"]) >= merges, (
                    f"{len(answer['merges'])} merges were made where {merges} were asked for, so none can be timed"
                )
                if taken <= allowed * merges * min(count_s):
                    return  # quick as a whole
        cost = (min(seconds[_MANY_MERGES]) - min(seconds[_FEW_MERGES])) / (_MANY_MERGES - _FEW_MERGES)
        if turn >= 2 and cost <= allowed * min(count_s):
            return
    assert cost <= allowed * min(count_s), (
        f"with {len(idle):,} words that no merge changes, each merge took {1000 * cost:.1f} ms, "
        f"{cost / min(count_s):.3g} times as long as counting their pairs once; {allowed:g} times is allowed"
    )


def _text_of_two_parts(chance):
    """A text, and those of its words that none of the first merges is in."""
    letters = chance.sample(string.ascii_lowercase, 26)
    idle = sorted({"".join(chance.sample(letters[8:], 12)) for _ in range(8000)})
    pairs = chance.sample(list(itertools.permutations(letters[:8], 2)), _MANY_MERGES + 2)
    lines = idle + [a + b for i, (a, b) in enumerate(pairs) for _ in range(600 + 20 * i)]
    chance.shuffle(lines)
    return "\n".join(lines) + "\n", idle


def _seconds_to_count(words):
    split = [(tuple(word), 1) for word in words]
    start = time.process_time()
    counts = collections.defaultdict(int)
    for word, times in split:
        for pair in itertools.pairwise(word):
            counts[pair] += times
    return time.process_time() - start


@pytest.mark.edge
@pytest.mark.cases("no_special_tokens")
def test_without_special_tokens(submission, case):
    """An empty list of special tokens is allowed.

    Asked: problem train_bpe: special_tokens is a list of strings, and no least number of them is named.
    """
    check_merges(case, submission.train_bpe(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("exhausted")
def test_ends_when_no_pair_is_left(submission, case):
    """When every pre-token is one token, training ends with a smaller vocabulary.

    Asked: problem train_bpe: vocab_size is the *largest* size of the vocabulary.
    """
    check_merges(case, submission.train_bpe(**case.inputs), exactly=True)


@pytest.mark.edge
@pytest.mark.cases("special_forms")
def test_any_string_may_be_a_special_token(submission, case):
    """Special tokens may hold regex characters, spaces and letters of any script, and need not occur in the text.

    Asked: handout, section 2.5, which splits at special tokens escaped as regular expressions.
    """
    check_merges(case, submission.train_bpe(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("path_as_str")
def test_path_as_string(submission, case):
    """input_path may be a str as well as a pathlib.Path.

    Asked: problem train_bpe, whose input_path is a str, and the adapter's annotation, str or os.PathLike.
    """
    check_merges(case, submission.train_bpe(**case.inputs))


@pytest.mark.advice
@pytest.mark.cases("contained")
def test_longest_special_token_counts(submission, case):
    """If one special token is the beginning of another, the text is split at the longer one.

    Asked: by this kit's handout; Stanford's joins the special tokens with | as they come.
    """
    check_merges(case, submission.train_bpe(**case.inputs))


@pytest.mark.advice
@pytest.mark.cases("empty")
def test_nothing_to_learn(submission, case):
    """With an empty file, or a vocab_size without room for merges, the result has the base tokens and no merges.

    Asked: by this kit's handout; from Stanford's it follows at most.
    """
    check(case, submission.train_bpe(**case.inputs))


@pytest.mark.advice
@pytest.mark.cases("line_ends")
def test_line_ends_are_kept(submission, case):
    """Carriage returns are text: "\\r\\n" is not read as "\\n".

    Asked: by this kit's handout; Stanford's does not say how the file is read.
    """
    check_merges(case, submission.train_bpe(**case.inputs))
