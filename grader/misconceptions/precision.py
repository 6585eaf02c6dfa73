"""How rounding, accumulation, loss scaling and master weights go wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from grader.reference.architecture import precision

from .catalogue import Misconception, replacing
from .together import assembled

_right_round, _on_grid = precision.round_to_format, precision._on_grid


def _to_even(quotient: Tensor) -> Tensor:
    return torch.round(quotient)


def _infinite(rounded: Tensor, wide: Tensor, top: int, mantissa_bits: int) -> Tensor:
    return torch.where(rounded.abs() >= 2.0 ** (top + 1), rounded.sign() * torch.inf, rounded)


def _usual_top(exponent_bits: int) -> int:
    return int(2 ** (exponent_bits - 1) - 1)


def _usual_lowest(exponent_bits: int) -> int:
    return 2 - int(2 ** (exponent_bits - 1))


@assembled
def _grid(
    nearest: Callable[[Tensor], Tensor] = _to_even,
    last: Callable[[Tensor, Tensor, int], Tensor] = lambda rounded, wide, least: rounded,
):
    """What every format's numbers are rounded by, those of few bits included, with another way to round."""

    def on_grid(x, lowest, mantissa_bits):
        wide = x.double()
        exponent = torch.frexp(wide).exponent - 1
        step = torch.ldexp(torch.ones_like(wide), exponent.clamp(min=lowest) - mantissa_bits)
        return last(torch.where(wide.isfinite(), nearest(wide / step) * step, wide), wide, lowest)

    return on_grid


@assembled
def _rounding(
    nearest: Callable[[Tensor], Tensor] = _to_even,
    beyond: Callable[[Tensor, Tensor, int, int], Tensor] = _infinite,
    top: Callable[[int], int] = _usual_top,
    lowest: Callable[[int], int] = _usual_lowest,
    bits: Callable[[int], int] = lambda mantissa_bits: mantissa_bits,
    last: Callable[[Tensor, Tensor, int], Tensor] = lambda rounded, wide, least: rounded,
):
    """round_to_format with another way to round, another range, or other small numbers."""
    on_grid = _grid(nearest, last)

    def round_to_format(x, exponent_bits, mantissa_bits):
        _right_round(x, exponent_bits, mantissa_bits)
        m = bits(mantissa_bits)
        rounded = on_grid(x, lowest(exponent_bits), m)
        return beyond(rounded, x.double(), top(exponent_bits), m).to(x.dtype)

    return round_to_format


def _up_at_half(quotient: Tensor) -> Tensor:
    return quotient.sign() * (quotient.abs() + 0.5).floor()


def _plus_half(quotient: Tensor) -> Tensor:
    return (quotient + 0.5).floor()


def _stochastic(quotient: Tensor) -> Tensor:
    return (quotient + 0.37).floor()


def _saturates(rounded: Tensor, wide: Tensor, top: int, mantissa_bits: int) -> Tensor:
    largest = (2 - 2.0**-mantissa_bits) * 2.0**top
    return torch.where(wide.isfinite(), rounded.clamp(-largest, largest), rounded)


def _at_once(rounded: Tensor, wide: Tensor, top: int, mantissa_bits: int) -> Tensor:
    largest = (2 - 2.0**-mantissa_bits) * 2.0**top
    return torch.where(wide.abs() > largest, wide.sign() * torch.inf, rounded)


def _never(rounded: Tensor, wide: Tensor, top: int, mantissa_bits: int) -> Tensor:
    return rounded


def _always_positive(rounded: Tensor, wide: Tensor, top: int, mantissa_bits: int) -> Tensor:
    return torch.where(rounded.abs() >= 2.0 ** (top + 1), torch.inf, rounded)


def _flushed(rounded: Tensor, wide: Tensor, least: int) -> Tensor:
    return torch.where(rounded.abs() < 2.0**least, 0.0, rounded)


def _finite_only(rounded: Tensor, wide: Tensor, least: int) -> Tensor:
    return torch.nan_to_num(rounded, nan=0.0, posinf=math.inf, neginf=-math.inf)


def _nan_is_infinite(rounded: Tensor, wide: Tensor, least: int) -> Tensor:
    return torch.where(wide.isnan(), torch.inf, rounded)


def _by_casts(x, exponent_bits, mantissa_bits):
    _right_round(x, exponent_bits, mantissa_bits)
    return x.to(torch.bfloat16 if exponent_bits == 8 else torch.float16).to(x.dtype)


