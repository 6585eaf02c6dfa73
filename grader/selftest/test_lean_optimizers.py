"""Optimizers without torch's compiler, each in a Python of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from grader.kit.paths import KIT

OWN = """
import sys, torch
from grader.worker.lean_optimizers import keep_compiler_away

class Own(torch.optim.Optimizer):
    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})

    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.data -= group["lr"] * p.grad

def train():
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = Own([p], 0.25)
    optimizer.zero_grad()
    (p * torch.arange(3)).sum().backward()
    optimizer.step()
    again = Own([p], 9)
    again.load_state_dict(optimizer.state_dict())
    return p.detach(), again.param_groups[0]["lr"]
"""


def run(code: str) -> list[str]:
    """The lines that the code prints, in a Python of its own."""
    done = subprocess.run([sys.executable, "-c", OWN + code], cwd=KIT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


TRAINS = "print(*train())\nprint('torch._dynamo' in sys.modules)\n"
COMPILES = "print(torch.compile(lambda x: 2 * x + 1, backend='eager')(torch.tensor(3.0)).item(), train()[1])\n"


@pytest.fixture(scope="module")
def usual() -> list[str]:
    return run(TRAINS)


@pytest.fixture(scope="module")
def lean() -> list[str]:
    return run("keep_compiler_away()\n" + TRAINS + COMPILES)


def test_an_own_optimizer_does_not_import_the_compiler(usual, lean):
    """Without, torch does: if it no longer did, there would be nothing to keep away."""
    assert (usual[1], lean[1]) == ("True", "False")


def test_it_does_what_it_did(usual, lean):
    assert usual[0] == lean[0] != ""


def test_whoever_compiles_still_can(lean):
    assert lean[2] == "7.0 0.25"
