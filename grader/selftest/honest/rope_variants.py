"""RoPE in other layouts, written in other ways."""

from __future__ import annotations

import torch
from einops import rearrange

from grader.misconceptions.catalogue import Variant

FORWARD = "architecture.positions.PartialRotaryEmbedding.forward"


def _angles(self, token_positions):
    pairs = torch.arange(0, self.rotary_dim, 2).float() / self.rotary_dim
    return token_positions[..., None].float() / self.rope.theta**pairs


def _rotate_half(self, x, token_positions):
    """cos and sin as wide as the features that turn, as in most libraries."""
    angles = _angles(self, token_positions)
    first, rest = x[..., : self.rotary_dim].float(), x[..., self.rotary_dim :]
    if x.dtype == torch.float64:
        first = first.double()
    if self.layout == "halves":
        wide = torch.cat([angles, angles], -1)
        a, b = first.chunk(2, -1)
        turned = torch.cat([-b, a], -1)
    else:
        wide = angles.repeat_interleave(2, -1)
        turned = torch.stack([-first[..., 1::2], first[..., ::2]], -1).flatten(-2)
    return torch.cat([(first * wide.cos() + turned * wide.sin()).to(x.dtype), rest], -1)


def _complex(self, x, token_positions):
    split = "... (two k) -> ... k two" if self.layout == "halves" else "... (k two) -> ... k two"
    joined = "... k two -> ... (two k)" if self.layout == "halves" else "... k two -> ... (k two)"
    pairs = rearrange(x[..., : self.rotary_dim].double(), split, two=2).contiguous()
    turns = torch.polar(torch.ones(()).double(), _angles(self, token_positions).double())
    turned = torch.view_as_real(torch.view_as_complex(pairs) * turns)
    return torch.cat([rearrange(turned, joined).to(x.dtype), x[..., self.rotary_dim :]], -1)


def _no_turn_for_the_rest(self, x, token_positions):
    """The rest turns by an angle of 0."""
    angles = _angles(self, token_positions).double()
    y = x.double().clone()
    for k in range(self.rotary_dim // 2):
        i, j = (k, k + self.rotary_dim // 2) if self.layout == "halves" else (2 * k, 2 * k + 1)
        cos, sin, a, b = angles[..., k].cos(), angles[..., k].sin(), x[..., i].double(), x[..., j].double()
        y[..., i], y[..., j] = a * cos - b * sin, a * sin + b * cos
    return y.to(x.dtype)


def _as_meta_to_hugging_face(weight, num_heads):
    rows, d_model = weight.shape
    if rows % (2 * num_heads):
        raise ValueError(f"{num_heads} heads need an even share of {rows} rows")
    return weight.view(num_heads, rows // num_heads // 2, 2, d_model).transpose(1, 2).reshape(rows, d_model)


def _by_index(weight, num_heads):
    size, odd = divmod(len(weight), num_heads)
    if odd or size % 2:
        raise ValueError(f"no {num_heads} even heads in {len(weight)} rows")
    order = [head * size + row for head in range(num_heads) for row in (*range(0, size, 2), *range(1, size, 2))]
    return weight[order]


VARIANTS = (
    Variant("rotate-half", "rope_variants", {FORWARD: _rotate_half}),
    Variant("complex", "rope_variants", {FORWARD: _complex}),
    Variant("pair-by-pair", "rope_variants", {FORWARD: _no_turn_for_the_rest}),
    Variant(
        "as-meta-to-hugging-face",
        "rope_variants",
        {"architecture.positions.permute_for_halves": _as_meta_to_hugging_face},
    ),
    Variant("by-index", "rope_variants", {"architecture.positions.permute_for_halves": _by_index}),
)
