"""The reference's model and training side, against `torch.nn` and `torch.nn.functional` in float64.

Nothing is compared with the reference itself. Where torch has no implementation (RoPE), the formula is
evaluated again, in another way.
"""

import copy
import io
import math
import os
import pickle
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grader.reference import adapters
from grader.reference.attention import CausalMultiHeadSelfAttention, scaled_dot_product_attention, softmax
from grader.reference.checkpoint import load_checkpoint, save_checkpoint
from grader.reference.data import get_batch
from grader.reference.layers import Embedding, Linear, RMSNorm, SwiGLU, silu
from grader.reference.loss import cross_entropy
from grader.reference.optimizer import AdamW, get_lr_cosine_schedule, gradient_clipping
from grader.reference.rope import RotaryPositionalEmbedding
from grader.reference.transformer import TransformerLM

F64 = torch.float64
LEADING = [(), (3,), (2, 3), (2, 0)]  # leading dimensions; the last is an empty batch


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def randn(*shape: int, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(shape, dtype=dtype, requires_grad=True)


def assert_same(ours: Tensor, theirs: Tensor, *inputs: Tensor, tolerance: float = 1e-12) -> None:
    """Equal values, and equal gradients of a random projection with respect to each of `inputs`."""
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    if inputs:
        cotangent = torch.randn_like(theirs)
        our_gradients = torch.autograd.grad(ours, inputs, cotangent)
        their_gradients = torch.autograd.grad(theirs, inputs, cotangent)
        torch.testing.assert_close(our_gradients, their_gradients, rtol=tolerance, atol=tolerance)


def rotate(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """RoPE as one rotation matrix per position; `positions` has exactly the leading shape of `x`."""
    d_k = x.shape[-1]
    matrices = torch.zeros(*positions.shape, d_k, d_k, dtype=F64)
    for k in range(d_k // 2):
        angle = positions.to(F64) / theta ** (2 * k / d_k)
        even, odd = 2 * k, 2 * k + 1
        matrices[..., even, even] = matrices[..., odd, odd] = angle.cos()
        matrices[..., odd, even] = angle.sin()
        matrices[..., even, odd] = -angle.sin()
    return (matrices @ x.unsqueeze(-1)).squeeze(-1)


# ------------------------------------------------------------------------------------------------------------
# Layers


@pytest.mark.parametrize("leading", LEADING)
def test_linear_is_torchs(leading: tuple[int, ...]) -> None:
    linear, x = Linear(5, 7, dtype=F64), randn(*leading, 5)
    assert_same(linear(x), F.linear(x, linear.weight), x, linear.weight)


@pytest.mark.parametrize("leading", LEADING)
def test_embedding_is_torchs_also_where_ids_repeat(leading: tuple[int, ...]) -> None:
    embedding, ids = Embedding(4, 6, dtype=F64), torch.randint(4, leading)
    assert_same(embedding(ids), F.embedding(ids, embedding.weight), embedding.weight)


def test_embedding_rejects_ids_beyond_the_vocabulary() -> None:
    with pytest.raises(IndexError):
        Embedding(4, 6)(torch.tensor([4]))


@pytest.mark.parametrize("leading", LEADING)
def test_rmsnorm_is_torchs(leading: tuple[int, ...]) -> None:
    norm, x = RMSNorm(6, eps=1e-3, dtype=F64), randn(*leading, 6)
    nn.init.normal_(norm.weight)
    assert_same(norm(x), F.rms_norm(x, (6,), norm.weight, eps=1e-3), x, norm.weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_rmsnorm_keeps_the_dtype_and_does_not_overflow(dtype: torch.dtype) -> None:
    x = (300 * torch.randn(4, 64)).to(dtype)  # in float16, squares are infinite from 256 on
    result = RMSNorm(64)(x)
    assert result.dtype == dtype
    truth = F.rms_norm(x.double(), (64,), eps=1e-5)
    torch.testing.assert_close(result.double(), truth, rtol=4 * torch.finfo(dtype).eps, atol=0)


def test_silu_is_torchs() -> None:
    x = randn(50)
    assert_same(silu(x), F.silu(x), x)


def test_silu_is_finite_at_the_extremes() -> None:
    largest = torch.finfo(torch.float32).max
    assert silu(torch.tensor([-largest, -1e4, 0.0, 1e4])).tolist() == [0.0, 0.0, 0.0, 1e4]


@pytest.mark.parametrize("leading", LEADING)
def test_swiglu_is_its_formula(leading: tuple[int, ...]) -> None:
    ffn, x = SwiGLU(4, 12, dtype=F64), randn(*leading, 4)
    w1, w2, w3 = ffn.w1.weight, ffn.w2.weight, ffn.w3.weight
    assert_same(ffn(x), F.linear(F.silu(F.linear(x, w1)) * F.linear(x, w3), w2), x, w1, w2, w3)


@pytest.mark.parametrize(
    ("weight", "std"),
    [(Linear(400, 600).weight, math.sqrt(2 / 1000)), (Embedding(600, 400).weight, 1.0)],
    ids=["linear", "embedding"],
)
def test_weights_are_drawn_from_a_truncated_normal(weight: nn.Parameter, std: float) -> None:
    scaled = weight.detach().flatten().double().numpy() / std
    assert weight.shape == (600, 400)
    assert np.abs(scaled).max() <= 3 * (1 + 1e-6)
    # Kolmogorov-Smirnov against the truncated distribution: 240,000 draws exceed 0.005 once in 10,000 seeds.
    normal = np.vectorize(lambda x: 0.5 * (1 + math.erf(x / math.sqrt(2))))(np.sort(scaled)[::100])
    expected = (normal - (1 - math.erf(3 / math.sqrt(2))) / 2) / math.erf(3 / math.sqrt(2))
    assert np.abs(expected - np.arange(len(expected)) / len(expected)).max() < 0.005


# ------------------------------------------------------------------------------------------------------------
# RoPE


@pytest.mark.parametrize("leading", LEADING)
@pytest.mark.parametrize("positions", [[0, 1, 2, 3, 4], [7, 3, 3, 0, 99]])
def test_rope_is_a_rotation_matrix_per_position(leading: tuple[int, ...], positions: list[int]) -> None:
    x, rope = randn(*leading, 5, 8), RotaryPositionalEmbedding(100.0, 8, 100)
    one_row, full = torch.tensor(positions), torch.tensor(positions).expand(*leading, 5)
    for given in (one_row, full):
        assert_same(rope(x, given), rotate(x, full, theta=100.0), x)


def test_rope_takes_any_memory_layout() -> None:
    rope, positions = RotaryPositionalEmbedding(100.0, 4, 10), torch.arange(3)
    contiguous = randn(3, 4)
    transposed = contiguous.detach().T.contiguous().T
    odd_offset = torch.cat([torch.zeros(1, dtype=F64), contiguous.flatten()])[1:].view(3, 4)
    for x in (transposed, odd_offset):
        assert torch.equal(rope(x, positions), rope(contiguous, positions))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-7)])
def test_rope_is_accurate_far_out_in_every_dtype(dtype: torch.dtype, tolerance: float) -> None:
    x, positions = torch.ones(50, 64, dtype=dtype), torch.arange(99_950, 100_000)
    result = RotaryPositionalEmbedding(10_000.0, 64, 100_000)(x, positions)
    assert result.dtype == dtype
    assert_same(result.double(), rotate(x.double(), positions, 10_000.0), tolerance=tolerance)


def test_rope_survives_casts_of_the_model() -> None:
    rope, x, positions = RotaryPositionalEmbedding(100.0, 8, 50), randn(50, 8), torch.arange(50)
    expected = rotate(x, positions, 100.0)
    assert_same(rope.double()(x, positions), expected)
    assert_same(rope.bfloat16().float()(x.float(), positions).double(), expected, tolerance=1e-6)
    assert_same(rope(x, positions), expected)


def test_rope_first_used_for_inference_can_be_trained_through() -> None:
    rope, x, positions = RotaryPositionalEmbedding(100.0, 8, 50), randn(5, 8), torch.arange(5)
    with torch.inference_mode():
        rope(x, positions)
    assert_same(rope(x, positions), rotate(x, positions, 100.0), x)


def test_rope_has_no_state_and_knows_its_limits() -> None:
    rope = RotaryPositionalEmbedding(100.0, 8, 50)
    assert not rope.state_dict()
    with pytest.raises(IndexError):
        rope(torch.ones(1, 8), torch.tensor([50]))
    with pytest.raises(ValueError, match="even"):
        RotaryPositionalEmbedding(100.0, 7, 50)


# ------------------------------------------------------------------------------------------------------------
# Attention


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_softmax_is_torchs(dim: int) -> None:
    x = randn(3, 4, 5)
    assert_same(softmax(x, dim), F.softmax(x, dim), x)
    assert torch.autograd.gradcheck(lambda x: softmax(x, dim), x)


def test_softmax_leaves_its_input_alone_and_is_exact_at_the_extremes() -> None:
    x = torch.tensor([[1e4, 1e4 - 1, -1e4], [-math.inf, 0.0, 0.0]])
    before = x.clone()
    torch.testing.assert_close(softmax(x, -1), F.softmax(x.double(), -1).float(), rtol=1e-6, atol=0)
    assert torch.equal(x, before)


def mask_like(*shape: int) -> Tensor:
    mask = torch.rand(shape) < 0.5
    mask[..., 0] = True  # every query sees a key
    return mask


@pytest.mark.parametrize(
    ("leading", "mask_shape"),
    [
        *((leading, shape) for leading in LEADING for shape in (None, (4, 6), (1, 6))),
        *(((2, 3), shape) for shape in [(3, 4, 6), (2, 1, 4, 6), (2, 1, 1, 6)]),
    ],
)
def test_attention_is_torchs(leading: tuple[int, ...], mask_shape: tuple[int, ...] | None) -> None:
    mask = None if mask_shape is None else mask_like(*mask_shape)
    q, k, v = randn(*leading, 4, 8), randn(*leading, 6, 8), randn(*leading, 6, 5)
    assert_same(
        scaled_dot_product_attention(q, k, v, mask),
        F.scaled_dot_product_attention(q, k, v, mask),
        *(q, k, v),
    )


def test_attention_is_exact_for_large_scores() -> None:
    q, k, v = 100 * randn(4, 8), 100 * randn(4, 8), randn(4, 8)
    assert_same(
        scaled_dot_product_attention(q, k, v),
        F.scaled_dot_product_attention(q, k, v),
        *(q, k, v),
        tolerance=1e-10,
    )


@pytest.mark.parametrize("leading", [(3,), (2, 3)])
def test_multihead_attention_is_torchs(leading: tuple[int, ...]) -> None:
    ours = CausalMultiHeadSelfAttention(12, 3, dtype=F64)
    theirs = nn.MultiheadAttention(12, 3, bias=False, dtype=F64)
    projections = (ours.q_proj.weight, ours.k_proj.weight, ours.v_proj.weight)
    theirs.in_proj_weight = nn.Parameter(torch.cat(projections))
    theirs.out_proj.weight = ours.output_proj.weight
    x = randn(*leading, 5, 12)
    batch_second = x.flatten(0, -3).transpose(0, 1)
    future = torch.ones(5, 5, dtype=torch.bool).triu(1)
    expected, _ = theirs(batch_second, batch_second, batch_second, attn_mask=future)
    assert_same(ours(x), expected.transpose(0, 1).unflatten(0, leading), x)


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("given", ["none", "one row", "row per sequence"])
def test_every_head_is_rotated_by_the_positions_of_its_sequence(batch: int, given: str) -> None:
    heads, seq, d_k = 2, 4, 6
    attention = CausalMultiHeadSelfAttention(heads * d_k, heads, 50, 100.0, dtype=F64)
    x = randn(batch, seq, heads * d_k)
    positions = torch.arange(seq) if given == "none" else torch.randint(50, (seq,))
    if given == "row per sequence":
        positions = torch.randint(50, (batch, seq))
    q, k, v = (
        F.linear(x, projection.weight).unflatten(-1, (heads, d_k)).transpose(1, 2)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    full = torch.stack([torch.broadcast_to(positions, (batch, seq))] * heads, dim=1)
    q, k = rotate(q, full, 100.0), rotate(k, full, 100.0)
    attended = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(-2)
    expected = F.linear(attended, attention.output_proj.weight)
    assert_same(attention(x, None if given == "none" else positions), expected, x)


def test_attention_refuses_what_cannot_work() -> None:
    with pytest.raises(ValueError, match="divides"):
        CausalMultiHeadSelfAttention(10, 3)
    with pytest.raises(ValueError, match="max_seq_len"):
        CausalMultiHeadSelfAttention(12, 3, theta=100.0)


# ------------------------------------------------------------------------------------------------------------
# Transformer

SIZES: dict[str, Any] = {
    "vocab_size": 11,
    "context_length": 9,
    "d_model": 8,
    "num_layers": 2,
    "num_heads": 2,
    "d_ff": 12,
    "rope_theta": 100.0,
}


def language_model(weights: Mapping[str, Tensor], ids: Tensor) -> Tensor:
    """The language model of SIZES, put together from `torch.nn.functional`."""
    x = F.embedding(ids, weights["token_embeddings.weight"])
    positions = torch.arange(ids.shape[1]).expand(len(ids), 2, -1)
    for i in range(2):
        block = {key.removeprefix(f"layers.{i}."): value for key, value in weights.items()}
        normed = F.rms_norm(x, (8,), block["ln1.weight"], eps=1e-5)
        q, k, v = (
            F.linear(normed, block[f"attn.{name}_proj.weight"]).unflatten(-1, (2, 4)).transpose(1, 2) for name in "qkv"
        )
        q, k = rotate(q, positions, 100.0), rotate(k, positions, 100.0)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(-2)
        x = x + F.linear(attended, block["attn.output_proj.weight"])
        normed = F.rms_norm(x, (8,), block["ln2.weight"], eps=1e-5)
        gate, value = F.linear(normed, block["ffn.w1.weight"]), F.linear(normed, block["ffn.w3.weight"])
        x = x + F.linear(F.silu(gate) * value, block["ffn.w2.weight"])
    return F.linear(F.rms_norm(x, (8,), weights["ln_final.weight"], eps=1e-5), weights["lm_head.weight"])


def test_language_model_is_its_parts_in_order() -> None:
    model, ids = TransformerLM(**SIZES, dtype=F64), torch.randint(11, (3, 7))
    for parameter in model.parameters():
        nn.init.normal_(parameter)  # gains of 1 would hide which norm is which
    weights = dict(model.named_parameters())
    assert_same(model(ids), language_model(weights, ids), *weights.values(), tolerance=1e-10)
    assert model(ids[0]).shape == (7, 11)


def test_language_model_has_the_documented_state() -> None:
    block = {f"attn.{name}_proj.weight" for name in ("q", "k", "v", "output")}
    block |= {f"ffn.w{i}.weight" for i in (1, 2, 3)} | {"ln1.weight", "ln2.weight"}
    expected = {"token_embeddings.weight", "ln_final.weight", "lm_head.weight"}
    expected |= {f"layers.{i}.{key}" for i in range(2) for key in block}
    model = TransformerLM(**SIZES)
    assert set(model.state_dict()) == expected == {name for name, _ in model.named_parameters()}


def test_language_model_takes_no_more_than_its_context() -> None:
    model = TransformerLM(**SIZES)
    assert model(torch.zeros(1, 9, dtype=torch.int64)).shape == (1, 9, 11)
    with pytest.raises(ValueError, match="at most 9"):
        model(torch.zeros(1, 10, dtype=torch.int64))


# ------------------------------------------------------------------------------------------------------------
# Loss


@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
def test_cross_entropy_is_torchs(leading: tuple[int, ...]) -> None:
    logits, targets = randn(*leading, 7), torch.randint(7, leading)
    assert_same(cross_entropy(logits, targets), F.cross_entropy(logits.view(-1, 7), targets.view(-1)), logits)
    assert torch.autograd.gradcheck(lambda logits: cross_entropy(logits, targets), logits)


@pytest.mark.parametrize("offset", [-1e4, 0.0, 1e4])
def test_cross_entropy_is_exact_for_logits_of_any_size(offset: float) -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0], [1e4, 0.0, -1e4]]) + offset
    targets = torch.tensor([2, 1])
    truth = F.cross_entropy(logits.double(), targets)
    torch.testing.assert_close(cross_entropy(logits, targets).double(), truth, rtol=1e-6, atol=0)


