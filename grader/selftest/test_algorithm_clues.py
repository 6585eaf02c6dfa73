"""Clues about algorithms: what is said of wrong code in other styles than the catalogue's, and silence where honest."""

from __future__ import annotations

import importlib
import itertools
import types
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import regex
import torch

from grader.cases.case import Case
from grader.cases.pattern_probes import GPT2_PATTERN
from grader.cases.store import stored_cases
from grader.diagnosis.algorithms import find_algorithm
from grader.diagnosis.algorithms.bpe_training import WAYS as WAYS_OF_TRAINING
from grader.diagnosis.algorithms.bpe_training import Trainer, ways_of
from grader.diagnosis.algorithms.ways import Way
from grader.diagnosis.clues import Failure
from grader.diagnosis.structure import find_structure
from grader.misconceptions.catalogue import load_catalogue
from grader.reference import adapters as reference
from grader.reference._simple_bpe import train
from grader.scoring.outcome import Outcome, Result
from grader.selftest.algorithm_clues import said_of, said_of_submission, verdict, words_of_clues
from grader.submission.in_process import InProcess
from grader.submission.interface import Submission

END = "<|endoftext|>"


def with_adapters(**adapters: Callable[..., Any]) -> Submission:
    """A submission that has these adapters in the place of the reference's."""
    module = types.ModuleType("wrong")
    vars(module).update({name: value for name, value in vars(reference).items() if name.startswith(("run_", "get_"))})
    vars(module).update(adapters)
    return InProcess(module)


def case_of(problem: str, name: str) -> Case:
    return next(case for case in stored_cases(problem) if case.name == name)


def failure_of(submission: Submission, problem: str, case: Case, claim: str = "test_of_the_kit") -> Failure:
    """As if a test had asked for this case and failed."""
    submission.begin_transcript()
    try:
        if "texts" in case.inputs or "streams" in case.inputs or "sequences" in case.inputs:
            ask_tokenizer(submission, case)
        else:
            submission.perform(case.operation, case.inputs)
    except Exception:  # whatever wrong code raises is in the transcript
        pass
    outcome = Outcome(f"test_{problem}.py::{claim}[{case.name}]", Result.FAIL)
    asked, answers = tuple(submission.asked), tuple(submission.transcript or ())
    submission.transcript = None
    return Failure(problem, outcome, f"test_{problem}.py::{claim}", case, asked, answers)


def ask_tokenizer(submission: Submission, case: Case) -> None:
    tokenizer = submission.tokenizer(case.inputs["vocab"], case.inputs["merges"], case.inputs["special_tokens"])
    for text in case.inputs.get("texts", ()):
        tokenizer.encode(text)
    for chunks in case.inputs.get("streams", ()):
        tokenizer.encode_iterable(chunks)
    for ids in case.inputs.get("sequences", ()):
        tokenizer.decode(ids)


def said(submission: Submission, problem: str, case: str, claim: str = "test_of_the_kit") -> str:
    failure = failure_of(submission, problem, case_of(problem, case), claim)
    clues = [source(failure, submission) for source in (find_structure, find_algorithm)]
    return "\n".join(sentence for clue in clues if clue for sentence in clue.says)


# --- BPE training ----------------------------------------------------------------------------------------------------


def trains(
    choose: Callable[[dict], tuple],
    cut: Callable[[str, list[str]], list[str]] | None = None,
    extra: int = 0,
    alphabet: Callable[[int], bytes] = lambda byte: bytes([byte]),
) -> Callable[..., Any]:
    """A trainer that recounts everything for each merge, on ids, as first drafts do."""

    def run_train_bpe(input_path, vocab_size, special_tokens, **_):
        with open(input_path, "rb") as file:
            text = file.read().decode("utf-8")
        documents = regex.split("|".join(map(regex.escape, special_tokens)), text) if special_tokens else [text]
        pieces = (
            cut(text, special_tokens) if cut else [p for part in documents for p in regex.findall(GPT2_PATTERN, part)]
        )
        vocab = {i: alphabet(i) for i in range(256)} | {256 + i: t.encode() for i, t in enumerate(special_tokens)}
        words = [list(piece.encode()) for piece in pieces]
        merges = []
        while len(vocab) < vocab_size + extra:
            counts = Counter(pair for word in words for pair in itertools.pairwise(word))
            if not counts:
                break
            pair = choose({(vocab[a], vocab[b]): (n, (a, b)) for (a, b), n in counts.items()})
            merges.append((vocab[pair[0]], vocab[pair[1]]))
            vocab[new := len(vocab)] = merges[-1][0] + merges[-1][1]
            for word in words:
                i = 0
                while i < len(word) - 1:
                    if (word[i], word[i + 1]) == pair:
                        word[i : i + 2] = [new]
                    i += 1
        return vocab, merges

    return run_train_bpe


