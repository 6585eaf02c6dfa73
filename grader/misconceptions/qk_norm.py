"""How attention with normalised queries and keys goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from grader.reference.architecture import attention_variants
from grader.reference.attention import scaled_dot_product_attention
from grader.reference.layers import RMSNorm

from .catalogue import Misconception, replacing
from .together import assembled

Norm = Callable[[Any, Tensor], Tensor]
_heads, _joined, _rotated, _causal = (
    attention_variants._heads,
    attention_variants._joined,
    attention_variants._rotated,
    attention_variants._causal,
)


def _q_norm(self: Any, q: Tensor) -> Tensor:
    return self.q_norm(q)


def _k_norm(self: Any, k: Tensor) -> Tensor:
    return self.k_norm(k)


def _as_it_is(self: Any, x: Tensor) -> Tensor:
    return x


@assembled
def _attending(
    queries: Norm = _q_norm,
    keys: Norm = _k_norm,
    values: Norm = _as_it_is,
    rotating: Callable[..., tuple[Tensor, Tensor]] = _rotated,
    attend: Callable[..., Tensor] = scaled_dot_product_attention,
):
    """The forward pass with other norms of [... heads seq d_k], another rotation, or other scores."""

    def forward(self, x, token_positions=None):
        q, k, v = (_heads(proj(x), self.num_heads) for proj in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotating(self.rope, queries(self, q), keys(self, k), token_positions)
        return self.output_proj(_joined(attend(q, k, values(self, v), _causal(x))))

    return forward


def _norms_last(self, x, token_positions=None):
    q, k, v = (_heads(proj(x), self.num_heads) for proj in (self.q_proj, self.k_proj, self.v_proj))
    q, k = _rotated(self.rope, q, k, token_positions)
    return self.output_proj(_joined(scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v, _causal(x))))


def _whole_projection(norm: str) -> Norm:
    """As in OLMo 2: one mean over all heads."""

    def normalised(self, x):
        module = getattr(self, norm)
        size = (x.square().mean((-1, -3), keepdim=True) + module.eps).sqrt()
        return x / size * module.weight

    return normalised


def _over_sequence(norm: str) -> Norm:
    def normalised(self, x):
        module = getattr(self, norm)
        return x / (x.square().mean((-1, -2), keepdim=True) + module.eps).sqrt() * module.weight

    return normalised


def _with_mean(norm: str) -> Norm:
    def normalised(self, x):
        return getattr(self, norm)(x - x.mean(-1, keepdim=True))

    return normalised


def _unit_length(norm: str) -> Norm:
    def normalised(self, x):
        module = getattr(self, norm)
        return x / (x.square().sum(-1, keepdim=True) + module.eps).sqrt() * module.weight

    return normalised


def _without_gain(norm: str) -> Norm:
    def normalised(self, x):
        module = getattr(self, norm)
        return x / (x.square().mean(-1, keepdim=True) + module.eps).sqrt()

    return normalised


def _own_eps(norm: str) -> Norm:
    def normalised(self, x):
        module = getattr(self, norm)
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * module.weight

    return normalised


def _unscaled(q, k, v, mask):
    return scaled_dot_product_attention(q * math.sqrt(q.shape[-1]), k, v, mask)


def _sees_everything(q, k, v, mask):
    return scaled_dot_product_attention(q, k, v)


def _queries_only(rope, q, k, token_positions):
    return _rotated(rope, q, k, token_positions)[0], k


def _counts_from_zero(rope, q, k, token_positions):
    return _rotated(rope, q, k, None)


def _never_rotates(rope, q, k, token_positions):
    return q, k


def _values_too(self, v):
    return self.k_norm(v)


def _detached(norm: str) -> Norm:
    def normalised(self, x):
        module = getattr(self, norm)
        return x / (x.detach().square().mean(-1, keepdim=True) + module.eps).sqrt() * module.weight

    return normalised


def _before_projection(self, x, token_positions=None):
    """The input is normalised once more, and its queries and keys are not."""
    normed = RMSNorm(x.shape[-1], self.q_norm.eps, x.device, x.dtype)(x)
    q, k, v = (
        _heads(proj(y), self.num_heads) for proj, y in ((self.q_proj, normed), (self.k_proj, normed), (self.v_proj, x))
    )
    q, k = _rotated(self.rope, q * self.q_norm.weight, k * self.k_norm.weight, token_positions)
    return self.output_proj(_joined(scaled_dot_product_attention(q, k, v, _causal(x))))


def _bug(id: str, forward: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    name = "architecture.attention_variants.QKNormAttention.forward"
    return replacing("qk_norm", name, "Your attention ", id, forward, diagnosis, hint, **options)


MISCONCEPTIONS = (
    _bug(
        "norm-after-rope",
        _norms_last,
        "normalises after RoPE. A rotation leaves the size of a vector as it is, but the gains then multiply other "
        "features.",
        "With gains of 1, does the order matter? And with others?",
        frequency="common",
    ),
    _bug(
        "over-whole-projection",
        _attending(_whole_projection("q_norm"), _whole_projection("k_norm")),
        "takes one root mean square over all heads, as OLMo 2 does, so that a large head makes the others small.",
        "Make the rows of one head in W_Q 10 times as large: should anything change?",
        frequency="common",
    ),
    _bug(
        "over-sequence",
        _attending(_over_sequence("q_norm"), _over_sequence("k_norm")),
        "averages over the tokens, too, so that a token sees those after it.",
        "Change the last token: do the outputs before it stay the same?",
        frequency="rare",
    ),
    _bug(
        "queries-only",
        _attending(keys=_as_it_is),
        "does not normalise its keys.",
        "Make W_K 10 times as large: should anything change?",
    ),
    _bug(
        "keys-only",
        _attending(queries=_as_it_is),
        "does not normalise its queries.",
        "Make W_Q 10 times as large: should anything change?",
    ),
    _bug(
        "values-too",
        _attending(values=_values_too),
        "normalises its values, too.",
        "Make W_V 3 times as large: should the output grow?",
        throughout=True,
    ),
    _bug(
        "gains-swapped",
        _attending(_k_norm, _q_norm),
        "normalises queries by k_norm, and keys by q_norm. Without RoPE that changes nothing: each product of two "
        "features has both gains. With it, the rotation comes between.",
        "With RoPE, give the two norms different gains.",
        frequency="rare",
    ),
    _bug(
        "one-norm-for-both",
        _attending(keys=_q_norm),
        "normalises its keys by q_norm, too.",
        "Which weights have no gradient after backward()?",
    ),
    _bug(
        "without-gains",
        _attending(_without_gain("q_norm"), _without_gain("k_norm")),
        "has no gains on its queries and keys, so that no score can exceed sqrt(d_k).",
        "Which weights have no gradient after backward()?",
    ),
    _bug(
        "unit-length",
        _attending(_unit_length("q_norm"), _unit_length("k_norm")),
        "divides queries and keys by their length, not by their root mean square: scores are d_k times too small.",
        "What is the root mean square of a query before the gain?",
        frequency="common",
    ),
    _bug(
        "subtracts-mean",
        _attending(_with_mean("q_norm"), _with_mean("k_norm")),
        "takes the mean of queries and keys away, as LayerNorm does.",
        "Which norm is asked for?",
    ),
    _bug(
        "fixed-eps",
        _attending(_own_eps("q_norm"), _own_eps("k_norm")),
        "ignores its eps.",
        "Compare the outputs for eps = 1e-6 and eps = 1.",
    ),
    _bug(
        "without-scale",
        _attending(attend=_unscaled),
        "does not divide its scores by sqrt(d_k), as if the norm had done so.",
        "How large is the dot product of two vectors of 64 features with root mean square 1, at most?",
        frequency="common",
    ),
    _bug(
        "normalises-input",
        _before_projection,
        "normalises what it projects, and not the queries and keys.",
        "Make W_Q 10 times as large: should anything change?",
    ),
    _bug(
        "not-causal",
        _attending(attend=_sees_everything),
        "lets tokens see those after them.",
        "Change the last token: do the outputs before it stay the same?",
        frequency="rare",
    ),
    _bug(
        "rotates-queries-only",
        _attending(rotating=_queries_only),
        "rotates its queries and not its keys.",
        "Does a score depend on the distance of two tokens alone?",
    ),
    _bug(
        "ignores-positions",
        _attending(rotating=_counts_from_zero),
        "rotates by 0, 1, 2, ..., whatever the given positions.",
        "Give the positions in another order: does the output change?",
    ),
    _bug(
        "never-rotates",
        _attending(rotating=_never_rotates),
        "does not use RoPE.",
        "Compare the outputs for two values of theta.",
    ),
    _bug(
        "norm-detached",
        _attending(_detached("q_norm"), _detached("k_norm")),
        "detaches the root mean square of queries and keys.",
        "Queries that are 1 % longer give the same output: what should their gradient along themselves be?",
        frequency="rare",
    ),
)
