"""Cases for the accounting of a forward pass: GPT-2's family, a long context, and sizes that nobody has seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..case import Case, Draw

Config = dict[str, int]
Parts = dict[str, dict[str, Any]]

GPT2 = {
    "gpt2_small": (12, 768, 12, 2048),
    "gpt2_medium": (24, 1024, 16, 2752),
    "gpt2_large": (36, 1280, 20, 3392),
    "gpt2_xl": (48, 1600, 25, 4288),
    "gpt2_xl_of_2025": (48, 1600, 25, 6400),
}
"""Layers, d_model, heads and d_ff: 8/3 d_model, to the nearest multiple of 64; in the handout of 2025, 4 d_model."""


def generate(draw: Draw) -> Iterator[Case]:
    configs = {**family(), "drawn": drawn(draw), "drawn_small": drawn(draw, small=True)}
    parameters: Parts = {"parameter_counts": {}}
    flops: Parts = {"matmul_flops": {}}
    for name, config in configs.items():
        for function in ("parameter_counts", "matmul_flops"):
            yield Case(name, f"run_{function}", {"config": config}, function)
        yield account(name, config, "num_parameters", parameters)
        yield account(name, config, "parameter_memory", {"num_parameters": {}}, bytes_per_parameter=4)
        yield account(name, config, "forward_flops", flops, batch_size=1)
        yield account(name, config, "flops_shares", flops)

    for context_length, length in ((16_384, "16384"), (draw.integer(2_000, 50_000), "drawn_length")):
        for name, config in (("gpt2_xl", configs["gpt2_xl"]), ("drawn", drawn(draw))):
            long = config | {"context_length": context_length}
            yield account(f"{name}_{length}", long, "flops_shares", flops, group="long_context")

    for name, size in (("two", 2), ("drawn", draw.integer(3, 100))):
        yield account(name, drawn(draw), "forward_flops", flops, group="batch", batch_size=size)
    for name, size in (("bfloat16", 2), ("float64", 8)):
        config = drawn(draw)
        yield account(name, config, "parameter_memory", {"num_parameters": {}}, group="bytes", bytes_per_parameter=size)

    yield account("parameters", huge(draw), "num_parameters", parameters, group="exact")
    yield account("flops", huge(draw), "forward_flops", flops, group="exact", batch_size=3)


def account(name: str, config: Config, wanted: str, parts: Parts, group: str | None = None, **options: Any) -> Case:
    """A case that asks for a quantity and for others that it follows from."""
    inputs = {"config": config, "wanted": wanted, "options": options, "parts": parts}
    return Case(name, "accounted", inputs, group or wanted)


def family() -> dict[str, Config]:
    """GPT-2's models with their 1,024 tokens of context."""
    return {
        name: {
            "vocab_size": 50_257,
            "context_length": 1_024,
            "num_layers": num_layers,
            "d_model": d_model,
            "num_heads": num_heads,
            "d_ff": d_ff,
        }
        for name, (num_layers, d_model, num_heads, d_ff) in GPT2.items()
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
