"""What is raced: operations on tensors at several shapes (`race.py` says what a race is).

Thresholds are ratios to the reference: the Triton kernels of `grader/kernels` on a GPU, the staff solution on the CPU.
Plain PyTorch gets all points up to several times the kernel's time, for it moves each intermediate result through
memory; kernels have to come close. The thresholds for a GPU are estimates from that traffic; of races between plain
PyTorch and the kernels only softmax's has been read on a GPU so far (an H100: 2.3 and 2.7 times the kernel's time).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..cases.compare import Tolerance
from ..cases.weights import block_shapes, lm_shapes
from .race import Drawn, Race, Tensors
from .statistics import Thresholds

_PLAIN = {"cuda": Thresholds(full=4.0, none=16.0), "cpu": Thresholds(full=1.5, none=4.0)}
_COMPILED_AWAY = {"cuda": Thresholds(full=8.0, none=32.0), "cpu": Thresholds(full=1.5, none=4.0)}
_PRODUCTS = {"cuda": Thresholds(full=2.0, none=6.0), "cpu": Thresholds(full=1.5, none=4.0)}
_KERNELS = {"cuda": Thresholds(full=1.3, none=4.0), "cpu": Thresholds(full=1.5, none=4.0)}

_SMALL = {"cuda": "bfloat16", "cpu": "float32"}


def _rounded(dtype: str, *, float32: float = 1.0, bfloat16: float = 1.0) -> Tolerance:
    """What right code in this dtype keeps, and a computation in a narrower one does not.

    In 16 bits the worst of millions of values is a matter of luck: PyTorch's own attention in bf16 is off by 0.4 to
    0.6 % of the root mean square altogether, and by 11 % for one of 1,048,576 values. So 16 bits are judged by what all
    values have in common; eight bits (e4m3) are off by 2.6 %.
    """
    if dtype == "float32":
        return Tolerance(2e-5 * float32)
    typical = 1.6e-2 * bfloat16
    return Tolerance(32 * typical, typical=typical)


def _label(dtype: str, *sizes: int) -> str:
    return f"{' × '.join(f'{size:,}' for size in sizes)} {dtype}"


def _wide(tensors: Tensors) -> dict[str, Tensor]:
    return {name: t.double() if t.is_floating_point() else t for name, t in tensors.items()}


# ----------------------------------------------------------------------------------------------------------------------
# Row by row: RMSNorm, softmax, cross-entropy, SwiGLU


def _rmsnorm_truth(inputs: Tensors, state: Tensors, rows: Tensor) -> list[Tensor]:
    x, gain = inputs["in_features"][rows].double(), state["weight"].double()
    return [x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * gain]


def rmsnorm_races(device: str) -> Iterator[Race]:
    dtype = _SMALL[device]
    for rows, columns in {"cuda": [(16_384, 4_096), (8_192, 8_192)], "cpu": [(64, 512), (32, 2_048)]}[device]:
        config = {"d_model": columns, "eps": 1e-5}
        x = Drawn((rows, columns), dtype)
        yield Race(
            problem="rmsnorm_speed",
            tensors=_label(dtype, rows, columns),
            subjects=(
                {"kind": "module", "adapter": "get_rmsnorm_module", "config": config},
                {"kind": "function", "adapter": "run_rmsnorm", "constants": config, "modules": True,
                 "rename": {"weight": "weights"}},
            ),
            inputs={"in_features": x},
            state={"weight": Drawn((columns,), dtype, scale=0.1, plus=1.0)},
            outputs=(x,),
            truth=_rmsnorm_truth,
            first=rows,
            tolerance=_rounded(dtype),
            least_bytes=2 * x.nbytes,
            thresholds=_COMPILED_AWAY[device],
        )  # fmt: skip


def softmax_races(device: str) -> Iterator[Race]:
    def truth(inputs: Tensors, state: Tensors, rows: Tensor) -> list[Tensor]:
        return [torch.softmax(inputs["in_features"][rows].double(), -1)]

    cases = {
        "cuda": [("float32", 8_192, 8_192), ("bfloat16", 4_096, 32_768)],
        "cpu": [("float32", 64, 512), ("float32", 16, 4_096)],
    }
    for dtype, rows, columns in cases[device]:
        x = Drawn((rows, columns), dtype)
        yield Race(
            problem="softmax_speed",
            tensors=_label(dtype, rows, columns),
            subjects=({"kind": "function", "adapter": "run_softmax", "constants": {"dim": -1}},),
            inputs={"in_features": x},
            outputs=(x,),
            truth=truth,
            first=rows,
            tolerance=_rounded(dtype),
            least_bytes=2 * x.nbytes,
            thresholds=_PLAIN[device],
        )


def cross_entropy_races(device: str) -> Iterator[Race]:
    def truth(inputs: Tensors, state: Tensors, rows: Tensor) -> list[Tensor]:
        """In parts, because float64 takes four times the memory of what is given."""
        losses = [
            part.double().logsumexp(-1) - part.double().gather(-1, targets.unsqueeze(-1)).squeeze(-1)
            for part, targets in zip(inputs["inputs"].split(1024), inputs["targets"].split(1024), strict=True)
        ]
        return [torch.cat(losses).mean()]

    for rows, columns in {"cuda": [(8_192, 32_768), (4_096, 50_257)], "cpu": [(64, 1_000), (16, 8_000)]}[device]:
        dtype = "float32"
        logits = Drawn((rows, columns), dtype)
        yield Race(
            problem="cross_entropy_speed",
            tensors=_label(dtype, rows, columns),
            subjects=({"kind": "function", "adapter": "run_cross_entropy", "constants": {}},),
            inputs={"inputs": logits, "targets": Drawn((rows,), "int64", high=columns)},
            outputs=(Drawn((), dtype),),
            truth=truth,
            tolerance=_rounded(dtype),
            least_bytes=logits.nbytes,
            thresholds=_PLAIN[device],
        )


def _swiglu_truth(inputs: Tensors, state: Tensors, rows: Tensor) -> list[Tensor]:
    x, weights = inputs["in_features"][rows].double(), _wide(state)
    gate = x @ weights["w1.weight"].T
    return [(gate * torch.sigmoid(gate) * (x @ weights["w3.weight"].T)) @ weights["w2.weight"].T]


def positionwise_feedforward_races(device: str) -> Iterator[Race]:
    dtype = _SMALL[device]
    cases = {"cuda": [(8_192, 2_048, 5_504), (16_384, 768, 2_048)], "cpu": [(32, 64, 192), (8, 256, 704)]}
    for rows, d_model, d_ff in cases[device]:
        x = Drawn((rows, d_model), dtype)
        config = {"d_model": d_model, "d_ff": d_ff}
        shapes = {"w1.weight": (d_ff, d_model), "w2.weight": (d_model, d_ff), "w3.weight": (d_ff, d_model)}
        yield Race(
            problem="positionwise_feedforward_speed",
            tensors=f"{_label(dtype, rows, d_model)}, d_ff {d_ff:,}",
            subjects=(
                {"kind": "module", "adapter": "get_swiglu_module", "config": config},
                {"kind": "function", "adapter": "run_swiglu", "constants": config, "modules": True,
                 "rename": {name: name.replace(".", "_") for name in shapes}},
            ),
            inputs={"in_features": x},
            state={name: Drawn(shape, dtype, scale=shape[1] ** -0.5) for name, shape in shapes.items()},
            outputs=(x,),
            truth=_swiglu_truth,
            first=rows,
            tolerance=_rounded(dtype, float32=2),
            least_flops=6 * rows * d_model * d_ff,
            product_dtype=dtype,
            thresholds=_PRODUCTS[device],
        )  # fmt: skip


# ----------------------------------------------------------------------------------------------------------------------
# Attention: RoPE, scaled dot-product attention, FlashAttention


def rope_races(device: str) -> Iterator[Race]:
    dtype, theta = _SMALL[device], 10_000.0

    def truth(inputs: Tensors, state: Tensors, rows: Tensor) -> list[Tensor]:
        x = inputs["in_query_or_key"][rows].double()
        position = state["token_positions"].double()
        d = x.shape[-1]
        angle = position[:, None] * theta ** (-torch.arange(0, d, 2, device=x.device).double() / d)
        even, odd = x[..., 0::2], x[..., 1::2]
        pair = even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()
        return [torch.stack(pair, -1).flatten(-2)]

    for batch, heads, tokens, d in {"cuda": [(8, 32, 4_096, 128)], "cpu": [(4, 4, 64, 32)]}[device]:
        x = Drawn((batch, heads, tokens, d), dtype)
        config = {"d_k": d, "theta": theta, "max_seq_len": tokens}
        yield Race(
            problem="rope_speed",
            tensors=_label(dtype, batch, heads, tokens, d),
            subjects=(
                {"kind": "module", "adapter": "get_rope_module", "config": config, "positions": "token_positions"},
                {"kind": "function", "adapter": "run_rope", "constants": config, "modules": True},
            ),
            inputs={"in_query_or_key": x},
            state={"token_positions": torch.arange(tokens)},
            outputs=(x,),
            truth=truth,
            first=batch,
            checked=1,
            tolerance=_rounded(dtype, float32=2),
            least_bytes=2 * x.nbytes,
            thresholds=_COMPILED_AWAY[device],
        )


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention, one leading index at a time."""
    hidden = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).triu(1)
    return ((q @ k.mT) * q.shape[-1] ** -0.5).masked_fill(hidden, -math.inf).softmax(-1) @ v


