"""How sines and cosines of positions go wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from grader.reference.architecture import absolute_positions

from .catalogue import Misconception, replacing
from .together import assembled

_right = absolute_positions.sinusoidal_table


def _usual(k: Tensor, d_model: int) -> Tensor:
    return 2 * k / d_model


def _side_by_side(sines: Tensor, cosines: Tensor) -> Tensor:
    return torch.stack([sines, cosines], -1).flatten(-2)


def _one_after_the_other(sines: Tensor, cosines: Tensor) -> Tensor:
    return torch.cat([sines, cosines], -1)


@assembled
def _tabulating(
    of_sine: Callable[[Tensor, int], Tensor] = _usual,
    of_cosine: Callable[[Tensor, int], Tensor] = _usual,
    interleaved: Callable[[Tensor, Tensor], Tensor] = _side_by_side,
    halves: Callable[[Tensor, Tensor], Tensor] = _one_after_the_other,
    first: int = 0,
    base: float | None = None,
    grows: bool = False,
    checked: bool = True,
):
    """The table with other exponents of the base, for sines or cosines, or another order of both."""

    def sinusoidal_table(num_positions, d_model, layout="interleaved", given=10000.0, device=None):
        if checked:
            _right(num_positions, d_model, layout, given, device)
        d_model -= d_model % 2
        k = torch.arange(d_model // 2, dtype=torch.float64)
        positions = torch.arange(first, first + num_positions, dtype=torch.float64)
        sign = 1 if grows else -1

        def angles(exponents: Callable[[Tensor, int], Tensor]) -> Tensor:
            return torch.outer(positions, (base or given) ** (sign * exponents(k, d_model)))

        order = halves if layout == "halves" else interleaved
        return order(angles(of_sine).sin(), angles(of_cosine).cos()).float()

    return sinusoidal_table


def _odd(k, d_model):
    return (2 * k + 1) / d_model


def _half(k, d_model):
    return k / d_model


def _reaches_the_base(k, d_model):
    """The last of them is 1, as in tensor2tensor."""
    return k / max(d_model // 2 - 1, 1)


def _cosine_first(sines, cosines):
    return torch.stack([cosines, sines], -1).flatten(-2)


def _cosines_first(sines, cosines):
    return torch.cat([cosines, sines], -1)


def _sines_only(sines, cosines):
    return torch.cat([sines, sines], -1)


# ------------------------------------------------------------------------------------------------------------


def _places(self: Any, x: Tensor, token_positions: Tensor | None) -> Tensor:
    return absolute_positions._places(x, token_positions, self.max_seq_len)


def _sum(x: Tensor, rows: Tensor) -> Tensor:
    return x + rows.to(x.dtype)


@assembled
def _adding(places: Callable[..., Tensor] = _places, combine: Callable[[Tensor, Tensor], Tensor] = _sum):
    """The forward pass with other rows, or another use of them."""

    def forward(self, x, token_positions=None):
        return combine(x, self._table[places(self, x, token_positions)])

    return forward


def _counts_from_zero(self, x, token_positions):
    return _places(self, x, None)


def _wraps(self, x, token_positions):
    return (torch.arange(x.shape[-2]) if token_positions is None else token_positions) % self.max_seq_len


def _stops_at_the_end(self, x, token_positions):
    return (torch.arange(x.shape[-2]) if token_positions is None else token_positions).clamp(0, self.max_seq_len - 1)


def _length_only(self, x, token_positions):
    """Looks at the length alone; a negative position counts from the end."""
    return _places(self, x, None) if token_positions is None else token_positions % self.max_seq_len


def _from_the_end(self, x, token_positions):
    return self.max_seq_len - x.shape[-2] + torch.arange(x.shape[-2]) if token_positions is None else token_positions


def _first_of_all(self, x, token_positions):
    return torch.zeros_like(_places(self, x, token_positions))


def _product(x, rows):
    return x * rows.to(x.dtype)


def _scales_embeddings(x, rows):
    return x * math.sqrt(x.shape[-1]) + rows.to(x.dtype)


def _instead(x, rows):
    return rows.to(x.dtype).expand_as(x)


def _widens(x, rows):
    return x + rows.to(torch.promote_types(x.dtype, torch.float32))


def _in_place(x, rows):
    return x.add_(rows.to(x.dtype))


def _table(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    name = "architecture.absolute_positions.sinusoidal_table"
    return replacing("sinusoidal_embedding", name, "Your table ", id, function, diagnosis, hint, **options)


def _forward(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    name = "architecture.absolute_positions.SinusoidalPositions.forward"
    return replacing("sinusoidal_embedding", name, "Your positions ", id, function, diagnosis, hint, **options)


MISCONCEPTIONS = (
    _table(
        "exponent-of-each-feature",
        _tabulating(of_cosine=_odd),
        "gives each feature an angle of its own, so that a cosine stands beside the sine of another angle.",
        "What is the sum of the squares of the features 0 and 1 at position 3?",
        frequency="common",
    ),
    _table(
        "exponent-halved",
        _tabulating(_half, _half),
        "has k in its exponents where 2k belongs, so that the longest wavelength is far too short.",
        "Which power of the base belongs to the last pair of eight features?",
        frequency="common",
    ),
    _table(
        "last-exponent-is-one",
        _tabulating(_reaches_the_base, _reaches_the_base),
        "divides by d_model/2 - 1, so that the last exponent is 1, as in tensor2tensor.",
        "Which power of the base belongs to the last pair of four features?",
        frequency="common",
    ),
    _table(
        "angles-grow",
        _tabulating(grows=True),
        "multiplies positions by the powers of the base, where it should divide.",
        "Which pair of features turns fastest in your code?",
    ),
    _table(
        "base-fixed",
        _tabulating(base=10000.0),
        "takes 10000 for the base, whatever it is told.",
        "Compare the tables for two bases.",
    ),
    _table(
        "cosine-before-sine",
        _tabulating(interleaved=_cosine_first, halves=_cosines_first),
        "puts cosines before sines.",
        "What are the features of position 0?",
        throughout=True,
    ),
    _table(
        "always-interleaved",
        _tabulating(halves=_side_by_side),
        "is interleaved in either layout.",
        "Which features of position 0 are 1, in halves?",
        frequency="common",
    ),
    _table(
        "always-halves",
        _tabulating(interleaved=_one_after_the_other),
        "is in halves in either layout.",
        "Which features of position 0 are 1, interleaved?",
        frequency="common",
    ),
    _table(
        "halves-of-sines-only",
        _tabulating(halves=_sines_only),
        "has sines in both halves.",
        "What is the second half at position 0?",
        frequency="rare",
    ),
    _table(
        "begins-at-one",
        _tabulating(first=1),
        "begins at position 1.",
        "What is the row of the first token?",
        throughout=True,
    ),
    _table(
        "takes-odd-sizes",
        _tabulating(checked=False),
        "takes an odd d_model and layouts that do not exist.",
        "What does it give for d_model = 5?",
    ),
    _forward(
        "ignore-what-is-given",
        _adding(_counts_from_zero),
        "are 0, 1, 2, ... whatever token_positions says.",
        "Give the same token twice, at positions 3 and 7: do the outputs differ?",
        frequency="common",
    ),
    _forward(
        "begin-anew-beyond-the-table",
        _adding(_wraps),
        "begin anew where the table ends.",
        "What do you get for five tokens and a table of four rows?",
        forms=[_adding(_stops_at_the_end)],
    ),
    _forward(
        "may-be-negative",
        _adding(_length_only),
        "are looked at by the length of the sequence only, so that -1 is the last row of the table.",
        "What is weight[-1] in PyTorch?",
        frequency="common",
    ),
    _forward(
        "end-with-the-table",
        _adding(_from_the_end),
        "are the last ones of the table.",
        "Which row does the first token get?",
        frequency="rare",
    ),
    _forward(
        "are-all-the-first",
        _adding(_first_of_all),
        "are 0 for every token.",
        "Exchange two tokens: are the outputs only exchanged?",
        frequency="rare",
    ),
    _forward(
        "multiply",
        _adding(combine=_product),
        "are multiplied with the embeddings, where they should be added.",
        "What should come of an embedding of zeros?",
        frequency="rare",
    ),
    _forward(
        "scale-the-embeddings",
        _adding(combine=_scales_embeddings),
        "come with embeddings times sqrt(d_model). The paper has that, too, but as part of its embedding layer.",
        "What should the output minus the table be?",
        frequency="common",
    ),
    _forward(
        "replace-the-embeddings",
        _adding(combine=_instead),
        "stand in the place of the embeddings.",
        "Does the output depend on the input?",
        frequency="rare",
    ),
    _forward(
        "widen",
        _adding(combine=_widens),
        "turn embeddings in half precision into float32.",
        "What is the dtype of a bfloat16 tensor plus one in float32?",
    ),
    _forward(
        "change-the-input",
        _adding(combine=_in_place),
        "are added in place, so that the caller's embeddings change.",
        "Print the input before and after a call.",
    ),
)
