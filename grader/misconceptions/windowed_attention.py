"""How windows and sinks go wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from grader.reference.architecture import masks

from .catalogue import Misconception, replacing
from .together import assembled

_right = masks.window_mask
Rule = Callable[[Tensor, Tensor, int], Tensor]


def _near(i: Tensor, j: Tensor, window: int) -> Tensor:
    return i - j < window


def _every(i: Tensor, j: Tensor, stride: int) -> Tensor:
    return (i - j) % stride == 0


def _early(i: Tensor, j: Tensor, tokens: int) -> Tensor:
    return j < tokens


def _after(i: Tensor, j: Tensor) -> Tensor:
    return j > i


@assembled
def _masking(
    near: Rule = _near,
    every: Rule = _every,
    early: Rule = _early,
    hidden: Callable[[Tensor, Tensor], Tensor] = _after,
    both: Callable[[Tensor, Tensor], Tensor] = torch.logical_or,
    checked: bool = True,
):
    """A mask by other rules for what is near, in the stride, early, and hidden."""

    def window_mask(seq_len, window, stride=None, global_tokens=0, device=None):
        if checked:
            _right(1, window, stride, global_tokens)
        j = torch.arange(seq_len, device=device)
        i = j.unsqueeze(-1)
        seen = near(i, j, window)
        if stride is not None:
            seen = both(seen, every(i, j, stride or 1))
        return (seen | early(i, j, global_tokens)) & ~hidden(i, j)

    return window_mask


def _one_more(i, j, window):
    return i - j <= window


def _one_less(i, j, window):
    return (i - j < window - 1) | (i == j)


def _both_sides(i, j, window):
    return (i - j).abs() < window


def _in_blocks(i, j, window):
    return i // window == j // window


def _from_the_end(i, j, window):
    return j >= j.max() - window + 1


def _nothing_hidden(i, j):
    return j < 0


def _from_position_zero(i, j, stride):
    return (j % stride == 0).expand(i.shape[0], -1)


def _last_of_each_block(i, j, stride):
    return (j % stride == stride - 1).expand(i.shape[0], -1)


def _never(i, j, number):
    return j < 0


def _one_more_early(i, j, tokens):
    return (j <= tokens) & (tokens > 0)


def _future_of_early(seq_len, window, stride=None, global_tokens=0, device=None):
    j = torch.arange(seq_len, device=device)
    return _right(seq_len, window, stride, global_tokens, device) | (j < global_tokens)


def _early_see_everything(seq_len, window, stride=None, global_tokens=0, device=None):
    i = torch.arange(seq_len, device=device).unsqueeze(-1)
    return _right(seq_len, window, stride, global_tokens, device) | (i < global_tokens)


def _early_instead_of_window(seq_len, window, stride=None, global_tokens=0, device=None):
    j = torch.arange(seq_len, device=device)
    seen = _right(seq_len, window, stride, global_tokens, device)
    only = ((j < global_tokens) | (j == j.unsqueeze(-1))) & (j <= j.unsqueeze(-1))
    return seen & only if global_tokens else seen


def _as_bias(seq_len, window, stride=None, global_tokens=0, device=None):
    seen = _right(seq_len, window, stride, global_tokens, device)
    return torch.zeros(seen.shape, device=device).masked_fill(~seen, -math.inf)


def _inverted(seq_len, window, stride=None, global_tokens=0, device=None):
    return ~_right(seq_len, window, stride, global_tokens, device)


# ------------------------------------------------------------------------------------------------------------


def _softmax(x: Tensor) -> Tensor:
    e = (x - x.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


def _scores(Q: Tensor, K: Tensor, mask: Tensor | None) -> Tensor:
    scores = Q @ K.mT / math.sqrt(Q.shape[-1])
    return scores if mask is None else scores.masked_fill(~mask, -math.inf)


def _column(sinks: Tensor, scores: Tensor) -> Tensor:
    return sinks[:, None, None].expand(*scores.shape[:-1], 1)


def _weighing(weigh: Callable[[Tensor, Tensor], Tensor]):
    """Attention with other weights: weigh(scores, the sink of each row)."""

    def sink_attention(Q, K, V, mask, sinks):
        scores = _scores(Q, K, mask)
        return weigh(scores, _column(sinks, scores)) @ V

    return sink_attention


def _right_weights(scores, sink):
    return _softmax(torch.cat([scores, sink], -1))[..., :-1]


def _without_sink(scores, sink):
    return _softmax(scores + 0 * sink)


def _renormalised(scores, sink):
    weights = _right_weights(scores, sink)
    return weights / weights.sum(-1, keepdim=True)


def _added_to_scores(scores, sink):
    return _softmax(scores + sink)


def _as_weight(scores, sink):
    """The sink itself in the sum, and not its exponential."""
    top = scores.amax(-1, keepdim=True)
    e = (scores - top).exp()
    return e / (e.sum(-1, keepdim=True) + sink.abs() * (-top).exp())


def _plus_one(scores, sink):
    return _right_weights(scores, 0 * sink)


def _sink_first_dropped_last(scores, sink):
    """The sink stands before the scores, and the last weight is dropped."""
    return _softmax(torch.cat([sink, scores], -1))[..., :-1]


def _unshifted(scores, sink):
    e = scores.exp()
    return e / (e.sum(-1, keepdim=True) + sink.exp())


def _shifted_by_scores_only(scores, sink):
    top = scores.amax(-1, keepdim=True)
    e = (scores - top).exp()
    return e / (e.sum(-1, keepdim=True) + (sink - top).exp())


def _detached_sink(scores, sink):
    return _right_weights(scores, sink.detach())


def _scaled_sink(Q, K, V, mask, sinks):
    scores = _scores(Q, K, mask)
    return _right_weights(scores, _column(sinks / math.sqrt(Q.shape[-1]), scores)) @ V


def _one_sink(Q, K, V, mask, sinks):
    scores = _scores(Q, K, mask)
    return _right_weights(scores, _column(sinks[:1].expand_as(sinks), scores)) @ V


def _unscaled_scores(Q, K, V, mask, sinks):
    scores = _scores(Q * math.sqrt(Q.shape[-1]), K, mask)
    return _right_weights(scores, _column(sinks, scores)) @ V


def _ignores_mask(Q, K, V, mask, sinks):
    scores = _scores(Q, K, None)
    return _right_weights(scores, _column(sinks, scores)) @ V


def _masks_after(Q, K, V, mask, sinks):
    scores = _scores(Q, K, None)
    weights = _right_weights(scores, _column(sinks, scores))
    return (weights if mask is None else weights * mask) @ V


def _in_place(Q, K, V, mask, sinks):
    Q.div_(math.sqrt(Q.shape[-1]))
    scores = Q @ K.mT
    scores = scores if mask is None else scores.masked_fill(~mask, -math.inf)
    return _right_weights(scores, _column(sinks, scores)) @ V


def _mask(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    name = "architecture.masks.window_mask"
    return replacing("windowed_attention", name, "Your window ", id, function, diagnosis, hint, **options)


def _sink(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    name = "architecture.attention_variants.sink_attention"
    return replacing(
        "windowed_attention", name, "Your attention with a sink ", id, function, diagnosis, hint, **options
    )


MISCONCEPTIONS = (
    _mask(
        "window-one-wider",
        _masking(_one_more),
        "has one key too many: the query's own is one of its `window` keys.",
        "How many keys does the last query see, for a window of 1?",
        frequency="common",
    ),
    _mask(
        "window-one-narrower",
        _masking(_one_less),
        "has one key too few: the query's own is one of its `window` keys.",
        "How many keys does the last query see, for a window of 2?",
        frequency="common",
    ),
    _mask(
        "window-on-both-sides",
        _masking(_both_sides, hidden=_nothing_hidden),
        "reaches as far ahead as it reaches back, so that tokens see those after them.",
        "Print the mask of four tokens for a window of 2.",
        frequency="common",
    ),
    _mask(
        "blocks-not-windows",
        _masking(_in_blocks),
        "cuts the sequence into blocks, and a query sees only its own block.",
        "How many keys does the first query of the second block see?",
    ),
    _mask(
        "window-at-the-end",
        _masking(_from_the_end),
        "lies at the end of the sequence for every query.",
        "Print the mask of six tokens for a window of 2.",
        frequency="rare",
    ),
    _mask(
        "stride-from-position-zero",
        _masking(every=_from_position_zero),
        "counts its stride from position 0, and not from the query.",
        "Which keys beyond its window does the query at position 7 see, for a stride of 3?",
        frequency="common",
        forms=[_masking(every=_last_of_each_block)],
    ),
    _mask(
        "stride-within-window",
        _masking(both=torch.logical_and),
        "shows only those keys that are in the window and in the stride, and not those in either.",
        "How many keys may a stride take away from a window?",
    ),
    _mask(
        "ignores-stride",
        _masking(every=_never),
        "ignores its stride.",
        "Compare the masks for two strides.",
    ),
    _mask(
        "ignores-global-tokens",
        _masking(early=_never),
        "has no tokens that all see.",
        "Does the last query see the first key?",
    ),
    _mask(
        "one-global-token-more",
        _masking(early=_one_more_early),
        "has one token too many that all see.",
        "Which positions are the first three?",
    ),
    _mask(
        "global-tokens-seen-too-early",
        _future_of_early,
        "shows the first tokens also to those before them.",
        "Which keys does the query at position 0 see, with three tokens that all see?",
        frequency="common",
    ),
    _mask(
        "global-tokens-see-everything",
        _early_see_everything,
        "lets the first tokens see everything, also what comes after them.",
        "Which keys does the query at position 0 see, with three tokens that all see?",
    ),
    _mask(
        "global-tokens-only",
        _early_instead_of_window,
        "shows only the first tokens and the query's own where there are tokens that all see.",
        "How many keys may a token that all see take away from a window?",
        frequency="rare",
    ),
    _mask(
        "mask-inverted",
        _inverted,
        "gives a mask that is True where a key is hidden.",
        "What does True mean in scaled_dot_product_attention?",
        forms=[_as_bias],
    ),
    _mask(
        "takes-impossible-windows",
        _masking(checked=False),
        "takes a window of 0, with which a query sees nothing, and its softmax is NaN.",
        "What does attention give for a query that sees no key?",
    ),
    _sink(
        "without-sink",
        _weighing(_without_sink),
        "gives weights that add up to 1, as if there were no sink: it is missing, or added to every score, or the "
        "weights are divided by what is left once it was dropped.",
        "What is the sum of the weights of a query in the formula?",
        frequency="common",
        forms=[_weighing(_renormalised), _weighing(_added_to_scores)],
    ),
    _sink(
        "sink-without-exponential",
        _weighing(_as_weight),
        "adds the sink to the sum of exponentials, and not its exponential.",
        "Which sink is the same as none?",
        frequency="rare",
    ),
    _sink(
        "sink-is-zero",
        _weighing(_plus_one),
        "adds 1 to the sum of exponentials, which is a sink of 0 in every head.",
        "Do the sinks have a gradient after backward()?",
    ),
    _sink(
        "drops-the-wrong-weight",
        _weighing(_sink_first_dropped_last),
        "puts the sink first, and drops the last weight.",
        "Set the last value to zeros: should the output stay the same?",
        frequency="rare",
    ),
    _sink(
        "sink-divided",
        _scaled_sink,
        "divides its sinks by sqrt(d_k), too.",
        "Which terms does the formula divide?",
        frequency="common",
    ),
    _sink(
        "one-sink-for-all-heads",
        _one_sink,
        "uses the first head's sink for all heads.",
        "Change the last sink: which outputs change?",
    ),
    _sink(
        "scores-not-divided",
        _unscaled_scores,
        "does not divide its scores by sqrt(d_k).",
        "What does scaled dot-product attention divide by?",
    ),
    _sink(
        "ignores-mask",
        _ignores_mask,
        "ignores its mask.",
        "Change the last token: do the outputs before it stay the same?",
    ),
    _sink(
        "masks-after-softmax",
        _masks_after,
        "hides keys after the softmax, in whose sum they still are.",
        "With a sink of minus infinity, do the weights of a query add up to 1?",
        frequency="common",
    ),
    _sink(
        "overflows",
        _weighing(_unshifted),
        "takes the exponential of scores as they are, which overflows from 89 on in float32.",
        "What does it give for scores of 100?",
    ),
    _sink(
        "sink-not-in-maximum",
        _weighing(_shifted_by_scores_only),
        "takes the largest score away without looking at the sink, whose exponential may then overflow; and where a "
        "query sees no key, that score is minus infinity.",
        "What does it give for scores of 0 and a sink of 100? And for a query that sees no key?",
        frequency="common",
    ),
    _sink(
        "sinks-detached",
        _weighing(_detached_sink),
        "detaches its sinks, which then never learn.",
        "Do the sinks have a gradient after backward()?",
        frequency="rare",
    ),
    _sink(
        "changes-queries",
        _in_place,
        "divides its queries in place.",
        "Print Q before and after a call.",
        frequency="rare",
    ),
)
