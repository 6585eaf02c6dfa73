"""FlashAttention's kernels against float64."""

from __future__ import annotations

import pytest
import torch

from grader.kernels.flash_attention import (
    BACKWARD_KEYS,
    BACKWARD_QUERIES,
    FORWARD,
    choose_tile,
    flash_attention,
)
from grader.selftest.kernels.comparison import (
    DEVICE,
    MATRIX_DTYPES,
    assert_gradients_near,
    assert_near,
    draw,
    in_float64,
)


def reference(q, k, v, *, causal=False, scale=None):
    scores = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(hidden, -torch.inf)
    return scores.softmax(dim=-1) @ v, scores.logsumexp(dim=-1)


def assert_attention(q, k, v, *, causal, scale=None, gradients=6.0, typical=None):
    """Compare outputs and gradients; P and dS are rounded to the tensors' type before they are summed up."""
    truths = [in_float64(x) for x in (q, k, v)]
    (o, lse), (truth, truth_lse) = (
        flash_attention(q, k, v, causal=causal, scale=scale),
        reference(*truths, causal=causal, scale=scale),
    )
    assert o.dtype == q.dtype
    assert lse.dtype == torch.float32
    assert_near(o, truth, roundings=3, typical=typical)
    assert_near(lse, truth_lse)
    assert_gradients_near(o, [q, k, v], truth, truths, roundings=gradients, operations=128, typical=typical)


@pytest.mark.parametrize("dtype", MATRIX_DTYPES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("queries", "keys", "head_dim"),
    [
        (2, 2, 1),
        (16, 16, 16),
        (50, 50, 24),
        (77, 40, 33),
        (33, 90, 128),
        (64, 64, 64),
        (3, 70, 8),
        (70, 3, 100),
    ],
)
def test_outputs_and_gradients(queries, keys, head_dim, causal, dtype):
    q = draw(1, 2, queries, head_dim, dtype=dtype, seed=3)
    k, v = (draw(1, 2, keys, head_dim, dtype=dtype, seed=seed) for seed in (4, 5))
    assert_attention(q, k, v, causal=causal)


@pytest.mark.parametrize("causal", [False, True])
def test_a_single_key_hands_out_its_value(causal):
    q, k, v = draw(1, 2, 1, 8, seed=3), draw(1, 2, 1, 8, seed=4), draw(1, 2, 1, 8, seed=5)
    assert torch.equal(flash_attention(q, k, v, causal=causal)[0], v)


@pytest.mark.skipif(DEVICE.type != "cuda", reason="takes the interpreter minutes")
@pytest.mark.parametrize("dtype", MATRIX_DTYPES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("length", "head_dim"), [(2049, 64), (2500, 128), (513, 80)])
def test_many_tiles(length, head_dim, causal, dtype):
    """D is summed from outputs that are rounded already, which the gradient of a query with one large weight is left
    with: by the formulas in float32, with these roundings, the worst of 640,000 is off by 12 of bf16, all by 0.3."""
    q, k, v = (draw(1, 2, length, head_dim, dtype=dtype, seed=seed) for seed in (3, 4, 5))
    assert_attention(q, k, v, causal=causal, gradients=24, typical=0.6)


def test_heads_that_alternate_in_one_fused_projection():
    fused = draw(2, 20, 3 * 2 * 16)
    truth_fused = in_float64(fused)
    q, k, v = fused.view(2, 20, 3, 2, 16).permute(2, 0, 3, 1, 4)
    o, _ = flash_attention(q, k, v, causal=True)
    truth, _ = reference(*truth_fused.view(2, 20, 3, 2, 16).permute(2, 0, 3, 1, 4), causal=True)
    assert_near(o, truth)
    assert_gradients_near(o, [fused], truth, [truth_fused], operations=128)


def test_output_keeps_the_layout_of_the_queries():
    q, k, v = (draw(2, 20, 3, 16, seed=seed).detach().transpose(1, 2) for seed in (3, 4, 5))
    assert flash_attention(q, k, v)[0].stride() == q.stride()


def test_columns_apart_and_a_broadcast_gradient():
    q, k, v = (draw(1, 2, 16, 20, seed=seed) for seed in (3, 4, 5))
    truths = [in_float64(x) for x in (q, k, v)]
    o = flash_attention(*(x.mT for x in (q, k, v)))[0].sum()
    truth = reference(*(x.mT for x in truths))[0].sum()
    assert_gradients_near(o, [q, k, v], truth, truths, operations=128)


@pytest.mark.parametrize("causal", [False, True])
def test_large_scores_do_not_overflow(causal):
    q, k, v = (draw(1, 1, 40, 16, seed=seed, scale=scale) for seed, scale in ((3, 30.0), (4, 30.0), (5, 1.0)))
    truths = [in_float64(x) for x in (q, k, v)]
    (o, lse), (truth, truth_lse) = flash_attention(q, k, v, causal=causal), reference(*truths, causal=causal)
    assert_near(lse, truth_lse)
    assert_near(o, truth, operations=2_000)  # scores around 1,000 carry errors around 1e-4


@pytest.mark.parametrize("kernel", [FORWARD, BACKWARD_KEYS, BACKWARD_QUERIES])
@pytest.mark.parametrize("dim", [16, 64, 128])
def test_a_tile_fits_into_the_shared_memory_that_there_is(kernel, dim):
    """The H100, and GPUs of which a program has 99 KiB."""
    large, small = (choose_tile(kernel, torch.bfloat16, dim, size << 10) for size in (227, 99))
    assert small == large or small.queries * small.keys < large.queries * large.keys
    assert choose_tile(kernel, torch.float32, dim, 99 << 10).queries == 32


def test_scale():
    assert_attention(*(draw(1, 1, 20, 16, seed=seed) for seed in (3, 4, 5)), causal=True, scale=0.7)


def test_what_it_refuses():
    x = torch.zeros(1, 2, 4, 16, device=DEVICE)
    with pytest.raises(ValueError, match="needs q"):
        flash_attention(x, x[:, :1], x[:, :1])
    with pytest.raises(ValueError, match="needs q"):
        flash_attention(x, x[:, :, :0], x[:, :, :0])
    with pytest.raises(ValueError, match="one dtype"):
        flash_attention(x, x.half(), x.half())
    with pytest.raises(ValueError, match="from 1 to 128, not 129"):
        flash_attention(*[torch.zeros(1, 1, 4, 129, device=DEVICE)] * 3)
    with pytest.raises(ValueError, match="positive scale"):
        flash_attention(x, x, x, scale=-1.0)


def test_no_queries():
    o, lse = flash_attention(*(torch.zeros(1, 2, n, 16, device=DEVICE) for n in (0, 3, 3)))
    assert o.shape == (1, 2, 0, 16)
    assert lse.shape == (1, 2, 0)
