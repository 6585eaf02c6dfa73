"""Rotary position embedding, written in other ways."""

from __future__ import annotations

import torch
from einops import rearrange

from grader.misconceptions.catalogue import Variant


def _table_in_float32(self):
    inverse = 1.0 / (self.theta ** (torch.arange(0, self.d_k, 2).float() / self.d_k))
    angles = torch.outer(torch.arange(self.max_seq_len).float(), inverse)
    return angles.cos(), angles.sin()


def _strided_halves(self, x, token_positions):
    cos, sin = (table[token_positions] for table in _table_in_float32(self))
    wide = x.float()
    result = torch.empty_like(wide)
    result[..., 0::2] = wide[..., 0::2] * cos - wide[..., 1::2] * sin
    result[..., 1::2] = wide[..., 0::2] * sin + wide[..., 1::2] * cos
    return result.to(x.dtype)


def _rotate_half(self, x, token_positions):
    cos, sin = (table[token_positions].repeat_interleave(2, dim=-1) for table in _table_in_float32(self))
    first, second = rearrange(x, "... (pairs two) -> two ... pairs", two=2)
    quarter_turn = rearrange([-second, first], "two ... pairs -> ... (pairs two)")
    return (x * cos + quarter_turn * sin).to(x.dtype)


def _complex(self, x, token_positions):
    frequencies = self.theta ** (-torch.arange(0, self.d_k, 2, dtype=torch.float64) / self.d_k)
    angles = token_positions.unsqueeze(-1).double() * frequencies
    turns = torch.polar(torch.ones_like(angles), angles)
    pairs = torch.view_as_complex(x.double().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns).reshape(x.shape).to(x.dtype)


def _matrices(self, x, token_positions):
    cos, sin = _table_in_float32(self)
    turns = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)[token_positions]
    pairs = rearrange(x.float(), "... (pairs two) -> ... pairs two 1", two=2)
    return rearrange(turns @ pairs, "... pairs two 1 -> ... (pairs two)").to(x.dtype)


def _as_one_matrix(self, x, token_positions):
    cos, sin = _table_in_float32(self)
    turns = torch.zeros(self.max_seq_len, self.d_k, self.d_k)
    even = torch.arange(0, self.d_k, 2)
    turns[:, even, even] = cos
    turns[:, even, even + 1] = -sin
    turns[:, even + 1, even] = sin
    turns[:, even + 1, even + 1] = cos
    return torch.einsum("...ij,...j->...i", turns[token_positions], x.float()).to(x.dtype)


def _batched_in_float32(self, x, token_positions):
    """Takes a batch, and gives float32 for half precision, as products with float32 tables do."""
    assert x.ndim > 2
    cos, sin = (table[token_positions] for table in _table_in_float32(self))
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def _rope(name, forward):
    return Variant(f"rope-{name}", "rope", {"rope.RotaryPositionalEmbedding.forward": forward})


VARIANTS = (
    _rope("strided-halves", _strided_halves),
    _rope("rotate-half", _rotate_half),
    _rope("complex", _complex),
    _rope("two-by-two-matrices", _matrices),
    _rope("as-one-matrix", _as_one_matrix),
    _rope("batched-in-float32", _batched_in_float32),
)
