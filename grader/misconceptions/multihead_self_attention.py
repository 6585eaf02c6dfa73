"""How causal multi-head self-attention goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from grader.reference import attention
from grader.reference.rope import RotaryPositionalEmbedding

from .catalogue import Misconception
from .scaled_dot_product_attention import maximum_of_all_keys
from .together import assembled


def _split(x, heads):
    return rearrange(x, "... seq (heads d_k) -> ... heads seq d_k", heads=heads)


def _merge(x, heads):
    return rearrange(x, "... heads seq d_v -> ... seq (heads d_v)")


def _project(module, x):
    return module.q_proj(x), module.k_proj(x), module.v_proj(x)


def _causal(seq_len, positions):
    return torch.ones(seq_len, seq_len, dtype=torch.bool).tril()


def _rotate(module, q, k, v, positions):
    if module.rope is None:
        return q, k, v
    return module.rope(q, positions), module.rope(k, positions), v


def _as_given(x, positions):
    if positions is None:
        positions = torch.arange(x.shape[-2])
    return positions.unsqueeze(-2)


def _attend(q, k, v, mask):
    return attention.scaled_dot_product_attention(q, k, v, mask)


@dataclass(frozen=True)
class _Steps:
    """The steps of the forward pass; a wrong variant replaces one."""

    project: Callable[..., tuple[Tensor, Tensor, Tensor]] = _project
    split: Callable[[Tensor, int], Tensor] = _split
    positions: Callable[[Tensor, Any], Tensor] = _as_given
    rotate: Callable[..., tuple[Tensor, Tensor, Tensor]] = _rotate
    mask: Callable[[int, Any], Tensor] = _causal
    attend: Callable[..., Tensor] = _attend
    merge: Callable[[Tensor, int], Tensor] = _merge
    output: Callable[[Any, Tensor], Tensor] = lambda module, x: module.output_proj(x)
    before: Callable[[Tensor], Tensor] = lambda x: x

    def forward(self):
        def forward(module, x, token_positions=None):
            x = self.before(x)
            heads = module.num_heads
            q, k, v = (self.split(t, heads) for t in self.project(module, x))
            places = (self.positions if module.rope is not None else _as_given)(x, token_positions)
            q, k, v = self.rotate(module, q, k, v, places)
            attended = self.attend(q, k, v, self.mask(x.shape[-2], token_positions))
            return self.output(module, self.merge(attended, heads))

        return forward


_RIGHT = _Steps()


@assembled
def _stepping(**steps: Callable[..., Any]):
    return replace(_RIGHT, **steps).forward()


def _reshaped(x, heads):
    return x.reshape(*x.shape[:-2], heads, x.shape[-2], -1)


def _interleaved(x, heads):
    return rearrange(x, "... seq (d_k heads) -> ... heads seq d_k", heads=heads)


def _merged_by_reshape(x, heads):
    return x.reshape(*x.shape[:-3], x.shape[-2], -1)


def _merged_interleaved(x, heads):
    return rearrange(x, "... heads seq d_v -> ... seq (d_v heads)")


def _merged_by_mean(x, heads):
    return x.mean(-3).repeat_interleave(heads, -1)


def _first_head_for_all(x, heads):
    return _split(x, heads)[..., :1, :, :].expand(*x.shape[:-2], heads, -1, -1)


def _one_head(x, heads):
    return x.unsqueeze(-3)


def _mask_of_128(seq_len, positions):
    mask = torch.ones(seq_len, seq_len, dtype=torch.bool)
    mask[:128, :128] = mask[:128, :128].tril()
    return mask


def _detached(x):
    return x.detach()


def _swapped(module, x):
    return module.k_proj(x), module.q_proj(x), module.v_proj(x)


def _keys_as_values(module, x):
    return module.q_proj(x), module.k_proj(x), module.k_proj(x)


def _weights_not_transposed(module, x):
    return x @ module.q_proj.weight, x @ module.k_proj.weight, x @ module.v_proj.weight


def _strictly_causal(seq_len, positions):
    mask = torch.ones(seq_len, seq_len, dtype=torch.bool).tril(-1)
    mask[0, 0] = True
    return mask


def _one_ahead(seq_len, positions):
    return torch.ones(seq_len, seq_len, dtype=torch.bool).tril(1)


def _anticausal(seq_len, positions):
    return torch.ones(seq_len, seq_len, dtype=torch.bool).triu()


def _open(seq_len, positions):
    return torch.ones(seq_len, seq_len, dtype=torch.bool)


def _by_positions(seq_len, positions):
    if positions is None:
        return _causal(seq_len, positions)
    mask = positions.unsqueeze(-1) >= positions.unsqueeze(-2)
    return mask.unsqueeze(-3)


def _scaled_by_d_model(q, k, v, mask):
    return _attend(q / math.sqrt(q.shape[-3]), k, v, mask)


def _softmax_over_heads(q, k, v, mask):
    scores = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).masked_fill(~mask, -1e9)
    return torch.softmax(scores, -3) @ v


def _rotates_values(module, q, k, v, positions):
    q, k, _ = _rotate(module, q, k, v, positions)
    return q, k, v if module.rope is None else module.rope(v, positions)


def _rotates_queries_only(module, q, k, v, positions):
    return _rotate(module, q, k, v, positions)[0], k, v


def _rotates_never(module, q, k, v, positions):
    return q, k, v


def _rotates_always(module, q, k, v, positions):
    rope = module.rope or RotaryPositionalEmbedding(1e4, q.shape[-1] + q.shape[-1] % 2, q.shape[-2])
    if q.shape[-1] % 2:
        return q, k, v
    return rope(q, positions), rope(k, positions), v


def _rotates_before_split(module, x, token_positions=None):
    rope = module.rope
    if rope is None:
        return _RIGHT.forward()(module, x, token_positions)
    whole = RotaryPositionalEmbedding(rope.theta, x.shape[-1], rope.max_seq_len)
    positions = torch.arange(x.shape[-2]) if token_positions is None else token_positions
    q, k, v = _project(module, x)
    q, k, v = (_split(t, module.num_heads) for t in (whole(q, positions), whole(k, positions), v))
    return module.output_proj(_merge(_attend(q, k, v, _causal(x.shape[-2], None)), module.num_heads))


def _counted(x, positions):
    return torch.arange(x.shape[-2])


def _first_row(x, positions):
    return _as_given(x, positions if positions is None else positions.reshape(-1, x.shape[-2])[0])


def _rows_beside_heads(x, positions):
    return torch.arange(x.shape[-2]) if positions is None else positions


def _required(x, positions):
    return positions.unsqueeze(-2)


def _truth_of_tensor(x, positions):
    return _as_given(x, positions if positions else None)


def _three_dimensions(x):
    batch, seq, _ = x.shape
    return x.reshape(batch, seq, -1)


def _viewed(x):
    return x.view(-1, x.shape[-1]).view(x.shape)


def _no_output_projection(module, x):
    return x


def _output_not_transposed(module, x):
    return x @ module.output_proj.weight


def _adds_input(module, x, token_positions=None):
    return x + _RIGHT.forward()(module, x, token_positions)


def _overwrites_input(module, x, token_positions=None):
    return x.copy_(_RIGHT.forward()(module, x, token_positions))


def _full_length_mask(module, x, token_positions=None):
    longest = module.rope.max_seq_len if module.rope is not None else x.shape[-2]
    steps = replace(_RIGHT, mask=lambda seq_len, positions: _causal(longest, positions))
    return steps.forward()(module, x, token_positions)


def _keys_values_swapped(module, x):
    return module.q_proj(x), module.v_proj(x), module.k_proj(x)


def _frequencies_of_model(module, q, k, v, positions):
    if module.rope is None:
        return q, k, v
    d_model, d_k = q.shape[-1] * module.num_heads, q.shape[-1]
    # theta^(-2i / d_model) for the first d_k / 2 pairs: a larger base does the same for vectors of size d_k.
    rope = RotaryPositionalEmbedding(module.rope.theta ** (d_k / d_model), d_k, module.rope.max_seq_len)
    return rope(q, positions), rope(k, positions), v


def _refused(x, positions):
    if positions is None:
        raise ValueError("positions are needed")
    return positions.unsqueeze(-2)


def _splits_three(x, heads):
    return rearrange(x, "batch seq (heads d_k) -> batch heads seq d_k", heads=heads)


def _rows_without_heads(x, positions):
    """Positions of one row are turned alike for all; several are taken for rows of heads."""
    positions = torch.arange(x.shape[-2]) if positions is None else positions
    return positions[0] if positions.ndim > 1 and len(positions) == 1 else positions


def _mha(id, replacement, diagnosis, hint, frequency, throughout=False, forms=()):
    """A misconception that replaces one step, or the whole forward pass; forms: other steps."""
    forward = _stepping(**replacement) if isinstance(replacement, dict) else replacement
    name = "attention.CausalMultiHeadSelfAttention.forward"
    return Misconception(
        f"mha-{id}",
        "multihead_self_attention",
        {name: forward},
        diagnosis,
        hint,
        frequency,
        throughout=throughout,
        forms=tuple({name: _stepping(**form)} for form in forms),
    )


MISCONCEPTIONS = (
    _mha(
        "splits-heads-by-reshape",
        {"split": _reshaped},
        diagnosis=(
            "Your attention reshapes [batch, seq, d_model] straight to [batch, heads, seq, d_k], which mixes tokens."
        ),
        hint="After the split, does head 0 of token 1 contain features of token 1 only?",
        frequency="common",
    ),
    _mha(
        "heads-interleaved",
        {"split": _interleaved},
        diagnosis="Your heads take every num_heads-th feature; each head should own d_k consecutive ones.",
        hint='Which of "(heads d_k)" and "(d_k heads)" makes a head own features 0 to d_k - 1?',
        frequency="occasional",
    ),
    _mha(
        "merges-heads-by-reshape",
        {"merge": _merged_by_reshape},
        diagnosis=(
            "Your attention merges [batch, heads, seq, d_v] without first moving heads next to d_v, which mixes tokens."
        ),
        hint="After merging, does row 0 contain the outputs of all heads for token 0?",
        frequency="common",
    ),
    _mha(
        "merges-heads-interleaved",
        {"merge": _merged_interleaved},
        diagnosis="Your attention merges its heads feature by feature, not one head after the other.",
        hint="Is your merging the exact inverse of your splitting?",
        frequency="rare",
    ),
    _mha(
        "averages-heads",
        {"merge": _merged_by_mean},
        diagnosis="Your attention averages its heads instead of concatenating them.",
        hint="Which input size does W_O expect, and which part of it belongs to which head?",
        frequency="rare",
    ),
    _mha(
        "first-head-for-all",
        {"split": _first_head_for_all},
        diagnosis="All heads of your attention see the features of the first one.",
        hint="Change the last d_k rows of W_Q: does the output change?",
        frequency="rare",
    ),
    _mha(
        "one-head-only",
        {"split": _one_head},
        diagnosis="Your attention works as one head of size d_model, whatever num_heads is.",
        hint="Compare the outputs for 1 head and for 2 heads.",
        frequency="occasional",
    ),
    _mha(
        "queries-and-keys-swapped",
        {"project": _swapped},
        diagnosis="Your attention computes queries with W_K and keys with W_Q.",
        hint="Which weight does your adapter load into which layer?",
        frequency="rare",
    ),
    _mha(
        "keys-as-values",
        {"project": _keys_as_values},
        diagnosis="Your attention uses keys as values and never uses W_V.",
        hint="Change W_V: does the output change?",
        frequency="rare",
    ),
    _mha(
        "projections-not-transposed",
        {"project": _weights_not_transposed},
        diagnosis="Your attention multiplies x by W_Q, W_K and W_V, not by their transposes.",
        hint="A Linear layer computes W x for a column x; what is that for a row?",
        frequency="occasional",
    ),
    _mha(
        "without-causal-mask",
        {"mask": _open},
        diagnosis="Your attention has no causal mask: every token sees later ones.",
        hint="Change the last token: do earlier outputs change?",
        frequency="common",
    ),
    _mha(
        "causal-mask-excludes-itself",
        {"mask": _strictly_causal},
        diagnosis="Your causal mask keeps a token from seeing itself.",
        hint="May the query at position i attend to the key at position i?",
        frequency="occasional",
    ),
    _mha(
        "causal-mask-one-ahead",
        {"mask": _one_ahead},
        diagnosis="Your causal mask lets every token see the one after it.",
        hint="Print your mask for 4 tokens: how many keys does the first query see?",
        frequency="occasional",
    ),
    _mha(
        "causal-mask-inverted",
        {"mask": _anticausal},
        diagnosis="Your causal mask is upside down: every token sees itself and all later ones.",
        hint="Print your mask for 4 tokens: how many keys does the first query see?",
        frequency="common",
    ),
    _mha(
        "causal-mask-by-position",
        {"mask": _by_positions},
        diagnosis="Your causal mask compares token positions; it should follow the order of the tokens.",
        hint="With the positions 3, 2, 1, 0, how many keys should the first token see?",
        frequency="rare",
    ),
    _mha(
        "causal-mask-of-full-length",
        _full_length_mask,
        diagnosis="Your causal mask has max_seq_len rows even when the sequence is shorter.",
        hint="Try a sequence shorter than max_seq_len.",
        frequency="occasional",
    ),
    _mha(
        "scaled-by-d-model",
        {"attend": _scaled_by_d_model},
        diagnosis="Your attention divides the scores by sqrt(d_model), but each head has only d_k features.",
        hint="Over how many features does the score of one head sum?",
        frequency="occasional",
    ),
    _mha(
        "maximum-before-mask",
        {"attend": maximum_of_all_keys},
        diagnosis=(
            "Your attention takes the row maximum before it masks: where a later token has by far the largest score, "
            "all others underflow, and the row becomes 0 / 0."
        ),
        hint="What is e^(score - maximum) of the open keys in float32, if a masked key's score is 150 above theirs?",
        frequency="occasional",
    ),
    _mha(
        "softmax-over-heads",
        {"attend": _softmax_over_heads},
        diagnosis="Your attention takes the softmax over the heads.",
        hint="Along which dimension should the weights add up to 1?",
        frequency="rare",
        throughout=True,
    ),
    _mha(
        "without-output-projection",
        {"output": _no_output_projection},
        diagnosis="Your attention returns the merged heads without W_O.",
        hint="Change W_O: does the output change?",
        frequency="occasional",
    ),
    _mha(
        "output-not-transposed",
        {"output": _output_not_transposed},
        diagnosis="Your attention multiplies by W_O, not by its transpose.",
        hint="A Linear layer computes W x for a column x; what is that for a row?",
        frequency="rare",
    ),
    _mha(
        "adds-its-input",
        _adds_input,
        diagnosis=(
            "Your attention adds its input to its output; the residual connection belongs to the block around it."
        ),
        hint="Set W_O to zero: what should the output be?",
        frequency="rare",
        throughout=True,
    ),
    _mha(
        "rope-turns-values",
        {"rotate": _rotates_values},
        diagnosis="Your attention applies RoPE to the values, too.",
        hint="Which of queries, keys and values enter the scores?",
        frequency="occasional",
    ),
    _mha(
        "rope-turns-queries-only",
        {"rotate": _rotates_queries_only},
        diagnosis="Your attention applies RoPE to the queries but not to the keys.",
        hint="Add 20 to all positions: should the output change?",
        frequency="occasional",
    ),
    _mha(
        "rope-never-applied",
        {"rotate": _rotates_never},
        diagnosis="RoPE has no effect in your attention: it rotates nothing, or all tokens alike (counting heads).",
        hint="Triple all positions: does the output change? Which dimension of the queries does your RoPE count along?",
        frequency="occasional",
    ),
    _mha(
        "rope-always-applied",
        {"rotate": _rotates_always},
        diagnosis="Your attention applies RoPE even if the caller asks for none.",
        hint="Does run_multihead_self_attention say anything about positions?",
        frequency="occasional",
    ),
    _mha(
        "rope-before-heads-are-split",
        _rotates_before_split,
        diagnosis="Your attention applies RoPE to whole vectors of d_model features before it splits them into heads.",
        hint=(
            "How many different angles should the features of one head see: d_k / 2 of them, or those of "
            "a longer vector?"
        ),
        frequency="common",
    ),
    _mha(
        "ignores-positions",
        {"positions": _counted},
        diagnosis="Your attention rotates tokens by 0, 1, 2, ..., whatever the given positions.",
        hint="Triple all positions: does the output change?",
        frequency="common",
    ),
    _mha(
        "positions-of-first-sequence",
        {"positions": _first_row},
        diagnosis="Your attention uses the positions of the first sequence for all sequences.",
        hint="Give two sequences different positions: is the second one rotated by its own?",
        frequency="occasional",
    ),
    _mha(
        "positions-beside-heads",
        {"positions": _rows_beside_heads},
        diagnosis="Your attention aligns positions of shape [batch, seq] with heads, not with sequences.",
        hint="Queries have shape [batch, heads, seq, d_k]: how does [batch, seq] broadcast against the first three?",
        frequency="common",
        forms=[{"positions": _rows_without_heads}],
    ),
    _mha(
        "positions-required",
        {"positions": _required},
        diagnosis="Your attention fails when no positions are given.",
        hint="What do positions of None mean?",
        frequency="occasional",
        forms=[{"positions": _refused}],
    ),
    _mha(
        "asks-whether-positions-are-true",
        {"positions": _truth_of_tensor},
        diagnosis="Your attention tests `if token_positions`, which fails for a tensor with several numbers.",
        hint="How do you test whether something is None?",
        frequency="occasional",
    ),
    _mha(
        "three-dimensions-only",
        {"before": _three_dimensions},
        diagnosis="Your attention takes only inputs of shape [batch, seq, d_model].",
        hint='What does "..." in the signature stand for?',
        frequency="common",
        forms=[{"split": _splits_three}],
    ),
    _mha(
        "views-strided-input",
        {"before": _viewed},
        diagnosis="Your attention calls view on its input, which fails when the input is not contiguous in memory.",
        hint="Try it on a transposed tensor.",
        frequency="rare",
    ),
    _mha(
        "causal-mask-of-128",
        {"mask": _mask_of_128},
        diagnosis="Your causal mask covers 128 tokens; later tokens see everything.",
        hint="Where does the size of your mask come from? Try a sequence of 150 tokens.",
        frequency="rare",
    ),
    _mha(
        "is-detached",
        {"before": _detached},
        diagnosis="No gradient reaches the input of your attention.",
        hint="Give x requires_grad=True and call backward(): what is x.grad?",
        frequency="rare",
    ),
    _mha(
        "changes-its-input",
        _overwrites_input,
        diagnosis="Your attention writes its result into its input, which the residual connection still needs.",
        hint="Print the input before and after a call.",
        frequency="rare",
    ),
    _mha(
        "heads-interleaved-throughout",
        {"split": _interleaved, "merge": _merged_interleaved},
        diagnosis=(
            "Your heads take every num_heads-th feature, before attention and after it; each head should own d_k "
            "consecutive ones."
        ),
        hint='Which of "(heads d_k)" and "(d_k heads)" makes a head own features 0 to d_k - 1?',
        frequency="occasional",
    ),
    _mha(
        "keys-and-values-swapped",
        {"project": _keys_values_swapped},
        diagnosis="Your attention uses the value projection for the keys and the key projection for the values.",
        hint="In which order do you split or unpack the three projections?",
        frequency="occasional",
    ),
    _mha(
        "rope-frequencies-of-d-model",
        {"rotate": _frequencies_of_model},
        diagnosis="Your RoPE computes its frequencies from d_model, not from the size of one head.",
        hint="Which d_k does your RoPE get: d_model, or d_model / num_heads?",
        frequency="occasional",
    ),
)
