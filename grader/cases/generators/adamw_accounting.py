"""Cases for the accounting of training with AdamW."""

from __future__ import annotations

from collections.abc import Iterator

from ...reference.accounting import ModelConfig, training_memory
from ..case import Case, Draw
from .transformer_accounting import Config, Parts, account, drawn, family, huge


def generate(draw: Draw) -> Iterator[Case]:
    configs = {**family(), "drawn": drawn(draw), "drawn_small": drawn(draw, small=True)}
    for name, config in configs.items():
        size = draw.integer(2, 20)
        yield Case(name, "run_activation_counts", {"config": config, "batch_size": size}, "activation_counts")
        yield _memory(name, config, size)
        yield account(name, config, "adamw_flops", {"parameter_counts": {}})
        yield account(name, config, "training_flops", {"matmul_flops": {}}, batch_size=size)
        # Bytes that are so many times what a sequence takes that a factor of 1.07 (GiB for GB) makes a difference.
        largest = draw.integer(20, 60)
        yield _fitting(name, config, peak(config, largest) + (peak(config, 1) - peak(config, 0)) // 2)
        steps, size = draw.integer(1_000, 500_000), draw.integer(8, 1_024)
        yield _days(name, config, steps, size, draw.integer(10, 1_000) * 1e12, draw.integer(20, 70) / 100)
    yield _fitting("gpt2_xl_in_80_gb", configs["gpt2_xl"], 80 * 10**9)
    yield _days("gpt2_xl_on_an_h100", configs["gpt2_xl"], 400_000, 1_024, 495e12, 0.5)
    yield _days("gpt2_xl_of_2025_on_an_a100", configs["gpt2_xl_of_2025"], 400_000, 1_024, 19.5e12, 0.5)

    for name, config in (("gpt2_small", configs["gpt2_small"]), ("drawn", drawn(draw))):
        enough = peak(config, draw.integer(2, 30))
        yield _fitting(f"{name}_to_the_byte", config, enough, "exact_fit")
        yield _fitting(f"{name}_a_byte_short", config, enough - 1, "exact_fit")
    yield _fitting("one_sequence_too_many", configs["gpt2_xl"], peak(configs["gpt2_xl"], 1) - 1, "nothing_fits")
    yield _fitting("not_even_the_model", configs["gpt2_xl"], peak(configs["gpt2_xl"], 0) // 3, "nothing_fits")

    yield _memory("training_memory", huge(draw), 3, "exact")
    yield account("training_flops", huge(draw), "training_flops", {"matmul_flops": {}}, group="exact", batch_size=3)


def _memory(name: str, config: Config, batch_size: int, group: str | None = None) -> Case:
    parts: Parts = {"parameter_counts": {}, "activation_counts": {"batch_size": batch_size}}
    return account(name, config, "training_memory", parts, group, batch_size=batch_size)


def _fitting(name: str, config: Config, memory_bytes: int, group: str | None = None) -> Case:
    parts: Parts = {"training_memory": {"batch_size": 1}}
    return account(name, config, "max_batch_size", parts, group, memory_bytes=memory_bytes)


def _days(name: str, config: Config, steps: int, batch_size: int, peak_flops_per_second: float, mfu: float) -> Case:
    options = {"steps": steps, "batch_size": batch_size, "peak_flops_per_second": peak_flops_per_second, "mfu": mfu}
    return account(name, config, "training_days", {"training_flops": {"batch_size": batch_size}}, None, **options)


def peak(config: Config, batch_size: int) -> int:
    """Bytes of training: the sum of `training_memory`."""
    return sum(training_memory(ModelConfig(**config), batch_size).values())
