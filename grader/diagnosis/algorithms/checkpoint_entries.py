"""Checkpoints: which entry of which state does not come back.

The driver trains a small model with PyTorch's own optimizer. The same is done here, and gone on with after losing one
part of the state or another: which of these is where the student's run has gone?
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from ...scoring.outcome import Clue
from ...submission.interface import Submission
from .asking import NONE, Asker

if TYPE_CHECKING:
    from ..clues import Failure

State = dict[str, torch.Tensor]
_SEED = 3
_OF_OPTIMIZER = ("test_optimizer", "test_one_file", "test_other_optimizer", "test_loads_over_a_trained_model")
_ASKED = {"seed": _SEED, "iteration": 17, "weights_given": True}


def find(failure: Failure, submission: Submission) -> Clue | None:
    """What of a model's and an optimizer's state is lost on the way."""
    if failure.bug:
        return None
    ask = Asker(submission)
    plain = ask.perform("checkpoint_round_trip", {"seed": _SEED, "iteration": 17})
    given = ask.perform("checkpoint_round_trip", _ASKED)
    claim = failure.claim.rpartition("::")[2]
    says: list[str] = []
    if plain is not NONE and claim in ("test_weights", "test_buffers"):
        says += _of_model(plain)
    if plain is not NONE and claim in ("test_iteration", "test_file_object", "test_one_file"):
        says += _of_iteration(plain["iteration"])
    if given is not NONE and claim in _OF_OPTIMIZER and not _same(given["resumed"], given["uninterrupted"]):
        says += _of_optimizer(given)
    return Clue.of_cause(*says)


def _of_model(result: Mapping[str, Any]) -> Iterator[str]:
    saved, loaded, before = (result[name] for name in ("saved", "loaded", "before_loading"))
    wrong = [name for name in saved if name not in loaded or not torch.equal(saved[name], loaded[name])]
    if not wrong:
        return
    untouched = [name for name in wrong if name in loaded and torch.equal(loaded[name], before[name])]
    which = "none of the weights is" if len(wrong) == len(saved) else f"{', '.join(wrong)} of the model's state are not"
    if untouched == wrong:
        yield (
            f"After loading, {which} what was saved: they are as they were before loading. Does "
            "model.load_state_dict get them?"
        )
        return
    rounded = {
        dtype: all(torch.equal(saved[name].to(dtype).to(saved[name].dtype), loaded[name]) for name in wrong)
        for dtype in (torch.float16, torch.bfloat16)
    }
    for dtype, fits in rounded.items():
        if fits:
            yield (
                f"After loading, weights are the saved ones rounded to {str(dtype).removeprefix('torch.')}: save "
                "them as they are."
            )
            return
    yield f"After loading, {which} what was saved, nor what was there before."


def _of_iteration(found: Any) -> Iterator[str]:
    if found is None:
        yield "load_checkpoint returns None: it should return the saved iteration. Is a `return` missing?"
    elif isinstance(found, bool) or not isinstance(found, int):
        yield f"load_checkpoint returns {_kind(found)}; it returns the iteration, an int."
    elif found != 17:
        yield f"Saved with iteration 17, load_checkpoint returns {found}."


def _kind(found: Any) -> str:
    if isinstance(found, torch.Tensor):
        return "a tensor"
    return {dict: "the whole checkpoint (a dict)", str: "text", tuple: "a tuple", float: "a float"}.get(
        type(found), f"something of type {type(found).__name__}"
    )


def _of_optimizer(result: Mapping[str, Any]) -> Iterator[str]:
    run = _Run()
    if not _same(run.saved, result["saved"]) or not _same(
        run.resumed(lambda state, own: state), result["uninterrupted"]
    ):
        return  # another version of PyTorch there: nothing can be compared
    found = [says for says, lose in _LOSSES.items() if _same(run.resumed(lose), result["resumed"])]
    if len(found) == 1:
        yield found[0]
    elif not found:
        yield (
            "The optimizer's state is not what was saved: after loading, print optimizer.state_dict() and "
            "compare it with "
            "the one before saving, entry by entry (step, exp_avg, exp_avg_sq, lr)."
        )


class _Run:
    """The driver's run up to where it saves."""

    def __init__(self) -> None:
        self._state_of_chance = torch.get_rng_state()
        torch.manual_seed(_SEED)
        self.inputs, self.targets = torch.randn(16, 6), torch.randn(16, 2)
        self.model, self.optimizer = self._made(1e-2)
        self._train(self.model, self.optimizer, 3)
        self.saved = _state(self.model)
        torch.set_rng_state(self._state_of_chance)

    def _made(self, rate: float) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        layers = (torch.nn.Linear(6, 8), torch.nn.Identity(), torch.nn.Tanh(), torch.nn.Linear(8, 2))
        model = torch.nn.Sequential(*layers)
        return model, torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.1)

    def _train(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(self.inputs), self.targets).backward()
            optimizer.step()

    def resumed(self, lose: Callable[[Any, Any], Any]) -> State:
        """The weights after going on with what is left of the optimizer's state; None: nothing is loaded."""
        model, optimizer = self._made(0.3)
        torch.set_rng_state(self._state_of_chance)
        model.load_state_dict(self.saved)
        left = lose(copy.deepcopy(self.optimizer.state_dict()), optimizer.state_dict())
        if left is not None:
            optimizer.load_state_dict(left)
        self._train(model, optimizer, 3)
        return _state(model)


def _without(name: str) -> Callable[[Any, Any], Any]:
    """One entry of each parameter's state as it is at the start."""

    def lose(state: Any, own: Any) -> Any:
        for entries in state["state"].values():
            entries[name] = torch.zeros_like(entries[name])
        return state

    return lose


_LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "The optimizer's state does not come back at all: after loading, moments, step count and learning "
    "rate are those of a "
    "new optimizer. Save optimizer.state_dict(), and give it to optimizer.load_state_dict.": lambda state, own: None,
    "The optimizer's moments come back, and its learning rate and other options do not: they are in "
    "state_dict()['param_groups'].": lambda state, own: {**own, "state": state["state"]},
    "The optimizer's options come back, and its moments and step counts do not: they are in "
    "state_dict()['state'].": lambda state, own: {**state, "state": {}},
    "The optimizer's step count does not come back; m and v do.": _without("step"),
    "The optimizer's exp_avg (m) does not come back; the rest does.": _without("exp_avg"),
    "The optimizer's exp_avg_sq (v) does not come back; the rest does.": _without("exp_avg_sq"),
}


def _state(model: torch.nn.Module) -> State:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
