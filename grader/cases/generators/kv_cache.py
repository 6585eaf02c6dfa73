"""Cases for a cache of keys and values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ..case import Case, Draw
from ..compare import Tolerance
from ..weights import draw_weights

ADAPTER = "run_cached_attention"
_EXACT = Tolerance(5e-5)


def generate(draw: Draw) -> Iterator[Case]:
    def contents(name: str, group: str, batch: int, room: int, calls: Sequence[Any]) -> Case:
        """Each call is a number of new positions, or a pair of it and the counts of all sequences."""
        appended = []
        for call in calls:
            new, counts = call if isinstance(call, tuple) else (call, None)
            values = {key: draw.normal(batch, 2, new, 3) for key in ("keys", "values")}
            appended.append({**values, "counts": None if counts is None else torch.tensor(counts)})
        sizes = {"batch_size": batch, "num_kv_heads": 2, "max_seq_len": room, "d_k": 3}
        given = {"adapter": "get_kv_cache", "sizes": sizes, "appended": appended}
        return Case(name, "cache_contents", given, group)

    yield contents("prompt", "append", 2, 8, [3])
    yield contents("prompt_and_steps", "append", 2, 8, [3, 1, 1])
    yield contents("full", "append", 1, 6, [4, 2])
    yield contents("one_call", "in_place", 2, 9, [4])
    yield contents("three_calls", "in_place", 1, 9, [4, 1, 2])
    yield contents("padded", "counts", 3, 9, [(4, [4, 2, 1])])
    yield contents("padded_and_steps", "counts", 2, 9, [(4, [1, 4]), (1, [1, 1]), (2, [2, 0])])

    def inputs(
        pieces: Sequence[int],
        heads: int = 2,
        kv_heads: int = 2,
        batch: int = 1,
        d_model: int = 8,
        theta: float | None = None,
        window: int | None = None,
        counts: Sequence[Sequence[int]] | None = None,
        room: int = 12,
        dtype: torch.dtype = torch.float32,
    ) -> dict[str, Any]:
        d_kv = kv_heads * d_model // heads
        shapes = dict.fromkeys(("q_proj_weight", "k_proj_weight", "v_proj_weight", "o_proj_weight"), (d_model, d_model))
        weights = draw_weights(draw, {**shapes, **dict.fromkeys(("k_proj_weight", "v_proj_weight"), (d_kv, d_model))})
        sizes = {"d_model": d_model, "num_heads": heads, "num_kv_heads": kv_heads, "max_seq_len": room}
        return {
            **sizes,
            "theta": theta,
            "window": window,
            **{name: weight.to(dtype) for name, weight in weights.items()},
            "pieces": [draw.normal(batch, new, d_model, dtype=dtype) for new in pieces],
            "counts": None if counts is None else [torch.tensor(count) for count in counts],
        }

    def case(name: str, group: str, given: dict[str, Any], tolerance: Tolerance = _EXACT) -> Case:
        return Case(name, ADAPTER, given, group, tolerance)

    yield case("one_piece", "prefill", inputs([5]))
    yield case("batch", "prefill", inputs([4], batch=2))
    # One token at a time, so that what several see of each other does not matter; with groups, each sees but itself.
    yield case("from_nothing", "steps", inputs([1, 1, 1, 1]))
    yield case("of_a_batch", "steps", inputs([1, 1, 1], batch=2))
    yield case("prompt_and_steps", "pieces", inputs([3, 1, 1, 1]))
    yield case("three_pieces", "pieces", inputs([2, 4, 2], batch=2))
    yield case("rotated", "rope", inputs([1, 1, 1], theta=20.0))
    yield case("rotated_batch", "rope", inputs([1, 1, 1], theta=20.0, batch=2))
    yield case("two_of_four", "gqa", inputs([1], heads=4))
    yield case("one_of_four", "gqa", inputs([1], heads=4, kv_heads=1, batch=2))
    yield case("three_of_six", "gqa", inputs([1], heads=6, kv_heads=3, batch=2, d_model=12))
    yield case("two_keys", "window", inputs([1, 1, 1, 1], window=2, batch=2))
    yield case("three_keys", "window", inputs([1, 1, 1, 1, 1], window=3))
    yield case("some_wait", "lengths", inputs([1, 1, 1, 1], batch=2, counts=[[1, 1], [1, 0], [0, 1], [1, 0]]))
    yield case("some_begin_later", "lengths", inputs([1, 1, 1], batch=3, counts=[[1, 0, 1], [1, 1, 0], [1, 1, 1]]))
    yield case("prompts", "padded", inputs([4, 1, 1], batch=3, counts=[[4, 2, 1], [1, 1, 1], [1, 1, 1]]))
    yield case("prompts_of_two", "padded", inputs([3, 2], batch=2, counts=[[1, 3], [2, 1]]))
    yield case("window_in_a_prompt", "everything", inputs([4, 1, 1], window=3))
    # Padding of the second sequence stands beyond the last position.
    beyond: dict[str, Any] = {"batch": 2, "counts": [[4, 2], [2, 1], [0, 3]], "room": 6}
    everything = inputs([4, 2, 3], heads=4, window=3, theta=20.0, **beyond)
    yield case("all_of_it", "everything", everything)
    yield case("bfloat16", "half", inputs([2, 1], dtype=torch.bfloat16), Tolerance(4e-2))
    given = {"adapter": ADAPTER, "inputs": inputs([2], counts=[[2]])}
    yield Case("one_piece", "inputs_after", given, "untouched", _EXACT)
