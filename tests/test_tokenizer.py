"""Tokenizer: text to ids by the merges of a vocabulary, ids to text, and streams of text to streams of ids."""

import string

import numpy as np
import pytest
import torch

from grader.cases.assets import load, read
from grader.cases.compare import Mismatch
from grader.submission.faults import NothingToAssess

END = "<|endoftext|>"
MIB = 1 << 20
LONGEST_STREAM_S = 15.0
"""Half of what a call may take: slow is no fault of a tokenizer's memory."""


def tokenizer_of(submission, case):
    """The tokenizer that a case is about; cases with the same tables share it."""
    return submission.tokenizer(case.inputs["vocab"], case.inputs["merges"], case.inputs["special_tokens"])


def check_ids(case, inputs, actual):
    """Raise `Mismatch` where `actual` is not the case's output, with the tokens that part in a note.

    That ids are to come in a list is a matter of `test_round_trip`.
    """
    actual = list(map(_as_list, actual))
    if len(actual) > 2 and all(answer == actual[0] for answer in actual) and case.expected.count(actual[0]) < 2:
        raise Mismatch(
            f"{len(actual)} different texts are all encoded as {_short(actual[0])}: is it unwritten?",
            where="output",
            kind="value",
        )
    try:
        case.check(actual)
    except Mismatch as mismatch:
        for given, want, got in zip(inputs, case.expected, actual, strict=False):
            if want != got:
                mismatch.add_note(_parting(case.inputs["vocab"], given, want, got))
                break
        raise


def _as_list(ids):
    if isinstance(ids, np.ndarray | torch.Tensor) and ids.ndim == 1:
        return ids.tolist()
    return list(ids) if isinstance(ids, tuple) else ids


def _parting(vocab, given, want, got):
    """Where the ids of a text part from the right ones, with the tokens that they stand for."""
    if not isinstance(got, list):
        return f"for {_short(given)}"
    i = next((i for i, pair in enumerate(zip(want, got, strict=False)) if pair[0] != pair[1]), min(len(want), len(got)))
    expected, found = (_tokens(vocab, ids[i : i + 3]) for ids in (want, got))
    return f"for {_short(given)}\nfrom token {i} on, expected {expected}, got {found}"


def _tokens(vocab, ids):
    def token(token_id):
        known = vocab.get(token_id) if isinstance(token_id, int) else None
        return f"{token_id!r} (no id of this vocabulary)" if known is None else f"{token_id} {known}"

    return ", ".join(map(token, ids)) + " ..." if ids else "no more"


def _short(value):
    shown = repr(value)
    return shown if len(shown) <= 300 else f"{shown[:200]} ... {shown[-80:]}"


def check_encoding(submission, case):
    tokenizer = tokenizer_of(submission, case)
    texts = case.inputs["texts"]
    check_ids(case, texts, [tokenizer.encode(text) for text in texts])


def check_streams(submission, case):
    tokenizer = tokenizer_of(submission, case)
    streams = case.inputs["streams"]
    check_ids(case, streams, [tokenizer.encode_iterable(chunks) for chunks in streams])


@pytest.mark.cases("order")
def test_merges_are_applied_in_their_order(submission, case):
    """Encoding merges the pair that comes first in the list, until no pair of the word is in the list.

    Asked: handout, section 2.6.1, "apply the merges": in the order of creation. Every text here is one word.
    """
    check_encoding(submission, case)


@pytest.mark.cases("gpt2")
def test_encodes_as_gpt2_does(submission, case):
    """With GPT-2's vocabulary, English, technical and multilingual text gets GPT-2's ids.

    Asked: problem tokenizer as a whole; the public suite compares with tiktoken.
    """
    check_encoding(submission, case)


@pytest.mark.cases("pattern")
def test_text_is_cut_by_the_pattern(submission, case):
    """GPT-2's pattern splits contractions, digits, signs and white space, and no merge crosses a split.

    Asked: handout, section 2.6.1: pre-tokenise as in training. No two merges meet in a pre-token here.
    """
    check_encoding(submission, case)


@pytest.mark.cases("scripts")
def test_letters_and_digits_of_every_script(submission, case):
    """Letters and numbers of all scripts count as such; underscores, marks and symbols do not.

    Asked: handout, section 2.4: \\p{L} and \\p{N} in the given pattern. No two merges meet in a pre-token here.
    """
    check_encoding(submission, case)


