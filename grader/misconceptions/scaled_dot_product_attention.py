"""How scaled dot-product attention goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .catalogue import Misconception
from .together import assembled

Scale = Callable[[Tensor, Tensor, Tensor], float]
Mask = Callable[[Tensor, Tensor], Tensor]


def _softmax(scores, dim=-1):
    exponentials = (scores - scores.detach().amax(dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


def _by_width(Q, K, V):
    return 1 / math.sqrt(Q.shape[-1])


def _closing(scores, mask):
    return scores.masked_fill(~mask, -math.inf)


@assembled
def _attending(
    scale: Scale = _by_width,
    close: Mask = _closing,
    normalise: Callable[[Tensor], Tensor] = _softmax,
    afterwards: Mask = lambda weights, mask: weights,
):
    """Attention with another scale, mask or softmax; `afterwards` gets the weights and the mask once more."""

    def attention(Q, K, V, mask=None):
        scores = Q @ K.transpose(-2, -1) * scale(Q, K, V)
        if mask is not None:
            scores = close(scores, mask)
        weights = normalise(scores)
        if mask is not None:
            weights = afterwards(weights, mask)
        return weights @ V

    return attention


def _right(Q, K, V, mask=None):
    return _attending()(Q, K, V, mask)


def _overflowing(scores):
    exponentials = scores.exp()
    return exponentials / exponentials.sum(-1, keepdim=True)


def _keeps_nothing(scores, mask):
    return scores


def _closing_with(value: float) -> Mask:
    return lambda scores, mask: scores.masked_fill(~mask, value)


def _zeroes_weights(weights, mask):
    return weights * mask


def _first_of_batch(scores, mask):
    while mask.ndim > 2:
        mask = mask[0]
    return _closing(scores, mask)


def _unbroadcast(scores, mask):
    if mask.shape != scores.shape:
        raise RuntimeError(f"mask {tuple(mask.shape)} for scores {tuple(scores.shape)}")
    return _closing(scores, mask)


def _heads_added(scores, mask):
    if mask.ndim < scores.ndim:
        mask = mask.reshape(mask.shape[0], *[1] * (scores.ndim - mask.ndim), *mask.shape[1:])
    return _closing(scores, mask)


def _causal_too(scores, mask):
    return _closing(scores, mask & torch.ones_like(mask).tril())


def _inverts_in_place(scores, mask):
    return scores.masked_fill(mask.logical_not_(), -math.inf)


def _needs_mask(Q, K, V, mask=None):
    return _attending()(Q, K, V, mask.bool())


def _scales_weights(Q, K, V, mask=None):
    return _right(Q * math.sqrt(Q.shape[-1]), K, V, mask) / math.sqrt(Q.shape[-1])


def _weights_only(Q, K, V, mask=None):
    return _right(Q, K, torch.eye(K.shape[-2]).expand(*K.shape[:-1], -1), mask)


def _swaps_queries_and_keys(Q, K, V, mask=None):
    if Q.shape != K.shape:
        return _right(Q, K, V, mask)
    return _right(K, Q, V, mask)


def _shape_of_queries(Q, K, V, mask=None):
    return _right(Q, K, V, mask).reshape(Q.shape)


def _three_or_four(Q, K, V, mask=None):
    if Q.ndim == 4:
        return torch.einsum("bhqk,bhkd->bhqd", _weights_only(Q, K, V, mask), V)
    return torch.bmm(_weights_only(Q, K, V, mask), V)


def _diagonal(Q, K, V, mask=None):
    if Q.shape[-2] != K.shape[-2]:
        return _right(Q, K, V, mask)
    scores = torch.einsum("...qd,...qd->...q", Q, K) / math.sqrt(Q.shape[-1])
    return _softmax(scores).unsqueeze(-1) * V


def _second_to_first(Q, K, V, mask=None):
    if K.ndim < 4 or len(set(K.shape)) > 1:
        return _right(Q, K, V, mask)
    scores = Q @ K.transpose(1, 2) / math.sqrt(Q.shape[-1])
    return _softmax(scores if mask is None else _closing(scores, mask)) @ V


def _scales_in_place(Q, K, V, mask=None):
    Q /= math.sqrt(Q.shape[-1])
    scores = Q @ K.transpose(-2, -1)
    return _softmax(scores if mask is None else _closing(scores, mask)) @ V


def _detaches_weights(Q, K, V, mask=None):
    return _right(Q.detach(), K.detach(), V, mask)


def _views(Q, K, V, mask=None):
    Q, K, V = (t.view(-1, *t.shape[-2:]) if t.ndim == 4 else t for t in (Q, K, V))
    return _right(Q, K, V, None if mask is None else mask.reshape(-1, *mask.shape[-2:]))


def _views_back(Q, K, V, mask=None):
    return _views(Q, K, V, mask).view(*Q.shape[:-1], V.shape[-1])


def _causal_by_default(Q, K, V, mask=None):
    if mask is None:
        mask = torch.ones(Q.shape[-2], K.shape[-2], dtype=torch.bool).tril()
    return _right(Q, K, V, mask)


def maximum_of_all_keys(Q, K, V, mask=None):
    """The row maximum is that of the closed keys, too: where it is theirs, all open ones may underflow."""
    scores = Q @ K.transpose(-2, -1) * _by_width(Q, K, V)
    exponentials = (scores - scores.amax(-1, keepdim=True)).exp()
    if mask is not None:
        exponentials = exponentials * mask
    return exponentials / exponentials.sum(-1, keepdim=True) @ V


def _first_keys_only(Q, K, V, mask=None):
    return _right(Q, K[..., :512, :], V[..., :512, :], None if mask is None else mask[..., :512])


def _in_float32(Q, K, V, mask=None):
    return _right(Q.float(), K.float(), V.float(), mask)


def _zeros_when_large(Q, K, V, mask=None):
    output = _right(Q, K, V, mask)
    return output if K.numel() <= 6000 else torch.zeros_like(output)


def _mask_of_four_dimensions(Q, K, V, mask=None):
    return _right(Q, K, V, None if mask is None else mask.view(1, 1, *mask.shape[-2:]))


def _attention(id, replacement, diagnosis, hint, frequency, throughout=False):
    """A misconception that replaces the whole function."""
    name = "attention.scaled_dot_product_attention"
    return Misconception(
        f"attention-{id}",
        "scaled_dot_product_attention",
        {name: replacement},
        diagnosis,
        hint,
        frequency,
        throughout=throughout,
    )


MISCONCEPTIONS = (
    _attention(
        "without-scale",
        _attending(scale=lambda Q, K, V: 1.0),
        diagnosis="Your attention does not divide the scores by sqrt(d_k).",
        hint="For vectors of 64 standard normal features, how large do scores become?",
        frequency="common",
    ),
    _attention(
        "scale-without-root",
        _attending(scale=lambda Q, K, V: 1 / Q.shape[-1]),
        diagnosis="Your attention divides the scores by d_k, not by its square root.",
        hint="With which power of d_k does the standard deviation of a score grow?",
        frequency="occasional",
    ),
    _attention(
        "multiplies-by-scale",
        _attending(scale=lambda Q, K, V: math.sqrt(Q.shape[-1])),
        diagnosis="Your attention multiplies the scores by sqrt(d_k) instead of dividing.",
        hint="Does the scale make scores larger or smaller?",
        frequency="rare",
    ),
    _attention(
        "scale-from-values",
        _attending(scale=lambda Q, K, V: 1 / math.sqrt(V.shape[-1])),
        diagnosis="Your attention computes its scale from the width of the values, not of the keys.",
        hint="Over which dimension does the product of query and key sum?",
        frequency="occasional",
    ),
    _attention(
        "scale-from-number-of-keys",
        _attending(scale=lambda Q, K, V: 1 / math.sqrt(K.shape[-2])),
        diagnosis="Your attention computes its scale from the number of keys, not from their width.",
        hint="Which dimension of K is d_k?",
        frequency="occasional",
    ),
    _attention(
        "scales-after-softmax",
        _scales_weights,
        diagnosis="Your attention divides by sqrt(d_k) after the softmax, so its weights do not add up to 1.",
        hint="What should come out when all values are 1?",
        frequency="rare",
        throughout=True,
    ),
    _attention(
        "softmax-over-queries",
        _attending(normalise=lambda scores: _softmax(scores, -2).nan_to_num()),
        diagnosis="Your attention takes the softmax over the queries, not over the keys.",
        hint="Along which dimension should the weights add up to 1?",
        frequency="occasional",
        throughout=True,
    ),
    _attention(
        "softmax-overflows",
        _attending(normalise=_overflowing),
        diagnosis="Your attention computes e^score directly, which overflows above 88 and gives NaN.",
        hint="Does it call your own softmax? What does it return for [1000., 1000.]?",
        frequency="occasional",
    ),
    _attention(
        "mask-inverted",
        _attending(close=lambda scores, mask: scores.masked_fill(mask, -1e9)),
        diagnosis="Your attention masks the keys whose mask is True and keeps those whose mask is False.",
        hint="Does True in the mask mean that a query may attend to a key, or that it may not?",
        frequency="common",
    ),
    _attention(
        "mask-ignored",
        _attending(close=_keeps_nothing),
        diagnosis="Your attention does not use the mask.",
        hint="Mask all keys but one: does the output equal the value of that key?",
        frequency="occasional",
    ),
    _attention(
        "mask-added-as-numbers",
        _attending(close=lambda scores, mask: scores + mask),
        diagnosis="Your attention adds the mask to the scores as 0 and 1.",
        hint="What must you add to a score so that its e^x is 0?",
        frequency="occasional",
    ),
    _attention(
        "mask-multiplied",
        _attending(close=lambda scores, mask: scores * mask),
        diagnosis=(
            "Your attention gives masked keys a score of 0 or almost 0 (a product with the mask, or 1e-9 "
            "for -1e9), which still counts."
        ),
        hint="What is e^0?",
        frequency="occasional",
    ),
    _attention(
        "mask-fills-too-little",
        _attending(close=_closing_with(-10.0)),
        diagnosis="Your attention gives masked keys a score of -10, which still lets a little through.",
        hint="What is e^-10, and how does it compare with a key whose score is -100?",
        frequency="rare",
    ),
    _attention(
        "mask-after-softmax",
        _attending(close=_keeps_nothing, afterwards=_zeroes_weights),
        diagnosis="Your attention sets masked weights to zero after the softmax, so the others do not add up to 1.",
        hint="What should come out when all values are 1?",
        frequency="occasional",
    ),
    _attention(
        "mask-of-first-sequence",
        _attending(close=_first_of_batch),
        diagnosis="Your attention uses the mask of the first sequence for the whole batch.",
        hint="Give two sequences different masks.",
        frequency="rare",
    ),
    _attention(
        "mask-always-causal",
        _attending(close=_causal_too),
        diagnosis="Your attention masks later keys even if the mask allows them.",
        hint="Whose task is the causal mask: this function's, or the task of the layer that calls it?",
        frequency="occasional",
    ),
    _attention(
        "mask-must-not-broadcast",
        _attending(close=_unbroadcast),
        diagnosis="Your attention takes only masks of exactly the shape of the scores.",
        hint="Which shapes does torch broadcast to [batch, heads, queries, keys]?",
        frequency="common",
    ),
    _attention(
        "mask-aligned-on-the-left",
        _attending(close=_heads_added),
        diagnosis=("Your attention aligns the mask's dimensions from the left, so it misreads a [queries, keys] mask."),
        hint="To which dimensions of [batch, heads, queries, keys] does a mask of shape [queries, keys] belong?",
        frequency="occasional",
    ),
    _attention(
        "mask-changed",
        _attending(close=_inverts_in_place),
        diagnosis="Your attention inverts the mask in place, so the next call sees the opposite.",
        hint="Print the mask before and after a call.",
        frequency="rare",
    ),
    _attention(
        "mask-required",
        _needs_mask,
        diagnosis="Your attention fails when there is no mask.",
        hint="Call it with mask=None.",
        frequency="common",
    ),
    _attention(
        "returns-weights",
        _weights_only,
        diagnosis="Your attention returns its weights instead of averaging the values with them.",
        hint="What shape should the output have?",
        frequency="rare",
        throughout=True,
    ),
    _attention(
        "queries-and-keys-swapped",
        _swaps_queries_and_keys,
        diagnosis="Your attention swaps queries and keys.",
        hint="Row i of the scores belongs to query i: does it come from Q[i] and all keys?",
        frequency="rare",
    ),
    _attention(
        "einsum-diagonal",
        _diagonal,
        diagnosis="Your einsum uses one label for queries and keys, which pairs query i with key i only.",
        hint="How many scores are there for 5 queries and 5 keys?",
        frequency="rare",
    ),
    _attention(
        "transposes-wrong-dimensions",
        _second_to_first,
        diagnosis=(
            "Your attention transposes the dimensions 1 and 2 of the keys; with a dimension for heads "
            "these are not the last two."
        ),
        hint="Which dimensions does K.transpose(1, 2) exchange when K is [batch, heads, keys, d_k]?",
        frequency="occasional",
    ),
    _attention(
        "output-shaped-like-queries",
        _shape_of_queries,
        diagnosis="Your attention gives its output the shape of the queries, which is right only if d_v = d_k.",
        hint="Which of the inputs gives the last dimension of the output?",
        frequency="rare",
    ),
    _attention(
        "three-or-four-dimensions-only",
        _three_or_four,
        diagnosis="Your attention takes only inputs of three or four dimensions.",
        hint='Try it on plain matrices. What does "..." in the signature stand for?',
        frequency="common",
    ),
    _attention(
        "scales-queries-in-place",
        _scales_in_place,
        diagnosis="Your attention divides the queries by sqrt(d_k) in place, so the caller's tensor changes.",
        hint="Print Q before and after a call.",
        frequency="occasional",
    ),
    _attention(
        "weights-are-detached",
        _detaches_weights,
        diagnosis="No gradient reaches queries and keys through your attention.",
        hint="Give Q requires_grad=True and call backward(): what is Q.grad?",
        frequency="rare",
    ),
    _attention(
        "views-strided-input",
        _views_back,
        diagnosis="Your attention calls view on its inputs, which fails when heads were split off by a transpose.",
        hint="Try it on x.transpose(1, 2).",
        frequency="occasional",
    ),
    _attention(
        "causal-by-default",
        _causal_by_default,
        diagnosis="Your attention is causal without a mask; without one, every query should see every key.",
        hint="Does the formula contain positions?",
        frequency="occasional",
    ),
    _attention(
        "mask-fills-hundred",
        _attending(close=_closing_with(-100.0)),
        diagnosis="Your attention gives masked keys a score of -100; unmasked keys may have lower scores.",
        hint="What is the output when the scores of all unmasked keys are -3000?",
        frequency="rare",
    ),
    _attention(
        "maximum-before-mask",
        maximum_of_all_keys,
        diagnosis=(
            "Your attention takes the row maximum before it masks: where a masked key has by far the largest score, "
            "all others underflow, and the row becomes 0 / 0."
        ),
        hint="What is e^(score - maximum) of the open keys in float32, if a masked key's score is 150 above theirs?",
        frequency="occasional",
    ),
    _attention(
        "first-keys-only",
        _first_keys_only,
        diagnosis="Your attention uses only the first 512 keys.",
        hint="Try 700 keys: does the last value have an effect?",
        frequency="rare",
    ),
    _attention(
        "result-in-float32",
        _in_float32,
        diagnosis="Your attention computes and returns float32, whatever its inputs' dtype.",
        hint="Compare the dtypes of input and output for float64 inputs.",
        frequency="occasional",
    ),
    _attention(
        "zeros-when-large",
        _zeros_when_large,
        diagnosis="Your attention returns zeros for large inputs.",
        hint="Try a few hundred keys.",
        frequency="rare",
    ),
    _attention(
        "mask-of-four-dimensions",
        _mask_of_four_dimensions,
        diagnosis="Your attention reshapes every mask to [1, 1, queries, keys], which fails for a mask per sequence.",
        hint="What happens with a mask of shape [batch, queries, keys]?",
        frequency="occasional",
        throughout=True,
    ),
)