def test_cross_entropy_of_half_precision_is_summed_in_float32() -> None:
    logits, targets = torch.randn(4, 5000).bfloat16(), torch.randint(5000, (4,))
    loss = cross_entropy(logits, targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), F.cross_entropy(logits.double(), targets), rtol=1e-6, atol=0)


# ------------------------------------------------------------------------------------------------------------
# Optimizer


def trajectory(optimizer_class: Callable[..., torch.optim.Optimizer], steps: int, **settings: Any) -> Tensor:
    """Two parameters after each step of a small regression: [steps, numbers], in float64."""
    generator = torch.Generator().manual_seed(1)
    parameters = [nn.Parameter(torch.randn(n, 3, dtype=F64, generator=generator)) for n in (4, 2)]
    inputs, targets = (torch.randn(20, n, dtype=F64, generator=generator) for n in (4, 2))
    optimizer = optimizer_class(iter(parameters), **settings)
    states = []
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(inputs @ parameters[0] @ parameters[1].T, targets).backward()
        optimizer.step()
        states.append(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    return torch.stack(states)


def test_adamw_without_decay_is_torchs_exactly() -> None:
    settings: dict[str, Any] = {"lr": 0.05, "betas": (0.8, 0.95), "eps": 0.0, "weight_decay": 0.0}
    assert_same(trajectory(AdamW, 10, **settings), trajectory(torch.optim.AdamW, 10, **settings))


def test_adamw_with_defaults_is_torchs_up_to_the_order_of_decay() -> None:
    # Decaying after the step decays the step too, of size lr: lr^2 weight_decay more each time. And eps is
    # added before the correction of v, not after.
    lr, steps = 0.01, 10
    ours, theirs = trajectory(AdamW, steps, lr=lr), trajectory(torch.optim.AdamW, steps, lr=lr)
    assert_same(ours, theirs, tolerance=2 * steps * lr**2 * 0.01)
    assert not torch.equal(ours, theirs)


def test_adamw_decays_by_lr_times_weight_decay_after_the_step() -> None:
    parameter = nn.Parameter(torch.tensor([2.0], dtype=F64))
    parameter.grad = torch.tensor([3.0], dtype=F64)
    AdamW([parameter], lr=0.1, eps=0.0, weight_decay=0.5).step()
    assert parameter.item() == pytest.approx((2.0 - 0.1) * (1 - 0.1 * 0.5), rel=1e-14)


def test_adamw_reads_hyperparameters_from_the_group_at_every_step() -> None:
    fast, slow, idle = (nn.Parameter(torch.zeros(1, dtype=F64)) for _ in range(3))
    groups: list[dict[str, Any]] = [{"params": [fast, idle]}, {"params": slow, "lr": 0.25}]
    optimizer = AdamW(groups, lr=1.0, eps=0.0, weight_decay=0.0)
    fast.grad, slow.grad = torch.ones_like(fast), torch.ones_like(slow)
    optimizer.step()
    assert (fast.item(), slow.item(), idle.item()) == pytest.approx((-1.0, -0.25, 0.0))
    optimizer.param_groups[0]["lr"] = 0.5
    optimizer.step()  # constant gradients: every step is of size lr
    assert (fast.item(), slow.item(), idle.item()) == pytest.approx((-1.5, -0.5, 0.0))
    assert idle not in optimizer.state


def test_adamw_calls_its_closure_with_gradients_enabled() -> None:
    parameter = nn.Parameter(torch.ones(1))
    optimizer = AdamW([parameter], lr=0.1)

    def closure() -> Tensor:
        loss = (parameter**2).sum()
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    assert loss.item() == 1.0
    assert parameter.item() < 1.0
    assert optimizer.step() is None


@pytest.mark.parametrize(
    "wrong",
    [{"lr": -1.0}, {"eps": -1.0}, {"weight_decay": -0.1}, {"betas": (1.0, 0.9)}, {"betas": (0.9, -0.1)}],
)
def test_adamw_validates_its_arguments(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AdamW([nn.Parameter(torch.ones(1))], **wrong)


def test_schedule_has_the_right_corners() -> None:
    def rate(it: int) -> float:
        return get_lr_cosine_schedule(it, 1.0, 0.1, warmup_iters=4, cosine_cycle_iters=12)

    assert [rate(it) for it in (0, 1, 3, 4)] == [0.0, 0.25, 0.75, 1.0]
    assert rate(8) == pytest.approx(0.55)
    assert rate(6) == pytest.approx(0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2)
    assert [rate(it) for it in (12, 13, 1000)] == [0.1, 0.1, 0.1]


def test_schedule_is_torchs_after_the_warmup() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.1)
    for it in range(21):
        ours = get_lr_cosine_schedule(it, 1.0, 0.1, warmup_iters=0, cosine_cycle_iters=20)
        assert ours == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        scheduler.step()


def test_schedule_without_a_cosine_does_not_divide_by_zero() -> None:
    assert get_lr_cosine_schedule(5, 1.0, 0.1, warmup_iters=5, cosine_cycle_iters=5) == 0.1
    assert get_lr_cosine_schedule(0, 1.0, 0.1, warmup_iters=0, cosine_cycle_iters=0) == 0.1


def with_gradients(scale: float, dtype: torch.dtype = F64) -> list[nn.Parameter]:
    """Parameters of several shapes, the second without a gradient."""
    generator = torch.Generator().manual_seed(2)
    parameters = [nn.Parameter(torch.zeros(shape, dtype=dtype)) for shape in [(3, 4), (5,), (), (2, 2, 2)]]
    for parameter in parameters:
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator).to(dtype)
    parameters[1].grad = None
    return parameters


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_clipping_is_torchs_and_takes_a_generator(scale: float) -> None:
    ours, theirs = with_gradients(scale), with_gradients(scale)
    same_tensors = [parameter.grad for parameter in ours]
    gradient_clipping((parameter for parameter in ours), max_l2_norm=1.5)
    nn.utils.clip_grad_norm_(theirs, max_norm=1.5)
    for our, their, same in zip(ours, theirs, same_tensors, strict=True):
        assert our.grad is same  # in place
        torch.testing.assert_close(same, their.grad, rtol=1e-12, atol=0)


