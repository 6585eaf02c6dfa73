"""The reference's accounting, against what is counted on real models and against published figures."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from grader.cases.case import Draw
from grader.cases.generators.transformer_accounting import drawn, family
from grader.reference.accounting import (
    ModelConfig,
    activation_counts,
    adamw_flops,
    flops_shares,
    forward_flops,
    matmul_flops,
    max_batch_size,
    num_parameters,
    parameter_counts,
    training_days,
    training_flops,
    training_memory,
)
from grader.reference.loss import cross_entropy
from grader.reference.optimizer import AdamW
from grader.reference.transformer import TransformerLM

GPT2_XL, GPT2_XL_OF_2025 = (ModelConfig(**family()[name]) for name in ("gpt2_xl", "gpt2_xl_of_2025"))


@pytest.fixture(params=range(3))
def config(request: pytest.FixtureRequest) -> ModelConfig:
    """Small random sizes; a head's is even, since RoPE turns pairs."""
    draw = Draw(request.param, "measured")
    num_heads = draw.integer(2, 5)
    sizes = drawn(draw, small=True) | {"num_heads": num_heads, "d_model": num_heads * 2 * draw.integer(1, 6)}
    return ModelConfig(**sizes)


def model_of(config: ModelConfig) -> TransformerLM:
    torch.manual_seed(0)
    return TransformerLM(**vars(config), rope_theta=1e4)


def component_of(name: str) -> str:
    """The key of `parameter_counts` that a parameter belongs to."""
    for part, component in {"attn.": "attention", "ffn.": "ffn", "ln": "norms"}.items():
        if part in name and not name.startswith(("token_embeddings", "lm_head")):
            return component
    return name.partition(".")[0]


def test_parameters_are_those_of_the_model(config):
    counted: dict[str, int] = {}
    for name, parameter in model_of(config).named_parameters():
        counted[component_of(name)] = counted.get(component_of(name), 0) + parameter.numel()
    assert counted == parameter_counts(config)
    assert sum(counted.values()) == num_parameters(config)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_flops_are_those_that_torch_counts(config, batch_size):
    model = model_of(config)
    token_ids = torch.zeros(batch_size, config.context_length, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        logits = model(token_ids)
    assert counter.get_total_flops() == forward_flops(config, batch_size)
    with FlopCounterMode(display=False) as counter:
        cross_entropy(logits, token_ids).backward()
    assert counter.get_total_flops() == training_flops(config, batch_size) - forward_flops(config, batch_size)


def test_flops_of_the_parts_are_those_that_torch_counts(config):
    with FlopCounterMode(display=False) as counter:
        model_of(config)(torch.zeros(1, config.context_length, dtype=torch.int64))
    found = counter.get_flop_counts()
    flops = matmul_flops(config)
    for name, keys in {
        "lm_head": ("lm_head",),
        "layers.0.ffn.w1": ("w1",),
        "layers.0.ffn.w2": ("w2",),
        "layers.0.ffn.w3": ("w3",),
        "layers.0.ffn": ("w1", "w2", "w3"),
        "layers.0.attn": ("q_proj", "k_proj", "v_proj", "attention_scores", "weighted_values", "output_proj"),
    }.items():
        layers = 1 if name == "lm_head" else config.num_layers
        assert layers * sum(found[f"TransformerLM.{name}"].values()) == sum(flops[key] for key in keys), name


def test_optimizer_state_is_what_adamw_keeps(config):
    model = model_of(config)
    optimizer = AdamW(model.parameters())
    model(torch.zeros(1, 2, dtype=torch.int64)).sum().backward()
    optimizer.step()
    moments = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    memory = training_memory(config, batch_size=1)
    assert sum(moment.nbytes for moment in moments) == memory["optimizer_state"]
    assert sum(parameter.nbytes for parameter in model.parameters()) == memory["parameters"]
    assert sum(p.grad.nbytes for p in model.parameters() if p.grad is not None) == memory["gradients"]


def test_gpt2_xl():
    """The figures that people who have done this by hand arrive at."""
    assert num_parameters(GPT2_XL) == 2 * 50_257 * 1600 + 48 * (4 * 1600**2 + 3 * 1600 * 4288 + 2 * 1600) + 1600
    assert num_parameters(GPT2_XL) == 1_640_452_800
    assert forward_flops(GPT2_XL) == pytest.approx(3.517e12, rel=1e-3)
    assert adamw_flops(GPT2_XL) == 14 * 1_640_452_800
    assert training_days(GPT2_XL, 400_000, 1024, 495e12, 0.5) == pytest.approx(202.1, abs=0.1)
    assert max_batch_size(GPT2_XL, 80 * 10**9) == 3


def test_gpt2_xl_of_2025():
    """The same for the sizes of the handout of 2025, whose feed-forward networks are 4 d_model wide."""
    assert num_parameters(GPT2_XL_OF_2025) == 2_127_057_600
    assert forward_flops(GPT2_XL_OF_2025) == pytest.approx(4.513e12, rel=1e-3)
    assert adamw_flops(GPT2_XL_OF_2025) == 14 * 2_127_057_600
    assert training_days(GPT2_XL_OF_2025, 400_000, 1024, 19.5e12, 0.5) == pytest.approx(6583.6, abs=0.1)
    assert max_batch_size(GPT2_XL_OF_2025, 80 * 10**9) == 2
    assert max_batch_size(GPT2_XL_OF_2025, 80 * 2**30) == 2


def test_long_context_is_dominated_by_attention():
    shares = flops_shares(ModelConfig(**family()["gpt2_xl"] | {"context_length": 16_384}))
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=lambda name: shares[name]) == "attention_products"


def test_activations_of_a_block_by_hand():
    """With every size a power of ten, each entry shows which sizes it is made of."""
    config = ModelConfig(vocab_size=10**6, context_length=10, num_layers=1, d_model=10**3, num_heads=10**2, d_ff=10**4)
    counts = activation_counts(config, batch_size=1)
    assert counts == {
        "norms": 2 * 10**4,
        "qkv_projections": 3 * 10**4,
        "attention_scores": 10**4,
        "softmax": 10**4,
        "weighted_values": 10**4,
        "output_proj": 10**4,
        "w1": 10**5,
        "silu": 10**5,
        "w3": 10**5,
        "gate": 10**5,
        "w2": 10**4,
        "final_norm": 10**4,
        "lm_head": 10**7,
        "cross_entropy": 10**7,
    }
    assert activation_counts(config, batch_size=7) == {name: 7 * count for name, count in counts.items()}


def test_a_batch_of_the_largest_size_fits_and_one_more_does_not(config):
    for memory in (10**6, 10**7, 123_456_789):
        size = max_batch_size(config, memory)
        assert sum(training_memory(config, size + 1).values()) > memory
        assert size == 0 or sum(training_memory(config, size).values()) <= memory
