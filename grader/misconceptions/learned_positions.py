"""How learned positions go wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from grader.reference.architecture import absolute_positions

from .catalogue import Misconception, replacing
from .together import assembled


def _places(self: Any, x: Tensor, token_positions: Tensor | None) -> Tensor:
    return absolute_positions._places(x, token_positions, self.max_seq_len)


def _looked_up(weight: Tensor, places: Tensor) -> Tensor:
    return weight[places]


@assembled
def _adding(
    places: Callable[..., Tensor] = _places,
    look_up: Callable[[Tensor, Tensor], Tensor] = _looked_up,
    combine: Callable[[Tensor, Tensor], Tensor] = torch.add,
):
    """The forward pass with other rows, or another use of them."""

    def forward(self, x, token_positions=None):
        return combine(x, look_up(self.weight, places(self, x, token_positions)))

    return forward


def _own(x: Tensor, token_positions: Tensor | None) -> Tensor:
    return torch.arange(x.shape[-2]) if token_positions is None else token_positions


def _counts_from_zero(self, x, token_positions):
    return _places(self, x, None)


def _wraps(self, x, token_positions):
    return _own(x, token_positions) % self.max_seq_len


def _stops_at_the_end(self, x, token_positions):
    return _own(x, token_positions).clamp(0, self.max_seq_len - 1)


def _only_the_length(self, x, token_positions):
    return _places(self, x, None) if token_positions is None else token_positions % self.max_seq_len


def _as_pytorch_says(self, x, token_positions):
    """An IndexError comes of itself, of positions beyond the end."""
    return _own(x, token_positions)


def _begins_later(self, x, token_positions):
    """As in OPT, whose table has two rows before the first."""
    return (_places(self, x, token_positions) + 2) % self.max_seq_len


def _from_the_end(self, x, token_positions):
    if token_positions is not None:
        return _places(self, x, token_positions)
    return _places(self, x, None) + self.max_seq_len - x.shape[-2]


def _first_sequence(self, x, token_positions):
    """The positions of the first sequence for all of them."""
    places = _places(self, x, token_positions)
    return places[0] if places.ndim > 1 else places


def _shifted_to_zero(self, x, token_positions):
    places = _places(self, x, token_positions)
    return places - places.min()


def _detached(weight, places):
    return weight.detach()[places]


def _scaled(weight, places):
    return weight[places] * math.sqrt(weight.shape[1])


def _all_rows_alike(weight, places):
    return weight[:1].expand(*places.shape, -1)


def _once_each(weight, places):
    """Sums up the gradient of a sequence only once, as if the batch had one."""
    return weight[places] if places.ndim > 1 else _MeanOverBatch.apply(weight, places)


class _MeanOverBatch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.rows = weight.shape
        return weight[places]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        gradient = gradients[0].reshape(-1, *gradients[0].shape[-2:]).mean(0) / 2
        return torch.zeros(ctx.rows).to(gradient).index_add(0, places, gradient), None


def _in_place(x, rows):
    return x.add_(rows)


def _replaces(x, rows):
    return rows.expand_as(x) + 0 * x


def _multiplies(x, rows):
    return x * rows


FORWARD = "architecture.absolute_positions.LearnedPositions.forward"


def _bug(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return replacing("learned_positions", FORWARD, "Your positions ", id, function, diagnosis, hint, **options)


MISCONCEPTIONS = (
    _bug(
        "begin-at-two",
        _adding(_begins_later),
        "begin two rows later, as in OPT, whose table has two rows more for it.",
        "Which row does the first token get?",
        throughout=True,
    ),
    _bug(
        "ignore-what-is-given",
        _adding(_counts_from_zero),
        "are 0, 1, 2, ... whatever token_positions says.",
        "Give the same token twice, at positions 3 and 7: do the outputs differ?",
        frequency="common",
    ),
    _bug(
        "begin-anew-beyond-the-table",
        _adding(_wraps),
        "begin anew where the table ends.",
        "What do you get for five tokens and a table of four rows?",
        forms=[_adding(_stops_at_the_end)],
    ),
    _bug(
        "may-be-negative",
        _adding(_only_the_length),
        "are looked at by the length of the sequence only, so that -1 is the last row of the table.",
        "What is weight[-1] in PyTorch?",
        frequency="common",
    ),
    _bug(
        "beyond-the-table-are-no-sentence",
        _adding(_as_pytorch_says),
        "beyond the table end in an IndexError of PyTorch's, and negative ones in nothing at all.",
        "What does the error say about the table and the sequence?",
        frequency="common",
    ),
    _bug(
        "end-with-the-table",
        _adding(_from_the_end),
        "are the last ones of the table.",
        "Which row does the first token get?",
        frequency="rare",
    ),
    _bug(
        "of-the-first-sequence",
        _adding(_first_sequence),
        "are those of the first sequence for the whole batch.",
        "Give two sequences different positions: does each get its own?",
    ),
    _bug(
        "are-moved-to-zero",
        _adding(_shifted_to_zero),
        "are moved so that the lowest is 0.",
        "Which row does a token at position 3 get, if it comes alone?",
        frequency="rare",
    ),
    _bug(
        "never-learn",
        _adding(look_up=_detached),
        "are detached, and never learn.",
        "Does the table have a gradient after backward()?",
    ),
    _bug(
        "learn-from-an-average",
        _adding(look_up=_once_each),
        "get the average of the gradients of a batch, where they should get the sum.",
        "In how many sums of the forward pass does a row stand?",
        frequency="rare",
    ),
    _bug(
        "are-scaled",
        _adding(look_up=_scaled),
        "are multiplied by sqrt(d_model).",
        "What should the output minus the input be?",
        throughout=True,
    ),
    _bug(
        "are-all-the-first",
        _adding(look_up=_all_rows_alike),
        "are the first row for every token.",
        "Exchange two tokens: are the outputs only exchanged?",
        frequency="rare",
        throughout=True,
    ),
    _bug(
        "replace-the-embeddings",
        _adding(combine=_replaces),
        "stand in the place of the embeddings.",
        "Does the output depend on the input?",
        frequency="rare",
        throughout=True,
    ),
    _bug(
        "multiply",
        _adding(combine=_multiplies),
        "are multiplied with the embeddings, where they should be added.",
        "What should come of an embedding of zeros?",
        frequency="rare",
        throughout=True,
    ),
    _bug(
        "change-the-input",
        _adding(combine=_in_place),
        "are added in place, so that the caller's embeddings change.",
        "Print the input before and after a call.",
    ),
)
