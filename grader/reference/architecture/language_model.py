"""A language model of which every choice of the lab is a setting.

The pieces are those of the base model and of this package; what is here puts them together. With its defaults, the
model is the base model, under the same names of weights.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ..attention import scaled_dot_product_attention, softmax
from ..layers import Embedding, Linear, RMSNorm
from .absolute_positions import LearnedPositions, SinusoidalPositions
from .activations import ACTIVATIONS, activation, gelu_tanh
from .attention_variants import _causal, _heads, _joined, _rotated
from .blocks import PLACEMENTS, NormPlacementBlock, ParallelBlock
from .feed_forward import GATES, GatedFeedForward
from .masks import window_mask
from .mixture import MixtureOfExperts
from .norms import LayerNorm
from .positions import LAYOUTS, PartialRotaryEmbedding, alibi_slopes
from .rope_scaling import RopeScaling, ScaledRotaryEmbedding, scaled_frequencies
from .stability import soft_cap

NORMS = ("rmsnorm", "layernorm", "layernorm_without_bias")
POSITIONS = ("rope", "alibi", "learned", "sinusoidal", "none")
GATED = (*GATES, "geglu_tanh")
FEED_FORWARDS = (*GATED, *ACTIVATIONS)


@dataclass(frozen=True)
class ArchitectureConfig:
    """What a language model is made of. The defaults are the base model's choices.

    Sizes
        vocab_size: number of token ids.
        context_length: length of the longest sequence that the model takes.
        d_model: size of the vectors between layers.
        num_layers: number of blocks.
        num_heads: query heads per block.
        d_ff: size of the feed-forward networks' hidden dimension; with experts, of each expert's.
    Attention
        num_kv_heads: heads of keys and values, which groups of neighbouring query heads share; None means num_heads.
        head_dim: features of a head; None means d_model / num_heads. Scores are divided by its root.
        qk_norm: whether queries and keys go through an RMSNorm over the features of a head, before RoPE.
        attention_softcap: a score s becomes cap * tanh(s / cap), before bias and mask; None means that it stays.
        window: keys that a query sees, its own among them; None means all up to its own.
        full_every: with a window, every full_every-th layer has none; None means that all have it. With 4, those are
            layers 3, 7, 11, ..., counted from 0.
    Positions
        position: one of POSITIONS; "learned" and "sinusoidal" are added to token embeddings.
        rope_theta: base of RoPE's wavelengths.
        rope_layout: "interleaved" or "halves": which features RoPE rotates as a pair.
        rotary_dim: features of a head that RoPE rotates; None means all.
        rope_scaling: one of SCALINGS, for sequences longer than in training; None means none.
        rope_factor, rope_original_length: its factor, and original_max_seq_len; see RopeScaling.
        rope_in_full_layers: whether layers without a window have RoPE, too, where others have one.
    Norms and blocks
        norm: one of NORMS.
        norm_eps: of all norms.
        norm_placement: "pre", "post", "branch" or "double", as for NormPlacementBlock. All have a final norm.
        parallel_block: whether attention and feed-forward network stand side by side. Asks for "pre".
        shared_norm: with parallel_block, whether both read the output of one norm.
    Feed-forward network
        ffn: one of FEED_FORWARDS: a gate, with three matrices, or an activation (with beta and alpha at 1), with two.
        ffn_bias: whether the two matrices of a network without a gate have biases.
        num_experts: feed-forward networks per block, among which a router chooses; 0 means one, and no router.
        top_k: experts that a token goes through, weighed by the softmax of their top_k scores.
    Embedding and head
        scale_embeddings: whether token embeddings are multiplied by the root of d_model.
        tie_embeddings: whether the head's weight is that of the embedding.
        head_bias: whether the head has a bias; a tied one has none.
        logit_scale: a factor of all logits.
        logit_softcap: a logit z becomes cap * tanh(z / cap); None means that it stays.

    Problem: architecture_accounting
    """

    vocab_size: int
    context_length: int
    d_model: int
    num_layers: int
    num_heads: int
    d_ff: int

    num_kv_heads: int | None = None
    head_dim: int | None = None
    qk_norm: bool = False
    attention_softcap: float | None = None
    window: int | None = None
    full_every: int | None = None

    position: str = "rope"
    rope_theta: float = 10_000.0
    rope_layout: str = "interleaved"
    rotary_dim: int | None = None
    rope_scaling: str | None = None
    rope_factor: float = 1.0
    rope_original_length: int = 8192
    rope_in_full_layers: bool = True

    norm: str = "rmsnorm"
    norm_eps: float = 1e-5
    norm_placement: str = "pre"
    parallel_block: bool = False
    shared_norm: bool = False

    ffn: str = "swiglu"
    ffn_bias: bool = False
    num_experts: int = 0
    top_k: int = 0

    scale_embeddings: bool = False
    tie_embeddings: bool = False
    head_bias: bool = False
    logit_scale: float = 1.0
    logit_softcap: float | None = None


def check_config(config: ArchitectureConfig) -> None:
    """Refuse what cannot be.

    Raises:
        ValueError: num_kv_heads does not divide num_heads, num_heads does not divide d_model and there is no head_dim,
            RoPE would rotate an odd number of features or more than a head has, a size or window is below 1, top_k is
            above num_experts, there is no such norm, placement, position, layout or ffn, or a setting asks for another
            one that is not there. The message is one sentence, and has the values that clash.

    Problem: model_families
    """
    for complaint in _complaints(config):
        raise ValueError(complaint)


class LanguageModel(nn.Module):
    """A decoder-only Transformer language model as its configuration says: token ids in, logits out.

    Its weights have the names of the base model's, and where a setting asks for more:

        token_embeddings.weight, layers.{i}.*, ln_final.weight, lm_head.weight
        position_embeddings.weight                         with learned positions
        *.bias                           of norms with a bias; of w1 and w2 with ffn_bias; lm_head.bias with head_bias
        attn.q_norm.weight, attn.k_norm.weight             with qk_norm
        ln1_out.weight, ln2_out.weight                     with norm_placement "double"
        ffn.router.weight                                  with experts, [num_experts, d_model]
        ffn.experts.{j}.w1.weight, .w2.weight, ...         with experts, in the place of ffn.w1.weight, ...

    There is no `ln2` with a shared norm, no `ffn.w3` without a gate, and no `lm_head.weight` with tied embeddings.

    Args:
        config: the choices.
        device: where the parameters live; None means torch's default.
        dtype: type of the parameters; None means torch's default.

    Raises:
        ValueError: the configuration cannot be; see `check_config`.

    Problem: model_families
    """

    def __init__(
        self, config: ArchitectureConfig, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        check_config(config)
        self.config, self.context_length = config, config.context_length
        self.token_embeddings = Embedding(config.vocab_size, config.d_model, device, dtype)
        self.position_embeddings: nn.Module = nn.Identity()
        if config.position == "learned":
            self.position_embeddings = LearnedPositions(config.context_length, config.d_model, device, dtype)
        elif config.position == "sinusoidal":
            self.position_embeddings = SinusoidalPositions(config.context_length, config.d_model, device=device)
        self.layers = nn.ModuleList(_make_block(config, layer, device, dtype) for layer in range(config.num_layers))
        self.ln_final = _make_norm(config, device, dtype)
        self.lm_head = None
        if config.tie_embeddings:
            std = config.d_model**-0.5  # the head's rows have length 1 then, so that first logits are not large
            nn.init.trunc_normal_(self.token_embeddings.weight, std=std, a=-3 * std, b=3 * std)
        else:
            self.lm_head = _BiasedLinear(config.d_model, config.vocab_size, config.head_bias, device, dtype)

    def forward(self, token_ids: Int[Tensor, " ... seq"]) -> Float[Tensor, " ... seq vocab_size"]:
        """Score every next token at every position. A sequence longer than context_length raises ValueError."""
        config, seq_len = self.config, token_ids.shape[-1]
        if seq_len > config.context_length:
            raise ValueError(f"The sequence has {seq_len} tokens, but context_length is {config.context_length}.")
        x = self.token_embeddings(token_ids)
        if config.scale_embeddings:
            x = x * torch.tensor(config.d_model**0.5, dtype=x.dtype)
        x = self.position_embeddings(x)
        for layer in self.layers:
            x = layer(x)
        x = self.ln_final(x)
        logits = x @ self.token_embeddings.weight.T if self.lm_head is None else self.lm_head(x)
        return _soft_capped(config.logit_scale * logits, config.logit_softcap)


def is_windowed(config: ArchitectureConfig, layer: int) -> bool:
    """Whether a layer, counted from 0, has the window.

    Problem: architecture_accounting
    """
    return config.window is not None and (config.full_every is None or (layer + 1) % config.full_every != 0)


# ------------------------------------------------------------------------------------------------------------
# The parts


class _Attention(nn.Module):
    """Causal self-attention of one layer."""

    def __init__(
        self, config: ArchitectureConfig, layer: int, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> None:
        super().__init__()
        d_k = config.head_dim or config.d_model // config.num_heads
        kv_heads = config.num_kv_heads or config.num_heads
        self.num_heads, self.num_kv_heads, self.softcap = config.num_heads, kv_heads, config.attention_softcap
        self.window = config.window if is_windowed(config, layer) else None
        self.q_proj = Linear(config.d_model, self.num_heads * d_k, device, dtype)
        self.k_proj = Linear(config.d_model, kv_heads * d_k, device, dtype)
        self.v_proj = Linear(config.d_model, kv_heads * d_k, device, dtype)
        self.output_proj = Linear(self.num_heads * d_k, config.d_model, device, dtype)
        self.q_norm = RMSNorm(d_k, config.norm_eps, device, dtype) if config.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(d_k, config.norm_eps, device, dtype) if config.qk_norm else nn.Identity()
        self.slopes = alibi_slopes(self.num_heads) if config.position == "alibi" else None
        self.rope = None
        if config.position == "rope" and (config.rope_in_full_layers or self.window is not None):
            self.rope = PartialRotaryEmbedding(
                config.rope_theta, d_k, config.context_length, config.rope_layout, config.rotary_dim, device
            )
            if config.rope_scaling is not None:
                self.rope.rope = ScaledRotaryEmbedding(
                    config.rope_theta, self.rope.rotary_dim, config.context_length, _scaling(config), device
                )

    def forward(self, x: Float[Tensor, " ... seq d_model"]) -> Float[Tensor, " ... seq d_model"]:
        q = self.q_norm(_heads(self.q_proj(x), self.num_heads))
        k = self.k_norm(_heads(self.k_proj(x), self.num_kv_heads))
        v = _heads(self.v_proj(x), self.num_kv_heads)
        q, k = _rotated(self.rope, q, k, None)
        k, v = (y.repeat_interleave(self.num_heads // self.num_kv_heads, dim=-3) for y in (k, v))
        mask = _causal(x) if self.window is None else window_mask(x.shape[-2], self.window, device=x.device)
        if self.slopes is None and self.softcap is None:
            return self.output_proj(_joined(scaled_dot_product_attention(q, k, v, mask)))
        return self.output_proj(_joined(self._attend(q, k, v, mask)))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Bool[Tensor, "seq seq"]) -> Tensor:
        scores = _soft_capped((q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1), self.softcap)
        if self.slopes is not None:
            positions = torch.arange(q.shape[-2], device=q.device)
            scores = scores - self.slopes.to(q)[:, None, None] * (positions.unsqueeze(-1) - positions)
        return softmax(scores.masked_fill(~mask, -math.inf), dim=-1) @ v


class _FeedForward(nn.Module):
    """The feed-forward network without a gate: W2 f(W1 x + b1) + b2."""

    def __init__(
        self, config: ArchitectureConfig, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> None:
        super().__init__()
        self.activation = activation(config.ffn)
        self.w1 = _BiasedLinear(config.d_model, config.d_ff, config.ffn_bias, device, dtype)
        self.w2 = _BiasedLinear(config.d_ff, config.d_model, config.ffn_bias, device, dtype)

    def forward(self, x: Float[Tensor, " ... d_model"]) -> Float[Tensor, " ... d_model"]:
        return self.w2(self.activation(self.w1(x)))


class _BiasedLinear(Linear):
    """A linear map with a bias, which starts at 0, or without."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__(in_features, out_features, device, dtype)
        self.bias = nn.Parameter(torch.zeros(out_features, device=device, dtype=dtype)) if bias else None

    def forward(self, x: Float[Tensor, " ... d_in"]) -> Float[Tensor, " ... d_out"]:
        y = super().forward(x)
        return y if self.bias is None else y + self.bias


