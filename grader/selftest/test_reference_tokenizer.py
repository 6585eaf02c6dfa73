"""The reference tokenizer against tiktoken with GPT-2's vocabulary, and against the definition of BPE."""

import json
import pickle
import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from unittest.mock import Mock

import numpy as np
import pytest
import regex
import tiktoken
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grader.kit.paths import FIXTURES
from grader.reference import _simple_bpe as simple
from grader.reference import tokenizer as tokenizer_module
from grader.reference._bulk_numbering import _Numbering
from grader.reference._bulk_splitting import _find_pretokens
from grader.reference.bpe import train_bpe
from grader.reference.pretokenization import PRETOKEN_PATTERN
from grader.reference.tokenizer import Tokenizer

GPT2 = FIXTURES / "gpt2"
END = "<|endoftext|>"
FRAGMENTS = [
    *(
        "hello",
        " world",
        "The",
        "a",
        "s",
        "ll",
        "ing",
        " supercalifragilistic",
        "don't",
        "'",
        "''",
        "'ll",
        "’s",
    ),
    *(" ", "  ", "\n", "\n\n", "\r\n", "\t", "\x1c", "\x1f", "\x85", "\u00a0", "\u2003", "\u3000"),
    *("1", "2026", "²", "½", "!", "...", "--", "_", "\x00", "é", "e\u0301", "中文", "👍🏽", "𝒳", "ß"),
    *(END, END * 2, "<|endof", "text|>", "<|", "|>", "endoftext"),
]

texts = st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join) | st.text(max_size=40)
fuzz = settings(max_examples=300, deadline=None, database=None)


@pytest.fixture(scope="module")
def gpt2():
    return Tokenizer.from_files(GPT2 / "vocab.json", GPT2 / "merges.txt", [END])


@pytest.fixture(scope="module")
def oracle():
    """tiktoken with GPT-2's ids, which are its ranks, read from the file without our code."""
    entries = json.loads((GPT2 / "vocab.json").read_text(encoding="utf-8"))
    alphabet = [chr(code) for code in [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]]
    byte_of = {char: ord(char) for char in alphabet}
    others = [byte for byte in range(256) if byte not in byte_of.values()]
    byte_of |= {chr(256 + number): byte for number, byte in enumerate(others)}
    ranks = {bytes(byte_of[char] for char in token): rank for token, rank in entries.items() if token != END}
    return tiktoken.Encoding(
        name="gpt2", pat_str=PRETOKEN_PATTERN, mergeable_ranks=ranks, special_tokens={END: entries[END]}
    )


@pytest.fixture
def toy():
    """A vocabulary whose ids say nothing about ranks."""
    tokens = [b"th", b"the", b" a", b" at", b" c", b"t", b"h", b"e", b"a", b"c", b" "]
    merges = [(b"t", b"h"), (b" ", b"c"), (b" ", b"a"), (b"th", b"e"), (b" a", b"t")]
    return {7 * token_id + 3: token for token_id, token in enumerate(tokens)}, merges


def cut_everywhere(text: str, chance: random.Random) -> list[str]:
    cuts = sorted(chance.choices(range(len(text) + 1), k=chance.randrange(2 + len(text))))
    return [text[i:j] for i, j in pairwise([0, *cuts, len(text)])]


# --- encode -------------------------------------------------------------------------------------------------


@fuzz
@given(text=texts)
def test_encodes_like_tiktoken(gpt2, oracle, text):
    assert gpt2.encode(text) == oracle.encode(text, allowed_special="all")


def test_encodes_every_character_like_tiktoken(gpt2, oracle):
    text = " ".join(chr(code) + "x" for code in [*range(0xD800), *range(0xE000, 0x30000, 7)])
    assert gpt2.encode(text) == oracle.encode(text, allowed_special="all")


