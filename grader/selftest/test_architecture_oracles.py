"""The architecture lab's reference agrees with implementations that are not ours.

`torch.nn` is always there. `transformers` and `x_transformers` are optional (`make oracles`): where they
are missing, their tests are skipped. Their models are built from toy configurations; nothing is downloaded.
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
from grader.cases.weights import block_shapes, draw_weights
from grader.reference import adapters
from grader.reference.attention import CausalMultiHeadSelfAttention
from grader.reference.layers import SwiGLU
from grader.selftest.oracles import module_of, same, split, wide

D_MODEL, HEADS, D_FF, SEQ = 8, 2, 12, 5
D_K = D_MODEL // HEADS


# ------------------------------------------------------------------------------------------------------------
# layernorm, activations, gated_ffn


@pytest.mark.parametrize(("gain", "bias"), [(True, True), (True, False), (False, True), (False, False)])
def test_layernorm(draw, gain, bias):
    x = wide(draw, 2, 3, D_MODEL)
    w, b = (wide(draw, D_MODEL) if there else None for there in (gain, bias))
    same(adapters.run_layernorm(D_MODEL, 1e-3, w, b, x), F.layer_norm(x, (D_MODEL,), w, b, 1e-3))


def test_layernorm_without_gain_and_bias_is_that_of_olmo(draw):
    norm = module_of("transformers.models.olmo.modeling_olmo").OlmoLayerNorm(D_MODEL)
    x = draw.normal(2, 3, D_MODEL)
    torch.testing.assert_close(adapters.run_layernorm(D_MODEL, 1e-5, None, None, x), norm(x))


ACTIVATIONS = {
    "relu": F.relu,
    "squared_relu": lambda x: F.relu(x).square(),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "swish": lambda x: F.silu(3.0 * x) / 3.0,
    "elu": lambda x: F.elu(x, alpha=0.7),
    "selu": F.selu,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_gradients(draw, name):
    x = (3 * wide(draw, 4, 6)).requires_grad_()
    both = adapters.run_activation(name, x, beta=3.0, alpha=0.7), ACTIVATIONS[name](x)
    same(*both)
    same(*(torch.autograd.grad(y.cos().sum(), x)[0] for y in both))


def test_activations_of_transformers(draw):
    table = module_of("transformers.activations").ACT2FN
    x = wide(draw, 4, 6)
    names = {"squared_relu": "relu2", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "swish": "silu"}
    for ours, theirs in names.items():
        same(adapters.run_activation(ours, x), table[theirs](x))


def gated(draw: Draw, gate: str) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    shapes = {"w1_weight": (D_FF, D_MODEL), "w2_weight": (D_MODEL, D_FF), "w3_weight": (D_FF, D_MODEL)}
    weights = {name: wide(draw, *shape) for name, shape in shapes.items()}
    x = wide(draw, 2, 3, D_MODEL)
    return x, weights, adapters.run_gated_ffn(D_MODEL, D_FF, gate, **weights, in_features=x)


def test_glu_gates_with_the_half_that_torch_puts_second(draw):
    x, w, ours = gated(draw, "glu")
    same(ours, F.linear(F.glu(F.linear(x, torch.cat([w["w3_weight"], w["w1_weight"]]))), w["w2_weight"]))


def test_bilinear_is_a_bilinear_form(draw):
    x, w, ours = gated(draw, "bilinear")
    form = torch.einsum("fi,fj->fij", w["w1_weight"], w["w3_weight"])
    same(ours, F.linear(F.bilinear(x, x, form), w["w2_weight"]))


@pytest.mark.parametrize(("gate", "act"), [("swiglu", "silu"), ("geglu", "gelu"), ("reglu", "relu")])
def test_gates_of_llamas_network(draw, gate, act):
    x, w, ours = gated(draw, gate)
    config = SimpleNamespace(hidden_size=D_MODEL, intermediate_size=D_FF, mlp_bias=False, hidden_act=act)
    network = module_of("transformers.models.llama.modeling_llama").LlamaMLP(config).double()
    weights = {"gate_proj": "w1_weight", "up_proj": "w3_weight", "down_proj": "w2_weight"}
    network.load_state_dict({f"{theirs}.weight": w[name] for theirs, name in weights.items()})
    same(ours, network(x))


@pytest.mark.parametrize(("gate", "f"), [("swiglu", F.silu), ("geglu", F.gelu), ("reglu", F.relu)])
def test_gates_by_torch(draw, gate, f):
    x, w, ours = gated(draw, gate)
    same(ours, F.linear(f(F.linear(x, w["w1_weight"])) * F.linear(x, w["w3_weight"]), w["w2_weight"]))


# ------------------------------------------------------------------------------------------------------------
# Blocks: other people's, with our branches in them, so that what is compared is where norms and sums stand


class Branch(nn.Module):
    """A branch as the layers of transformers call it: attention gives a pair."""

    def __init__(self, branch: nn.Module, gives_pair: bool) -> None:
        super().__init__()
        self.branch, self.gives_pair = branch, gives_pair

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> Any:
        y = self.branch(hidden_states)
        return (y, None) if self.gives_pair else y


def block(draw: Draw, *extra: str) -> tuple[dict[str, Any], dict[str, Tensor], Tensor, Branch, Branch]:
    """Sizes, weights, an input, and the two branches with these weights."""
    shapes = dict(block_shapes(D_MODEL, D_FF)) | dict.fromkeys(extra, (D_MODEL,))
    weights = {name: value.double() for name, value in draw_weights(draw, shapes).items()}
    attn, ffn = CausalMultiHeadSelfAttention(D_MODEL, HEADS, SEQ, 1e4), SwiGLU(D_MODEL, D_FF)
    for module, prefix in ((attn, "attn."), (ffn, "ffn.")):
        module.double().load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
    sizes = {"d_model": D_MODEL, "num_heads": HEADS, "d_ff": D_FF, "max_seq_len": SEQ, "theta": 1e4}
    return sizes, weights, 2 * wide(draw, 2, SEQ, D_MODEL), Branch(attn, True), Branch(ffn, False)


def rms_norm(gain: Tensor) -> nn.RMSNorm:
    norm = nn.RMSNorm(len(gain), eps=1e-5).double()
    norm.load_state_dict({"weight": gain})
    return norm


def layer_of(family: str, name: str, **norms: nn.Module) -> nn.Module:
    """A decoder layer of transformers with other norms in it."""
    models = module_of("transformers")
    config = getattr(models, f"{name.removesuffix('DecoderLayer').removesuffix('Layer')}Config")(
        hidden_size=D_MODEL, intermediate_size=D_FF, num_attention_heads=HEADS, num_hidden_layers=1
    )
    layer = getattr(module_of(f"transformers.models.{family}.modeling_{family}"), name)(config, 0).eval()
    for attribute, norm in norms.items():
        assert hasattr(layer, attribute), attribute
        setattr(layer, attribute, norm)
    return layer


def test_post_norm_is_that_of_torchs_encoder_layer(draw):
    sizes, w, x, attn, ffn = block(draw)
    layer = nn.TransformerEncoderLayer(D_MODEL, HEADS, D_FF, dropout=0.0, norm_first=False, batch_first=True).train()
    for name, key in (("norm1", "ln1.weight"), ("norm2", "ln2.weight")):
        setattr(layer, name, rms_norm(w[key]))
    layer._sa_block = lambda x, *_, **__: attn.branch(x)  # type: ignore[method-assign]
    layer._ff_block = lambda x: ffn.branch(x)  # type: ignore[method-assign]
    same(adapters.run_norm_placement_block(**sizes, placement="post", weights=w, in_features=x), layer(x))
    layer.norm_first = True
    same(adapters.run_norm_placement_block(**sizes, placement="pre", weights=w, in_features=x), layer(x))


def test_branch_norm_is_that_of_olmo2(draw):
    sizes, w, x, attn, ffn = block(draw)
    norms = {"post_attention_layernorm": "ln1.weight", "post_feedforward_layernorm": "ln2.weight"}
    layer = layer_of("olmo2", "Olmo2DecoderLayer", **{name: rms_norm(w[key]) for name, key in norms.items()})
    layer.self_attn, layer.mlp = attn, ffn
    same(adapters.run_norm_placement_block(**sizes, placement="branch", weights=w, in_features=x), layer(x))


def test_double_norm_is_that_of_gemma2(draw):
    sizes, w, x, attn, ffn = block(draw, "ln1_out.weight", "ln2_out.weight")
    norms = {
        "input_layernorm": "ln1.weight",
        "post_attention_layernorm": "ln1_out.weight",
        "pre_feedforward_layernorm": "ln2.weight",
        "post_feedforward_layernorm": "ln2_out.weight",
    }
    layer = layer_of("gemma2", "Gemma2DecoderLayer", **{name: rms_norm(w[key]) for name, key in norms.items()})
    layer.self_attn, layer.mlp = attn, ffn
    same(adapters.run_norm_placement_block(**sizes, placement="double", weights=w, in_features=x), layer(x))


def test_a_shared_norm_is_that_of_cohere(draw):
    sizes, w, x, attn, ffn = block(draw)
    layer = layer_of("cohere", "CohereDecoderLayer", input_layernorm=rms_norm(w["ln1.weight"]))
    layer.self_attn, layer.mlp = attn, ffn
    del w["ln2.weight"]
    same(adapters.run_parallel_block(**sizes, shared_norm=True, weights=w, in_features=x), layer(x))


def test_two_norms_are_those_of_gpt_neox(draw):
    sizes, w, x, attn, ffn = block(draw)
    norms = {"input_layernorm": "ln1.weight", "post_attention_layernorm": "ln2.weight"}
    layer = layer_of("gpt_neox", "GPTNeoXLayer", **{name: rms_norm(w[key]) for name, key in norms.items()})
    layer.attention, layer.mlp = attn, ffn
    same(adapters.run_parallel_block(**sizes, shared_norm=False, weights=w, in_features=x), layer(x))


# ------------------------------------------------------------------------------------------------------------
# Attention


PROJECTIONS = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "o_proj_weight")


def rotated(x: Tensor, theta: float, positions: range | list[int]) -> Tensor:
    """RoPE on neighbouring features of [... seq d], number by number."""
    y = x.clone()
    for row, position in enumerate(positions):
        for k in range(0, x.shape[-1], 2):
            angle = position / theta ** (k / x.shape[-1])
            a, b = x[..., row, k], x[..., row, k + 1]
            y[..., row, k] = math.cos(angle) * a - math.sin(angle) * b
            y[..., row, k + 1] = math.sin(angle) * a + math.cos(angle) * b
    return y


@pytest.mark.parametrize("theta", [None, 50.0])
def test_qk_norm_by_torch(draw, theta):
    w = {name: wide(draw, D_MODEL, D_MODEL) for name in PROJECTIONS}
    q_gain, k_gain, x = wide(draw, D_K), wide(draw, D_K), wide(draw, 2, SEQ, D_MODEL)
    ours = adapters.run_qk_norm_attention(
        D_MODEL, HEADS, SEQ, theta, 1e-4, **w, q_norm_weight=q_gain, k_norm_weight=k_gain, in_features=x
    )
    q, k, v = (split(x, w[name], HEADS) for name in PROJECTIONS[:3])
    q, k = F.rms_norm(q, (D_K,), q_gain, 1e-4), F.rms_norm(k, (D_K,), k_gain, 1e-4)
    if theta is not None:
        q, k = rotated(q, theta, range(SEQ)), rotated(k, theta, range(SEQ))
    attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    same(ours, F.linear(attended.transpose(-2, -3).flatten(-2), w["o_proj_weight"]))


def test_qk_norm_without_rope_is_that_of_qwen3(draw):
    models = module_of("transformers")
    config = models.Qwen3Config(
        hidden_size=D_MODEL, num_attention_heads=HEADS, num_key_value_heads=HEADS, head_dim=D_K, num_hidden_layers=1,
        attn_implementation="eager",
    )  # fmt: skip
    theirs = module_of("transformers.models.qwen3.modeling_qwen3").Qwen3Attention(config, 0).double().eval()
    w = {name: wide(draw, D_MODEL, D_MODEL) for name in PROJECTIONS}
    gains = {name: wide(draw, D_K) for name in ("q_norm_weight", "k_norm_weight")}
    theirs.load_state_dict({name.replace("_weight", ".weight"): value for name, value in (w | gains).items()})
    x = wide(draw, 2, SEQ, D_MODEL)
    mask = torch.full((SEQ, SEQ), -math.inf, dtype=torch.float64).triu(1)
    still = torch.ones(2, SEQ, D_K, dtype=torch.float64), torch.zeros(2, SEQ, D_K, dtype=torch.float64)
    given, _ = theirs(x, still, mask.expand(2, 1, SEQ, SEQ))
    eps = config.rms_norm_eps
    ours = adapters.run_qk_norm_attention(D_MODEL, HEADS, SEQ, None, eps, **w, **gains, in_features=x)
    torch.testing.assert_close(ours, given, rtol=1e-5, atol=1e-6)  # their norm computes in float32


@pytest.mark.parametrize(("heads", "kv_heads", "theta"), [(4, 4, None), (4, 2, 20.0), (4, 1, None), (6, 3, None)])
def test_grouped_queries_by_torch(draw, heads, kv_heads, theta):
    d_model, d_k = 4 * heads, 4
    shapes = dict.fromkeys(PROJECTIONS, (d_model, d_model))
    shapes |= dict.fromkeys(("k_proj_weight", "v_proj_weight"), (kv_heads * d_k, d_model))
    w, x = {name: wide(draw, *shape) for name, shape in shapes.items()}, wide(draw, 2, SEQ, d_model)
    ours = adapters.run_grouped_query_attention(d_model, heads, kv_heads, SEQ, theta, **w, in_features=x)
    q, k, v = (split(x, w[name], n) for name, n in zip(PROJECTIONS[:3], (heads, kv_heads, kv_heads), strict=True))
    if theta is not None:
        q, k = rotated(q, theta, range(SEQ)), rotated(k, theta, range(SEQ))
    attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    same(ours, F.linear(attended.transpose(-2, -3).flatten(-2), w["o_proj_weight"]))


def test_windows_by_flex_attention(draw):
    """`and_masks` and `or_masks` of torch, with a rule for each line of the table."""
    from torch.nn.attention.flex_attention import and_masks, create_mask, or_masks

    def causal(b: Any, h: Any, i: Tensor, j: Tensor) -> Tensor:
        return i >= j

    for window, stride, tokens in ((3, None, 0), (2, 3, 0), (2, None, 3), (2, 4, 1), (20, None, 0)):
        rules = [lambda b, h, i, j, w=window: i - j < w, lambda b, h, i, j, n=tokens: j < n]
        if stride:
            rules.append(lambda b, h, i, j, s=stride: (i - j) % s == 0)
        theirs = create_mask(and_masks(causal, or_masks(*rules)), 1, 1, 12, 12, device="cpu")[0, 0]
        assert torch.equal(adapters.run_window_mask(12, window, stride, tokens), theirs), (window, stride, tokens)


def test_windows_are_those_of_transformers():
    masking = module_of("transformers.masking_utils")
    i = torch.arange(9)
    theirs = masking.and_masks(masking.sliding_window_overlay(4), masking.causal_mask_function)(0, 0, i[:, None], i)
    assert torch.equal(adapters.run_window_mask(9, 4), theirs)


def test_sinks_are_those_of_gpt_oss(draw):
    attention = module_of("transformers.models.gpt_oss.modeling_gpt_oss").eager_attention_forward
    q, k, v = (wide(draw, 2, HEADS, SEQ, D_K) for _ in range(3))
    sinks, mask = wide(draw, HEADS), torch.ones(SEQ, SEQ).tril().bool()
    module = SimpleNamespace(sinks=sinks, num_key_value_groups=1, training=False)
    added = torch.zeros(SEQ, SEQ, dtype=torch.float64).masked_fill(~mask, -math.inf).expand(2, 1, SEQ, SEQ)
    theirs, _ = attention(module, q, k, v, added, scaling=D_K**-0.5)
    torch.testing.assert_close(adapters.run_sink_attention(q, k, v, mask, sinks), theirs.transpose(1, 2))


def test_a_sink_is_a_key_of_zero_value_with_its_own_score(draw):
    """By torch's attention: a bias holds the mask and the sink."""
    q, k, v = (wide(draw, 2, HEADS, SEQ, D_K) for _ in range(3))
    sinks, mask = wide(draw, HEADS), torch.ones(SEQ, SEQ).tril().bool()
    more_k, more_v = (F.pad(x, (0, 0, 0, 1)) for x in (k, v))
    bias = torch.zeros(SEQ, SEQ, dtype=torch.float64).masked_fill(~mask, -math.inf).expand(HEADS, SEQ, SEQ)
    bias = torch.cat([bias, sinks[:, None, None].expand(HEADS, SEQ, 1)], -1)
    theirs = F.scaled_dot_product_attention(q, more_k, more_v, attn_mask=bias)
    same(adapters.run_sink_attention(q, k, v, mask, sinks), theirs)


