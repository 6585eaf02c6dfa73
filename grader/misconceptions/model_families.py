"""How a model of any configuration goes wrong: a setting that is not used, or used in the wrong place."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from grader.reference.architecture import language_model
from grader.reference.architecture.activations import gelu
from grader.reference.architecture.attention_variants import _causal, _heads, _joined, _rotated
from grader.reference.architecture.language_model import (
    GATED,
    ArchitectureConfig,
    LanguageModel,
    _Attention,
    check_config,
)
from grader.reference.architecture.masks import window_mask
from grader.reference.attention import softmax

from .catalogue import Misconception, replacing

_init, _forward = LanguageModel.__init__, LanguageModel.forward
_complaints, _make_network = language_model._complaints, language_model._make_network
_capped = language_model._soft_capped


def _bug(
    id: str,
    name: str,
    function: Callable[..., Any],
    diagnosis: str,
    hint: str,
    frequency: str = "occasional",
    **more: Any,
) -> Misconception:
    place = f"architecture.language_model.{name}"
    return replacing("model_families", place, "Your model ", id, function, diagnosis, hint, frequency, **more)


def _taking(change: Callable[[ArchitectureConfig], dict[str, Any]]) -> Callable[..., None]:
    """A model that takes some settings for others; it refuses what it should."""

    def init(self, config, device=None, dtype=None):
        check_config(config)
        _init(self, dataclasses.replace(config, **change(config)), device, dtype)

    return init


def _setting(
    id: str,
    change: Callable[[ArchitectureConfig], dict[str, Any]],
    diagnosis: str,
    hint: str,
    frequency: str = "occasional",
    **more: Any,
) -> Misconception:
    return _bug(id, "LanguageModel.__init__", _taking(change), diagnosis, hint, frequency, **more)


def _attention(
    rotate: Callable[..., tuple[Tensor, Tensor]] | None = None,
    share: Callable[[Tensor, int], Tensor] | None = None,
    scores: Callable[..., Tensor] | None = None,
    divisor: Callable[..., float] | None = None,
) -> Callable[..., Tensor]:
    """A forward of attention with one of its steps in another form."""

    def right_rotation(self, q, k):
        return _rotated(self.rope, self.q_norm(q), self.k_norm(k), None)

    def right_scores(self, raw, mask):
        return (_capped(raw, self.softcap) - _bias(self, raw)).masked_fill(~mask, -math.inf)

    def forward(self, x):
        q, k = _heads(self.q_proj(x), self.num_heads), _heads(self.k_proj(x), self.num_kv_heads)
        v = _heads(self.v_proj(x), self.num_kv_heads)
        q, k = (rotate or right_rotation)(self, q, k)
        group = self.num_heads // self.num_kv_heads
        k, v = ((share or (lambda y, n: y.repeat_interleave(n, dim=-3)))(y, group) for y in (k, v))
        mask = _causal(x) if self.window is None else window_mask(x.shape[-2], self.window, device=x.device)
        root = math.sqrt(q.shape[-1]) if divisor is None else divisor(self, x)
        raw = (q / root) @ k.transpose(-2, -1)
        weights = softmax((scores or right_scores)(self, raw, mask), dim=-1)
        return self.output_proj(_joined(weights @ v))

    return forward


def _bias(self, raw):
    if self.slopes is None:
        return torch.zeros_like(raw)
    positions = torch.arange(raw.shape[-1], device=raw.device)
    return self.slopes.to(raw)[:, None, None] * (positions.unsqueeze(-1) - positions)


def _norm_after_rope(self, q, k):
    q, k = _rotated(self.rope, q, k, None)
    return self.q_norm(q), self.k_norm(k)


def _norm_of_queries_only(self, q, k):
    return _rotated(self.rope, self.q_norm(q), k, None)


def _one_norm_for_both(self, q, k):
    return _rotated(self.rope, self.q_norm(q), self.q_norm(k), None)


def _cap_after_mask(self, raw, mask):
    """Minus infinity becomes minus the cap."""
    if self.softcap is None:
        return (raw - _bias(self, raw)).masked_fill(~mask, -math.inf)
    return _capped((raw - _bias(self, raw)).masked_fill(~mask, -1e9), self.softcap)


def _cap_after_bias(self, raw, mask):
    return _capped(raw - _bias(self, raw), self.softcap).masked_fill(~mask, -math.inf)


def _cap_before_scale(self, raw, mask):
    root = math.sqrt(self.output_proj.weight.shape[1] // self.num_heads)
    scores = raw if self.softcap is None else _capped(raw * root, self.softcap) / root
    return (scores - _bias(self, raw)).masked_fill(~mask, -math.inf)


def _bias_scaled(self, raw, mask):
    root = math.sqrt(self.output_proj.weight.shape[1] // self.num_heads)
    return (_capped(raw, self.softcap) - _bias(self, raw) / root).masked_fill(~mask, -math.inf)


def _bias_added(self, raw, mask):
    return (_capped(raw, self.softcap) + _bias(self, raw)).masked_fill(~mask, -math.inf)


def _root_of_d_model(self, x):
    return math.sqrt(x.shape[-1] / self.num_heads)


def _as_one_before(config, layer, device=None, dtype=None):
    return _make_block(config, layer - 1, device, dtype)


def _rope_in_full_only(config, layer, device=None, dtype=None):
    block: Any = _make_block(config, layer, device, dtype)
    if not config.rope_in_full_layers:
        opposite = dataclasses.replace(config, rope_in_full_layers=True)
        windowed = language_model.is_windowed(config, layer)
        block.attn.rope = None if windowed else _Attention(opposite, layer, device, dtype).rope
    return block


_make_block = language_model._make_block


def _parallel(forward: Callable[..., Tensor]) -> Callable[..., Any]:
    """Blocks with branches side by side that go another way."""

    def make(config, layer, device=None, dtype=None):
        block: Any = _make_block(config, layer, device, dtype)
        if config.parallel_block:
            block.forward = forward.__get__(block)
        return block

    return make


def _one_after_the_other(self, x):
    x = x + self.attn(self.ln1(x))
    return x + self.ffn((self.ln1 if self.ln2 is None else self.ln2)(x))


def _one_norm_of_two(self, x):
    normed = self.ln1(x)
    return x + self.attn(normed) + self.ffn(normed)


def _network(ffn: Callable[..., Tensor]) -> Callable[..., Any]:
    """Networks without a gate that go another way."""

    def make(config, device, dtype):
        network: Any = _make_network(config, device, dtype)
        if config.ffn not in GATED:
            network.forward = ffn.__get__(network)
        return network

    return make


def _exact_gelu(config, device, dtype):
    network: Any = _make_network(config, device, dtype)
    if config.ffn == "geglu_tanh":
        network.gate = gelu
    return network


def _exact_gelu_without_gate(config, device, dtype):
    network: Any = _make_network(config, device, dtype)
    if config.ffn == "gelu_tanh":
        network.activation = gelu
    return network


def _bias_after_activation(self, x):
    if self.w1.bias is None:
        return self.w2(self.activation(self.w1(x)))
    return self.w2(self.activation(x @ self.w1.weight.T) + self.w1.bias)


def _second_bias_forgotten(self, x):
    return self.activation(self.w1(x)) @ self.w2.weight.T


def _without_bias(self, x):
    return x @ self.weight.T


def _routed(weigh: Callable[[Tensor, int], tuple[Tensor, Tensor]], inside: bool = False) -> Callable[..., Any]:
    """Experts with other gates; `inside`: they weigh the input, not the output."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, chosen = weigh(self.router(tokens), self.top_k)
        result = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            token, place = (chosen == number).nonzero(as_tuple=True)
            gate = gates[token, place].unsqueeze(-1)
            given = expert(gate * tokens[token]) if inside else gate * expert(tokens[token])
            result = result.index_add(0, token, given)
        return result.view_as(x)

    def make(config, layer, device=None, dtype=None):
        block: Any = _make_block(config, layer, device, dtype)
        if config.num_experts:
            block.ffn.forward = forward.__get__(block.ffn)
        return block

    return make


