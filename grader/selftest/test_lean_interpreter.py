"""Triton's interpreter without looking through its language again and again, in a Python of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from grader.kit.paths import KIT
from grader.submission.triton_interpreter import INTERPRETED

pytest.importorskip("triton")

CODE = """
import inspect, torch, triton.language as tl
from triton.runtime import interpreter
from grader.reference.kernels import FlashAttentionTriton
from grader.worker.lean_interpreter import keep_interpreter_lean

looks, getmembers = [], inspect.getmembers
inspect.getmembers = lambda *a: looks.append(a) or getmembers(*a)

def gradients():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 70, 16, generator=generator, requires_grad=True) for _ in range(3))
    output = FlashAttentionTriton.apply(q, k, v, True)
    return output, *torch.autograd.grad(output.square().sum(), (q, k, v))

before, load = gradients(), tl.load
usual, looks[:] = len(looks), []
keep_interpreter_lean()
first = gradients()
keep_interpreter_lean()
again = gradients()
print(usual, len(looks), all(map(torch.equal, before, first)), all(map(torch.equal, before, again)), tl.load is load)
"""


def test_the_language_is_looked_through_once_and_answers_stay_the_same():
    """Without, it is each time: if it no longer were, there would be nothing to spare."""
    environment = {**os.environ, **INTERPRETED}
    done = subprocess.run([sys.executable, "-c", CODE], cwd=KIT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    usual, lean, *same = done.stdout.split()
    assert int(usual) > 20 > int(lean)
    assert same == ["True", "True", "True"]