def greatest(counts):
    return max((n, tokens, pair) for tokens, (n, pair) in counts.items())[2]


def first_of_the_most(counts):
    return max(counts.values(), key=lambda counted: counted[0])[1]


def most_by_ids(counts):
    return max(counts.values())[1]


def least_of_the_most(counts):
    return min((-n, tokens, pair) for tokens, (n, pair) in counts.items())[2]


@pytest.mark.parametrize(
    ("trainer", "case", "sentence"),
    [
        (trains(first_of_the_most), "tied_pairs", "the pair that it saw first"),
        (trains(most_by_ids), "longer_tokens", "compares token ids"),
        (trains(least_of_the_most), "tied_pairs", "merges the smallest pair"),
        (trains(greatest, lambda text, special: text.split()), "digits", "str.split()"),
        (
            trains(greatest, lambda text, special: regex.findall(r"\w+|[^\w\s]+", text)),
            "digits",
            "drops all white space",
        ),
        (
            trains(greatest, lambda text, special: regex.findall(GPT2_PATTERN, text)),
            "one_word_each",
            "counts special tokens as text",
        ),
        (
            trains(
                greatest,
                lambda text, special: regex.findall(
                    GPT2_PATTERN, regex.sub("|".join(map(regex.escape, special)), "", text)
                ),
            ),
            "one_word_each",
            "joins what is left",
        ),
    ],
)
def test_another_trainer_is_known_by_its_merges(trainer, case, sentence):
    assert sentence in said(with_adapters(run_train_bpe=trainer), "train_bpe", case)


def without_end(trainer):
    """The same, but it raises when no pair is left."""

    def run_train_bpe(input_path, vocab_size, special_tokens, **_):
        vocab, merges = trainer(input_path, vocab_size, special_tokens)
        if len(vocab) < vocab_size:
            raise ValueError("max() arg is an empty sequence")
        return vocab, merges

    return run_train_bpe


def test_code_that_raises_is_asked_for_less():
    characters = Way("symbols", "characters", "")

    def of_characters(input_path, vocab_size, special_tokens, **_):
        merges = itertools.islice(Trainer(input_path.read_bytes(), special_tokens, (characters,)), vocab_size - 257)
        return dict.fromkeys(range(257 + len(found := list(merges))), b"a"), found

    for case in ("characters", "white_space"):
        assert "Your merges are of characters" in said(
            with_adapters(run_train_bpe=without_end(of_characters)), "train_bpe", case
        )
    found = said(with_adapters(run_train_bpe=without_end(trains(greatest))), "train_bpe", "few_pairs")
    assert "no pair is left: training ends there" in found


def test_two_ways_at_once_are_both_known():
    cut = lambda text, special: [w for part in text.split(END) for w in regex.findall(r" ?\S+|\s+", part)]  # noqa: E731
    found = said(with_adapters(run_train_bpe=trains(first_of_the_most, cut)), "train_bpe", "english_small")
    assert "the pair that it saw first" in found
    assert "words with a space before them" in found


