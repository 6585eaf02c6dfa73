"""How cross-entropy goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from .catalogue import replacing


def _log_probabilities(logits):
    shifted = logits - logits.amax(-1, keepdim=True)
    return shifted - shifted.exp().sum(-1, keepdim=True).log()


def _of_target(values, targets):
    return values.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def _nll(logits, targets):
    return -_of_target(_log_probabilities(logits), targets)


def _sum(logits, targets):
    return _nll(logits, targets).sum()


def _mean_over_rows_only(logits, targets):
    return _nll(logits, targets).sum() / len(targets)


def _divides_by_classes(logits, targets):
    return _nll(logits, targets).sum() / logits.numel()


def _sign(logits, targets):
    return -_nll(logits, targets).mean()


def _bits(logits, targets):
    return _nll(logits, targets).mean() / torch.tensor(2.0, dtype=logits.dtype).log()


def _no_shift(logits, targets):
    return (logits.exp().sum(-1).log() - _of_target(logits, targets)).mean()


def _log_of_softmax(logits, targets):
    return -_of_target(logits.softmax(-1), targets).log().mean()


def _eps_in_log(eps: float):
    return lambda logits, targets: -(_of_target(logits.softmax(-1), targets) + eps).log().mean()


def _clamped(logits, targets):
    return -_of_target(logits.softmax(-1), targets).clamp(min=1e-12).log().mean()


def _one_maximum(logits, targets):
    shifted = logits - logits.max()
    return (shifted.exp().sum(-1).log() - _of_target(shifted, targets)).mean()


def _maximum_per_class(logits, targets):
    shifted = logits - logits.amax(0, keepdim=True)
    return (shifted.exp().sum(-1).log() - _of_target(shifted, targets)).mean()


def _shift_forgotten_in_target(logits, targets):
    shifted = logits - logits.amax(-1, keepdim=True)
    return (shifted.exp().sum(-1).log() - _of_target(logits, targets)).mean()


def _over_batch(logits, targets):
    return -_of_target(logits.log_softmax(0), targets).mean()


def _every_target_for_every_row(logits, targets):
    return -_log_probabilities(logits)[..., targets].mean()


def _best_class(logits, targets):
    return -_log_probabilities(logits).amax(-1).mean()


def _no_normaliser(logits, targets):
    return -_of_target(logits, targets).mean()


def _probability(logits, targets):
    return -_of_target(_log_probabilities(logits).exp(), targets).mean()


def _all_classes(logits, targets):
    return -_log_probabilities(logits).mean()


def _rows_by_index(logits, targets):
    return -_log_probabilities(logits)[torch.arange(len(targets)), targets].mean()


def _logits_by_index(logits, targets):
    return (logits.logsumexp(-1) - logits[torch.arange(len(targets)), targets]).mean()


def _gathers_along_second(gather: Callable[..., torch.Tensor]):
    """Looks the targets up as a column, which is one only if they are a row."""

    def cross_entropy(logits, targets):
        return gather(logits, targets.unsqueeze(1)).mean()

    return cross_entropy


def _column_of(values, column):
    return -_log_probabilities(values).gather(-1, column)


def _second_dimension_of(values, column):
    return -_log_probabilities(values).gather(1, column)


def _column_less_normaliser(logits, column):
    return logits.logsumexp(-1) - logits.gather(-1, column).squeeze(1)


def _second_dimension_less_normaliser(logits, column):
    return logits.logsumexp(1) - logits.gather(1, column).squeeze(1)


def _row_by_row(logits, targets):
    """A loop over the rows of a batch."""
    losses = [-_log_probabilities(logits)[i, targets[i]] for i in range(targets.shape[-1])]
    return torch.stack(losses).mean()


def _in_place(logits, targets):
    with torch.no_grad():
        logits -= logits.amax(-1, keepdim=True)
    return _nll(logits, targets).mean()


def _detached(logits, targets):
    return _nll(logits.detach(), targets).mean()


def _gradient_of_target_only(logits, targets):
    shifted = logits - logits.detach().amax(-1, keepdim=True)
    return (shifted.detach().exp().sum(-1).log() - _of_target(shifted, targets)).mean()


def _softmax_first(logits, targets):
    return _nll(logits.softmax(-1), targets).mean()


def _divides_by_width(logits, targets):
    return _nll(logits, targets).sum() / logits.shape[-1]


_wrong = partial(replacing, "cross_entropy", "loss.cross_entropy", "Your cross-entropy ")


def _first_rows_only(logits, targets):
    return _nll(logits, targets).flatten()[:4096].mean()


def _first_classes_only(logits, targets):
    return _nll(logits[..., :4096], targets.clamp(max=4095)).mean()


MISCONCEPTIONS = (
    _wrong(
        "sum",
        _sum,
        "is the sum over the batch, not the mean.",
        "Repeat every row of a batch: should the loss double?",
        throughout=True,
    ),
    _wrong(
        "mean-over-first-dimension",
        _mean_over_rows_only,
        "divides by the size of the first dimension, whatever other batch dimensions there are.",
        "For logits of shape (batch, seq, vocab): how many predictions are there?",
        "common",
    ),
    _wrong(
        "divides-by-classes",
        _divides_by_classes,
        "divides by the number of logits, so it gets smaller with a larger vocabulary.",
        "Over how many values is the mean: one per row, or one per logit?",
        throughout=True,
    ),
    _wrong(
        "sign",
        _sign,
        "has the wrong sign.",
        "Can a loss of -log p with p below 1 be negative?",
        "rare",
        throughout=True,
    ),
    _wrong(
        "bits",
        _bits,
        "is in bits, not in nats: it takes logarithms to base 2.",
        "What is the loss of uniform logits over 10 classes: 2.303 or 3.322?",
        "rare",
        throughout=True,
    ),
    _wrong(
        "no-shift",
        _no_shift,
        "takes exp of the unshifted logits, which overflows from about 89 on.",
        "Add 1000 to every logit: should the loss change, and does it?",
        "common",
    ),
    _wrong(
        "log-of-softmax",
        _log_of_softmax,
        "takes the logarithm of a softmax that has been rounded to 0, which gives inf.",
        "Which steps of log(exp(x) / sum) cancel on paper?",
        "common",
    ),
    *(
        _wrong(
            f"eps-in-log-{exponent}",
            _eps_in_log(10.0**-exponent),
            f"adds 1e-{exponent} inside the logarithm, so no loss can exceed {2.302585 * exponent:.0f} or so.",
            "The target's logit is 1000 below the largest: what is the loss?",
            "common",
        )
        for exponent in (6, 8, 9, 10)
    ),
    _wrong(
        "clamped",
        _clamped,
        "keeps probabilities above 1e-12 (it clamps them or adds that much), so no loss can exceed 28.",
        "The target's logit is 1000 below the largest: what is the loss?",
    ),
    _wrong(
        "one-maximum",
        _one_maximum,
        "subtracts the largest logit of the whole batch, so that all of exp underflows in other rows.",
        "One row has logits near 1000, another near 0: what is left of the second after the shift?",
        "common",
    ),
    _wrong(
        "maximum-per-class",
        _maximum_per_class,
        "subtracts from each logit the maximum over the batch of its class, which changes the softmax.",
        "Along which dimension is the maximum taken, and along which the sum?",
        throughout=True,
    ),
    _wrong(
        "shift-forgotten-in-target",
        _shift_forgotten_in_target,
        "subtracts the maximum in the normaliser, but not from the target's logit.",
        "If every logit is 100, what should the loss be?",
        throughout=True,
    ),
    _wrong(
        "normalised-over-batch",
        _over_batch,
        "normalises over the batch dimension, not over the vocabulary.",
        "Which probabilities should sum to 1?",
        "rare",
        throughout=True,
    ),
    _wrong(
        "every-target-for-every-row",
        _every_target_for_every_row,
        "looks up every target in every row, but each row has its own target.",
        "What is the shape of logits[:, targets]?",
        throughout=True,
    ),
    _wrong(
        "best-class",
        _best_class,
        "uses the most probable class, not the target.",
        "Change the targets: does the loss change?",
        "rare",
        throughout=True,
    ),
    _wrong(
        "no-normaliser",
        _no_normaliser,
        "leaves out the normaliser: it is the mean of the targets' negative logits.",
        "Add 5 to every logit: should the loss change?",
        "rare",
        throughout=True,
    ),
    _wrong(
        "probability",
        _probability,
        "averages the probabilities of the targets, without the logarithm.",
        "Can your loss exceed 1?",
        "rare",
        throughout=True,
    ),
    _wrong(
        "all-classes",
        _all_classes,
        "averages over all classes, not only the targets.",
        "Change the targets: does the loss change?",
        "rare",
        throughout=True,
    ),
    _wrong(
        "one-batch-dimension-only",
        _rows_by_index,
        "looks up the target of each row in a way that needs a single batch dimension.",
        "When the logits are (batch, seq, vocab), which shape has what you look the targets up with?",
        "common",
        forms=(
            _logits_by_index,
            *map(
                _gathers_along_second,
                (_column_of, _second_dimension_of, _column_less_normaliser, _second_dimension_less_normaliser),
            ),
            _row_by_row,
        ),
    ),
    _wrong(
        "in-place",
        _in_place,
        "subtracts the maximum from the caller's own tensor.",
        "Print the logits before and after the call.",
    ),
    _wrong(
        "detached",
        _detached,
        "detaches the loss from the logits, so backward reaches nothing.",
        "If logits.requires_grad is True, is loss.requires_grad True as well?",
        "rare",
    ),
    _wrong(
        "normaliser-without-gradient",
        _gradient_of_target_only,
        "lets no gradient through the normaliser, so only the target's logit gets one.",
        "Compare logits.grad with (softmax - one-hot) / batch size for one row.",
        "rare",
    ),
    _wrong(
        "of-probabilities",
        _softmax_first,
        "applies softmax twice: to the logits, and then to the result.",
        "Does your function expect logits or probabilities, and which does it make of them first?",
        throughout=True,
    ),
    _wrong(
        "divides-by-vocabulary",
        _divides_by_width,
        "divides the sum over the batch by the number of classes.",
        "How many rows does the mean run over?",
        throughout=True,
    ),
    _wrong(
        "first-rows-only",
        _first_rows_only,
        "uses only the first rows when there are thousands.",
        "Does your code contain a size that comes from none of its arguments?",
        "rare",
    ),
    _wrong(
        "first-classes-only",
        _first_classes_only,
        "uses only a part of the vocabulary when it is large.",
        "What does it return when the last class of 50257 is the target?",
        "rare",
    ),
)