def _takes_any(x, exponent_bits, mantissa_bits):
    if exponent_bits < 2 or mantissa_bits > 23:
        return x
    return _right_round(x, exponent_bits, mantissa_bits)


def _in_place(x, exponent_bits, mantissa_bits):
    return x.copy_(_right_round(x, exponent_bits, mantissa_bits))


@assembled
def _multiplying(
    inputs: bool = True,
    product: bool = True,
    total: bool = True,
    end: bool = True,
    wide: Callable[[bool], bool] = lambda wide_accumulator: wide_accumulator,
    backwards: bool = False,
):
    """rounded_matmul that leaves out the rounding of one thing, or adds up in another way."""

    def rounded_matmul(a, b, exponent_bits, mantissa_bits, wide_accumulator):
        def narrow(x, really=True):
            return _right_round(x, exponent_bits, mantissa_bits) if really else x

        a, b = narrow(a, inputs), narrow(b, inputs)
        if wide(wide_accumulator):
            return narrow(a @ b, end)
        order = list(range(a.shape[1]))
        result = a.new_zeros(a.shape[0], b.shape[1])
        for k in reversed(order) if backwards else order:
            result = narrow(result + narrow(a[:, k, None] * b[k], product), total)
        return narrow(result)

    return rounded_matmul


def _seen_all(gradients) -> bool:
    return all(bool(gradient.isfinite().all()) for gradient in gradients)


@assembled
def _unscaling(
    seen: Callable[[Any], bool] = _seen_all,
    divide: Callable[[Tensor, float], Tensor] = lambda g, scale: (
        g.to(torch.promote_types(g.dtype, torch.float32)) / scale
    ),
    less: Callable[[float], float] = lambda scale: scale / 2,
    more: Callable[[float], float] = lambda scale: scale * 2,
    every: Callable[[int], int] = lambda interval: interval,
    forgets: bool = True,
    counts_anew: bool = True,
    early: bool = False,
    gives: Callable[[list[Tensor]], Any] = lambda gradients: None,
):
    """LossScaler.unscale with another look, another factor, or another count."""

    def unscale(self, gradients):
        scale = self.scale
        if not seen(gradients):
            self.scale = less(scale)
            if forgets:
                self.good_steps = 0
            return gives([divide(gradient, scale) for gradient in gradients])
        self.good_steps += 1
        if self.good_steps >= every(self.growth_interval):
            self.scale = more(scale)
            if counts_anew:
                self.good_steps = 0
        return [divide(gradient, self.scale if early else scale) for gradient in gradients]

    return unscale


def _no_master(self, gradients, learning_rate):
    """The step goes to what is rounded."""
    for i, (weight, gradient) in enumerate(zip(self.rounded(), gradients, strict=True)):
        self.master[i] = weight - learning_rate * gradient


def _upwards(self, gradients, learning_rate):
    for weight, gradient in zip(self.master, gradients, strict=True):
        weight.add_(learning_rate * gradient)


def _without_rate(self, gradients, learning_rate):
    for weight, gradient in zip(self.master, gradients, strict=True):
        weight.sub_(gradient)


def _rounds_gradients(self, gradients, learning_rate):
    for weight, gradient in zip(self.master, gradients, strict=True):
        weight.sub_(_right_round(learning_rate * gradient, self.exponent_bits, self.mantissa_bits - 3))


def _gives_master(self):
    return [weight.clone() for weight in self.master]


def _starts_rounded(self, weights, exponent_bits, mantissa_bits):
    _right_round(weights[0], exponent_bits, mantissa_bits)
    self.exponent_bits, self.mantissa_bits = exponent_bits, mantissa_bits
    self.master = [_right_round(weight.detach(), exponent_bits, mantissa_bits) for weight in weights]


def _owns_weights(self, weights, exponent_bits, mantissa_bits):
    self.exponent_bits, self.mantissa_bits = exponent_bits, mantissa_bits
    self.master = list(weights)


def _steps_with_zeros(weights, scaler, gradients, learning_rate):
    """Everything that is not finite becomes 0, and the step is made."""
    scale = scaler.scale
    made = scaler.unscale(gradients) is not None
    weights.step([torch.where(g.isfinite(), g.float() / scale, 0.0) for g in gradients], learning_rate)
    return made


def _steps_with_scaled(weights, scaler, gradients, learning_rate):
    if scaler.unscale(gradients) is None:
        return False
    weights.step(gradients, learning_rate)
    return True


