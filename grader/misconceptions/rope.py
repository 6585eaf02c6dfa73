"""How rotary position embedding goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .catalogue import Misconception
from .together import assembled

Frequencies = Callable[[Any], Tensor]
Turn = Callable[[Tensor, Tensor, Tensor], Tensor]


def _frequencies(self):
    return self.theta ** (-torch.arange(0, self.d_k, 2, dtype=torch.float64) / self.d_k)


def _by_pairs(x, cos, sin):
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


@assembled
def _rotating(
    frequencies: Frequencies = _frequencies,
    turn: Turn = _by_pairs,
    positions: Callable[[Tensor, Tensor], Tensor] = lambda x, positions: positions,
):
    """A forward pass with other frequencies, another way to turn, or other positions."""

    def forward(self, x, token_positions):
        precision = torch.promote_types(x.dtype, torch.float32)
        angles = positions(x, token_positions).unsqueeze(-1) * frequencies(self)
        return turn(x.to(precision), angles.cos().to(precision), angles.sin().to(precision)).to(x.dtype)

    return forward


def _halves(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)


def _pairs_to_halves(x, cos, sin):
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.cat((even * cos - odd * sin, even * sin + odd * cos), dim=-1)


def _other_way_round(x, cos, sin):
    return _by_pairs(x, cos, -sin)


def _reflects(x, cos, sin):
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, odd * cos - even * sin), dim=-1).flatten(-2)


def _swaps_sin_and_cos(x, cos, sin):
    return _by_pairs(x, sin, cos)


def _overwrites(x, cos, sin):
    result = x.clone()
    result[..., 0::2] = result[..., 0::2] * cos - result[..., 1::2] * sin
    result[..., 1::2] = result[..., 0::2] * sin + result[..., 1::2] * cos
    return result


def _half_the_features(x, cos, sin):
    part = cos.shape[-1] // 2
    return torch.cat((_by_pairs(x[..., : 2 * part], cos[..., :part], sin[..., :part]), x[..., 2 * part :]), dim=-1)


def _adds(x, cos, sin):
    return x + torch.stack((sin.expand_as(x[..., ::2]), cos.expand_as(x[..., ::2])), dim=-1).flatten(-2)


def _rounded_table(x, cos, sin):
    return _by_pairs(x, cos.bfloat16().to(x.dtype), sin.bfloat16().to(x.dtype))


def _exponent(power: Callable[[Tensor, int], Tensor]) -> Frequencies:
    """Frequencies theta^-power(k, d_k) for k = 0, 1, 2, ..."""

    def frequencies(self):
        return self.theta ** -power(torch.arange(self.d_k // 2, dtype=torch.float64), self.d_k)

    return frequencies


def _fixed_base(self):
    return 10000.0 ** (-torch.arange(0, self.d_k, 2, dtype=torch.float64) / self.d_k)


def _half_precision_frequencies(self):
    return _frequencies(self).bfloat16().double()


def _one_frequency(self):
    return torch.ones(self.d_k // 2, dtype=torch.float64)


def _along(dim: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Positions counted along a dimension of the input and not taken from the argument."""

    def positions(x, token_positions):
        shape = [1] * (x.ndim - 1)
        where = dim if dim < 0 else min(dim, x.ndim - 2) - x.ndim
        shape[where + 1] = x.shape[where]
        return torch.arange(x.shape[where]).reshape(shape)

    return positions


def _first_row(x, token_positions):
    return token_positions.reshape(-1, token_positions.shape[-1])[0]


def _from_start(x, token_positions):
    return token_positions - token_positions.min()


def _sorted(x, token_positions):
    return token_positions.sort(-1).values


def _vectors_only(x, token_positions):
    (seq,) = token_positions.shape
    return token_positions.reshape(seq)


def _heads_before_sequence(x, token_positions):
    """Positions with a batch dimension get one for heads, whether or not the input has heads."""
    return token_positions.unsqueeze(-2) if token_positions.ndim > 1 else token_positions


def _next_to_sequence(x, token_positions):
    """Leading dimensions of the positions line up with the input's from the right, wherever they belong."""
    return token_positions.squeeze(1) if token_positions.ndim == 3 else token_positions


def _short_table(self, dtype, device):
    positions = torch.arange(self.max_seq_len - 1, dtype=torch.float64)
    angles = torch.outer(positions, _frequencies(self))
    return torch.stack((angles.cos(), angles.sin()), dim=-1).to(dtype).to(device)


