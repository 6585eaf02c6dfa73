"""Data loading: which property of the windows is not as it should be, seen in a few hundred of them.

The dataset has no token twice, so that a token says where it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...scoring.outcome import Clue
from ...submission.interface import Submission
from .asking import NONE, Asker

if TYPE_CHECKING:
    from ..clues import Failure

_CONTEXT, _BATCH, _CALLS = 5, 4, 96
_CLAIMS = ("windows", "one_later", "equally_likely", "drawn", "one_window", "integers")
"""What is said is about claims with these words in their names; the others are about memory, devices and seeds."""
_TOKENS = np.random.default_rng(12).permutation(200)[:24]
"""19 windows of 5 tokens have a next token; 384 are drawn, so that each comes about 20 times."""


def find(failure: Failure, submission: Submission) -> Clue | None:
    """What the windows of `get_batch` have in common that they should not."""
    if failure.bug or not any(words in failure.claim for words in _CLAIMS):
        return None
    ask = Asker(submission)
    asked = {"dataset": _TOKENS, "batch_size": _BATCH, "context_length": _CONTEXT, "calls": _CALLS}
    result = ask.perform("batches", asked)
    if result is NONE:
        return _without_room(ask)
    try:
        pairs = [(x.numpy(), y.numpy()) for x, y in result["batches"]]
        dtypes = result["dtypes"][0]
    except (TypeError, ValueError, AttributeError, KeyError):
        return None
    return Clue.of_cause(*_seen(pairs, dtypes))


def _without_room(ask: Asker) -> Clue | None:
    """Where a dataset of a few windows fails, and a long one does not: some start leaves no next token."""
    asked = {"dataset": np.random.default_rng(12).permutation(60_000), "batch_size": 4, "context_length": _CONTEXT}
    if ask.perform("batches", asked) is NONE:
        return None
    return Clue.of_cause(
        f"With {len(_TOKENS)} tokens and a context of {_CONTEXT}, some of {_BATCH * _CALLS} draws raise; "
        "with 60,000 "
        f"tokens none does. The last start that leaves a next token is len(dataset) - context_length - 1, so "
        "torch.randint takes len(dataset) - context_length, which it leaves out.",
    )


def _seen(pairs: list[tuple[np.ndarray, np.ndarray]], dtypes: Any) -> Iterator[str]:
    x = pairs[0][0]
    floats = [name for name, dtype in zip("xy", dtypes, strict=False) if "float" in dtype]
    if floats:
        yield (
            f"{' and '.join(floats)} {'are' if len(floats) > 1 else 'is'} of floating point: token ids are "
            "integers, and torch.Tensor(...) makes floats of them."
        )
    if x.shape == (_CONTEXT, _BATCH):
        yield "x is (context, batch): the batch comes first. torch.stack(rows, dim=0) puts one row below the other."
        return
    if x.ndim == 2 and x.shape[1] == _CONTEXT - 1:
        yield "Windows are one token too short: x is dataset[i : i + context_length], and y begins one later."
        return
    if x.shape != (_BATCH, _CONTEXT):
        return
    place = {int(token): at for at, token in enumerate(_TOKENS)}
    places = [np.vectorize(lambda token: place.get(int(token), -1))(x) for x, _ in pairs]
    if any((one < 0).any() for one in places) or any((np.diff(one) != 1).any() for one in places):
        if all((one < 0).all() for one in places):
            yield "No token of x is in the dataset: are they indices, or of another dataset?"
        return
    targets = [y for _, y in pairs]
    if all(y.shape == x.shape for y in targets):
        shifted = list(_targets(places, [np.vectorize(lambda token: place.get(int(token), -1))(y) for y in targets]))
        if shifted:  # what starts there can be depends on where targets end
            yield from shifted
            return
    yield from _starts([one[:, 0] for one in places])


def _targets(places: list[np.ndarray], targets: list[np.ndarray]) -> Iterator[str]:
    shifts = {int(shift) for one, other in zip(places, targets, strict=True) for shift in (other - one).reshape(-1)}
    if len(shifts) == 1 and shifts != {1}:
        shift = shifts.pop()
        what = {
            0: "the same tokens as x",
            -1: "the tokens before those of x",
            _CONTEXT: "the next window, context_length tokens later",
        }.get(shift, f"the tokens {shift} places after those of x")
        yield f"In every row y has {what}; it has those one place after x: dataset[i + 1 : i + 1 + context_length]."
    elif all((np.roll(one, -1, axis=1) == other).all() for one, other in zip(places, targets, strict=True)):
        yield (
            "The last target of each row is the row's own first token, as torch.roll does; it is the "
            "dataset's next token."
        )


def _starts(starts: list[np.ndarray]) -> Iterator[str]:
    last = len(_TOKENS) - _CONTEXT - 1
    drawn = {int(start) for one in starts for start in one}
    if all(len(set(one.tolist())) == 1 for one in starts):
        yield "All rows of a batch are the same window: draw a start for each row."
    elif all((one == starts[0]).all() for one in starts[1:]):
        how = "0, 1, 2, ..." if (np.diff(starts[0]) == 1).any() and starts[0][0] == 0 else "the same starts"
        yield (
            f"Every call gives the same batch ({how}): the starts are drawn anew in each call, and nothing is "
            "seeded in it."
        )
    elif all(set(np.diff(one).tolist()) == {1} for one in starts):
        yield "Each row of a batch begins one token after the row before: draw a start for each row."
    elif all(start % _CONTEXT == 0 for start in drawn):
        yield "All windows begin at multiples of the context length; a window may begin at any token."
    else:
        missed = sorted(set(range(last + 1)) - drawn)
        counted = np.bincount(np.concatenate(starts), minlength=last + 1)
        if missed == [last]:
            yield (
                "The last window is never drawn: starts go up to len(dataset) - context_length - 1, that one included."
            )
        elif missed == [0]:
            yield "The first window, which begins at 0, is never drawn."
        elif missed:
            yield f"Of the starts 0 to {last}, {len(missed)} are never drawn, the first of them {missed[0]}."
        elif counted[: last // 2].sum() > 2 * counted[-(last // 2) :].sum():
            yield (
                "Windows near the beginning of the dataset are drawn more often than others; all starts are "
                "equally likely."
            )