@pytest.mark.cases("unicode")
def test_characters_are_their_utf8_bytes(submission, case):
    """Characters of any script are encoded through their UTF-8 bytes, whether or not these merge.

    Asked: handout, section 2.6.1: each pre-token is a sequence of UTF-8 bytes. Every text here is one word.
    """
    check_encoding(submission, case)


@pytest.mark.cases("special")
def test_special_tokens_are_one_id(submission, case):
    """Each special token becomes one id, and the text on each side of it is encoded separately.

    Asked: handout, section 2.6.1, "special tokens".
    """
    check_encoding(submission, case)


@pytest.mark.cases("overlapping")
def test_longest_special_token_counts(submission, case):
    """If one special token is the beginning of another, the longer one is taken.

    Asked: the public suite, test_overlapping_special_tokens.
    """
    check_encoding(submission, case)


@pytest.mark.cases("gpt2", "unicode", "special", "overlapping")
def test_decodes(submission, case):
    """Decoding returns the text, including special tokens and characters spread over several tokens.

    Asked: handout, section 2.6.2: join the bytes of all tokens, then decode.
    """
    tokenizer = tokenizer_of(submission, case)
    for text, ids in zip(case.inputs["texts"], case.expected, strict=True):
        decoded = tokenizer.decode(ids)
        assert decoded == text, f"decode({_short(ids)}) should give {_short(text)}, and gives {_short(decoded)}"


def test_round_trip(submission, chance):
    """Encoding any text and decoding the ids gives the same text.

    Asked: the public suite's round trips. The text is drawn from all of Unicode, and may be empty.
    """
    merges = load("gpt2/merges")[:200]
    tokens = [END.encode(), *(bytes([byte]) for byte in range(256)), *(left + right for left, right in merges)]
    tokenizer = submission.tokenizer(dict(enumerate(tokens)), merges, [END])
    for text in ["", "any text", *(_any_text(chance) for _ in range(20))]:
        ids = tokenizer.encode(text)
        assert isinstance(ids, list), f"encode({_short(text)}) returned {_short(ids)}, which is no list of ids"
        decoded = tokenizer.decode(ids)
        assert decoded == text, f"{_short(text)} is encoded as {_short(ids)}, and decoded as {_short(decoded)}"


def _any_text(chance):
    """Up to 30 pieces: characters of one to four bytes each, and what a tokenizer has a rule for."""
    pieces = [END, " ", "  ", "\n", "a", "'s", "é", "🙂", "12", "\u00a0"]
    planes = [(0x20, 0x7F), (0x80, 0x800), (0x800, 0xD800), (0xE000, 0x10000), (0x10000, 0x110000)]
    drawn = [chr(chance.randrange(*chance.choice(planes))) for _ in range(15)] + chance.choices(pieces, k=15)
    chance.shuffle(drawn)
    return "".join(drawn[: chance.randrange(1, 31)])


@pytest.mark.cases("lines")
def test_encodes_lines_of_a_file(submission, case):
    """encode_iterable yields the ids of a file's lines, one after the other.

    Asked: problem tokenizer, encode_iterable over a file handle.
    """
    tokenizer = tokenizer_of(submission, case)
    texts = case.inputs["texts"]
    check_ids(case, texts, [tokenizer.encode_file(text.encode()) for text in texts])


@pytest.mark.edge
@pytest.mark.cases("cuts")
def test_chunks_may_end_anywhere(submission, case):
    """encode_iterable yields the ids of the whole text, wherever in words or white space the chunks end.

    Asked: handout, section 2.6.1: no token may cross a chunk's border, or the result is not that of the whole text.
    """
    check_streams(submission, case)


@pytest.mark.edge
@pytest.mark.cases("cuts_in_special")
def test_chunks_may_end_in_special_tokens(submission, case):
    """encode_iterable finds special tokens that start in one chunk and end in another.

    Asked: as above, of special tokens.
    """
    check_streams(submission, case)


@pytest.mark.edge
def test_reads_as_it_yields(submission):
    """encode_iterable yields the first ids after reading a few chunks, not the whole input.

    Asked: problem tokenizer: encode_iterable is lazy, for files that do not fit into memory.
    """
    merges = load("gpt2/merges")[:200]
    tokens = [END.encode(), *(bytes([byte]) for byte in range(256)), *(left + right for left, right in merges)]
    tokenizer = submission.tokenizer(dict(enumerate(tokens)), merges, [END])
    chunk, available = "A line of text like many others.\n" * 32, 1000
    read_first = tokenizer.chunks_read_before_first_id(chunk, available)
    assert read_first <= available // 4, (
        f"encode_iterable read {read_first} of {available} chunks of {len(chunk)} characters before it yielded an id"
    )


