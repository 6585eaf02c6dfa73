"""Sines and cosines of positions, written in other ways."""

from __future__ import annotations

import math

import torch
from torch import nn

from grader.misconceptions.catalogue import Variant

TABLE = "architecture.absolute_positions.sinusoidal_table"


def _by_loops(num_positions, d_model, layout="interleaved", base=10000.0, device=None):
    if layout not in ("interleaved", "halves") or d_model % 2 or num_positions < 1:
        raise ValueError(f"cannot be: {num_positions} positions, {d_model} features, layout {layout}")
    rows = []
    for position in range(num_positions):
        angles = [position / base ** (2 * k / d_model) for k in range(d_model // 2)]
        if layout == "halves":
            rows.append([*map(math.sin, angles), *map(math.cos, angles)])
        else:
            rows.append([f(angle) for angle in angles for f in (math.sin, math.cos)])
    return torch.tensor(rows, device=device)


def _in_float32(num_positions, d_model, layout="interleaved", base=10000.0, device=None):
    """As in most tutorials: e^(-2k log(base) / d_model), and slices with a step."""
    if d_model % 2 != 0:
        raise ValueError(f"d_model must be even, got {d_model}")
    if layout not in ("interleaved", "halves"):
        raise ValueError(f"unknown layout: {layout}")
    position = torch.arange(num_positions, device=device).float().unsqueeze(1)
    div_term = torch.exp(torch.arange(0, d_model, 2, device=device).float() * (-math.log(base) / d_model))
    table = torch.zeros(num_positions, d_model, device=device)
    if layout == "interleaved":
        table[:, 0::2], table[:, 1::2] = torch.sin(position * div_term), torch.cos(position * div_term)
    else:
        half = d_model // 2
        table[:, :half], table[:, half:] = torch.sin(position * div_term), torch.cos(position * div_term)
    return table


def _one_sine(num_positions, d_model, layout="interleaved", base=10000.0, device=None):
    """A cosine is a sine a quarter of a turn later."""
    if d_model % 2 or layout not in ("interleaved", "halves"):
        raise ValueError(f"no table of {d_model} features in the layout {layout}")
    k = torch.arange(d_model, dtype=torch.float64, device=device)
    pair = k // 2 if layout == "interleaved" else k % (d_model // 2)
    is_cosine = k % 2 == 1 if layout == "interleaved" else k >= d_model // 2
    positions = torch.arange(num_positions, dtype=torch.float64, device=device)
    angles = positions[:, None] / torch.pow(torch.tensor(base, dtype=torch.float64), 2 * pair / d_model)
    return torch.sin(angles + is_cosine * (math.pi / 2)).float()


class _WithBuffer(nn.Module):
    table: torch.Tensor

    def __init__(self, max_seq_len, d_model, layout="interleaved", base=10000.0, device=None):
        super().__init__()
        self.register_buffer("table", _by_loops(max_seq_len, d_model, layout, base, device), persistent=False)

    def forward(self, x, token_positions=None):
        length = len(self.table)
        if token_positions is None:
            if x.shape[-2] > length:
                raise ValueError(f"{x.shape[-2]} tokens, but {length} positions")
            return (x + self.table[: x.shape[-2]]).to(x.dtype)
        low, high = int(token_positions.min()), int(token_positions.max())
        if low < 0 or high >= length:
            raise ValueError(f"positions from {low} to {high}, but the table ends at {length - 1} ({length} rows)")
        return (x + nn.functional.embedding(token_positions, self.table)).to(x.dtype)


VARIANTS = (
    Variant("sines-by-loops", "sinusoidal_embedding", {TABLE: _by_loops}),
    Variant("sines-in-float32", "sinusoidal_embedding", {TABLE: _in_float32}),
    Variant("cosines-are-late-sines", "sinusoidal_embedding", {TABLE: _one_sine}),
    Variant(
        "sines-in-a-buffer",
        "sinusoidal_embedding",
        {"architecture.absolute_positions.SinusoidalPositions": _WithBuffer},
    ),
)
