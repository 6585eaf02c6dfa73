"""How ALiBi goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from grader.reference.architecture import positions

from .catalogue import Misconception, replacing
from .together import assembled

_right = positions.alibi_slopes
Scores = Callable[[Tensor, Tensor, Tensor, float], Tensor]


def _powers(exponents: list[float]) -> Tensor:
    return torch.tensor([2.0**exponent for exponent in exponents])


def _checked(slopes: Callable[[int], Tensor]):
    def alibi_slopes(num_heads):
        _right(num_heads)
        return slopes(num_heads)

    return alibi_slopes


def _is_power(n: int) -> bool:
    return n & (n - 1) == 0


def _same_formula(n):
    return _powers([-8 * (k + 1) / n for k in range(n)])


def _of_higher_power(n):
    higher = 1 << (n - 1).bit_length()
    return _powers([-8 * (k + 1) / higher for k in range(n)])


def _next_ones(n):
    """The first of the higher power, and not every other one."""
    lower = 1 << (n.bit_length() - 1)
    return torch.cat([_right(lower), _powers([-8 * (k + 1) / (2 * lower) for k in range(n - lower)])])


def _repeats(n):
    lower = 1 << (n.bit_length() - 1)
    return _right(lower).repeat(2)[:n]


def _sorted(n):
    return _right(n).sort(descending=True).values


def _from_one(n):
    return _right(n) * 2.0 ** (8 / (1 << (n.bit_length() - 1)))


def _halves(n):
    return _powers([-(k + 1) for k in range(n)])


def _ascending(n):
    return _right(n).flip(0)


def _linear(n):
    return torch.linspace(0.5, 2**-8, n) if n > 1 else torch.tensor([2.0**-8])


def _unchecked(n):
    return _right(n) if n > 0 else torch.zeros(0)


# ------------------------------------------------------------------------------------------------------------


def _score(q: Tensor, slopes: Tensor, distance: Tensor, root: float) -> Tensor:
    return q / root - slopes * distance


def _causal(scores: Tensor, distance: Tensor) -> Tensor:
    return scores.masked_fill(distance < 0, -math.inf)


def _everything(scores: Tensor, distance: Tensor) -> Tensor:
    return scores


@assembled
def _attending(score: Scores = _score, masked: Callable[[Tensor, Tensor], Tensor] = _causal, slopes: Any = _right):
    """Attention with other scores: score(q k, slopes, distance, sqrt(d_k)); with another mask, or other slopes."""

    def alibi_attention(Q, K, V):
        position = torch.arange(Q.shape[-2])
        distance = position.unsqueeze(-1) - position
        # Through the module, so that wrong slopes show here, too.
        m = (positions.alibi_slopes if slopes is _right else slopes)(Q.shape[-3]).to(Q)[:, None, None]
        return torch.softmax(masked(score(Q @ K.mT, m, distance, math.sqrt(Q.shape[-1])), distance), -1) @ V

    return alibi_attention


def _grows(q, slopes, distance, root):
    return q / root + slopes * distance


def _divided_too(q, slopes, distance, root):
    return (q - slopes * distance) / root


def _undivided(q, slopes, distance, root):
    return q - slopes * distance


def _without_bias(q, slopes, distance, root):
    return q / root


def _multiplied(q, slopes, distance, root):
    return q / root * (1 - slopes * distance)


def _starts_at_one(q, slopes, distance, root):
    return q / root - slopes * distance * (distance > 1)


def _without_slopes(q, slopes, distance, root):
    return q / root - distance


def _squares(q, slopes, distance, root):
    return q / root - slopes * distance * distance.abs()


def _one_slope(n):
    return _right(n)[:1].expand(n)


def _symmetric(q, slopes, distance, root):
    return q / root - slopes * distance.abs()


def _both_directions(Q, K, V):
    return _attending(_symmetric, _everything)(Q, K, V)


def _from_the_end(Q, K, V):
    """The distance to the last token in the place of that to the query."""
    seq = Q.shape[-2]
    position = torch.arange(seq)
    slopes = positions.alibi_slopes(Q.shape[-3]).to(Q)[:, None, None]
    scores = Q @ K.mT / math.sqrt(Q.shape[-1]) * (1 + 0.01 * seq) + slopes * position
    return torch.softmax(_causal(scores, position.unsqueeze(-1) - position), -1) @ V


def _stays_float32(Q, K, V):
    return _attending()(Q.float(), K.float(), V.float())


def _in_place(Q, K, V):
    Q.div_(math.sqrt(Q.shape[-1]))
    return _attending(_undivided)(Q, K, V)


def _slopes(id: str, function: Callable[[int], Tensor], diagnosis: str, hint: str, **options: Any) -> Misconception:
    name = "architecture.positions.alibi_slopes"
    return replacing("alibi", name, "Your slopes ", id, _checked(function), diagnosis, hint, **options)


def _attention(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    name = "architecture.positions.alibi_attention"
    return replacing("alibi", name, "Your attention with linear biases ", id, function, diagnosis, hint, **options)


MISCONCEPTIONS = (
    _slopes(
        "one-formula-for-all-numbers",
        _same_formula,
        "follow the formula for powers of two for every number of heads.",
        "Compare the slopes of 6 heads with those of 4 and of 8.",
        frequency="common",
    ),
    _slopes(
        "those-of-higher-power",
        _of_higher_power,
        "are the first of the next higher power of two, where the lower power's come first.",
        "What are the first four slopes for 6 heads, and what are they for 4?",
        frequency="common",
    ),
    _slopes(
        "not-every-other-one",
        _next_ones,
        "go on with the first ones of the higher power of two, where every other one is asked for.",
        "Is any slope of yours there twice, for 6 heads?",
    ),
    _slopes(
        "repeated",
        _repeats,
        "begin anew where the lower power of two has no more.",
        "Is any slope of yours there twice, for 6 heads?",
        frequency="rare",
    ),
    _slopes(
        "sorted",
        _sorted,
        "are the right ones in falling order; those of the lower power of two come first.",
        "What are the first four slopes for 6 heads, and what are they for 4?",
        frequency="rare",
    ),
    _slopes(
        "begin-at-one",
        _from_one,
        "begin at 1, one step too early.",
        "What is the first slope for 8 heads?",
        frequency="common",
        throughout=True,
    ),
    _slopes(
        "always-halved",
        _halves,
        "are 1/2, 1/4, 1/8, ... for any number of heads; that is right for 8.",
        "What is the last slope for 16 heads?",
        frequency="common",
    ),
    _slopes(
        "ascending",
        _ascending,
        "are in the opposite order.",
        "Which head looks nearest?",
        frequency="rare",
        throughout=True,
    ),
    _slopes(
        "evenly-spaced",
        _linear,
        "are evenly spaced; they are a geometric sequence.",
        "What is the quotient of neighbouring slopes?",
        frequency="rare",
        throughout=True,
    ),
    replacing(
        "alibi",
        "architecture.positions.alibi_slopes",
        "Your slopes ",
        "of-no-heads",
        _unchecked,
        "for no heads are none, and not an error.",
        "What does a model do with no heads?",
        frequency="rare",
    ),
    _attention(
        "grows-with-distance",
        _attending(_grows),
        "adds to the score with the distance, where it should take away.",
        "Which key gets most of equal scores?",
    ),
    _attention(
        "bias-divided",
        _attending(_divided_too),
        "divides the bias by sqrt(d_k), too, as Falcon does.",
        "Which terms does the formula divide?",
        frequency="common",
    ),
    _attention(
        "scores-not-divided",
        _attending(_undivided),
        "does not divide its scores by sqrt(d_k).",
        "Which terms does the formula divide?",
    ),
    _attention(
        "without-bias",
        _attending(_without_bias),
        "has no bias.",
        "Exchange two keys: does the last output change?",
    ),
    _attention(
        "multiplies",
        _attending(_multiplied),
        "multiplies its scores by something that falls with the distance.",
        "What becomes of a score of 0?",
        frequency="rare",
    ),
    _attention(
        "nearest-key-free",
        _attending(_starts_at_one),
        "has no bias for the key next to the query's own.",
        "What is the bias at distance 1?",
        frequency="rare",
    ),
    _attention(
        "without-slopes",
        _attending(_without_slopes),
        "has a slope of 1 in every head.",
        "Compare the heads' weights for equal scores.",
    ),
    _attention(
        "squares-distance",
        _attending(_squares),
        "takes the square of the distance.",
        "What is the bias at distance 2, as a multiple of that at distance 1?",
        frequency="rare",
    ),
    _attention(
        "one-slope-for-all-heads",
        _attending(slopes=_one_slope),
        "uses the first slope in every head.",
        "Compare the heads' weights for equal scores.",
    ),
    _attention(
        "not-causal",
        _attending(masked=_everything),
        "lets tokens see those after them.",
        "Change the last token: do the outputs before it stay the same?",
        forms=[_both_directions],
    ),
    _attention(
        "depends-on-length",
        _from_the_end,
        "scales its scores by the length of the sequence.",
        "Do the outputs of the first tokens stay the same when more tokens follow?",
        frequency="rare",
    ),
    _attention(
        "result-in-float32",
        _stays_float32,
        "returns float32 whatever the dtype of its inputs.",
        "Compare the dtypes of input and output for float64.",
    ),
    _attention(
        "changes-queries",
        _in_place,
        "divides its queries in place.",
        "Print Q before and after a call.",
        frequency="rare",
    ),
)
