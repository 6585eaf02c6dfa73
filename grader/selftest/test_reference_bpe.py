"""The reference trainer against a naive one, and the fast pre-tokeniser against the plain pattern."""

import multiprocessing
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
import regex
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from grader.kit.paths import KIT
from grader.reference import pretokenization
from grader.reference._bulk_counting import _BulkCounter
from grader.reference.bpe import _learn_merges, train_bpe
from grader.reference.pretokenization import PRETOKEN_PATTERN

# What trips pre-tokenisers and trainers: every kind of white space (and U+001C to U+001F, which only the
# standard library takes for one), contractions and their parts, digits that are not decimal, marks,
# characters of 2 to 4 bytes, runs of one letter, and special tokens and their parts.
FRAGMENTS = [
    *("a", "b", "aa", "ab", "e", "d", "ed", "Ab", "z" * 9),
    *(" ", "  ", "\n", "\r\n", "\t", "\v", "\f", "\r", "\x1c", "\x1d", "\x1f", "\x85"),
    *("\u00a0", "\u1680", "\u2003", "\u2028", "\u200b", "\u3000", "\ufeff"),
    *("'", "''", "'s", "'S", "'ll", "'l", "l", "'re", "r", "'ve", "’s"),
    *("1", "23", "²", "½", "Ⅳ", "٣", "!", "..", "_", "\x00", "\x7f", "�"),
    *("é", "e\u0301", "ß", "中文", "한", "👍🏽", "𝒳", "ﬁ"),
    *("<|a|>", "<|a|><|b|>", "<|", "|>", "<|b", "x y"),
]
SPECIAL_TOKENS = [
    "<|a|>",
    "<|a|><|b|>",
    "ed",
    "x y",
    "aa",
    "ab",
    "\n",
    "  ",
    "|",
    "'s",
    "é",
    ".",
    "$^(",
    "[a]",
    "\\",
]

