"""Stability, mixtures of experts and number formats agree with implementations that are not ours.

`torch` is always there. `transformers` and `ml_dtypes` are optional (`make oracles`): where they are missing, their
tests are skipped. Their models are built from toy configurations; nothing is downloaded.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from grader.cases.case import Draw
from grader.reference import adapters
from grader.selftest.oracles import module_of, same, wide

# ------------------------------------------------------------------------------------------------------------
# stability


def test_capped_attention_is_that_of_gemma2(draw):
    attention = module_of("transformers.models.gemma2.modeling_gemma2").eager_attention_forward
    q, k, v = (wide(draw, 2, 2, 5, 4) for _ in range(3))
    mask = torch.ones(5, 5).tril().bool()
    added = torch.zeros(5, 5, dtype=torch.float64).masked_fill(~mask, -math.inf).expand(2, 1, 5, 5)
    module = SimpleNamespace(head_dim=4, num_key_value_groups=1, training=False)
    theirs, _ = attention(module, 9 * q, k, v, added, scaling=0.5, softcap=2.5)
    ours = adapters.run_soft_cap_attention(9 * q, k, v, mask, 2.5)
    torch.testing.assert_close(ours, theirs.transpose(1, 2), rtol=1e-6, atol=1e-6)  # their softmax is in float32


def test_a_cap_is_a_score_function_of_flex_attention(draw):
    from torch.nn.attention.flex_attention import flex_attention

    q, k, v = (draw.normal(2, 2, 5, 4) for _ in range(3))
    theirs = flex_attention(9 * q, k, v, score_mod=lambda score, *_: 2.5 * torch.tanh(score / 2.5))
    torch.testing.assert_close(adapters.run_soft_cap_attention(9 * q, k, v, None, 2.5), theirs, rtol=1e-5, atol=1e-5)


def test_z_loss_by_logsumexp(draw):
    logits = 5 * wide(draw, 2, 3, 7)
    same(adapters.run_z_loss(logits, 1e-3), 1e-3 * torch.logsumexp(logits, -1).square().mean())


def test_z_loss_is_that_of_switch_transformers_router(draw):
    theirs = module_of("transformers.models.switch_transformers.modeling_switch_transformers").router_z_loss_func
    logits = 3 * wide(draw, 2, 5, 4)
    same(adapters.run_z_loss(logits, 1.0), theirs(logits))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_smoothed_labels_by_torch(draw, smoothing):
    logits, targets = 3 * wide(draw, 6, 5), draw.integers(0, 5, 6)
    theirs = F.cross_entropy(logits, targets, label_smoothing=smoothing)
    same(adapters.run_smoothed_cross_entropy(logits, targets, smoothing), theirs)


def test_scaled_embedding_is_that_of_gemma(draw):
    embedding = module_of("transformers.models.gemma3.modeling_gemma3").Gemma3TextScaledWordEmbedding(7, 5, 0, 5**0.5)
    weight, ids = draw.normal(7, 5), draw.integers(0, 7, 2, 3)
    embedding.load_state_dict({"weight": weight})
    torch.testing.assert_close(adapters.run_tied_embedding(7, 5, True, weight, ids), embedding(ids))


@pytest.mark.parametrize("scaled", [True, False])
def test_gradient_of_tied_layers_of_torch(draw, scaled):
    weight, ids, targets = wide(draw, 7, 5), draw.integers(0, 7, 2, 3), draw.integers(0, 7, 2, 3)
    table, head = nn.Embedding(7, 5).double(), nn.Linear(5, 7, bias=False).double()
    table.load_state_dict({"weight": weight})
    head.weight = table.weight
    logits = head(table(ids) * (5**0.5 if scaled else 1))
    F.cross_entropy(logits.flatten(0, -2), targets.flatten()).backward()
    assert table.weight.grad is not None
    same(adapters.run_tied_gradient(7, 5, scaled, weight, ids, targets), table.weight.grad)


# ------------------------------------------------------------------------------------------------------------
# moe_routing


def as_matrix(indices: Tensor, weights: Tensor, experts: int) -> Tensor:
    """Other people's routings, a list of experts and one of gates for each token, as ours."""
    return torch.zeros(len(indices), experts, dtype=weights.dtype).scatter(-1, indices, weights)


