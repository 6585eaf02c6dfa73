"""Cases for the Transformer language model.

Sizes are those of the assignment: d_ff is 8/3 of d_model and a multiple of 64. Others are the business of the
feed-forward network's own tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..assets import Asset, Recipe
from ..case import Case, Draw
from ..compare import Tolerance
from ..weights import lm_shapes, usual_d_ff, weight_recipes

ADAPTER = "run_transformer_lm"
# Errors of float32 add up over the layers: correct implementations differ by up to 4e-6.
TOLERANCE = Tolerance(1e-4)
TRAINED = {
    "vocab_size": 1024,
    "context_length": 64,
    "d_model": 64,
    "num_layers": 3,
    "num_heads": 4,
    "d_ff": 128,  # as in the public assignment's own fixture
    "rope_theta": 10000.0,
    "weights": Asset("small_lm/weights"),
}


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(
        batch: int,
        seq_len: int,
        vocab_size: int = 20,
        context_length: int = 12,
        d_model: int = 24,
        num_layers: int = 2,
        num_heads: int = 2,
        rope_theta: float = 1e4,
    ) -> dict[str, Any]:
        d_ff = usual_d_ff(d_model)
        return {
            "vocab_size": vocab_size,
            "context_length": context_length,
            "d_model": d_model,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "d_ff": d_ff,
            "rope_theta": rope_theta,
            "weights": weight_recipes(draw, lm_shapes(vocab_size, d_model, num_layers, d_ff)),
            "in_indices": draw.integers(0, vocab_size, batch, seq_len),
        }

    def silenced(given: dict[str, Any]) -> dict[str, Any]:
        """The same with blocks that pass their input on."""
        weights = {
            name: Recipe(weight.shape, 0.0, 0)
            if name.endswith(("ffn.w2.weight", "attn.output_proj.weight"))
            else weight
            for name, weight in given["weights"].items()
        }
        return given | {"weights": weights}

    def case(name: str, given: dict[str, Any], group: str = "reference", **more: Any) -> Case:
        return Case(name, ADAPTER, given, group, **{"tolerance": TOLERANCE, **more})

    yield case("full_context", inputs(3, 12))
    yield case("three_layers", inputs(2, 12, num_layers=3))
    yield case("one_layer", inputs(2, 12, num_layers=1))
    yield case("more_heads", inputs(2, 12, d_model=48, num_heads=4))
    yield case("one_sequence", inputs(1, 7))
    deep = inputs(1, 70, vocab_size=300, context_length=80, d_model=72, num_layers=9, num_heads=6)
    yield case("deep", deep, tolerance=Tolerance(2e-4))
    usual = inputs(2, 256, vocab_size=2000, context_length=256, d_model=192, num_layers=6, num_heads=12)
    yield case("usual_sizes", usual, tolerance=Tolerance(2e-4), stored=False)

    for name, vocab_size in (("vocabulary_narrower_than_model", 9), ("vocabulary_wider_than_model", 40)):
        same = inputs(3, 12, vocab_size=vocab_size)
        same["weights"]["lm_head.weight"] = same["weights"]["token_embeddings.weight"]
        yield case(name, same, group="ranking")

    # Vectors of root mean square 1, and gains of 1: what is asked here is to look up and to score, with a norm between.
    for name, batch, vocab_size in (("vocabulary_narrower_than_model", 3, 6), ("vocabulary_wider_than_model", 2, 40)):
        plain = silenced(inputs(batch, 12, vocab_size=vocab_size))
        embedding = draw.normal(vocab_size, 24)
        plain["weights"]["token_embeddings.weight"] = embedding / embedding.square().mean(-1, keepdim=True).sqrt()
        plain["weights"] |= {key: torch.ones(24) for key in plain["weights"] if "ln" in key}
        yield case(name, plain, group="ends")

    yield case("truncated", inputs(2, 7), group="truncated")
    yield case("two_tokens", inputs(2, 2), group="truncated")
    yield case("one_token", inputs(3, 1), group="truncated")

    def distinct(batch: int, seq_len: int) -> torch.Tensor:
        """Token ids of which none repeats: equal ones have equal values, whose average no weights change."""
        rows = [torch.from_numpy(draw.random.permutation(20)[:seq_len]) for _ in range(batch)]
        return torch.stack(rows)

    for name, seq_len, theta in (("two_tokens", 2, 20.0), ("drawn", 9, draw.number(20, 5000))):
        given = inputs(2, seq_len, rope_theta=theta) | {"in_indices": distinct(2, seq_len)}
        yield case(name, given, group="theta")

    yield case("drawn_tokens", TRAINED | {"in_indices": draw.integers(0, 1024, 2, 5)}, group="trained")
    yield case("one_sequence", TRAINED | {"in_indices": draw.integers(0, 1024, 1, 9)}, group="trained")

    # Embeddings whose mean square is about eps, and nothing on the way that would enlarge them.
    quiet = silenced(inputs(2, 12))
    quiet["weights"]["token_embeddings.weight"] = draw.normal(20, 24, scale=3e-3)
    yield case("small_embeddings", quiet, group="eps")

    small = inputs(2, 4, vocab_size=7, context_length=4, num_layers=1)
    yield Case("small", "inputs_after", {"adapter": ADAPTER, "inputs": small}, "untouched", TOLERANCE)
    yield case("transposed_ids", small | {"in_indices": draw.integers(0, 7, 4, 2).T}, "strided")

    learning = inputs(2, 6, vocab_size=11, context_length=8, num_layers=1)
    arguments = {"adapter": ADAPTER, "inputs": learning, "cotangent": draw.normal(2, 6, 11)}
    yield Case("one_layer", "parameter_gradients", arguments, "weight_gradients", Tolerance(5e-4))

    tall = inputs(3, 1, num_layers=12)  # one token, so that only what goes through the layers is asked
    yield case("twelve_layers", tall, "many_layers", tolerance=Tolerance(2e-4))
