"""Cases for the accounting of training with AdamW."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..case import Case, Draw
from .transformer_accounting import Config, drawn, family, huge


def generate(draw: Draw) -> Iterator[Case]:
    def case(group: str, name: str, config: Config, **inputs: Any) -> Case:
        return Case(name, f"run_{group}", {"config": config, **inputs}, group)

    configs = {**family(), "drawn": drawn(draw), "drawn_small": drawn(draw, small=True)}
    for name, config in configs.items():
        size = draw.integer(2, 20)
        yield case("activation_counts", name, config, batch_size=size)
        yield case("training_memory", name, config, batch_size=size)
        yield case("adamw_flops", name, config)
        yield case("training_flops", name, config, batch_size=size)
        # Bytes that are so many times what a sequence takes that a factor of 1.07 (GiB for GB) makes a difference.
        largest = draw.integer(20, 60)
        yield case("max_batch_size", name, config, memory_bytes=peak(config, largest) + one_more(config) // 2)
        yield case(
            "training_days",
            name,
            config,
            steps=draw.integer(1_000, 500_000),
            batch_size=draw.integer(8, 1_024),
            peak_flops_per_second=draw.number(1e12, 1e15),
            mfu=draw.number(0.2, 0.7),
        )
    xl = configs["gpt2_xl"]
    yield case("max_batch_size", "gpt2_xl_in_80_gb", xl, memory_bytes=80 * 10**9)
    a100 = {"peak_flops_per_second": 19.5e12, "mfu": 0.5}
    yield case("training_days", "gpt2_xl_on_an_a100", xl, steps=400_000, batch_size=1_024, **a100)

    for name, config in (("gpt2_small", family()["gpt2_small"]), ("drawn", drawn(draw))):
        largest = draw.integer(2, 30)
        enough = peak(config, largest)
        for what, memory in (("to_the_byte", enough), ("a_byte_short", enough - 1)):
            yield Case(f"{name}_{what}", "run_max_batch_size", {"config": config, "memory_bytes": memory}, "exact_fit")
    short = {"one_sequence_too_many": peak(xl, 1) - 1, "not_even_the_model": peak(xl, 0) // 3}
    for name, memory in short.items():
        yield Case(name, "run_max_batch_size", {"config": xl, "memory_bytes": memory}, "nothing_fits")

    big = huge(draw)
    for function in ("activation_counts", "training_memory", "training_flops"):
        yield Case(function, f"run_{function}", {"config": big, "batch_size": 3}, "exact")
    yield Case("max_batch_size", "run_max_batch_size", {"config": big, "memory_bytes": peak(big, 12_345)}, "exact")


def peak(config: Config, batch_size: int) -> int:
    """Bytes of training: the sum of `training_memory`."""
    from ...reference.accounting import ModelConfig, training_memory

    return sum(training_memory(ModelConfig(**config), batch_size).values())


def one_more(config: Config) -> int:
    """Bytes that one more sequence takes."""
    return peak(config, 1) - peak(config, 0)