def test_clipping_changes_nothing_below_the_limit_or_without_gradients() -> None:
    parameters = with_gradients(1.0)
    norm = nn.utils.clip_grad_norm_(parameters, max_norm=math.inf)
    before = copy.deepcopy([parameter.grad for parameter in parameters])
    gradient_clipping(parameters, max_l2_norm=norm.item() * (1 + 1e-9))
    torch.testing.assert_close([parameter.grad for parameter in parameters], before, rtol=0, atol=0)
    gradient_clipping([nn.Parameter(torch.ones(3))], max_l2_norm=1.0)
    gradient_clipping([], max_l2_norm=1.0)


def test_clipping_does_not_overflow_in_half_precision() -> None:
    parameters = with_gradients(2e4, torch.float16)
    gradient_clipping(parameters, max_l2_norm=1.0)
    gradients = torch.cat([p.grad.flatten().double() for p in parameters if p.grad is not None])
    assert gradients.norm().item() == pytest.approx(1.0, rel=1e-2)


# ------------------------------------------------------------------------------------------------------------
# Data


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64])
def test_batches_are_windows_and_what_follows_them(dtype: type) -> None:
    dataset: np.ndarray = np.arange(60_000, 60_100).astype(dtype)
    x, y = get_batch(dataset, 32, 7, "cpu")
    assert x.dtype == y.dtype == torch.int64
    assert x.shape == y.shape == (32, 7)
    assert torch.equal(y, x + 1)
    assert torch.equal(x, x[:, :1] + torch.arange(7))


