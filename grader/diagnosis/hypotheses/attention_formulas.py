"""RoPE, scaled dot-product attention and multi-head self-attention, and how they are changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .change import Change, Evaluation, Formula, FormulaStep, Given, normal

# RoPE


def _rope(
    do: Evaluation, d_k: int, theta: float, max_seq_len: int, in_query_or_key: Tensor, token_positions: Tensor
) -> Tensor:
    x = in_query_or_key
    pairs = torch.arange(x.shape[-1] // 2, dtype=torch.float64)
    frequencies = do.frequencies(do.exponents(pairs, d_k), do.base(theta))
    angles = do.angles(do.positions(token_positions, x).double(), frequencies)
    return do.turned(x, angles.cos(), angles.sin())


def _draw_rope(generator: torch.Generator) -> Sequence[Given]:
    return [
        {
            "d_k": d_k,
            "theta": 300.0,
            "max_seq_len": 24,
            "in_query_or_key": normal(generator, *shape, d_k),
            "token_positions": positions,
        }
        for shape, d_k, positions in (
            ((2, 5), 8, torch.arange(5)),
            ((3, 5), 8, torch.tensor([3, 1, 7, 4, 12])),
            ((2, 3, 4), 12, torch.tensor([2, 3, 9, 5])),
        )
    ]


def _pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 0::2], x[..., 1::2]


def _neighbours(first: Tensor, second: Tensor) -> Tensor:
    return torch.stack((first, second), -1).flatten(-2)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = _pairs(x)
    return _neighbours(a * cos - b * sin, a * sin + b * cos)


def _halves(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


def _by(
    split: Callable[[Tensor], Any], join: Callable[[Tensor, Tensor], Tensor], first: Callable, second: Callable
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A turn whose two features are functions of (a, b, cos, sin)."""

    def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        a, b = split(x)
        return join(first(a, b, cos, sin), second(a, b, cos, sin))

    return turn


