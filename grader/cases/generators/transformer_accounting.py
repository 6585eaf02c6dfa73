"""Cases for the accounting of a forward pass: GPT-2's family, a long context, and sizes that nobody has seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..case import Case, Draw

Config = dict[str, int]

GPT2 = {
    "gpt2_small": (12, 768, 12),
    "gpt2_medium": (24, 1024, 16),
    "gpt2_large": (36, 1280, 20),
    "gpt2_xl": (48, 1600, 25),
}
"""Layers, d_model and heads."""


def generate(draw: Draw) -> Iterator[Case]:
    def case(group: str, name: str, config: Config, **inputs: Any) -> Case:
        return Case(name, f"run_{group}", {"config": config, **inputs}, group)

    configs = {**family(), "drawn": drawn(draw), "drawn_small": drawn(draw, small=True)}
    for name, config in configs.items():
        yield case("parameter_counts", name, config)
        yield case("num_parameters", name, config)
        yield case("parameter_memory", name, config, bytes_per_parameter=4)
        yield case("matmul_flops", name, config)
        yield case("forward_flops", name, config, batch_size=1)
        yield case("flops_shares", name, config)

    for context_length in (16_384, draw.integer(2_000, 50_000)):
        for name, config in (("gpt2_xl", family()["gpt2_xl"]), ("drawn", drawn(draw))):
            long = config | {"context_length": context_length}
            for function in ("matmul_flops", "flops_shares"):
                which = "16384" if context_length == 16_384 else "drawn_length"
                yield Case(f"{function}_{name}_{which}", f"run_{function}", {"config": long}, "long_context")

    for name, size in (("two", 2), ("drawn", draw.integer(3, 100))):
        inputs = {"config": drawn(draw), "batch_size": size}
        yield Case(f"batch_{name}", "run_forward_flops", inputs, "batch")
    for name, size in (("bfloat16", 2), ("float64", 8)):
        inputs = {"config": drawn(draw), "bytes_per_parameter": size}
        yield Case(name, "run_parameter_memory", inputs, "bytes")

    yield Case("parameters", "run_num_parameters", {"config": huge(draw)}, "exact")
    yield Case("flops", "run_forward_flops", {"config": huge(draw), "batch_size": 3}, "exact")


def family() -> dict[str, Config]:
    """GPT-2's models with their 1,024 tokens of context."""
    return {
        name: {
            "vocab_size": 50_257,
            "context_length": 1_024,
            "num_layers": num_layers,
            "d_model": d_model,
            "num_heads": num_heads,
            "d_ff": 4 * d_model,
        }
        for name, (num_layers, d_model, num_heads) in GPT2.items()
    }


def drawn(draw: Draw, small: bool = False) -> Config:
    """Sizes without simple relations: d_ff is not four times d_model, no two numbers are equal, heads are not few."""
    while True:
        num_heads = draw.integer(2, 5) if small else draw.integer(6, 24)
        config = {
            "vocab_size": draw.integer(50, 200) if small else draw.integer(1_000, 80_000),
            "context_length": draw.integer(5, 40) if small else draw.integer(100, 3_000),
            "num_layers": draw.integer(2, 6) if small else draw.integer(3, 60),
            "d_model": num_heads * (draw.integer(2, 9) if small else 8 * draw.integer(4, 20)),
            "num_heads": num_heads,
            "d_ff": draw.integer(10, 100) if small else 64 * draw.integer(8, 120),
        }
        if len(set(config.values())) == len(config) and config["d_ff"] != 4 * config["d_model"]:
            return config


def huge(draw: Draw) -> Config:
    """Sizes of a model whose FLOPs are more than 2^53, beyond which floats skip whole numbers, and less than 2^63."""
    return {
        "vocab_size": 100_003,
        "context_length": 10_001 + 2 * draw.integer(0, 1_000),
        "num_layers": 133,
        "d_model": 20_007,
        "num_heads": 27,
        "d_ff": 80_003 + 2 * draw.integer(0, 1_000),
    }