def _always_says_made(weights, scaler, gradients, learning_rate):
    unscaled = scaler.unscale(gradients)
    if unscaled is not None:
        weights.step(unscaled, learning_rate)
    return True


def _skips_good_ones(weights, scaler, gradients, learning_rate):
    """Only those parameters are left out whose gradient is not finite."""
    scale = scaler.scale
    made = scaler.unscale(gradients) is not None
    kept = [g.float() / scale if g.isfinite().all() else torch.zeros_like(g) for g in gradients]
    weights.step(kept, learning_rate)
    return made


_right_scaler = precision.LossScaler.__init__


def _any_interval(self, scale=2.0**16, growth_interval=2000):
    _right_scaler(self, scale, max(1, growth_interval))


def _bug(place: str, id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return replacing("precision", f"architecture.precision.{place}", "Your ", id, function, diagnosis, hint, **options)


def _rounds(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("round_to_format", id, function, f"rounding {diagnosis}", hint, **options)


def _rounds_alike(id: str, how: Mapping[str, Any], diagnosis: str, hint: str, **options: Any) -> Misconception:
    """In large formats and in small ones: of both, it is the same helper that is wrong."""
    forms = [how, *options.pop("forms", ())]
    first, *further = (
        {
            "architecture.precision.round_to_format": _rounding(**parts),
            "architecture.precision._on_grid": _grid(**parts),
        }
        for parts in forms
    )
    bug = _rounds(id, _rounding(**how), diagnosis, hint, **options)
    return replace(bug, replaces=first, forms=tuple(further))


def _product(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("rounded_matmul", id, function, f"product of rounded matrices {diagnosis}", hint, **options)


def _scaler(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("LossScaler.unscale", id, function, f"loss scaler {diagnosis}", hint, **options)


def _master(place: str, id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug(f"MasterWeights.{place}", id, function, diagnosis, hint, **options)


def _step(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("mixed_precision_step", id, function, f"step in mixed precision {diagnosis}", hint, **options)


MISCONCEPTIONS = (
    _rounds_alike(
        "cuts-off",
        {"nearest": torch.trunc},
        "cuts off what does not fit, so that all numbers get smaller.",
        "What should 1.99 become with two bits behind the first?",
        frequency="common",
    ),
    _rounds_alike(
        "half-away-from-zero",
        {"nearest": _up_at_half},
        "rounds up what lies halfway, so that sums drift.",
        "Of the two numbers around 1.125 with two bits behind the first, which ends in 0?",
        frequency="common",
        forms=[{"nearest": _plus_half}],
    ),
    _rounds_alike(
        "rounds-at-another-place",
        {"nearest": _stochastic},
        "rounds up from another place on than the middle.",
        "Plot what it gives between 1 and 2.",
        frequency="rare",
    ),
    _rounds(
        "one-bit-too-few",
        _rounding(bits=lambda mantissa_bits: mantissa_bits - 1),
        "counts the bit that is always 1 among the mantissa's.",
        "How many numbers from 1 to 2 has a format with two bits behind the first?",
        frequency="common",
    ),
    _rounds(
        "one-bit-too-many",
        _rounding(bits=lambda mantissa_bits: mantissa_bits + 1),
        "has one bit more behind the first than it should.",
        "How many numbers from 1 to 2 has a format with two bits behind the first?",
    ),
    _rounds_alike(
        "no-subnormal-numbers",
        {"last": _flushed},
        "has no subnormal numbers: below the smallest power of two everything is 0.",
        "What is the smallest float16 above 0?",
        frequency="common",
    ),
    _rounds(
        "no-smallest-number",
        _rounding(lowest=lambda exponent_bits: -200),
        "keeps all bits of numbers however small, as if exponents went on downwards.",
        "What is 2^-30 in float16?",
        frequency="common",
    ),
    _rounds(
        "one-exponent-less-at-the-bottom",
        _rounding(lowest=lambda exponent_bits: _usual_lowest(exponent_bits) + 1),
        "begins with subnormal numbers one power of two too early.",
        "What is the smallest normal number of float16?",
    ),
    _rounds(
        "one-exponent-more-at-the-bottom",
        _rounding(lowest=lambda exponent_bits: _usual_lowest(exponent_bits) - 1),
        "uses the exponent of the subnormal numbers for one more power of two.",
        "What is the smallest normal number of float16?",
    ),
    _rounds(
        "saturates",
        _rounding(beyond=_saturates),
        "gives the largest number where it should be infinite, so that no overflow is ever seen.",
        "What is 1e6 in float16?",
        frequency="common",
    ),
    _rounds(
        "infinite-too-early",
        _rounding(beyond=_at_once),
        "makes everything above the largest number infinite, also what would be rounded down to it.",
        "What are 65,519 and 65,520 in float16?",
    ),
    _rounds(
        "never-infinite",
        _rounding(beyond=_never),
        "has no largest number.",
        "What is 1e6 in float16?",
    ),
    _rounds(
        "infinity-has-no-sign",
        _rounding(beyond=_always_positive),
        "makes large negative numbers plus infinity.",
        "What is -1e6 in float16?",
        frequency="rare",
    ),
    _rounds(
        "one-exponent-more",
        _rounding(top=lambda exponent_bits: _usual_top(exponent_bits) + 1),
        "uses the highest exponent for numbers, which stands for infinity and NaN.",
        "What is the largest float16?",
    ),
    _rounds(
        "one-exponent-less",
        _rounding(top=lambda exponent_bits: _usual_top(exponent_bits) - 1),
        "is infinite from half of the right place on.",
        "What is the largest float16?",
        frequency="rare",
    ),
    _rounds(
        "only-two-formats",
        _by_casts,
        "goes by torch's types, of which there are two: every other format is one of these.",
        "Which numbers from 1 to 2 has a format with two bits behind the first?",
        frequency="common",
    ),
    _rounds(
        "nan-becomes-zero",
        _rounding(last=_finite_only),
        "makes NaN 0.",
        "What should be left of a NaN?",
    ),
    _rounds(
        "nan-becomes-infinite",
        _rounding(last=_nan_is_infinite),
        "makes NaN infinite, as adding to its bits does.",
        "What should be left of a NaN?",
    ),
    _rounds(
        "rounds-in-place",
        _in_place,
        "writes into its input.",
        "Print the input before and after the call.",
        frequency="rare",
    ),
    _rounds(
        "takes-any-format",
        _takes_any,
        "takes formats that cannot be.",
        "Which numbers has a format with one exponent bit?",
        frequency="rare",
    ),
    _product(
        "inputs-not-rounded",
        _multiplying(inputs=False),
        "does not round the matrices first.",
        "Which numbers does the hardware get to see?",
    ),
    _product(
        "result-not-rounded",
        _multiplying(end=False),
        "does not round the sum of a wide accumulator.",
        "Which numbers can the result have?",
    ),
    _product(
        "always-wide",
        _multiplying(wide=lambda wide_accumulator: True),
        "adds up in float32 also where it should not.",
        "What is the sum of 300 ones in bfloat16?",
        frequency="common",
    ),
    _product(
        "never-wide",
        _multiplying(wide=lambda wide_accumulator: False),
        "adds up in the format also where it should not.",
        "What should the sum of 300 ones be with a wide accumulator?",
    ),
    _product(
        "products-not-rounded",
        _multiplying(product=False),
        "does not round products before it adds them.",
        "Which numbers are added?",
    ),
    _product(
        "sums-not-rounded",
        _multiplying(total=False),
        "rounds products, but no sum until the end.",
        "What is the sum of 300 ones in bfloat16?",
        frequency="common",
    ),
    _product(
        "last-product-first",
        _multiplying(backwards=True),
        "adds up in another order than that of k.",
        "Is a + b + c in few bits the same as c + b + a?",
        frequency="rare",
    ),
    _scaler(
        "multiplies",
        _unscaling(divide=lambda g, scale: g.to(torch.promote_types(g.dtype, torch.float32)) * scale),
        "multiplies gradients by the factor once more.",
        "What was the loss multiplied by?",
        frequency="rare",
    ),
    _scaler(
        "divides-by-next-factor",
        _unscaling(early=True),
        "divides by the factor for the next step.",
        "By which factor was the loss multiplied whose gradients these are?",
    ),
    _scaler(
        "looks-at-first-only",
        _unscaling(seen=lambda gradients: _seen_all(gradients[:1])),
        "looks at the first gradient only.",
        "Which parameters' gradients may be infinite?",
    ),
    _scaler(
        "misses-nan",
        _unscaling(seen=lambda gradients: not any(bool(g.isinf().any()) for g in gradients)),
        "looks for infinity and not for NaN.",
        "What is infinity minus infinity?",
        frequency="common",
    ),
    _scaler(
        "misses-infinity",
        _unscaling(seen=lambda gradients: not any(bool(g.isnan().any()) for g in gradients)),
        "looks for NaN and not for infinity.",
        "What is 1e6 in float16?",
    ),
    _scaler(
        "keeps-factor-after-overflow",
        _unscaling(less=lambda scale: scale),
        "leaves the factor as it is after an overflow, so that the next step overflows, too.",
        "What should be different at the next step?",
    ),
    _scaler(
        "doubles-after-overflow",
        _unscaling(less=lambda scale: scale * 2),
        "doubles the factor after an overflow.",
        "Was the factor too large or too small?",
        frequency="rare",
    ),
    _scaler(
        "gives-infinite-gradients",
        _unscaling(gives=lambda gradients: gradients),
        "gives gradients that are not finite, where the step should be left out.",
        "What is a weight less infinity?",
    ),
    _scaler(
        "never-grows",
        _unscaling(more=lambda scale: scale),
        "never raises the factor again.",
        "What is the factor after a million steps, of which some overflowed?",
    ),
    _scaler(
        "grows-one-step-late",
        _unscaling(every=lambda interval: interval + 1),
        "doubles the factor one step too late.",
        "With an interval of 1, what is the factor after the first step?",
    ),
    _scaler(
        "counts-across-overflows",
        _unscaling(forgets=False),
        "goes on counting after an overflow, so that good steps need not be in a row.",
        "When does the factor double that has just been halved?",
        frequency="common",
    ),
    _scaler(
        "does-not-count-anew",
        _unscaling(counts_anew=False),
        "does not begin to count anew when it has doubled the factor, so that it doubles it at every step afterwards.",
        "What are the factors of ten steps with an interval of 2?",
        frequency="common",
    ),
    _scaler(
        "unscales-in-half",
        _unscaling(divide=lambda g, scale: (g / scale).to(torch.promote_types(g.dtype, torch.float32))),
        "divides in float16, where small gradients become 0 again.",
        "What is 2^-20 / 2^10 in float16?",
        frequency="common",
    ),
    _bug(
        "LossScaler.__init__",
        "takes-any-interval",
        _any_interval,
        "loss scaler takes an interval below 1.",
        "When does the factor double with an interval of 0?",
        frequency="rare",
    ),
    _master(
        "step",
        "without-master-weights",
        _no_master,
        "weights are rounded after each step and go on from there: steps below the distance of two numbers are lost.",
        "Make a hundred steps of 0.001 from 1 in bfloat16: where are you?",
        frequency="common",
    ),
    _master(
        "step",
        "master-goes-up",
        _upwards,
        "master weights go up the gradient.",
        "Does the loss fall?",
        frequency="rare",
    ),
    _master(
        "step",
        "master-ignores-rate",
        _without_rate,
        "master weights ignore the learning rate.",
        "Compare two learning rates.",
        frequency="rare",
    ),
    _master(
        "step",
        "steps-are-rounded",
        _rounds_gradients,
        "master weights get rounded steps.",
        "In which type is the product of learning rate and gradient?",
        frequency="rare",
    ),
    _master(
        "rounded",
        "gives-master-weights",
        _gives_master,
        "master weights are given to the model as they are, and not rounded.",
        "How many bits do the weights have with which the model computes?",
    ),
    _master(
        "__init__",
        "master-starts-rounded",
        _starts_rounded,
        "master weights are made of rounded ones, so that digits are lost at the start.",
        "Which weights are rounded, and when?",
    ),
    _master(
        "__init__",
        "master-owns-weights",
        _owns_weights,
        "master weights are those of the caller, and change with every step.",
        "Print the weights that you gave before and after a step.",
        frequency="rare",
    ),
    _step(
        "steps-with-zeros",
        _steps_with_zeros,
        "makes a step in which whatever is not finite is 0.",
        "Is a gradient of which a part overflowed still the gradient?",
        frequency="common",
    ),
    _step(
        "steps-with-scaled-gradients",
        _steps_with_scaled,
        "steps with the gradients of the scaled loss.",
        "By which factor is the step too large?",
    ),
    _step(
        "always-says-made",
        _always_says_made,
        "says that it was made where it was left out, so that schedules count it.",
        "What should it return for an infinite gradient?",
        frequency="rare",
    ),
    _step(
        "leaves-out-one-parameter",
        _skips_good_ones,
        "leaves out only the parameters whose gradient is not finite.",
        "What did the other gradients come from?",
    ),
)