@pytest.mark.edge
def test_memory_does_not_grow(submission, chance):
    """encode_iterable needs no more memory for a long stream than for a short one.

    Asked: problem tokenizer: encode_iterable is for files that do not fit into memory.
    """
    tokenizer = submission.tokenizer(load("gpt2/vocab"), load("gpt2/merges"), [END])
    special = chance.randrange(20, 40)  # special tokens, since memory is measured and the merges are not
    chunk = f"It is what it is.\n{END * special}\n"
    ids, few, many = special + 8, MIB // 8 // len(chunk), 3 * MIB // len(chunk)
    peaks, seconds = [], 0.0
    # The first stream fills caches, and finds out what is wrong before it takes minutes.
    for repeats, before in ((2, 0), (few, 0), (many, few), (3 * many, many)):
        if before and seconds * repeats / before > LONGEST_STREAM_S:
            raise NothingToAssess(
                f"at {seconds:.1f} s for {before * len(chunk) / MIB:.2f} MiB of text a long stream takes too "
                "long to see what becomes of memory"
            )
        streamed = tokenizer.stream(chunk, repeats)
        assert streamed.ids == repeats * ids, (
            f"{repeats} times {_short(chunk)} are {repeats * ids} ids; encode_iterable yielded {streamed.ids}"
        )
        peaks.append(streamed.peak_bytes)
        seconds = streamed.seconds
        if before:  # what a short stream takes as well is no growth; nor is a buffer, which a longer one does not fill
            text, grown = (repeats - before) * len(chunk) / MIB, (peaks[-1] - peaks[-2]) / MIB
            if grown <= text / 2:
                return
    raise AssertionError(
        f"encode_iterable took {grown:.1f} MiB more memory for {text:.1f} MiB more text; {text / 2:.1f} MiB are allowed"
    )


@pytest.mark.edge
@pytest.mark.cases("no_special")
def test_without_special_tokens(submission, case):
    """If special_tokens is None or an empty list, <|endoftext|> is ordinary text.

    Asked: problem tokenizer: special_tokens is a list of strings or None, which is its default.
    """
    check_encoding(submission, case)


@pytest.mark.edge
@pytest.mark.cases("missing")
def test_missing_special_token_is_appended(submission, case):
    """A special token that is not in the vocabulary gets the next id and can be decoded.

    Asked: problem tokenizer: user-provided special tokens are appended to the vocabulary if they are not there.
    """
    check_encoding(submission, case)
    tokenizer = tokenizer_of(submission, case)
    for text, ids in zip(case.inputs["texts"], case.expected, strict=True):
        decoded = tokenizer.decode(ids)
        assert decoded == text, f"decode({ids}) should give {text!r}, and gives {decoded!r}"


@pytest.mark.advice
@pytest.mark.cases("several_missing")
def test_missing_special_tokens_keep_their_order(submission, case):
    """Special tokens that are not in the vocabulary get the next ids in the order in which they are given.

    Asked: nowhere; the handout says that they are appended, and whoever stores the ids elsewhere needs them again.
    """
    check_encoding(submission, case)


@pytest.mark.edge
@pytest.mark.cases("special_forms")
def test_any_string_may_be_a_special_token(submission, case):
    """Special tokens may hold regex characters or spaces, or begin with each other: then the longest counts.

    Asked: problem tokenizer: special tokens are strings, of which nothing more is said.
    """
    check_encoding(submission, case)


@pytest.mark.advice
@pytest.mark.cases("inside")
def test_first_special_token_counts(submission, case):
    """If special tokens overlap in the text, the one that starts first is taken.

    Asked: nowhere; a regular expression that finds any of them does it from left to right.
    """
    check_encoding(submission, case)


@pytest.mark.edge
@pytest.mark.cases("tables")
def test_merges_go_by_their_order(submission, case):
    """The list of merges decides, not the vocabulary: neither its ids nor whole words that it contains.

    Asked: handout, section 2.6.1: the merges are applied in the order of the list. No training leaves such tables, but
    other tools' files may.
    """
    check_encoding(submission, case)


@pytest.mark.edge
@pytest.mark.cases("long")
def test_long_pretokens(submission, case):
    """A pre-token may be thousands of bytes long.

    Asked: problem tokenizer: encode takes any string.
    """
    check_encoding(submission, case)


