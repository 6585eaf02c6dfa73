"""What several experiments claim in the same words, and the constants that such claims are measured by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from ..cases import assets
from ..submission.faults import NothingToAssess
from .consistency import faults_of_curve, faults_of_weights, has_ended
from .parsing import shown
from .run import Config, Run, best_of, kit_text
from .vocabulary import Training, Vocabulary

CLEARLY = 0.1
"""Nats per token by which a loss has to differ for the difference to be more than chance."""

_COPIED = 0.6
_FIRST_MERGES = 256
_STORIES_AT_HOME = 1.08
_STORIES_IN_FULL = 3.4
_LIKE_THE_WEB = 0.9
_WEB_IN_FULL = 2.8


def none_of(faults: Iterable[str]) -> None:
    """Raise an AssertionError with the first of these sentences, if there is one."""
    for fault in faults:
        raise AssertionError(fault)


def check_curves(runs: Sequence[Run]) -> None:
    """Every curve belongs to its configuration, one run at least got to its end, and no two have the same losses."""
    for run in runs:
        none_of(faults_of_curve(run))
    best = best_of(list(runs))
    assert has_ended(best), (
        f"{best.folder}/metrics.jsonl has losses that are not finite, and yet ends with a finite one"
    )
    seen: dict[tuple[float, ...], str] = {}
    for run in runs:
        losses = tuple(record.train_loss for record in run.records)
        assert losses not in seen, f"{run.folder} and {seen[losses]} have the same losses, step by step"
        seen[losses] = run.folder


def check_sweep(runs: Sequence[Run], key: str, may_differ: Sequence[str] = ()) -> None:
    """At least three values of one key of the configuration, and everything else alike."""
    values = {getattr(run.config, key) for run in runs}
    assert len(values) >= 3, (
        f"{key} has {len(values)} values in these runs ({_listed(values)}); at least 3 are asked for"
    )
    first = runs[0]
    for run in runs:
        alike = asdict(first.config).keys() - {key, *may_differ}
        other = sorted(name for name in alike if getattr(run.config, name) != getattr(first.config, name))
        assert not other, (
            f"{run.folder} differs from {first.folder} in {other[0]}, too: which of the two made the difference?"
        )


def check_architecture(runs: Sequence[Run], **wanted: str) -> None:
    """The runs differ from the assignment's architecture in what is wanted and in nothing else, weights included."""
    usual = {"norm": "pre", "position": "rope", "ffn": "swiglu"}
    for run in runs:
        for key, value in {**usual, **wanted}.items():
            given = getattr(run.config, key)
            assert given == value, f"{run.folder}/config.toml: {key} is {given!r}; this experiment is about {value!r}"
    none_of(faults_of_weights(best_of(list(runs))))


def check_equal_size(config: Config, folder: str) -> None:
    """A feed-forward network of two matrices has d_ff = 4 d_model, so that it is as large as one of three."""
    assert 3.8 * config.d_model <= config.d_ff <= 4.2 * config.d_model, (
        f"{folder}/config.toml: d_ff is {config.d_ff}; for two matrices to be as large as SwiGLU's three, it must be "
        f"4 d_model = {4 * config.d_model}"
    )


def check_sample(run: Run) -> None:
    """The generated text is that of its ids, and there are 256 of them, or the last is a special token."""
    ids, text = run.sample
    decoded = run.vocabulary.decode(ids)
    assert decoded.strip("\n") == text.strip("\n"), (
        f"{run.folder}/sample.txt is not the text of the ids in sample.json; it should begin {decoded[:60]!r}"
    )
    stopped = bool(ids) and run.vocabulary.tokens[ids[-1]].decode("utf-8", "replace") in run.vocabulary.special_tokens
    assert len(ids) >= 256 or stopped, (
        f"{run.folder}/sample.json has {len(ids)} ids; 256 are asked for, or a last one that ends the text"
    )


