"""Calls that are made again: does the same question get the same answer, and a changed one not the old answer?

A test asks each question once. The judge asks some of them again, by chance: the question itself, sometimes after a
*decoy*, the same operation with other values, over whose tensors the question is then written in place. Whoever keeps
answers by the identity or the address of a tensor, counts calls or answers at random is caught; whoever computes the
answer is not. The seed of the run decides which calls and how, so that `--seed` repeats them.

Pure.
"""

from __future__ import annotations

import collections
import math
import random
from typing import Any

import numpy as np
import torch

from ..cases.compare import Mismatch, Tolerance, compare, plainly_equal
from ..worker.operation_table import OPERATIONS, Again

_ALWAYS = 2
_ONE_IN = 6
_DECOYS = 0.7
_FREE_S = 0.25
"""A call that took longer is made again with a chance of this by its seconds, so that each costs a quarter of a second
more on the average, however long it takes: nobody is spared by being slow."""


class Crosscheck:
    """Decides which calls of one submission are made again: the first two of each operation in a problem, then some.

    Of slow calls only some are, the slower they are the fewer.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.begin("")

    def begin(self, problem: str) -> None:
        """The next calls are for this problem; what is decided there does not depend on the problems before it."""
        self._chance = random.Random(f"{self._seed} {problem}")
        self._made: collections.Counter[str] = collections.Counter()

    def is_due(self, operation: str, seconds: float) -> bool:
        """Whether a call that has just taken so long is to be made again."""
        if OPERATIONS[operation].again is Again.NEVER:
            return False
        drawn, worth_it = self._chance.random() * _ONE_IN < 1, self._chance.random() * seconds < _FREE_S
        due = worth_it and (drawn or seconds > _FREE_S or self._made[operation] < _ALWAYS)
        self._made[operation] += due
        return due

    def wants_decoy(self, operation: str) -> bool:
        """Whether to ask something else first, this time: not at first, which catches counting; then, for memory."""
        drawn = self._chance.random() < _DECOYS
        return {1: False, 2: True}.get(self._made[operation], drawn)


def decoy(operation: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """The same arguments with the values of their tensors exchanged, all as valid as before; None if that is no change.

    Masks stay as they are, since they say which values matter.
    """
    if OPERATIONS[operation].again is not Again.AFTER_A_DECOY:
        return None
    other = {name: _exchanged(value) for name, value in arguments.items()}
    return None if agree(arguments, other) else other


def _exchanged(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.dtype != torch.bool and value.numel() > 1:
        return value.flatten().roll(1).reshape(value.shape)
    if isinstance(value, dict):
        return {key: _exchanged(item) for key, item in value.items()}
    return value


def agree(one: Any, other: Any) -> bool:
    """Whether two answers to the same question are the same, up to the order in which a machine adds."""
    if isinstance(one, torch.Tensor):
        if not isinstance(other, torch.Tensor) or one.shape != other.shape or one.dtype != other.dtype:
            return False
        if not one.is_floating_point():
            return torch.equal(one, other)
        finite = torch.isfinite(one)
        if not torch.allclose(one[~finite], other[~finite], equal_nan=True):
            return False
        relative = max(1e-5, 4 * torch.finfo(one.dtype).eps)
        return _within(one[finite], other[finite], relative)
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return agree(torch.from_numpy(one), torch.from_numpy(other))
    if plainly_equal(one, other):
        return True
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(agree(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(agree, one, other))
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)


def _within(one: torch.Tensor, other: torch.Tensor, relative: float) -> bool:
    try:
        compare(one, other, Tolerance(relative))
    except Mismatch:
        return False
    return True


def disagreement(operation: str, answer: Any, again: Any, to_decoy: Any) -> str | None:
    """What to tell the student about the second answer to a question, or None when it is as good as the first.

    Args:
        to_decoy: the answer to the decoy that was asked in between.
    """
    if agree(answer, again):
        return None
    if to_decoy is not None and agree(to_decoy, again):
        return (
            f"{operation} was called with other values, then again with these, written in place into the same tensors, "
            "and gave the answer to the other values. Does the code keep a result from one call to the next?"
        )
    return (
        f"{operation} gave another answer when it was called again with the same values. "
        "Does it depend on earlier calls, on random numbers, or on memory that nobody has written to?"
    )