@pytest.mark.parametrize("unit", ["a", " ", "ab", "\n", "é", "the", "'s", "=-"])
@pytest.mark.parametrize("size", [299, 300, 301, 5000])
def test_encodes_long_pretokens_like_tiktoken(gpt2, oracle, unit, size):
    assert gpt2.encode(unit * size) == oracle.encode(unit * size)


def test_short_and_long_pretokens_are_merged_by_the_same_rule(gpt2):
    chance = random.Random(0)
    for _ in range(500):
        ids = [gpt2.encode(char)[0] for char in chance.choices("abcehilnorst", k=chance.randrange(60))]
        assert gpt2._merge(list(ids)) == gpt2._merge_long(list(ids))


def test_a_pretoken_of_a_million_characters_is_no_problem(gpt2, oracle):
    chance = random.Random(1)
    word = "".join(chance.choices("ACGT", k=100_000))
    assert gpt2.encode(word) == oracle.encode(word)
    assert gpt2.decode(gpt2.encode(" " * 1_000_000)) == " " * 1_000_000


def test_known_ids(gpt2):
    assert gpt2.encode(f"hello world{END}") == [31373, 995, 50256]


def test_empty_text_has_no_ids(gpt2):
    assert gpt2.encode("") == []
    assert gpt2.decode([]) == ""


def test_ids_come_from_the_vocabulary_not_from_ranks(toy):
    vocab, merges = toy
    ids = {token: token_id for token_id, token in vocab.items()}
    assert Tokenizer(vocab, merges).encode("the cat at") == [
        ids[token] for token in (b"the", b" c", b"a", b"t", b" at")
    ]


def test_the_first_merge_wins_over_the_longest_token(toy):
    vocab, _ = toy
    ids = {token: token_id for token_id, token in vocab.items()}
    tokenizer = Tokenizer(vocab | {99: b"he"}, [(b"h", b"e"), (b"t", b"h"), (b"th", b"e")])
    assert tokenizer.encode("the") == [ids[b"t"], 99]


def test_a_cache_that_overflows_changes_nothing(gpt2, oracle, monkeypatch):
    monkeypatch.setattr(tokenizer_module, "_CACHE_ENTRIES", 3)
    tokenizer = Tokenizer.from_files(GPT2 / "vocab.json", GPT2 / "merges.txt", [END])
    text = "".join(random.Random(2).choices(FRAGMENTS, k=2000))
    assert tokenizer.encode(text) == oracle.encode(text, allowed_special="all")
    assert 0 < len(tokenizer._cache) <= 3


# --- many words at once -------------------------------------------------------------------------------------


@pytest.fixture
def in_bulk(monkeypatch):
    """Let numpy encode short texts, too, and in short pieces."""
    monkeypatch.setattr(tokenizer_module, "_BULK_TEXT", 0)
    monkeypatch.setattr(tokenizer_module, "_BULK_CHARS", 50)


bulk_fuzz = settings(fuzz, suppress_health_check=[HealthCheck.function_scoped_fixture])


@bulk_fuzz
@given(text=texts)
def test_encodes_in_bulk_like_tiktoken(gpt2, oracle, in_bulk, text):
    assert gpt2.encode(text) == oracle.encode(text, allowed_special="all")


@pytest.mark.parametrize("kind", ["english.txt", "technical.txt", "multilingual.txt"])
def test_encodes_real_text_in_bulk_like_tiktoken(gpt2, oracle, kind):
    text = 4 * (FIXTURES / "text" / kind).read_text("utf-8")
    assert len(text) > tokenizer_module._BULK_TEXT
    assert gpt2.encode(text) == gpt2.encode(text) == oracle.encode(text, allowed_special="all")


@pytest.mark.parametrize("size", [1, 7, 8, 9, 14, 15, 16, 17, 31, 300, 301])
@pytest.mark.parametrize("unit", ["a", "é", "中", "👍", "\0", "ab", "\n"])
def test_words_of_any_length_are_encoded_in_bulk(gpt2, oracle, in_bulk, unit, size):
    text = f"{unit * size} {unit * size}{unit}a{unit * (size - 1)}b"
    assert gpt2.encode(text) == oracle.encode(text)


