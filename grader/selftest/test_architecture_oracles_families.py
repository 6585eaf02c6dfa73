"""The lab's model gives the logits of the models of transformers whose settings and weights it gets.

`transformers` is optional (`make oracles`): where it is missing, these tests are skipped. Its models are built from toy
configurations, with weights of our own; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from grader.cases.case import Draw
from grader.cases.generators.model_families import FAMILIES, sized
from grader.cases.weights import configured_shapes, draw_weights
from grader.reference import adapters

Weights = dict[str, Tensor]

NAMES = {
    "token_embeddings": "model.embed_tokens",
    "ln_final": "model.norm",
    "lm_head": "lm_head",
    "attn.q_proj": "self_attn.q_proj",
    "attn.k_proj": "self_attn.k_proj",
    "attn.v_proj": "self_attn.v_proj",
    "attn.output_proj": "self_attn.o_proj",
    "attn.q_norm": "self_attn.q_norm",
    "attn.k_norm": "self_attn.k_norm",
    "ffn.w1": "mlp.gate_proj",
    "ffn.w2": "mlp.down_proj",
    "ffn.w3": "mlp.up_proj",
    "ffn.router": "mlp.gate",
    "ln1": "input_layernorm",
    "ln2": "post_attention_layernorm",
}
GEMMA = {
    **NAMES,
    "ln1_out": "post_attention_layernorm",
    "ln2": "pre_feedforward_layernorm",
    "ln2_out": "post_feedforward_layernorm",
}
GPT_J = {
    "token_embeddings": "transformer.wte",
    "ln_final": "transformer.ln_f",
    "lm_head": "lm_head",
    **{f"attn.{name}": f"attn.{name}" for name in ("q_proj", "k_proj", "v_proj")},
    "attn.output_proj": "attn.out_proj",
    "ffn.w1": "mlp.fc_in",
    "ffn.w2": "mlp.fc_out",
    "ln1": "ln_1",
}


def renamed(weights: Weights, names: dict[str, str], layers: str = "model.layers") -> Weights:
    """Our weights under the names of transformers."""
    result = {}
    for name, weight in weights.items():
        module, _, parameter = name.rpartition(".")
        place = ""
        if module.startswith("layers."):
            _, layer, module = module.split(".", 2)
            place = f"{layers}.{layer}."
        result[f"{place}{names[module]}.{parameter}"] = weight
    return result


def with_gains_less_one(weights: Weights) -> Weights:
    """Gemma keeps gains as their difference from 1."""
    return {name: weight - 1 if "norm" in name else weight for name, weight in weights.items()}


def with_experts_in_one(weights: Weights) -> Weights:
    """The experts of a layer as two tensors, gate and up in one of them."""
    result = {name: weight for name, weight in weights.items() if "experts" not in name}
    for layer in range(2):
        of = {
            w: torch.stack([weights[f"layers.{layer}.ffn.experts.{j}.{w}.weight"] for j in range(4)])
            for w in ("w1", "w2", "w3")
        }
        result[f"model.layers.{layer}.mlp.experts.gate_up_proj"] = torch.cat([of["w1"], of["w3"]], dim=1)
        result[f"model.layers.{layer}.mlp.experts.down_proj"] = of["w2"]
    return result


def of_mixtral(weights: Weights) -> Weights:
    joined = with_experts_in_one(weights)
    ours = {name: weight for name, weight in joined.items() if name in weights}
    return renamed(ours, NAMES) | {name: weight for name, weight in joined.items() if name not in ours}


def rope(theta: float = 10_000.0) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": theta}}


FAMILIES_OF_TRANSFORMERS: dict[str, tuple[str, dict[str, Any], Callable[[Weights], Weights]]] = {
    "llama": ("Llama", {"rms_norm_eps": 1e-6, **rope()}, lambda w: renamed(w, NAMES)),
    "gemma_2": (
        "Gemma2",
        {
            "head_dim": 6, "query_pre_attn_scalar": 6, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0,
            "sliding_window": 3, "rms_norm_eps": 1e-6, **rope(),
        },
        lambda w: with_gains_less_one(renamed(w, GEMMA)),
    ),
    "gpt_j": ("GPTJ", {"rotary_dim": 2}, lambda w: renamed(w, GPT_J, "transformer.h")),
    "cohere": ("Cohere", {"logit_scale": 0.0625, **rope(5e5)}, lambda w: renamed(w, NAMES)),
    "cohere_2": (
        "Cohere2",
        {
            "logit_scale": 0.25, "sliding_window": 3, "layer_types": 3 * ["sliding_attention"] + ["full_attention"],
            "num_hidden_layers": 4, **rope(5e4),
        },
        lambda w: renamed(w, NAMES),
    ),
    "qwen_3": ("Qwen3", {"head_dim": 6, "rms_norm_eps": 1e-6, **rope()}, lambda w: renamed(w, NAMES)),
    "mixtral": (
        "Mixtral",
        {"num_local_experts": 4, "num_experts_per_tok": 2, "experts_implementation": "eager", **rope(1e6)},
        of_mixtral,
    ),
}  # fmt: skip


def test_every_family_is_compared():
    assert FAMILIES_OF_TRANSFORMERS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_transformers(family):
    transformers = pytest.importorskip("transformers", reason="transformers is an optional oracle")
    name, settings, convert = FAMILIES_OF_TRANSFORMERS[family]
    sizes = {
        "vocab_size": 13, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24,
        "num_key_value_heads": 2, "max_position_embeddings": 12,
    }  # fmt: skip
    if name == "GPTJ":
        sizes = {"vocab_size": 13, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_inner": 24, "n_positions": 12}
    tokens = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    theirs_config = getattr(transformers, f"{name}Config")(
        **{**sizes, **tokens, "attn_implementation": "eager", **settings}
    )
    theirs = getattr(transformers, f"{name}ForCausalLM")(theirs_config).double().eval()

    draw, config = Draw(5, family), sized(FAMILIES[family])
    weights = {key: weight.double() for key, weight in draw_weights(draw, configured_shapes(config)).items()}
    missing, unexpected = theirs.load_state_dict(convert(weights), strict=False)
    assert not unexpected
    assert missing in ([], ["lm_head.weight"])  # the same tensor as the embedding, where it is tied
    ids = draw.integers(0, 13, 2, 11)
    with torch.no_grad():
        given = theirs(ids).logits
    ours = adapters.run_language_model(config, weights, ids)
    assert given.std() > 0.05
    torch.testing.assert_close(ours, given, rtol=1e-5, atol=1e-5)  # their norms compute in float32