def test_a_wrong_count_is_told_with_the_right_ones():
    """Nobody knows why, but where the counts part can be said."""
    calls = []

    def now_and_then(counts):
        calls.append(1)
        ranked = sorted((n, tokens, pair) for tokens, (n, pair) in counts.items())
        return ranked[-2 if len(calls) % 5 == 3 and len(ranked) > 1 else -1][2]

    submission = with_adapters(run_train_bpe=trains(now_and_then))
    failure = failure_of(submission, "train_bpe", case_of("train_bpe", "words"))
    clue = find_algorithm(failure, submission)
    case = case_of("train_bpe", "words")
    made = failure.answers[0]["merges"]
    at = next(i for i, (one, other) in enumerate(zip(case.expected["merges"], made, strict=False)) if one != other)
    trainer = Trainer(case.inputs["corpus"], case.inputs["special_tokens"])
    for merge in made[:at]:
        trainer.merge(merge)
    counts = [trainer.pairs[pair] for pair in (case.expected["merges"][at], made[at])]
    assert clue is not None
    assert f"Before merge {at + 1}" in clue.says[0]
    assert f"occurs {counts[0]} times and" in clue.says[0]
    assert f" {counts[1]} times: print yours" in clue.says[0]


def test_the_plain_trainer_is_right():
    for case in stored_cases("train_bpe"):
        corpus, special, size = (case.inputs[name] for name in ("corpus", "special_tokens", "vocab_size"))
        if len(corpus) < 40_000:
            _, merges = train(corpus.decode(), size, special)
            assert list(itertools.islice(Trainer(corpus, special), max(size - 256 - len(special), 0))) == merges


@pytest.mark.parametrize("way", WAYS_OF_TRAINING, ids=lambda way: f"{way.step}, {way.name}")
def test_every_way_of_training_is_known_by_what_it_learns(way):
    def run_train_bpe(input_path, vocab_size, special_tokens, **_):
        room = vocab_size - 256 - len(special_tokens)
        merges = list(itertools.islice(Trainer(input_path.read_bytes(), special_tokens, (way,)), room))
        return {i: bytes([i]) for i in range(256)}, merges

    found = ways_of(with_adapters(run_train_bpe=run_train_bpe))
    assert {tuple(one.says for one in ways) for ways in found} == {(way.says,)}


# --- the tokenizer ---------------------------------------------------------------------------------------------------


class Tokenizer:
    """A first draft: cuts with one pattern, keeps ids, looks for the pair of lowest rank again and again."""

    def __init__(self, vocab, merges, special_tokens=None):
        self.vocab, self.merges = dict(vocab), list(merges)
        self.ids = {token: i for i, token in reversed(self.vocab.items())}
        self.special = sorted(special_tokens or [], key=len, reverse=True)

    def encode(self, text):
        parts = regex.split(f"({'|'.join(map(regex.escape, self.special))})", text) if self.special else [text]
        found = []
        for part in parts:
            if part in self.special:
                found.append(self.ids[part.encode()])
            else:
                for piece in regex.findall(GPT2_PATTERN, part):
                    found += [self.ids[token] for token in self.word([bytes([b]) for b in piece.encode()])]
        return found

    def word(self, tokens):
        while (pairs := [p for p in itertools.pairwise(tokens) if p in self.merges]) and len(tokens) > 1:
            tokens = self.join(tokens, min(pairs, key=self.merges.index))
        return tokens

    def join(self, tokens, pair):
        i, joined = 0, []
        while i < len(tokens):
            if tuple(tokens[i : i + 2]) == pair:
                joined.append(pair[0] + pair[1])
                i += 2
            else:
                joined.append(tokens[i])
                i += 1
        return joined

    def encode_iterable(self, chunks):
        yield from self.encode("".join(chunks))

    def decode(self, ids):
        return b"".join(self.vocab[i] for i in ids).decode("utf-8", "replace")


class TakesTheFirstThatFits(Tokenizer):
    def word(self, tokens):
        while pairs := [p for p in itertools.pairwise(tokens) if p in self.merges]:
            i = next(i for i, p in enumerate(itertools.pairwise(tokens)) if p == pairs[0])
            tokens = [*tokens[:i], tokens[i] + tokens[i + 1], *tokens[i + 2 :]]
        return tokens


class OneMergeOnly(Tokenizer):
    def word(self, tokens):
        pairs = [p for p in itertools.pairwise(tokens) if p in self.merges]
        if not pairs:
            return tokens
        i = list(itertools.pairwise(tokens)).index(min(pairs, key=self.merges.index))
        return [*tokens[:i], tokens[i] + tokens[i + 1], *tokens[i + 2 :]]