texts = st.lists(st.sampled_from(FRAGMENTS), max_size=60).map("".join)
special_token_lists = st.lists(st.sampled_from(SPECIAL_TOKENS), max_size=3, unique=True)
fuzz = settings(
    max_examples=250,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def plain_pretokens(text: str, special_tokens: list[str]) -> list[str]:
    """Split a text with the pattern alone, whole."""
    longest_first = sorted(special_tokens, key=len, reverse=True)
    parts = regex.split("|".join(map(regex.escape, longest_first)), text) if special_tokens else [text]
    return [pretoken for part in parts for pretoken in regex.findall(PRETOKEN_PATTERN, part)]


def merge_pair(word: tuple[bytes, ...], pair: tuple[bytes, bytes]) -> tuple[bytes, ...]:
    merged = []
    i = 0
    while i < len(word):
        size = 2 if word[i : i + 2] == pair else 1
        merged.append(b"".join(word[i : i + size]))
        i += size
    return tuple(merged)


def naive_merges(word_counts: Counter[tuple[bytes, ...]], limit: int) -> list[tuple[bytes, bytes]]:
    """Learn merges the slow way: count all pairs anew for each of them."""
    merges: list[tuple[bytes, bytes]] = []
    while len(merges) < limit:
        pair_counts: Counter[tuple[bytes, bytes]] = Counter()
        for word, count in word_counts.items():
            for pair in pairwise(word):
                pair_counts[pair] += count
        if not pair_counts:
            break
        best = max(pair_counts, key=lambda pair: (pair_counts[pair], pair))
        merges.append(best)
        merged_counts: Counter[tuple[bytes, ...]] = Counter()
        for word, count in word_counts.items():
            merged_counts[merge_pair(word, best)] += count
        word_counts = merged_counts
    return merges


def as_bytes(word: str) -> tuple[bytes, ...]:
    return tuple(bytes([byte]) for byte in word.encode())


def in_utf8(words: Mapping[str, int]) -> Counter[bytes]:
    return Counter({word.encode(): count for word, count in words.items()})


def naive_train(data: bytes, vocab_size: int, special_tokens: list[str]):
    words = Counter(map(as_bytes, plain_pretokens(data.decode("utf-8", "replace"), special_tokens)))
    vocab = [token.encode() for token in special_tokens] + [bytes([byte]) for byte in range(256)]
    merges = naive_merges(words, vocab_size - len(vocab))
    return dict(enumerate(vocab + [left + right for left, right in merges])), merges


@pytest.fixture
def corpus(tmp_path):
    """A file to write a corpus to."""
    return tmp_path / "corpus.txt"


def train_on(corpus: Path, data: bytes, num_merges: int, special_tokens: list[str], **options):
    corpus.write_bytes(data)
    return train_bpe(corpus, 256 + len(special_tokens) + num_merges, special_tokens, **options)


# --- merges -------------------------------------------------------------------------------------------------


@fuzz
@given(text=texts, special_tokens=special_token_lists, num_merges=st.integers(0, 40))
def test_trains_like_the_naive_trainer(corpus, text, special_tokens, num_merges):
    data = text.encode()
    expected = naive_train(data, 256 + len(special_tokens) + num_merges, special_tokens)
    assert train_on(corpus, data, num_merges, special_tokens) == expected


@fuzz
@example(words={"badd": 1}, num_merges=4)
@example(words={"aaaaaaa": 2, "aaaa": 1, "aaa": 3}, num_merges=9)
@example(words={"ededed": 1, "preceded": 2}, num_merges=9)
@given(
    words=st.dictionaries(
        st.text("ab", min_size=1, max_size=12) | st.text("abcd", min_size=1, max_size=9), st.integers(1, 3)
    ),
    num_merges=st.integers(1, 60),
)
def test_merges_like_the_naive_trainer_where_ties_and_overlaps_abound(words, num_merges):
    expected = naive_merges(Counter({as_bytes(word): count for word, count in words.items()}), num_merges)
    assert _learn_merges(in_utf8(words), num_merges)[1] == expected


def test_merges_a_thousand_times_like_the_naive_trainer():
    chance = random.Random(0)
    syllables = ["ba", "na", "to", "ter", "in", "th", "e", "s"]
    words = Counter("".join(chance.choices(syllables, k=chance.randrange(1, 6))) for _ in range(400))
    expected = naive_merges(Counter({as_bytes(word): count for word, count in words.items()}), 1000)
    assert _learn_merges(in_utf8(words), 1000)[1] == expected


def test_ties_go_to_the_greater_pair_of_bytes(corpus):
    _, merges = train_on(corpus, b"az!ba", 2, [])
    assert merges == [(b"b", b"a"), (b"a", b"z")]


def test_a_tie_compares_first_tokens_before_their_concatenation(corpus):
    # After b"ab", the pairs (b"a", b"z") and (b"ab", b"a") both occur four times.
    _, merges = train_on(corpus, b" ab aba aba aba aba az az az az".replace(b" ", b"\n"), 2, [])
    assert merges == [(b"a", b"b"), (b"ab", b"a")]


def test_nothing_is_merged_across_a_special_token(corpus):
    _, merges = train_on(corpus, b"ab<|a|>ab<|a|>ab", 10, ["<|a|>"])
    assert merges == [(b"a", b"b")]


def test_special_tokens_come_first_and_in_order(corpus):
    vocab, _ = train_on(corpus, b"", 0, ["z", "<|a|>", "é"])
    assert [vocab[token_id] for token_id in range(5)] == [b"z", b"<|a|>", "é".encode(), b"\x00", b"\x01"]


def test_stops_when_no_pair_is_left(corpus):
    vocab, merges = train_on(corpus, b"abc abc", 1000, ["<|a|>"])
    assert len(vocab) == 257 + len(merges)
    assert b" abc" in vocab.values()


@pytest.mark.parametrize("data", [b"", b"x", b"<|a|>", b"<|a|><|a|>", b"\n"])
def test_a_corpus_without_pairs_gives_no_merges(corpus, data):
    vocab, merges = train_on(corpus, data, 5, ["<|a|>"])
    assert (len(vocab), merges) == (257, [])


def test_line_endings_are_kept(corpus):
    vocab, _ = train_on(corpus, b"\r\n\r\n\r\n\r\n a \r\n\r\n\r\n\r\n", 3, [])
    assert b"\r\n\r\n" in vocab.values()


@fuzz
@given(
    data=st.lists(
        st.sampled_from([b"a", b" ", b"\n", "é€👍".encode(), b"\xff", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\x80"])
    ).map(b"".join)
)
def test_malformed_utf8_counts_as_replacement_characters(corpus, data):
    assert train_on(corpus, data, 9, []) == naive_train(data, 265, [])


# --- arguments ----------------------------------------------------------------------------------------------


def test_a_vocabulary_too_small_for_the_bytes_is_an_error(corpus):
    corpus.write_bytes(b"text")
    with pytest.raises(ValueError, match="ask for 257 or more"):
        train_bpe(corpus, 256, ["<|a|>"])


@pytest.mark.parametrize("special_tokens", [["<|a|>", "b", "<|a|>"], ["a", ""]])
def test_a_repeated_or_empty_special_token_is_an_error(corpus, special_tokens):
    with pytest.raises(ValueError, match=r"give it once|empty string"):
        train_on(corpus, b"text", 9, special_tokens)


def test_less_than_one_process_is_an_error(corpus):
    with pytest.raises(ValueError, match="at least 1"):
        train_on(corpus, b"text", 9, [], num_processes=0)


def test_the_path_may_be_a_string(corpus):
    corpus.write_bytes(b"aa")
    assert train_bpe(str(corpus), 257, [])[1] == [(b"a", b"a")]


# --- splitting ----------------------------------------------------------------------------------------------


def test_units_split_into_the_pretokens_of_the_whole_text():
    chance = random.Random(1)
    for _ in range(30_000):
        text = "".join(chance.choices(FRAGMENTS, k=chance.randrange(12)))
        fast = [pretoken for unit in pretokenization._units(text) for pretoken in pretokenization._split_unit(unit)]
        assert fast == regex.findall(PRETOKEN_PATTERN, text), repr(text)


def test_ascii_text_splits_alike_with_the_standard_library():
    chance = random.Random(2)
    alphabet = [chr(code) for code in range(128)] + list("  \n'''slltd") * 8
    for _ in range(20_000):
        text = "".join(chance.choices(alphabet, k=chance.randrange(20)))
        assert pretokenization._split_ascii(text) == regex.findall(PRETOKEN_PATTERN, text), repr(text)


def test_both_regular_expression_modules_agree_on_white_space():
    every_character = "".join(map(chr, range(sys.maxunicode + 1)))
    assert re.findall(pretokenization._SPACE, every_character) == regex.findall(r"\s", every_character)
    assert re.findall(pretokenization._VISIBLE, every_character) == regex.findall(r"\S", every_character)


def test_pieces_split_into_the_pretokens_of_the_whole_text():
    chance = random.Random(3)
    for _ in range(10_000):
        text = "".join(chance.choices(FRAGMENTS, k=chance.randrange(15)))
        cuts = sorted(chance.choices(range(len(text) + 1), k=chance.randrange(8)))
        chunks = [text[i:j] for i, j in pairwise([0, *cuts, len(text)])]
        special_tokens = chance.sample(SPECIAL_TOKENS, chance.randrange(4))
        pieces = list(pretokenization._recut(chunks, special_tokens))
        assert "".join(pieces) == text
        fast = [pretoken for piece in pieces for pretoken in plain_pretokens(piece, special_tokens)]
        assert fast == plain_pretokens(text, special_tokens), (chunks, special_tokens)


def test_counts_in_pieces_are_those_of_the_plain_pattern():
    chance = random.Random(6)
    syllables = ["ba", "na", "to", "ter", "ü", "語", "\x00", "é"]
    words = ["".join(chance.choices(syllables, k=chance.randrange(1, 12))) for _ in range(9_000)]
    counter, expected = _BulkCounter(), Counter[str]()
    for _ in range(40):
        texts = ["".join(chance.choices([*FRAGMENTS, *words], k=chance.randrange(3_000))) for _ in range(3)]
        counter.add(texts)
        for text in texts:
            expected.update(regex.findall(PRETOKEN_PATTERN, text))
    assert max(map(len, expected)) > 15
    assert len(expected) > 3 * 4096  # a table that begins with 4,096 places grows several times
    assert counter.result() == in_utf8(expected)


# --- processes ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed_corpus(tmp_path_factory):
    """A corpus of some 60 kB, with what a cut at the wrong place would spoil."""
    chance = random.Random(4)
    path = tmp_path_factory.mktemp("corpora") / "mixed.txt"
    text = "".join(chance.choices([*FRAGMENTS, *(["the ", "and ", " of"] * 20)], k=20_000))
    path.write_bytes(text.encode() + b"\xff\xfe \xc3")
    return path


@pytest.mark.parametrize("special_tokens", [[], ["<|a|>"], ["x y", "  ", "<|a|><|b|>", "<|a|>", "\n"]])
def test_the_number_of_processes_changes_nothing(mixed_corpus, monkeypatch, special_tokens):
    alone = train_bpe(mixed_corpus, 500, special_tokens, num_processes=1)
    monkeypatch.setattr(pretokenization, "_SHARE_BYTES", 1)
    for num_processes in (2, 3):
        assert train_bpe(mixed_corpus, 500, special_tokens, num_processes=num_processes) == alone
    assert alone == naive_train(mixed_corpus.read_bytes(), 500, special_tokens)


def test_shares_split_into_the_pretokens_of_the_whole_file(corpus):
    chance = random.Random(5)
    for _ in range(1_000):
        text = "".join(chance.choices(FRAGMENTS, k=chance.randrange(80)))
        special_tokens = chance.sample(SPECIAL_TOKENS, chance.randrange(4))
        corpus.write_bytes(text.encode())
        borders = pretokenization._share_borders(corpus, special_tokens, 4)
        counts: Counter[bytes] = Counter()
        for share in pairwise(borders):
            counts += pretokenization._count_share(corpus, *share, special_tokens)
        assert counts == in_utf8(Counter(plain_pretokens(text, special_tokens))), (text, special_tokens, borders)


def test_shares_are_of_about_the_same_size(mixed_corpus):
    sizes = [stop - start for start, stop in pairwise(pretokenization._share_borders(mixed_corpus, ["<|a|>"], 3))]
    assert len(sizes) == 3
    assert max(sizes) - min(sizes) < 1000


def test_a_small_file_starts_no_process(corpus, monkeypatch):
    monkeypatch.setattr(pretokenization, "ProcessPoolExecutor", None)
    assert train_on(corpus, b"aa" * 1000, 1, [], num_processes=8)[1] == [(b"a", b"a")]


def _train_in_two_processes(path, results):
    pretokenization._SHARE_BYTES = 1
    results.put(train_bpe(path, 300, ["<|a|>"], num_processes=2))


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_trains_inside_another_process(mixed_corpus, method, daemon):
    context = multiprocessing.get_context(method)
    results = context.Queue()
    process = context.Process(target=_train_in_two_processes, args=(mixed_corpus, results), daemon=daemon)
    process.start()
    assert results.get(timeout=60) == train_bpe(mixed_corpus, 300, ["<|a|>"])
    process.join()


def test_training_does_not_import_torch():
    code = "import sys, grader.reference.bpe, grader.reference.tokenizer; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=KIT)