# ------------------------------------------------------------------------------------------------------------
# Positions


@pytest.mark.parametrize("heads", [1, 2, 3, 6, 8, 12, 20, 32])
def test_slopes_of_alibi(heads):
    bias = module_of("x_transformers.x_transformers").AlibiPositionalBias(heads, heads)
    torch.testing.assert_close(adapters.run_alibi_slopes(heads), bias.slopes.flatten().float())


@pytest.mark.parametrize("heads", [1, 2, 3, 6, 8, 12, 20, 32])
def test_slopes_of_bloom(heads):
    build = module_of("transformers.models.bloom.modeling_bloom").build_alibi_tensor
    theirs = build(torch.ones(1, 2), heads, torch.float32)[:, 0, 1]  # slope times the key's index
    torch.testing.assert_close(adapters.run_alibi_slopes(heads), theirs)


def test_alibi_by_torch(draw):
    q, k, v = (wide(draw, 2, 6, SEQ, D_K) for _ in range(3))
    distance = torch.arange(SEQ)[:, None] - torch.arange(SEQ)
    slopes = torch.tensor([2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3], dtype=torch.float64)
    bias = (-slopes[:, None, None] * distance).masked_fill(distance < 0, -math.inf)
    same(adapters.run_alibi_attention(q, k, v), F.scaled_dot_product_attention(q, k, v, attn_mask=bias))


