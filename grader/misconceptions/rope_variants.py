"""How RoPE in other layouts goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from grader.reference.architecture import positions
from grader.reference.rope import RotaryPositionalEmbedding

from .catalogue import Misconception, replacing
from .together import assembled

_init = positions.PartialRotaryEmbedding.__init__
_permute = positions.permute_for_halves
Turn = Callable[[Any, Tensor, Tensor], Tensor]


def _table(self: Any, token_positions: Tensor, size: int | None = None) -> tuple[Tensor, Tensor]:
    """cos and sin of every pair's angle, with the wavelengths of so many features."""
    pairs = torch.arange(0, self.rotary_dim, 2, dtype=torch.float64)
    angles = token_positions.unsqueeze(-1) * self.rope.theta ** (-pairs / (size or self.rotary_dim))
    return angles.cos(), angles.sin()


def _interleaved(self: Any, x: Tensor, token_positions: Tensor) -> Tensor:
    cos, sin = _table(self, token_positions)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def _halves(self: Any, x: Tensor, token_positions: Tensor) -> Tensor:
    cos, sin = _table(self, token_positions)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


@assembled
def _rotating(interleaved: Turn = _interleaved, halves: Turn = _halves, part: Any = None, whole: Any = None):
    """The forward pass with another rotation of the first features, or another use of the rest (part), or of all."""

    def forward(self, x, token_positions):
        wide = x.double()
        turn = interleaved if self.layout == "interleaved" else halves
        if whole is not None and self.rotary_dim < x.shape[-1]:
            return whole(self, turn, wide, token_positions).to(x.dtype)
        turned, rest = wide.split([self.rotary_dim, x.shape[-1] - self.rotary_dim], -1)
        rest = rest if part is None else part(rest)
        return torch.cat([turn(self, turned, token_positions), rest], -1).to(x.dtype)

    return forward


def _backwards(turn: Turn) -> Turn:
    return lambda self, x, token_positions: turn(self, x, -token_positions)


def _table_repeated(self, x, token_positions):
    """Halves with cos and sin for neighbours (c0 c0 c1 c1)."""
    cos, sin = (t.repeat_interleave(2, -1) for t in _table(self, token_positions))
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def _table_tiled(self, x, token_positions):
    """Neighbours with cos and sin for halves (c0 c1 c0 c1)."""
    cos, sin = (torch.cat([t, t], -1) for t in _table(self, token_positions))
    turned = torch.stack([-x[..., 1::2], x[..., 0::2]], -1).flatten(-2)
    return x * cos + turned * sin


def _half_not_negated(self, x, token_positions):
    cos, sin = (torch.cat([t, t], -1) for t in _table(self, token_positions))
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([b, a], -1) * sin


def _result_interleaved(self, x, token_positions):
    """Pairs are taken from the halves, and put back as neighbours."""
    cos, sin = _table(self, token_positions)
    a, b = x.chunk(2, -1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def _wavelengths_of_all(self, turn, x, token_positions):
    before = self.rotary_dim
    pairs = torch.arange(0, before, 2, dtype=torch.float64)
    angles = token_positions.unsqueeze(-1) * self.rope.theta ** (-pairs / x.shape[-1])
    cos, sin = angles.cos(), angles.sin()
    turned, rest = x[..., :before], x[..., before:]
    if self.layout == "halves":
        a, b = turned.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos, rest], -1)
    a, b = turned[..., 0::2], turned[..., 1::2]
    return torch.cat([torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2), rest], -1)


def _last_features(self, turn, x, token_positions):
    rest = x.shape[-1] - self.rotary_dim
    return torch.cat([x[..., :rest], turn(self, x[..., rest:], token_positions)], -1)


def _rest_first(self, turn, x, token_positions):
    before = self.rotary_dim
    return torch.cat([x[..., before:], turn(self, x[..., :before], token_positions)], -1)