def test_words_that_differ_in_nul_characters_are_different_words(gpt2, oracle, in_bulk):
    text = "\0 \0\0 \0\0\0!\0!\0\0!"
    assert gpt2.encode(text) == oracle.encode(text)


def a_vocabulary(chance: random.Random) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """One that no training leaves: ids in any order and with gaps, merges in any order and twice."""
    tokens = [bytes([byte]) for byte in range(256)]
    few, merges = [b"a", b"b", b" ", b"\xc3", b"\xa9"], []
    for _ in range(chance.randrange(25)):
        merges.append((chance.choice(few), chance.choice(few)))
        if b"".join(merges[-1]) not in few:
            few.append(b"".join(merges[-1]))
    tokens = list({*tokens, *few, b"ab a", b"bbb"})
    chance.shuffle(tokens)
    chance.shuffle(merges)
    ids = chance.sample([*range(-9, 600), 1 << 31, 1 << 70], len(tokens))
    return dict(zip(ids, tokens, strict=True)), merges + merges[:3]


def test_any_vocabulary_is_encoded_in_bulk_as_by_definition(in_bulk):
    chance = random.Random(6)
    for _ in range(300):
        vocab, merges = a_vocabulary(chance)
        special_tokens = chance.sample(["aba", "ab", "b", " a", "\n", "ba\n", "éa"], chance.randrange(4))
        tokenizer = Tokenizer(vocab, merges, special_tokens)
        text = "".join(chance.choices(["a", "b", "é", "aab", " ", " a", "\n", "'s", "7"], k=chance.randrange(150)))
        assert tokenizer.encode(text) == simple.encode(text, tokenizer.vocab, merges, special_tokens), (text, merges)


def test_what_is_forgotten_is_learnt_again(gpt2, oracle, in_bulk, monkeypatch):
    monkeypatch.setattr(tokenizer_module, "_BULK_TOKENS", 30)
    tokenizer = Tokenizer.from_files(GPT2 / "vocab.json", GPT2 / "merges.txt", [END])
    text = "".join(random.Random(7).choices(FRAGMENTS, k=2000))
    assert tokenizer.encode(text) == oracle.encode(text, allowed_special="all")
    assert tokenizer._bulk_encoder is not None
    assert len(tokenizer._bulk_encoder._words) < 80