def test_interleaved_rope_number_by_number(draw):
    x, positions = wide(draw, 2, 4, 8), [3, 0, 11, 5]
    for rotary_dim in (8, 4):
        ours = adapters.run_rope_variant(8, 30.0, 16, "interleaved", rotary_dim, x, torch.tensor(positions))
        same(ours[..., :rotary_dim], rotated(x[..., :rotary_dim], 30.0, positions))
        assert torch.equal(ours[..., rotary_dim:], x[..., rotary_dim:])


def angles(rotary_dim: int, theta: float, positions: list[int]) -> Tensor:
    exponents = torch.arange(0, rotary_dim, 2, dtype=torch.float64) / rotary_dim
    return torch.tensor(positions, dtype=torch.float64)[:, None] / theta**exponents


def test_halves_are_those_of_llama(draw):
    apply = module_of("transformers.models.llama.modeling_llama").apply_rotary_pos_emb
    x, positions = wide(draw, 1, 2, 4, 8), [3, 0, 11, 5]
    table = angles(8, 30.0, positions).repeat(1, 2)[None]
    theirs, _ = apply(x, x, table.cos(), table.sin())
    same(adapters.run_rope_variant(8, 30.0, 16, "halves", None, x, torch.tensor(positions)), theirs)


def test_interleaved_is_that_of_gptj(draw):
    apply = module_of("transformers.models.gptj.modeling_gptj").apply_rotary_pos_emb
    x, positions = wide(draw, 1, 4, 2, 8), [3, 0, 11, 5]  # [batch, seq, heads, d_k]
    table = angles(8, 30.0, positions)[None]
    theirs = apply(x, table.sin(), table.cos()).transpose(1, 2)
    same(
        adapters.run_rope_variant(8, 30.0, 16, "interleaved", None, x.transpose(1, 2), torch.tensor(positions)), theirs
    )