def test_top_two_are_those_of_mixtral(draw):
    config = SimpleNamespace(num_experts_per_tok=2, num_local_experts=5, hidden_size=6)
    router = module_of("transformers.models.mixtral.modeling_mixtral").MixtralTopKRouter(config)
    x, weight = draw.normal(7, 6), draw.normal(5, 6)
    router.load_state_dict({"weight": weight})
    _, gates, indices = router(x)
    torch.testing.assert_close(adapters.run_top_k_gates(x @ weight.T, 2, True), as_matrix(indices, gates, 5))


@pytest.mark.parametrize("renormalise", [True, False])
def test_top_three_by_a_flag_are_those_of_olmoe(draw, renormalise):
    config = SimpleNamespace(
        num_experts_per_tok=3, num_experts=5, num_local_experts=5, hidden_size=6, norm_topk_prob=renormalise
    )
    router = module_of("transformers.models.olmoe.modeling_olmoe").OlmoeTopKRouter(config)
    x, weight = draw.normal(7, 6), draw.normal(5, 6)
    router.load_state_dict({"weight": weight})
    _, gates, indices = router(x)
    torch.testing.assert_close(adapters.run_top_k_gates(x @ weight.T, 3, renormalise), as_matrix(indices, gates, 5))


def test_biased_gates_are_those_of_deepseek_v3(draw):
    config = SimpleNamespace(
        num_experts_per_tok=2, num_local_experts=6, n_routed_experts=6, hidden_size=4, routed_scaling_factor=1.0,
        n_group=1, topk_group=1, norm_topk_prob=True,
    )  # fmt: skip
    router = module_of("transformers.models.deepseek_v3.modeling_deepseek_v3").DeepseekV3TopkRouter(config)
    x, weight, bias = draw.normal(9, 4), draw.normal(6, 4), draw.normal(6)
    router.load_state_dict({"weight": weight, "e_score_correction_bias": bias})
    _, gates, indices = router(x)
    torch.testing.assert_close(adapters.run_biased_gates(x @ weight.T, bias, 2), as_matrix(indices, gates, 6))


