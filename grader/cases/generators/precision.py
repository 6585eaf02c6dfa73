"""Cases for rounding, accumulation, loss scaling and master weights.

What is rounded in them is exact before: a sum that float32 and float64 give differently could be rounded in two ways.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw

_BFLOAT16, _FLOAT16, _TF32 = (8, 7), (5, 10), (8, 10)
_FORMATS = {"bfloat16": _BFLOAT16, "float16": _FLOAT16, "tf32": _TF32, "e4m3": (4, 3), "e3m2": (3, 2), "e6m9": (6, 9)}


def generate(draw: Draw) -> Iterator[Case]:
    def rounded(name: str, x: torch.Tensor, format: tuple[int, int], group: str) -> Case:
        exponent_bits, mantissa_bits = format
        given = {"in_features": x, "exponent_bits": exponent_bits, "mantissa_bits": mantissa_bits}
        return Case(name, "run_round_to_format", given, group)

    def signs(*shape: int) -> torch.Tensor:
        return (2 * draw.integers(0, 2, *shape) - 1).float()

    for name, (e, m) in _FORMATS.items():
        top = 2 ** (e - 1) - 1
        lowest, format = 1 - top, (e, m)
        # Powers of two from 1/2 to 2 with all bits of float32 behind them: normal numbers of every format.
        x = draw.uniform(2, 8, low=0.5, high=4.0) * signs(2, 8)
        yield rounded(name, x, format, "normal")
        odd = 2 * draw.integers(0, 2 ** (m - 1), 6) + torch.tensor([0, 1, 0, 1, 0, 1])
        halfway = (1 + (odd + 0.5) / 2**m).float() * signs(6)
        yield rounded(f"{name}_ties", halfway, format, "ties")
        # Up to four times the smallest step, below the smallest normal number, and above it.
        sizes = draw.uniform(8, low=0.1, high=4.0) * signs(8)
        near = 2.0**m * draw.uniform(4, low=0.6, high=0.98)
        normal = 2.0**m * draw.uniform(3, low=2.1, high=3.9)
        yield rounded(
            f"{name}_small",
            torch.cat([sizes, near, normal]) * 2.0 ** (lowest - m),
            format,
            "tiny" if e == 8 else "small",
        )
        largest = (2 - 2.0**-m) * 2.0**top
        step = 2.0 ** (top - m)
        over = torch.tensor([0.2, 0.45, 0.55, 0.9, -0.45, -0.55], dtype=torch.float64) * step
        edge = torch.sign(over) * largest + over
        far = torch.tensor([0.75, -0.6, 8.0, -8.0][: 2 if e == 8 else 4], dtype=torch.float64) * largest
        yield rounded(f"{name}_large", torch.cat([edge, far]).float(), format, "large")
    yield rounded("float64", draw.normal(6, dtype=torch.float64), _BFLOAT16, "normal")

    special = torch.tensor([torch.inf, -torch.inf, 0.0, -0.0, 1.5])
    yield rounded("bfloat16_special", special, _BFLOAT16, "special")
    yield rounded("float16_special", special, _FLOAT16, "special")

    def on_grid(*shape: int, step: float = 2.0**-8, most: float = 4.0) -> torch.Tensor:
        """Multiples of a power of two, of which sums of products are exact in float32."""
        return draw.integers(int(-most / step) + 1, int(most / step), *shape).float() * step

    def product(name: str, a: torch.Tensor, b: torch.Tensor, format: tuple[int, int], wide: bool) -> Case:
        bits = {"exponent_bits": format[0], "mantissa_bits": format[1]}
        given = {"a": a, "b": b, **bits, "wide_accumulator": wide}
        return Case(name, "run_rounded_matmul", given, "wide" if wide else "narrow")

    for wide in (True, False):
        yield product("bfloat16", on_grid(3, 5), on_grid(5, 4), _BFLOAT16, wide)
        yield product("float16", on_grid(2, 6), on_grid(6, 3), _FLOAT16, wide)
        yield product("few_bits", on_grid(3, 6), on_grid(6, 2), (5, 4), wide)
    # 8 bits: from 256 on, adding 1 changes nothing.
    ones = torch.ones(1, 300)
    yield product("stagnates", ones, ones.T.contiguous(), _BFLOAT16, False)
    yield product("does_not_stagnate", ones, ones.T.contiguous(), _BFLOAT16, True)

    def power(low: int, high: int) -> float:
        return 2.0 ** draw.integer(low, high)

    def scaler(name: str, steps: list[list[torch.Tensor]], interval: int, group: str) -> Case:
        given = {"scale": power(4, 12), "growth_interval": interval, "gradients": steps}
        return Case(name, "run_loss_scaler", given, group)

    def gradients(count: int, bad: dict[int, float] | None = None) -> list[list[torch.Tensor]]:
        """Of two parameters; `bad` has what the second one gets at some steps."""
        steps = [[draw.normal(2, 3, scale=30.0), draw.normal(4, scale=30.0)] for _ in range(count)]
        for step, value in (bad or {}).items():
            steps[step][1][draw.integer(0, 4)] = value
        return steps

    yield scaler("two_steps", gradients(2), 100, "scaler")
    yield scaler("one_step", gradients(1), 100, "scaler")
    yield scaler("infinite", gradients(4, {1: torch.inf}), 100, "overflow")
    yield scaler("twice", gradients(4, {1: -torch.inf, 2: torch.nan}), 100, "overflow")
    yield scaler("every_second", gradients(5), 2, "growth")
    yield scaler("every", gradients(3), 1, "growth")
    yield scaler("interrupted", gradients(7, {2: torch.nan}), 3, "growth")

    def master(name: str, weights: list[torch.Tensor], step: float, format: tuple[int, int], count: int) -> Case:
        """Gradients are multiples of 1/64, and the learning rate is a power of two, so that weights are exact."""
        shapes = [weight.shape for weight in weights]
        steps = [[on_grid(*shape, step=2.0**-6, most=2.0) for shape in shapes] for _ in range(count)]
        bits = {"exponent_bits": format[0], "mantissa_bits": format[1]}
        return Case(
            name,
            "run_master_weights",
            {"weights": weights, "gradients": steps, "learning_rate": step, **bits},
            "master",
        )

    weights = [on_grid(2, 3, step=2.0**-10, most=2.0), on_grid(4, step=2.0**-10, most=2.0)]
    yield master("bfloat16", weights, 2.0**-4, _BFLOAT16, 3)
    # Steps of which none alone changes a rounded weight.
    yield master("small_steps", [1.0 + on_grid(5, step=2.0**-10, most=0.5)], 2.0**-9, _BFLOAT16, 6)
    yield master("float16", [on_grid(4, step=2.0**-12, most=1.0)], 2.0**-6, _FLOAT16, 3)

    # More bits than the weights have: what is claimed here is not how they are rounded.
    def steps(name: str, given: list[list[torch.Tensor]], scale: float, interval: int, rate: float, group: str) -> Case:
        inputs: dict[str, Any] = {
            "gradients": given,
            "weights": [on_grid(*gradient.shape, step=2.0**-10, most=2.0) for gradient in given[0]],
            "learning_rate": rate,
            "exponent_bits": 8,
            "mantissa_bits": 15,
            "scale": scale,
            "growth_interval": interval,
        }
        return Case(name, "run_mixed_precision_steps", inputs, group)

    def scaled(count: int, scale: float, bad: dict[int, float] | None = None) -> list[list[torch.Tensor]]:
        pairs = [(on_grid(2, 3, step=2.0**-6, most=2.0), on_grid(4, step=2.0**-6)) for _ in range(count)]
        found = [[scale * gradient for gradient in pair] for pair in pairs]
        for step, value in (bad or {}).items():
            found[step][draw.integer(0, 2)].view(-1)[draw.integer(0, 4)] = value
        return found

    scale = power(3, 8)
    yield steps("all_made", scaled(3, scale), scale, 100, 0.25, "steps")
    yield steps("one_left_out", scaled(4, scale, {1: torch.inf}), scale, 100, 0.25, "steps")
    yield steps("two_left_out", scaled(5, scale, {0: torch.nan, 2: -torch.inf}), scale, 2, 0.125, "steps")
    # The smallest float16 above 0 is 2^-24: over 2^10, there is nothing left of these in float16.
    tiny = [[2.0**-20 * draw.integers(1, 60, 4).to(torch.float16)] for _ in range(3)]
    yield steps("float16", tiny, 2.0**10, 100, 2.0**22, "half_gradients")

    def after(name: str, adapter: str, inputs: dict[str, Any]) -> Case:
        return Case(name, "inputs_after", {"adapter": adapter, "inputs": inputs}, "untouched")

    yield after("round", "run_round_to_format", {"in_features": draw.normal(5), "exponent_bits": 8, "mantissa_bits": 7})
    yield after("scaler", "run_loss_scaler", {"scale": 8.0, "growth_interval": 2, "gradients": gradients(2)})
    bits = {"exponent_bits": 8, "mantissa_bits": 7}
    step = {"gradients": [[on_grid(4)]], "weights": [on_grid(4)], "learning_rate": 0.25, **bits}
    yield after("master", "run_master_weights", step)