def scaled_dot_product_attention_races(device: str) -> Iterator[Race]:
    dtype = _SMALL[device]

    def truth(inputs: Tensors, state: Tensors, rows: Tensor) -> list[Tensor]:
        q, k, v = (inputs[name][rows].double() for name in "QKV")
        return [torch.stack([_attention(*heads) for heads in zip(q, k, v, strict=True)])]

    for batch, heads, tokens, d in {"cuda": [(2, 12, 1_024, 64), (1, 8, 2_048, 128)], "cpu": [(2, 2, 64, 16)]}[device]:
        x = Drawn((batch, heads, tokens, d), dtype)
        yield Race(
            problem="scaled_dot_product_attention_speed",
            tensors=f"{_label(dtype, batch, heads, tokens, d)}, causal",
            subjects=({"kind": "function", "adapter": "run_scaled_dot_product_attention", "constants": {}},),
            inputs=dict.fromkeys("QKV", x),
            state={"mask": torch.ones(tokens, tokens, dtype=torch.bool).tril()},
            outputs=(x,),
            truth=truth,
            first=batch,
            checked=1,
            tolerance=_rounded(dtype, float32=2),
            least_bytes=4 * x.nbytes,
            least_flops=2 * batch * heads * tokens * tokens * d,
            product_dtype=dtype,
            thresholds=Thresholds(8.0, 40.0) if device == "cuda" else _PLAIN["cpu"],
        )


