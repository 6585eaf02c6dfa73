"""The byte-pair encoding that one learns from gives what the fast one gives."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grader.cases.assets import FIXTURES
from grader.cases.case import Case
from grader.cases.store import stored_cases
from grader.reference import _simple_bpe as simple
from grader.reference.bpe import train_bpe
from grader.reference.tokenizer import Tokenizer

END = "<|endoftext|>"
# Few letters make ties and repeated pairs; two special tokens overlap, and one of them ends in a letter of the words.
FRAGMENTS = ["a", "b", "aa", "ab", "ba", "aaaa", "c", " ", "  ", "\n", "\r\n", "é", "中", "🙂", "'s", "7", "!", "�"]
SPECIAL_TOKENS = [END, END * 2, "<|", "b|", "(.*)"]

texts = st.lists(st.sampled_from([*FRAGMENTS, *SPECIAL_TOKENS]), max_size=60).map("".join) | st.text(max_size=40)
special_token_lists = st.lists(st.sampled_from(SPECIAL_TOKENS), max_size=3, unique=True)
fuzz = settings(max_examples=300, deadline=None, database=None)


def fast_train(data: bytes, vocab_size: int, special_tokens: list[str]):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.txt"
        path.write_bytes(data)
        return train_bpe(path, vocab_size, special_tokens)


def case_id(case: Case) -> str:
    return f"{case.group}-{case.name}"


@fuzz
@example(text="", special_tokens=[END], num_merges=3)
@example(text=END, special_tokens=[END], num_merges=3)
@example(text="aaaa", special_tokens=[], num_merges=9)
@example(text="aaaaaaa aaaa aaa", special_tokens=[], num_merges=9)
@example(text="abab baba abba", special_tokens=[], num_merges=40)
@example(text=f"ab{END}{END}ab{END}", special_tokens=[END, END * 2], num_merges=9)
@given(text=texts, special_tokens=special_token_lists, num_merges=st.integers(0, 60))
def test_both_learn_the_same(text: str, special_tokens: list[str], num_merges: int) -> None:
    vocab_size = 256 + len(special_tokens) + num_merges
    expected = fast_train(text.encode(), vocab_size, special_tokens)
    assert simple.train(text, vocab_size, special_tokens) == expected


@fuzz
@given(text=st.text("ab", max_size=60), num_merges=st.integers(1, 60))
def test_both_learn_the_same_from_words_of_two_letters(text: str, num_merges: int) -> None:
    assert simple.train(text, 256 + num_merges, []) == fast_train(text.encode(), 256 + num_merges, [])


@pytest.mark.parametrize("case", stored_cases("train_bpe"), ids=case_id)
def test_both_learn_the_same_from_stored_cases(case: Case) -> None:
    vocab_size, special_tokens = case.inputs["vocab_size"], case.inputs["special_tokens"]
    data = case.inputs["corpus"]
    text = data.decode("utf-8", "replace")
    assert simple.train(text, vocab_size, special_tokens) == fast_train(data, vocab_size, special_tokens)


def test_both_learn_a_thousand_merges_of_real_text() -> None:
    data = (FIXTURES / "text" / "multilingual.txt").read_bytes()
    learnt = simple.train(data.decode(), 1256, [])
    assert len(learnt[1]) == 1000
    assert learnt == fast_train(data, 1256, [])


@fuzz
@example(text="", training="abab", special_tokens=[])
@example(text=END * 3, training="abab", special_tokens=[END, END * 2])
@example(text="aaaaa aaaa aaa", training="aaaa aaaa aa aa", special_tokens=[])
@given(text=texts, training=texts, special_tokens=special_token_lists)
def test_both_encode_the_same(text: str, training: str, special_tokens: list[str]) -> None:
    vocab, merges = simple.train(training, 300, special_tokens)
    ids = Tokenizer(vocab, merges, special_tokens).encode(text)
    assert simple.encode(text, vocab, merges, special_tokens) == ids


@pytest.mark.parametrize(
    "case", [case for case in stored_cases("tokenizer") if case.operation == "encode_texts"], ids=case_id
)
def test_both_encode_stored_cases_alike(case: Case) -> None:
    special_tokens = case.inputs["special_tokens"] or []
    fast = Tokenizer(case.inputs["vocab"], case.inputs["merges"], special_tokens)
    encoded = [simple.encode(text, fast.vocab, case.inputs["merges"], special_tokens) for text in case.inputs["texts"]]
    assert encoded == [fast.encode(text) for text in case.inputs["texts"]] == case.expected
