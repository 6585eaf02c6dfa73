"""Cases for the accounting of any configuration: published models, and sizes that nobody has seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..case import Case, Draw

Config = dict[str, Any]


def _sized(
    vocab_size: int, context_length: int, d_model: int, num_layers: int, num_heads: int, d_ff: int, **settings: Any
) -> Config:
    sizes = {"vocab_size": vocab_size, "context_length": context_length, "d_model": d_model, "num_layers": num_layers}
    return {**sizes, "num_heads": num_heads, "d_ff": d_ff, **settings}


PUBLISHED: dict[str, Config] = {
    "llama_3_8b": _sized(128_256, 8192, 4096, 32, 32, 14_336, num_kv_heads=8, rope_layout="halves", rope_theta=5e5),
    "gemma_2_9b": _sized(
        *(256_000, 8192, 3584, 42, 16, 14_336),
        num_kv_heads=8, head_dim=256, norm_placement="double", ffn="geglu_tanh", tie_embeddings=True, window=4096,
        full_every=2, rope_layout="halves",
    ),
    "gpt_j_6b": _sized(
        *(50_400, 2048, 4096, 28, 16, 16_384),
        norm="layernorm", parallel_block=True, shared_norm=True, rotary_dim=64, ffn="gelu_tanh", ffn_bias=True,
        head_bias=True,
    ),
    "mixtral_8x7b": _sized(
        32_000, 32_768, 4096, 32, 32, 14_336, num_kv_heads=8, num_experts=8, top_k=2, rope_layout="halves"
    ),
}  # fmt: skip
"""As their authors published them. Of GPT-J, that has 50,400 rows for a vocabulary of 50,257."""


def generate(draw: Draw) -> Iterator[Case]:
    yield from _parameters(draw)
    yield from _flops(draw)
    yield from _memory(draw)
    yield from _exact(draw)


def _parameters(draw: Draw) -> Iterator[Case]:
    for group, name, settings in (
        ("parameters", "gate", {"ffn": "geglu"}),
        ("parameters", "without_gate", {"ffn": "squared_relu"}),
        ("heads", "groups", grouped(draw)),
        ("heads", "head_dim", {"head_dim": 2 * draw.integer(70, 90)}),
        ("norms", "layernorm", {"norm": "layernorm"}),
        ("norms", "layernorm_without_bias", {"norm": "layernorm_without_bias"}),
        ("norms", "post", {"norm_placement": "post"}),
        ("more_norms", "double", {"norm_placement": "double"}),
        ("more_norms", "shared", {"parallel_block": True, "shared_norm": True}),
        ("more_norms", "queries_and_keys", {"qk_norm": True, **grouped(draw)}),
        ("tied", "tied", {"tie_embeddings": True}),
        ("learned_positions", "learned", {"position": "learned"}),
        ("learned_positions", "sinusoidal", {"position": "sinusoidal"}),
        ("biases", "networks", {"ffn": "relu", "ffn_bias": True}),
        ("biases", "head", {"head_bias": True}),
        ("experts", "experts", experts(draw)),
        ("experts", "experts_without_gate", {**experts(draw), "ffn": "gelu"}),
    ):
        yield Case(f"{group}_{name}", "run_component_parameters", {"config": drawn(draw, **settings)}, group)

    parts: dict[str, dict[str, Any]] = {"component_parameters": {}}
    for name, config in (*PUBLISHED.items(), ("drawn", drawn(draw, **grouped(draw)))):
        yield account(f"total_{name}", config, "total_parameters", parts, group="total")
    for name, config in (("mixtral_8x7b", PUBLISHED["mixtral_8x7b"]), ("drawn", drawn(draw, **experts(draw)))):
        yield account(f"active_{name}", config, "active_parameters", parts, group="active")
    yield account("active_of_all", drawn(draw), "active_parameters", parts, group="active_of_all")


def _flops(draw: Draw) -> Iterator[Case]:
    some, many = draw.integer(3, 9), draw.integer(500, 3_000)
    windowed = {"window": draw.integer(100, 400), "num_layers": 7}
    for group, name, settings, batch_size, new, cached in (
        ("prefill", "gate", {}, 1, many, 0),
        ("prefill", "without_gate", {"ffn": "relu"}, some, many, 0),
        ("decode", "gate", {}, 1, 1, many),
        ("decode", "without_gate", {"ffn": "relu"}, some, 1, many),
        ("flops_of_heads", "groups", grouped(draw), 2, many, 0),
        ("flops_of_heads", "head_dim", {"head_dim": 2 * draw.integer(70, 90)}, 2, many, 0),
        ("flops_of_tied_head", "tied", {"tie_embeddings": True}, 1, many, 0),
        ("flops_of_windows", "decode", windowed, some, 1, many),
        ("flops_of_windows", "decode_few", windowed, some, 1, some),
        ("flops_of_windows", "every", {**windowed, "full_every": draw.integer(2, 4)}, some, 1, many),
        ("flops_in_parts", "part", {}, some, many, draw.integer(100, 400)),
        ("flops_in_parts", "windowed_part", windowed, some, many, 2 * many),
        ("flops_of_experts", "prefill", experts(draw), some, many, 0),
        ("flops_of_experts", "decode", experts(draw), 1, 1, many),
    ):
        inputs = {"batch_size": batch_size, "new_tokens": new, "cached_tokens": cached}
        config = drawn(draw, **settings)
        yield Case(f"{group}_{name}", "run_component_flops", {"config": config, **inputs}, group)
    inputs = {"batch_size": 2, "new_tokens": many, "cached_tokens": 0}
    config = drawn(draw, **windowed)
    yield Case("prefill_of_windows", "run_component_flops", {"config": config, **inputs}, "prefill_of_windows")


def _memory(draw: Draw) -> Iterator[Case]:
    some, many = draw.integer(3, 9), draw.integer(500, 3_000)
    windowed = {"window": draw.integer(100, 400), "num_layers": 7}
    every = {**windowed, "full_every": draw.integer(2, 4)}
    for group, name, settings, batch_size, tokens, size in (
        ("cache", "plain", {}, 1, many, 2),
        ("cache", "batch", {}, some, many, 1),
        ("cache_of_heads", "groups", grouped(draw), some, many, 2),
        ("cache_of_heads", "head_dim", {"head_dim": 2 * draw.integer(70, 90)}, some, many, 4),
        ("cache_of_windows", "long", windowed, 1, many, 2),
        ("cache_of_windows", "short", windowed, 1, some, 2),
        ("cache_of_windows", "every", every, some, many, 2),
    ):
        inputs = {"batch_size": batch_size, "tokens": tokens, "bytes_per_number": size}
        yield Case(f"{group}_{name}", "run_kv_cache_bytes", {"config": drawn(draw, **settings), **inputs}, group)

    for group, name, settings, batch_size, new, cached, size in (
        ("traffic", "prefill", {}, 1, many, 0, 2),
        ("traffic", "decode", {}, some, 1, many, 2),
        ("traffic", "eight_bits", grouped(draw), some, 1, many, 1),
        ("traffic", "learned_positions", {"position": "learned"}, some, 1, many, 2),
        ("traffic_of_tied_head", "tied", {"tie_embeddings": True}, 1, 1, many, 2),
        ("traffic_of_experts", "one", {"num_experts": 16, "top_k": 2}, 1, 1, many, 2),
        ("traffic_of_experts", "batch", {"num_experts": 16, "top_k": 2}, 4, 1, many, 2),
        ("traffic_of_experts", "all", {"num_experts": 16, "top_k": 2}, 1, many, 0, 2),
    ):
        yield _moved(f"{group}_{name}", "memory_traffic", group, drawn(draw, **settings), batch_size, new, cached, size)

    for name, config, batch_size, new, cached in (
        ("prefill", drawn(draw), 1, many, 0),
        ("decode", drawn(draw), 1, 1, many),
        ("batch", drawn(draw, **grouped(draw)), 64, 1, many),
        ("llama_3_8b_prefill", PUBLISHED["llama_3_8b"], 1, 2048, 0),
        ("llama_3_8b_decode", PUBLISHED["llama_3_8b"], 1, 1, 2048),
    ):
        yield _moved(f"intensity_{name}", "arithmetic_intensity", "intensity", config, batch_size, new, cached, 2)


def _exact(draw: Draw) -> Iterator[Case]:
    """Sizes whose FLOPs are more than 2^53, beyond which floats skip whole numbers, and less than 2^63."""
    d_ff = 80_003 + 2 * draw.integer(0, 1_000)
    config = _sized(100_003, 20_001, 20_007, 133, 27, d_ff, position="none", num_kv_heads=9)
    yield account("exact_parameters", config, "total_parameters", {"component_parameters": {}}, group="exact")
    length = 10_001 + 2 * draw.integer(0, 1_000)
    inputs = {"batch_size": 1, "new_tokens": length, "cached_tokens": 0}
    yield Case("exact_flops", "run_component_flops", {"config": config, **inputs}, "exact_flops")
    inputs = {"batch_size": 1_000_003, "tokens": 100_003, "bytes_per_number": 2}
    yield Case("exact_cache", "run_kv_cache_bytes", {"config": config, **inputs}, "exact_cache")


def _moved(
    name: str, wanted: str, group: str, config: Config, batch_size: int, new: int, cached: int, size: int
) -> Case:
    """A case that asks for bytes that are moved, or FLOPs for each of them, and for what they follow from."""
    pass_ = {"batch_size": batch_size, "new_tokens": new, "cached_tokens": cached}
    parts: dict[str, dict[str, Any]] = {
        "component_parameters": {},
        "kv_cache_bytes": {"batch_size": batch_size, "tokens": new + cached, "bytes_per_number": size},
    }
    if wanted == "arithmetic_intensity":
        parts = {"component_flops": pass_, "memory_traffic": {**pass_, "bytes_per_number": size}}
    return account(name, config, wanted, parts, group, **pass_, bytes_per_number=size)


def account(
    name: str, config: Config, wanted: str, parts: dict[str, dict[str, Any]], group: str, **options: Any
) -> Case:
    """A case that asks for a quantity and for others that it follows from."""
    inputs = {"config": config, "wanted": wanted, "options": options, "parts": parts}
    return Case(name, "accounted", inputs, group)


def grouped(draw: Draw) -> Config:
    """Heads that share keys and values."""
    num_kv_heads = draw.integer(2, 5)
    return {"num_kv_heads": num_kv_heads, "num_heads": num_kv_heads * draw.integer(3, 6)}


def experts(draw: Draw) -> Config:
    return {"num_experts": draw.integer(6, 20), "top_k": draw.integer(2, 5)}


def drawn(draw: Draw, **settings: Any) -> Config:
    """Sizes without simple relations: d_ff is not four times d_model, and no two numbers are equal."""
    while True:
        num_heads = settings.get("num_heads", draw.integer(6, 24))
        config = {
            "vocab_size": draw.integer(1_000, 80_000),
            "context_length": draw.integer(10_000, 20_000),
            "num_layers": draw.integer(3, 60),
            "d_model": num_heads * 8 * draw.integer(4, 16),
            "num_heads": num_heads,
            "d_ff": 64 * draw.integer(8, 120),
            **settings,
        }
        sizes = [value for value in config.values() if type(value) is int]
        if len(set(sizes)) == len(sizes) and config["d_ff"] != 4 * config["d_model"]:
            return config