def flash_attention_races(device: str, problem: str, adapter: str, thresholds: Thresholds) -> Iterator[Race]:
    """Forward and backward together, causal."""
    dtype = _SMALL[device]

    def truth(inputs: Tensors, state: Tensors, rows: Tensor) -> list[Tensor]:
        per_row = []
        for row in rows.tolist():
            leaves = [inputs[name][row].double().requires_grad_() for name in "QKV"]
            with torch.enable_grad():
                output = _attention(*leaves)
            gradients = torch.autograd.grad(output, leaves, inputs["cotangent"][row].double())
            per_row.append([output.detach(), *gradients])
        return [torch.stack(parts) for parts in zip(*per_row, strict=True)]

    for batch, tokens, d in {"cuda": [(32, 4_096, 64), (16, 8_192, 128)], "cpu": [(2, 64, 16)]}[device]:
        x = Drawn((batch, tokens, d), dtype)
        yield Race(
            problem=problem,
            tensors=f"{_label(dtype, batch, tokens, d)}, causal, forward and backward",
            subjects=({"kind": "autograd", "adapter": adapter, "constants": [True], "wrt": ["Q", "K", "V"]},),
            inputs=dict.fromkeys(("Q", "K", "V", "cotangent"), x),
            outputs=(x, x, x, x),
            truth=truth,
            first=batch,
            checked=1,
            tolerance=_rounded(dtype, float32=3),
            least_bytes=12 * x.nbytes,
            least_flops=7 * batch * tokens * tokens * d,
            product_dtype=dtype,
            thresholds=thresholds,
        )


def flash_attention_pytorch_races(device: str) -> Iterator[Race]:
    thresholds = Thresholds(20.0, 100.0) if device == "cuda" else _PLAIN["cpu"]
    adapter = "get_flashattention_autograd_function_pytorch"
    yield from flash_attention_races(device, "flash_attention_pytorch_speed", adapter, thresholds)