def test_permuted_weights_give_qwen3_what_interleaved_rope_gives_us(draw):
    """Whole attention: our layout with the weights, theirs with the permuted ones."""
    models = module_of("transformers")
    config = models.Qwen3Config(
        hidden_size=D_MODEL, num_attention_heads=HEADS, num_key_value_heads=HEADS, head_dim=D_K, num_hidden_layers=1,
        attn_implementation="eager",
    )  # fmt: skip
    theirs = module_of("transformers.models.qwen3.modeling_qwen3").Qwen3Attention(config, 0).double().eval()
    w = {name: wide(draw, D_MODEL, D_MODEL) for name in PROJECTIONS}
    gains = {name: wide(draw, D_K) for name in ("q_norm_weight", "k_norm_weight")}
    permuted = {name: adapters.run_permute_for_halves(w[name], HEADS) for name in PROJECTIONS[:2]}
    permuted |= {name: adapters.run_permute_for_halves(gain[:, None], 1)[:, 0] for name, gain in gains.items()}
    state = {**w, **permuted}
    theirs.load_state_dict({name.replace("_weight", ".weight"): value for name, value in state.items()})
    x = wide(draw, 1, SEQ, D_MODEL)
    mask = torch.full((SEQ, SEQ), -math.inf, dtype=torch.float64).triu(1)
    table = angles(D_K, 30.0, list(range(SEQ))).repeat(1, 2)[None]
    given, _ = theirs(x, (table.cos(), table.sin()), mask[None, None])
    eps = config.rms_norm_eps
    ours = adapters.run_qk_norm_attention(D_MODEL, HEADS, SEQ, 30.0, eps, **w, **gains, in_features=x)
    torch.testing.assert_close(ours, given, rtol=1e-5, atol=1e-6)  # their norm computes in float32
