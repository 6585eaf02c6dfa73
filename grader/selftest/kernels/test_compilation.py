"""What the compiler makes of the kernels for a Hopper GPU; needs no GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from grader.kit.paths import KIT
from grader.selftest.kernels.compilation import DISASSEMBLER

pytestmark = pytest.mark.skipif(
    not DISASSEMBLER.exists(), reason="this build of Triton has no compiler for NVIDIA GPUs"
)

SPILLS = {
    "softmax backward 32768": 32,  # 64 pairs in each of 512 threads, which have 128 registers
    "flash_attention backward_keys 128": 160,  # and is 5 % faster all the same than the fastest tile that has none
}


@pytest.fixture(scope="module")
def findings() -> dict[str, dict[str, int]]:
    """What `compilation` prints; it runs outside this process, where kernels may be interpreted."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "grader.selftest.kernels.compilation"]
    run = subprocess.run(command, cwd=KIT, env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, f"a kernel does not compile:\n{run.stderr}"
    return json.loads(run.stdout)


def test_tensors_are_accessed_16_bytes_at_a_time(findings):
    assert all(found["wide_accesses"] > 0 for found in findings.values())
    rows = {name: found for name, found in findings.items() if name.startswith(("softmax", "silu_gate"))}
    assert [name for name, found in rows.items() if found["narrow_accesses"] and "wide" not in name] == []


def test_rows_that_begin_anywhere_are_read_and_written_16_bytes_at_a_time(findings):
    """Two steps of the sweep forth, and the reading and writing of the one back; their edges go one by one."""
    wide = {name: found["wide_accesses"] for name, found in findings.items() if name.endswith("wide")}
    assert len(wide) == 3
    assert min(wide.values()) >= 4, wide


def test_values_stay_in_registers(findings):
    assert [name for name, found in findings.items() if found["spills"] > SPILLS.get(name, 0)] == []


def test_attention_keeps_matrix_instructions_in_flight(findings):
    kernels = [found for found in findings.values() if found["matrix_instructions"]]
    assert len(kernels) == 6
    assert all(4 * found["matrix_waits"] <= found["matrix_instructions"] for found in kernels)