def _stays_wide(self, x, token_positions):
    angles = token_positions.unsqueeze(-1) * _frequencies(self)
    return _by_pairs(x, angles.cos(), angles.sin())


def _stays_float32(self, x, token_positions):
    angles = (token_positions.unsqueeze(-1) * _frequencies(self)).to(torch.promote_types(x.dtype, torch.float32))
    return _by_pairs(x, angles.cos(), angles.sin())


def _in_place(self, x, token_positions):
    angles = token_positions.unsqueeze(-1) * _frequencies(self)
    x.copy_(_by_pairs(x, angles.cos().to(x.dtype), angles.sin().to(x.dtype)))
    return x


def _detaches(self, x, token_positions):
    return _rotating()(self, x.detach(), token_positions)


def _views(self, x, token_positions):
    pairs = x.view(*x.shape[:-2], -1).view(*x.shape)
    return _rotating()(self, pairs, token_positions)


def _capped(x, token_positions):
    return token_positions.clamp(max=8191)


def _angles_like_input(self, x, token_positions):
    angles = token_positions.unsqueeze(-1).to(x.dtype) * _frequencies(self).to(x.dtype)
    return _by_pairs(x, angles.cos(), angles.sin()).to(x.dtype)


def _repeats_table(x, cos, sin):
    turned = torch.stack((-x[..., 1::2], x[..., 0::2]), dim=-1).flatten(-2)
    return x * torch.cat((cos, cos), dim=-1) + turned * torch.cat((sin, sin), dim=-1)


