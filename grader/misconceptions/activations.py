"""How activation functions go wrong."""

from __future__ import annotations

import math
from typing import Any

import torch

from .catalogue import Misconception, replacing


def _leaky(x):
    return torch.where(x > 0, x, 0.01 * x)


def _absolute(x):
    return x.abs()


def _square_alone(x):
    return x.square()


def _sign_kept(x):
    return x * x.abs()


def _half_of_square(x):
    return x.clamp(min=0).square() / 2


def _by_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _exact(x):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def _quick(x):
    return x * torch.sigmoid(1.702 * x)


def _without_root_of_two(x):
    return 0.5 * x * (1 + torch.erf(x))


def _without_half(x):
    return x * (1 + torch.erf(x / math.sqrt(2)))


def _density(x):
    return x * torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)


def _square_in_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**2)))


def _factor_on_first_only(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * x + 0.044715 * x**3))


def _pi_over_two(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(math.pi / 2) * (x + 0.044715 * x**3)))


def _ignores_beta(x, beta=1.0):
    return x * torch.sigmoid(x)


def _beta_outside(x, beta=1.0):
    return beta * x * torch.sigmoid(x)


def _beta_twice(x, beta=1.0):
    return beta * x * torch.sigmoid(beta * x)


def _divides_by_beta(x, beta=1.0):
    return x * torch.sigmoid(x / beta)


def _ignores_alpha(x, alpha=1.0):
    return x.clamp(min=0) + torch.expm1(x.clamp(max=0))


def _overflowing_branch(x, alpha=1.0):
    return torch.where(x > 0, x, alpha * (torch.exp(x) - 1))


def _without_one(x, alpha=1.0):
    return torch.where(x > 0, x, alpha * torch.exp(x.clamp(max=0)))


def _alpha_on_both(x, alpha=1.0):
    return alpha * (x.clamp(min=0) + torch.expm1(x.clamp(max=0)))


def _alpha_inside(x, alpha=1.0):
    return x.clamp(min=0) + torch.expm1(alpha * x.clamp(max=0))


_LAMBDA, _ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def _scales_positive_only(x):
    return _LAMBDA * x.clamp(min=0) + _ALPHA * torch.expm1(x.clamp(max=0))


def _scales_negative_only(x):
    return x.clamp(min=0) + _LAMBDA * _ALPHA * torch.expm1(x.clamp(max=0))


def _swapped(x):
    return _ALPHA * (x.clamp(min=0) + _LAMBDA * torch.expm1(x.clamp(max=0)))


def _two_digits(x):
    return 1.05 * (x.clamp(min=0) + 1.67 * torch.expm1(x.clamp(max=0)))


def _in_place(x):
    return x.clamp_(min=0)


def _in_float32(x):
    wide = x.float()
    return 0.5 * wide * (1 + torch.erf(wide / math.sqrt(2)))


def _detached_factor(x, beta=1.0):
    return x * torch.sigmoid(beta * x).detach()


def _any_name(name, beta=1.0, alpha=1.0):
    from grader.reference.architecture import activations

    table = {known: getattr(activations, known) for known in activations.ACTIVATIONS}
    table |= {"swish": lambda x: activations.swish(x, beta), "elu": lambda x: activations.elu(x, alpha)}
    return table.get(name, lambda x: x)


