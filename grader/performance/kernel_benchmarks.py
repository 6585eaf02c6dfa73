"""What is timed against what: each kernel at several shapes, beside eager PyTorch, torch.compile and a
library.

A benchmark is one operation on one set of tensors. Its least traffic or FLOPs are counted here, from its
definition, and not from what any contender happens to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from grader.kernels.adamw import adamw_step
from grader.kernels.cross_entropy import cross_entropy
from grader.kernels.flash_attention import flash_attention
from grader.kernels.rmsnorm import rmsnorm
from grader.kernels.rope import rope, rope_tables
from grader.kernels.silu_gate import silu_gate
from grader.kernels.softmax import softmax

OURS, EAGER, COMPILED, LIBRARY = "ours", "eager", "compiled", "library"
DEVICE = "cuda"

Call = Callable[[], object]


@dataclass(frozen=True)
class KernelBenchmark:
    """One operation on one set of tensors; `contenders` makes those, and hands out a call per contender."""

    kernel: str
    tensors: str
    contenders: Callable[[], Mapping[str, Callable[[], Call]]]
    least_bytes: int = 0
    least_flops: int = 0


def _randn(*shape: int, dtype: torch.dtype = torch.bfloat16, requires_grad: bool = False) -> Tensor:
    return torch.randn(shape, device=DEVICE, dtype=dtype, requires_grad=requires_grad)


def _forward(function: Callable[..., Tensor], *inputs: Tensor) -> Call:
    """A call without a graph: the inputs want no gradient."""
    inputs = tuple(x.detach() for x in inputs)
    return lambda: function(*inputs)


def _backward(function: Callable[..., Tensor], *inputs: Tensor) -> Call:
    """A call of the backward pass alone, on a graph that is kept."""
    output = function(*inputs)
    upstream = torch.randn_like(output)
    return lambda: torch.autograd.grad(output, inputs, upstream, retain_graph=True)


def _both(function: Callable[..., Tensor], x: Tensor, *others: Tensor) -> Call:
    return lambda: torch.autograd.grad(function(x, *others), x)


def _contenders(
    way: Callable[..., Call], inputs: Callable[[], tuple[Tensor, ...]], **functions: Callable[..., Tensor]
) -> Callable[[], Mapping[str, Callable[[], Call]]]:
    """The same inputs to every function, `compiled` being torch.compile of `eager`."""

    def make() -> Mapping[str, Callable[[], Call]]:
        tensors = inputs()
        candidates = dict(functions)
        if EAGER in candidates:
            candidates[COMPILED] = torch.compile(candidates[EAGER], dynamic=False)
        return {name: partial(way, candidate, *tensors) for name, candidate in candidates.items()}

    return make


def _shape(dtype: torch.dtype, *sizes: int) -> str:
    return f"{' × '.join(f'{size:,}' for size in sizes)} {str(dtype).removeprefix('torch.')}"


def rmsnorm_benchmarks(quick: bool) -> Iterator[KernelBenchmark]:
    for rows, columns in [(16_384, 8_192)] if quick else [(32_768, 4_096), (16_384, 8_192), (8_192, 16_384)]:

        def inputs(rows: int = rows, columns: int = columns) -> tuple[Tensor, ...]:
            return _randn(rows, columns, requires_grad=True), _randn(columns, requires_grad=True)

        def eager(x: Tensor, gain: Tensor) -> Tensor:
            return F.rms_norm(x, (x.shape[-1],), gain, 1e-5)

        tensors = _shape(torch.bfloat16, rows, columns)
        size = rows * columns * 2
        forward = _contenders(_forward, inputs, ours=rmsnorm, eager=eager)
        backward = _contenders(_backward, inputs, ours=rmsnorm, eager=eager)
        yield KernelBenchmark("RMSNorm forward", tensors, forward, least_bytes=2 * size)
        yield KernelBenchmark("RMSNorm backward", tensors, backward, least_bytes=3 * size)


def softmax_benchmarks(quick: bool) -> Iterator[KernelBenchmark]:
    cases = [
        (torch.float32, 4_096, 32_768),
        (torch.bfloat16, 32_768, 4_096),
        (torch.float32, 16_384, 8_192),
        (torch.bfloat16, 4_096, 50_257),
        (torch.bfloat16, 2_048, 131_072),
    ]
    for dtype, rows, columns in cases[:1] if quick else cases:

        def inputs(dtype: torch.dtype = dtype, rows: int = rows, columns: int = columns) -> tuple[Tensor, ...]:
            return (_randn(rows, columns, dtype=dtype, requires_grad=True),)

        def eager(x: Tensor) -> Tensor:
            return torch.softmax(x, dim=-1)

        tensors = _shape(dtype, rows, columns)
        size = rows * columns * dtype.itemsize
        forward = _contenders(_forward, inputs, ours=softmax, eager=eager)
        backward = _contenders(_backward, inputs, ours=softmax, eager=eager)
        yield KernelBenchmark("softmax forward", tensors, forward, least_bytes=2 * size)
        yield KernelBenchmark("softmax backward", tensors, backward, least_bytes=3 * size)


def silu_gate_benchmarks(quick: bool) -> Iterator[KernelBenchmark]:
    for rows, columns in [(8_192, 14_336)] if quick else [(8_192, 14_336), (16_384, 5_504)]:

        def inputs(rows: int = rows, columns: int = columns) -> tuple[Tensor, ...]:
            return tuple(_randn(rows, columns, requires_grad=True) for _ in range(2))

        def eager(a: Tensor, b: Tensor) -> Tensor:
            return F.silu(a) * b

        tensors = _shape(torch.bfloat16, rows, columns)
        size = rows * columns * 2
        forward = _contenders(_forward, inputs, ours=silu_gate, eager=eager)
        backward = _contenders(_backward, inputs, ours=silu_gate, eager=eager)
        yield KernelBenchmark("SiLU-gate forward", tensors, forward, least_bytes=3 * size)
        yield KernelBenchmark("SiLU-gate backward", tensors, backward, least_bytes=5 * size)


def rope_benchmarks(quick: bool) -> Iterator[KernelBenchmark]:
    def eager(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2).to(x.dtype)

    def in_place(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return rope(x, cos, sin, in_place=True)

    batch, heads, tokens = 8, 32, 4_096
    for head_dim in (128,) if quick else (128, 64):
        for layout, ours in (
            ("heads first", rope),
            ("tokens first", rope),
            ("tokens first, in place", in_place),
        ):

            def inputs(head_dim: int = head_dim, layout: str = layout) -> tuple[Tensor, ...]:
                if layout == "heads first":
                    x = _randn(batch, heads, tokens, head_dim)
                else:
                    x = _randn(batch, tokens, heads, head_dim).transpose(1, 2)
                return x, *rope_tables(head_dim, tokens, device=DEVICE)

            tensors = f"{_shape(torch.bfloat16, batch, heads, tokens, head_dim)}, {layout}"
            size = batch * heads * tokens * head_dim * 2
            contenders = _contenders(_forward, inputs, ours=ours, eager=eager)
            yield KernelBenchmark("RoPE", tensors, contenders, least_bytes=2 * size)


def cross_entropy_benchmarks(quick: bool) -> Iterator[KernelBenchmark]:
    for rows, columns in [(8_192, 32_768)] if quick else [(8_192, 32_768), (8_192, 50_257), (4_096, 131_072)]:

        def inputs(rows: int = rows, columns: int = columns) -> tuple[Tensor, ...]:
            return _randn(rows, columns, requires_grad=True), torch.randint(columns, (rows,), device=DEVICE)

        tensors = _shape(torch.bfloat16, rows, columns)
        size = rows * columns * 2
        forward = _contenders(_forward, inputs, ours=cross_entropy, eager=F.cross_entropy)
        both = _contenders(_both, inputs, ours=cross_entropy, eager=F.cross_entropy)
        yield KernelBenchmark("cross-entropy loss", tensors, forward, least_bytes=size)
        yield KernelBenchmark("cross-entropy loss + gradient", tensors, both, least_bytes=2 * size)


def adamw_benchmarks(quick: bool) -> Iterator[KernelBenchmark]:
    """A GPT-2-like model of 12 blocks and 124 M parameters, all float32."""
    d = 768
    block = [(d,), (3 * d, d), (d, d), (d,), (4 * d, d), (d, 4 * d)]
    shapes = [(50_257, d), (1_024, d), *block * 12, (d,)]

    def make() -> Mapping[str, Callable[[], Call]]:
        params = [_randn(*shape, dtype=torch.float32) for shape in shapes]
        for p in params:
            p.grad = torch.randn_like(p)

        def ours() -> Call:
            first, second = ([torch.zeros_like(p) for p in params] for _ in range(2))
            grads = [p.grad for p in params if p.grad is not None]
            return lambda: adamw_step(params, grads, first, second, step=10, lr=1e-4)

        return {
            OURS: ours,
            EAGER: lambda: torch.optim.AdamW(params, lr=1e-4, foreach=True).step,
            LIBRARY: lambda: torch.optim.AdamW(params, lr=1e-4, fused=True).step,
        }

    count = sum(torch.Size(shape).numel() for shape in shapes)
    yield KernelBenchmark(
        "AdamW", f"{count / 1e6:.0f} M float32 in {len(shapes)} tensors", make, least_bytes=28 * count
    )


def attention_benchmarks(quick: bool) -> Iterator[KernelBenchmark]:
    cases = [(64, 4_096, True), (128, 8_192, True)]
    if not quick:
        cases = [(dim, tokens, True) for dim in (64, 128) for tokens in (4_096, 8_192, 16_384)]
        cases += [(64, 8_192, False), (128, 8_192, False)]
    for dim, tokens, causal in cases:
        batch, heads = 16_384 // tokens, 2_048 // dim

        def inputs(batch: int = batch, heads: int = heads, tokens: int = tokens, dim: int = dim) -> tuple[Tensor, ...]:
            return tuple(_randn(batch, heads, tokens, dim, requires_grad=True) for _ in range(3))

        def ours(q: Tensor, k: Tensor, v: Tensor, causal: bool = causal) -> Tensor:
            return flash_attention(q, k, v, causal=causal)[0]

        def library(q: Tensor, k: Tensor, v: Tensor, causal: bool = causal) -> Tensor:
            with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
                return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

        tensors = f"{_shape(torch.bfloat16, batch, heads, tokens, dim)}{', causal' if causal else ''}"
        product = 2 * batch * heads * tokens * tokens * dim // (2 if causal else 1)
        forward = _contenders(_forward, inputs, ours=ours, library=library)
        backward = _contenders(_backward, inputs, ours=ours, library=library)
        yield KernelBenchmark("attention forward", tensors, forward, least_flops=2 * product)
        yield KernelBenchmark("attention backward", tensors, backward, least_flops=5 * product)


def all_benchmarks(quick: bool) -> Iterator[KernelBenchmark]:
    """Every benchmark in the order in which it is reported; `quick` keeps one or two shapes of each kernel."""
    for benchmarks in (
        rmsnorm_benchmarks,
        softmax_benchmarks,
        silu_gate_benchmarks,
        rope_benchmarks,
        cross_entropy_benchmarks,
        adamw_benchmarks,
        attention_benchmarks,
    ):
        yield from benchmarks(quick)