def _interleaves_table_of_halves(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return x * cos.repeat_interleave(2, dim=-1) + turned * sin.repeat_interleave(2, dim=-1)


def _from_first(x, positions):
    return positions.reshape(-1)[0] + torch.arange(x.shape[-2])


def _inserts_heads(x, positions):
    return positions.unsqueeze(1) if x.ndim == 4 and positions.ndim > 1 else positions


def _rope(id, replacement, diagnosis, hint, frequency, throughout=False):
    """A misconception whose forward pass is `replacement`."""
    name = "rope.RotaryPositionalEmbedding.forward"
    return Misconception(f"rope-{id}", "rope", {name: replacement}, diagnosis, hint, frequency, throughout=throughout)


MISCONCEPTIONS = (
    _rope(
        "halves-instead-of-pairs",
        _rotating(turn=_halves),
        diagnosis=("Your RoPE pairs feature k with feature k + d_k/2, as GPT-NeoX does; here, neighbours form a pair."),
        hint="Rotate [1, 0, 0, 0] at position 1: which feature becomes non-zero?",
        frequency="common",
    ),
    _rope(
        "pairs-come-out-as-halves",
        _rotating(turn=_pairs_to_halves),
        diagnosis="Your RoPE rotates neighbouring features but then puts all first ones before all second ones.",
        hint="At position 0 nothing should change: does your output have the features in their old order?",
        frequency="common",
    ),
    _rope(
        "turns-the-other-way",
        _rotating(turn=_other_way_round),
        diagnosis="Your RoPE rotates by the negative angle: the minus sign is at the wrong sine.",
        hint="Rotate [1, 0] at position 1: is the second feature sin(1) or -sin(1)?",
        frequency="occasional",
    ),
    _rope(
        "two-minus-signs",
        _rotating(turn=_reflects),
        diagnosis="Your RoPE has a minus sign at both sines, so its matrix is not a rotation.",
        hint="Does the length of every pair stay the same?",
        frequency="occasional",
    ),
    _rope(
        "sine-and-cosine-swapped",
        _rotating(turn=_swaps_sin_and_cos),
        diagnosis="Your RoPE swaps sine and cosine.",
        hint="What should happen at position 0?",
        frequency="rare",
    ),
    _rope(
        "overwrites-half-way",
        _rotating(turn=_overwrites),
        diagnosis="Your RoPE overwrites the first feature of a pair before it computes the second one from it.",
        hint="Which values of the pair does the second line of the matrix need, old or new ones?",
        frequency="occasional",
    ),
    _rope(
        "half-of-the-features",
        _rotating(turn=_half_the_features),
        diagnosis="Your RoPE rotates only half of the features.",
        hint="How many pairs does a vector of d_k features have, and how many of them change?",
        frequency="rare",
        throughout=True,
    ),
    _rope(
        "adds-instead-of-turning",
        _rotating(turn=_adds),
        diagnosis="Your position embedding adds sines and cosines to the input, as the original Transformer did.",
        hint="What should come out when the input is zero?",
        frequency="rare",
        throughout=True,
    ),
    _rope(
        "exponent-not-doubled",
        _rotating(_exponent(lambda k, d: k / d)),
        diagnosis="Your RoPE uses the exponent k / d_k instead of 2k / d_k, so angles shrink too slowly.",
        hint="What is the angle of the last pair at position 1, as a power of theta?",
        frequency="common",
    ),
    _rope(
        "exponent-doubled-twice",
        _rotating(_exponent(lambda k, d: 4 * k / d)),
        diagnosis="Your RoPE doubles k twice: in the range, and again in the exponent.",
        hint="Print the exponents: which one belongs to the last pair?",
        frequency="occasional",
    ),
    _rope(
        "exponent-counts-from-one",
        _rotating(_exponent(lambda k, d: 2 * (k + 1) / d)),
        diagnosis="Your RoPE counts pairs from 1, so even the first pair rotates by less than the position.",
        hint="By which angle should the first pair rotate at position 1?",
        frequency="occasional",
    ),
    _rope(
        "exponent-shifted-twice",
        _rotating(_exponent(lambda k, d: (2 * k - 2) / d)),
        diagnosis="Your RoPE subtracts 2 in the exponent but its k starts at 0, so the first pair rotates too far.",
        hint="By which angle should the first pair rotate at position 1?",
        frequency="occasional",
    ),
    _rope(
        "frequencies-grow",
        _rotating(_exponent(lambda k, d: -2 * k / d)),
        diagnosis="Your RoPE multiplies the position by a power of theta instead of dividing by it.",
        hint="Do later pairs rotate faster or slower than the first?",
        frequency="rare",
    ),
    _rope(
        "one-frequency",
        _rotating(_one_frequency),
        diagnosis="Your RoPE rotates all pairs by the same angle.",
        hint="Print the angles at position 1: how many different ones are there?",
        frequency="rare",
    ),
    _rope(
        "ignores-theta",
        _rotating(_fixed_base),
        diagnosis="Your RoPE always uses 10000 as its base and ignores theta.",
        hint="Compare the outputs for theta = 10000 and theta = 100.",
        frequency="occasional",
    ),
    _rope(
        "ignores-positions",
        _rotating(positions=_along(-2)),
        diagnosis="Your RoPE rotates the vectors by 0, 1, 2, ..., whatever the given positions.",
        hint="Give every token position 5: do all of them rotate by the same angle?",
        frequency="common",
    ),
    _rope(
        "counts-along-second-dimension",
        _rotating(positions=_along(1)),
        diagnosis=("Your RoPE counts positions along the second dimension of its input, which may be the heads."),
        hint="For an input of shape [batch, heads, seq, d_k], do all heads of a token rotate alike?",
        frequency="occasional",
    ),
    _rope(
        "positions-from-one",
        _rotating(positions=lambda x, p: p + 1),
        diagnosis="Your RoPE counts positions from 1.",
        hint="What should happen to a vector at position 0?",
        frequency="occasional",
    ),
    _rope(
        "positions-begin-at-zero",
        _rotating(positions=_from_start),
        diagnosis=(
            "Your RoPE subtracts the smallest position, so a sequence that starts at 11 is treated as if "
            "it started at 0."
        ),
        hint="Rotate one vector at position 11: does it change?",
        frequency="rare",
    ),
    _rope(
        "sorts-positions",
        _rotating(positions=_sorted),
        diagnosis="Your RoPE sorts the positions, so they no longer match their vectors.",
        hint="Give the positions 2, 1, 0: does the last vector stay unchanged?",
        frequency="rare",
    ),
    _rope(
        "first-row-for-all",
        _rotating(positions=_first_row),
        diagnosis="Your RoPE uses the first sequence's positions for all sequences.",
        hint="Give two sequences different positions: is the second one rotated by its own?",
        frequency="occasional",
    ),
    _rope(
        "one-dimensional-positions-only",
        _rotating(positions=_vectors_only),
        diagnosis="Your RoPE takes only positions of shape [seq].",
        hint='What does "..." stand for in the shape of token_positions?',
        frequency="common",
    ),
    _rope(
        "assumes-heads",
        _rotating(positions=_heads_before_sequence),
        diagnosis=(
            "Your RoPE adds a dimension for heads to positions with a batch dimension, even when the "
            "input has no heads."
        ),
        hint=(
            "Compare the shapes of input and output for x of shape [batch, seq, d_k] and positions of "
            "shape [batch, seq]."
        ),
        frequency="common",
    ),
    _rope(
        "rows-beside-heads",
        _rotating(positions=_next_to_sequence),
        diagnosis="Your RoPE aligns the batch dimension of the positions with the heads of the input.",
        hint="For positions of shape [batch, 1, seq], which dimension of the input does each row belong to?",
        frequency="common",
    ),
    _rope(
        "table-in-half-precision",
        _rotating(turn=_rounded_table),
        diagnosis="Your RoPE stores sines and cosines in bfloat16, with only two or three digits.",
        hint="Compare your table with torch.cos of the angles in float64.",
        frequency="rare",
    ),
    _rope(
        "angles-in-half-precision",
        _rotating(_half_precision_frequencies),
        diagnosis="Your RoPE computes angles in bfloat16, so large positions rotate by a wrong angle.",
        hint="What is 4001 as a bfloat16?",
        frequency="rare",
    ),
    _rope(
        "result-in-float64",
        _stays_wide,
        diagnosis="Your RoPE returns float64, because its sines and cosines are float64.",
        hint="Compare the dtypes of input and output.",
        frequency="rare",
    ),
    _rope(
        "result-in-float32",
        _stays_float32,
        diagnosis="Your RoPE returns float32 for half-precision inputs, because its sines and cosines are float32.",
        hint="Compare the dtypes of input and output for a bfloat16 input.",
        frequency="common",
    ),
    _rope(
        "changes-its-input",
        _in_place,
        diagnosis="Your RoPE writes its result into its input.",
        hint="Print the input before and after a call.",
        frequency="rare",
    ),
    _rope(
        "is-detached",
        _detaches,
        diagnosis="Your RoPE detaches its input, so queries and keys never learn.",
        hint="Give it an input with requires_grad=True: does the output require a gradient?",
        frequency="rare",
    ),
    _rope(
        "views-strided-input",
        _views,
        diagnosis="Your RoPE calls view on its input, which fails when heads were split off by a transpose.",
        hint="Try it on x.transpose(1, 2).",
        frequency="occasional",
    ),
    Misconception(
        id="rope-table-one-too-short",
        problem="rope",
        replaces={"rope.RotaryPositionalEmbedding._tabulate": _short_table},
        diagnosis="Your table of sines and cosines ends at position max_seq_len - 2.",
        hint="How many positions are there from 0 to max_seq_len - 1?",
        frequency="rare",
    ),
    _rope(
        "table-repeated-not-interleaved",
        _rotating(turn=_repeats_table),
        diagnosis=(
            "Your RoPE rotates neighbouring features, but repeats cos and sin as whole rows (c0 c1 c0 c1), so the "
            "two features of a pair rotate by different angles."
        ),
        hint="Which angle should features 0 and 1 share, and which entries of your cos do they get?",
        frequency="common",
    ),
    _rope(
        "halves-with-interleaved-table",
        _rotating(turn=_interleaves_table_of_halves),
        diagnosis=(
            "Your RoPE pairs feature k with feature k + d_k/2, but repeats each cos and sin for neighbours "
            "(c0 c0 c1 c1)."
        ),
        hint="Which two features form a pair in your code, and do they get the same cos?",
        frequency="occasional",
    ),
    _rope(
        "counts-on-from-first-position",
        _rotating(positions=_from_first),
        diagnosis="Your RoPE counts up from the first position and ignores the other positions.",
        hint="Try positions with gaps, such as 0, 3, 6.",
        frequency="occasional",
    ),
    _rope(
        "table-ends-early",
        _rotating(positions=_capped),
        diagnosis="Your RoPE supports no position beyond 8191, whatever max_seq_len is.",
        hint="How many rows does your table have for max_seq_len = 50000?",
        frequency="rare",
    ),
    _rope(
        "angles-in-the-input-dtype",
        _angles_like_input,
        diagnosis="Your RoPE computes its angles in the dtype of its input, which is too coarse in half precision.",
        hint="What is 301 as a bfloat16?",
        frequency="occasional",
    ),
    _rope(
        "inserts-head-dimension",
        _rotating(positions=_inserts_heads),
        diagnosis=(
            "Your RoPE inserts a dimension for heads into positions of any shape, even if they already have one."
        ),
        hint="Give positions of shape [batch, 1, seq] to an input of shape [batch, heads, seq, d_k].",
        frequency="occasional",
    ),
)