class Exponential(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.exp()


def test_hash_gates_are_those_of_deepseek_v4(draw):
    """With the exponential for its score function: divided by their sum, its weights are a softmax."""
    module = module_of("transformers.models.deepseek_v4.modeling_deepseek_v4")
    config = SimpleNamespace(
        num_experts_per_tok=2, num_local_experts=5, hidden_size=4, scoring_func="sigmoid", routed_scaling_factor=1.0,
        vocab_size=8,
    )  # fmt: skip
    router = module.DeepseekV4HashRouter(config)
    router.score_fn = Exponential()
    table = torch.stack([torch.from_numpy(draw.random.permutation(5)[:2].copy()) for _ in range(8)])
    x, weight, ids = draw.normal(9, 4), draw.normal(5, 4), draw.integers(0, 8, 9)
    router.load_state_dict({"weight": weight, "tid2eid": table})
    _, gates, indices = router(x, ids)
    torch.testing.assert_close(adapters.run_hash_gates(x @ weight.T, ids, table), as_matrix(indices, gates, 5))


def test_dropped_tokens_are_those_of_switch_transformers(draw):
    module = module_of("transformers.models.switch_transformers.modeling_switch_transformers")
    config = SimpleNamespace(
        num_experts=3, expert_capacity=3, hidden_size=4, router_bias=False, router_jitter_noise=0.0,
        router_dtype="float32", router_ignore_padding_tokens=False,
    )  # fmt: skip
    router = module.SwitchTransformersTop1Router(config).eval()
    x, weight = draw.normal(2, 12, 4), draw.normal(3, 4)
    router.classifier.load_state_dict({"weight": weight})
    sent, probabilities, _ = router(x)
    ours = adapters.run_drop_over_capacity(adapters.run_top_k_gates(x @ weight.T, 1, False), 3)
    assert (ours > 0).sum() < 24, "something is dropped"
    torch.testing.assert_close(ours, sent * probabilities)


# ------------------------------------------------------------------------------------------------------------
# moe_layer

D_MODEL, D_FF, EXPERTS = 6, 5, 4


def experts(draw: Draw, shared: int = 0) -> dict[str, Tensor]:
    """Weights of a mixture, as the adapter takes them."""
    weights = {"router.weight": draw.normal(EXPERTS, D_MODEL)}
    for name, hidden in [(f"experts.{e}", D_FF) for e in range(EXPERTS)] + [("shared", shared)] * (shared > 0):
        shapes = {"w1": (hidden, D_MODEL), "w2": (D_MODEL, hidden), "w3": (hidden, D_MODEL)}
        weights |= {f"{name}.{w}.weight": draw.normal(*shape) for w, shape in shapes.items()}
    return weights


def stacked(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same as one tensor for all experts, the gate's rows first."""
    rows = [[weights[f"experts.{e}.{w}.weight"] for w in ("w1", "w2", "w3")] for e in range(EXPERTS)]
    return {
        "gate.weight": weights["router.weight"],
        "experts.gate_up_proj": torch.stack([torch.cat([w1, w3]) for w1, _, w3 in rows]),
        "experts.down_proj": torch.stack([w2 for _, w2, _ in rows]),
    }


def mixed(x: Tensor, weights: dict[str, Tensor], k: int = 2, shared: int = 0, renormalise: bool = True) -> Tensor:
    return adapters.run_mixture_of_experts(D_MODEL, D_FF, EXPERTS, k, renormalise, shared, None, weights, x)


def config(**more: Any) -> SimpleNamespace:
    sizes = {"hidden_size": D_MODEL, "intermediate_size": D_FF, "moe_intermediate_size": D_FF, "num_experts": EXPERTS}
    names = {"num_local_experts": EXPERTS, "num_experts_per_tok": 2, "hidden_act": "silu", "router_jitter_noise": 0.0}
    return SimpleNamespace(**{**sizes, **names, "_experts_implementation": "eager", **more})


def test_a_mixture_is_that_of_mixtral_and_so_are_its_gradients(draw):
    theirs = module_of("transformers.models.mixtral.modeling_mixtral").MixtralSparseMoeBlock(config())
    weights, x = experts(draw), draw.normal(2, 5, D_MODEL)
    theirs.load_state_dict(stacked(weights))
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = mixed(inputs[0], weights), theirs(inputs[1])
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)
    cotangent = draw.normal(2, 5, D_MODEL)
    found = [torch.autograd.grad((y * cotangent).sum(), z)[0] for y, z in zip(outputs, inputs, strict=True)]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)


def test_gates_as_they_are_in_olmoe(draw):
    theirs = module_of("transformers.models.olmoe.modeling_olmoe").OlmoeSparseMoeBlock(config(norm_topk_prob=False))
    weights, x = experts(draw), draw.normal(2, 5, D_MODEL)
    theirs.load_state_dict(stacked(weights))
    torch.testing.assert_close(mixed(x, weights, renormalise=False), theirs(x), rtol=1e-5, atol=1e-5)


