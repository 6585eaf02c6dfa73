"""The accounting of any configuration, right and written differently."""

from __future__ import annotations

import math

from grader.misconceptions.catalogue import Variant
from grader.reference.architecture.language_model import LanguageModel, is_windowed


def _sizes(config):
    d_k = config.head_dim or config.d_model // config.num_heads
    return d_k, config.num_heads * d_k, (config.num_kv_heads or config.num_heads) * d_k


def _shapes(config):
    """Shapes of all weights, by component."""
    d, (d_k, queries, keys) = config.d_model, _sizes(config)
    biased = config.norm == "layernorm"
    gated = config.ffn in ("glu", "bilinear", "reglu", "geglu", "geglu_tanh", "swiglu")
    norms = 2 if not config.shared_norm else 1
    norms += 2 * (config.norm_placement == "double")
    yield "token_embeddings", (config.vocab_size, d)
    if config.position == "learned":
        yield "position_embeddings", (config.context_length, d)
    for _ in range(config.num_layers):
        yield from (("attention", (queries, d)), ("attention", (keys, d)), ("attention", (keys, d)))
        yield "attention", (d, queries)
        yield from [("norms", (d,))] * (norms * (1 + biased))
        if config.qk_norm:
            yield from [("norms", (d_k,))] * 2
        if config.num_experts:
            yield "router", (config.num_experts, d)
        for _ in range(config.num_experts or 1):
            yield from [("ffn", (config.d_ff, d))] * (3 if gated else 2)
            if config.ffn_bias:
                yield from (("ffn", (config.d_ff,)), ("ffn", (d,)))
    yield from [("norms", (d,))] * (1 + biased)
    if not config.tie_embeddings:
        yield "lm_head", (config.vocab_size, d)
    if config.head_bias:
        yield "lm_head", (config.vocab_size,)


def _listed(config):
    names = ("lm_head", "norms", "router", "ffn", "attention", "position_embeddings", "token_embeddings")
    counts = dict.fromkeys(names, 0)
    for component, shape in _shapes(config):
        counts[component] += math.prod(shape)
    return counts


def _total_from_shapes(config):
    return sum(math.prod(shape) for _, shape in _shapes(config))


def _built(config):
    """The model itself, without memory for its weights."""
    if config.position == "rope":
        config = type(config)(**{**vars(config), "position": "none"})  # RoPE has tables, and no parameters
    return sum(weight.numel() for weight in LanguageModel(config, device="meta").parameters())


def _layer_by_layer(config, batch_size, new_tokens, cached_tokens=0):
    d, (d_k, queries, keys) = config.d_model, _sizes(config)
    tokens = batch_size * new_tokens
    matrices = 2 + (config.ffn in ("glu", "bilinear", "reglu", "geglu", "geglu_tanh", "swiglu"))
    flops = dict.fromkeys(("attention_projections", "attention_products", "ffn", "router", "lm_head"), 0)
    for layer in range(config.num_layers):
        seen = min(cached_tokens, config.window - 1) if is_windowed(config, layer) else cached_tokens
        flops["attention_projections"] += 2 * tokens * d * (queries + keys + keys + queries)
        for _ in range(config.num_heads):
            flops["attention_products"] += batch_size * 2 * (2 * new_tokens * d_k * (seen + new_tokens))
        flops["ffn"] += (config.top_k or 1) * matrices * 2 * tokens * d * config.d_ff
        flops["router"] += 2 * tokens * d * config.num_experts
    flops["lm_head"] = 2 * tokens * d * config.vocab_size
    return flops


def _cache_by_layer(config, batch_size, tokens, bytes_per_number=2):
    _, _, keys = _sizes(config)
    total = 0
    for layer in range(config.num_layers):
        kept = tokens
        if is_windowed(config, layer) and tokens > config.window:
            kept = config.window
        total += kept * keys
    return total * 2 * bytes_per_number * batch_size


def _traffic_in_parts(config, batch_size, new_tokens, cached_tokens=0, bytes_per_number=2):
    counts = _listed(config)
    weights = counts["attention"] + counts["norms"] + counts["router"]
    weights += counts["token_embeddings"] if config.tie_embeddings else counts["lm_head"]
    if config.num_experts:
        read = min(config.num_experts, config.top_k * batch_size * new_tokens)
        weights += counts["ffn"] // config.num_experts * read
    else:
        weights += counts["ffn"]
    return bytes_per_number * weights + _cache_by_layer(
        config, batch_size, cached_tokens + new_tokens, bytes_per_number
    )


def _float_bytes(config, batch_size, new_tokens, cached_tokens=0, bytes_per_number=2):
    return float(_traffic_in_parts(config, batch_size, new_tokens, cached_tokens, bytes_per_number))


def _intensity(config, batch_size, new_tokens, cached_tokens=0, bytes_per_number=2):
    flops = _layer_by_layer(config, batch_size, new_tokens, cached_tokens)
    moved = _traffic_in_parts(config, batch_size, new_tokens, cached_tokens, bytes_per_number)
    return math.fsum(value / moved for value in flops.values())


def _active_from_shapes(config):
    idle = config.num_experts - config.top_k
    one = _listed(config)["ffn"] / config.num_layers / (config.num_experts or 1)
    return round(_total_from_shapes(config) - idle * config.num_layers * one)


VARIANTS = tuple(
    Variant(
        f"architecture-accounting{function.__name__.replace('_', '-')}",
        "architecture_accounting",
        {f"architecture.costs.{name}": function},
    )
    for name, function in (
        ("component_parameters", _listed),
        ("total_parameters", _total_from_shapes),
        ("total_parameters", _built),
        ("active_parameters", _active_from_shapes),
        ("component_flops", _layer_by_layer),
        ("kv_cache_bytes", _cache_by_layer),
        ("memory_traffic", _traffic_in_parts),
        ("memory_traffic", _float_bytes),
        ("arithmetic_intensity", _intensity),
    )
)