class _Experts(MixtureOfExperts):
    """The lab's mixture, of networks that the configuration names; nothing is dropped, and no expert is shared."""

    def __init__(
        self, config: ArchitectureConfig, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> None:
        nn.Module.__init__(self)
        self.top_k, self.renormalise, self.capacity_factor, self.shared = config.top_k, True, None, None
        self.router = Linear(config.d_model, config.num_experts, device, dtype)
        self.experts = nn.ModuleList(_make_network(config, device, dtype) for _ in range(config.num_experts))


class _SequentialBlock(NormPlacementBlock):
    """Attention, then the feed-forward network; where the norms stand is settled in the class above."""

    def __init__(self, placement: str, attn: Any, ffn: Any, make_norm: Callable[[], Any]) -> None:
        nn.Module.__init__(self)
        self.placement, self.attn, self.ffn = placement, attn, ffn
        self.ln1, self.ln2 = make_norm(), make_norm()
        if placement == "double":
            self.ln1_out, self.ln2_out = make_norm(), make_norm()


class _SideBySideBlock(ParallelBlock):
    """Attention and the feed-forward network beside each other."""

    def __init__(self, shared_norm: bool, attn: Any, ffn: Any, make_norm: Callable[[], Any]) -> None:
        nn.Module.__init__(self)
        self.attn, self.ffn = attn, ffn
        self.ln1, self.ln2 = make_norm(), None if shared_norm else make_norm()


def _make_block(
    config: ArchitectureConfig, layer: int, device: torch.device | str | None, dtype: torch.dtype | None
) -> nn.Module:
    attn = _Attention(config, layer, device, dtype)
    make_ffn = _Experts if config.num_experts else _make_network
    ffn = make_ffn(config, device, dtype)

    def make_norm() -> nn.Module:
        return _make_norm(config, device, dtype)

    if config.parallel_block:
        return _SideBySideBlock(config.shared_norm, attn, ffn, make_norm)
    return _SequentialBlock(config.norm_placement, attn, ffn, make_norm)


def _make_network(
    config: ArchitectureConfig, device: torch.device | str | None, dtype: torch.dtype | None
) -> nn.Module:
    if config.ffn not in GATED:
        return _FeedForward(config, device, dtype)
    network = GatedFeedForward(
        config.d_model, config.d_ff, config.ffn if config.ffn in GATES else "geglu", device, dtype
    )
    if config.ffn == "geglu_tanh":
        network.gate = gelu_tanh
    return network


def _make_norm(config: ArchitectureConfig, device: torch.device | str | None, dtype: torch.dtype | None) -> nn.Module:
    if config.norm == "rmsnorm":
        return RMSNorm(config.d_model, config.norm_eps, device, dtype)
    bias = config.norm == "layernorm"
    return LayerNorm(config.d_model, config.norm_eps, bias=bias, device=device, dtype=dtype)


def _scaling(config: ArchitectureConfig) -> RopeScaling:
    return RopeScaling(config.rope_scaling or "", config.rope_factor, config.rope_original_length)


def _soft_capped(x: Float[Tensor, " ..."], cap: float | None) -> Float[Tensor, " ..."]:
    return x if cap is None else soft_cap(x, cap)


# ------------------------------------------------------------------------------------------------------------
# What cannot be


def _complaints(c: ArchitectureConfig) -> Iterator[str]:
    for kind, value, names in (
        ("norm", c.norm, NORMS),
        ("placement", c.norm_placement, PLACEMENTS),
        ("position", c.position, POSITIONS),
        ("layout", c.rope_layout, LAYOUTS),
        ("ffn", c.ffn, FEED_FORWARDS),
    ):
        if value not in names:
            yield f"no {kind} is called {value!r}; there are {', '.join(names)}."
    for name in ("vocab_size", "context_length", "d_model", "num_layers", "num_heads", "d_ff"):
        if getattr(c, name) < 1:
            yield f"{name} is {getattr(c, name)}, and must be at least 1."
    for name in ("num_kv_heads", "head_dim", "window", "full_every"):
        if getattr(c, name) is not None and getattr(c, name) < 1:
            yield f"{name} is {getattr(c, name)}, and must be at least 1, or None."
    for name in ("attention_softcap", "logit_softcap"):
        if getattr(c, name) is not None and not getattr(c, name) > 0:
            yield f"{name} is {getattr(c, name)}, and must be above 0, or None."
    if c.head_dim is None and c.d_model % c.num_heads:
        yield f"num_heads is {c.num_heads}, which does not divide d_model = {c.d_model}; give a head_dim, too."
    if c.num_kv_heads is not None and c.num_heads % c.num_kv_heads:
        yield f"num_kv_heads is {c.num_kv_heads}, which does not divide num_heads = {c.num_heads}."
    if c.position == "rope":
        d_k = c.head_dim or c.d_model // c.num_heads
        if c.rotary_dim is None and d_k % 2:
            yield f"position is 'rope', which rotates pairs of features, but a head has {d_k} of them."
        if c.rotary_dim is not None and (c.rotary_dim % 2 or not 2 <= c.rotary_dim <= d_k):
            yield f"rotary_dim is {c.rotary_dim}; RoPE needs an even number of features, and a head has {d_k}."
        if c.rope_scaling is not None:
            try:
                scaled_frequencies(c.rope_theta, c.rotary_dim or d_k, _scaling(c))
            except ValueError as error:
                yield str(error)
    elif c.rope_scaling is not None:
        yield f"rope_scaling is {c.rope_scaling!r}, but position is {c.position!r}: there is no RoPE."
    if c.position == "sinusoidal" and c.d_model % 2:
        yield f"position is 'sinusoidal', a sine and a cosine for each pair of features, but d_model is {c.d_model}."
    if c.full_every is not None and c.window is None:
        yield f"full_every is {c.full_every}, but window is None: all layers are full."
    if c.parallel_block and c.norm_placement != "pre":
        yield f"norm_placement is {c.norm_placement!r}, but parallel_block is True and normalises what it reads: 'pre'."
    if c.shared_norm and not c.parallel_block:
        yield "shared_norm is True, but parallel_block is False: branches one after the other have a norm each."
    if c.ffn_bias and c.ffn in GATED:
        yield f"ffn_bias is True, but ffn is {c.ffn!r}, a gate: these have no biases."
    if c.head_bias and c.tie_embeddings:
        yield "head_bias is True, but tie_embeddings is True, and an embedding has no bias."
    if c.num_experts < 0 or (c.num_experts and not 1 <= c.top_k <= c.num_experts):
        yield f"top_k is {c.top_k}, and must be from 1 to num_experts = {c.num_experts}."
    if c.top_k and not c.num_experts:
        yield f"top_k is {c.top_k}, but num_experts is 0: there is nothing to choose from."