def flash_attention_triton_races(device: str) -> Iterator[Race]:
    if device == "cuda":
        adapter = "get_flashattention_autograd_function_triton"
        yield from flash_attention_races(device, "flash_attention_triton_speed", adapter, _KERNELS[device])


def fused_rmsnorm_races(device: str) -> Iterator[Race]:
    if device != "cuda":
        return
    dtype, eps = _SMALL[device], 1e-5

    def truth(inputs: Tensors, state: Tensors, rows: Tensor) -> list[Tensor]:
        """The output and the gradient of x; that of the gain is a sum over all rows."""
        gain = state["weight"].double()
        x, dy = inputs["x"][rows].double(), inputs["cotangent"][rows].double()
        r = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
        normed, dnormed = x * r, dy * gain
        return [normed * gain, r * (dnormed - normed * (dnormed * normed).mean(-1, keepdim=True))]

    for rows, columns in [(16_384, 4_096), (8_192, 8_192)]:
        x = Drawn((rows, columns), dtype)
        yield Race(
            problem="fused_rmsnorm_speed",
            tensors=f"{_label(dtype, rows, columns)}, forward and backward",
            subjects=(
                {"kind": "autograd", "adapter": "get_rmsnorm_autograd_function_triton", "constants": [], "wrt": ["x"]},
            ),
            inputs={"x": x, "cotangent": x},
            state={"weight": Drawn((columns,), dtype, scale=0.1, plus=1.0)},
            outputs=(x, x),
            truth=truth,
            first=rows,
            tolerance=_rounded(dtype, float32=2),
            least_bytes=5 * x.nbytes,
            thresholds=_KERNELS[device],
        )


# ----------------------------------------------------------------------------------------------------------------------
# Whole models: AdamW, the Transformer


def adamw_races(device: str) -> Iterator[Race]:
    """Steps of an optimizer that has just been made, with a gradient of its own for each step.

    With the same gradient twice, Adam's steps are its sign and nothing else. eps is so small that it does not matter
    whether it is added before or after the correction of the bias, and lr and weight decay so that it does not matter
    whether the decay comes before or after the step: all of these are right. Of millions of drawn gradients some are a
    billionth of the usual size, and eps has to be small beside these, too.
    """
    steps, lr, decay, beta1, beta2, eps = 2, 1e-2, 1e-2, 0.9, 0.95, 1e-20
    options = {"lr": lr, "betas": [beta1, beta2], "eps": eps, "weight_decay": decay}

    def truth(inputs: Tensors, state: Tensors, rows: Tensor) -> list[Tensor]:
        found = []
        for name, value in inputs.items():
            if not name.startswith("p"):
                continue
            p = value.double()
            m, v = torch.zeros_like(p), torch.zeros_like(p)
            for t in range(1, steps + 1):
                g = inputs[f"g{name[1:]}_{t}"].double()
                m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
                p = p * (1 - lr * decay) - lr * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps)
            found.append(p)
        return found

    shapes = {
        "cuda": [(4_096, 4_096), *[(1_024, 4_096)] * 4, *[(4_096,)] * 8],
        "cpu": [(64, 256), (128, 64), (64,), (64,)],
    }[device]
    parameters = {f"p{i}": Drawn(shape) for i, shape in enumerate(shapes)}
    gradients = {f"g{i}_{t}": Drawn(shape, scale=1e-2) for t in range(1, steps + 1) for i, shape in enumerate(shapes)}
    count = sum(math.prod(shape) for shape in shapes)
    yield Race(
        problem="adamw_speed",
        tensors=f"{count:,} float32 in {len(shapes)} tensors, {steps} steps",
        subjects=({"kind": "optimizer", "adapter": "get_adamw_cls", "options": options, "steps": steps},),
        inputs={**parameters, **gradients},
        outputs=tuple(parameters.values()),
        truth=truth,
        tolerance=_rounded("float32"),
        least_bytes=(20 + 28 * (steps - 1)) * count,
        thresholds=Thresholds(12.0, 40.0) if device == "cuda" else _PLAIN["cpu"],
    )


