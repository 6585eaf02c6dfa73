"""Cases for RoPE on longer sequences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance

# A tolerance is relative to the size of all frequencies, and slow pairs, which are scaled, are the small ones.
_FREQUENCIES = Tolerance(2e-6)


def generate(draw: Draw) -> Iterator[Case]:
    def frequencies(name: str, group: str, d_k: int, theta: float, kind: str, factor: float, length: int, **more: Any):
        given = {"d_k": d_k, "theta": theta, "kind": kind, "factor": factor, "original_max_seq_len": length, **more}
        return Case(name, "run_scaled_frequencies", given, group, _FREQUENCIES)

    for kind in ("linear", "ntk", "yarn", "llama3"):
        yield frequencies(f"{kind}_sixteen", kind, 16, 500.0, kind, 4.0, 256)
        yield frequencies(f"{kind}_eight", kind, 8, 100.0, kind, draw.number(2.0, 9.0), 128)
        yield frequencies(f"{kind}_twelve", kind, 12, 50.0, kind, 8.0, 300)
        yield frequencies(f"{kind}_by_one", "one", 8, 60.0, kind, 1.0, 128)
    yield frequencies("few_turns", "settings", 16, 500.0, "yarn", 4.0, 256, beta_fast=8.0, beta_slow=2.0)
    yield frequencies("one_pair_between", "settings", 8, 100.0, "yarn", 4.0, 128, beta_fast=2.2, beta_slow=2.0)
    yield frequencies("all_fast", "settings", 8, 10.0, "yarn", 4.0, 4096)
    yield frequencies("wide", "settings", 16, 500.0, "llama3", 8.0, 256, low_freq_factor=2.0, high_freq_factor=16.0)
    yield frequencies("llama_3_1", "published", 128, 500000.0, "llama3", 8.0, 8192)
    yield frequencies("qwen_2_5", "published", 128, 1000000.0, "yarn", 4.0, 32768)

    def rotation(
        name: str, group: str, x: torch.Tensor, kind: str, factor: float, relative: float = 3e-5, positions: Any = None
    ) -> Case:
        positions = torch.arange(x.shape[-2]) if positions is None else torch.tensor(positions)
        given = {"d_k": x.shape[-1], "theta": 50.0, "max_seq_len": 64, "kind": kind, "factor": factor}
        given |= {"original_max_seq_len": 64, "in_query_or_key": x, "token_positions": positions}
        return Case(name, "run_scaled_rope", given, group, Tolerance(relative))

    yield rotation("heads", "rotation", draw.normal(2, 2, 4, 8), "linear", 1.0)
    yield rotation("one_pair", "rotation", draw.normal(3, 2), "llama3", 1.0)
    yield rotation("interpolated", "scaled", draw.normal(2, 4, 6), "linear", 2.5)
    yield rotation("other_base", "scaled", draw.normal(2, 4, 6), "ntk", 4.0)
    # One pair turns once in 2 pi positions, fast enough to stay as it is: what is left of YaRN is its factor.
    yield rotation("one_fast_pair", "factor", draw.normal(4, 2), "yarn", 4.0)
    yield rotation("sixteen_times", "factor", draw.normal(2, 3, 2), "yarn", 16.0)
    apart = [[5, 2, 40, 0], [7, 7, 1, 63]]
    yield rotation("by_sequence", "positions", draw.normal(2, 4, 2), "linear", 1.0, positions=apart)
    yield rotation("any_order", "positions", draw.normal(2, 3, 2), "linear", 1.0, positions=[9, 0, 4])
    yield rotation("float64", "dtypes", draw.normal(5, 2, dtype=torch.float64), "linear", 1.0)
    yield rotation("bfloat16", "dtypes", draw.normal(5, 2, dtype=torch.bfloat16), "linear", 1.0, 2e-2)
    given = rotation("", "", draw.normal(3, 2), "linear", 1.0).inputs
    yield Case("one_pair", "inputs_after", {"adapter": "run_scaled_rope", "inputs": given}, "untouched")
