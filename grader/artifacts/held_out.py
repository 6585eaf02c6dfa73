"""How good a model is on held-out tokens, measured by whoever asks, and what it has to beat."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from ..cases import assets
from ..cases.case import Oracle
from .run import Config

_WINDOWS_AT_ONCE = 64
_SIZES = ("vocab_size", "context_length", "d_model", "num_layers", "num_heads", "d_ff", "rope_theta")
_ARCHITECTURE = {"norm": "pre", "position": "rope", "ffn": "swiglu"}


def held_out_loss(
    perform: Oracle,
    config: Config,
    weights: dict[str, torch.Tensor],
    tokens: np.ndarray,
    *,
    in_own_words: bool = False,
) -> float:
    """Mean loss in nats per token over the windows on which a run with this configuration measures its val_loss.

    Args:
        perform: whose model computes the logits: the reference's, or a submission's.
        weights: of a model with this configuration; see `run.faults_of_weights`.
        in_own_words: let `perform` compute the cross-entropy, too, batch by batch.
    """
    length = config.context_length
    windows = min((len(tokens) - 1) // length, config.eval_batches * config.batch_size)
    ids = torch.from_numpy(tokens[: windows * length + 1].astype(np.int64))
    at_once = config.batch_size // config.accumulation_steps if in_own_words else _WINDOWS_AT_ONCE
    total = 0.0
    parts = (part.view(windows, length).split(at_once) for part in (ids[:-1], ids[1:]))
    for inputs, targets in zip(*parts, strict=True):
        logits = _logits(perform, config, weights, inputs)
        if in_own_words:
            given = {"inputs": logits.flatten(0, 1), "targets": targets.flatten()}
            total += float(perform("run_cross_entropy", given)) * targets.numel()
        else:
            total -= float(logits.double().log_softmax(-1).gather(-1, targets.unsqueeze(-1)).sum())
    return total / (windows * length)


def last_token_loss(
    perform: Oracle, config: Config, weights: dict[str, torch.Tensor], tokens: np.ndarray, most: int = 2048
) -> float:
    """Mean loss in nats of the token after a window, which whoever computes the logits does not get to see.

    Args:
        most: so many windows, spread over all tokens; the others as for `held_out_loss`.
    """
    length = config.context_length
    starts = np.linspace(0, len(tokens) - length - 1, most).astype(int)
    windows = torch.from_numpy(np.stack([tokens[i : i + length + 1] for i in starts]).astype(np.int64))
    total = 0.0
    for part in windows.split(_WINDOWS_AT_ONCE):
        logits = _logits(perform, config, weights, part[:, :-1])[:, -1].double()
        total -= float(logits.log_softmax(-1).gather(-1, part[:, -1:]).sum())
    return total / len(windows)


def _logits(perform: Oracle, config: Config, weights: dict[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    operation = "run_transformer_lm"
    model: dict[str, Any] = {name: getattr(config, name) for name in _SIZES}
    architecture = {name: getattr(config, name) for name in _ARCHITECTURE}
    if architecture != _ARCHITECTURE:
        operation = "run_transformer_lm_variant"
        model |= architecture
    model["weights"] = {name: weight.float() for name, weight in weights.items()}
    return perform(operation, {**model, "in_indices": inputs})


def english() -> tuple[np.ndarray, np.ndarray]:
    """English text to train on and to measure on, as token ids: its bytes. Every tenth paragraph is held out."""
    train, valid = _with_held_out(assets.read("text/english.txt").split(b"\n\n"))
    return train.astype(np.uint16), valid.astype(np.uint16)


def language(chance: random.Random) -> tuple[np.ndarray, np.ndarray]:
    """Text of a language that nobody has met to train on and to measure on, as token ids, and none of them twice alike.

    It is English in a cipher: which id stands for which byte is drawn, and so is which paragraphs there are, in which
    order. Every tenth is held out.
    """
    paragraphs = assets.read("text/english.txt").split(b"\n\n")
    paragraphs = chance.sample(paragraphs, len(paragraphs) * 9 // 10)
    cipher = np.array(chance.sample(range(256), 256), np.uint16)
    train, valid = _with_held_out(paragraphs)
    return cipher[train], cipher[valid]


def _with_held_out(paragraphs: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of nine paragraphs of ten, and those of the tenths."""
    kept = [paragraph for i, paragraph in enumerate(paragraphs) if i % 10 != 9]
    train, valid = (np.frombuffer(b"\n\n".join(part), np.uint8) for part in (kept, paragraphs[9::10]))
    return train, valid


def bigram_loss(train_tokens: np.ndarray, valid_tokens: np.ndarray, vocab_size: int) -> float:
    """The same for the best that a bigram model can do: add-k smoothing towards the unigram frequencies.

        p(b | a) = (count(a, b) + k p(b)) / (count(a) + k)

    with the k that suits the validation text best, which favours the bigram model.
    """
    pairs = np.zeros((vocab_size, vocab_size))
    np.add.at(pairs, (train_tokens[:-1], train_tokens[1:]), 1)
    unigram = (np.bincount(train_tokens, minlength=vocab_size) + 1) / (len(train_tokens) + vocab_size)
    before, after = valid_tokens[:-1], valid_tokens[1:]
    seen, total = pairs[before, after], pairs.sum(axis=1)[before]
    return min(float(-np.log((seen + k * unigram[after]) / (total + k)).mean()) for k in (0.3, 1, 3, 10, 30, 100))


def unigram_entropy(tokens: np.ndarray) -> float:
    """The loss in nats of the best that can be said of these tokens without context: how frequent each one is."""
    counts = np.unique(tokens, return_counts=True)[1]
    return float(-(counts / len(tokens)) @ np.log(counts / len(tokens)))
