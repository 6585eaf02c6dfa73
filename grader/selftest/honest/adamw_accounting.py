"""The accounting of training with AdamW, right and written differently."""

from __future__ import annotations

from grader.misconceptions.catalogue import Variant
from grader.reference import accounting


def _by_shapes(config, batch_size):
    b, t, d, h, f = batch_size, config.context_length, config.d_model, config.num_heads, config.d_ff
    stream = b * t * d
    block = {
        "norms": 2 * stream,
        "qkv_projections": 3 * stream,
        "attention_scores": b * h * t * t,
        "softmax": b * h * t * t,
        "weighted_values": b * h * t * (d // h),
        "output_proj": stream,
        "w1": b * t * f,
        "silu": b * t * f,
        "w3": b * t * f,
        "gate": b * t * f,
        "w2": stream,
    }
    once = {"final_norm": stream, "lm_head": b * t * config.vocab_size, "cross_entropy": b * t * config.vocab_size}
    return {name: config.num_layers * count for name, count in block.items()} | once


def _without_gate(config, batch_size):
    """As the handout of 2025 counts."""
    return {name: count for name, count in _by_shapes(config, batch_size).items() if name not in ("w3", "gate")}


def _search(config, memory_bytes):
    """Doubles until it is too much, then halves the interval."""

    def fits(batch_size):
        return sum(accounting.training_memory(config, batch_size).values()) <= memory_bytes

    if not fits(1):
        return 0
    low, high = 1, 2
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _bias_correction_apart(config):
    """m / (1 - beta1^t) and v / (1 - beta2^t) first, and the decay as one multiplication."""
    moments, corrections, step, decay = 3 + 4, 2, 5, 1
    return (moments + corrections + step + decay) * accounting.num_parameters(config)


def _decay_first(config):
    """PyTorch's order: theta (1 - lr weight_decay), then the step."""
    return 13 * accounting.num_parameters(config)


def _per_step(config, steps, batch_size, peak_flops_per_second, mfu):
    flops_per_step = accounting.forward_flops(config, batch_size) + 2 * accounting.forward_flops(config, batch_size)
    seconds_per_step = flops_per_step / peak_flops_per_second / mfu
    return steps * seconds_per_step / 3600 / 24


VARIANTS = tuple(
    Variant(
        f"adamw-accounting{function.__name__.replace('_', '-')}",
        "adamw_accounting",
        {f"accounting.{name}": function},
    )
    for name, function in (
        ("activation_counts", _by_shapes),
        ("activation_counts", _without_gate),
        ("max_batch_size", _search),
        ("adamw_flops", _bias_correction_apart),
        ("adamw_flops", _decay_first),
        ("training_days", _per_step),
    )
)
