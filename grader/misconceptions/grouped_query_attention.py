"""How attention with shared keys and values goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from grader.reference.architecture import attention_variants
from grader.reference.attention import scaled_dot_product_attention
from grader.reference.layers import Linear
from grader.reference.rope import RotaryPositionalEmbedding

from .catalogue import Misconception, replacing
from .together import assembled

Spread = Callable[[Tensor, int], Tensor]
_heads, _joined, _rotated, _causal = (
    attention_variants._heads,
    attention_variants._joined,
    attention_variants._rotated,
    attention_variants._causal,
)


def _interleaved(y: Tensor, group: int) -> Tensor:
    return y.repeat_interleave(group, dim=-3)


@assembled
def _attending(
    keys: Spread = _interleaved,
    values: Spread = _interleaved,
    rotating: Callable[..., tuple[Tensor, Tensor]] = _rotated,
    attend: Callable[..., Tensor] = scaled_dot_product_attention,
):
    """The forward pass with other ways to give each query head its keys and values."""

    def forward(self, x, token_positions=None):
        q = _heads(self.q_proj(x), self.num_heads)
        k, v = (_heads(proj(x), self.num_kv_heads) for proj in (self.k_proj, self.v_proj))
        q, k = rotating(self.rope, q, k, token_positions)
        group = self.num_heads // self.num_kv_heads
        return self.output_proj(_joined(attend(q, keys(k, group), values(v, group), _causal(x))))

    return forward


def _tiled(y, group):
    return y.repeat(*[1] * (y.ndim - 3), group, 1, 1)


def _first(y, group):
    return y[..., :1, :, :].expand(*y.shape[:-3], group * y.shape[-3], *y.shape[-2:])


def _mean(y, group):
    return y.mean(-3, keepdim=True).expand(*y.shape[:-3], group * y.shape[-3], *y.shape[-2:])


def _last_first(y, group):
    return y.flip(-3).repeat_interleave(group, dim=-3)


def _unscaled(q, k, v, mask):
    return scaled_dot_product_attention(q * math.sqrt(q.shape[-1]), k, v, mask)


def _scaled_twice(self, x, token_positions=None):
    """By the size that a head would have if there were as few query heads."""
    q = _heads(self.q_proj(x), self.num_heads) / math.sqrt(self.num_heads / self.num_kv_heads)
    k, v = (_heads(proj(x), self.num_kv_heads) for proj in (self.k_proj, self.v_proj))
    q, k = _rotated(self.rope, q, k, token_positions)
    group = self.num_heads // self.num_kv_heads
    attended = scaled_dot_product_attention(q, _interleaved(k, group), _interleaved(v, group), _causal(x))
    return self.output_proj(_joined(attended))


def _sees_everything(q, k, v, mask):
    return scaled_dot_product_attention(q, k, v)


def _queries_only(rope, q, k, token_positions):
    return _rotated(rope, q, k, token_positions)[0], k


def _counts_from_zero(rope, q, k, token_positions):
    return _rotated(rope, q, k, None)


def _never_rotates(rope, q, k, token_positions):
    return q, k


def _detached(y, group):
    return y.detach().repeat_interleave(group, dim=-3)


def _heads_last(self, x, token_positions=None):
    """Heads are joined before they are moved behind the tokens."""
    q = _heads(self.q_proj(x), self.num_heads)
    k, v = (_heads(proj(x), self.num_kv_heads) for proj in (self.k_proj, self.v_proj))
    q, k = _rotated(self.rope, q, k, token_positions)
    group = self.num_heads // self.num_kv_heads
    attended = scaled_dot_product_attention(q, _interleaved(k, group), _interleaved(v, group), _causal(x))
    return self.output_proj(attended.reshape(x.shape))


def _unchecked(self, d_model, num_heads, num_kv_heads, max_seq_len, theta=None, device=None, dtype=None):
    """The constructor without its check."""
    nn.Module.__init__(self)
    d_k = attention_variants._head_size(d_model, num_heads)
    self.num_heads, self.num_kv_heads = num_heads, num_kv_heads
    self.q_proj = Linear(d_model, d_model, device, dtype)
    self.k_proj = Linear(d_model, num_kv_heads * d_k, device, dtype)
    self.v_proj = Linear(d_model, num_kv_heads * d_k, device, dtype)
    self.output_proj = Linear(d_model, d_model, device, dtype)
    self.rope = None if theta is None else RotaryPositionalEmbedding(theta, d_k, max_seq_len, device)


def _uneven(self, x, token_positions=None):
    q = _heads(self.q_proj(x), self.num_heads)
    k, v = (_heads(proj(x), self.num_kv_heads) for proj in (self.k_proj, self.v_proj))
    q, k = _rotated(self.rope, q, k, token_positions)
    group = -(-self.num_heads // self.num_kv_heads)
    k, v = (_interleaved(y, group)[..., : self.num_heads, :, :] for y in (k, v))
    return self.output_proj(_joined(scaled_dot_product_attention(q, k, v, _causal(x))))


FORWARD = "architecture.attention_variants.GroupedQueryAttention.forward"


def _bug(id: str, forward: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return replacing("grouped_query_attention", FORWARD, "Your attention ", id, forward, diagnosis, hint, **options)


MISCONCEPTIONS = (
    _bug(
        "tiles-heads",
        _attending(_tiled, _tiled),
        "repeats its heads of keys and values one after the other (0 1 0 1), so that query heads far from each other "
        "share one, where neighbours should (0 0 1 1).",
        "Which heads of keys do the query heads 0 and 1 of four use, if there are two?",
        frequency="common",
    ),
    _bug(
        "tiles-values-only",
        _attending(values=_tiled),
        "gives neighbouring query heads the same keys, and not the same values.",
        "Are keys and values repeated in the same way?",
        frequency="rare",
        forms=[_attending(keys=_tiled)],
    ),
    _bug(
        "first-head-for-all",
        _attending(_first, _first),
        "uses the first head of keys and values for all query heads.",
        "Which rows of k_proj have no gradient after backward()?",
    ),
    _bug(
        "averages-heads",
        _attending(_mean, _mean),
        "averages the heads of keys and values.",
        "Change the second head of keys: do the outputs of the first query head change?",
        frequency="rare",
    ),
    _bug(
        "groups-reversed",
        _attending(_last_first, _last_first),
        "gives the first query heads the last head of keys and values.",
        "Which head of keys belongs to query head 0?",
        frequency="rare",
    ),
    _bug(
        "scales-by-groups",
        _scaled_twice,
        "divides its scores by the root of d_model / num_kv_heads, which is not the size of a head.",
        "How many features does one query have?",
    ),
    _bug(
        "without-scale",
        _attending(attend=_unscaled),
        "does not divide its scores by sqrt(d_k).",
        "What does scaled dot-product attention divide by?",
        throughout=True,
    ),
    _bug(
        "not-causal",
        _attending(attend=_sees_everything),
        "lets tokens see those after them.",
        "Change the last token: do the outputs before it stay the same?",
        throughout=True,
    ),
    _bug(
        "joins-heads-before-moving-them",
        _heads_last,
        "joins its heads without moving them behind the tokens, so that features of different tokens are mixed.",
        "Which shape does the result of attention have, and which dimension has to go where?",
        throughout=True,
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
        "keys-detached",
        _attending(keys=_detached),
        "detaches its keys, which then never learn.",
        "Which weights have no gradient after backward()?",
        frequency="rare",
    ),
    Misconception(
        id="grouped-query-attention-uneven-groups",
        problem="grouped_query_attention",
        replaces={FORWARD: _uneven, "architecture.attention_variants.GroupedQueryAttention.__init__": _unchecked},
        diagnosis="Your attention takes numbers of heads that do not come out even, and makes the last group smaller.",
        hint="Which groups do 4 query heads make with 3 heads of keys?",
        frequency="occasional",
    ),
)