def _with_table(
    of_pairs: bool, turned: Callable[[Tensor], Tensor], sign: int = 1
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """x cos + turned(x) sin, with every cos twice: next to each other (`of_pairs`), or as two whole rows."""

    def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        cos, sin = (t.repeat_interleave(2, -1) if of_pairs else torch.cat((t, t), -1) for t in (cos, sin))
        return x * cos + sign * turned(x) * sin

    return turn


def _turned_pairs(x: Tensor) -> Tensor:
    a, b = _pairs(x)
    return _neighbours(-b, a)


def _turned_halves(x: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat((-b, a), -1)


def _halves_in_order(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat((a, b), -1)


def _two_halves(x: Tensor) -> tuple[Tensor, ...]:
    return x.chunk(2, -1)


def _a(a: Tensor, b: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return a * cos - b * sin


def _b(a: Tensor, b: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return a * sin + b * cos


def _partly(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    part = cos.shape[-1] // 2
    return torch.cat((_turn(x[..., : 2 * part], cos[..., :part], sin[..., :part]), x[..., 2 * part :]), -1)


def _counted_along(dim: int) -> Callable[[Tensor, Tensor], Tensor]:
    def positions(_: Tensor, x: Tensor) -> Tensor:
        at = dim if dim < 0 else dim - x.ndim
        if at >= -1:
            raise ValueError("these are the features")
        counted = torch.arange(x.shape[at])
        return counted.reshape([-1 if i == at else 1 for i in range(-x.ndim, -1)])

    return positions


def _lined_up_with_sequences(positions: Tensor, x: Tensor) -> Tensor:
    if positions.ndim < 2:
        raise ValueError("one row for all")
    return positions


_TURNS: tuple[tuple[Callable[[Tensor, Tensor, Tensor], Tensor], str], ...] = (
    (_halves, "RoPE pairs feature k with feature k + d_k/2 (halves), and not neighbours 2k and 2k + 1"),
    (lambda x, cos, sin: _turn(x, cos, -sin), "RoPE turns the other way: the minus sign is at the wrong sine"),
    (lambda x, cos, sin: _halves(x, cos, -sin), "RoPE pairs halves instead of neighbours, and turns the other way"),
    (
        _by(_pairs, _halves_in_order, _a, _b),
        "RoPE turns neighbouring features, but puts all first ones of the pairs before all second ones",
    ),
    (
        _by(_two_halves, _neighbours, _a, _b),
        "RoPE pairs halves, and writes the results back as neighbours",
    ),
    (
        _by(_pairs, _neighbours, _a, lambda a, b, c, s: b * c - a * s),
        "both sines have a minus sign, so that pairs are not turned",
    ),
    (
        _by(_pairs, _neighbours, lambda a, b, c, s: a * c + b * s, _b),
        "no sine has a minus sign, so that pairs are not turned",
    ),
    (lambda x, cos, sin: _turn(x, sin, cos), "sine and cosine are swapped"),
    (
        _by(_pairs, _neighbours, _a, lambda a, b, c, s: (a * c - b * s) * s + b * c),
        "the first feature of a pair is overwritten before the second one is computed from it",
    ),
    (
        _by(_pairs, _neighbours, lambda a, b, c, s: a * c - (a * s + b * c) * s, _b),
        "the second feature of a pair is overwritten before the first one is computed from it",
    ),
    (
        _with_table(False, _turned_pairs),
        "neighbours form the pairs, but cos and sin are repeated as whole rows (c0 c1 c0 c1), so that the two features "
        "of a pair are turned by different angles",
    ),
    (
        _with_table(True, _turned_halves),
        "feature k is paired with k + d_k/2, but each cos and sin is repeated for neighbours (c0 c0 c1 c1)",
    ),
    (
        _with_table(True, lambda x: x.flip(-1)),
        "the features are reversed as a whole where only those of each pair should change places",
    ),
    (
        _with_table(True, lambda x: _neighbours(_pairs(x)[1], _pairs(x)[0])),
        "no sine has a minus sign, so that pairs are not turned",
    ),
    (_with_table(True, lambda x: x), "every feature is multiplied by cos + sin, and pairs are not mixed"),
    (_with_table(False, lambda x: torch.cat(x.chunk(2, -1)[::-1], -1)), "halves change places without a minus sign"),
    (_with_table(True, lambda x: x.roll(1, -1)), "every feature is mixed with the one before it, not with its partner"),
    (_with_table(True, lambda x: x.roll(-1, -1)), "every feature is mixed with the one after it"),
    (lambda x, cos, sin: x * cos.repeat_interleave(2, -1), "the terms with the sine are left out: only cos remains"),
    (lambda x, cos, sin: _turned_pairs(x) * sin.repeat_interleave(2, -1), "the terms with the cosine are left out"),
    (lambda x, cos, sin: x, "nothing is turned: the output is the input"),
    (_partly, "only the first half of the features is turned"),
    (lambda x, cos, sin: x + _turn(x, cos, sin), "the input is added to what RoPE gives"),
    (lambda x, cos, sin: _turn(_turn(x, cos, sin), cos, sin), "RoPE is applied twice"),
    (
        lambda x, cos, sin: x + _neighbours(sin.expand_as(x[..., ::2]), cos.expand_as(x[..., ::2])),
        "sines and cosines are added to the input, as in the original Transformer, and nothing is turned",
    ),
    (
        lambda x, cos, sin: x + torch.cat((sin.expand_as(x[..., ::2]), cos.expand_as(x[..., ::2])), -1),
        "sines and cosines are added to the input, and nothing is turned",
    ),
    (
        lambda x, cos, sin: _turn(x, cos.bfloat16().double(), sin.bfloat16().double()),
        "sines and cosines are rounded to bfloat16",
    ),
    (
        lambda x, cos, sin: _turn(x, cos.half().double(), sin.half().double()),
        "sines and cosines are rounded to float16",
    ),
    (lambda x, cos, sin: _neighbours(_pairs(x)[1], _pairs(x)[0]), "neighbours only change places"),
    (lambda x, cos, sin: _turn(x.detach(), cos, sin), "no gradient passes RoPE"),
)

_POSITIONS: tuple[tuple[Callable[[Tensor, Tensor], Tensor], str], ...] = (
    (_counted_along(-2), "RoPE takes the positions 0, 1, 2 and so on, whatever positions are given"),
    (lambda p, x: p + 1, "positions are counted from 1: every one is 1 too high"),
    (lambda p, x: p - 1, "every position is 1 too low"),
    (lambda p, x: torch.zeros_like(p), "every position is taken for 0, so that nothing is turned"),
    (lambda p, x: p - p.min(), "the smallest position is subtracted from all"),
    (lambda p, x: p.reshape(-1)[0] + torch.arange(x.shape[-2]), "positions count up from the first one"),
    (lambda p, x: p.reshape(-1, p.shape[-1])[0], "the first row of the positions serves for all sequences"),
    (lambda p, x: p.reshape(-1)[:1], "the first position serves for the whole sequence"),
    (lambda p, x: p.reshape(-1)[-1:], "the last position serves for the whole sequence"),
    (_counted_along(1), "positions are counted along the second dimension (the heads), not along the sequence"),
    (_counted_along(0), "positions are counted along the first dimension (the batch), not along the sequence"),
    (_lined_up_with_sequences, "positions of a batch are lined up with another dimension of x"),
    (lambda p, x: p.sort(-1).values, "the positions are sorted"),
    (lambda p, x: p.flip(-1), "the positions are taken from back to front"),
    (lambda p, x: p.max() - p, "positions are counted from the end"),
    (lambda p, x: x.shape[-2] - 1 - p, "positions are counted from the end of the sequence"),
    (lambda p, x: p * 2, "positions are doubled"),
    (lambda p, x: p.double() / x.shape[-2], "positions are divided by the length of the sequence"),
    (lambda p, x: p.roll(1, -1), "positions are shifted by one place against their vectors"),
    (lambda p, x: p.roll(-1, -1), "positions are shifted by one place against their vectors"),
    (lambda p, x: p.bfloat16().double(), "positions are rounded to bfloat16"),
    *(
        (lambda p, x, most=most: p.clamp(max=most), f"positions beyond {most} are taken for {most}")
        for most in (511, 1023, 2047, 4095, 8191)
    ),
)

_EXPONENTS: tuple[tuple[Callable[[Tensor, int], Tensor], str], ...] = (
    (lambda k, d: k / d, "the exponent of pair k is k / d_k instead of 2k / d_k"),
    (lambda k, d: 4 * k / d, "the exponent is 4k / d_k instead of 2k / d_k: doubled twice, or divided by d_k / 2"),
    (lambda k, d: 2 * (k + 1) / d, "the exponent is 2(k + 1) / d_k: pairs are counted from 1"),
    (lambda k, d: 2 * (k - 1) / d, "the exponent is (2k - 2) / d_k, with k counted from 0"),
    (lambda k, d: (2 * k + 1) / d, "the exponent is (2k + 1) / d_k: that of the second feature of each pair"),
    (lambda k, d: -2 * k / d, "the exponent has the wrong sign: later pairs turn faster"),
    (lambda k, d: 0 * k, "every pair is turned by the same angle"),
    (lambda k, d: k, "the exponent is not divided by d_k"),
    (lambda k, d: 2 * k, "the exponent is not divided by d_k"),
    (lambda k, d: (2 * k / d).flip(-1), "the frequencies are in the reverse order"),
    (lambda k, d: (k + 1) / d, "the exponent is (k + 1) / d_k"),
    (lambda k, d: 2 * k / (d - 2) if d > 2 else k, "the exponents run up to 1: they are divided by d_k - 2"),
    (lambda k, d: k / (d - 1), "the exponent is k / (d_k - 1)"),
    (
        lambda k, d: torch.arange(0, 2 * len(k), 2).double().repeat(1)[: len(k)] // d,
        "the exponent is divided as an integer",
    ),
)


def _rope_changes() -> tuple[Change, ...]:
    return (
        *(Change("turned", function, words) for function, words in _TURNS[:8]),
        *(Change("positions", function, words) for function, words in _POSITIONS[:3]),
        *(Change("exponents", function, words) for function, words in _EXPONENTS),
        Change("base", lambda theta: 10000.0, "the base is always 10000, whatever theta is"),
        Change("base", lambda theta: 1000.0, "the base is always 1000, whatever theta is"),
        Change("base", lambda theta: 100000.0, "the base is always 100000, whatever theta is"),
        Change("base", lambda theta: 500000.0, "the base is always 500000, whatever theta is"),
        Change("base", lambda theta: 1 / theta, "the base is 1 / theta: later pairs turn faster"),
        Change(
            "frequencies", lambda e, theta: 1 / (theta * e + 1), "theta is multiplied by the exponent, not raised to it"
        ),
        Change("frequencies", lambda e, theta: theta**-e * 2 * math.pi, "angles are multiplied by 2π"),
        Change("frequencies", lambda e, theta: theta**-e * math.pi, "angles are multiplied by π"),
        Change("frequencies", lambda e, theta: (-e * math.log10(theta)).exp(), "the logarithm of theta has base 10"),
        Change("frequencies", lambda e, theta: (-e * math.log2(theta)).exp(), "the logarithm of theta has base 2"),
        Change("frequencies", lambda e, theta: (theta**-e).bfloat16().double(), "frequencies are rounded to bfloat16"),
        Change("frequencies", lambda e, theta: (theta**-e).half().double(), "frequencies are rounded to float16"),
        Change("angles", lambda p, f: p.unsqueeze(-1) * f / 2, "every angle is halved"),
        Change("angles", lambda p, f: p.unsqueeze(-1) * f * math.pi / 180, "angles are converted from degrees"),
        Change("angles", lambda p, f: p.unsqueeze(-1) + f, "position and frequency are added, not multiplied"),
        Change("angles", lambda p, f: p.unsqueeze(-1) / f, "positions are divided by the frequency"),
        Change("angles", lambda p, f: (p.unsqueeze(-1) * f).bfloat16().double(), "angles are rounded to bfloat16"),
        Change("angles", lambda p, f: (p.unsqueeze(-1) * f).half().double(), "angles are rounded to float16"),
        *(Change("turned", function, words) for function, words in _TURNS[8:]),
        *(Change("positions", function, words) for function, words in _POSITIONS[3:]),
    )


ROPE = Formula(
    "run_rope",
    _rope,
    {
        "positions": FormulaStep("the positions", lambda p, x: p),
        "exponents": FormulaStep("2k / d_k", lambda k, d: 2 * k / d),
        "base": FormulaStep("theta", lambda theta: theta),
        "frequencies": FormulaStep("the frequencies", lambda e, theta: theta**-e),
        "angles": FormulaStep("the angles", lambda p, f: p.unsqueeze(-1) * f),
        "turned": FormulaStep("the turned vectors", _turn),
    },
    _rope_changes(),
    _draw_rope,
    "RoPE",
)


# Scaled dot-product attention


def _attention(do: Evaluation, Q: Tensor, K: Tensor, V: Tensor, mask: Tensor | None = None) -> Tensor:
    scores = do.scaled(do.scores(Q, K), Q, K, V)
    masked = do.masked(scores, do.mask(mask, scores))

    def softmax(dim: int, of: Tensor = masked) -> Tensor:
        return do.part("run_softmax", in_features=of, dim=dim)

    weights = do.weights(masked, softmax, scores, mask, math.sqrt(Q.shape[-1]))
    return do.averaged(do.kept(weights, mask, Q, V), V, K, Q)


def _draw_attention(generator: torch.Generator) -> Sequence[Given]:
    def given(*leading: int, queries: int, keys: int, d_k: int, d_v: int) -> Given:
        mask = torch.rand(*leading, queries, keys, generator=generator) < 0.5
        some = torch.arange(queries)
        mask[..., some, some % keys], mask[..., some, (some + 1) % keys] = True, False
        return {
            "Q": normal(generator, *leading, queries, d_k, scale=1.5),
            "K": normal(generator, *leading, keys, d_k, scale=1.5),
            "V": normal(generator, *leading, keys, d_v),
            "mask": mask,
        }

    plain = given(2, queries=4, keys=5, d_k=6, d_v=6)
    along = torch.ones(6) / 6
    low = plain | {"Q": plain["Q"] + 60 * along, "K": plain["K"] - 60 * along}  # every score is far below 0
    narrow = given(2, queries=3, keys=4, d_k=8, d_v=5)
    return plain, given(4, 4, queries=4, keys=4, d_k=4, d_v=4), low, narrow


def _filled(value: float) -> Callable[[Tensor, Tensor | None], Tensor]:
    return lambda scores, mask: scores if mask is None else scores.masked_fill(~mask, value)


def _added(value: float) -> Callable[[Tensor, Tensor | None], Tensor]:
    return lambda scores, mask: scores if mask is None else scores + value * ~mask


def _with(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor | None], Tensor]:
    """What a change does with a mask; without one nothing."""
    return lambda scores, mask: scores if mask is None else function(scores, mask)


def _causal(scores: Tensor, diagonal: int = 0) -> Tensor:
    return torch.ones(scores.shape[-2:], dtype=torch.bool).tril(diagonal)


def _keys_of_first_query(mask: Tensor | None, scores: Tensor) -> Tensor | None:
    return None if mask is None else mask[..., :1, :]


def _transposed_mask(mask: Tensor | None, scores: Tensor) -> Tensor | None:
    return None if mask is None else mask.transpose(-1, -2)


def _mask_of_first(mask: Tensor | None, scores: Tensor) -> Tensor | None:
    return None if mask is None else mask.reshape(-1, *mask.shape[-2:])[0]


def _left_aligned(mask: Tensor | None, scores: Tensor) -> Tensor | None:
    return None if mask is None else mask.reshape(*mask.shape, *[1] * (scores.ndim - mask.ndim))


def _product(weights: Tensor, V: Tensor, K: Tensor, Q: Tensor) -> Tensor:
    return weights @ V


def _scale(factor: Callable[[Tensor, Tensor, Tensor], float]) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    return lambda scores, Q, K, V: scores * factor(Q, K, V)


_MASKS: tuple[Change, ...] = (
    Change("mask", lambda mask, scores: None, "the mask is not used"),
    Change(
        "mask",
        lambda mask, scores: None if mask is None else ~mask,
        "the mask is the wrong way round: keys where it is True are closed, and those where it is False are open",
    ),
    *(
        Change("masked", _filled(value), f"closed keys get a score of {value:g} and not minus infinity")
        for value in (0.0, -100.0, -10.0, -1.0, -1000.0, -1e4, -50.0, -20.0, -1e5)
    ),
    Change("masked", _with(lambda scores, mask: scores + mask), "the mask is added to the scores as 1 and 0"),
    Change(
        "masked", _with(lambda scores, mask: scores * mask), "the scores are multiplied by the mask: closed keys get 0"
    ),
    *(
        Change(
            "masked",
            _added(value),
            f"{value:g} is added to the scores of closed keys, and not minus infinity",
        )
        for value in (-1.0, -10.0, -100.0, -1e3, -1e4)
    ),
    Change(
        "masked",
        _with(lambda scores, mask: scores + torch.where(mask, -torch.inf, 0.0)),
        "minus infinity is added where the mask is True, and not where it is False",
    ),
    Change(
        "masked",
        _with(lambda scores, mask: scores + (~mask).double() * -torch.inf),
        "(1 - mask) is multiplied by minus infinity, and 0 times infinity is NaN",
    ),
    Change("mask", lambda mask, scores: _causal(scores), "the mask is always causal, whatever mask is given"),
    Change(
        "mask",
        lambda mask, scores: _causal(scores) if mask is None else _causal(scores) & mask,
        "later keys are closed even where the mask leaves them open",
    ),
    Change("mask", _transposed_mask, "the mask is transposed: queries and keys are swapped"),
    Change("mask", _mask_of_first, "the mask of the first sequence serves for all"),
    Change("mask", _keys_of_first_query, "the mask of the first query serves for all queries"),
    Change("mask", _left_aligned, "the mask's dimensions are lined up from the left"),
    Change(
        "weights",
        lambda masked, softmax, scores, mask, root: softmax(-1, scores) * (1 if mask is None else mask),
        "the weights of closed keys are set to 0 after the softmax, so that the others no longer add up to 1",
    ),
    Change(
        "weights",
        lambda masked, softmax, scores, mask, root: softmax(-1, scores).masked_fill(
            torch.zeros_like(scores).bool() if mask is None else ~mask, -torch.inf
        ),
        "minus infinity is put in after the softmax and not before it",
    ),
    Change(
        "weights",
        lambda masked, softmax, scores, mask, root: softmax(-1, masked * root) / root,
        "the division by √d_k comes after the softmax and not before it, so that weights do not add up to 1",
    ),
)

ATTENTION = Formula(
    "run_scaled_dot_product_attention",
    _attention,
    {
        "scores": FormulaStep("the scores Q Kᵀ", lambda Q, K: Q @ K.transpose(-1, -2)),
        "scaled": FormulaStep("the scaled scores Q Kᵀ / √d_k", lambda scores, Q, K, V: scores / math.sqrt(Q.shape[-1])),
        "mask": FormulaStep("the mask", lambda mask, scores: mask),
        "masked": FormulaStep("the masked scores", _filled(-torch.inf)),
        "weights": FormulaStep("the weights softmax(Q Kᵀ / √d_k)", lambda masked, softmax, *_: softmax(-1)),
        "kept": FormulaStep("the attention weights", lambda weights, mask, Q, V: weights),
        "averaged": FormulaStep("the weights times V", _product),
    },
    (
        Change("scaled", _scale(lambda Q, K, V: 1.0), "the scores are not divided by √d_k"),
        Change("scaled", _scale(lambda Q, K, V: 1 / Q.shape[-1]), "the scores are divided by d_k instead of √d_k"),
        Change(
            "scaled", _scale(lambda Q, K, V: Q.shape[-1] ** 0.5), "the scores are multiplied by √d_k and not divided"
        ),
        Change("scaled", _scale(lambda Q, K, V: V.shape[-1] ** -0.5), "the scores are divided by √d_v instead of √d_k"),
        Change(
            "scaled", _scale(lambda Q, K, V: Q.shape[-1] ** -0.25), "the scores are divided by the fourth root of d_k"
        ),
        Change(
            "scaled",
            _scale(lambda Q, K, V: K.shape[-2] ** -0.5),
            "the scores are divided by the root of the number of keys, not of their width",
        ),
        Change(
            "scaled",
            _scale(lambda Q, K, V: Q.shape[-2] ** -0.5),
            "the scores are divided by the root of the number of queries, not of their width",
        ),
        Change(
            "scaled", _scale(lambda Q, K, V: Q.shape[0] ** -0.5), "the scores are divided by the root of the batch size"
        ),
        Change(
            "scaled",
            _scale(lambda Q, K, V: Q.shape[1] ** -0.5),
            "the scores are divided by the root of the second size of Q",
        ),
        Change(
            "scaled", _scale(lambda Q, K, V: Q.shape[-1] ** -1.5), "the scores are divided by d_k √d_k: scaled twice"
        ),
        Change("scaled", _scale(lambda Q, K, V: Q.shape[-1] ** -2.0), "the scores are divided by d_k²"),
        Change("scaled", _scale(lambda Q, K, V: -(Q.shape[-1] ** -0.5)), "the scores have the wrong sign"),
        *_MASKS,
        Change("weights", lambda masked, softmax, *_: softmax(-2), "softmax goes over the queries, not over the keys"),
        Change("weights", lambda masked, softmax, *_: softmax(0), "softmax goes over the batch, not over the keys"),
        Change(
            "weights",
            lambda masked, softmax, *_: softmax(1),
            "softmax goes along the second dimension, not over the keys",
        ),
        Change("weights", lambda masked, softmax, *_: softmax(-3), "softmax goes over the heads, not over the keys"),
        Change("weights", lambda masked, softmax, *_: masked, "softmax is left out"),
        Change("weights", lambda masked, softmax, *_: softmax(-1).detach(), "no gradient passes the weights"),
        Change("weights", lambda masked, softmax, *_: torch.sigmoid(masked), "the sigmoid is taken instead of softmax"),
        Change("weights", lambda masked, softmax, *_: masked.relu(), "ReLU is taken instead of softmax"),
        Change("weights", lambda masked, softmax, *_: softmax(-1).transpose(-1, -2), "the weights are transposed"),
        Change("weights", lambda masked, softmax, *_: softmax(-1).softmax(-1), "softmax is applied twice"),
        Change("weights", lambda masked, softmax, *_: softmax(-1).log(), "log softmax is taken instead of softmax"),
        Change("weights", lambda masked, softmax, *_: masked.exp(), "e^score is not divided by its sum"),
        Change(
            "weights",
            lambda masked, softmax, *_: torch.nn.functional.one_hot(masked.argmax(-1), masked.shape[-1]).double(),
            "only the key with the highest score is taken",
        ),
        Change(
            "kept",
            lambda weights, mask, Q, V: weights / math.sqrt(Q.shape[-1]),
            "the weights are divided by √d_k after the softmax, so that they do not add up to 1",
        ),
        Change("kept", lambda weights, mask, Q, V: weights.nan_to_num(0.0), "NaN is replaced by 0"),
        Change(
            "kept", lambda weights, mask, Q, V: weights * math.sqrt(Q.shape[-1]), "the weights are multiplied by √d_k"
        ),
        Change(
            "kept",
            lambda weights, mask, Q, V: weights / weights.shape[-1],
            "the weights are divided by the number of keys",
        ),
        Change("averaged", lambda weights, V, K, Q: weights, "the weights are returned: the product with V is missing"),
        Change("averaged", lambda weights, V, K, Q: V, "the values are returned as they are"),
        Change("averaged", lambda weights, V, K, Q: weights @ K, "the keys are averaged and not the values"),
        Change("averaged", lambda weights, V, K, Q: weights @ Q, "the queries are averaged and not the values"),
        Change(
            "averaged",
            lambda weights, V, K, Q: weights.transpose(-1, -2) @ V,
            "the weights are transposed before they meet V",
        ),
        Change(
            "averaged",
            lambda weights, V, K, Q: weights @ V.transpose(-1, -2),
            "V is transposed before it meets the weights",
        ),
        Change(
            "averaged",
            lambda weights, V, K, Q: weights.sum(-1, keepdim=True) * V,
            "the weights are multiplied with V element by element",
        ),
        Change("averaged", lambda weights, V, K, Q: weights @ V + Q, "the queries are added to the output"),
        Change("averaged", lambda weights, V, K, Q: (weights @ V).transpose(-1, -2), "the output is transposed"),
        Change(
            "averaged", lambda weights, V, K, Q: (weights @ V) / math.sqrt(V.shape[-1]), "the output is divided by √d_v"
        ),
        Change("scores", lambda Q, K: K @ Q.transpose(-1, -2), "queries and keys are swapped in the scores: K Qᵀ"),
        Change("scores", lambda Q, K: Q @ K, "Q is multiplied by K and not by its transpose"),
        Change(
            "scores", lambda Q, K: Q.transpose(-1, -2) @ K, "Qᵀ K is taken: features are compared and not positions"
        ),
        Change("scores", lambda Q, K: Q @ Q.transpose(-1, -2), "the queries are compared with themselves: Q Qᵀ"),
        Change("scores", lambda Q, K: K @ K.transpose(-1, -2), "the keys are compared with themselves: K Kᵀ"),
        Change(
            "scores",
            lambda Q, K: Q @ K.movedim(1, 2).reshape(*K.shape[:-2], K.shape[-1], K.shape[-2]),
            "dimensions 1 and 2 of K are swapped, which are its last two only without heads",
        ),
        Change(
            "scores",
            lambda Q, K: Q @ K.reshape(*K.shape[:-2], K.shape[-1], K.shape[-2]),
            "K is reshaped to [d_k, keys] instead of transposed",
        ),
        Change("scores", lambda Q, K: -torch.cdist(Q, K), "the distance is taken instead of the dot product"),
        Change(
            "scores",
            lambda Q, K: (
                torch.nn.functional.normalize(Q, dim=-1) @ torch.nn.functional.normalize(K, dim=-1).transpose(-1, -2)
            ),
            "the vectors are normalised before their dot product is taken",
        ),
        Change(
            "scores",
            lambda Q, K: (Q * K).sum(-1, keepdim=True).expand(*Q.shape[:-1], K.shape[-2]),
            "query i meets key i only",
        ),
    ),
    _draw_attention,
    "attention",
    {"Q": "Q", "K": "K", "V": "V"},
    (Change("masked", _filled(-1e9), "closed keys get a score of -1e9"),),
    ("run_softmax",),
)


# Multi-head self-attention


def _multihead(
    do: Evaluation,
    d_model: int,
    num_heads: int,
    q_proj_weight: Tensor,
    k_proj_weight: Tensor,
    v_proj_weight: Tensor,
    o_proj_weight: Tensor,
    in_features: Tensor,
    max_seq_len: int = 0,
    theta: float | None = None,
    token_positions: Tensor | None = None,
) -> Tensor:
    heads, d_k, seq = do.number_of_heads(num_heads), d_model // num_heads, in_features.shape[-2]
    positions = do.told_positions(torch.arange(seq) if token_positions is None else token_positions, seq)

    def rotate(z: Tensor, base: float | None = theta, width: int = 0) -> Tensor:
        if base is None:
            return z
        own = positions.unsqueeze(-2) if z.ndim > in_features.ndim and positions.ndim > 1 else positions
        return do.part(
            "run_rope",
            d_k=do.rope_width(width or z.shape[-1], d_model),
            theta=base,
            max_seq_len=max(max_seq_len, int(positions.max()) + 1),
            in_query_or_key=z,
            token_positions=own,
        )

    splits, merges = do.layout(_split, _merge)

    def split(z: Tensor) -> Tensor:
        return do.split(z, heads) if splits is _split else splits(z, heads)

    x = do.features(in_features, rotate)
    weights = {"q": q_proj_weight, "k": k_proj_weight, "v": v_proj_weight}
    own = {name: do.projected(x, weight) for name, weight in weights.items()}
    q, k, v = (do.in_heads(z, name, split, rotate) for name, z in own.items())
    attended = do.part(
        "run_scaled_dot_product_attention",
        Q=do.queries(q, d_k, d_model, num_heads),
        K=k,
        V=v,
        mask=do.causal(seq, positions),
    )
    merged = do.merged(attended, heads) if merges is _merge else merges(attended, heads)
    return do.mixed(merged, o_proj_weight, in_features)


def _split(z: Tensor, heads: int) -> Tensor:
    return z.unflatten(-1, (heads, -1)).transpose(-2, -3)


def _merge(z: Tensor, heads: int) -> Tensor:
    return z.transpose(-2, -3).flatten(-2)


def _in_heads(z: Tensor, name: str, split: Any, rotate: Any) -> Tensor:
    return split(z) if name == "v" else rotate(split(z))


def _rotating(*names: str) -> Callable[..., Tensor]:
    return lambda z, name, split, rotate: rotate(split(z)) if name in names else split(z)


def _straight_split(z: Tensor, heads: int) -> Tensor:
    return z.reshape(*z.shape[:-2], heads, z.shape[-2], -1)


def _triangle(diagonal: int, below: bool = True) -> Callable[..., Tensor]:
    def mask(seq: int, positions: Tensor) -> Tensor:
        ones = torch.ones(seq, seq, dtype=torch.bool)
        return ones.tril(diagonal) if below else ones.triu(diagonal)

    return mask


def _reversed_heads(z: Tensor, heads: int) -> Tensor:
    return _split(z, heads).flip(-3)


def _straight_merge(z: Tensor, heads: int) -> Tensor:
    return z.reshape(*z.shape[:-3], z.shape[-2], -1)


def _interleaved_split(z: Tensor, heads: int) -> Tensor:
    return z.unflatten(-1, (-1, heads)).movedim(-1, -3)


def _interleaved_merge(z: Tensor, heads: int) -> Tensor:
    return z.movedim(-3, -1).flatten(-2)


_HEADS: tuple[Change, ...] = (
    Change(
        "split",
        _straight_split,
        "heads are split off by a reshape to [..., heads, seq, d_k], without a transposition, which mixes tokens",
    ),
    Change(
        "merged",
        lambda z, heads: z.reshape(*z.shape[:-3], z.shape[-2], -1),
        "heads are merged by a reshape alone, without moving them next to d_v first, which mixes tokens",
    ),
    Change(
        "split",
        lambda z, heads: z.unflatten(-1, (-1, heads)).movedim(-1, -3),
        "a head takes every num_heads-th feature, and not d_k consecutive ones",
    ),
    Change(
        "merged",
        lambda z, heads: z.movedim(-3, -1).flatten(-2),
        "heads are merged feature by feature ([d_v, heads]) and not one after the other",
    ),
    Change("number_of_heads", lambda heads: 1, "there is only one head of size d_model, whatever num_heads says"),
    Change("merged", lambda z, heads: z.mean(-3), "heads are averaged and not put side by side"),
    Change(
        "merged",
        lambda z, heads: z.mean(-3).repeat_interleave(heads, -1),
        "heads are averaged and not put side by side",
    ),
    Change(
        "merged",
        lambda z, heads: z.mean(-3).repeat(*[1] * (z.ndim - 2), heads),
        "heads are averaged and not put side by side",
    ),
    Change(
        "layout",
        lambda split, merge: (_interleaved_split, _interleaved_merge),
        "a head takes every num_heads-th feature, and not d_k consecutive ones, and gives them back in that order",
    ),
    Change(
        "layout",
        lambda split, merge: (_straight_split, _straight_merge),
        "heads are split off and merged by a reshape alone, without a transposition, which mixes tokens",
    ),
    Change("merged", lambda z, heads: z.sum(-3), "heads are added up and not put side by side"),
    Change(
        "merged", lambda z, heads: z.flip(-3).transpose(-2, -3).flatten(-2), "heads are merged in the reverse order"
    ),
    Change(
        "merged",
        lambda z, heads: z[..., :1, :, :].expand_as(z).transpose(-2, -3).flatten(-2),
        "the output of the first head stands in the place of all of them",
    ),
    Change(
        "split",
        lambda z, heads: _split(z, heads)[..., :1, :, :].expand_as(_split(z, heads)),
        "all heads get the features of the first one",
    ),
    Change(
        "split",
        lambda z, heads: z.unflatten(-1, (heads, -1)),
        "the heads are split off, but not moved before the sequence, so that positions attend across heads",
    ),
)


MULTIHEAD = Formula(
    "run_multihead_self_attention",
    _multihead,
    {
        "told_positions": FormulaStep("the positions", lambda positions, seq: positions),
        "layout": FormulaStep("how heads are split and merged", lambda split, merge: (split, merge)),
        "number_of_heads": FormulaStep("the number of heads", lambda heads: heads),
        "rope_width": FormulaStep("the width that RoPE is told", lambda width, d_model: width),
        "features": FormulaStep("x", lambda x, rotate: x),
        "projected": FormulaStep("the projections W x", lambda x, w: x @ w.T),
        "split": FormulaStep("the heads", _split),
        "in_heads": FormulaStep("queries, keys and values in heads", _in_heads),
        "queries": FormulaStep("the queries", lambda q, d_k, d_model, heads: q),
        "causal": FormulaStep("the causal mask", _triangle(0)),
        "merged": FormulaStep("the heads side by side", _merge),
        "mixed": FormulaStep("the output of W_O", lambda merged, w, x: merged @ w.T),
    },
    (
        Change("causal", lambda seq, p: None, "there is no causal mask: every token sees later ones"),
        Change("causal", _triangle(-1), "the causal mask closes the diagonal: no token sees itself"),
        Change("causal", _triangle(1), "the causal mask is off by one: every token sees the one after it"),
        Change(
            "causal", _triangle(0, below=False), "the causal mask is upside down: a token sees itself and later ones"
        ),
        Change("causal", _triangle(1, below=False), "the causal mask is inverted: a token sees later ones only"),
        Change(
            "told_positions",
            lambda positions, seq: torch.arange(seq),
            "RoPE takes the positions 0, 1, 2 and so on, whatever positions are given",
        ),
        Change(
            "told_positions",
            lambda positions, seq: positions.reshape(-1, seq)[0],
            "the positions of the first sequence serve for all sequences",
        ),
        Change("told_positions", lambda positions, seq: positions + 1, "positions are counted from 1"),
        Change("in_heads", _rotating(), "RoPE is not applied"),
        Change("in_heads", _rotating("q", "k", "v"), "RoPE is applied to the values, too"),
        Change("in_heads", _rotating("q"), "RoPE is applied to the queries, but not to the keys"),
        Change("in_heads", _rotating("k"), "RoPE is applied to the keys, but not to the queries"),
        Change("in_heads", _rotating("v"), "RoPE is applied to the values, and not to queries and keys"),
        Change("in_heads", _rotating("q", "v"), "RoPE is applied to queries and values instead of queries and keys"),
        Change(
            "in_heads",
            lambda z, name, split, rotate: split(z) if name == "v" else split(rotate(z)),
            "RoPE is applied to whole vectors of d_model features, before they are split into heads",
        ),
        Change(
            "in_heads",
            lambda z, name, split, rotate: split(z) if name == "v" else rotate(rotate(split(z))),
            "RoPE is applied twice",
        ),
        *_HEADS,
        Change(
            "queries",
            lambda q, d_k, d_model, heads: q * math.sqrt(d_k / d_model),
            "the scores are divided by √d_model instead of √d_k",
        ),
        Change(
            "queries",
            lambda q, d_k, d_model, heads: q * math.sqrt(d_k) / d_model,
            "the scores are divided by d_model instead of √d_k",
        ),
        Change(
            "queries",
            lambda q, d_k, d_model, heads: q * math.sqrt(d_k / heads),
            "the scores are divided by the root of the number of heads instead of √d_k",
        ),
        Change("queries", lambda q, d_k, d_model, heads: q / math.sqrt(d_k), "the scores are divided by √d_k twice"),
        Change("projected", lambda x, w: x @ w, "x is multiplied by W_Q, W_K and W_V, and not by their transposes"),
        Change("projected", lambda x, w: x, "queries, keys and values are x itself, without projections"),
        Change("mixed", lambda merged, w, x: merged, "W_O is left out"),
        Change("mixed", lambda merged, w, x: merged @ w, "the heads are multiplied by W_O and not by its transpose"),
        Change(
            "mixed", lambda merged, w, x: merged @ w.T + x, "the input is added to the output (a residual connection)"
        ),
        Change(
            "features",
            lambda x, rotate: rotate(x),
            "RoPE is applied to the input, before the projections",
        ),
        Change(
            "rope_width", lambda width, d_model: d_model, "RoPE computes its frequencies from d_model, not from d_k"
        ),
        Change("causal", lambda seq, p: p.unsqueeze(-1) >= p.unsqueeze(-2), "the causal mask compares the positions"),
        *(
            Change(
                "causal",
                lambda seq, p, window=window: _triangle(0)(seq, p) & ~_triangle(-window)(seq, p),
                f"a token sees only the last {window} tokens",
            )
            for window in (1, 2, 3)
        ),
        Change(
            "in_heads",
            lambda z, name, split, rotate: split(z) if name == "v" else rotate(split(z), 10000.0),
            "RoPE is applied with base 10000",
        ),
    ),
    lambda generator: _draw_multihead(generator),
    "multi-head attention",
    {
        "q_proj_weight": "W_Q",
        "k_proj_weight": "W_K",
        "v_proj_weight": "W_V",
        "o_proj_weight": "W_O",
        "in_features": "x",
    },
    (),
    ("run_rope", "run_scaled_dot_product_attention"),
)


def _draw_multihead(generator: torch.Generator, *, rope: bool = False) -> Sequence[Given]:
    found = []
    for batch, seq, d_model, heads in ((2, 5, 12, 3), (4, 4, 16, 4)):
        names = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "o_proj_weight")
        weights = {name: normal(generator, d_model, d_model, scale=1.3 * d_model**-0.5) for name in names}
        given: Given = {"d_model": d_model, "num_heads": heads}
        if rope:
            positions = torch.arange(seq) if batch == 2 else torch.tensor([5, 2, 11, 8])
            given |= {"max_seq_len": 24, "theta": 40.0, "token_positions": positions}
        found.append({**given, **weights, "in_features": normal(generator, batch, seq, d_model, scale=1.5)})
    return found


MULTIHEAD_WITH_ROPE = Formula(
    "run_multihead_self_attention_with_rope",
    MULTIHEAD.compute,
    MULTIHEAD.steps,
    MULTIHEAD.changes,
    lambda generator: _draw_multihead(generator, rope=True),
    MULTIHEAD.title,
    MULTIHEAD.names,
    MULTIHEAD.neutral,
    MULTIHEAD.parts,
)

ATTENTIONS: tuple[Formula, ...] = (ROPE, ATTENTION, MULTIHEAD, MULTIHEAD_WITH_ROPE)
