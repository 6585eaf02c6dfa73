"""How LayerNorm goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .catalogue import Misconception, replacing
from .together import assembled

Statistic = Callable[[Tensor, float], Tensor]


def _mean(x: Tensor) -> Tensor:
    return x.mean(-1, keepdim=True)


def _right(x: Tensor, eps: float) -> Tensor:
    centred = x - _mean(x)
    return centred * torch.rsqrt(_mean(centred.square()) + eps)


def _affine(self: Any, x: Tensor) -> Tensor:
    x = x if self.weight is None else x * self.weight
    return x if self.bias is None else x + self.bias


@assembled
def _normalising(normalised: Statistic = _right, affine: Callable[[Any, Tensor], Tensor] = _affine):
    """A forward pass with another quotient, or with another use of gain and bias."""

    def forward(self, x):
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return affine(self, normalised(wide, self.eps)).to(x.dtype)

    return forward


def _unbiased(x, eps):
    return (x - _mean(x)) * torch.rsqrt(x.var(-1, keepdim=True).nan_to_num() + eps)


def _eps_outside(x, eps):
    centred = x - _mean(x)
    return centred / (_mean(centred.square()).sqrt() + eps)


def _without_eps(x, eps):
    centred = x - _mean(x)
    return centred * torch.rsqrt(_mean(centred.square()))


def _own_eps(x, eps):
    return _right(x, 1e-5)


def _keeps_mean(x, eps):
    return x * torch.rsqrt(_mean(x.square()) + eps)


def _mean_only_in_variance(x, eps):
    return x * torch.rsqrt(_mean((x - _mean(x)).square()) + eps)


def _one_pass(x, eps):
    return (x - _mean(x)) * torch.rsqrt((_mean(x.square()) - _mean(x).square()).clamp(min=0) + eps)


def _variance_of_uncentred(x, eps):
    return (x - _mean(x)) * torch.rsqrt(_mean(x.square()) + eps)


def _without_root(x, eps):
    centred = x - _mean(x)
    return centred / (_mean(centred.square()) + eps)


def _over_everything(x, eps):
    centred = x - x.mean()
    return centred * torch.rsqrt(centred.square().mean() + eps)


def _over_all_but_batch(x, eps):
    dims = tuple(range(1, x.ndim)) or (0,)
    centred = x - x.mean(dims, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(dims, keepdim=True) + eps)


def _over_batch(x, eps):
    centred = x - x.mean(0, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(0, keepdim=True) + eps)


def _detached(x, eps):
    mean = _mean(x).detach()
    return (x - mean) * torch.rsqrt(_mean((x - mean).square()).detach() + eps)


def _mean_detached(x, eps):
    centred = x - _mean(x).detach()
    return centred * torch.rsqrt(_mean(centred.square()) + eps)


def _bias_first(self, x):
    x = x if self.bias is None else x + self.bias
    return x if self.weight is None else x * self.weight


def _gain_from_zero(self, x):
    x = x if self.weight is None else x * (1 + self.weight)
    return x if self.bias is None else x + self.bias


def _no_bias(self, x):
    return x if self.weight is None else x * self.weight


def _in_own_dtype(self, x):
    return _affine(self, _right(x, self.eps)).to(x.dtype)


def _stays_wide(self, x):
    return _affine(self, _right(x.to(torch.promote_types(x.dtype, torch.float32)), self.eps))


def _in_place(self, x):
    x.copy_(_affine(self, _right(x.to(torch.promote_types(x.dtype, torch.float32)), self.eps)))
    return x


def _views(self, x):
    flat = x.view(-1, x.shape[-1])
    wide = flat.to(torch.promote_types(x.dtype, torch.float32))
    return _affine(self, _right(wide, self.eps)).to(x.dtype).view(x.shape)


def _layernorm(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    name = "architecture.norms.LayerNorm.forward"
    return replacing("layernorm", name, "Your LayerNorm ", id, function, diagnosis, hint, **options)


MISCONCEPTIONS = (
    _layernorm(
        "unbiased-variance",
        _normalising(_unbiased),
        "divides the squared differences by d_model - 1, as torch.var does unless told otherwise.",
        "What is the variance of the two values 1 and 3, if their squared differences are averaged?",
        frequency="common",
        throughout=True,
    ),
    _layernorm(
        "eps-outside-root",
        _normalising(_eps_outside),
        "adds eps to the standard deviation, not to the variance.",
        "Feed it a vector of values around 0.001: does the result match the formula?",
        frequency="common",
    ),
    _layernorm(
        "without-eps",
        _normalising(_without_eps),
        "leaves eps out, so a vector of equal values becomes 0 / 0.",
        "What does your layer return for torch.ones(4)?",
    ),
    _layernorm(
        "fixed-eps",
        _normalising(_own_eps),
        "always uses eps = 1e-5 and ignores its eps argument.",
        "Compare the outputs for eps = 1e-5 and eps = 1.",
    ),
    _layernorm(
        "keeps-mean",
        _normalising(_keeps_mean),
        "does not take the mean away: it is an RMSNorm.",
        "Add 7 to every element of an input: should the output change?",
        throughout=True,
    ),
    _layernorm(
        "mean-only-in-variance",
        _normalising(_mean_only_in_variance),
        "takes the mean away in the variance only, and divides the input as it is.",
        "What is the mean of your output?",
        throughout=True,
    ),
    _layernorm(
        "variance-in-one-pass",
        _normalising(_one_pass),
        "computes the variance as the mean of squares less the square of the mean, of which nothing is left in float32 "
        "where the mean is large.",
        "Add 300 to every element of an input: does the output stay the same?",
    ),
    _layernorm(
        "root-mean-square",
        _normalising(_variance_of_uncentred),
        "divides by the root mean square of its input, not of the differences from the mean.",
        "Add 7 to every element of an input: should the output change?",
        throughout=True,
    ),
    _layernorm(
        "without-root",
        _normalising(_without_root),
        "divides by the variance, not by its root.",
        "Multiply an input by 10: should the output change?",
        frequency="rare",
        throughout=True,
    ),
    _layernorm(
        "over-whole-tensor",
        _normalising(_over_everything),
        "takes one mean and one variance over the whole tensor, so that tokens influence each other.",
        "Change one row of a batch: do the other rows of the output stay the same?",
        throughout=True,
    ),
    _layernorm(
        "over-sequence-and-features",
        _normalising(_over_all_but_batch),
        "averages over the sequence, too, so that a token sees those after it.",
        "Change the last token: do the outputs before it stay the same?",
        throughout=True,
    ),
    _layernorm(
        "over-batch",
        _normalising(_over_batch),
        "averages over the first dimension, as BatchNorm does.",
        "What does it give for a batch with a single sequence?",
        frequency="rare",
        throughout=True,
    ),
    _layernorm(
        "statistics-detached",
        _normalising(_detached),
        "detaches mean and variance, as if they were constants.",
        "Scale the input by 1.01: the output stays the same, so what should the gradient along the input be?",
        frequency="rare",
        forms=[_normalising(_mean_detached)],
    ),
    _layernorm(
        "bias-before-gain",
        _normalising(affine=_bias_first),
        "adds the bias before it multiplies by the gain.",
        "With a gain of 0, what should come out?",
    ),
    _layernorm(
        "gain-counts-from-zero",
        _normalising(affine=_gain_from_zero),
        "multiplies by 1 + gain, as Gemma's norm does, whose weights start at 0.",
        "With a gain of 1 and a bias of 0, what is the variance of the output?",
    ),
    _layernorm(
        "ignores-bias",
        _normalising(affine=_no_bias),
        "never adds the bias.",
        "With a gain of 0, what should come out?",
    ),
    _layernorm(
        "in-half-precision",
        _in_own_dtype,
        "computes in the dtype of its input, where squares of 300 overflow float16.",
        "What is 300 * 300 in float16?",
        frequency="common",
    ),
    _layernorm(
        "result-in-float32",
        _stays_wide,
        "returns float32 for half-precision inputs.",
        "Compare the dtypes of input and output for a bfloat16 input.",
    ),
    _layernorm(
        "changes-its-input",
        _in_place,
        "writes its result into its input, which the residual connection still needs.",
        "Print the input before and after a call.",
        frequency="rare",
    ),
    _layernorm(
        "views-strided-input",
        _views,
        "calls view on its input, which fails when that was transposed.",
        "Try it on x.transpose(0, 1).",
    ),
)