def test_batches_start_anywhere_that_fits_equally_often() -> None:
    x, _ = get_batch(np.arange(10), 30_000, 7, "cpu")
    counts = torch.bincount(x[:, 0], minlength=10)
    assert counts[3:].tolist() == [0] * 7
    assert (counts[:3] - 10_000).abs().max() < 400  # five standard deviations


def test_batches_need_one_token_more_than_a_window() -> None:
    x, y = get_batch(np.arange(6), 2, 5, "cpu")
    assert x.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert y.tolist() == [[1, 2, 3, 4, 5]] * 2
    with pytest.raises(ValueError, match="longer dataset"):
        get_batch(np.arange(5), 2, 5, "cpu")


def test_batches_repeat_with_torchs_seed_and_own_their_memory() -> None:
    batches = []
    for _ in range(2):
        torch.manual_seed(3)
        batches.append(get_batch(np.arange(1000), 4, 5, "cpu"))
    assert torch.equal(batches[0][0], batches[1][0])
    x, y = batches[0]
    expected = y.clone()
    x.zero_()
    assert torch.equal(y, expected)


def test_batches_come_from_a_mapped_file_larger_than_memory(tmp_path: Path) -> None:
    path = tmp_path / "tokens.bin"
    with path.open("wb") as file:
        file.truncate(2**40)  # 1 TiB, all of it a hole
    dataset = np.memmap(path, dtype=np.uint16, mode="r")
    x, _ = get_batch(dataset, 8, 16, "cpu")
    assert x.shape == (8, 16)


