"""AdamW's kernel against PyTorch's AdamW in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from grader.kernels.adamw import BLOCK, adamw_step
from grader.selftest.kernels.comparison import DEVICE, assert_near, draw

SHAPES = [(5, 7), (), (BLOCK,), (3 * BLOCK + 1,), (0,), (1,), (17, 33, 3)]
SETTINGS: dict[str, Any] = {"lr": 3e-2, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}


def zeros(tensors, dtype):
    return [torch.zeros_like(tensor, dtype=dtype, memory_format=torch.contiguous_format) for tensor in tensors]


@pytest.mark.parametrize(
    ("parameter", "gradient", "state"),
    [
        (torch.float32, torch.float32, torch.float32),
        (torch.float32, torch.bfloat16, torch.float32),
        (torch.bfloat16, torch.bfloat16, torch.float32),
        (torch.float16, torch.float16, torch.float32),
    ],
)
def test_several_steps(parameter, gradient, state):
    params = [draw(*shape, dtype=parameter, seed=i).detach() for i, shape in enumerate(SHAPES)]
    m, v = zeros(params, state), zeros(params, state)
    for step in range(1, 4):
        truths = [torch.nn.Parameter(p.double()) for p in params]
        optimizer = torch.optim.AdamW(truths, **SETTINGS)
        grads = [draw(*shape, dtype=gradient, seed=100 * step + i).detach() for i, shape in enumerate(SHAPES)]
        for i, (truth, g) in enumerate(zip(truths, grads, strict=True)):
            truth.grad = g.double()
            state_of = {
                "step": torch.tensor(step - 1.0),
                "exp_avg": m[i].double(),
                "exp_avg_sq": v[i].double(),
            }
            optimizer.state[truth] = state_of
        optimizer.step()
        adamw_step(params, grads, m, v, step=step, **SETTINGS)
        for i, truth in enumerate(truths):
            if truth.numel():
                assert_near(params[i], truth)
                assert_near(m[i], optimizer.state[truth]["exp_avg"])
                assert_near(v[i], optimizer.state[truth]["exp_avg_sq"])


def test_tensors_that_begin_at_odd_addresses():
    flat = [draw(3 * BLOCK + 1, seed=seed).detach() for seed in range(2)]
    states = [torch.zeros_like(flat[0]) for _ in range(2)]
    views = [[x[1:] if i % 2 else x[:-1]] for i, x in enumerate([*flat, *states])]
    truth = torch.nn.Parameter(views[0][0].double())
    truth.grad = views[1][0].double()
    last = flat[0][-1].item()
    torch.optim.AdamW([truth], **SETTINGS).step()
    adamw_step(*views, step=1, **SETTINGS)
    assert_near(views[0][0], truth)
    assert flat[0][-1].item() == last


def test_gradients_that_move_between_steps():
    p, m, v = (torch.zeros(10, device=DEVICE) for _ in range(3))
    kept = []
    for step in (1, 2, 3):
        kept.append(torch.full_like(p, float(step)))
        adamw_step([p], kept[-1:], [m], [v], step=step, lr=0.1, betas=(0.0, 0.0), eps=0.0, weight_decay=0.0)
        assert_near(m, kept[-1].double())
    assert_near(p, torch.full_like(p, -0.3, dtype=torch.float64))


def test_what_it_refuses():
    p = torch.zeros(4, 4, device=DEVICE)
    with pytest.raises(ValueError, match="gradient 0 has shape"):
        adamw_step([p], [p[0]], [p], [p], step=1, lr=0.1)
    with pytest.raises(ValueError, match=r"parameter 1 has shape .* strides"):
        adamw_step([p, p.T], [p, p], [p, p], [p, p], step=1, lr=0.1)
    with pytest.raises(ValueError, match=r"first moment 0 is torch\.float64"):
        adamw_step([p], [p], [p.double()], [p], step=1, lr=0.1)
    with pytest.raises(ValueError, match="both moments in one dtype"):
        adamw_step([p], [p], [p.half()], [p], step=1, lr=0.1)


def test_no_tensors():
    adamw_step([], [], [], [], step=1, lr=0.1)
    empty = [torch.zeros(0, device=DEVICE)]
    adamw_step(empty, empty, empty, empty, step=1, lr=0.1)