def test_a_shared_expert_is_that_of_deepseek_v3(draw):
    """Their layer with our gates in it: theirs are sigmoids."""
    sizes = config(
        n_shared_experts=2, mlp_bias=False, n_routed_experts=EXPERTS, routed_scaling_factor=1.0, n_group=1,
        topk_group=1, norm_topk_prob=True,
    )  # fmt: skip
    theirs = module_of("transformers.models.deepseek_v3.modeling_deepseek_v3").DeepseekV3MoE(sizes)
    theirs.gate = module_of("transformers.models.mixtral.modeling_mixtral").MixtralTopKRouter(sizes)
    weights, x = experts(draw, shared=2 * D_FF), draw.normal(2, 5, D_MODEL)
    names = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}
    shared = {f"shared_experts.{name}.weight": weights[f"shared.{w}.weight"] for name, w in names.items()}
    theirs.load_state_dict(stacked(weights) | shared)
    torch.testing.assert_close(mixed(x, weights, shared=2 * D_FF), theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_load_balance_is_that_of_mixtral_over_k(draw, k):
    theirs = module_of("transformers.models.mixtral.modeling_mixtral").load_balancing_loss_func
    logits = draw.normal(2, 7, EXPERTS)
    given = theirs((logits.flatten(0, 1),), EXPERTS, k) / k
    torch.testing.assert_close(adapters.run_load_balance_loss(logits, k), given)


def test_load_balance_is_that_of_switch_transformers(draw):
    theirs = module_of("transformers.models.switch_transformers.modeling_switch_transformers").load_balancing_loss_func
    logits = draw.normal(1, 9, EXPERTS)  # of several sequences, theirs is the mean
    given = theirs(logits.softmax(-1), logits.argmax(-1))
    torch.testing.assert_close(adapters.run_load_balance_loss(logits, 1), given)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_an_even_load_costs_1(k):
    logits = torch.stack([torch.eye(EXPERTS).roll(i, 0)[:, :k].sum(1) for i in range(EXPERTS)])
    torch.testing.assert_close(adapters.run_load_balance_loss(logits, k), torch.tensor(1.0))


def test_router_z_loss_is_that_of_switch_transformers(draw):
    theirs = module_of("transformers.models.switch_transformers.modeling_switch_transformers").router_z_loss_func
    logits = 3 * wide(draw, 2, 5, 4)
    same(adapters.run_router_z_loss(logits), theirs(logits))


# ------------------------------------------------------------------------------------------------------------
# precision


def hard_numbers(draw: Draw) -> Tensor:
    """float32 numbers of every size, many of them halfway between two numbers of a small format, or next to that."""
    sizes = torch.exp2(torch.arange(-149, 128).double())
    steps = 1 + torch.arange(0, 64).double() / 32  # in few bits: exact, halfway, and quarters
    x = (sizes[:, None] * steps).flatten().float()
    x = torch.cat([x, torch.nextafter(x, torch.tensor(torch.inf)), torch.nextafter(x, torch.tensor(0.0))])
    x = torch.cat([x, draw.normal(2000), draw.normal(2000, scale=1e5), draw.normal(2000, scale=1e-6)])
    return torch.cat([x, -x])[torch.cat([x, -x]).isfinite()]


def rounded(x: Tensor, exponent_bits: int, mantissa_bits: int) -> Tensor:
    return adapters.run_round_to_format(x, exponent_bits, mantissa_bits)


@pytest.mark.parametrize(("dtype", "bits"), [(torch.bfloat16, (8, 7)), (torch.float16, (5, 10))])
def test_rounding_is_that_of_torchs_types(draw, dtype, bits):
    x = hard_numbers(draw)
    assert torch.equal(rounded(x, *bits), x.to(dtype).float())
    assert torch.equal(torch.signbit(rounded(x, *bits)), torch.signbit(x)), "also that of 0"


@pytest.mark.parametrize(
    ("name", "bits"),
    [("bfloat16", (8, 7)), ("float8_e5m2", (5, 2)), ("float8_e4m3", (4, 3)), ("float8_e3m4", (3, 4))],
)
def test_rounding_is_that_of_ml_dtypes(draw, name, bits):
    dtype = getattr(module_of("ml_dtypes"), name)
    x = hard_numbers(draw)
    theirs = torch.from_numpy(x.numpy().astype(dtype).astype("float32"))
    assert torch.equal(rounded(x, *bits), theirs)


def test_rounding_of_float64_is_not_by_way_of_float32():
    """1 + 2^-8 lies halfway; a little more, which float32 loses, decides."""
    x = torch.tensor([1 + 2**-8 + 2**-40, 1 + 2**-8], dtype=torch.float64)
    assert rounded(x, 8, 7).tolist() == [1 + 2**-7, 1.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_sums_are_those_of_torchs_types(draw, dtype):
    bits = {torch.bfloat16: (8, 7), torch.float16: (5, 10)}[dtype]
    a, b = draw.normal(3, 20), draw.normal(20, 4)
    total = torch.zeros(3, 4, dtype=dtype)
    for k in range(20):
        total = total + a.to(dtype)[:, k, None] * b.to(dtype)[k]
    assert torch.equal(adapters.run_rounded_matmul(a, b, *bits, False), total.float())


def test_wide_sums_are_those_of_torch_in_float64(draw):
    a, b = draw.normal(3, 20), draw.normal(20, 4)
    theirs = (a.bfloat16().double() @ b.bfloat16().double()).to(torch.bfloat16)
    assert torch.equal(adapters.run_rounded_matmul(a.double(), b.double(), 8, 7, True), theirs.double())


def test_the_factor_and_the_steps_left_out_are_those_of_torchs_scaler(draw):
    """`torch.amp.GradScaler` on a parameter whose gradients are given, some of them not finite."""
    gradients = [draw.normal(5, scale=100.0) for _ in range(9)]
    gradients[2][1], gradients[6][4] = torch.inf, torch.nan
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=2)
    weight = nn.Parameter(torch.zeros(5))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scales, unscaled = [], []
    for gradient in gradients:
        optimizer.zero_grad()
        scaler.scale(torch.zeros(()))  # begins
        weight.grad = gradient.clone()
        before = weight.detach().clone()
        scaler.step(optimizer)
        scaler.update()
        unscaled.append(before - weight.detach())
        scales.append(scaler.get_scale())
    ours: dict[str, Any] = adapters.run_loss_scaler(64.0, 2, [[gradient] for gradient in gradients])
    assert ours["scales"] == scales
    for mine, theirs in zip(ours["gradients"], unscaled, strict=True):
        if mine is None:
            assert not theirs.any()
        else:
            torch.testing.assert_close(mine[0], theirs, rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------------------------------------------------
# fp8


def equal_with_nan(ours: Tensor, theirs: Tensor) -> bool:
    return torch.equal(ours.isnan(), theirs.isnan()) and torch.equal(ours.nan_to_num(0.0), theirs.nan_to_num(0.0))


@pytest.mark.parametrize(
    ("format", "dtype"), [("e4m3", torch.float8_e4m3fn), ("e5m2", torch.float8_e5m2)], ids=["e4m3", "e5m2"]
)
def test_small_formats_are_torchs(draw, format, dtype):
    x = hard_numbers(draw)
    if format == "e4m3":
        x = x[x.abs() <= 464]  # above, some versions of torch give 448, and others NaN
    assert equal_with_nan(adapters.run_to_small_format(x, format), x.to(dtype).float())


@pytest.mark.parametrize(
    ("format", "name"), [("e4m3", "float8_e4m3fn"), ("e5m2", "float8_e5m2"), ("e2m1", "float4_e2m1fn")]
)
def test_small_formats_are_those_of_ml_dtypes(draw, format, name):
    dtype = getattr(module_of("ml_dtypes"), name)
    x = hard_numbers(draw)
    theirs = torch.from_numpy(x.numpy().astype(dtype).astype("float32"))
    assert equal_with_nan(adapters.run_to_small_format(x, format), theirs)


def test_every_number_of_a_format_stays_what_it_is():
    """All patterns of 8 bits."""
    for format, dtype in (("e4m3", torch.float8_e4m3fn), ("e5m2", torch.float8_e5m2)):
        every = torch.arange(256, dtype=torch.uint8).view(dtype).float()
        assert equal_with_nan(adapters.run_to_small_format(every, format), every)


@pytest.mark.parametrize("per_row", [False, True])
def test_products_are_those_of_torchs_scaled_matmul(draw, per_row):
    """`torch._scaled_mm`, which PyTorch has for processors with one scale, and with scales of rows by hand."""
    a, b = draw.normal(16, 32), draw.normal(32, 16) * torch.exp2(torch.arange(16.0) / 4)
    scale_a = (a.abs().amax(1, keepdim=True) if per_row else a.abs().max()) / 448
    scale_b = (b.abs().amax(0, keepdim=True) if per_row else b.abs().max()) / 448
    left, right = (a / scale_a).to(torch.float8_e4m3fn), (b / scale_b).to(torch.float8_e4m3fn)
    if per_row:
        theirs = (left.double() @ right.double() * scale_a * scale_b).float()
    else:
        theirs = torch._scaled_mm(
            left, right.T.contiguous().T, scale_a=scale_a, scale_b=scale_b, out_dtype=torch.float32
        )
    torch.testing.assert_close(adapters.run_small_matmul(a, b, "e4m3", per_row), theirs, rtol=1e-5, atol=1e-4)