def transformer_lm_races(device: str) -> Iterator[Race]:
    """The forward pass; every output is compared with the formula, layer by layer, in float64 (float32 on a GPU)."""
    dtype = _SMALL[device]
    sizes = {
        "cuda": {"vocab": 32_000, "context": 1_024, "d": 768, "layers": 4, "heads": 12, "ff": 2_048, "batch": 8},
        "cpu": {"vocab": 100, "context": 16, "d": 32, "layers": 2, "heads": 2, "ff": 64, "batch": 2},
    }[device]
    vocab, context, d, layers, heads, ff, batch = sizes.values()
    config = {
        "vocab_size": vocab, "context_length": context, "d_model": d, "num_layers": layers, "num_heads": heads,
        "d_ff": ff, "rope_theta": 10_000.0,
    }  # fmt: skip
    shapes = lm_shapes(vocab, d, layers, ff)

    def drawn(name: str, shape: tuple[int, ...]) -> Drawn:
        if len(shape) == 1:
            return Drawn(shape, dtype, scale=0.1, plus=1.0)
        return Drawn(shape, dtype, scale=1.0 if name.startswith("token") else shape[1] ** -0.5)

    def truth(inputs: Tensors, state: Tensors, rows: Tensor) -> list[Tensor]:
        weights = _wide(state)
        position = torch.arange(context, device=rows.device).double()
        width = d // heads
        angle = position[:, None] * 10_000.0 ** (-torch.arange(0, width, 2, device=rows.device).double() / width)

        def norm(x: Tensor, gain: Tensor) -> Tensor:
            return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * gain

        def turn(x: Tensor) -> Tensor:
            even, odd = x[..., 0::2], x[..., 1::2]
            pair = even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()
            return torch.stack(pair, -1).flatten(-2)

        x = weights["token_embeddings.weight"][inputs["in_indices"][rows]]
        for i in range(layers):
            w = {name: weights[f"layers.{i}.{name}"] for name in block_shapes(d, ff)}
            h = norm(x, w["ln1.weight"])
            q, k, v = (
                (h @ w[f"attn.{name}_proj.weight"].T).unflatten(-1, (heads, width)).transpose(1, 2) for name in "qkv"
            )
            x = x + _attention(turn(q), turn(k), v).transpose(1, 2).flatten(-2) @ w["attn.output_proj.weight"].T
            h = norm(x, w["ln2.weight"])
            gate = h @ w["ffn.w1.weight"].T
            x = x + (gate * torch.sigmoid(gate) * (h @ w["ffn.w3.weight"].T)) @ w["ffn.w2.weight"].T
        return [norm(x, weights["ln_final.weight"]) @ weights["lm_head.weight"].T]

    weights_flops = 2 * batch * context * (layers * (4 * d * d + 3 * d * ff) + vocab * d)
    yield Race(
        problem="transformer_lm_speed",
        tensors=f"batch {batch}, {context:,} tokens, d_model {d}, {layers} layers, {dtype}",
        subjects=(
            {"kind": "module", "adapter": "get_transformer_lm_module", "config": config},
            {"kind": "function", "adapter": "run_transformer_lm", "constants": config, "modules": True,
             "gather": "weights"},
        ),
        inputs={"in_indices": Drawn((batch, context), "int64", high=vocab)},
        state={name: drawn(name, shape) for name, shape in shapes.items()},
        outputs=(Drawn((batch, context, vocab), dtype),),
        truth=truth,
        first=batch,
        checked=1,
        tolerance=_rounded(dtype, float32=2, bfloat16=4),
        least_flops=weights_flops + layers * 2 * batch * context * context * d,
        product_dtype=dtype,
        thresholds=Thresholds(3.0, 10.0) if device == "cuda" else _PLAIN["cpu"],
    )  # fmt: skip


RACES: dict[str, Callable[[str], Iterator[Race]]] = {
    "rmsnorm_speed": rmsnorm_races,
    "softmax_speed": softmax_races,
    "positionwise_feedforward_speed": positionwise_feedforward_races,
    "rope_speed": rope_races,
    "scaled_dot_product_attention_speed": scaled_dot_product_attention_races,
    "cross_entropy_speed": cross_entropy_races,
    "adamw_speed": adamw_races,
    "transformer_lm_speed": transformer_lm_races,
    "flash_attention_pytorch_speed": flash_attention_pytorch_races,
    "flash_attention_triton_speed": flash_attention_triton_races,
    "fused_rmsnorm_speed": fused_rmsnorm_races,
}
"""{problem: its races on a device}."""