def check_not_copied(run: Run) -> None:
    """The generated text is not a piece of the training text, as far as that is known."""
    if run.train_text is None:
        raise NothingToAssess(f"the training text of {run.folder} does not come with the kit")
    ids, _ = run.sample
    text = run.vocabulary.decode(ids)
    length = int(_COPIED * len(text))
    pieces = [text[start : start + length] for start in range(0, len(text) - length + 1, max(1, length // 20))]
    copied = next((piece for piece in pieces if piece in run.train_text), None)
    assert copied is None, f"{run.folder}/sample.txt is copied from the training text: {copied[:60]!r} and on"


def check_tables(training: Training, vocabulary: Vocabulary, size: int) -> None:
    """The tables are those of a training with these settings, and of the size that the assignment asks for.

    On a text of the kit any size will do, and fewer tokens than were asked for when pairs ran out.
    """
    none_of(vocabulary.faults())
    assert set(training.special_tokens) == set(vocabulary.special_tokens), (
        f"config.toml lists the special tokens {list(training.special_tokens)}, the vocabulary has "
        f"{vocabulary.special_tokens[:5]}"
    )
    found = len(vocabulary.tokens)
    ran_out = kit_text(training.text) is not None and found < training.vocab_size
    assert found == training.vocab_size or ran_out, (
        f"vocab.json has {found} tokens, config.toml says {training.vocab_size}"
    )
    assert found == size or kit_text(training.text) is not None, (
        f"the assignment asks for {size:,} tokens; vocab.json has {found:,}"
    )


def check_learnt(
    training: Training,
    vocabulary: Vocabulary,
    train_bpe: Callable[[bytes, int, list[str]], tuple[set[bytes], list[tuple[bytes, bytes]]]],
    otherwise: Callable[[Vocabulary], None],
) -> None:
    """The merges are what `train_bpe` gives on the same text; `otherwise` judges those of texts that the kit lacks."""
    text = kit_text(training.text)
    if text is None:
        otherwise(vocabulary)
        return
    tokens, merges = train_bpe(text.encode(), training.vocab_size, list(training.special_tokens))
    for number, (own, right) in enumerate(zip(vocabulary.merges, merges, strict=False), start=1):
        assert own == right, f"merge {number} is {own}; training on {training.text} gives {right}"
    assert len(vocabulary.merges) == len(merges), f"{len(vocabulary.merges)} merges; the training gives {len(merges)}"
    assert set(vocabulary.tokens.values()) == tokens, "the tokens are not those that the training gives"


def check_longest_token(training: Training, vocabulary: Vocabulary) -> None:
    """The longest token that was learnt is the one that is named; a space that it begins with may be left out."""
    special = {token.encode() for token in vocabulary.special_tokens}
    learnt = {token for token in vocabulary.tokens.values() if token not in special}
    length = max(map(len, learnt), default=0)
    longest = {token for token in learnt if len(token) == length}
    named = training.longest_token.encode("utf-8", "replace")
    assert longest & {named, b" " + named}, (
        f"longest_token is {shown(training.longest_token)}; there are tokens of {length} bytes"
    )


def check_of_stories(vocabulary: Vocabulary) -> None:
    """The merges are those of simple stories rather than of other English, or of no text at all.

    Calibrated on TinyStories' own 10,000 tokens: with its first 256 merges, the kit's stories take 1.16 times as many
    bytes a token as its other English does. GPT-2's merges give 1.04, the kit's English 0.96, its stories 1.28.
    """
    stories, other = (
        vocabulary.bytes_per_token(assets.text(text), _FIRST_MERGES) for text in ("stories_valid.txt", "english.txt")
    )
    assert stories >= _STORIES_AT_HOME * other, (
        f"{vocabulary.where}: the first {_FIRST_MERGES} merges make {stories:.2f} bytes a token of stories and "
        f"{other:.2f} of other English; merges learnt from stories are more at home in stories"
    )
    in_full = vocabulary.bytes_per_token(assets.text("stories_valid.txt"))
    assert in_full >= _STORIES_IN_FULL, (
        f"{vocabulary.where}: all merges together make {in_full:.2f} bytes a token of held-out stories; 10,000 tokens "
        f"learnt from stories make more than {_STORIES_IN_FULL}"
    )


def check_of_the_web(vocabulary: Vocabulary) -> None:
    """The merges are those of text from the web, as GPT-2's are, but not GPT-2's.

    The first hundred merges of OpenWebText are all among GPT-2's first 150; of TinyStories' it is 79, of the kit's
    English 79 and of its stories 75.
    """
    web = [left + right for left, right in assets.load("gpt2/merges")]
    own = [left + right for left, right in vocabulary.merges]
    rank = {token: number for number, token in enumerate(web)}
    later = range(min(300, len(own)), min(1000, len(own)))
    kept = sum(abs(rank.get(own[number], -99) - number) <= 2 for number in later)
    assert kept <= len(later) / 2, f"{vocabulary.where}: {kept} of {len(later)} merges are where GPT-2 has them"
    common = len(set(own[:100]) & set(web[:150]))
    assert common >= 100 * _LIKE_THE_WEB, (
        f"{vocabulary.where}: {common} of the first 100 merges are among those that other text from the web begins "
        "with; nearly all of them should be"
    )
    in_full = vocabulary.bytes_per_token(assets.text("english.txt"))
    assert in_full >= _WEB_IN_FULL, (
        f"{vocabulary.where}: all merges together make {in_full:.2f} bytes a token of English; 32,000 tokens learnt "
        f"from the web make more than {_WEB_IN_FULL}"
    )


def is_worse(run: Run, best: Run) -> bool:
    """Whether a run ended clearly above another one, or not at all."""
    return not math.isfinite(run.final_loss) or run.final_loss >= best.final_loss + CLEARLY


def _listed(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in sorted(values, key=str)[:5])