@pytest.mark.edge
@pytest.mark.cases("malformed")
def test_malformed_bytes_are_replaced(submission, case):
    """Any ids can be decoded: malformed UTF-8 becomes U+FFFD, as with bytes.decode(errors="replace").

    Asked: handout, section 2.6.2: malformed bytes are replaced by U+FFFD.
    """
    tokenizer = tokenizer_of(submission, case)
    case.check([tokenizer.decode(ids) for ids in case.inputs["sequences"]])


@pytest.mark.edge
@pytest.mark.cases("unordered")
def test_decodes_by_id(submission, case):
    """An id stands for the token that the vocabulary has for it, in whatever order it lists them.

    Asked: problem tokenizer: the vocabulary is a dict from ids to bytes.
    """
    tokenizer = tokenizer_of(submission, case)
    case.check([tokenizer.decode(ids) for ids in case.inputs["sequences"]])


@pytest.mark.advice
@pytest.mark.cases("lines")
def test_unknown_ids_are_not_dropped(submission, case):
    """An id that is not in the vocabulary raises an error or shows as U+FFFD; it does not vanish.

    Asked: nowhere; but a mistake that shows is found sooner.
    """
    vocab, merges, known = case.inputs["vocab"], case.inputs["merges"], case.expected[0][:5]
    decoded = submission.decode_unknown(vocab=vocab, merges=merges, known=known, unknown=[*known, max(vocab) + 100])
    text = b"".join(vocab[token_id] for token_id in known).decode()
    assert decoded["known"] == text, f"decode({known}) should give {text!r}, and gives {decoded['known']!r}"
    assert decoded["unknown"] is None or "\ufffd" in decoded["unknown"], (
        f"decode({[*known, max(vocab) + 100]}) gives {decoded['unknown']!r}, and says nothing of the last id"
    )


@pytest.mark.edge
@pytest.mark.own_adapter
@pytest.mark.cases("gpt2")
def test_from_files(submission, case):
    """Tokenizer.from_files reads a vocabulary and merges in the format in which GPT-2 published its own.

    Asked: problem tokenizer, from_files; the format is that of this kit's handout.
    """
    tokenizer = submission.tokenizer_from_files(read("gpt2/vocab.json"), read("gpt2/merges.txt"), [END])
    texts = case.inputs["texts"]
    check_ids(case, texts, [tokenizer.encode(text) for text in texts])


@pytest.mark.edge
@pytest.mark.own_adapter
def test_from_files_in_detail(submission):
    """Tokenizer.from_files takes special tokens, and reads merges that start with # or lack a #version line.

    Asked: as above.
    """
    header, merges = read("gpt2/merges.txt").split(b"\n", 1)
    assert header.startswith(b"#version")
    kept = merges.split(b"\n")[:1000]
    first = b"\n".join([kept[0], b"# #", *kept[1:]]) + b"\n"
    tokenizer = submission.tokenizer_from_files(read("gpt2/vocab.json"), first, [END])
    for text, expected in {" t": [256], "##": [2235], "# a": [2, 257], f"the{END} the": [1169, 50256, 262]}.items():
        ids = tokenizer.encode(text)
        assert ids == expected, f"{text!r} should be encoded as {expected}, and is as {ids}"


@pytest.mark.advice
def test_speed(submission, chance):
    """Merges are looked up, not searched for: with 50,000 of them, encoding takes no longer than with 1,000.

    Asked: nowhere in numbers; the handout's experiments encode gigabytes. Judged is how times grow, no seconds.
    """
    few, many = (_seconds_to_encode(submission, load("gpt2/merges")[:count], chance) for count in (1_000, 50_000))
    assert many <= 5 * few + 0.1, (
        f"with 1,000 merges 50 words took {1000 * few:.0f} ms, and with 50,000 merges {1000 * many:.0f} ms"
    )


def _seconds_to_encode(submission, merges, chance):
    """The least of three times of `encode`, each for 50 words that have not been there before."""
    tokens = [bytes([byte]) for byte in range(256)] + [left + right for left, right in merges]
    tokenizer = submission.tokenizer(dict(enumerate(tokens)), merges, [])
    words = ["".join(chance.choices(string.ascii_lowercase, k=8)) for _ in range(150)]
    return min(tokenizer.seconds_to_encode(" ".join(words[i::3])) for i in range(3))
