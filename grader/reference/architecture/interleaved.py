"""Layers of two kinds in one stack: most of them see a window, and every n-th sees all."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..attention import CausalMultiHeadSelfAttention, scaled_dot_product_attention
from ..transformer import TransformerBlock
from .attention_variants import _heads, _joined, _rotated
from .masks import window_mask

KINDS = ("window", "full")


def layer_kinds(num_layers: int, every: int) -> list[str]:
    """Which layers see all: "full" for every `every`-th, beginning with layer `every` - 1, and "window" for the others.

    For every = 4, as in Cohere 2 and SmolLM3: window, window, window, full, window, ...

    Raises:
        ValueError: every is below 1; the message has it.

    Problem: interleaved_attention
    """
    if every < 1:
        raise ValueError(f"every is {every}, and must be at least 1; 1 means that all layers are full.")
    return ["full" if (layer + 1) % every == 0 else "window" for layer in range(num_layers)]


class WindowedSelfAttention(CausalMultiHeadSelfAttention):
    """Causal multi-head self-attention of either kind of layer.

    Parameters and submodules are those of CausalMultiHeadSelfAttention.

    Args:
        d_model, num_heads, max_seq_len, device, dtype: as there.
        theta: base of RoPE's wavelengths; None means no position at all.
        window: how many keys a query sees at most, its own among them; None means all before it.

    Raises:
        ValueError: as there, and for a window below 1; the message has it.

    Problem: interleaved_attention
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        max_seq_len: int,
        theta: float | None = None,
        window: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if window is not None and window < 1:
            raise ValueError(f"window is {window}, and must be at least 1.")
        super().__init__(d_model, num_heads, max_seq_len, theta, device, dtype)
        self.window = window

    def forward(
        self, x: Float[Tensor, " ... seq d_model"], token_positions: Tensor | None = None
    ) -> Float[Tensor, " ... seq d_model"]:
        """Let every position attend to itself and to those before it in its window; None: positions 0, 1, 2, ..."""
        q, k, v = (_heads(proj(x), self.num_heads) for proj in (self.q_proj, self.k_proj, self.v_proj))
        q, k = _rotated(self.rope, q, k, token_positions)
        seq_len = x.shape[-2]
        seen = window_mask(seq_len, self.window or max(seq_len, 1), device=x.device)
        return self.output_proj(_joined(scaled_dot_product_attention(q, k, v, seen)))


class InterleavedStack(nn.Module):
    """Transformer blocks of two kinds, one after the other (Cohere 2; with RoPE in both kinds, Gemma 3 and gpt-oss):

        "window": attention with RoPE to the last `window` keys
        "full":   attention to all keys, without any position

    The blocks are pre-norm TransformerBlocks but for their attention. The submodule `layers` is a list of them, whose
    submodules are those of TransformerBlock. There is no norm behind the last.

    Args:
        num_layers: number of blocks.
        d_model, num_heads, d_ff, max_seq_len, theta, device, dtype: as for TransformerBlock; theta is that of the
            windowed layers.
        window: of the windowed layers.
        every: as for `layer_kinds`.

    Raises:
        ValueError: as for `layer_kinds` and `WindowedSelfAttention`.

    Problem: interleaved_attention
    """

    def __init__(
        self,
        num_layers: int,
        d_model: int,
        num_heads: int,
        d_ff: int,
        max_seq_len: int,
        theta: float,
        window: int,
        every: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.kinds = layer_kinds(num_layers, every)
        self.layers = nn.ModuleList()
        for kind in self.kinds:
            own_theta, own_window = (theta, window) if kind == "window" else (None, None)
            block = TransformerBlock(d_model, num_heads, d_ff, max_seq_len, theta, device, dtype)
            block.attn = WindowedSelfAttention(d_model, num_heads, max_seq_len, own_theta, own_window, device, dtype)
            self.layers.append(block)

    def forward(self, x: Float[Tensor, " ... seq d_model"]) -> Float[Tensor, " ... seq d_model"]:
        """Apply all blocks, at positions 0, 1, 2, ..."""
        for layer in self.layers:
            x = layer(x)
        return x
