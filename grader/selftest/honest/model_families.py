"""A model of any configuration, right and written differently."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from grader.misconceptions.catalogue import Variant
from grader.reference.architecture.absolute_positions import sinusoidal_table
from grader.reference.architecture.activations import activation
from grader.reference.architecture.language_model import GATED, check_config
from grader.reference.architecture.positions import alibi_slopes
from grader.reference.architecture.rope_scaling import RopeScaling, attention_factor, scaled_frequencies


def _by_hand(config, weights, token_ids):
    """Functions over the dict of weights, without a module."""
    from grader.reference.architecture.language_model import ArchitectureConfig

    c = ArchitectureConfig(**config)
    check_config(c)
    if token_ids.shape[-1] > c.context_length:
        raise ValueError(f"{token_ids.shape[-1]} tokens are more than context_length = {c.context_length}.")
    d_k = c.head_dim or c.d_model // c.num_heads
    groups = c.num_heads // (c.num_kv_heads or c.num_heads)
    x = weights["token_embeddings.weight"][token_ids] * (math.sqrt(c.d_model) if c.scale_embeddings else 1)
    n = x.shape[-2]

    if c.position == "learned":
        x = x + weights["position_embeddings.weight"][:n]
    if c.position == "sinusoidal":
        x = x + sinusoidal_table(n, c.d_model).to(x)

    def norm(x: Tensor, name: str, plain: bool = False) -> Tensor:
        if c.norm != "rmsnorm" and not plain:
            x = x - x.mean(-1, keepdim=True)
        x = x / torch.sqrt((x * x).mean(-1, keepdim=True) + c.norm_eps) * weights[f"{name}.weight"]
        return x + weights[f"{name}.bias"] if f"{name}.bias" in weights else x

    def rotate(x: Tensor) -> Tensor:
        m = d_k if c.rotary_dim is None else c.rotary_dim
        k = torch.arange(m // 2, dtype=torch.float64)
        frequencies, factor = c.rope_theta ** (-2 * k / m), 1.0
        if c.rope_scaling is not None:
            scaling = RopeScaling(c.rope_scaling, c.rope_factor, c.rope_original_length)
            frequencies, factor = scaled_frequencies(c.rope_theta, m, scaling).double(), attention_factor(scaling)
        angle = torch.arange(n, dtype=torch.float64)[:, None] * frequencies
        cos, sin = (factor * angle.cos()).to(x), (factor * angle.sin()).to(x)
        y = x.clone()
        a, b = (slice(0, m, 2), slice(1, m, 2)) if c.rope_layout == "interleaved" else (slice(m // 2), slice(m // 2, m))
        y[..., a], y[..., b] = x[..., a] * cos - x[..., b] * sin, x[..., a] * sin + x[..., b] * cos
        return y

    def cap(x: Tensor, limit: float | None) -> Tensor:
        return x if limit is None else limit * torch.tanh(x / limit)

    def attention(x: Tensor, layer: int) -> Tensor:
        place = f"layers.{layer}.attn"
        windowed = c.window is not None and not (c.full_every and layer % c.full_every == c.full_every - 1)
        q, k, v = (x @ weights[f"{place}.{name}_proj.weight"].T for name in "qkv")
        heads = []
        for h in range(c.num_heads):
            g = h // groups
            one, two, three = q[..., h * d_k :][..., :d_k], k[..., g * d_k :][..., :d_k], v[..., g * d_k :][..., :d_k]
            if c.qk_norm:
                one, two = norm(one, f"{place}.q_norm", True), norm(two, f"{place}.k_norm", True)
            if c.position == "rope" and (windowed or c.rope_in_full_layers):
                one, two = rotate(one), rotate(two)
            scores = cap(one @ two.transpose(-1, -2) / d_k**0.5, c.attention_softcap)
            behind = torch.arange(n)[:, None] - torch.arange(n)
            if c.position == "alibi":
                scores = scores - float(alibi_slopes(c.num_heads)[h]) * behind
            hidden = (behind < 0) | (behind >= (c.window or n if windowed else n))
            heads.append(torch.softmax(scores.masked_fill(hidden, -math.inf), -1) @ three)
        return torch.cat(heads, -1) @ weights[f"{place}.output_proj.weight"].T

    def matrix(x: Tensor, name: str) -> Tensor:
        y = x @ weights[f"{name}.weight"].T
        return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y

    def network(x: Tensor, place: str) -> Tensor:
        if c.ffn not in GATED:
            return matrix(activation(c.ffn)(matrix(x, f"{place}.w1")), f"{place}.w2")
        gates = {
            "swiglu": lambda z: z * z.sigmoid(),
            "geglu": activation("gelu"),
            "geglu_tanh": activation("gelu_tanh"),
            "reglu": activation("relu"),
            "glu": torch.sigmoid,
            "bilinear": lambda z: z,
        }
        return matrix(gates[c.ffn](matrix(x, f"{place}.w1")) * matrix(x, f"{place}.w3"), f"{place}.w2")

    def feed_forward(x: Tensor, layer: int) -> Tensor:
        place = f"layers.{layer}.ffn"
        if not c.num_experts:
            return network(x, place)
        probabilities = torch.softmax(matrix(x, f"{place}.router"), -1)
        last = probabilities.sort(-1, descending=True).values[..., c.top_k - 1 : c.top_k]
        gates = torch.where(probabilities >= last, probabilities, 0)
        gates = gates / gates.sum(-1, keepdim=True)
        every = torch.stack([network(x, f"{place}.experts.{j}") for j in range(c.num_experts)], -1)
        return (every * gates.unsqueeze(-2)).sum(-1)

    for layer in range(c.num_layers):
        ln = f"layers.{layer}.ln"
        if c.parallel_block:
            one = norm(x, f"{ln}1")
            x = x + attention(one, layer) + feed_forward(one if c.shared_norm else norm(x, f"{ln}2"), layer)
            continue
        for i, branch in ((1, attention), (2, feed_forward)):
            match c.norm_placement:
                case "pre":
                    x = x + branch(norm(x, f"{ln}{i}"), layer)
                case "post":
                    x = norm(x + branch(x, layer), f"{ln}{i}")
                case "branch":
                    x = x + norm(branch(x, layer), f"{ln}{i}")
                case _:
                    x = x + norm(branch(norm(x, f"{ln}{i}"), layer), f"{ln}{i}_out")
    x = norm(x, "ln_final")
    logits = x @ weights["token_embeddings.weight"].T if c.tie_embeddings else matrix(x, "lm_head")
    return cap(logits * c.logit_scale, c.logit_softcap)


def _scaled_table(self, token_ids):
    """Cohere's scale on the last vectors, where they are fewer numbers than the logits."""
    config = self.config
    if token_ids.shape[-1] > config.context_length:
        raise ValueError(f"context_length is {config.context_length}, and there are {token_ids.shape[-1]} tokens.")
    x = self.token_embeddings(token_ids)
    x = x * math.sqrt(config.d_model) if config.scale_embeddings else x
    x = self.position_embeddings(x)
    for layer in self.layers:
        x = layer(x)
    x = self.ln_final(x) * config.logit_scale
    logits = x @ self.token_embeddings.weight.T if self.lm_head is None else x @ self.lm_head.weight.T
    if self.lm_head is not None and self.lm_head.bias is not None:
        logits = logits + config.logit_scale * self.lm_head.bias
    return logits if config.logit_softcap is None else config.logit_softcap * (logits / config.logit_softcap).tanh()


VARIANTS = (
    Variant("model-families-by-hand", "model_families", {"adapters.run_language_model": _by_hand}),
    Variant(
        "model-families-scaled-table",
        "model_families",
        {"architecture.language_model.LanguageModel.forward": _scaled_table},
    ),
)