def _all_of_them(self, turn, x, token_positions):
    """rotary_dim is ignored."""
    before, self.rotary_dim = self.rotary_dim, x.shape[-1]
    turned = turn(self, x, token_positions)
    self.rotary_dim = before
    return turned


def _pairs_across(self, turn, x, token_positions):
    """Halves of the whole vector, of which only the first few pairs turn."""
    if self.layout == "interleaved":
        return _rotating()(self, x, token_positions)
    cos, sin = _table(self, token_positions)
    pairs, half = self.rotary_dim // 2, x.shape[-1] // 2
    a, b = x[..., :pairs], x[..., half : half + pairs]
    y = x.clone()
    y[..., :pairs], y[..., half : half + pairs] = a * cos - b * sin, a * sin + b * cos
    return y


def _counts_from_zero(self, x, token_positions):
    return _rotating()(self, x, torch.arange(x.shape[-2]))


def _stays_float32(self, x, token_positions):
    return _rotating()(self, x.float(), token_positions)


def _in_place(self, x, token_positions):
    return x.copy_(_rotating()(self, x, token_positions))


def _takes_anything(self, theta, d_k, max_seq_len, layout="interleaved", rotary_dim=None, device=None):
    nn.Module.__init__(self)
    rotary_dim = d_k if rotary_dim is None else min(rotary_dim, d_k)
    self.layout, self.rotary_dim = layout, rotary_dim - rotary_dim % 2
    self.rope = RotaryPositionalEmbedding(theta, self.rotary_dim, max_seq_len, device)


def _checked(permute: Callable[[Tensor, int], Tensor]):
    def permute_for_halves(weight, num_heads):
        _permute(weight, num_heads)
        return permute(weight, num_heads)

    return permute_for_halves


def _inverse(weight, heads):
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def _across_heads(weight, heads):
    return torch.cat([weight[0::2], weight[1::2]])


def _odd_first(weight, heads):
    return weight.unflatten(0, (heads, -1, 2)).flip(2).transpose(1, 2).flatten(0, 2)


def _columns(weight, heads):
    return torch.cat([weight[:, 0::2], weight[:, 1::2]], 1)


def _unchanged(weight, heads):
    return weight.clone()


def _swapped_halves(weight, heads):
    first, second = weight.unflatten(0, (heads, 2, -1)).unbind(1)
    return torch.stack([second, first], 1).flatten(0, 2)