class ChunkAfterChunk(Tokenizer):
    def encode_iterable(self, chunks):
        for chunk in chunks:
            yield from self.encode(chunk)


class WholeLines(Tokenizer):
    def encode_iterable(self, chunks):
        buffer = ""
        for chunk in chunks:
            buffer += chunk
            if "\n" in buffer:
                done, _, buffer = buffer.rpartition("\n")
                yield from self.encode(done + "\n")
        yield from self.encode(buffer)


class LastHeldBack(Tokenizer):
    def encode_iterable(self, chunks):
        buffer = ""
        for chunk in chunks:
            *done, buffer = regex.findall(GPT2_PATTERN, buffer + chunk) or [""]
            yield from itertools.chain.from_iterable(map(self.encode, done))
        yield from self.encode(buffer)


class LastHeldBackAndRestSplitAgain(Tokenizer):
    def encode_iterable(self, chunks):
        buffer = ""
        for chunk in chunks:
            *done, buffer = regex.findall(GPT2_PATTERN, buffer + chunk) or [""]
            yield from self.encode("".join(done))
        yield from self.encode(buffer)


class EachTokenAlone(Tokenizer):
    def decode(self, ids):
        return "".join([self.vocab[i].decode("utf-8", errors="replace") for i in ids])


@pytest.mark.parametrize(
    ("tokenizer", "case", "sentence"),
    [
        (TakesTheFirstThatFits, "where_merges_meet", "joins the leftmost pair that is in the list"),
        (OneMergeOnly, "words", "makes one merge in a word and stops"),
        (ChunkAfterChunk, "text_with_cuts", "encodes each chunk on its own"),
        (WholeLines, "text_with_cuts", "encodes up to the last newline"),
        (LastHeldBack, "text_with_cuts", "holds back the last pre-token only"),
        (LastHeldBackAndRestSplitAgain, "text_with_cuts", "splits the rest again"),
        (EachTokenAlone, "malformed", "decodes each token on its own"),
    ],
)
def test_another_tokenizer_is_known_by_its_ids(tokenizer, case, sentence):
    assert sentence in said(with_adapters(get_tokenizer=tokenizer), "tokenizer", case)


class ShortestSpecialFirst(Tokenizer):
    def __init__(self, vocab, merges, special_tokens=None):
        super().__init__(vocab, merges, special_tokens)
        self.special.reverse()


class SpecialAsListed(Tokenizer):
    def __init__(self, vocab, merges, special_tokens=None):
        super().__init__(vocab, merges, special_tokens)
        self.special = list(special_tokens or [])


@pytest.mark.parametrize(
    ("tokenizer", "case", "sentence"),
    [
        (ShortestSpecialFirst, "double_first", "takes the shortest; the longest should be"),
        (ShortestSpecialFirst, "one_contains_another", "takes the shortest; the longest should be"),
        (SpecialAsListed, "one_contains_another", "takes the one that is first in the list; the longest should be"),
    ],
)
def test_ways_that_a_case_cannot_tell_apart_are_told_apart_by_others(tokenizer, case, sentence):
    """Two special tokens are too few for that: the shortest is the first, or the only one that is known."""
    found = said(with_adapters(get_tokenizer=tokenizer), "tokenizer", case)
    assert sentence in found
    assert "One of these" not in found


def test_the_pretoken_and_the_merge_are_named():
    found = said(with_adapters(get_tokenizer=TakesTheFirstThatFits), "tokenizer", "where_merges_meet")
    assert "the ids part at the pre-token" in found
    assert "of rank 0, comes first" in found


def test_the_wrong_one_of_many_calls_is_looked_at():
    """A claim encodes a hundred words and compares them at its end; the first that is wrong may be the fiftieth."""

    class Composes(Tokenizer):
        def encode(self, text):
            return super().encode(unicodedata.normalize("NFC", text))

    claim = "test_letters_and_digits_of_every_script"
    found = said_of_submission(with_adapters(get_tokenizer=Composes), "tokenizer", [claim])
    assert any(sentence.startswith("Your code composes characters first") for sentence in found.sentences)


# --- optimizers, schedule, clipping ----------------------------------------------------------------------------------