def _right_gates(scores, top_k):
    best, chosen = scores.topk(top_k, dim=-1)
    return softmax(best, dim=-1), chosen


def _not_renormalised(scores, top_k):
    return softmax(scores, dim=-1).topk(top_k, dim=-1)


def _even_gates(scores, top_k):
    best, chosen = scores.topk(top_k, dim=-1)
    return torch.full_like(best, 1 / top_k), chosen


def _sigmoid_gates(scores, top_k):
    best, chosen = scores.topk(top_k, dim=-1)
    gates = torch.sigmoid(best)
    return gates / gates.sum(dim=-1, keepdim=True), chosen


def _best_only(scores, top_k):
    best, chosen = scores.topk(1, dim=-1)
    return torch.ones_like(best), chosen


def _all_experts(scores, top_k):
    return softmax(scores, dim=-1), torch.arange(scores.shape[-1]).expand_as(scores)


def _lowest(scores, top_k):
    best, chosen = scores.topk(top_k, dim=-1, largest=False)
    return softmax(best, dim=-1), chosen


def _logits(x: Callable[..., Tensor] | None = None, head: Callable[..., Tensor] | None = None) -> Callable[..., Tensor]:
    """A forward pass whose embedding or head goes another way."""

    def forward(self, token_ids):
        if token_ids.shape[-1] > self.config.context_length:
            return _forward(self, token_ids)
        embedded = self.token_embeddings(token_ids)
        if x is not None:
            embedded = x(self, embedded)
        elif self.config.scale_embeddings:
            embedded = embedded * self.config.d_model**0.5
        embedded = self.position_embeddings(embedded)
        for layer in self.layers:
            embedded = layer(embedded)
        last = self.ln_final(embedded)
        if head is not None:
            return head(self, last)
        return _capped(self.config.logit_scale * _raw_logits(self, last), self.config.logit_softcap)

    return forward


