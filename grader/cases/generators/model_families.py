"""Cases for models of any configuration: the families that people use, at toy sizes, and one setting at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..case import Case, Draw
from ..compare import Tolerance
from ..weights import configured_shapes, weight_recipes

ADAPTER = "run_language_model"
# Errors of float32: correct implementations differ by up to 2e-6. The two GELUs differ by more than 5e-5.
TOLERANCE = Tolerance(2e-5)
Config = dict[str, Any]

FAMILIES: dict[str, Config] = {
    "llama": {"num_kv_heads": 2, "rope_layout": "halves", "norm_eps": 1e-6},
    "gemma_2": {
        "num_kv_heads": 2, "head_dim": 6, "rope_layout": "halves", "norm_placement": "double", "norm_eps": 1e-6,
        "ffn": "geglu_tanh", "attention_softcap": 2.0, "logit_softcap": 3.0, "window": 3, "full_every": 2,
        "scale_embeddings": True, "tie_embeddings": True,
    },
    "gpt_j": {
        "norm": "layernorm", "parallel_block": True, "shared_norm": True, "rotary_dim": 2, "ffn": "gelu_tanh",
        "ffn_bias": True, "head_bias": True,
    },
    "cohere": {
        "num_kv_heads": 2, "norm": "layernorm_without_bias", "parallel_block": True, "shared_norm": True,
        "rope_theta": 5e5, "tie_embeddings": True, "logit_scale": 0.0625,
    },
    "cohere_2": {
        "num_kv_heads": 2, "norm": "layernorm_without_bias", "parallel_block": True, "shared_norm": True,
        "rope_theta": 5e4, "tie_embeddings": True, "logit_scale": 0.25, "window": 3, "full_every": 4,
        "rope_in_full_layers": False, "num_layers": 4,
    },
    "qwen_3": {"num_kv_heads": 2, "head_dim": 6, "qk_norm": True, "rope_layout": "halves", "norm_eps": 1e-6},
    "mixtral": {
        "num_kv_heads": 2, "rope_layout": "halves", "rope_theta": 1e6, "num_experts": 4, "top_k": 2,
    },
}  # fmt: skip
"""What makes these models what they are, with caps and windows small enough that they show in a few tokens."""

OTHERS: dict[str, Config] = {
    "alibi": {"position": "alibi", "ffn": "gelu"},
    "nope": {"position": "none", "ffn": "squared_relu"},
    "learned": {"position": "learned", "norm": "layernorm", "ffn": "gelu_tanh", "ffn_bias": True},
    "sinusoidal": {"position": "sinusoidal", "norm_placement": "post", "ffn": "relu", "scale_embeddings": True},
    "llama_3_1": {"rope_layout": "halves", "rope_scaling": "llama3", "rope_factor": 4.0, "rope_original_length": 16},
    "yarn": {"rope_scaling": "yarn", "rope_factor": 4.0, "rope_original_length": 64, "rotary_dim": 2, "head_dim": 4},
    "post": {"norm_placement": "post", "norm_eps": 0.1},
    "branch": {"norm_placement": "branch", "qk_norm": True, "norm_eps": 0.1},
    "two_norms": {"parallel_block": True},
    "capped_alibi": {"position": "alibi", "attention_softcap": 1.5, "window": 3},
    "experts_without_gate": {"num_experts": 3, "top_k": 2, "ffn": "relu"},
    "one_expert": {"num_experts": 3, "top_k": 1},
}


def sized(settings: Config) -> Config:
    """A configuration of toy size."""
    sizes = {"vocab_size": 13, "context_length": 12, "d_model": 16, "num_layers": 2, "num_heads": 4, "d_ff": 24}
    return {**sizes, **settings}


def generate(draw: Draw) -> Iterator[Case]:
    def inputs(config: Config, batch: int, length: int) -> dict[str, Any]:
        weights = weight_recipes(draw, configured_shapes(config))
        return {
            "config": config,
            "weights": weights,
            "token_ids": draw.integers(0, config["vocab_size"], batch, length),
        }

    def case(group: str, name: str, settings: Config, batch: int = 2, length: int = 6) -> Case:
        return Case(f"{group}_{name}", ADAPTER, inputs(sized(settings), batch, length), group, TOLERANCE)

    yield case("defaults", "batch", {})
    yield case("defaults", "one_token", {"num_heads": 1, "d_ff": 40}, length=1)
    for name, settings in FAMILIES.items():
        yield case(name, "batch", settings)
        yield case(name, "long", settings, batch=1, length=12)
    for name in ("learned", "sinusoidal"):
        yield case("added_positions", name, OTHERS[name])
    for name in ("llama_3_1", "yarn"):
        yield case("scaled", name, OTHERS[name], batch=1, length=12)
    for name in ("alibi", "nope"):
        yield case("positions", name, OTHERS[name])
    for name in ("post", "branch", "two_norms"):
        yield case("blocks", name, OTHERS[name])
    yield case("combined", "capped_alibi", OTHERS["capped_alibi"])
    for name in ("experts_without_gate", "one_expert"):
        yield case("experts", name, OTHERS[name])
