"""The accounting of parameters and FLOPs, right and written differently."""

from __future__ import annotations

import math

from grader.misconceptions.catalogue import Variant


def _lm_weights(config):
    """Shapes of all weights, by name."""
    d, f = config.d_model, config.d_ff
    yield "token_embeddings", (config.vocab_size, d)
    for _ in range(config.num_layers):
        yield from (("norms", (d,)), ("norms", (d,)))
        yield from [("attention", (d, d))] * 4
        yield from (("ffn", (f, d)), ("ffn", (d, f)), ("ffn", (f, d)))
    yield "norms", (d,)
    yield "lm_head", (config.vocab_size, d)


def _listed_weights(config):
    counts: dict[str, int] = {}
    for name, shape in _lm_weights(config):
        counts[name] = counts.get(name, 0) + math.prod(shape)
    return dict(sorted(counts.items()))


def _product(m, n, p):
    return 2 * m * n * p


def _head_by_head(config):
    t, d, h = config.context_length, config.d_model, config.num_heads
    d_k = d // h
    per_layer = {
        **{name: _product(t, d, h * d_k) for name in ("q_proj", "k_proj", "v_proj")},
        "attention_scores": sum(_product(t, d_k, t) for _ in range(h)),
        "weighted_values": sum(_product(t, t, d_k) for _ in range(h)),
        "output_proj": _product(t, d, d),
        **{name: _product(t, d, config.d_ff) for name in ("w1", "w3")},
        "w2": _product(t, config.d_ff, d),
    }
    flops = {name: config.num_layers * value for name, value in per_layer.items()}
    return flops | {"lm_head": _product(t, d, config.vocab_size)}


def _closed_form(config, batch_size=1):
    t, d = config.context_length, config.d_model
    block = 8 * t * d**2 + 4 * t**2 * d + 6 * t * d * config.d_ff
    return batch_size * (config.num_layers * block + 2 * t * d * config.vocab_size)


def _closed_form_parameters(config):
    d = config.d_model
    return 2 * config.vocab_size * d + config.num_layers * (4 * d * d + 3 * d * config.d_ff + 2 * d) + d


def _shares_per_token(config):
    d, n = config.d_model, config.num_layers
    parts = {
        "attention_projections": 4 * n * d * d,
        "attention_products": 2 * n * d * config.context_length,
        "ffn": 3 * n * d * config.d_ff,
        "lm_head": d * config.vocab_size,
    }
    scale = 1.0 / sum(parts.values())
    return {name: value * scale for name, value in parts.items()}


VARIANTS = tuple(
    Variant(
        f"transformer-accounting{function.__name__.replace('_', '-')}",
        "transformer_accounting",
        {f"accounting.{name}": function},
    )
    for name, function in (
        ("parameter_counts", _listed_weights),
        ("matmul_flops", _head_by_head),
        ("forward_flops", _closed_form),
        ("num_parameters", _closed_form_parameters),
        ("flops_shares", _shares_per_token),
    )
)