def _bug(place: str, id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    name = f"architecture.activations.{place}"
    return replacing("activations", name, "Your ", id, function, diagnosis, hint, **options)


MISCONCEPTIONS = (
    _bug(
        "relu",
        "leaky-relu",
        _leaky,
        "ReLU lets a hundredth of negative values through.",
        "What does it give for -1?",
        frequency="rare",
    ),
    _bug(
        "relu",
        "relu-is-absolute-value",
        _absolute,
        "ReLU gives the absolute value.",
        "What does it give for -1?",
        frequency="rare",
    ),
    _bug(
        "squared_relu",
        "squares-without-relu",
        _square_alone,
        "squared ReLU squares negative values, too.",
        "What does it give for -2?",
        frequency="common",
    ),
    _bug(
        "squared_relu",
        "squared-relu-keeps-sign",
        _sign_kept,
        "squared ReLU gives negative values the negative of their square.",
        "What does it give for -2?",
    ),
    _bug(
        "squared_relu",
        "squared-relu-halved",
        _half_of_square,
        "squared ReLU gives half of the square.",
        "What does it give for 2?",
        frequency="rare",
    ),
    _bug(
        "gelu",
        "gelu-is-approximate",
        _by_tanh,
        "exact GELU is the approximation with tanh.",
        "Compare gelu and gelu_tanh at 2 with seven digits.",
        frequency="common",
    ),
    _bug(
        "gelu",
        "gelu-is-quick",
        _quick,
        'exact GELU is the approximation x sigmoid(1.702 x), which is called "quick".',
        "Which function is Phi in the formula?",
        forms=[],
    ),
    _bug(
        "gelu",
        "gelu-without-root-of-two",
        _without_root_of_two,
        "exact GELU takes erf(x) where erf(x / sqrt(2)) belongs.",
        "What is the distribution function of the standard normal distribution at 1?",
        frequency="common",
    ),
    _bug(
        "gelu",
        "gelu-doubled",
        _without_half,
        "exact GELU is twice too large.",
        "What should it give for a large x?",
    ),
    _bug(
        "gelu",
        "gelu-with-density",
        _density,
        "exact GELU multiplies by the density of the normal distribution, not by its distribution function.",
        "What should it give for a large x?",
        frequency="rare",
    ),
    _bug(
        "gelu",
        "gelu-in-float32",
        _in_float32,
        "exact GELU returns float32 whatever the dtype of its input.",
        "Compare the dtypes of input and output for a bfloat16 input.",
    ),
    _bug(
        "gelu_tanh",
        "tanh-gelu-is-exact",
        _exact,
        "GELU with tanh is the exact one.",
        "Compare gelu and gelu_tanh at 2 with seven digits.",
    ),
    _bug(
        "gelu_tanh",
        "tanh-gelu-is-quick",
        _quick,
        'GELU with tanh is the approximation x sigmoid(1.702 x), which is called "quick".',
        "Is there a tanh in your function?",
    ),
    _bug(
        "gelu_tanh",
        "tanh-gelu-squares",
        _square_in_tanh,
        "GELU with tanh has the square of x where its third power belongs.",
        "Should the argument of tanh change its sign with x?",
    ),
    _bug(
        "gelu_tanh",
        "tanh-gelu-scales-one-term",
        _factor_on_first_only,
        "GELU with tanh multiplies only x by sqrt(2 / pi), not its third power.",
        "Where does the bracket end that sqrt(2 / pi) multiplies?",
    ),
    _bug(
        "gelu_tanh",
        "tanh-gelu-inverted-factor",
        _pi_over_two,
        "GELU with tanh has sqrt(pi / 2) where sqrt(2 / pi) belongs.",
        "Is the factor in front of x above or below 1?",
        frequency="rare",
    ),
    _bug(
        "swish",
        "swish-ignores-beta",
        _ignores_beta,
        "Swish ignores beta.",
        "Compare the outputs for beta = 1 and beta = 5.",
        frequency="common",
    ),
    _bug(
        "swish",
        "swish-beta-outside",
        _beta_outside,
        "Swish multiplies the result by beta, not the argument of the sigmoid.",
        "What should it give for a large x and beta = 5?",
        forms=[_beta_twice],
    ),
    _bug(
        "swish",
        "swish-divides-by-beta",
        _divides_by_beta,
        "Swish divides the argument of the sigmoid by beta.",
        "Which function should it become for a large beta?",
        frequency="rare",
    ),
    _bug(
        "swish",
        "swish-gate-detached",
        _detached_factor,
        "Swish detaches the sigmoid, so that part of the gradient is missing.",
        "What is the derivative of a product?",
        frequency="rare",
    ),
    _bug(
        "elu",
        "elu-ignores-alpha",
        _ignores_alpha,
        "ELU ignores alpha.",
        "What should it give for -100 and alpha = 0.5?",
    ),
    _bug(
        "elu",
        "elu-overflows-in-unused-branch",
        _overflowing_branch,
        "ELU computes e^x for positive x as well. From 89 on it is infinite in float32; torch.where drops it, but its "
        "gradient, infinity times 0, is NaN.",
        "What is the gradient of your ELU at 200?",
        frequency="common",
    ),
    _bug(
        "elu",
        "elu-without-minus-one",
        _without_one,
        "ELU has alpha e^x for negative x, and jumps at 0.",
        "What does it give just below 0?",
    ),
    _bug(
        "elu",
        "elu-alpha-on-both-sides",
        _alpha_on_both,
        "ELU multiplies positive values by alpha, too.",
        "What should it give for 2 and alpha = 0.5?",
    ),
    _bug(
        "elu",
        "elu-alpha-in-exponent",
        _alpha_inside,
        "ELU has alpha in the exponent.",
        "What should it give for -100 and alpha = 0.5?",
        frequency="rare",
    ),
    _bug(
        "selu",
        "selu-scales-positive-only",
        _scales_positive_only,
        "SELU multiplies only positive values by lambda.",
        "What should it give for -100?",
    ),
    _bug(
        "selu",
        "selu-scales-negative-only",
        _scales_negative_only,
        "SELU multiplies only negative values by lambda.",
        "What should it give for 1?",
    ),
    _bug(
        "selu",
        "selu-constants-swapped",
        _swapped,
        "SELU has lambda and alpha in each other's place.",
        "What should it give for 1?",
    ),
    _bug(
        "selu",
        "selu-constants-rounded",
        _two_digits,
        "SELU has its constants with three digits, so that variances drift from layer to layer.",
        "Print lambda with ten digits.",
        frequency="rare",
    ),
    _bug(
        "relu",
        "relu-in-place",
        _in_place,
        "ReLU writes its result into its input.",
        "Print the input before and after a call.",
    ),
    _bug(
        "activation",
        "unknown-name-is-identity",
        _any_name,
        "function `activation` takes any name, and gives back x unchanged for those it does not know.",
        "What does a model do of which the name was misspelt?",
    ),
)