# ------------------------------------------------------------------------------------------------------------
# Checkpoints


def training_run() -> tuple[TransformerLM, AdamW]:
    model = TransformerLM(**SIZES)
    return model, AdamW(model.parameters(), lr=1e-2)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    for _ in range(steps):
        ids = torch.randint(11, (4, 9), generator=generator)
        optimizer.zero_grad()
        cross_entropy(model(ids[:, :-1]), ids[:, 1:]).backward()
        optimizer.step()
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_equal_states(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("to_path", [True, False], ids=["path", "file"])
def test_a_resumed_run_continues_as_if_never_interrupted(tmp_path: Path, to_path: bool) -> None:
    target: Path | io.BytesIO = tmp_path / "checkpoint.pt" if to_path else io.BytesIO()
    model, optimizer = training_run()
    train(model, optimizer, steps=3)
    save_checkpoint(model, optimizer, 3, target)
    uninterrupted = train(model, optimizer, steps=3)

    model, optimizer = training_run()
    if isinstance(target, io.BytesIO):
        target.seek(0)
    parameters = list(model.parameters())
    assert load_checkpoint(target, model, optimizer) == 3
    assert all(new is old for new, old in zip(model.parameters(), parameters, strict=True))
    assert_equal_states(train(model, optimizer, steps=3), uninterrupted)


def test_an_interrupted_save_leaves_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    model, optimizer = training_run()
    save_checkpoint(model, optimizer, 1, str(path))

    def fail_halfway(checkpoint: object, file: io.BufferedWriter) -> None:
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fail_halfway)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(model, optimizer, 2, path)
    assert os.listdir(tmp_path) == ["checkpoint.pt"]
    assert load_checkpoint(path, model, optimizer) == 1


