"""How gradient clipping goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from .catalogue import replacing
from .together import assembled


def _with_gradient(parameters):
    return [parameter for parameter in parameters if parameter.grad is not None]


def _joint(tensors):
    return torch.stack([tensor.norm() for tensor in tensors]).norm()


@assembled
def _clipping(
    norm_of: Callable = _joint,
    factor: Callable = lambda limit, norm: limit / (norm + 1e-6),
    scaled: Callable = lambda gradients: gradients,
) -> Callable:
    """Clipping with another norm or another factor, or of some gradients only."""

    def clip(parameters, max_l2_norm, eps=1e-6):
        gradients = [parameter.grad for parameter in _with_gradient(parameters)]
        if gradients and (norm := norm_of(gradients)) > max_l2_norm:
            for gradient in scaled(gradients):
                gradient.mul_(factor(max_l2_norm, norm))

    return clip


def _eps_under_root(gradients):
    return (torch.cat([gradient.flatten() for gradient in gradients]).square().sum() + 1e-6).sqrt()


def _per_parameter(parameters, max_l2_norm, eps=1e-6):
    for parameter in _with_gradient(parameters):
        norm = parameter.grad.norm()
        if norm > max_l2_norm:
            parameter.grad.mul_(max_l2_norm / (norm + eps))


def _only_long_ones(parameters, max_l2_norm, eps=1e-6):
    kept = _with_gradient(parameters)
    norm = _joint([parameter.grad for parameter in kept]) if kept else 0.0
    for parameter in kept:
        if parameter.grad.norm() > max_l2_norm:
            parameter.grad.mul_(max_l2_norm / (norm + eps))


def _norm_of_parameters(parameters, max_l2_norm, eps=1e-6):
    kept = _with_gradient(parameters)
    norm = _joint([parameter.data for parameter in kept]) if kept else 0.0
    if norm > max_l2_norm:
        for parameter in kept:
            parameter.grad.mul_(max_l2_norm / (norm + eps))


def _scales_parameters(parameters, max_l2_norm, eps=1e-6):
    kept = _with_gradient(parameters)
    norm = _joint([parameter.grad for parameter in kept]) if kept else 0.0
    if norm > max_l2_norm:
        for parameter in kept:
            parameter.data.mul_(max_l2_norm / (norm + eps))


def _always(parameters, max_l2_norm, eps=1e-6):
    gradients = [parameter.grad for parameter in _with_gradient(parameters)]
    norm = _joint(gradients) if gradients else 0.0
    for gradient in gradients:
        gradient.mul_(max_l2_norm / (norm + eps))


def _never_back_in_place(parameters, max_l2_norm, eps=1e-6):
    gradients = [parameter.grad for parameter in _with_gradient(parameters)]
    if gradients and (norm := _joint(gradients)) > max_l2_norm:
        gradients = [gradient * (max_l2_norm / (norm + eps)) for gradient in gradients]


def _elementwise(parameters, max_l2_norm, eps=1e-6):
    for parameter in _with_gradient(parameters):
        parameter.grad.clamp_(-max_l2_norm, max_l2_norm)


def _zeroes(parameters, max_l2_norm, eps=1e-6):
    gradients = [parameter.grad for parameter in _with_gradient(parameters)]
    if gradients and _joint(gradients) > max_l2_norm:
        for gradient in gradients:
            gradient.zero_()


def _consumes(parameters, max_l2_norm, eps=1e-6):
    norms = [parameter.grad.norm() for parameter in parameters if parameter.grad is not None]
    if norms and (norm := torch.stack(norms).norm()) > max_l2_norm:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(max_l2_norm / (norm + eps))


def _needs_a_gradient(parameters, max_l2_norm, eps=1e-6):
    gradients = [parameter.grad for parameter in _with_gradient(parameters)]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    if norm > max_l2_norm:
        for gradient in gradients:
            gradient.mul_(max_l2_norm / (norm + eps))


def _needs_all_gradients(parameters, max_l2_norm, eps=1e-6):
    parameters = list(parameters)
    norm = sum(float(parameter.grad.norm()) ** 2 for parameter in parameters) ** 0.5
    if norm > max_l2_norm:
        for parameter in parameters:
            parameter.grad.mul_(max_l2_norm / (norm + eps))


def _stops_at_none(parameters, max_l2_norm, eps=1e-6):
    gradients = []
    for parameter in parameters:
        if parameter.grad is None:
            break
        gradients.append(parameter.grad)
    if gradients and (norm := _joint(gradients)) > max_l2_norm:
        for gradient in gradients:
            gradient.mul_(max_l2_norm / (norm + eps))


def _views(parameters, max_l2_norm, eps=1e-6):
    gradients = [parameter.grad.view(-1) for parameter in _with_gradient(parameters)]
    if gradients and (norm := torch.cat(gradients).norm()) > max_l2_norm:
        for gradient in gradients:
            gradient.mul_(max_l2_norm / (norm + eps))


_wrong = partial(replacing, "gradient_clipping", "optimizer.gradient_clipping", "Your gradient clipping ")


MISCONCEPTIONS = (
    _wrong(
        "per-parameter",
        _per_parameter,
        "clips each gradient by its own norm.",
        "Two gradients have norm 0.9 each and the limit is 1: is anything clipped?",
        "common",
    ),
    _wrong(
        "only-long-ones",
        _only_long_ones,
        "scales only those gradients whose own norm exceeds the limit.",
        "Does the direction of the whole update stay the same?",
    ),
    _wrong(
        "sum-of-norms",
        _clipping(norm_of=lambda gradients: torch.stack([g.norm() for g in gradients]).sum()),
        "adds up the norms of the gradients; their joint norm is smaller.",
        "For norms of 3 and 4, is the joint norm 7 or 5?",
    ),
    _wrong(
        "largest-norm",
        _clipping(norm_of=lambda gradients: torch.stack([g.norm() for g in gradients]).max()),
        "uses the largest of the gradients' norms as the joint norm.",
        "For norms of 3 and 4, is the joint norm 4 or 5?",
        "rare",
    ),
    _wrong(
        "no-root",
        _clipping(norm_of=lambda gradients: torch.stack([g.square().sum() for g in gradients]).sum()),
        "uses the sum of squares as the norm, without the square root.",
        "What is the norm of (3, 4)?",
    ),
    _wrong(
        "l1-norm",
        _clipping(norm_of=lambda gradients: torch.stack([g.abs().sum() for g in gradients]).sum()),
        "uses the sum of absolute values as the norm.",
        "What is the l2 norm of (3, 4)?",
        "rare",
    ),
    _wrong(
        "largest-element",
        _clipping(norm_of=lambda gradients: torch.stack([g.abs().max() for g in gradients]).max()),
        "uses the largest absolute value as the norm.",
        "What is the l2 norm of (3, 4)?",
        "rare",
    ),
    _wrong(
        "first-gradient-only",
        _clipping(scaled=lambda gradients: gradients[:1]),
        "scales only the gradient of the first parameter.",
        "After clipping, what is the norm of all gradients together?",
        "rare",
    ),
    _wrong(
        "root-mean-square",
        _clipping(norm_of=lambda gradients: torch.cat([g.flatten() for g in gradients]).square().mean().sqrt()),
        "uses the root of the mean square as the norm, so large models are clipped less.",
        "What is the norm of (3, 4): 5, or 3.54?",
        "rare",
    ),
    _wrong(
        "factor-upside-down",
        _clipping(factor=lambda limit, norm: norm / (limit + 1e-6)),
        "multiplies by norm / limit, which makes long gradients longer.",
        "Is your factor below 1 when the norm exceeds the limit?",
        "rare",
    ),
    _wrong(
        "factor-without-limit",
        _clipping(factor=lambda limit, norm: 1 / (norm + 1e-6)),
        "scales to a norm of 1, whatever the limit.",
        "What norm do the gradients have afterwards, with a limit of 25?",
    ),
    _wrong(
        "norm-of-parameters",
        _norm_of_parameters,
        "measures the parameters, not their gradients.",
        "Does the result change when only the weights are larger?",
        "common",
    ),
    _wrong(
        "scales-parameters",
        _scales_parameters,
        "scales the parameters, not their gradients.",
        "Compare parameter.data before and after the call.",
        "rare",
        throughout=True,
    ),
    _wrong(
        "always-scales",
        _always,
        "scales every time, so short gradients grow to the limit.",
        "What happens to a gradient of norm 0.5 when the limit is 1?",
    ),
    _wrong(
        "result-dropped",
        _never_back_in_place,
        "computes scaled gradients but leaves the parameters' gradients unchanged.",
        "Does `g = g * factor` change the tensor that parameter.grad refers to?",
    ),
    _wrong(
        "clamps-elements",
        _elementwise,
        "limits every element by itself, which changes the direction.",
        "Is the gradient afterwards a multiple of the one before?",
    ),
    _wrong(
        "zeroes",
        _zeroes,
        "sets gradients beyond the limit to zero.",
        "What norm should the gradients have afterwards?",
        "rare",
    ),
    _wrong(
        "consumes-generator",
        _consumes,
        "iterates over the parameters twice, but a generator such as model.parameters() is empty the second time.",
        "What does list(generator) give when you call it twice?",
        "common",
    ),
    _wrong(
        "needs-a-gradient",
        _needs_a_gradient,
        "fails when no parameter has a gradient.",
        "What does torch.stack do with an empty list?",
        "common",
    ),
    _wrong(
        "needs-all-gradients",
        _needs_all_gradients,
        "fails on a parameter whose grad is None.",
        "What is the grad of a frozen parameter?",
        "common",
    ),
    _wrong(
        "stops-at-none",
        _stops_at_none,
        "stops at the first parameter without a gradient and skips those after it.",
        "What should happen to the parameters after a frozen one?",
        "rare",
    ),
    _wrong(
        "no-eps",
        _clipping(factor=lambda limit, norm: limit / norm),
        "divides by the norm without eps.",
        "With a norm of 1e-5 and a limit of 5e-6, is the factor 0.5 or 0.4545?",
    ),
    _wrong(
        "eps-under-root",
        _clipping(norm_of=_eps_under_root, factor=lambda limit, norm: limit / norm),
        "adds eps to the sum of squares under the root, but eps must be added to the norm.",
        "With a norm of 1e-3 and an eps of 1e-6, is the denominator 1.001e-3 or 1.414e-3?",
        "common",
    ),
    _wrong(
        "large-eps",
        _clipping(factor=lambda limit, norm: limit / (norm + 1e-3)),
        "adds more than the required 1e-6 to the norm.",
        "Which eps does the assignment name?",
        "rare",
    ),
    _wrong(
        "views",
        _views,
        "needs gradients that are contiguous in memory.",
        "What does x.T.view(-1) do in PyTorch, and which method works on any layout?",
    ),
)
