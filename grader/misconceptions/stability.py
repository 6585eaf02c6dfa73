"""How soft-caps, z-losses, smoothed labels and tied embeddings go wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from grader.reference.architecture import stability
from grader.reference.attention import softmax
from grader.reference.loss import cross_entropy

from .catalogue import Misconception, replacing
from .together import assembled

_right_cap, _log_z = stability.soft_cap, stability._log_partition
_right_attention, _right_z_loss, _right_smoothing = (
    stability.soft_cap_attention,
    stability.z_loss,
    stability.smoothed_cross_entropy,
)


def _checked_cap(function: Callable[[Tensor, float], Tensor]):
    def soft_cap(x, cap):
        _right_cap(x.detach(), cap)
        return function(x, cap)

    return soft_cap


def _takes_any_cap(x, cap):
    return cap * torch.tanh(x / cap) if cap else x


def _through(x, cap):
    return x + (_right_cap(x, cap) - x).detach()


def _in_place(x, cap):
    return x.div_(cap).tanh_().mul_(cap)


@assembled
def _attending(
    scale: Callable[[int], float] = math.sqrt,
    cap: Callable[[Tensor, float], Tensor] = _right_cap,
    late: bool = False,
    weigh: Callable[[Tensor, float], Tensor] = lambda scores, cap: softmax(scores, dim=-1),
):
    """Attention with other scores: `late` caps what is masked already."""

    cap_scores = cap

    def soft_cap_attention(Q, K, V, mask, cap):
        scores = Q @ K.transpose(-2, -1) / scale(Q.shape[-1])
        if not late:
            scores = cap_scores(scores, cap)
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        return weigh(cap_scores(scores, cap) if late else scores, cap) @ V

    return soft_cap_attention


def _uncapped(scores, cap):
    _right_cap(scores.detach(), cap)
    return scores


def _cap_before_scale(Q, K, V, mask, cap):
    scores = _right_cap(Q @ K.transpose(-2, -1), cap) / math.sqrt(Q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return softmax(scores, dim=-1) @ V


def _z(function: Callable[[Tensor], Tensor]):
    """z_loss with something else than the mean square of log Z."""

    def z_loss(logits, coefficient=1e-4):
        _right_z_loss(logits.detach(), coefficient)
        return coefficient * function(logits)

    return z_loss


def _ignores_coefficient(logits, coefficient=1e-4):
    return _right_z_loss(logits, coefficient) / coefficient * 1e-4


def _takes_any_coefficient(logits, coefficient=1e-4):
    return coefficient * _log_z(logits).square().mean()


def _without_top(logits):
    return (logits - logits.amax(-1, keepdim=True)).exp().sum(-1).log()


def _smooth(function: Callable[[Tensor, Tensor, float], Tensor]):
    def smoothed_cross_entropy(logits, targets, smoothing):
        _right_smoothing(logits.detach(), targets, smoothing)
        return function(logits, targets, smoothing)

    return smoothed_cross_entropy


def _uniform(logits: Tensor) -> Tensor:
    return (_log_z(logits) - logits.mean(-1)).mean()


def _others_only(logits, targets, smoothing):
    """All classes but the target share the smoothing."""
    log_p = logits - _log_z(logits).unsqueeze(-1)
    q = torch.full_like(logits, smoothing / (logits.shape[-1] - 1)).scatter(-1, targets[..., None], 1 - smoothing)
    return -(q * log_p).sum(-1).mean()


def _overflows(logits, targets, smoothing):
    log_p = (logits.exp() / logits.exp().sum(-1, keepdim=True)).log()
    nll = -log_p.gather(-1, targets[..., None]).mean()
    return (1 - smoothing) * nll - smoothing * log_p.mean()


def _takes_any_smoothing(logits, targets, smoothing):
    return (1 - smoothing) * cross_entropy(logits, targets) + smoothing * _uniform(logits)


def _rows(scale: Callable[[Any], float]):
    def forward(self, token_ids):
        return self.weight[token_ids] * scale(self)

    return forward


def _scaled_head(self, x):
    return x @ self.weight.T * self.scale


def _divided_head(self, x):
    return x @ self.weight.T / self.scale


def _divides_always(self, x):
    return x @ self.weight.T / math.sqrt(self.weight.shape[1])


def _detached_head(self, x):
    return x @ self.weight.detach().T


def _detached_rows(self, token_ids):
    return self.weight.detach()[token_ids] * self.scale


def _bug(place: str, id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return replacing("stability", f"architecture.stability.{place}", "Your ", id, function, diagnosis, hint, **options)


def _cap(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("soft_cap", id, _checked_cap(function), f"soft-cap {diagnosis}", hint, **options)


def _attention(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("soft_cap_attention", id, function, f"attention with a cap {diagnosis}", hint, **options)


def _loss(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("z_loss", id, _z(function), f"z-loss {diagnosis}", hint, **options)


def _labels(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("smoothed_cross_entropy", id, _smooth(function), f"smoothed cross-entropy {diagnosis}", hint, **options)


def _table(place: str, id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug(f"TiedEmbedding.{place}", id, function, f"tied embedding {diagnosis}", hint, **options)


MISCONCEPTIONS = (
    _cap(
        "cap-clips",
        lambda x, cap: x.clamp(-cap, cap),
        "clips, so that nothing above the cap has a gradient.",
        "What is the soft-cap of a number that equals the cap?",
        frequency="common",
    ),
    _cap(
        "cap-does-not-divide",
        lambda x, cap: cap * torch.tanh(x),
        "does not divide by the cap before tanh, and makes small numbers large.",
        "What is the soft-cap of 1 for a cap of 50?",
    ),
    _cap(
        "cap-does-not-multiply",
        lambda x, cap: torch.tanh(x / cap),
        "does not multiply by the cap after tanh: everything lies between -1 and 1.",
        "What is the soft-cap of 1 for a cap of 50?",
        frequency="common",
    ),
    _cap(
        "cap-is-fraction",
        lambda x, cap: x / (1 + x.abs() / cap),
        "is x / (1 + |x| / cap), which bends much sooner than tanh does.",
        "What is the soft-cap of 10 for a cap of 50, to three digits?",
        frequency="rare",
    ),
    _cap(
        "cap-passes-gradient-through",
        _through,
        "has the gradient 1 everywhere, as if it were not there.",
        "What is the slope of tanh far from 0?",
        frequency="rare",
    ),
    _cap(
        "cap-in-place",
        _in_place,
        "writes into its input.",
        "Print the input before and after the call.",
        frequency="occasional",
    ),
    _bug(
        "soft_cap",
        "cap-takes-any",
        _takes_any_cap,
        "soft-cap takes a cap of 0 or less.",
        "Between which two numbers is the result for a cap of 0?",
        frequency="rare",
    ),
    _attention(
        "masks-before-cap",
        _attending(late=True),
        "masks before it caps: the cap turns minus infinity into a number, so that what is masked is seen.",
        "What is the soft-cap of minus infinity?",
        frequency="common",
    ),
    _attention(
        "caps-before-scaling",
        _cap_before_scale,
        "divides by sqrt(d_k) after the cap, so that scores lie between -cap / sqrt(d_k) and cap / sqrt(d_k).",
        "What is the largest score that the softmax can see?",
        frequency="common",
    ),
    _attention(
        "attention-without-cap",
        _attending(cap=_uncapped),
        "does not cap its scores.",
        "Make the queries 100 times as large: how large may a score become?",
        frequency="rare",
    ),
    _attention(
        "attention-without-scale",
        _attending(scale=lambda d_k: 1.0),
        "does not divide its scores by sqrt(d_k).",
        "Compare with scaled_dot_product_attention for a very large cap.",
    ),
    _attention(
        "caps-weights",
        _attending(
            cap=_uncapped,
            weigh=lambda scores, cap: _right_cap(softmax(scores, dim=-1), cap),
        ),
        "caps the weights after the softmax, and not the scores before it.",
        "Do the weights of a row add up to 1?",
        frequency="rare",
    ),
    _loss(
        "z-mean-before-square",
        lambda logits: _log_z(logits).mean().square(),
        "squares the mean of log Z, so that rows of opposite signs cancel.",
        "What is the loss of two rows with log Z = 3 and log Z = -3?",
        frequency="common",
    ),
    _loss(
        "z-without-square",
        lambda logits: _log_z(logits).mean(),
        "does not square log Z, so that it pulls it down without end.",
        "Which log Z has the smallest loss?",
    ),
    _loss(
        "z-sums",
        lambda logits: _log_z(logits).square().sum(),
        "adds up all rows, so that it grows with the batch.",
        "Give the same row twice: does the loss double?",
    ),
    _loss(
        "z-of-squared-logits",
        lambda logits: logits.square().mean(),
        "is the mean of the squared logits.",
        "What is log Z of two logits that are both 0?",
        frequency="rare",
    ),
    _loss(
        "z-without-maximum",
        lambda logits: _without_top(logits).square().mean(),
        "takes the maximum of a row away and does not add it again: adding a number to all logits does not change it.",
        "Add 5 to all logits: by how much should log Z grow?",
        frequency="common",
    ),
    _loss(
        "z-overflows",
        lambda logits: logits.exp().sum(-1).log().square().mean(),
        "computes e^logit as it is, which is infinite from 89 on in float32.",
        "Try it on logits of 1,000 and of -1,000.",
        frequency="common",
    ),
    _loss(
        "z-detached",
        lambda logits: (_log_z(logits).detach() * _log_z(logits)).mean(),
        "detaches one of the two factors of the square: half of the gradient is missing.",
        "What is the derivative of a square?",
        frequency="rare",
    ),
    _bug(
        "z_loss",
        "z-ignores-coefficient",
        _ignores_coefficient,
        "z-loss ignores its coefficient.",
        "Compare the losses for coefficients of 1 and 2.",
        frequency="rare",
    ),
    _bug(
        "z_loss",
        "z-takes-negative-coefficient",
        _takes_any_coefficient,
        "z-loss takes a negative coefficient.",
        "What does training do with a loss that falls as logits grow?",
        frequency="rare",
    ),
    _labels(
        "smooths-others-only",
        _others_only,
        "shares the smoothing among all classes but the target.",
        "What is the target's label for a smoothing of 0.5 and two classes?",
        frequency="common",
    ),
    _labels(
        "only-weakens-target",
        lambda logits, targets, smoothing: (1 - smoothing) * cross_entropy(logits, targets),
        "takes the smoothing away from the target and gives it to nobody.",
        "Do the labels of a row add up to 1?",
    ),
    _labels(
        "smoothing-summed-over-classes",
        lambda logits, targets, smoothing: (
            (1 - smoothing) * cross_entropy(logits, targets) + smoothing * logits.shape[-1] * _uniform(logits)
        ),
        "gives every class the whole smoothing, and not its part.",
        "Do the labels of a row add up to 1?",
        frequency="common",
    ),
    _labels(
        "smoothing-swapped",
        lambda logits, targets, smoothing: (
            smoothing * cross_entropy(logits, targets) + (1 - smoothing) * _uniform(logits)
        ),
        "gives the target the smoothing, and the classes together the rest.",
        "What should a smoothing of 0 give?",
        frequency="rare",
    ),
    _labels(
        "smoothing-ignored",
        lambda logits, targets, smoothing: cross_entropy(logits, targets),
        "ignores the smoothing.",
        "Compare the losses for smoothings of 0 and 0.5.",
        frequency="rare",
    ),
    _labels(
        "smoothing-overflows",
        _overflows,
        "takes the logarithm of probabilities that have become 0, or divides by an infinite sum.",
        "Try it on logits of 1,000 and of -1,000.",
        frequency="common",
    ),
    _bug(
        "smoothed_cross_entropy",
        "smoothing-takes-any",
        _takes_any_smoothing,
        "smoothed cross-entropy takes a smoothing of 1 or more, with which targets are worth nothing or less.",
        "What is learned with a smoothing of 1?",
        frequency="rare",
    ),
    _table(
        "forward",
        "embedding-not-scaled",
        _rows(lambda self: 1.0),
        "does not multiply by sqrt(d_model).",
        "How large is a row with variance 1 / d_model, and how large should an embedding be?",
        frequency="common",
    ),
    _table(
        "forward",
        "embedding-always-scaled",
        _rows(lambda self: math.sqrt(self.weight.shape[1])),
        "multiplies by sqrt(d_model) also where it should not.",
        "Compare the embeddings with scaled at True and at False.",
    ),
    _table(
        "forward",
        "embedding-divided",
        _rows(lambda self: 1 / self.scale),
        "divides by sqrt(d_model).",
        "How large is a row with variance 1 / d_model, and how large should an embedding be?",
    ),
    _table(
        "forward",
        "embedding-times-d-model",
        _rows(lambda self: self.scale**2),
        "multiplies by d_model, not by its root.",
        "How large is a row with variance 1 / d_model, and how large should an embedding be?",
    ),
    _table(
        "forward",
        "embedding-times-root-of-vocabulary",
        _rows(lambda self: math.sqrt(self.weight.shape[0]) if self.scale > 1 else 1.0),
        "multiplies by the root of the vocabulary's size.",
        "Which dimension is the sum over that makes a logit?",
        frequency="rare",
    ),
    _table(
        "logits",
        "logits-scaled",
        _scaled_head,
        "scales its logits as well.",
        "How large are logits of a weight with variance 1 / d_model, for inputs of variance 1?",
        frequency="common",
    ),
    _table(
        "logits",
        "logits-divided",
        _divided_head,
        "divides its logits by sqrt(d_model), as T5 does.",
        "How large are logits of a weight with variance 1 / d_model, for inputs of variance 1?",
        forms=[_divides_always],
    ),
    _table(
        "logits",
        "head-is-a-copy",
        _detached_head,
        "has a head that is a copy of the table, or detached: the gradient of the logits is lost.",
        "How many parameters does the model have? Is the gradient of a token that is in no input 0?",
        frequency="common",
    ),
    _table(
        "forward",
        "table-is-a-copy",
        _detached_rows,
        "looks tokens up in a copy of the weight, or a detached one: the gradient of the embeddings is lost.",
        "Scale the embeddings by 0: what is left of the gradient?",
    ),
)
