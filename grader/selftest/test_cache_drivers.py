"""The drivers that count: numbers held at one time, and FLOPs of matrix products."""

from __future__ import annotations

import types

import pytest
import torch
from torch.nn import functional as F

from grader.worker.drivers.caches import matmul_work
from grader.worker.drivers.tensors_held import numbers_held
from grader.worker.operations import Operations


def driven(driver, function, **inputs):
    adapters = types.ModuleType("adapters")
    adapters.run_online_attention = function  # type: ignore[attr-defined]
    return driver(Operations(adapters), "run_online_attention", inputs)


def held(function) -> int:
    return driven(numbers_held, function, x=torch.ones(10, 10))["held"]


def test_numbers_are_held_as_long_as_a_tensor_lives():
    def one_after_the_other(x):
        for _ in range(5):
            y = x + 1
            del y
        return x

    assert held(one_after_the_other) == 100
    assert held(lambda x: [x + i for i in range(5)]) == 500
    assert held(lambda x: torch.cat([x + i for i in range(5)])) == 1000


def test_views_inputs_and_integers_are_free():
    assert held(lambda x: [x[0], x.T, x.view(-1)]) == 0
    assert held(lambda x: [y := x * 2, y[0], y.T, y.reshape(50, 2)]) == 100
    assert held(lambda x: x > 0) == 0
    assert held(lambda x: (x * 2).add_(1).mul_(3)) == 100


def test_a_view_keeps_what_it_views():
    def views(x):
        return [(x * i)[0] for i in range(3)]

    assert held(views) == 300


PRODUCTS = {
    "@": (lambda a, b: a @ b.T, 2 * 6 * 4 * 5),
    "linear": (lambda a, b: F.linear(a, b), 2 * 6 * 4 * 5),
    "einsum": (lambda a, b: torch.einsum("id,jd->ij", a, b), 2 * 6 * 4 * 5),
    "addmm": (lambda a, b: torch.addmm(torch.zeros(5), a, b.T), 2 * 6 * 4 * 5),
    "vector": (lambda a, b: a @ b[0], 2 * 6 * 4),
    "dot": (lambda a, b: a[0] @ b[0], 2 * 4),
    "batch": (lambda a, b: a.expand(3, 6, 4) @ b.T.expand(3, 4, 5), 3 * 2 * 6 * 4 * 5),
    "attention": (lambda a, b: F.scaled_dot_product_attention(a[None, None], b[None, None], b[None, None]), 480),
    "elementwise": (lambda a, b: a * 2 + b.sum(), 0),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_matrix_products_are_counted(name):
    function, flops = PRODUCTS[name]
    seen = driven(matmul_work, function, a=torch.ones(6, 4), b=torch.ones(5, 4))
    assert seen["flops"] == flops