def adamw(update: Callable[..., torch.Tensor]) -> type:
    """An AdamW whose step for one parameter is `update(p, g, m, v, t, group)`, after m and v have been updated."""

    class AdamW(torch.optim.Optimizer):
        def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
            super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    state = self.state[p]
                    t = state["step"] = state.get("step", 0) + 1
                    (b1, b2), g = group["betas"], p.grad.data
                    m = state["m"] = b1 * state.get("m", torch.zeros_like(p.data)) + (1 - b1) * g
                    v = state["v"] = b2 * state.get("v", torch.zeros_like(p.data)) + (1 - b2) * g**2
                    p.data = update(p.data, g, m, v, t, group)

    return AdamW


def usual(p, g, m, v, t, group):
    b1, b2 = group["betas"]
    hat, root = m / (1 - b1**t), (v / (1 - b2**t)).sqrt()
    return p - group["lr"] * (hat / (root + group["eps"]) + group["weight_decay"] * p)


def without_correction(p, g, m, v, t, group):
    return p - group["lr"] * (m / (v.sqrt() + group["eps"]) + group["weight_decay"] * p)


def decays_without_rate(p, g, m, v, t, group):
    return usual(p, g, m, v, t, group | {"weight_decay": 0.0}) - group["weight_decay"] * p


def both_wrong(p, g, m, v, t, group):
    return without_correction(p, g, m, v, t, group | {"weight_decay": 0.0})


@pytest.mark.parametrize(
    ("update", "case", "sentences"),
    [
        (without_correction, "one_matrix", ["without bias correction", "It differs from the first step"]),
        (decays_without_rate, "decays", ["decays by weight_decay alone"]),
        (both_wrong, "decays", ["applies no weight decay"]),
    ],
)
def test_another_optimizer_is_known_by_its_path(update, case, sentences):
    found = said(with_adapters(get_adamw_cls=lambda: adamw(update)), "adamw", case)
    assert all(sentence in found for sentence in sentences)


class ScalesInPlace(adamw(usual)):  # type: ignore[misc]
    """(1 - beta1) g, made in place for m, is what v squares: off by what `m += g` is, but for the weight of eps."""

    def step(self, closure=None):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state, g = self.state[p], p.grad.mul_(1 - b1)
                t = state["step"] = state.get("step", 0) + 1
                m = state["m"] = b1 * state.get("m", torch.zeros_like(p.data)) + g
                v = state["v"] = b2 * state.get("v", torch.zeros_like(p.data)) + (1 - b2) * g**2
                p.data = usual(p.data, g, m, v, t, group)


def test_two_optimizers_that_only_eps_tells_apart_are_not_mistaken_for_each_other():
    found = said(with_adapters(get_adamw_cls=lambda: ScalesInPlace), "adamw", "one_matrix")
    assert "averages the squares of (1 - beta1) g in v" in found
    assert "adds the whole gradient to m" not in found


def test_an_honest_optimizer_gets_no_clue():
    submission = with_adapters(get_adamw_cls=lambda: adamw(usual))
    for case in stored_cases("adamw"):
        if case.operation == "adamw_trajectory":
            assert find_algorithm(failure_of(submission, "adamw", case), submission) is None, case.name


@pytest.mark.parametrize(
    ("warm_up", "words"),
    [
        (lambda it, high, low, warm: low + (it + 1) / warm * (high - low), "counts from 1 (it + 1) and begins at min"),
        (lambda it, high, low, warm: max(1, it) / warm * high, "makes 1 of it = 0, as max(1, it) does"),
        (lambda it, high, low, warm: max(low, it / warm * high), "is never below min_learning_rate"),
    ],
)
def test_a_warm_up_may_be_wrong_in_two_ways_at_once(warm_up, words):
    def schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
        if it < warmup_iters:
            return warm_up(it, max_learning_rate, min_learning_rate, warmup_iters)
        return reference.run_get_lr_cosine_schedule(
            it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters
        )

    found = said(with_adapters(run_get_lr_cosine_schedule=schedule), "learning_rate_schedule", "short", "test_warmup")
    assert words in found


