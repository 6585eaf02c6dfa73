"""Cases for the Transformer language model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..assets import Asset
from ..case import Case, Draw
from ..compare import Tolerance
from ..weights import draw_weights, lm_shapes

ADAPTER = "run_transformer_lm"
# Errors of float32 add up over the layers: correct implementations differ by up to 4e-6.
TOLERANCE = Tolerance(1e-4)
TRAINED = {
    "vocab_size": 1024,
    "context_length": 64,
    "d_model": 64,
    "num_layers": 3,
    "num_heads": 4,
    "d_ff": 128,
    "rope_theta": 10000.0,
    "weights": Asset("small_lm/weights"),
}


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(
        batch: int,
        seq_len: int,
        vocab_size: int = 20,
        context_length: int = 12,
        d_model: int = 8,
        num_layers: int = 2,
        num_heads: int = 2,
        d_ff: int = 20,
        rope_theta: float = 1e4,
    ) -> dict[str, Any]:
        return {
            "vocab_size": vocab_size,
            "context_length": context_length,
            "d_model": d_model,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "d_ff": d_ff,
            "rope_theta": rope_theta,
            "weights": draw_weights(draw, lm_shapes(vocab_size, d_model, num_layers, d_ff)),
            "in_indices": draw.integers(0, vocab_size, batch, seq_len),
        }

    def case(name: str, given: dict[str, Any], group: str = "reference") -> Case:
        return Case(name, ADAPTER, given, group, TOLERANCE)

    yield case("full_context", inputs(3, 12))
    yield case("three_layers", inputs(2, 12, num_layers=3))
    yield case("one_layer", inputs(2, 12, num_layers=1))
    yield case("more_heads", inputs(2, 12, d_model=16, num_heads=4))
    yield case("one_sequence", inputs(1, 12))

    yield case("truncated", inputs(2, 7), group="truncated")
    yield case("two_tokens", inputs(2, 2), group="truncated")
    yield case("one_token", inputs(3, 1), group="truncated")

    yield case("vocabulary_as_wide_as_model", inputs(2, 12, vocab_size=16, d_model=16), group="untied")
    yield case("vocabulary_narrower_than_model", inputs(2, 12, vocab_size=6, d_model=16), group="untied")

    yield case("small", inputs(2, 12, rope_theta=20.0), group="theta")
    yield case("large", inputs(2, 12, rope_theta=1e6), group="theta")

    yield case("drawn_tokens", TRAINED | {"in_indices": draw.integers(0, 1024, 2, 5)}, group="trained")
    yield case("one_sequence", TRAINED | {"in_indices": draw.integers(0, 1024, 1, 9)}, group="trained")

    # Embeddings whose mean square is about eps, and nothing on the way that would enlarge them.
    quiet = inputs(2, 12)
    silent = ("ffn.w2.weight", "attn.output_proj.weight")
    for name, weight in quiet["weights"].items():
        if name.endswith(silent):
            weight.zero_()
    quiet["weights"]["token_embeddings.weight"] *= 3e-3
    yield case("small_embeddings", quiet, group="eps")

    tiny = inputs(2, 4, vocab_size=7, context_length=4, num_layers=1, d_ff=6)
    yield Case("tiny", "inputs_after", {"adapter": ADAPTER, "inputs": tiny}, "untouched", TOLERANCE)
    yield case("transposed_ids", tiny | {"in_indices": draw.integers(0, 7, 4, 2).T}, "strided")
