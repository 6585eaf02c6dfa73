"""Cases for windows and sinks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance

_ATTENTION = Tolerance(5e-5)


def generate(draw: Draw) -> Iterator[Case]:
    def mask(name: str, group: str, **given: Any) -> Case:
        return Case(name, "run_window_mask", given, group)

    yield mask("window_of_3", "window", seq_len=8, window=3)
    yield mask("window_of_1", "window", seq_len=4, window=1)
    yield mask("drawn_window", "window", seq_len=16, window=draw.integer(4, 12))
    yield mask("as_wide_as_the_sequence", "wide", seq_len=5, window=5)
    yield mask("wider_than_the_sequence", "wide", seq_len=5, window=9)
    yield mask("one_token", "wide", seq_len=1, window=2)
    yield mask("stride_of_3", "stride", seq_len=10, window=2, stride=3)
    yield mask("stride_of_1", "stride", seq_len=6, window=1, stride=1)
    yield mask("drawn_stride", "stride", seq_len=16, window=3, stride=draw.integer(4, 7))
    yield mask("one_global", "global", seq_len=8, window=2, stride=None, global_tokens=1)
    yield mask("three_global", "global", seq_len=8, window=2, stride=None, global_tokens=3)
    yield mask("more_global_than_tokens", "global", seq_len=4, window=1, stride=None, global_tokens=6)

    yield mask("together", "together", seq_len=14, window=2, stride=4, global_tokens=2)

    def inputs(*shape: int, scale: float = 1.0, mask: torch.Tensor | None = None, heads: int = 2) -> dict[str, Any]:
        queries, keys, d_k = shape
        return {
            "Q": draw.normal(2, heads, queries, d_k, scale=scale),
            "K": draw.normal(2, heads, keys, d_k, scale=scale),
            "V": draw.normal(2, heads, keys, d_k + 1),
            "mask": mask,
            "sinks": draw.normal(heads, scale=1.5) + 0.5,
        }

    def attention(name: str, group: str, given: dict[str, Any]) -> Case:
        return Case(name, "run_sink_attention", given, group, _ATTENTION)

    yield attention("sinks", "sinks", inputs(3, 4, 4))
    yield attention("three_heads", "sinks", inputs(2, 3, 6, heads=3))
    yield attention("causal", "masked_sinks", inputs(4, 4, 4, mask=torch.ones(4, 4).tril().bool()))
    drawn = draw.integers(0, 2, 3, 5).bool()
    drawn[:, 0] = True
    yield attention("drawn_mask", "masked_sinks", inputs(3, 5, 4, mask=drawn))

    large = inputs(3, 4, 4, scale=15)  # scores of some 100: e^100 is too large for float32
    yield attention("large_scores", "large", large)
    large_sinks = inputs(3, 4, 4)
    large_sinks["sinks"] = torch.tensor([95.0, -95.0]) + draw.uniform(2)
    large_sinks["K"] = large_sinks["K"] * 30
    yield attention("large_sinks", "large", large_sinks)
    hidden = torch.ones(3, 4).bool()
    hidden[1] = False
    yield attention("second_query", "no_key", inputs(3, 4, 4, mask=hidden))

    # Without a mask, which is a claim of its own.
    given = inputs(3, 4, 4)
    arguments = {"adapter": "run_sink_attention", "inputs": given, "wrt": ["Q", "K", "V", "sinks"]}
    yield Case("sinks", "gradients", {**arguments, "cotangent": draw.normal(2, 2, 3, 5)}, "gradients", Tolerance(1e-4))
    yield Case(
        "sinks", "inputs_after", {"adapter": "run_sink_attention", "inputs": inputs(2, 2, 2)}, "untouched", _ATTENTION
    )