def _positions_first(self, token_ids):
    if token_ids.shape[-1] > self.config.context_length:
        return _forward(self, token_ids)
    x = self.position_embeddings(self.token_embeddings(token_ids))
    x = x * self.config.d_model**0.5 if self.config.scale_embeddings else x
    for layer in self.layers:
        x = layer(x)
    return _capped(self.config.logit_scale * _raw_logits(self, self.ln_final(x)), self.config.logit_softcap)


def _raw_logits(self, x):
    return x @ self.token_embeddings.weight.T if self.lm_head is None else self.lm_head(x)


def _times_d_model(self, x):
    return x * self.config.d_model if self.config.scale_embeddings else x


def _scaled_head(self, x):
    factor = self.config.d_model**0.5 if self.config.scale_embeddings and self.lm_head is None else 1.0
    return _capped(self.config.logit_scale * factor * _raw_logits(self, x), self.config.logit_softcap)


def _divided_logits(self, x):
    return _capped(_raw_logits(self, x) / self.config.logit_scale, self.config.logit_softcap)


def _clamped(x, cap):
    return x if cap is None else x.clamp(-cap, cap)


def _without_factor(x, cap):
    return x if cap is None else torch.tanh(x / cap)


def _without_divisor(x, cap):
    return x if cap is None else cap * torch.tanh(x)


def _cut_off(self, token_ids):
    return _forward(self, token_ids[..., -self.config.context_length :])


def _without(*words: str) -> Callable[[ArchitectureConfig], Iterator[str]]:
    """A check that lacks the complaints with one of these words."""

    def complaints(config):
        return (said for said in _complaints(config) if not any(word in said for word in words))

    return complaints


def _asserting(config):
    for complaint in _complaints(config):
        raise AssertionError(complaint)


def _without_values(config):
    for _ in _complaints(config):
        yield "this configuration cannot be."


