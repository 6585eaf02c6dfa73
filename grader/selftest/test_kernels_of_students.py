"""The reference's own kernels against float64, and those of `grader/kernels` behind the adapters of races."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys

import pytest
import torch

from grader.cases.compare import Tolerance
from grader.kit.paths import KIT
from grader.performance.contestants import Contestant, PreparedRace
from grader.performance.devices import CpuDevice
from grader.performance.racing import shared_bytes
from grader.performance.reference_layout import reference_layout
from grader.performance.tensor_races import RACES
from grader.submission.in_process import InProcess
from grader.wall.isolation import choose
from grader.wall.processes import adopt_orphans

FUNCTIONS = ("get_flashattention_autograd_function_pytorch", "get_flashattention_autograd_function_triton")


@pytest.fixture(scope="module")
def reference() -> InProcess:
    return InProcess(importlib.import_module("grader.reference.adapters"))


def inputs(queries: int, keys: int, d: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(queries)
    shapes = {"Q": (2, queries, d), "K": (2, keys, d), "V": (2, keys, d)}
    return {n: torch.randn(s, dtype=torch.float64, generator=generator) for n, s in shapes.items()}


@pytest.mark.parametrize("factory", FUNCTIONS)
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize(("queries", "keys", "d"), [(100, 77, 20), (5, 130, 16), (130, 7, 3)])
def test_attention_in_float64(reference, factory, is_causal, queries, keys, d):
    given = inputs(queries, keys, d)
    leaves = [x.clone().requires_grad_() for x in given.values()]
    scores = leaves[0] @ leaves[1].mT * d**-0.5
    if is_causal:
        scores = scores.masked_fill(torch.ones(queries, keys, dtype=torch.bool).triu(1), -torch.inf)
    output, lse = scores.softmax(-1) @ leaves[2], scores.logsumexp(-1)
    cotangent = torch.randn(output.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    truths = torch.autograd.grad(output, leaves, cotangent)

    given = {"factory": factory, **given, "is_causal": is_causal}
    torch.testing.assert_close(reference.attention_output(**given), output.detach())
    torch.testing.assert_close(reference.attention_log_sum_exp(**given), lse.detach())
    gradients = reference.attention_gradients(**given, cotangent=cotangent)
    torch.testing.assert_close(list(gradients.values()), list(truths))


def test_rmsnorm_in_float64(reference):
    generator = torch.Generator().manual_seed(0)
    x, weight, dy = (torch.randn(s, dtype=torch.float64, generator=generator) for s in ((70, 50), (50,), (70, 50)))
    leaves = [x.clone().requires_grad_(), weight.clone().requires_grad_()]
    output = torch.nn.functional.rms_norm(leaves[0], (50,), leaves[1], 1e-5)
    given = {"factory": "get_rmsnorm_autograd_function_triton", "x": x, "weight": weight}
    torch.testing.assert_close(reference.fused_rmsnorm_output(**given), output.detach())
    gradients = reference.fused_rmsnorm_gradients(**given, cotangent=dy)
    torch.testing.assert_close(list(gradients.values()), list(torch.autograd.grad(output, leaves, dy)))


def test_the_skeleton_imports_where_triton_is_missing():
    code = "import sys; sys.modules['triton'] = None; import cs336_basics.kernels, grader.reference.kernels"
    subprocess.run([sys.executable, "-c", code], cwd=KIT, check=True)


@pytest.mark.parametrize("problem", [problem for problem, races in RACES.items() if list(races("cpu"))])
def test_the_fast_kernels_are_right_in_races(problem):
    """In the interpreter: one call, whose outputs are judged as in a race on a GPU."""
    adopt_orphans()
    layout, device = reference_layout("cuda"), CpuDevice()
    race = dataclasses.replace(next(RACES[problem]("cpu")), tolerance=Tolerance(1e-4))
    with Contestant(layout, choose("auto", layout), device, shared_bytes(device)) as contestant:
        PreparedRace(contestant, race, slots=1).turn(seed=1)
