"""Compile every kernel for a Hopper GPU, without one, and print what the machine code holds.

    python -m grader.selftest.kernels.compilation

The interpreter cannot see code that does not compile, accesses narrower than they could be, registers that
spill to memory, or matrix instructions that wait for each other; Triton's own compiler and disassembler can.
To be run in a process of its own, as kernels that are defined for the interpreter cannot be compiled.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from grader.kernels import adamw, cross_entropy, flash_attention, rmsnorm, rope, silu_gate, softmax
from grader.kernels.rows import row_tile
from grader.kernels.wide_rows import choose_sweep

HOPPER = GPUTarget("cuda", 90, 32)
HOPPER_SHARED_BYTES = 227 * 1024  # that a program may have
DISASSEMBLER = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
FLOATS = {"eps", "scale", "lr", "beta1", "beta2", "decay", "correction1", "root_correction2", "dloss"}
POINTERS = {
    **dict.fromkeys(("r_ptr", "dgain_ptr", "loss_ptr", "lse_ptr", "delta_ptr", "cos_ptr", "sin_ptr"), "*fp32"),
    **dict.fromkeys(("target_ptr", "position_ptr", "tensor_ptr"), "*i64"),
    "block_ptr": "*i32",
}
INSTRUCTION = re.compile(r"/\*[0-9a-f]{4}\*/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9_.]*)")


@dataclass(frozen=True)
class Build:
    """A kernel, and how its launch would specialise it for aligned bf16 tensors.

    is_ragged: rows have any number of columns, so that most of them begin at an address that is not aligned.
    """

    name: str
    kernel: Any
    constants: Mapping[str, Any]
    num_warps: int
    num_stages: int = 3
    types: Mapping[str, str] = field(default_factory=dict)
    is_ragged: bool = False


def builds() -> Iterator[Build]:
    """Every kernel at a size that matters."""
    for columns in (4_096, 32_768):
        tile = row_tile(columns)
        block = {"BLOCK_ROWS": tile.rows, "BLOCK_COLUMNS": tile.columns}
        yield Build(f"softmax forward {columns}", softmax._forward, block, tile.num_warps)
        tile = softmax.tile_backward(columns)
        yield Build(f"softmax backward {columns}", softmax._backward, block, tile.num_warps)
    sweep = choose_sweep(2 * 50_257, comes_back=True)
    wide = {"VECTOR": 8, "ALIKE": True, "BLOCK": sweep.step}
    yield Build("softmax forward wide", softmax._forward_wide, wide, sweep.num_warps, is_ragged=True)
    yield Build("softmax backward wide", softmax._backward_wide, wide, sweep.num_warps, is_ragged=True)

    for columns, stages in ((1_024, 4), (8_192, 4)):
        tile = row_tile(columns)
        block = {"BLOCK_ROWS": tile.rows, "BLOCK_COLUMNS": tile.columns}
        yield Build(f"rmsnorm forward {columns}", rmsnorm._forward, block, tile.num_warps)
        yield Build(f"rmsnorm backward {columns}", rmsnorm._backward, {**block, "STAGES": stages}, tile.num_warps)

    yield Build("silu_gate forward", silu_gate._forward, {"BLOCK": silu_gate.BLOCK}, silu_gate.NUM_WARPS)
    yield Build("silu_gate backward", silu_gate._backward, {"BLOCK": silu_gate.BLOCK}, silu_gate.NUM_WARPS)

    heads = {"HALF": 64, "BLOCK_HALF": 64, "BLOCK_TOKENS": 16, "HEADS_PER_PROGRAM": 8}
    for positions in (False, True):
        constants = {**heads, "HAS_POSITIONS": positions, "INVERSE": positions}
        yield Build(f"rope positions={positions}", rope._rotate, constants, rope.NUM_WARPS)

    constants = {"WITH_GRADIENT": True, "BLOCK": cross_entropy.WIDEST_TILE}
    yield Build("cross_entropy tile", cross_entropy._tile, constants, 16)
    constants = {"WITH_GRADIENT": True, **wide}
    yield Build("cross_entropy wide", cross_entropy._wide, constants, sweep.num_warps, is_ragged=True)
    types = {"factor_ptr": "*fp32"}
    yield Build("cross_entropy scale", cross_entropy._scale, {"BLOCK": cross_entropy.SCALE_BLOCK}, 4, types=types)

    dtypes = dict.fromkeys(("PARAMETER", "GRADIENT", "STATE"), tl.float32)
    yield Build("adamw", adamw._adamw, {**dtypes, "ALIGNED": True, "BLOCK": adamw.BLOCK}, adamw.NUM_WARPS)

    for name, kernel in (
        (flash_attention.FORWARD, flash_attention._forward),
        (flash_attention.BACKWARD_KEYS, flash_attention._backward_keys),
        (flash_attention.BACKWARD_QUERIES, flash_attention._backward_queries),
    ):
        for dim in (64, 128):
            best = flash_attention.choose_tile(name, torch.bfloat16, dim, HOPPER_SHARED_BYTES)
            blocks = {"BLOCK_QUERIES": best.queries, "BLOCK_KEYS": best.keys}
            constants = {**blocks, "CAUSAL": True, "DIM": dim, "BLOCK_DIM": dim}
            yield Build(f"flash_attention {name} {dim}", kernel, constants, best.num_warps, best.num_stages)
    constants = {"DIM": 128, "BLOCK_DIM": 128, "BLOCK_QUERIES": 64}
    yield Build("flash_attention row products", flash_attention._row_products, constants, 4)


def compile_for_hopper(build: Build) -> bytes:
    """Machine code; sizes, strides and addresses are taken as multiples of 16."""
    signature: dict[str, Any] = {}
    constants: dict[tuple[int, ...], Any] = {}
    aligned: list[tuple[int, ...]] = []
    for i, name in enumerate(build.kernel.arg_names):
        if name in build.constants:
            signature[name] = "constexpr"
            constants[(i,)] = build.constants[name]
        elif name.endswith("_strides"):  # [batch, head, row], and 1 for adjacent columns
            signature[name] = ("i32", "i32", "i32", "constexpr")
            constants[(i, 3)] = 1
            aligned += [(i, 0), (i, 1), (i, 2)]
        elif name in FLOATS:
            signature[name] = "fp32"
        else:
            pointer = build.types.get(name) or POINTERS.get(name, "*bf16")
            signature[name] = pointer if name.endswith("_ptr") else "i32"
            if name.endswith("_ptr") or not build.is_ragged:
                aligned.append((i,))
    attributes = {path: [["tt.divisibility", 16]] for path in aligned}
    source = ASTSource(build.kernel, signature=signature, constexprs=constants, attrs=attributes)
    options = {"num_warps": build.num_warps, "num_stages": build.num_stages}
    return triton.compile(source, target=HOPPER, options=options).asm["cubin"]


def instructions(machine_code: bytes) -> list[str]:
    """The opcodes of a disassembly, in order."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(machine_code)
        file.flush()
        command = [str(DISASSEMBLER), "-sass", file.name]
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return INSTRUCTION.findall(listing)


@dataclass(frozen=True)
class Findings:
    """What matters in a kernel's machine code."""

    wide_accesses: int = 0  # 16 bytes per thread, global memory
    narrow_accesses: int = 0
    spills: int = 0
    matrix_instructions: int = 0
    matrix_waits: int = 0


def findings(build: Build) -> Findings:
    """Compile and count."""
    opcodes = instructions(compile_for_hopper(build))
    accesses = [opcode for opcode in opcodes if opcode.startswith(("LDG", "STG", "LDGSTS"))]
    wide = sum(".128" in opcode for opcode in accesses)
    return Findings(
        wide_accesses=wide,
        narrow_accesses=len(accesses) - wide,
        spills=sum(opcode.startswith(("LDL", "STL")) for opcode in opcodes),
        matrix_instructions=sum(opcode.startswith("HGMMA") for opcode in opcodes),
        matrix_waits=sum(opcode.startswith("WARPGROUP.DEPBAR") for opcode in opcodes),
    )


def main() -> None:
    """Print {kernel: findings} as JSON."""
    json.dump({build.name: asdict(findings(build)) for build in builds()}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