def test_a_truncated_checkpoint_is_reported_and_changes_nothing() -> None:
    model, optimizer = training_run()
    file = io.BytesIO()
    save_checkpoint(model, optimizer, 1, file)
    content = file.getvalue()
    before = train(model, optimizer, steps=1)
    for length in [0, 1, 10, *range(100, len(content) - 1, len(content) // 50), len(content) - 1]:
        with pytest.raises(ValueError, match="not a complete checkpoint"):
            load_checkpoint(io.BytesIO(content[:length]), model, optimizer)
    assert_equal_states(dict(model.state_dict()), before)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "attacked"),)

    for write in (torch.save, partial(pickle.dump, protocol=2)):
        with (tmp_path / "checkpoint.pt").open("wb") as file:
            write({"model": Attack(), "optimizer": {}, "iteration": 0}, file)
        with pytest.raises(ValueError, match="not a complete checkpoint"):
            load_checkpoint(tmp_path / "checkpoint.pt", *training_run())
    assert not (tmp_path / "attacked").exists()


def test_a_checkpoint_from_a_gpu_loads_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer = training_run()
    file = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        save_checkpoint(model, optimizer, 5, file)
    assert b"cuda:0" in file.getvalue()
    file.seek(0)
    assert load_checkpoint(file, model, optimizer) == 5
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_compiled_and_plain_models_share_checkpoints() -> None:
    model, optimizer = training_run()
    plain, compiled = io.BytesIO(), io.BytesIO()
    save_checkpoint(model, optimizer, 1, plain)
    wrapped: Any = torch.compile(model)
    save_checkpoint(wrapped, optimizer, 1, compiled)
    compiled.seek(0)
    plain.seek(0)
    assert load_checkpoint(compiled, model, optimizer) == 1
    assert load_checkpoint(plain, wrapped, optimizer) == 1


