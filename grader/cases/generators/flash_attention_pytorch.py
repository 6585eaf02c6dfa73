"""Cases for FlashAttention, in PyTorch and in Triton.

Sequences of 128 are several tiles of any size up to 64; those of 200 keys end inside a tile, whatever its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..assets import Recipe
from ..case import Case, Draw
from ..compare import Tolerance

_PRECISE = Tolerance(1e-4)
# float16 has 11 bits, and tiles of P and dS may be rounded to it, too. Over 200 seeds, honest code strays by up to
# 2.3e-4 (output) and 1.3e-3 (gradients) of the values' size (root mean squares), and with sums in float16 by at least
# 1.2e-3 and 4.7e-3. The worst single value does not tell them apart.
_HALF, _HALF_GRADIENTS = Tolerance(1e-2, typical=5e-4), Tolerance(5e-2, typical=2.4e-3)
OUTPUT, LOG_SUM_EXP, GRADIENTS = "attention_output", "attention_log_sum_exp", "attention_gradients"


def drawn(draw: Draw, *shape: int, scale: float = 1.0, dtype: torch.dtype) -> torch.Tensor | Recipe:
    """A tensor of this standard deviation; in float32 one of which a file keeps only how it is drawn."""
    return draw.recipe(*shape, scale=scale) if dtype is torch.float32 else draw.normal(*shape, scale=scale, dtype=dtype)


def generate(draw: Draw) -> Iterator[Case]:
    yield from attention_cases(draw, "get_flashattention_autograd_function_pytorch")


def attention_cases(draw: Draw, factory: str) -> Iterator[Case]:
    """The cases of the attention function that one adapter returns."""

    def inputs(
        queries: int = 128,
        keys: int = 128,
        d: int = 16,
        batch: int = 1,
        is_causal: bool = False,
        scale: float = 1.5,
        dtype: torch.dtype = torch.float32,
    ) -> dict[str, Any]:
        return {
            "factory": factory,
            # Scores of about scale^2 make weights neither uniform nor all on one key; maxima wander along the keys.
            "Q": drawn(draw, batch, queries, d, scale=scale, dtype=dtype),
            "K": drawn(draw, batch, keys, d, scale=scale, dtype=dtype),
            "V": drawn(draw, batch, keys, d, dtype=dtype),
            "is_causal": is_causal,
        }

    def cases(
        name: str, group: str, tolerance: Tolerance = _PRECISE, operations=(OUTPUT, LOG_SUM_EXP, GRADIENTS), **sizes
    ) -> Iterator[Case]:
        """A case for what each operation gives, with inputs of its own."""
        for operation in operations:
            given = inputs(**sizes)
            if operation == GRADIENTS:
                given["cotangent"] = drawn(draw, *given["Q"].shape, dtype=sizes.get("dtype", torch.float32))
            yield Case(f"{name}_{operation.removeprefix('attention_')}", operation, given, group, tolerance)

    yield from cases("full", "output", operations=[OUTPUT])
    yield from cases("three_sequences", "output", batch=3, queries=32, keys=32, operations=[OUTPUT])
    # More of everything than a shortcut might allow for.
    wide = {name: draw.recipe(2, length, 64, scale=1.5) for name, length in (("Q", 64), ("K", 512), ("V", 512))}
    yield Case("many_keys_output", OUTPUT, {"factory": factory, **wide, "is_causal": False}, "output", _PRECISE)
    # Equal scores: the plain average of the values, whatever the scale.
    equal = inputs(queries=64, keys=128, batch=2)
    equal["Q"] = torch.zeros(equal["Q"].shape)
    yield Case("equal_scores_output", OUTPUT, equal, "average", _PRECISE)
    yield from cases("full", "log_sum_exp", batch=2, queries=64, keys=64, operations=[LOG_SUM_EXP])
    yield from cases("full", "gradients", operations=[GRADIENTS])
    yield from cases("three_sequences", "gradients", batch=3, queries=16, keys=32, operations=[GRADIENTS])

    causal: dict[str, Any] = {"queries": 64, "keys": 64, "is_causal": True}
    yield from cases("causal", "causal_output", operations=[OUTPUT], **causal)
    yield from cases("causal", "causal_log_sum_exp", operations=[LOG_SUM_EXP], **causal)
    yield from cases("causal", "causal_gradients", operations=[GRADIENTS], **causal)

    large = Tolerance(2e-3)  # scores of 1,000 are known to 1e-4 in float32
    sizes: dict[str, Any] = {"queries": 32, "keys": 32, "scale": 30}
    yield from cases("scores_around_1000", "large", large, operations=[OUTPUT], **sizes)
    yield from cases("scores_around_1000", "log_sum_exp", large, operations=[LOG_SUM_EXP], **sizes)

    odd: dict[str, dict[str, Any]] = {
        "odd": {"queries": 37, "keys": 70},
        "odd_causal": {"queries": 70, "keys": 70, "is_causal": True},
        "fewer_queries": {"queries": 5, "keys": 140},
        "narrow": {"queries": 20, "keys": 20, "d": 5},
    }
    for name, lengths in odd.items():
        yield from cases(name, "lengths", operations=[OUTPUT], **lengths)
        yield from cases(name, "lengths_gradients", operations=[GRADIENTS], **lengths)
    yield from cases("one_key", "lengths", queries=16, keys=1, operations=[OUTPUT])

    # Scores of 10 and more: rounded to float16, they would be off by a hundredth. And many keys: a sum over them in
    # float16 loses more with each.
    half: dict[str, Any] = {"queries": 80, "keys": 320, "dtype": torch.float16, "scale": 3.0}
    yield from cases("half", "half", _HALF, operations=[OUTPUT], **half)
    yield from cases("half", "half_gradients", _HALF_GRADIENTS, operations=[GRADIENTS], **half)

    apart = inputs(queries=32, keys=32, batch=2)
    for name in "QKV":
        apart[name] = apart[name].tensor().transpose(0, 1).contiguous().transpose(0, 1)
    yield Case("sequences_interleaved", OUTPUT, apart, "strided", _PRECISE)

    # Key 40 scores by 150 above all others. The queries before it must not see it, not even in their maximum.
    tempting = {name: draw.normal(1, 64, 16) for name in "QKV"}
    tempting["Q"][..., 0], tempting["K"][:, 40] = 2.0, 0.0
    tempting["K"][:, 40, 0] = 300.0
    yield Case(
        "huge_score_output", OUTPUT, {"factory": factory, **tempting, "is_causal": True}, "causal_output", _PRECISE
    )