def test_an_interrupted_encoding_leaves_nothing_half_learnt(oracle, in_bulk, monkeypatch):
    tokenizer = Tokenizer.from_files(GPT2 / "vocab.json", GPT2 / "merges.txt", [END])
    text = "interrupted incomprehensibilities"
    with monkeypatch.context() as patch:
        patch.setattr(Tokenizer, "_encode_pretoken", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            tokenizer.encode(text)
    assert tokenizer.encode(text) == oracle.encode(text)


def test_threads_may_share_a_tokenizer(oracle):
    tokenizer = Tokenizer.from_files(GPT2 / "vocab.json", GPT2 / "merges.txt", [END])
    chance = random.Random(8)
    texts = [" ".join("".join(chance.choices("abcde", k=6)) for _ in range(10_000)) for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(tokenizer.encode, texts)) == list(map(oracle.encode, texts))


@pytest.mark.parametrize("filling", ["", "word " * 20_000])
def test_a_lone_surrogate_is_an_error_and_no_lasting_one(gpt2, filling):
    with pytest.raises(ValueError, match="surrogates not allowed"):
        gpt2.encode(f"{filling}a\ud800")
    assert gpt2.decode(gpt2.encode(f"{filling}a")) == f"{filling}a"


def test_long_texts_name_the_byte_that_the_vocabulary_lacks(toy):
    with pytest.raises(ValueError, match="byte b'x' is not in the vocabulary"):
        Tokenizer(*toy).encode("the " * 20_000 + "x")


def test_pretokens_are_found_as_the_pattern_finds_them():
    chance = random.Random(9)
    contractions = ["'", "'s", "'S", "'l", "'ll", "'v", "'ve", "'r", "'re", "'e", "s", "l", "e", "''"]
    others = [" ", "  ", "\n", "\t", "\x1c", "\x85", "\u00a0", "\u3000", "a", "7", "!", "²", "é", "e\u0301", "中", "👍"]
    for number in range(20_000):
        fragments = contractions + (others if number % 2 else [" ", "\n", "a", "7", "!"])
        texts = ["".join(chance.choices(fragments, k=chance.randrange(9))) for _ in range(chance.randrange(1, 4))]
        expected = [*regex.findall(PRETOKEN_PATTERN, texts[0])]
        for text in texts[1:]:
            expected += ["\n", *regex.findall(PRETOKEN_PATTERN, text)]
        data, starts, _ = _find_pretokens(texts)
        found = [data[start:end].decode() for start, end in pairwise([*starts, len(data)])]
        assert found == expected, texts


def test_keys_get_the_numbers_that_a_dictionary_would_give():
    chance = np.random.default_rng(10)
    numbering, known = _Numbering(), dict[tuple[int, int], int]()
    for size in (0, 1, 3, 5_000, 40_000, 1):
        # Few bits: keys come again, have the same hash, and differ in one of their two words.
        first, second = chance.integers(0, 1 << 7, (2, size)).astype(np.uint64) << np.uint64(57)
        keys = list(zip(first.tolist(), second.tolist(), strict=True))
        assert numbering.find(first, second).tolist() == [known.get(key, -1) for key in keys]
        known |= dict(zip(keys, numbering.add(first, second).tolist(), strict=True))
        assert sorted(known.values()) == list(range(len(numbering)))
        assert numbering.find(first, second).tolist() == [known[key] for key in keys]


# --- special tokens -----------------------------------------------------------------------------------------


def test_missing_special_tokens_get_the_next_ids(toy):
    vocab, merges = toy
    tokenizer = Tokenizer(vocab, merges, ["<b>", "the", "<a>"])
    largest = max(vocab)
    assert tokenizer.encode("<a>the<b>") == [largest + 2, 10, largest + 1]
    assert tokenizer.vocab == vocab | {largest + 1: b"<b>", largest + 2: b"<a>"}
    assert max(vocab) == largest


@pytest.mark.parametrize("none", [None, []])
def test_without_special_tokens_they_are_ordinary_text(oracle, none):
    tokenizer = Tokenizer.from_files(GPT2 / "vocab.json", GPT2 / "merges.txt", none)
    assert tokenizer.encode(f"a{END}") == oracle.encode_ordinary(f"a{END}")


def test_the_longest_special_token_is_taken(gpt2):
    tokenizer = Tokenizer(gpt2.vocab, [], [END, END * 2])
    double = len(gpt2.vocab)
    assert tokenizer.encode(END * 5) == [double, double, 50256]


def test_special_tokens_are_not_patterns(gpt2):
    special_tokens = [".", "a|b", "[c]", "\\d", "$^(", " x "]
    tokenizer = Tokenizer(gpt2.vocab, [], special_tokens)
    for number, token in enumerate(["a|b", "[c]", "\\d", "$^(", " x "], start=1):
        assert tokenizer.encode(token) == [50256 + number], token
    assert [tokenizer.decode([token_id]) for token_id in tokenizer.encode("a5.c")] == ["a", "5", ".", "c"]


def test_a_special_token_of_one_byte_keeps_its_own_id():
    vocab = dict(enumerate([b"a", *(bytes([byte]) for byte in range(256))]))
    assert Tokenizer(vocab, [], ["a"]).encode("ab") == [0, 99]


def test_text_beside_special_tokens_is_split_on_its_own(gpt2, oracle):
    text = f"don{END}'t  {END}  x"
    assert gpt2.encode(text) == oracle.encode(text, allowed_special="all")


# --- encode_iterable ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "hello world's  end\n\n  don't'll stop",
        f"a{END}b  {END * 2}\n <|endof text|> {END}",
        "''s '''ll 're\t\n \u3000\u3000x 12½3 é e\u0301 中文。中 👍🏽\r\n",
        " " * 40 + "x" + "\n" * 30,
    ],
)
def test_every_cut_gives_the_ids_of_the_whole(gpt2, oracle, text):
    expected = oracle.encode(text, allowed_special="all")
    for i in range(len(text) + 1):
        for j in range(i, len(text) + 1):
            assert list(gpt2.encode_iterable([text[:i], text[i:j], text[j:]])) == expected, (i, j)
    assert list(gpt2.encode_iterable(text)) == expected