# ------------------------------------------------------------------------------------------------------------
# Adapters


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_adapters_compute_in_the_dtype_that_they_are_given(dtype: torch.dtype) -> None:
    model = adapters.get_transformer_lm_module(**SIZES).to(dtype)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    ids = torch.randint(11, (2, 7))
    x = torch.randn(2, 7, 8).to(dtype)
    square = weights["layers.0.attn.q_proj.weight"]
    block = {key.removeprefix("layers.0."): value for key, value in weights.items() if key.startswith("layers.0.")}
    attention = {f"{name}_proj_weight": square for name in "qkvo"}
    results = [
        adapters.run_linear(8, 8, square, x),
        adapters.run_embedding(11, 8, weights["token_embeddings.weight"], ids),
        adapters.run_rmsnorm(8, 1e-5, weights["ln_final.weight"], x),
        adapters.run_silu(x),
        adapters.run_swiglu(8, 12, block["ffn.w1.weight"], block["ffn.w2.weight"], block["ffn.w3.weight"], x),
        adapters.run_rope(8, 100.0, 7, x, torch.arange(7)),
        adapters.run_softmax(x, -1),
        adapters.run_scaled_dot_product_attention(x, x, x),
        adapters.run_multihead_self_attention(8, 2, **attention, in_features=x),
        adapters.run_multihead_self_attention_with_rope(8, 2, 7, 100.0, **attention, in_features=x),
        adapters.run_transformer_block(8, 2, 12, 9, 100.0, block, x),
        adapters.run_transformer_lm(**SIZES, weights=weights, in_indices=ids),
    ]
    assert {result.dtype for result in results} == {dtype}
    assert_equal_states(weights, dict(model.state_dict()))
    assert torch.equal(results[-1], model(ids))
