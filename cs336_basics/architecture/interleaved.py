"""Layers of two kinds in one stack: most of them see a window, and every n-th sees all."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..attention import CausalMultiHeadSelfAttention

KINDS = ("window", "full")


def layer_kinds(num_layers: int, every: int) -> list[str]:
    """Which layers see all: "full" for every `every`-th, beginning with layer `every` - 1, and "window" for the others.

    For every = 4, as in Cohere 2 and SmolLM3: window, window, window, full, window, ...

    Raises:
        ValueError: every is below 1; the message has it.

    Problem: interleaved_attention
    """
    raise NotImplementedError("interleaved_attention: write layer_kinds in cs336_basics/architecture/interleaved.py")


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
        raise NotImplementedError(
            "interleaved_attention: write WindowedSelfAttention.__init__ in cs336_basics/architecture/interleaved.py"
        )

    def forward(
        self, x: Float[Tensor, " ... seq d_model"], token_positions: Tensor | None = None
    ) -> Float[Tensor, " ... seq d_model"]:
        """Let every position attend to itself and to those before it in its window; None: positions 0, 1, 2, ..."""
        raise NotImplementedError(
            "interleaved_attention: write WindowedSelfAttention.forward in cs336_basics/architecture/interleaved.py"
        )


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
        raise NotImplementedError(
            "interleaved_attention: write InterleavedStack.__init__ in cs336_basics/architecture/interleaved.py"
        )

    def forward(self, x: Float[Tensor, " ... seq d_model"]) -> Float[Tensor, " ... seq d_model"]:
        """Apply all blocks, at positions 0, 1, 2, ..."""
        raise NotImplementedError(
            "interleaved_attention: write InterleavedStack.forward in cs336_basics/architecture/interleaved.py"
        )
