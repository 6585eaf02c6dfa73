"""The cases of train_bpe and tokenizer: each group asks for what it says, for every seed, and for nothing else."""

from __future__ import annotations

import importlib.util
import random
import time
import types
from collections import Counter

import numpy as np
import pytest
import regex
import torch

from grader.cases.case import Draw
from grader.cases.compare import Mismatch
from grader.cases.generators import train_bpe
from grader.cases.store import draw_cases, stored_cases
from grader.diagnosis.known_bugs import load_known_bugs
from grader.kit.paths import TESTS
from grader.reference.pretokenization import PRETOKEN_PATTERN
from grader.reference.tokenizer import Tokenizer
from grader.submission.faults import NothingToAssess, WrongResult
from grader.submission.in_process import InProcess


def claims_of(problem: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(f"claims_of_{problem}", TESTS / f"test_{problem}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


training_claims, tokenizer_claims = claims_of("train_bpe"), claims_of("tokenizer")

SEEDS = (0, 1, 2)
WITHOUT_TIES = (
    "merges",
    "repeats",
    "unicode",
    "pretokens",
    "documents",
    "vocabulary",
    "no_special_tokens",
    "path_as_str",
)


def counts_of(case) -> Counter[str]:
    """How often each pre-token of a case's text occurs."""
    separators = "|".join(map(regex.escape, case.inputs["special_tokens"])) or "(?!)"
    documents = regex.split(separators, case.inputs["corpus"].decode())
    return Counter(pretoken for text in documents for pretoken in regex.findall(PRETOKEN_PATTERN, text))


@pytest.mark.parametrize("seed", SEEDS)
def test_merges_are_no_close_calls_where_ties_are_not_the_matter(seed):
    for case in draw_cases("train_bpe", seed):
        if case.group in WITHOUT_TIES:
            wanted = case.inputs["vocab_size"] - 256 - len(case.inputs["special_tokens"])
            assert len(train_bpe.clear_merges(counts_of(case), wanted)) == wanted, case.name


@pytest.mark.parametrize("seed", SEEDS)
def test_words_have_each_letter_once_where_repeated_pairs_are_not_the_matter(seed):
    for case in draw_cases("train_bpe", seed):
        if case.group in ("merges", "ties", "documents", "vocabulary", "one_document", "many_documents"):
            words = [word for word in counts_of(case) if word.strip()]
            assert all(len(set(word)) == len(word) for word in words), case.name


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cut_inside_any_word_of_a_long_document_shows(seed):
    corpus = train_bpe._one_document(Draw(seed, "train_bpe"))
    merges = train_bpe._LONG_WORD
    right = train_bpe.clear_merges(Counter(corpus.split()), merges, margin=1)
    long_word = max(corpus.split(), key=len)
    start = corpus.index(f"\n{long_word}\n", len(corpus) // 2) + 1
    for cut in range(start + 1, start + len(long_word)):
        parts = Counter(corpus[:cut].split()) + Counter(corpus[cut:].split())
        assert train_bpe.clear_merges(parts, merges, margin=0) != right


def test_a_bug_of_one_thing_is_seen_by_the_claim_about_it():
    """What would be luck: that a bug is caught by English text, or by a claim about something else."""
    seen = {bug.id: {test.partition("[")[0] for test in bug.evidence.get(bug.problem, {})} for bug in load_known_bugs()}
    for bug, claim in {
        "bpe-cut-in-blocks": "test_a_long_document_is_cut_nowhere",
        "bpe-cut-in-equal-parts": "test_a_long_document_is_cut_nowhere",
        "bpe-last-part-lost": "test_every_document_counts_once",
        "bpe-borders-counted-twice": "test_every_document_counts_once",
        "bpe-ties-to-first-seen": "test_ties_go_to_the_greater_pair_of_bytes",
        "bpe-first-occurrence-only": "test_counts_around_repeated_pairs",
        "bpe-ascii-digits": "test_pretokens_follow_the_pattern",
        "bpe-counts-everything-anew": "test_speed",
        "bpe-rewrites-every-word": "test_merges_look_at_what_they_change",
    }.items():
        assert f"test_train_bpe.py::{claim}" in seen[bug], bug
    for bug, claim in {
        "tokenizer-ascii-letters": "test_letters_and_digits_of_every_script",
        "tokenizer-ascii-digits": "test_letters_and_digits_of_every_script",
        "tokenizer-word-characters": "test_text_is_cut_by_the_pattern",
        "tokenizer-whole-words-looked-up": "test_merges_go_by_their_order",
        "tokenizer-longest-match": "test_merges_are_applied_in_their_order",
    }.items():
        assert f"test_tokenizer.py::{claim}" in seen[bug], bug
    assert seen["tokenizer-searches-all-merges"] == {"test_tokenizer.py::test_speed"}  # right, if slow
    assert seen["bpe-split-at-nothing"] <= {
        "test_train_bpe.py::test_without_special_tokens",
        "test_train_bpe.py::test_nothing_to_learn",
    }


# --- what a stub hears -----------------------------------------------------------------------------------------------


def submission_with(**adapters) -> InProcess:
    return InProcess(types.SimpleNamespace(**adapters))  # type: ignore[arg-type]


class Stub:
    """A tokenizer that answers everything with the same."""

    def __init__(self, answer):
        self.answer = answer

    def encode(self, text):
        return self.answer

    def encode_iterable(self, iterable):
        return self.answer


@pytest.mark.parametrize("answer", [None, [0]])
def test_a_stub_of_encode_is_called_one(answer):
    case = next(case for case in stored_cases("tokenizer") if case.group == "order")
    submission = submission_with(get_tokenizer=lambda **_: Stub(answer))
    with pytest.raises(Mismatch, match="is it unwritten"):
        tokenizer_claims.check_encoding(submission, case)


def test_a_stub_of_encode_iterable_is_called_one():
    case = next(case for case in stored_cases("tokenizer") if case.group == "cuts")
    submission = submission_with(get_tokenizer=lambda **_: Stub(None))
    with pytest.raises(WrongResult, match="returned None"):
        tokenizer_claims.check_streams(submission, case)


def test_a_stub_of_train_bpe_is_called_one():
    case = next(case for case in stored_cases("train_bpe") if case.group == "merges")
    with pytest.raises(WrongResult, match="returned None"):
        submission_with(run_train_bpe=lambda **_: None).train_bpe(**case.inputs)


@pytest.mark.parametrize("judge", [training_claims.check, training_claims.check_merges])
def test_a_trainer_without_merges_hears_it(judge):
    case = next(case for case in stored_cases("train_bpe") if case.group == "merges")
    submission = submission_with(run_train_bpe=lambda **_: ({i: bytes([i]) for i in range(256)}, []))
    with pytest.raises(Mismatch) as caught:
        judge(case, submission.train_bpe(**case.inputs))
    assert "no merge was made" in "\n".join([caught.value.message, *getattr(caught.value, "__notes__", [])])


def test_merges_are_judged_as_far_as_they_go():
    """One merge too many or too few is the matter of one claim."""
    case = next(case for case in stored_cases("train_bpe") if case.group == "merges")
    merges = case.expected["merges"]
    for made in (merges[:-1], [*merges, (b"x", b"y")]):
        training_claims.check_merges(case, {"merges": made})
        with pytest.raises(Mismatch):
            training_claims.check(case, {**case.expected, "merges": made})


def test_pairs_in_lists_are_the_matter_of_one_claim():
    case = next(case for case in stored_cases("train_bpe") if case.group == "merges")
    answer = {**case.expected, "merges": list(map(list, case.expected["merges"]))}
    training_claims.check_merges(case, answer)
    wrong = [*answer["merges"][:-1], [b"x", b"y"]]
    with pytest.raises(Mismatch, match=r"merges'\]\[\d+\]"):
        training_claims.check_merges(case, {"merges": wrong})
    submission = types.SimpleNamespace(train_bpe=lambda **_: answer)
    training_claims.test_vocabulary_has_the_size_asked_for(submission, case)
    with pytest.raises(Mismatch, match="expected a tuple, got a list") as caught:
        training_claims.test_merges_of_english_text(submission, case)
    assert not getattr(caught.value, "__notes__", [])


@pytest.mark.parametrize("kind", [tuple, np.array, torch.tensor])
def test_ids_in_no_list_are_the_matter_of_one_claim(kind):
    case = next(case for case in stored_cases("tokenizer") if case.group == "order")
    answer = list(map(kind, case.expected))
    tokenizer_claims.check_ids(case, case.inputs["texts"], answer)
    with pytest.raises(Mismatch):
        tokenizer_claims.check_ids(case, case.inputs["texts"], [*answer[:-1], kind([0, 1, 2])])

    class InNoList:
        def encode(self, text):
            return kind(list(text.encode()))

    submission = types.SimpleNamespace(tokenizer=lambda *_: InNoList())
    with pytest.raises(AssertionError, match="which is no list of ids"):
        tokenizer_claims.test_round_trip(submission, random.Random(0))


def test_wrong_merges_that_are_made_in_time_are_in_time():
    """What is merged is the matter of other claims; `test_speed` looks at the time alone."""

    def timed(_, inputs):
        merges = [(b"x", b"y")] * (inputs["vocab_size"] - 257)
        return {"merges": merges}, 0.001 * len(merges)

    training_claims.test_speed(types.SimpleNamespace(timed=timed), random.Random(0))


def test_a_token_without_meaning_is_shown_by_its_id():
    """Two of them are told apart, where the tokens alone would look the same on both sides."""
    said = tokenizer_claims._parting({0: b"a"}, "a", [0, 7], [0, 9])
    assert "expected 7 (no id of this vocabulary) ..., got 9 (no id of this vocabulary) ..." in said


class SlowTokenizer:
    """Right, and slower than a tokenizer may be that reads megabytes within the limit of a call."""

    def __init__(self, vocab, merges, special_tokens):
        self._tokenizer = Tokenizer(vocab, merges, special_tokens)

    def encode_iterable(self, chunks):
        for chunk in chunks:
            until = time.process_time() + 0.003
            yield from self._tokenizer.encode(chunk)
            while time.process_time() < until:
                pass


def test_memory_of_a_slow_tokenizer_is_not_assessed():
    submission = submission_with(get_tokenizer=lambda **tables: SlowTokenizer(**tables))
    with pytest.raises(NothingToAssess, match="a long stream takes too long"):
        tokenizer_claims.test_memory_does_not_grow(submission, random.Random(0))


class Counting:
    """Gives as many ids as a tokenizer would, whatever they are, from chunks that are kept for a while.

    kept: characters that are kept before they are let go of.
    """

    def __init__(self, kept: float):
        self._kept = kept

    def encode_iterable(self, chunks):
        chunks, held = iter(chunks), []
        for chunk in chunks:
            held.append((chunk + " ")[:-1])  # a string of its own
            yield from [0] * (chunk.count(tokenizer_claims.END) + 8)
            if len(held) * len(chunk) > self._kept:
                held.clear()


def test_a_buffer_is_no_growth():
    submission = submission_with(get_tokenizer=lambda **_: Counting(1 << 20))
    tokenizer_claims.test_memory_does_not_grow(submission, random.Random(0))


def test_whoever_keeps_the_stream_grows():
    submission = submission_with(get_tokenizer=lambda **_: Counting(float("inf")))
    with pytest.raises(AssertionError, match=r"more memory for 6\.0 MiB more text"):
        tokenizer_claims.test_memory_does_not_grow(submission, random.Random(0))
