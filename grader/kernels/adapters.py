"""The kernels under the names of the assignment's adapters: what submissions are compared with in races on a GPU.

Adapters that a race does not ask for are not here. Masks are causal, as races have them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .adamw import adamw_step
from .cross_entropy import cross_entropy
from .flash_attention import flash_attention
from .rmsnorm import rmsnorm
from .rope import rope, rope_tables
from .silu_gate import silu_gate
from .softmax import softmax


def run_softmax(in_features: Tensor, dim: int) -> Tensor:
    if dim not in (-1, in_features.ndim - 1):
        raise ValueError("the kernel works along the last dimension")
    return softmax(in_features)


def run_cross_entropy(inputs: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(inputs, targets)


def run_scaled_dot_product_attention(Q: Tensor, K: Tensor, V: Tensor, mask: Tensor | None = None) -> Tensor:
    return flash_attention(Q, K, V, causal=mask is not None)[0]


class _RMSNorm(nn.Module):
    def __init__(self, d_model: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rmsnorm(x, self.weight, self.eps)


def get_rmsnorm_module(d_model: int, eps: float = 1e-5) -> nn.Module:
    return _RMSNorm(d_model, eps)


class _Linear(nn.Module):
    """A matrix, whose values come later."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, columns))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T


class _SwiGLU(nn.Module):
    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.w1, self.w3, self.w2 = _Linear(d_ff, d_model), _Linear(d_ff, d_model), _Linear(d_model, d_ff)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(silu_gate(self.w1(x), self.w3(x)))


def get_swiglu_module(d_model: int, d_ff: int) -> nn.Module:
    return _SwiGLU(d_model, d_ff)


class _Rope(nn.Module):
    def __init__(self, d_k: int, theta: float, max_seq_len: int) -> None:
        super().__init__()
        self.sizes = d_k, max_seq_len, theta
        self.tables: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor, token_positions: Tensor) -> Tensor:
        if self.tables is None:
            d_k, max_seq_len, theta = self.sizes
            self.tables = rope_tables(d_k, max_seq_len, theta=theta, device=x.device)
        return rope(x, *self.tables, positions=token_positions)


def get_rope_module(d_k: int, theta: float, max_seq_len: int) -> nn.Module:
    return _Rope(d_k, theta, max_seq_len)


class _Attention(nn.Module):
    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj = _Linear(d_model, d_model), _Linear(d_model, d_model)
        self.v_proj, self.output_proj = _Linear(d_model, d_model), _Linear(d_model, d_model)

    def forward(self, x: Tensor, rotated: Callable[[Tensor], Tensor]) -> Tensor:
        q, k, v = (
            projection(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        heads = flash_attention(rotated(q), rotated(k), v, causal=True)[0]
        return self.output_proj(heads.transpose(1, 2).flatten(-2))


class _Block(nn.Module):
    def __init__(self, d_model: int, num_heads: int, d_ff: int) -> None:
        super().__init__()
        self.attn, self.ffn = _Attention(d_model, num_heads), _SwiGLU(d_model, d_ff)
        self.ln1, self.ln2 = _RMSNorm(d_model, 1e-5), _RMSNorm(d_model, 1e-5)

    def forward(self, x: Tensor, rotated: Callable[[Tensor], Tensor]) -> Tensor:
        x = x + self.attn(self.ln1(x), rotated)
        return x + self.ffn(self.ln2(x))


class _TransformerLM(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        context_length: int,
        d_model: int,
        num_layers: int,
        num_heads: int,
        d_ff: int,
        theta: float,
    ) -> None:
        super().__init__()
        self.token_embeddings, self.lm_head = _Linear(vocab_size, d_model), _Linear(vocab_size, d_model)
        self.layers = nn.ModuleList(_Block(d_model, num_heads, d_ff) for _ in range(num_layers))
        self.ln_final = _RMSNorm(d_model, 1e-5)
        self.rope_sizes = d_model // num_heads, context_length, theta
        self.tables: tuple[Tensor, Tensor] | None = None

    def forward(self, in_indices: Tensor) -> Tensor:
        x = self.token_embeddings.weight[in_indices]
        if self.tables is None:
            width, context_length, theta = self.rope_sizes
            self.tables = rope_tables(width, context_length, theta=theta, device=x.device)
        tables = [table[: in_indices.shape[-1]] for table in self.tables]
        for layer in self.layers:
            x = layer(x, lambda heads: rope(heads, *tables))
        return self.lm_head(self.ln_final(x))


def get_transformer_lm_module(
    vocab_size: int, context_length: int, d_model: int, num_layers: int, num_heads: int, d_ff: int, rope_theta: float
) -> nn.Module:
    return _TransformerLM(vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta)


class _AdamW(torch.optim.Optimizer):
    """All parameters in one launch."""

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, betas: tuple[float, float], eps: float, weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.steps = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # races give no closure
        self.steps += 1
        for group in self.param_groups:
            params = group["params"]
            if "moments" not in group:
                group["moments"] = [[torch.zeros_like(p) for p in params] for _ in range(2)]
            adamw_step(
                params,
                [p.grad for p in params],
                *group["moments"],
                step=self.steps,
                lr=group["lr"],
                betas=tuple(group["betas"]),
                eps=group["eps"],
                weight_decay=group["weight_decay"],
            )


def get_adamw_cls() -> type[torch.optim.Optimizer]:
    return _AdamW


class _FlashAttention:
    """The kernels' autograd function, for sequences without heads."""

    @staticmethod
    def apply(Q: Tensor, K: Tensor, V: Tensor, is_causal: bool = False) -> Tensor:
        return flash_attention(Q[:, None], K[:, None], V[:, None], causal=is_causal)[0][:, 0]


def get_flashattention_autograd_function_pytorch() -> type:
    return _FlashAttention


def get_flashattention_autograd_function_triton() -> type:
    return _FlashAttention


class _FusedRMSNorm:
    apply = staticmethod(rmsnorm)


def get_rmsnorm_autograd_function_triton() -> type:
    return _FusedRMSNorm
