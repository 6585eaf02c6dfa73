"""What the compiler makes of the kernels for a Hopper GPU; needs no GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from grader.selftest.kernels.compilation import DISASSEMBLER

pytestmark = pytest.mark.skipif(
    not DISASSEMBLER.exists(), reason="this build of Triton has no compiler for NVIDIA GPUs"
)

SPILLS = {"softmax backward 32768": 32}  # 32 pairs in each of 1,024 threads, which have 64 registers


@pytest.fixture(scope="module")
def findings() -> dict[str, dict[str, int]]:
    """What `compilation` prints; it runs outside this process, where kernels may be interpreted."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "grader.selftest.kernels.compilation"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, f"a kernel does not compile:\n{run.stderr}"
    return json.loads(run.stdout)


def test_tensors_are_accessed_16_bytes_at_a_time(findings):
    assert all(found["wide_accesses"] > 0 for found in findings.values())
    narrow = {name: found["narrow_accesses"] for name, found in findings.items()}
    assert [name for name in narrow if name.startswith(("softmax", "silu_gate")) and narrow[name]] == []


def test_values_stay_in_registers(findings):
    assert [name for name, found in findings.items() if found["spills"] > SPILLS.get(name, 0)] == []


def test_attention_keeps_matrix_instructions_in_flight(findings):
    kernels = [found for found in findings.values() if found["matrix_instructions"]]
    assert len(kernels) == 3
    assert all(4 * found["matrix_waits"] <= found["matrix_instructions"] for found in kernels)