def _rope(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    name = "architecture.positions.PartialRotaryEmbedding.forward"
    return replacing("rope_variants", name, "Your RoPE ", id, function, diagnosis, hint, **options)


def _rows(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    name = "architecture.positions.permute_for_halves"
    return replacing("rope_variants", name, "Your permutation ", id, _checked(function), diagnosis, hint, **options)


MISCONCEPTIONS = (
    _rope(
        "always-interleaved",
        _rotating(halves=_interleaved),
        "pairs neighbouring features in either layout.",
        "Which feature goes with feature 0 of 8, in halves?",
        frequency="common",
    ),
    _rope(
        "always-halves",
        _rotating(interleaved=_halves),
        "pairs features of both halves in either layout.",
        "Which feature goes with feature 0 of 8, interleaved?",
        frequency="common",
    ),
    _rope(
        "halves-with-table-of-neighbours",
        _rotating(halves=_table_repeated),
        "pairs the halves, and repeats each cos and sin for neighbours (c0 c0 c1 c1).",
        "Which two features form a pair in your code, and do they get the same cos?",
    ),
    _rope(
        "neighbours-with-table-of-halves",
        _rotating(interleaved=_table_tiled),
        "pairs neighbours, and repeats cos and sin as whole rows (c0 c1 c0 c1).",
        "Which two features form a pair in your code, and do they get the same cos?",
    ),
    _rope(
        "halves-without-minus",
        _rotating(halves=_half_not_negated),
        "has lost the minus in its turned halves, so that nothing is rotated.",
        "Is a vector as long after the rotation as before?",
    ),
    _rope(
        "halves-put-back-as-neighbours",
        _rotating(halves=_result_interleaved),
        "takes pairs from the halves, and puts them back as neighbours.",
        "What should happen to a vector at position 0?",
    ),
    _rope(
        "halves-turn-backwards",
        _rotating(halves=_backwards(_halves)),
        "turns backwards in halves. Scores do not show it, as long as queries and keys turn alike.",
        "Rotate (1, 0) by position 1: is its second feature positive?",
        frequency="rare",
    ),
    _rope(
        "wavelengths-of-all-features",
        _rotating(whole=_wavelengths_of_all),
        "takes the wavelengths of all d_k features, where only rotary_dim of them turn.",
        "Which power of theta belongs to the last pair of four features?",
        frequency="common",
    ),
    _rope(
        "turns-the-last-features",
        _rotating(whole=_last_features),
        "turns the last rotary_dim features, and leaves the first.",
        "Which features stay as they are?",
    ),
    _rope(
        "rest-comes-first",
        _rotating(whole=_rest_first),
        "puts the features that do not turn before those that do.",
        "What should happen to a vector at position 0?",
        frequency="rare",
    ),
    _rope(
        "rest-is-lost",
        _rotating(part=torch.zeros_like),
        "sets the features that do not turn to 0.",
        "What should happen to a vector at position 0?",
    ),
    _rope(
        "ignores-rotary-dim",
        _rotating(whole=_all_of_them),
        "turns all features whatever rotary_dim is.",
        "Which features stay as they are?",
    ),
    _rope(
        "pairs-across-the-whole",
        _rotating(whole=_pairs_across),
        "pairs feature k with k + d_k/2, also where only rotary_dim features turn.",
        "Which feature goes with feature 0, if four of eight turn in halves?",
        frequency="common",
    ),
    _rope(
        "ignores-positions",
        _counts_from_zero,
        "turns by 0, 1, 2, ..., whatever the given positions.",
        "Give every token position 5: do all of them turn by the same angle?",
    ),
    _rope(
        "result-in-float32",
        _stays_float32,
        "returns float32 whatever the dtype of its input.",
        "Compare the dtypes of input and output for bfloat16.",
    ),
    _rope(
        "changes-its-input",
        _in_place,
        "writes its result into its input.",
        "Print the input before and after a call.",
        frequency="rare",
    ),
    replacing(
        "rope_variants",
        "architecture.positions.PartialRotaryEmbedding.__init__",
        "Your RoPE ",
        "takes-impossible-settings",
        _takes_anything,
        "takes a rotary_dim that is odd or above d_k, and any name for a layout.",
        "What does a model do of which a setting was misspelt?",
    ),
    _rows(
        "inverse-permutation",
        _inverse,
        "goes the other way, from halves to interleaved.",
        "Which row of eight comes second?",
        frequency="common",
    ),
    _rows(
        "permutes-across-heads",
        _across_heads,
        "takes the even rows of all heads before the odd ones, so that heads are mixed.",
        "Which rows belong to the first head afterwards?",
        frequency="common",
    ),
    _rows(
        "odd-rows-first",
        _odd_first,
        "puts the odd rows before the even ones, which turns every pair backwards.",
        "Which row comes first?",
        frequency="rare",
    ),
    _rows(
        "permutes-columns",
        _columns,
        "changes the order of the columns, which are the input's features.",
        "Which dimension of W_Q belongs to the queries?",
    ),
    _rows(
        "nothing-permuted",
        _unchanged,
        "changes nothing.",
        "Are the scores of both layouts the same with your weights?",
        frequency="rare",
    ),
    _rows(
        "halves-swapped",
        _swapped_halves,
        "swaps the halves of each head.",
        "Which row of eight comes second?",
        frequency="rare",
    ),
)