@fuzz
@given(text=texts, chance=st.randoms(use_true_random=False))
def test_chunks_give_the_ids_of_the_whole(gpt2, oracle, text, chance):
    assert list(gpt2.encode_iterable(cut_everywhere(text, chance))) == oracle.encode(text, allowed_special="all")


def test_chunks_give_the_ids_of_the_whole_whatever_the_special_tokens():
    chance = random.Random(3)
    special_tokens = ["ab", "abc", "b", "bca", "  ", " a", "\n", "'s", "a\n\nb", "é", END]
    vocab = {byte: bytes([byte]) for byte in range(256)}
    for _ in range(3_000):
        chosen = chance.sample(special_tokens, chance.randrange(1, 5))
        tokenizer = Tokenizer(vocab, [], chosen)
        ids_of = {token.decode(): [token_id] for token_id, token in tokenizer.vocab.items() if token_id > 255}
        ids_of |= {token: [ord(token)] for token in chosen if token not in ids_of}
        text = "".join(chance.choices(["a", "b", "c", " ", "\n", "'", "s", "é"], k=chance.randrange(25)))
        longest_first = sorted(chosen, key=len, reverse=True)
        parts = regex.split(f"({'|'.join(map(regex.escape, longest_first))})", text)
        expected = [token_id for part in parts for token_id in ids_of.get(part, part.encode())]
        assert list(tokenizer.encode_iterable(cut_everywhere(text, chance))) == expected, (text, chosen)


def test_ids_come_before_the_stream_ends(gpt2):
    def endless():
        while True:
            yield "once upon "

    assert list(islice(gpt2.encode_iterable(endless()), 4)) == gpt2.encode("once upon once upon")


def test_a_chunk_is_asked_for_only_when_it_is_needed(gpt2):
    asked = []

    def chunks():
        for number in range(100):
            asked.append(number)
            yield f"line {number}\n"

    ids = gpt2.encode_iterable(chunks())
    assert not asked
    next(ids)
    assert len(asked) == 1