def test_the_piece_of_the_schedule_and_its_formula_are_named():
    def schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters):
        if it <= warmup_iters:
            return max_learning_rate * (it + 1) / (warmup_iters + 1)
        return reference.run_get_lr_cosine_schedule(
            it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters
        )

    found = said(with_adapters(run_get_lr_cosine_schedule=schedule), "learning_rate_schedule", "short", "test_warmup")
    assert "Your warm-up is (it + 1) / (warmup_iters + 1)" in found


def test_the_norm_of_a_clipping_is_named():
    def clip(parameters, max_l2_norm):
        parameters = [p for p in parameters if p.grad is not None]
        norm = sum(p.grad.norm() for p in parameters)
        if norm > max_l2_norm:
            for p in parameters:
                p.grad *= max_l2_norm / (norm + 1e-6)

    assert "the sum of the gradients' norms" in said(
        with_adapters(run_gradient_clipping=clip), "gradient_clipping", "each_within"
    )


# --- structure -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "adapters", "case", "sentence"),
    [
        (
            "train_bpe",
            {"run_train_bpe": trains(greatest, alphabet=lambda byte: chr(byte).encode())},
            "pairs",
            "128 are not in the vocabulary",
        ),
        ("train_bpe", {"run_train_bpe": trains(greatest, extra=1)}, "pairs", "makes one too many"),
        ("linear", {"run_linear": lambda **_: None}, "vector", "returns None"),
        (
            "softmax",
            {"run_softmax": lambda in_features, dim: in_features},
            "matrix_last",
            "The output is the input in_features, unchanged",
        ),
    ],
)
def test_what_the_form_of_an_output_shows(problem, adapters, case, sentence):
    cases = stored_cases(problem)
    name = case if any(one.name == case for one in cases) else cases[0].name
    assert sentence in said(with_adapters(**adapters), problem, name)


def test_probabilities_for_logits_are_seen():
    def run_transformer_lm(**arguments):
        return reference.run_transformer_lm(**arguments).softmax(-1)

    case = stored_cases("transformer_lm")[0]
    found = said(with_adapters(run_transformer_lm=run_transformer_lm), "transformer_lm", case.name)
    assert "return logits, without a softmax" in found


# --- silence ---------------------------------------------------------------------------------------------------------

HONEST = ("gradient_clipping", "learning_rate_schedule", "train_bpe")


@pytest.mark.parametrize("problem", HONEST)
def test_nothing_is_said_of_the_reference(problem):
    """Whatever test fails, and for whatever reason: what is right is not talked about."""
    submission = with_adapters()
    for case in stored_cases(problem)[:40]:
        failure = failure_of(submission, problem, case)
        assert find_structure(failure, submission) is None, case.name
        assert find_algorithm(failure, submission) is None, case.name


def test_a_submission_that_never_answers_is_not_asked_again():
    def run_train_bpe(input_path, vocab_size, special_tokens, **_):
        raise RuntimeError("no")

    assert (
        said_of_submission(with_adapters(run_train_bpe=run_train_bpe), "train_bpe", ["test_path_as_string"]).clues == {}
    )


# --- the catalogue ---------------------------------------------------------------------------------------------------

A_FEW = (
    *("adamw-decay-through-gradient", "adamw-count-rises-per-parameter", "gradient-clipping-sum-of-norms"),
    *("learning-rate-schedule-whole-cosine", "data-loading-targets-roll-around"),
)


@pytest.mark.parametrize("id", A_FEW)
def test_what_is_said_of_a_known_bug_is_true(id):
    """As if nobody knew it; `python -m grader.selftest.algorithm_clues` has them all."""
    misconception = next(one for one in load_catalogue() if one.id == id)
    assert verdict(id, said_of(misconception), words_of_clues()) == "true"


@pytest.mark.parametrize("problem", ["adamw", "gradient_clipping"])
def test_honest_code_that_fails_something_else_gets_no_clue(problem):
    """Each honest variant, with every case taken for a failure."""
    module = importlib.import_module(f"grader.selftest.honest.{problem}")
    for variant in module.VARIANTS:
        with variant.planted():
            submission = with_adapters()
            for case in stored_cases(problem)[:12]:
                failure = failure_of(submission, problem, case)
                assert find_structure(failure, submission) is None, (variant.id, case.name)
                assert find_algorithm(failure, submission) is None, (variant.id, case.name)