MISCONCEPTIONS = (
    _setting(
        "always-interleaved",
        lambda c: {"rope_layout": "interleaved"},
        "rotates neighbouring features, whatever rope_layout is.",
        "Which features does RoPE in halves rotate together?",
        "common",
    ),
    _setting(
        "always-halves",
        lambda c: {"rope_layout": "halves"},
        "rotates features in halves, whatever rope_layout is.",
        "Which features do GPT-J and Cohere rotate together?",
        "common",
    ),
    _setting(
        "all-features-rotated",
        lambda c: {"rotary_dim": None},
        "rotates all features, whatever rotary_dim is.",
        "Which features of a head of GPT-J know their position?",
    ),
    _setting(
        "theta-ignored",
        lambda c: {"rope_theta": 10_000.0},
        "rotates with a base of 10,000, whatever rope_theta is.",
        "Where does your code use rope_theta?",
    ),
    _setting(
        "eps-ignored",
        lambda c: {"norm_eps": 1e-5},
        "has norms with an eps of 1e-5, whatever norm_eps is.",
        "Where does your code use norm_eps?",
        "common",
    ),
    _setting(
        "layernorm-without-bias-as-rmsnorm",
        lambda c: {"norm": "rmsnorm" if c.norm == "layernorm_without_bias" else c.norm},
        "takes LayerNorm without bias for RMSNorm, which has as many parameters, but does not take the mean away.",
        "What does Cohere's norm give for an input whose numbers are all the same?",
        "common",
    ),
    _setting(
        "post-as-branch",
        lambda c: {"norm_placement": "branch" if c.norm_placement == "post" else c.norm_placement},
        "takes post-norm for a norm on the branch.",
        "What is normalised in the original Transformer?",
    ),
    _setting(
        "branch-as-pre",
        lambda c: {"norm_placement": "pre" if c.norm_placement in ("branch", "post") else c.norm_placement},
        "has its norms before attention and feed-forward network, whatever norm_placement is.",
        "Where does your code use norm_placement?",
        "common",
    ),
    _bug(
        "one-after-the-other",
        "_make_block",
        _parallel(_one_after_the_other),
        "lets the feed-forward network of parallel blocks read what attention added.",
        "What do both branches of GPT-J read?",
        "common",
    ),
    _bug(
        "one-norm-of-two",
        "_make_block",
        _parallel(_one_norm_of_two),
        "uses ln1 for both branches, also where there are two norms.",
        "Which weights have no gradient after backward()?",
    ),
    _setting(
        "embedding-not-scaled",
        lambda c: {"scale_embeddings": False},
        "does not scale its embeddings.",
        "What does scale_embeddings ask for?",
        "common",
    ),
    _bug(
        "embedding-times-d-model",
        "LanguageModel.forward",
        _logits(x=_times_d_model),
        "multiplies embeddings by d_model, not by its root.",
        "How long is a vector of d_model numbers of size 1?",
    ),
    _bug(
        "head-scaled-too",
        "LanguageModel.forward",
        _logits(head=_scaled_head),
        "multiplies by the root of d_model in a tied head, too.",
        "Which of the two uses of the table is scaled in Gemma?",
    ),
    _setting(
        "logits-not-capped",
        lambda c: {"logit_softcap": None},
        "does not cap its logits.",
        "What is the largest logit that Gemma 2 can give?",
    ),
    _setting(
        "scores-not-capped",
        lambda c: {"attention_softcap": None},
        "does not cap the scores of attention.",
        "Where does your code use attention_softcap?",
        "common",
    ),
    _bug(
        "clamped",
        "_soft_capped",
        _clamped,
        "cuts off at the cap, where a soft-cap bends.",
        "What does a soft-cap of 30 make of 29?",
    ),
    _bug(
        "cap-without-factor",
        "_soft_capped",
        _without_factor,
        "gives tanh(x / cap), which is never more than 1.",
        "What does a soft-cap of 30 make of a small number?",
        forms=(_without_divisor,),
    ),
    _bug(
        "cap-after-mask",
        "_Attention.forward",
        _attention(scores=_cap_after_mask),
        "caps scores after the mask, so that what is masked gets minus the cap, and is seen.",
        "What does a soft-cap make of minus infinity?",
    ),
    _bug(
        "cap-after-bias",
        "_Attention.forward",
        _attention(scores=_cap_after_bias),
        "caps scores together with the bias of ALiBi.",
        "In which order does the docstring name cap, bias and mask?",
        "rare",
    ),
    _bug(
        "cap-before-scale",
        "_Attention.forward",
        _attention(scores=_cap_before_scale),
        "caps scores before it divides them by the root of the head's size.",
        "What is the largest score that may come out?",
    ),
    _setting(
        "alibi-ignored",
        lambda c: {"position": "none" if c.position == "alibi" else c.position},
        "has no positions where it should have ALiBi.",
        "Does a swap of two tokens change your logits of the last one?",
    ),
    _setting(
        "scaling-ignored",
        lambda c: {"rope_scaling": None},
        "rotates as ever, whatever rope_scaling is.",
        "Where does your code use rope_scaling?",
    ),
    _bug(
        "positions-before-scale",
        "LanguageModel.forward",
        _positions_first,
        "multiplies positions by the root of d_model, too.",
        "What is scaled in the original Transformer: the embedding, or its sum with the positions?",
    ),
    _setting(
        "added-positions-ignored",
        lambda c: {"position": "none" if c.position == "sinusoidal" else c.position},
        "has no positions where it should add sines.",
        "Does a swap of two tokens change your logits of the last one?",
    ),
    _bug(
        "alibi-scaled",
        "_Attention.forward",
        _attention(scores=_bias_scaled),
        "divides the bias of ALiBi by the root of the head's size.",
        "What is divided in the formula of ALiBi?",
    ),
    _bug(
        "alibi-the-other-way",
        "_Attention.forward",
        _attention(scores=_bias_added),
        "adds the distance, so that far tokens are favoured.",
        "Which key has the largest bias?",
        "rare",
    ),
    _bug(
        "heads-tiled",
        "_Attention.forward",
        _attention(share=lambda y, n: y.repeat(*([1] * (y.dim() - 3)), n, 1, 1)),
        "gives heads of keys out in turn (0 1 0 1), but neighbours share one (0 0 1 1).",
        "Which head of keys does query head 1 of 4 use, if there are two?",
        "common",
    ),
    _bug(
        "scores-over-wrong-root",
        "_Attention.forward",
        _attention(divisor=_root_of_d_model),
        "divides scores by the root of d_model / num_heads, also where head_dim is given.",
        "How many products does a score add up?",
        "common",
    ),
    _bug(
        "norm-after-rope",
        "_Attention.forward",
        _attention(rotate=_norm_after_rope),
        "normalises queries and keys after RoPE, so that gains meet other features.",
        "What comes first in Qwen 3?",
    ),
    _bug(
        "keys-not-normalised",
        "_Attention.forward",
        _attention(rotate=_norm_of_queries_only),
        "normalises queries, and no keys.",
        "Which weights have no gradient after backward()?",
    ),
    _bug(
        "one-norm-for-both",
        "_Attention.forward",
        _attention(rotate=_one_norm_for_both),
        "uses q_norm for the keys, too.",
        "Which weights have no gradient after backward()?",
    ),
    _setting(
        "window-ignored",
        lambda c: {"window": None, "full_every": None, "rope_in_full_layers": True},
        "has no windows.",
        "Does the first token change the logits far behind it, in a single layer?",
    ),
    _setting(
        "window-beside-itself",
        lambda c: {"window": None if c.window is None else c.window + 1},
        "has windows of one key too many: the query's own counts.",
        "How many keys does a query see with a window of 1?",
        "common",
    ),
    _setting(
        "all-layers-windowed",
        lambda c: {"full_every": None},
        "has a window in all layers, whatever full_every is.",
        "Which layers are full with full_every = 2?",
    ),
    _bug(
        "first-layer-full",
        "_make_block",
        _as_one_before,
        "has its full layers first in each group, but they come last.",
        "Which layers are full with full_every = 4?",
    ),
    _setting(
        "rope-in-all-layers",
        lambda c: {"rope_in_full_layers": True},
        "has RoPE in full layers, too, where these should know no position.",
        "Where does your code use rope_in_full_layers?",
    ),
    _bug(
        "rope-in-full-layers-only",
        "_make_block",
        _rope_in_full_only,
        "has RoPE in the full layers, and none in those with a window.",
        "Which layers of Command R7B know positions?",
        "rare",
    ),
    _bug(
        "gelu-of-gemma",
        "_make_network",
        _exact_gelu,
        "has the exact GELU in its gates where the one with tanh is asked for.",
        "How do the two GELUs differ at 2?",
    ),
    _bug(
        "gelu-of-gpt-j",
        "_make_network",
        _exact_gelu_without_gate,
        "has the exact GELU in its network where the one with tanh is asked for.",
        "How do the two GELUs differ at 2?",
    ),
    _bug(
        "bias-after-activation",
        "_make_network",
        _network(_bias_after_activation),
        "adds the first bias after the activation.",
        "What does ReLU give for an input of zeros, with biases below zero?",
        "rare",
    ),
    _bug(
        "second-bias-forgotten",
        "_make_network",
        _network(_second_bias_forgotten),
        "leaves out the second bias of its networks.",
        "Which weights have no gradient after backward()?",
    ),
    _bug(
        "biases-not-used",
        "_BiasedLinear.forward",
        _without_bias,
        "loads biases and does not add them.",
        "Which weights have no gradient after backward()?",
        "common",
    ),
    _setting(
        "logits-not-scaled",
        lambda c: {"logit_scale": 1.0},
        "does not multiply its logits by logit_scale.",
        "Where does your code use logit_scale?",
    ),
    _bug(
        "logits-divided",
        "LanguageModel.forward",
        _logits(head=_divided_logits),
        "divides logits by logit_scale.",
        "Are Cohere's logits larger or smaller for their scale of 1/16?",
    ),
    _bug(
        "gates-not-renormalised",
        "_make_block",
        _routed(_not_renormalised),
        "weighs experts by the softmax over all scores, so that the gates of a token add up to less than 1.",
        "What do the gates of one token add up to?",
        "common",
    ),
    _bug(
        "even-gates",
        "_make_block",
        _routed(_even_gates),
        "takes the mean of the chosen experts, without gates.",
        "Does the size of a score change your output?",
    ),
    _bug(
        "sigmoid-gates",
        "_make_block",
        _routed(_sigmoid_gates),
        "weighs experts by sigmoids of their scores, as DeepSeek-V3 does and Mixtral does not.",
        "What happens to the gates if 1 is added to all scores?",
        "rare",
    ),
    _bug(
        "best-expert-only",
        "_make_block",
        _routed(_best_only),
        "sends a token to its best expert only, whatever top_k is.",
        "Where does your code use top_k?",
    ),
    _bug(
        "all-experts-used",
        "_make_block",
        _routed(_all_experts),
        "sends a token to all experts, whatever top_k is.",
        "Where does your code use top_k?",
    ),
    _bug(
        "worst-experts",
        "_make_block",
        _routed(_lowest),
        "sends a token to the experts with the lowest scores.",
        "Is your order of scores rising or falling?",
        "rare",
    ),
    _bug(
        "gates-on-the-input",
        "_make_block",
        _routed(_right_gates, inside=True),
        "multiplies what experts read by the gates, and not what they give.",
        "Is an expert linear?",
    ),
    _bug(
        "long-sequences-cut",
        "LanguageModel.forward",
        _cut_off,
        "cuts a sequence that is longer than context_length, without a word.",
        "How many rows of logits come out?",
    ),
    _bug(
        "refuses-nothing",
        "check_config",
        lambda config: None,
        "does not check its configuration, so that what cannot be fails somewhere, or not at all.",
        "Which error does a num_kv_heads of 3 with 4 heads give?",
        "common",
    ),
    _bug(
        "assertion",
        "check_config",
        _asserting,
        "refuses by an AssertionError, which `python -O` leaves out; asked for is a ValueError.",
        "Which error does the docstring name?",
    ),
    _bug(
        "without-values",
        "_complaints",
        _without_values,
        "refuses without saying which values clash.",
        "What would you want to read?",
    ),
    _bug(
        "clashes-taken",
        "_complaints",
        _without("parallel_block"),
        "takes settings that clash, and one of them is ignored.",
        "What does shared_norm do without parallel_block?",
    ),
    _bug(
        "full-every-alone",
        "_complaints",
        _without("full_every"),
        "takes full_every without a window, which changes nothing.",
        "What is a full layer, if all are?",
        "rare",
    ),
)