def peak_growth(ids) -> int:
    """Bytes by which memory peaks above where it was, while the ids are taken one by one."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in ids:
            pass
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("separator", ["\n", "。"])
def test_memory_stays_constant_over_five_megabytes(gpt2, separator):
    words = ["hello", "world", "story", "naïve", "cats", "2026", "don't"]
    line = separator.join(words * 20) + separator
    lines = (line for _ in range(5_000_000 // len(line)))
    assert peak_growth(gpt2.encode_iterable(lines)) < 1_000_000


def test_memory_stays_constant_when_it_all_comes_in_one_chunk(gpt2):
    text = "hello world, once upon a time. " * 80_000
    assert peak_growth(gpt2.encode_iterable([text])) < 1_000_000


def test_a_run_that_cannot_be_cut_costs_no_more_than_its_length(gpt2, oracle):
    # A tokenizer that looks at all it holds for every chunk would take minutes.
    run = ["\n"] * 200_000
    assert list(gpt2.encode_iterable(run)) == oracle.encode("\n" * 200_000)


# --- decode -------------------------------------------------------------------------------------------------


@fuzz
@given(text=texts)
def test_decoding_undoes_encoding(gpt2, text):
    assert gpt2.decode(gpt2.encode(text)) == text


@fuzz
@given(ids=st.lists(st.integers(0, 50256), max_size=12))
def test_malformed_bytes_become_replacement_characters(gpt2, ids):
    assert gpt2.decode(iter(ids)) == b"".join(gpt2.vocab[token_id] for token_id in ids).decode("utf-8", "replace")


def test_a_character_may_span_tokens(gpt2):
    ids = gpt2.encode("👍🏽")
    assert len(ids) > 2
    assert gpt2.decode(ids[:1]) == "�"


def test_an_unknown_id_is_an_error(gpt2):
    with pytest.raises(ValueError, match="The id 50257 is not in the vocabulary"):
        gpt2.decode([1, 50257])


# --- construction -------------------------------------------------------------------------------------------


def test_a_merge_that_the_vocabulary_lacks_is_an_error(toy):
    vocab, merges = toy
    with pytest.raises(ValueError, match=r"Merge 5 joins b'a' and b'c', but b'ac' is not in the vocabulary"):
        Tokenizer(vocab, [*merges, (b"a", b"c")])


def test_a_byte_that_the_vocabulary_lacks_is_an_error(toy):
    with pytest.raises(ValueError, match="byte b'x' is not in the vocabulary"):
        Tokenizer(*toy).encode("the x")


def test_an_empty_special_token_is_an_error(toy):
    vocab, merges = toy
    with pytest.raises(ValueError, match="empty string"):
        Tokenizer(vocab, merges, [""])


def test_all_of_gpt2s_merges_are_read(gpt2):
    assert len(gpt2.vocab) == 50257
    assert len(gpt2._products) == 50000


@pytest.mark.parametrize("header", ["#version: 0.2\n", ""])
def test_files_may_lack_the_version_line(tmp_path, header):
    (tmp_path / "vocab.json").write_text('{"#": 0, "##": 1, "Ġ": 2, "<x y>": 3}', encoding="utf-8")
    (tmp_path / "merges.txt").write_text(f"{header}# #\n\n", encoding="utf-8")
    tokenizer = Tokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt", ["<x y>"])
    assert tokenizer.encode("## #<x y>") == [1, 2, 0, 3]


@pytest.mark.parametrize(
    ("vocab", "merges", "message"),
    [('{"a": 0}', "a b c\n", "line 1: not two tokens"), ('{"a b": 0}', "", "stands for no byte")],
)
def test_malformed_files_are_errors(tmp_path, vocab, merges, message):
    (tmp_path / "vocab.json").write_text(vocab, encoding="utf-8")
    (tmp_path / "merges.txt").write_text(merges, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        Tokenizer.from_files(tmp_path / "vocab.json", tmp_path / "merges.txt")


def test_survives_pickling(gpt2):
    text = "pickled, naïvely"
    gpt2.encode(text)
    assert pickle.loads(pickle.dumps(gpt2)).encode(text) == gpt2.encode(text)


def test_encodes_what_training_merged(tmp_path):
    chance = random.Random(5)
    text = " ".join("".join(chance.choices("abné", k=chance.randrange(1, 9))) for _ in range(3000))
    (tmp_path / "corpus.txt").write_text(text, encoding="utf-8")
    vocab, merges = train_bpe(tmp_path / "corpus.txt", 600, [END])
    tokenizer = Tokenizer(vocab, merges, [END])
    for word in set(regex.findall(PRETOKEN_PATTERN, text)):
        tokens = [bytes([byte]) for byte in word.encode()]
        for left, right in merges:  # by the definition: each merge in turn, from left to right
            i = 0
            while i < len(tokens) - 1:
                if (tokens[i], tokens[i + 1]) == (left, right):
                    tokens[i : i + 2] = [left + right]
                i += 1
        assert [vocab[token_id] for token_id in tokenizer.encode(word)] == tokens
