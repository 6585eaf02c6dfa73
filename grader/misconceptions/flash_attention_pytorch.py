"""How FlashAttention goes wrong, in PyTorch; `flash_attention_triton.py` plants the same bugs in the other function."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .catalogue import Misconception

_TILE = 64


def _scale(d: int) -> float:
    return d**-0.5


def _hidden(query: Tensor, key: Tensor) -> Tensor:
    return key > query


def _new_maximum(row_max: Tensor, scores: Tensor) -> Tensor:
    return torch.maximum(row_max, scores.amax(-1))


def _shrink(old: Tensor, new: Tensor) -> Tensor:
    return torch.exp(old - new)


def _log_sum_exp(row_max: Tensor, row_sum: Tensor) -> Tensor:
    return row_max + row_sum.log()


def _row_products(dO: Tensor, O: Tensor, V: Tensor) -> Tensor:
    return (dO * O).sum(-1)


def _score_gradients(weights: Tensor, d_weights: Tensor, D: Tensor) -> Tensor:
    return weights * (d_weights - D.unsqueeze(-1))


def _finish(output: Tensor, row_sum: Tensor) -> Tensor:
    return output / row_sum.unsqueeze(-1)


def _all_tiles(length: int) -> range:
    return range(0, length, _TILE)


def _saved(Q: Tensor, K: Tensor, V: Tensor, O: Tensor, L: Tensor) -> tuple[Tensor, ...]:
    return Q, K, V, O, L


@dataclass(frozen=True)
class Flash:
    """FlashAttention-2 with every step open to replacement. `dtype` is the one of sums and of L."""

    scale: Callable[[int], float] = _scale
    hidden: Callable[[Tensor, Tensor], Tensor] = _hidden
    new_maximum: Callable[[Tensor, Tensor], Tensor] = _new_maximum
    shrink_output: Callable[[Tensor, Tensor], Tensor] = _shrink
    shrink_sum: Callable[[Tensor, Tensor], Tensor] = _shrink
    finish: Callable[[Tensor, Tensor], Tensor] = _finish
    log_sum_exp: Callable[[Tensor, Tensor], Tensor] = _log_sum_exp
    row_products: Callable[[Tensor, Tensor, Tensor], Tensor] = _row_products
    score_gradients: Callable[[Tensor, Tensor, Tensor], Tensor] = _score_gradients
    scale_dq: Callable[[int], float] = _scale
    scale_dk: Callable[[int], float] = _scale
    tiles: Callable[[int], range] = _all_tiles
    saved: Callable[..., tuple[Tensor, ...]] = _saved
    adds_up: bool = True
    masks_first: bool = True
    causal: bool = True
    causal_backward: bool = True
    keeps_precision: bool = True

    def scores(self, q: Tensor, k: Tensor, i: int, j: int, is_causal: bool) -> Tensor:
        scores = q @ k.mT * self.scale(q.shape[-1])
        if not is_causal:
            return scores
        query, key = i + torch.arange(q.shape[1]), j + torch.arange(k.shape[1])
        return scores.masked_fill(self.hidden(query.unsqueeze(-1), key), -math.inf)

    def forward(self, Q: Tensor, K: Tensor, V: Tensor, is_causal: bool) -> tuple[Tensor, Tensor]:
        is_causal = is_causal and self.causal
        O, L = torch.zeros_like(Q), Q.new_zeros(Q.shape[:-1])
        for i in self.tiles(Q.shape[1]):
            q = Q[:, i : i + _TILE]
            row_max, row_sum = q.new_full(q.shape[:2], -math.inf), q.new_zeros(q.shape[:2])
            output = torch.zeros_like(q)
            for j in self.tiles(K.shape[1]):
                if is_causal and j >= i + _TILE:
                    continue
                scores = self.scores(q, K[:, j : j + _TILE], i, j, is_causal)
                seen = scores if self.masks_first else self.scores(q, K[:, j : j + _TILE], i, j, is_causal=False)
                new_max = self.new_maximum(row_max, seen)
                weights = torch.exp(scores - new_max.unsqueeze(-1))
                row_sum = row_sum * self.shrink_sum(row_max, new_max) + weights.sum(-1)
                output = output * self.shrink_output(row_max, new_max).unsqueeze(-1) + weights @ V[:, j : j + _TILE]
                row_max = new_max
            O[:, i : i + _TILE] = self.finish(output, row_sum)
            L[:, i : i + _TILE] = self.log_sum_exp(row_max, row_sum)
        return O, L

    def backward(
        self,
        dO: Tensor,
        Q: Tensor,
        K: Tensor,
        V: Tensor,
        O: Tensor,
        L: Tensor,
        is_causal: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        is_causal = is_causal and self.causal_backward
        D = self.row_products(dO, O, V)
        dQ, dK, dV = (torch.zeros_like(x) for x in (Q, K, V))
        for j in self.tiles(K.shape[1]):
            keys = slice(j, j + _TILE)
            for i in self.tiles(Q.shape[1]):
                rows = slice(i, i + _TILE)
                scores = self.scores(Q[:, rows], K[:, keys], i, j, is_causal)
                weights = torch.exp(scores - L[:, rows].unsqueeze(-1))
                d_scores = self.score_gradients(weights, dO[:, rows] @ V[:, keys].mT, D[:, rows])
                parts = (
                    (dQ, rows, d_scores @ K[:, keys] * self.scale_dq(Q.shape[-1])),
                    (dK, keys, d_scores.mT @ Q[:, rows] * self.scale_dk(Q.shape[-1])),
                    (dV, keys, weights.mT @ dO[:, rows]),
                )
                for gradient, place, part in parts:
                    gradient[:, place] = part + gradient[:, place] if self.adds_up else part
        return dQ, dK, dV

    def function(self) -> type[torch.autograd.Function]:
        """The autograd function that goes these steps."""
        steps = self

        class Function(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, Q: Tensor, K: Tensor, V: Tensor, is_causal: bool = False) -> Tensor:
                wide = torch.promote_types(Q.dtype, torch.float32) if steps.keeps_precision else Q.dtype
                O, L = steps.forward(Q.to(wide), K.to(wide), V.to(wide), is_causal)
                ctx.save_for_backward(*steps.saved(Q, K, V, O, L))
                ctx.state, ctx.is_causal = (O, L), is_causal
                return O.to(Q.dtype)

            @staticmethod
            def backward(ctx: Any, dO: Tensor) -> tuple[Tensor | None, ...]:
                (Q, K, V), (O, L) = ctx.saved_tensors[:3], ctx.state
                dO, q, k, v = (x.to(L.dtype) for x in (dO, Q, K, V))
                found = steps.backward(dO, q, k, v, O, L, ctx.is_causal)
                return *(gradient.to(Q.dtype) for gradient in found), None

        return Function


RIGHT = Flash()


def _one(old: Tensor, new: Tensor) -> Tensor:
    return torch.ones_like(new)


def _whole_tiles(length: int) -> range:
    return range(0, length // _TILE * _TILE, _TILE) if length > _TILE else range(0, length, _TILE)


def _with_maximum(Q: Tensor, K: Tensor, V: Tensor, O: Tensor, L: Tensor) -> tuple[Tensor, ...]:
    return Q, K, V, O, L, L.clone()


def flash_misconceptions(problem: str, prefix: str, replaced: str) -> tuple[Misconception, ...]:
    """The bugs of FlashAttention, planted in one of the two functions."""

    def bug(name: str, frequency: str, diagnosis: str, hint: str, **steps: Any) -> Misconception:
        function = replace(RIGHT, **steps).function()
        return Misconception(f"{prefix}-{name}", problem, {replaced: function}, diagnosis, hint, frequency)

    return (
        bug(
            "accumulator-not-rescaled", "common",
            "When a later tile raises the maximum, the output so far keeps its old scale.",
            "After the second tile, relative to which maximum are the first tile's exponentials in the output?",
            shrink_output=_one,
        ),
        bug(
            "sum-not-rescaled", "common",
            "When a later tile raises the maximum, the sum of exponentials so far keeps its old scale.",
            "The denominator adds exponentials of two tiles: were both taken relative to the same maximum?",
            shrink_sum=_one,
        ),
        bug(
            "nothing-rescaled", "occasional",
            "Each tile's exponentials are relative to the maximum so far, and nothing is rescaled when that changes.",
            "Put the largest score of a row into the last tile and compare with the first.",
            shrink_sum=_one, shrink_output=_one,
        ),
        bug(
            "rescaled-upside-down", "occasional",
            "The factor that rescales old sums to a new maximum is exp(new - old), the inverse of the right one.",
            "When the maximum grows, must old exponentials become smaller or larger?",
            shrink_sum=lambda old, new: torch.exp(new - torch.where(old.isinf(), new, old)),
            shrink_output=lambda old, new: torch.exp(new - torch.where(old.isinf(), new, old)),
        ),
        bug(
            "maximum-of-tile-only", "occasional",
            "The maximum is that of the current tile, so old sums are rescaled to a maximum that may be smaller.",
            "Which scores should the running maximum cover after the third tile?",
            new_maximum=lambda row_max, scores: scores.amax(-1),
            shrink_sum=_one, shrink_output=_one,
        ),
        bug(
            "maximum-not-subtracted", "common",
            "Exponentials are taken of unshifted scores, so large scores overflow.",
            "What is exp(100) in float32? Try queries and keys that are ten times larger.",
            new_maximum=lambda row_max, scores: torch.zeros_like(row_max),
            shrink_sum=_one, shrink_output=_one,
        ),
        bug(
            "no-scale", "common",
            "Scores are not divided by sqrt(d).",
            "What should happen to the scores of vectors of width d before the softmax?",
            scale=lambda d: 1.0,
        ),
        bug(
            "scale-by-d", "occasional",
            "Scores are divided by d instead of sqrt(d).",
            "How large are scores of random vectors of width 16, and by what are they divided?",
            scale=lambda d: 1 / d, scale_dq=lambda d: 1 / d, scale_dk=lambda d: 1 / d,
        ),
        bug(
            "not-normalised", "occasional",
            "The output is not divided by the sum of exponentials at the end.",
            "With all values equal to 1, what should the output be?",
            finish=lambda output, row_sum: output,
        ),
        bug(
            "log-sum-exp-in-base-2", "common",
            "The saved log-sum-exp is a logarithm to base 2.",
            "In which base are maxima and sums when a kernel works with exp2, and which does the contract ask for?",
            log_sum_exp=lambda row_max, row_sum: (row_max + row_sum.log()) / math.log(2),
        ),
        bug(
            "log-sum-exp-without-maximum", "occasional",
            "The saved value is the logarithm of the sum of shifted exponentials; the maximum is not added back.",
            "The sum is one of exp(score - maximum). What is the logarithm of the sum of exp(score)?",
            log_sum_exp=lambda row_max, row_sum: row_sum.log(),
        ),
        bug(
            "sum-saved-for-log-sum-exp", "rare",
            "The saved value is the sum of shifted exponentials, not its logarithm plus the maximum.",
            "Which one number per query lets the backward pass turn scores into probabilities?",
            log_sum_exp=lambda row_max, row_sum: row_sum,
        ),
        bug(
            "log-sum-exp-not-saved-once", "occasional",
            "Of the tensors saved for the backward pass, not exactly one has the shape [batch, queries].",
            "Look at `output.grad_fn.saved_tensors`: which shapes are there? Can one number per query replace both "
            "maximum and sum?",
            saved=_with_maximum,
        ),
        bug(
            "mask-off-by-one", "common",
            "With is_causal, query i does not see key i, only those before it.",
            "Which keys does the first query see? Compute its output by hand.",
            hidden=lambda query, key: (key >= query) & (key > 0),
        ),
        bug(
            "mask-one-too-many", "occasional",
            "With is_causal, query i sees key i + 1, too.",
            "Which keys does the first query see? Compute its output by hand.",
            hidden=lambda query, key: key > query + 1,
        ),
        bug(
            "mask-within-tile-only", "occasional",
            "The causal mask compares positions within a tile, not within the sequence.",
            "In the second tile of queries and the first of keys, which pairs should be masked?",
            hidden=lambda query, key: (key % _TILE) > (query % _TILE),
        ),
        bug(
            "maximum-before-mask", "occasional",
            "With is_causal, the running maximum takes in masked scores: where one is by far the largest, all else "
            "underflows, and the row becomes 0 / 0.",
            "What is exp(score - maximum) of the open keys in float32, if a masked key's score is 150 above theirs?",
            masks_first=False,
        ),
        bug(
            "causal-ignored", "common",
            "is_causal changes nothing.",
            "Change the last key and value: which outputs change with is_causal=True?",
            causal=False, causal_backward=False,
        ),
        bug(
            "causal-ignored-backward", "common",
            "is_causal applies only in the forward pass: gradients flow through masked scores.",
            "Where does the backward pass compute the scores again, and is the mask applied there?",
            causal_backward=False,
        ),
        bug(
            "d-left-out", "common",
            "The gradient of the scores is P * dP; the row sums D = sum(dO * O) are not subtracted.",
            "Softmax's outputs add up to 1: what does that say about a row of the gradient of its inputs?",
            score_gradients=lambda weights, d_weights, D: weights * d_weights,
        ),
        bug(
            "d-from-values", "occasional",
            "D is computed as sum(dO * V), with the values in place of the output.",
            "Which two tensors have one row per query?",
            row_products=lambda dO, O, V: (dO * V).sum(-1) if V.shape == dO.shape else (dO * O).sum(-1) * 0,
        ),
        bug(
            "d-over-the-sequence", "rare",
            "D sums dO * O over the sequence as well as over the features.",
            "What shape should D have, and over which dimension is the sum?",
            row_products=lambda dO, O, V: (dO * O).sum((-1, -2), keepdim=True)[..., 0].expand(O.shape[:2]),
        ),
        bug(
            "d-added", "rare",
            "D is added to dP instead of subtracted.",
            "Each row of the gradient of the scores should add up to zero. Does it?",
            score_gradients=lambda weights, d_weights, D: weights * (d_weights + D.unsqueeze(-1)),
        ),
        bug(
            "weights-missing-in-score-gradient", "rare",
            "The gradient of the scores is dP - D, without the factor P.",
            "What gradient should a score with probability 0 get?",
            score_gradients=lambda weights, d_weights, D: d_weights - D.unsqueeze(-1),
        ),
        bug(
            "dk-without-scale", "common",
            "dK lacks the factor 1 / sqrt(d).",
            "Scores depend on the keys through Q K^T / sqrt(d). Compare dQ and dK.",
            scale_dk=lambda d: 1.0,
        ),
        bug(
            "dq-without-scale", "common",
            "dQ lacks the factor 1 / sqrt(d).",
            "Scores depend on the queries through Q K^T / sqrt(d). Compare dQ and dK.",
            scale_dq=lambda d: 1.0,
        ),
        bug(
            "gradients-overwritten", "occasional",
            "Each tile's contribution to a gradient replaces the one before it instead of being added.",
            "How many tiles of queries contribute to the gradient of one key?",
            adds_up=False,
        ),
        bug(
            "last-tile-dropped", "common",
            "Only whole tiles are computed; the rest at the end of a sequence is dropped.",
            "With 70 queries and tiles of 64, how many tiles are there?",
            tiles=_whole_tiles,
        ),
        bug(
            "first-tiles-only", "rare",
            "Tiles beyond the first four are not computed.",
            "How many tiles does your loop visit for 512 keys?",
            tiles=lambda length: range(0, min(length, 4 * _TILE), _TILE),
        ),
        bug(
            "sums-in-half-precision", "occasional",
            "Sums are kept in the inputs' dtype, so float16 loses half of its digits.",
            "Which dtype does the accumulator have when the inputs are float16?",
            keeps_precision=False,
        ),
    )  # fmt: skip


MISCONCEPTIONS = flash_misconceptions("flash_attention_pytorch", "flash-attention", "kernels.FlashAttentionPyTorch")
