"""What only the reference can measure: trainings repeated, and the loss of somebody's weights in the reference model.

Staff only, as the reference is. A submission's numbers decide how large the model and its activations get, so both are
bounded before anything is made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..submission.faults import NothingToAssess, WrongResult
from .consistency import faults_of_shapes, faults_of_weights, has_ended, shapes
from .held_out import bigram_loss, unigram_entropy
from .run import Config, Run, best_of
from .vocabulary import Vocabulary

_ACTIVATION_BYTES = 1 << 29
"""Of one window at most."""
_TOGETHER_BYTES = 1 << 25
"""Of the windows that are measured together: with more, memory is slower than what is saved on calls."""
_LONGEST_CONTEXT = 8192
_REPEATED, _REPEATED_FLOPS = 40, 2e11
"""Steps of a run that are made again, and what that may take: some seconds on a core."""
_SPREAD = 0.75
"""Nats per token between such steps of two honest runs, of which other first weights than asked for make 0.3."""
_UNLIKELIER = 1.0  # nats per token
_DIFFERENT = 20
_END = "<|endoftext|>"
_TOLERANCE, _TOLERANCE_IN_HALF = 0.003, 0.01
"""Nats per token by which the same weights' loss may differ: between machines (1e-6 where both are CPUs), and where
weights were stored or the loss was computed in bfloat16."""


@dataclass(frozen=True)
class TextLoss:
    """The loss of a model on a text: the mean in nats of a token, of so many, which are so many bytes of it."""

    per_token: float
    tokens: int
    bytes: int

    @property
    def bits_per_byte(self) -> float:
        """The same as bits for a byte of the text: comparable between vocabularies, which nats per token are not."""
        return self.per_token * self.tokens / self.bytes / math.log(2)


@dataclass
class Reference:
    """The staff solution, as far as experiments are measured with it. Keep one: it remembers what it measured."""

    _ids: dict[Any, list[int]] = field(default_factory=dict)
    _losses: dict[Any, float] = field(default_factory=dict)
    _beginnings: dict[Any, list[float]] = field(default_factory=dict)

    def train_bpe(self, corpus: bytes, vocab_size: int, special_tokens: list[str]) -> tuple[set[bytes], list[Any]]:
        """Repeat a training: the tokens, whatever their ids, and the merges."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "corpus.txt")
            path.write_bytes(corpus)
            vocab, merges = _module("bpe").train_bpe(path, vocab_size, special_tokens)
        return set(vocab.values()), merges

    def token_ids(self, vocabulary: Vocabulary, text: str) -> list[int]:
        """The text as token ids of a vocabulary.

        Raises:
            WrongResult: when its tables contradict one another.
        """
        key = (tuple(vocabulary.tokens.items()), tuple(vocabulary.merges), text)
        if key in self._ids:
            return self._ids[key]
        try:
            tokenizer = _module("tokenizer").Tokenizer(
                dict(vocabulary.tokens), list(vocabulary.merges), vocabulary.special_tokens
            )
            self._ids[key] = tokenizer.encode(text)
        except (ValueError, KeyError) as error:
            raise WrongResult(f"{vocabulary.where}: text cannot be encoded with this vocabulary: {error}") from error
        return self._ids[key]

    def validation_loss(self, run: Run, **changes: Any) -> float:
        """The loss of a run's weights on its validation text, over the windows that its configuration says.

        Args:
            changes: of the configuration: to measure the weights in another architecture.

        Raises:
            NothingToAssess: the validation text, the tokenizer or the weights are not there.
            WrongResult: they do not fit the configuration.
        """
        ids = self.token_ids(run.vocabulary, run.valid_text)
        config, size = run.config, len(run.vocabulary.tokens)
        if size != config.vocab_size:
            raise WrongResult(f"{run.folder}: vocab_size is {config.vocab_size}, but its vocabulary has {size} tokens.")
        windows = min((len(ids) - 1) // config.context_length, config.eval_batches * config.batch_size)
        if windows < 1:
            raise WrongResult(f"{run.folder}: a context of {config.context_length} is longer than the validation text.")
        used = ids[: windows * config.context_length + 1]
        return self._loss(run, used, dataclasses.replace(config, **changes))

    def text_loss(self, run: Run, ids: Sequence[int]) -> float:
        """The mean loss of a token of these, each given those before it in its window of the model's context.

        Raises:
            NothingToAssess, WrongResult: as `validation_loss`.
        """
        return self._loss(run, list(ids), run.config)

    def loss_on(self, run: Run, text: str, context_length: int) -> TextLoss:
        """The loss of a run's weights on any text, at so many tokens of context, whatever its configuration has.

        Weights without an `lm_head` are those of a model whose embeddings are tied: the output layer has the same ones.
        Of special tokens only "<|endoftext|>" is one here: who chooses tokens could choose the text itself.

        Raises:
            NothingToAssess: there is no tokenizer, there are no weights, or they are too large to measure here.
            WrongResult: they fit neither the configuration nor one another.
        """
        config, tokens = dataclasses.replace(run.config, context_length=context_length), run.vocabulary.tokens
        special = [name for name in (_END,) if name.encode() in tokens.values()]
        try:
            ids = _module("tokenizer").Tokenizer(dict(tokens), list(run.vocabulary.merges), special).encode(text)
        except (ValueError, KeyError) as error:
            raise WrongResult(
                f"{run.vocabulary.where}: text cannot be encoded with this vocabulary: {error}"
            ) from error
        if b"".join(tokens[id] for id in ids) != text.encode():
            raise WrongResult(f"{run.vocabulary.where}: text that is encoded with this vocabulary does not come back.")
        if len(ids) < 2:
            raise NothingToAssess("the text is too short for a loss")
        weights = dict(run.weights)
        if "lm_head.weight" not in weights and (embeddings := weights.get("token_embeddings.weight")) is not None:
            weights["lm_head.weight"] = embeddings
        found = {key: tuple(weight.shape) for key, weight in weights.items()}
        for fault in faults_of_shapes(found, config, f"{run.folder}/model.safetensors"):
            raise WrongResult(fault)
        loss = _mean_loss(_with_weights(weights, config, run.folder), ids, config)
        if not math.isfinite(loss):
            raise WrongResult(f"{run.folder}: the loss of these weights in the reference model is not a number.")
        return TextLoss(loss, len(ids) - 1, sum(len(tokens[id]) for id in ids[1:]))

    def check_claimed_losses(self, runs: Sequence[Run]) -> None:
        """Raise an AssertionError unless the last val_loss of every run is what its weights have, and one has learnt.

        The best run has to have weights; of the others, those that have.
        """
        best = best_of(list(runs))
        self.check_has_learnt(best)
        for run in [best, *(run for run in runs if run is not best and has_ended(run) and run.has_weights)]:
            self._check_claimed_loss(run)

    def check_has_learnt(self, run: Run) -> None:
        """Raise an AssertionError unless a run's weights are better than counting: of pairs of tokens, where the kit
        has the text that they were trained on, else of tokens."""
        loss = self.validation_loss(run)
        valid = np.array(self.token_ids(run.vocabulary, run.valid_text))
        if run.train_text is not None:
            train = np.array(self.token_ids(run.vocabulary, run.train_text))
            counted, what = bigram_loss(train, valid, run.config.vocab_size), "counting pairs of tokens in its training"
        else:
            counted, what = unigram_entropy(valid), "counting the tokens of its validation"
        assert loss < counted, (
            f"{run.folder}: the weights have a loss of {loss:.3f} on validation text, and {what} text gives "
            f"{counted:.3f}: this model has learnt less than that. Train longer, or with another learning rate"
        )

    def check_beginning(self, runs: Sequence[Run]) -> None:
        """Raise an AssertionError unless the best run's curve begins about as a training with its configuration does.

        The first steps are made again, with first weights and batches of the reference's, so that only the average is
        compared, and what other first weights change has room.

        Raises:
            NothingToAssess: the kit does not have the training text, or so large a run cannot be repeated here.
        """
        run = best_of(list(runs))
        steps = min(_REPEATED, run.config.steps)
        claimed = [record.train_loss for record in run.records if record.step <= steps]
        repeated = self._first_losses(run, steps)[: len(claimed)]
        means = [statistics.fmean(losses[len(losses) // 2 :]) for losses in (claimed, repeated)]
        assert abs(means[0] - means[1]) <= _SPREAD, (
            f"{run.folder}: in steps {len(claimed) // 2 + 1} to {len(claimed)}, metrics.jsonl has a train_loss of "
            f"{means[0]:.2f} on average; a training with this configuration has about {means[1]:.2f} there"
        )

    def _first_losses(self, run: Run, steps: int) -> list[float]:
        """The train_loss of the first steps of a training with a run's configuration."""
        if run.train_text is None:
            raise NothingToAssess(f"the training text of {run.folder} does not come with the kit")
        config = run.config
        for fault in faults_of_weights(run):
            raise WrongResult(fault)
        size = sum(math.prod(shape) for shape in shapes(config).values())
        if 6 * size * config.batch_size * config.context_length * steps > _REPEATED_FLOPS:
            raise NothingToAssess(f"{run.folder}: the run is too large to repeat {steps} steps of it here")
        _refuse_unmeasurable(config, run.folder)
        train, configuration = _module("train"), _module("config")
        known = {field.name for field in dataclasses.fields(configuration.TrainConfig)}
        values = {key: value for key, value in run.all_of_config.items() if key in known}
        values |= {"train_data": "", "valid_data": "", "out": "", "device": "cpu", "dtype": "float32"}
        try:
            full = configuration.make_config(values)
        except ValueError as error:
            raise WrongResult(f"{run.folder}/config.toml: {error}") from error
        key = (run.train_text, tuple(run.vocabulary.merges), full)
        if key not in self._beginnings:
            ids = np.array(self.token_ids(run.vocabulary, run.train_text))
            if len(ids) <= config.context_length or int(ids.max()) >= config.vocab_size:
                raise WrongResult(f"{run.folder}: its training text does not fit its configuration.")
            model = train._make_model(full)
            betas = (full.beta1, full.beta2)
            optimizer = train.AdamW(model.parameters(), full.max_lr, betas, full.eps, full.weight_decay)
            losses = []
            for step in range(1, steps + 1):
                batch, rate = train._draw_batch(ids, step, full), train._learning_rate(step, full)
                losses.append(train._update(model, optimizer, batch, rate, full))
            self._beginnings[key] = losses
        return self._beginnings[key]

    def check_at_home(self, run: Run, **other: str) -> None:
        """Raise an AssertionError unless a run's weights clearly have another loss in another architecture."""
        ((key, value),) = other.items()
        here, there = self.validation_loss(run), self.validation_loss(run, **other)
        assert abs(here - there) >= 3 * _tolerance(run), (
            f"{run.folder}: with {key} = {getattr(run.config, key)!r} the weights have a loss of {here:.3f}, "
            f"with {value!r} one of {there:.3f}; trained with one of them, they should not fit the other as well"
        )

    def _check_claimed_loss(self, run: Run) -> None:
        measured, claimed = self.validation_loss(run), run.final_loss
        assert abs(measured - claimed) <= _tolerance(run), (
            f"{run.folder}: metrics.jsonl ends with a val_loss of {claimed:.4f}, but the weights in model.safetensors "
            f"have {measured:.4f} on the same windows"
        )

    def check_plausible(self, run: Run) -> None:
        """Raise an AssertionError unless a run's generated text is likely under its own weights, and not idle."""
        ids, _ = run.sample
        if len(ids) < 2:
            raise WrongResult(f"{run.folder}/sample.json has {len(ids)} ids, too few to judge.")
        different = len(set(ids))
        assert different >= min(_DIFFERENT, len(ids) // 4), (
            f"{run.folder}: the text goes round in circles: {different} different tokens among {len(ids)}"
        )
        with contextlib.suppress(NothingToAssess):
            self.check_has_learnt(run)
        loss = self.text_loss(run, ids)
        usual = run.final_loss if has_ended(run) else math.log(run.config.vocab_size) / 2
        assert loss <= usual + _UNLIKELIER, (
            f"{run.folder}: the model itself finds its text unlikely: {loss:.2f} nats a token, where validation text "
            f"has {usual:.2f}; a model's own text is about as likely as other text, or more so"
        )

    def _loss(self, run: Run, ids: list[int], config: Config) -> float:
        key = (run.files.root, run.folder, config, tuple(ids))
        if key not in self._losses:
            self._losses[key] = _mean_loss(_model(run, config), ids, config)
        return self._losses[key]


def _tolerance(run: Run) -> float:
    in_full = run.config.dtype == "float32" and all(w.dtype.itemsize >= 4 for w in run.weights.values())
    return _TOLERANCE if in_full else _TOLERANCE_IN_HALF


def _module(name: str) -> Any:
    return importlib.import_module(f"grader.reference.{name}")


def _model(run: Run, config: Config) -> torch.nn.Module:
    """The reference model with a run's weights, after it was made sure that they fit."""
    for fault in faults_of_weights(run):
        raise WrongResult(fault)
    return _with_weights(run.weights, config, run.folder)


def _with_weights(weights: Mapping[str, torch.Tensor], config: Config, folder: str) -> torch.nn.Module:
    """The reference model with weights that fit its configuration."""
    _refuse_unmeasurable(config, folder)
    with torch.random.fork_rng(devices=[]):
        model = _module("transformer").TransformerLM(
            config.vocab_size,
            config.context_length,
            config.d_model,
            config.num_layers,
            config.num_heads,
            config.d_ff,
            config.rope_theta,
            norm=config.norm,
            position=config.position,
            ffn=config.ffn,
        )
    model.load_state_dict({key: weight.float() for key, weight in weights.items()})
    return model.eval()


def _refuse_unmeasurable(config: Config, folder: str) -> None:
    if config.context_length > _LONGEST_CONTEXT or _scores_bytes(config) > _ACTIVATION_BYTES:
        raise NothingToAssess(
            f"{folder}: {config.num_heads} heads on {config.context_length} tokens are more than is measured here"
        )
    if config.position == "rope" and config.d_model // config.num_heads % 2:
        raise WrongResult(f"{folder}: RoPE needs an even number of features per head.")


def _scores_bytes(config: Config) -> int:
    """What one window's attention scores and logits take, in float32."""
    return 4 * config.context_length * (config.num_heads * config.context_length + config.vocab_size)


@torch.no_grad()
def _mean_loss(model: torch.nn.Module, ids: list[int], config: Config) -> float:
    """Cross-entropy per token over consecutive windows; the last may be shorter."""
    length = config.context_length
    tokens = torch.tensor(ids)
    if int(tokens.max()) >= config.vocab_size:
        raise WrongResult(f"the token id {int(tokens.max())} is beyond a vocabulary of {config.vocab_size}.")
    together = max(1, _TOGETHER_BYTES // (4 * _scores_bytes(config)))
    total, count = 0.0, len(ids) - 1
    starts = list(range(0, count - count % length, length))
    groups = [starts[i : i + together] for i in range(0, len(starts), together)]
    if count % length:
        groups.append([count - count % length])
    for group in groups:
        width = min(length, count - group[0])
        inputs = torch.stack([tokens[start : start + width] for start in group])
        targets = torch.stack([tokens[start + 1 : start + width + 1] for start in group])
        logits = model(inputs).flatten(0, 1).double()
        total += float(torch.nn.functional.cross_entropy(logits, targets.flatten(), reduction="sum"))
    return total / count
