"""One configuration for all variants: what can be, builds, trains and is counted; what cannot be, is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode

from grader.cases.case import Draw
from grader.cases.weights import configured_shapes
from grader.fixtures.variant_curves import VARIANTS, check_variant, equal_in_size
from grader.kit.paths import KIT
from grader.reference.architecture import costs
from grader.reference.architecture.language_model import (
    FEED_FORWARDS,
    GATED,
    NORMS,
    PLACEMENTS,
    POSITIONS,
    ArchitectureConfig,
    LanguageModel,
    check_config,
    is_windowed,
)
from grader.reference.attention import scaled_dot_product_attention
from grader.reference.config import _architecture_of, load_config
from grader.reference.loss import cross_entropy
from grader.reference.optimizer import AdamW
from grader.reference.train import train
from grader.reference.transformer import TransformerLM

SIZES: dict[str, Any] = {
    "vocab_size": 11, "context_length": 9, "d_model": 16, "num_layers": 3, "num_heads": 4, "d_ff": 10,
}  # fmt: skip
DRAWN = 30


def config(**settings: Any) -> ArchitectureConfig:
    return ArchitectureConfig(**{**SIZES, **settings})


def drawn(number: int) -> ArchitectureConfig:
    """Any combination that can be. Lists are gone through in turn, so that each of their members comes up."""
    draw = Draw(number, "a model of any configuration")

    def coin() -> bool:
        return bool(draw.integer(0, 2))

    head_dim = draw.choice([4, 6])
    settings: dict[str, Any] = {
        "head_dim": head_dim,
        "num_kv_heads": draw.choice([None, 1, 2, 4]),
        "qk_norm": coin(),
        "attention_softcap": draw.choice([None, 5.0]),
        "window": draw.choice([None, 1, 3, 20]),
        "position": POSITIONS[number % len(POSITIONS)],
        "rope_layout": draw.choice(["interleaved", "halves"]),
        "rotary_dim": draw.choice([None, 2]),
        "rope_in_full_layers": coin(),
        "norm": NORMS[number // 2 % len(NORMS)],
        "norm_eps": 1e-6,
        "ffn": FEED_FORWARDS[number % len(FEED_FORWARDS)],
        "scale_embeddings": coin(),
        "tie_embeddings": coin(),
        "logit_scale": draw.choice([1.0, 0.5]),
        "logit_softcap": draw.choice([None, 10.0]),
    }
    if settings["position"] == "rope":
        settings |= {
            "rope_scaling": draw.choice([None, "linear", "yarn"]),
            "rope_factor": 2.0,
            "rope_original_length": 4,
        }
    if settings["window"] is not None:
        settings["full_every"] = draw.choice([None, 2, 3])
    if coin():
        settings |= {"num_experts": 4, "top_k": draw.choice([1, 2, 4])}
    if coin():
        settings |= {"parallel_block": True, "shared_norm": coin()}
    else:
        settings["norm_placement"] = PLACEMENTS[number % len(PLACEMENTS)]
    settings["ffn_bias"] = settings["ffn"] not in GATED and coin()
    settings["head_bias"] = not settings["tie_embeddings"] and coin()
    return config(**settings)


@pytest.mark.parametrize("number", range(DRAWN))
def test_any_combination_builds_trains_and_is_counted(number):
    chosen = drawn(number)
    with torch.random.fork_rng():
        torch.manual_seed(number)
        model = LanguageModel(chosen)
    assert sum(p.numel() for p in model.parameters()) == costs.total_parameters(chosen)

    ids = Draw(number, "token ids").integers(0, 11, 2, 8)
    with FlopCounterMode(display=False) as counter:
        loss = cross_entropy(model(ids[:, :-1]), ids[:, 1:])
    assert counter.get_total_flops() == sum(costs.component_flops(chosen, 2, 7).values())

    optimizer, first = AdamW(model.parameters(), lr=3e-3), loss.item()
    for _ in range(3):
        optimizer.zero_grad()
        loss = cross_entropy(model(ids[:, :-1]), ids[:, 1:])
        loss.backward()
        optimizer.step()
    idle = {name for name, weight in model.named_parameters() if weight.grad is None}
    assert not idle, f"no gradient reaches {idle}"
    assert cross_entropy(model(ids[:, :-1]), ids[:, 1:]).item() < first


def test_the_draws_have_every_choice():
    configs = [drawn(number) for number in range(DRAWN)]
    for name, choices in (
        ("norm", NORMS), ("position", POSITIONS), ("ffn", FEED_FORWARDS), ("norm_placement", PLACEMENTS),
        ("parallel_block", (True, False)), ("shared_norm", (True, False)), ("ffn_bias", (True, False)),
        ("tie_embeddings", (True, False)), ("num_experts", (0, 4)), ("qk_norm", (True, False)),
        ("full_every", (None, 2, 3)), ("attention_softcap", (None, 5.0)),
    ):  # fmt: skip
        assert {getattr(one, name) for one in configs} == set(choices), name


@pytest.mark.parametrize("number", range(0, DRAWN, 3))
def test_components_are_counted_by_name(number):
    chosen = drawn(number)
    model = LanguageModel(chosen, device="meta") if chosen.position != "rope" else LanguageModel(chosen)
    found = dict.fromkeys(costs.component_parameters(chosen), 0)
    for name, weight in model.named_parameters():
        kind = "norms" if "ln" in name or "_norm" in name else next(
            kind for kind, part in (("router", "router"), ("attention", ".attn."), ("ffn", ".ffn."),
                                    ("token_embeddings", "token_emb"),
                                    ("position_embeddings", "position_emb"), ("lm_head", "lm_head")) if part in name
        )  # fmt: skip
        found[kind] += weight.numel()
    assert found == costs.component_parameters(chosen)


def test_the_defaults_are_the_base_model():
    base = TransformerLM(11, 9, 16, 3, 2, 10, 10_000.0)
    model = LanguageModel(config(num_heads=2))
    model.load_state_dict(base.state_dict())
    ids = Draw(0, "token ids").integers(0, 11, 2, 9)
    assert torch.equal(model(ids), base(ids))


def test_mixtral_and_llama_have_the_published_sizes():
    mixtral = ArchitectureConfig(
        32_000, 32_768, 4096, 32, 32, 14_336, num_kv_heads=8, num_experts=8, top_k=2, rope_layout="halves"
    )
    assert costs.total_parameters(mixtral) == 46_702_792_704
    assert round(costs.active_parameters(mixtral) / 1e9, 1) == 12.9
    llama = ArchitectureConfig(128_256, 8192, 4096, 32, 32, 14_336, num_kv_heads=8)
    assert costs.total_parameters(llama) == 8_030_261_248
    assert costs.kv_cache_bytes(llama, 1, 8192) == 2**30


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"num_kv_heads": 3}, ("3", "4")),
        ({"num_kv_heads": 0}, ("num_kv_heads", "0")),
        ({"num_heads": 5}, ("5", "16")),
        ({"d_model": 0}, ("d_model", "0")),
        ({"head_dim": 5}, ("'rope'", "5")),
        ({"d_model": 12}, ("'rope'", "3")),
        ({"rotary_dim": 3, "head_dim": 4}, ("3", "4")),
        ({"rotary_dim": 6, "head_dim": 4}, ("6", "4")),
        ({"window": 0}, ("window", "0")),
        ({"full_every": 2}, ("full_every", "None")),
        ({"window": 2, "full_every": 0}, ("full_every", "0")),
        ({"num_experts": 2, "top_k": 3}, ("3", "2")),
        ({"num_experts": 2}, ("0", "2")),
        ({"top_k": 1}, ("1", "0")),
        ({"norm": "batchnorm"}, ("batchnorm", "rmsnorm")),
        ({"norm_placement": "middle"}, ("middle", "branch")),
        ({"position": "absolute"}, ("absolute", "alibi")),
        ({"rope_layout": "thirds"}, ("thirds", "halves")),
        ({"rope_scaling": "cubic"}, ("'cubic'", "yarn")),
        ({"rope_scaling": "yarn", "rope_factor": 0.5}, ("factor", "0.5")),
        ({"rope_scaling": "yarn", "position": "alibi"}, ("'yarn'", "'alibi'")),
        ({"d_model": 15, "num_heads": 3, "position": "sinusoidal"}, ("'sinusoidal'", "15")),
        ({"ffn": "swich"}, ("swich", "swish")),
        ({"parallel_block": True, "norm_placement": "post"}, ("parallel_block", "'post'")),
        ({"shared_norm": True}, ("shared_norm", "parallel_block")),
        ({"ffn_bias": True}, ("ffn_bias", "'swiglu'")),
        ({"head_bias": True, "tie_embeddings": True}, ("head_bias", "tie_embeddings")),
        ({"attention_softcap": 0.0}, ("attention_softcap", "0.0")),
        ({"logit_softcap": -1.0}, ("logit_softcap", "-1.0")),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_sentence(settings, named):
    with pytest.raises(ValueError, match=r"\A[^\n]+\.\Z") as refused:
        LanguageModel(config(**settings))
    assert all(name in str(refused.value) for name in named), refused.value


def test_what_can_be_is_not_refused():
    check_config(config(num_heads=5, head_dim=4))
    check_config(config(position="none"))
    check_config(config(head_dim=5, position="alibi"))
    assert [is_windowed(config(window=3, full_every=2), layer) for layer in range(4)] == [True, False, True, False]


# ------------------------------------------------------------------------------------------------------------
# Decoding, for real


def cached(attention: Any) -> list[Any]:
    """Makes an attention without positions keep its keys and values; gives the list that holds them."""
    kept: list[Any] = [None]

    def forward(x: torch.Tensor) -> torch.Tensor:
        q, new_k, new_v = (
            proj(x).unflatten(-1, (heads, -1)).transpose(-2, -3)
            for proj, heads in (
                (attention.q_proj, attention.num_heads),
                (attention.k_proj, attention.num_kv_heads),
                (attention.v_proj, attention.num_kv_heads),
            )
        )
        k, v = new_k, new_v
        if kept[0] is not None:
            k, v = torch.cat([kept[0][0], k], -2), torch.cat([kept[0][1], v], -2)
        if attention.window is not None:
            k, v = k[..., -attention.window :, :], v[..., -attention.window :, :]
        kept[0] = (k, v)
        group = attention.num_heads // attention.num_kv_heads
        seen = scaled_dot_product_attention(q, k.repeat_interleave(group, -3), v.repeat_interleave(group, -3))
        return attention.output_proj(seen.transpose(-2, -3).flatten(-2))

    attention.forward = forward
    return kept


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_kv_heads": 2, "window": 3},
        {"window": 3, "full_every": 2},
        {"num_experts": 4, "top_k": 2, "head_dim": 6},
    ],
)
def test_steps_with_a_cache_take_what_is_counted(settings):
    chosen = config(position="none", **settings)
    model = LanguageModel(chosen).double()
    ids = Draw(1, "token ids").integers(0, 11, 2, 8)
    expected = model(ids)
    caches = [cached(layer.attn) for layer in model.layers]
    for step in range(8):
        with FlopCounterMode(display=False) as counter:
            logits = model(ids[:, step : step + 1])
        torch.testing.assert_close(logits[:, 0], expected[:, step])
        assert counter.get_total_flops() == sum(costs.component_flops(chosen, 2, 1, step).values()), step
        held = sum(value.numel() * value.element_size() for (pair,) in caches for value in pair)
        assert held == costs.kv_cache_bytes(chosen, 2, step + 1, 8)


def test_one_sequence_is_bound_by_memory_and_a_prompt_is_not():
    llama = ArchitectureConfig(128_256, 8192, 4096, 32, 32, 14_336, num_kv_heads=8)
    assert 0.9 < costs.arithmetic_intensity(llama, 1, 1, 2048) < 1.1
    assert costs.arithmetic_intensity(llama, 1, 2048) > 1500


# ------------------------------------------------------------------------------------------------------------
# Training by variant


@pytest.fixture
def tokens(tmp_path):
    """Files of token ids."""
    ids = Draw(2, "tokens to train on").integers(0, 11, 200).numpy().astype("uint16")
    for name in ("train", "valid"):
        np.save(tmp_path / f"{name}.npy", ids)
    return tmp_path


def run_of(tokens, *settings: str):
    sizes = [f"{key}={value}" for key, value in SIZES.items()]
    data = [f"{name}_data={tokens / name}.npy" for name in ("train", "valid")]
    short = ["steps=2", "warmup_steps=1", "batch_size=2", "eval_batches=1", "device=cpu", f"out={tokens / 'run'}"]
    return load_config(KIT / "configs" / "experiment.toml", [*sizes, *data, *short, *settings])


def test_a_run_trains_the_variant_that_its_configuration_names(tokens):
    wanted = run_of(tokens, "architecture.num_kv_heads=2", "architecture.ffn=relu", "architecture.tie_embeddings=true")
    train(wanted)
    assert load_config(tokens / "run" / "config.toml") == wanted
    variant = config(num_kv_heads=2, ffn="relu", tie_embeddings=True)
    weights = load_file(tokens / "run" / "model.safetensors")
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == configured_shapes(
        dataclasses.asdict(variant)
    )
    with pytest.raises(ValueError, match="has a run with architecture = "):
        train(run_of(tokens, "architecture.num_kv_heads=1"))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("architecture.windw=8", "unknown setting 'windw'"),
        ("architecture.window=0", "window is 0"),
        ("architecture.num_kv_heads=3", "num_kv_heads is 3, which does not divide num_heads = 4"),
        ("architecture=3", "architecture is 3 .*table of settings"),
        ("max_lr.window=3", "max_lr, which is 0.01 and no table"),
    ],
)
def test_a_run_of_what_cannot_be_is_refused(tokens, setting, said):
    with pytest.raises(ValueError, match=said):
        run_of(tokens, setting)


def test_a_variant_that_is_not_in_the_model_is_found_out(tokens):
    """Settings that a run is said to have had, and that it had not."""
    run = tokens / "run"
    train(run_of(tokens, "architecture.logit_scale=3.0"))
    assert check_variant(run) == costs.total_parameters(config())
    honest = (run / "config.toml").read_text("utf-8")
    for changed, said in (
        (honest + "logit_softcap = 0.5\n", "and its weights have"),
        (honest.replace("logit_scale = 3.0", "logit_scale = 2.0"), "and its weights have"),
        (honest + "window = 200\n", "window = 200 makes no difference"),
        (honest + 'ffn = "relu"\n', "parameters, and its variant has"),
    ):
        (run / "config.toml").write_text(changed, "utf-8")
        with pytest.raises(ValueError, match=said):
            check_variant(run)


def test_two_ways_to_say_one_thing_are_not_mixed(tokens):
    with pytest.raises(ValueError, match="norm is 'post', but architecture has settings, too"):
        run_of(tokens, "norm=post", "architecture.window=8")


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_in_the_picture_are_of_one_size(name):
    base, one = (
        costs.total_parameters(_architecture_of(equal_in_size(VARIANTS[which], Path("data"), Path("out"))))
        for which in ("base model", name)
    )
    assert abs(one / base - 1) < 1e-3
