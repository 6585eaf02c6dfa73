"""Names and shapes of the weights that the block and the language model take, and how to draw them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .assets import Recipe
from .case import Draw

Shapes = Mapping[str, tuple[int, ...]]

_MULTIPLE = 64


def usual_d_ff(d_model: int) -> int:
    """The hidden size that the assignment asks of SwiGLU, 8/3 of d_model as a multiple of 64.

    Submissions compute it, round to it in one way or another, or insist on it, as the assignment's text allows: what
    every one of them has to do right therefore comes in sizes on which they all agree. Other sizes belong to claims
    that are not core.

    Raises:
        ValueError: when rounding would decide, that is when d_model is no multiple of 24.
    """
    if d_model <= 0 or 8 * d_model % (3 * _MULTIPLE):
        raise ValueError(f"8/3 of d_model = {d_model} is no multiple of {_MULTIPLE}: take a multiple of 24.")
    return 8 * d_model // 3


def block_shapes(d_model: int, d_ff: int) -> Shapes:
    """Shapes of the `weights` of `run_transformer_block`."""
    return {
        "attn.q_proj.weight": (d_model, d_model),
        "attn.k_proj.weight": (d_model, d_model),
        "attn.v_proj.weight": (d_model, d_model),
        "attn.output_proj.weight": (d_model, d_model),
        "ln1.weight": (d_model,),
        "ffn.w1.weight": (d_ff, d_model),
        "ffn.w2.weight": (d_model, d_ff),
        "ffn.w3.weight": (d_ff, d_model),
        "ln2.weight": (d_model,),
    }


def lm_shapes(vocab_size: int, d_model: int, num_layers: int, d_ff: int) -> Shapes:
    """Shapes of the `weights` of `run_transformer_lm`."""
    block = block_shapes(d_model, d_ff)
    return {
        "token_embeddings.weight": (vocab_size, d_model),
        **{f"layers.{i}.{name}": shape for i in range(num_layers) for name, shape in block.items()},
        "ln_final.weight": (d_model,),
        "lm_head.weight": (vocab_size, d_model),
    }


def configured_shapes(config: Mapping[str, Any]) -> Shapes:
    """Shapes of the `weights` of `run_language_model`; the configuration says what differs from the defaults."""
    c = {"num_kv_heads": config["num_heads"], "head_dim": config["d_model"] // config["num_heads"]}
    c |= {setting: value for setting, value in config.items() if value is not None}
    d, d_ff, d_k, kv_width = c["d_model"], c["d_ff"], c["head_dim"], c["num_kv_heads"] * c["head_dim"]
    width = c["num_heads"] * d_k

    def norm(name: str) -> dict[str, tuple[int, ...]]:
        biased = c.get("norm") == "layernorm"
        return {f"{name}.weight": (d,), **({f"{name}.bias": (d,)} if biased else {})}

    block = {
        "attn.q_proj.weight": (width, d),
        "attn.k_proj.weight": (kv_width, d),
        "attn.v_proj.weight": (kv_width, d),
        "attn.output_proj.weight": (d, width),
        **({"attn.q_norm.weight": (d_k,), "attn.k_norm.weight": (d_k,)} if c.get("qk_norm") else {}),
        **norm("ln1"),
        **({} if c.get("shared_norm") else norm("ln2")),
        **({**norm("ln1_out"), **norm("ln2_out")} if c.get("norm_placement") == "double" else {}),
    }
    network: dict[str, tuple[int, ...]] = {"w1.weight": (d_ff, d), "w2.weight": (d, d_ff)}
    if c.get("ffn", "swiglu").endswith("glu") or c.get("ffn") in ("bilinear", "geglu_tanh"):
        network["w3.weight"] = (d_ff, d)
    if c.get("ffn_bias"):
        network |= {"w1.bias": (d_ff,), "w2.bias": (d,)}
    if count := c.get("num_experts", 0):
        block["ffn.router.weight"] = (count, d)
    for place in [f"ffn.experts.{j}." for j in range(count)] or ["ffn."]:
        block |= {f"{place}{name}": shape for name, shape in network.items()}
    head = {} if c.get("tie_embeddings") else {"lm_head.weight": (c["vocab_size"], d)}
    return {
        "token_embeddings.weight": (c["vocab_size"], d),
        **({"position_embeddings.weight": (c["context_length"], d)} if c.get("position") == "learned" else {}),
        **{f"layers.{i}.{name}": shape for i in range(c["num_layers"]) for name, shape in block.items()},
        **norm("ln_final"),
        **head,
        **({"lm_head.bias": (c["vocab_size"],)} if c.get("head_bias") else {}),
    }


def draw_weights(draw: Draw, shapes: Shapes) -> dict[str, Tensor]:
    """Weights under which every part of a model shows in its output.

    Gains differ from 1; queries and keys are large enough that attention is far from uniform, as it is in a trained
    model and is not in a new one.
    """
    return {name: _draw(draw, name, shape) for name, shape in shapes.items()}


def weight_recipes(draw: Draw, shapes: Shapes) -> dict[str, Tensor | Recipe]:
    """The same as recipes, for models of which a file should not hold every number; gains are few and stay tensors."""
    return {
        name: _draw(draw, name, shape) if len(shape) == 1 else draw.recipe(*shape, scale=_scale(name, shape))
        for name, shape in shapes.items()
    }


def _draw(draw: Draw, name: str, shape: tuple[int, ...]) -> Tensor:
    if len(shape) == 1:
        return draw.uniform(*shape, low=0.5, high=1.5)
    return draw.normal(*shape, scale=_scale(name, shape))


def _scale(name: str, shape: tuple[int, ...]) -> float:
    """The standard deviation of a weight matrix."""
    if name.startswith("token_embeddings"):
        return 1.0
    gain = 1.6 if "q_proj" in name or "k_proj" in name else 1.0
    return gain / math.sqrt(shape[-1])
