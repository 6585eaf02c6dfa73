"""The parts that a submission's training loop is made of, rebuilt by the judge as far as they are known.

A loop is right when it does the right thing with its parts. Whoever's RoPE is wrong has paid for that in its own
problem; the weights that the loop leaves then fit a model with that RoPE, and look untrained in the reference's. So the
judge asks the submission's parts the questions of their own stored cases, plants the known bugs that answer alike into
the reference, or a declared change of a formula (`hypotheses`) where no known bug does, and measures there. A model
that neither explains is measured as it is, but only by what it predicts of tokens that it has not seen.

Without the reference, as in students' copies, the submission's own model has to do, which its own tests check.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..artifacts.held_out import held_out_loss, last_token_loss
from ..artifacts.run import Config
from ..cases.case import Oracle
from ..cases.store import CASES, stored_cases
from ..scoring.rubric import load_rubric
from ..submission.transcript import kept_of
from .fingerprint import fingerprint
from .known_bugs import FORESEEN, Fingerprint, same
from .planting import has_catalogue, planted

_MODEL, _LOOP = "transformer_lm", "training_together"
_MODEL_OPERATION = "run_transformer_lm"
_NAMELESS = "nameless:"
_KNOWS_NOTHING = 0.95
"""Share of ln(vocab_size) that a model with random weights has to lose at least."""

Question = tuple[str, dict[str, Any]]


class OwnParts:
    """The submission's parts, looked at when they are first needed.

    Args:
        own: the submission.
        reference: the reference; None where there is none.
    """

    def __init__(self, own: Oracle, reference: Oracle | None) -> None:
        self._own = own
        self._reference = reference

    def losses(self, config: Config, weights: dict[str, torch.Tensor], tokens: np.ndarray) -> Iterator[float]:
        """What these weights lose on held-out tokens: in the reference's model, and then in the submission's.

        The second is for weights that look wrong in the first, and comes only where the two models differ.
        """
        if self._reference is None:
            yield held_out_loss(self._own, config, weights, tokens)
            return
        yield held_out_loss(self._reference, config, weights, tokens)
        if self.known_bugs:
            yield held_out_loss(self._rebuilt, config, weights, tokens, in_own_words=True)
        if self._is_of_unknown_kind:
            yield held_out_loss(self._own, config, weights, tokens)

    def losses_of_learning(
        self, config: Config, weights: dict[str, torch.Tensor], tokens: np.ndarray
    ) -> Iterator[float]:
        """The same for what must not be had without learning.

        A model that nobody knows is asked for the last token of each window only, of which it sees nothing, and must
        know nothing when its weights are others.
        """
        if self._reference is None:
            yield held_out_loss(self._own, config, weights, tokens)
            return
        yield held_out_loss(self._reference, config, weights, tokens)
        if self.known_bugs:
            yield held_out_loss(self._rebuilt, config, weights, tokens)
        if self._is_of_unknown_kind:
            generator = torch.Generator().manual_seed(random.randrange(1 << 40))
            others = {
                name: torch.ones_like(weight)
                if weight.ndim < 2
                else torch.randn(weight.shape, generator=generator) / 50
                for name, weight in weights.items()
            }
            if last_token_loss(self._own, config, others, tokens) >= _KNOWS_NOTHING * np.log(config.vocab_size):
                yield last_token_loss(self._own, config, weights, tokens)

    @functools.cached_property
    def known_bugs(self) -> tuple[Any, ...]:
        """The misconceptions that, planted together, give what the submission's parts give; what has no name, too."""
        if self._reference is None or not has_catalogue():
            return ()
        from ..misconceptions.catalogue import load_catalogue

        found: list[Any] = []
        supposed: dict[str, Any] = {}
        for problem in parts_of(_LOOP):
            wrong = self._wrong_answers(problem, found)
            if not wrong:
                continue
            new = next((bug for bug in load_catalogue(problem) if self._explain([*found, bug], wrong)), None)
            if new is not None:
                found.append(new)
            elif problem in parts_of(_MODEL) and problem != _MODEL:
                nameless = self._nameless(problem, supposed)
                if nameless is not None and self._explain([*found, nameless], wrong):
                    found = [*(bug for bug in found if not bug.id.startswith(_NAMELESS)), nameless]
        return tuple(self._without_idle(found))

    def _nameless(self, problem: str, supposed: dict[str, Any]) -> Any:
        """A change of formulas that may be behind what a part answers, with those `supposed` below it; None if none is.

        A model with it must still show whatever may be wrong in it, and see no later token: else its loss would say
        nothing of what it has learnt.
        """
        from .hypotheses.asked_call import asked_call
        from .hypotheses.in_reference import looks_ahead, reference_with, shows_all_mistakes
        from .hypotheses.suppose import suppose_calls

        calls = []
        for question in _questions(problem):
            with contextlib.suppress(Exception):  # what it refuses says nothing of what it computes
                calls.append(asked_call(question, self._own(*question)))
        new = suppose_calls(filter(None, calls), supposed).changes
        together = {**supposed, **new}
        if not new or not shows_all_mistakes(_MODEL_OPERATION, together) or looks_ahead(together):
            return None
        supposed |= new
        return replace(reference_with(supposed, problem), id=f"{_NAMELESS} {' '.join(supposed)}")

    def trained(self, config: dict[str, Any], train: np.ndarray, valid: np.ndarray) -> dict[str, torch.Tensor] | None:
        """The weights that the reference's loop ends with, made of the submission's parts; None if they are right."""
        if not self.known_bugs:
            return None
        import safetensors.torch

        loop, configuration = (importlib.import_module(f"grader.reference.{name}") for name in ("train", "config"))
        with tempfile.TemporaryDirectory() as folder, planted(self.known_bugs):
            paths = {"train_data": f"{folder}/train.npy", "valid_data": f"{folder}/valid.npy", "out": f"{folder}/run"}
            np.save(paths["train_data"], train)
            np.save(paths["valid_data"], valid)
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    loop.train(configuration.make_config({**config, **paths}))
            except Exception:  # whatever wrong parts do to a loop: then there is nothing to compare with
                return None
            return safetensors.torch.load_file(Path(folder, "run", "model.safetensors"))

    @functools.cached_property
    def _is_of_unknown_kind(self) -> bool:
        """Whether the submission's model is neither the reference's nor that with the known bugs."""
        return not self._explain(self.known_bugs, self._answers(_MODEL))

    def _rebuilt(self, operation: str, arguments: dict[str, Any]) -> Any:
        assert self._reference is not None
        with planted(self.known_bugs):
            return self._reference(operation, arguments)

    def _without_idle(self, found: list[Any]) -> list[Any]:
        """Without the bugs of adapters that the submission's model does not go through."""
        wrong = self._answers(_MODEL)
        for left_out in (*((bug,) for bug in [None, *found]), tuple(found)):
            kept = [bug for bug in found if bug not in left_out or bug.problem not in parts_of(_MODEL)]
            if self._explain(kept, wrong):
                return kept
        return found

    def _wrong_answers(self, problem: str, bugs: Sequence[Any]) -> list[tuple[Question, Fingerprint]]:
        """The questions of a problem that the submission answers in another way than the reference with these bugs."""
        with planted(bugs):
            expected = [_answer(self._reference, question) for question in _questions(problem)]
        return [
            (question, given)
            for (question, given), right in zip(self._answers(problem), expected, strict=True)
            if not same(given, right)
        ]

    @functools.cache  # noqa: B019  (lives as long as the one submission that it is about)
    def _answers(self, problem: str) -> list[tuple[Question, Fingerprint]]:
        return [(question, _answer(self._own, question)) for question in _questions(problem)]

    def _explain(self, bugs: Sequence[Any], answers: Sequence[tuple[Question, Fingerprint]]) -> bool:
        """Whether the reference with these bugs gives nearly all of these answers; corners may differ by rounding."""
        with planted(bugs):
            alike = sum(same(_answer(self._reference, question), given) for question, given in answers)
        return alike >= FORESEEN * len(answers)


@functools.cache
def parts_of(problem: str) -> list[str]:
    """The problems that a problem builds on, and the problem itself unless it is the loop, in the rubric's order."""
    rubric = load_rubric()

    def below(problem: str) -> set[str]:
        return {problem}.union(*map(below, rubric[problem].needs))

    return [one.id for one in rubric.problems if one.id in below(problem) - {_LOOP}]


@functools.cache
def _questions(problem: str) -> list[Question]:
    """Calls whose answers show what a part is like."""
    if problem == "data_loading":
        return [("batches", {"dataset": np.arange(40), "batch_size": 30, "context_length": 8, "calls": 40})]
    if not (CASES / f"{problem}.msgpack").exists():
        return []
    return [(case.operation, case.inputs) for case in stored_cases(problem)]


def _answer(oracle: Oracle | None, question: Question) -> Fingerprint:
    assert oracle is not None
    operation, arguments = question
    try:
        value = oracle(operation, arguments)
    except Exception:  # an answer like others: some bugs refuse what they should take
        return ["error"]
    return fingerprint(kept_of(operation, value))
