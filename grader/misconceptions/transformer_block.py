"""How the Transformer block goes wrong."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from grader.reference import attention, layers

from .catalogue import Misconception


def _post_norm(self, x, token_positions=None):
    x = self.ln1(x + self.attn(x, token_positions))
    return self.ln2(x + self.ffn(x))


def _norms_after_sublayers(self, x, token_positions=None):
    x = x + self.ln1(self.attn(x, token_positions))
    return x + self.ln2(self.ffn(x))


def _no_first_residual(self, x, token_positions=None):
    x = self.attn(self.ln1(x), token_positions)
    return x + self.ffn(self.ln2(x))


def _no_second_residual(self, x, token_positions=None):
    x = x + self.attn(self.ln1(x), token_positions)
    return self.ffn(self.ln2(x))


def _residual_of_norm(self, x, token_positions=None):
    normed = self.ln1(x)
    x = normed + self.attn(normed, token_positions)
    normed = self.ln2(x)
    return normed + self.ffn(normed)


def _second_residual_of_norm(self, x, token_positions=None):
    x = x + self.attn(self.ln1(x), token_positions)
    normed = self.ln2(x)
    return normed + self.ffn(normed)


def _second_residual_from_input(self, x, token_positions=None):
    y = x + self.attn(self.ln1(x), token_positions)
    return x + self.ffn(self.ln2(y))


def _parallel(self, x, token_positions=None):
    return x + self.attn(self.ln1(x), token_positions) + self.ffn(self.ln2(x))


def _feed_forward_first(self, x, token_positions=None):
    x = x + self.ffn(self.ln2(x))
    return x + self.attn(self.ln1(x), token_positions)


def _norms_swapped(self, x, token_positions=None):
    x = x + self.attn(self.ln2(x), token_positions)
    return x + self.ffn(self.ln1(x))


def _one_norm_twice(self, x, token_positions=None):
    x = x + self.attn(self.ln1(x), token_positions)
    return x + self.ffn(self.ln1(x))


def _no_first_norm(self, x, token_positions=None):
    x = x + self.attn(x, token_positions)
    return x + self.ffn(self.ln2(x))


def _no_second_norm(self, x, token_positions=None):
    x = x + self.attn(self.ln1(x), token_positions)
    return x + self.ffn(x)


def _normalises_output(self, x, token_positions=None):
    x = x + self.attn(self.ln1(x), token_positions)
    return self.ln2(x + self.ffn(self.ln2(x)))


def _feed_forward_left_out(self, x, token_positions=None):
    return x + self.attn(self.ln1(x), token_positions)


def _doubles_residual(self, x, token_positions=None):
    x = x + self.attn(self.ln1(x), token_positions)
    return x + x + self.ffn(self.ln2(x))


def _in_place(self, x, token_positions=None):
    x += self.attn(self.ln1(x), token_positions)
    x += self.ffn(self.ln2(x))
    return x


def _residual_is_detached(self, x, token_positions=None):
    x = x.detach() + self.attn(self.ln1(x), token_positions)
    return x + self.ffn(self.ln2(x))


def _views(self, x, token_positions=None):
    x = x.view(-1).view(x.shape)
    x = x + self.attn(self.ln1(x), token_positions)
    return x + self.ffn(self.ln2(x))


def _backwards(self, x, token_positions=None):
    x = x + self.attn(self.ln1(x), torch.arange(x.shape[-2] - 1, -1, -1))
    return x + self.ffn(self.ln2(x))


def _built(
    theta: Callable[[float], float | None] = lambda theta: theta,
    eps: float = 1e-5,
    norm: Callable[..., nn.Module] = layers.RMSNorm,
):
    """The constructor with another base for RoPE, another eps, or another norm."""

    def init(self, d_model, num_heads, d_ff, max_seq_len, base, device=None, dtype=None, **architecture):
        nn.Module.__init__(self)
        self.norm = "pre"
        self.ln1 = norm(d_model, eps, device=device, dtype=dtype)
        self.attn = attention.CausalMultiHeadSelfAttention(d_model, num_heads, max_seq_len, theta(base), device, dtype)
        self.ln2 = norm(d_model, eps, device=device, dtype=dtype)
        self.ffn = layers.SwiGLU(d_model, d_ff, device, dtype)

    return init


class _Centred(layers.RMSNorm):
    def forward(self, x):
        return super().forward(x - x.mean(-1, keepdim=True))


def _first_residual_of_norm(self, x, token_positions=None):
    normed = self.ln1(x)
    x = normed + self.attn(normed, token_positions)
    return x + self.ffn(self.ln2(x))


def _block(id, forward, diagnosis, hint, frequency):
    """A misconception that replaces the forward pass."""
    replaced = {"transformer.TransformerBlock.forward": forward}
    return Misconception(f"block-{id}", "transformer_block", replaced, diagnosis, hint, frequency)


def _constructed(id, init, diagnosis, hint, frequency):
    """A misconception that replaces the constructor."""
    replaced = {"transformer.TransformerBlock.__init__": init}
    return Misconception(f"block-{id}", "transformer_block", replaced, diagnosis, hint, frequency)


MISCONCEPTIONS = (
    _block(
        "post-norm",
        _post_norm,
        diagnosis="Your block normalises after each residual connection (post-norm), as the original Transformer did.",
        hint="In a pre-norm block, is there anything but additions on the path from the input to the output?",
        frequency="common",
    ),
    _block(
        "norms-after-sublayers",
        _norms_after_sublayers,
        diagnosis="Your block normalises each sublayer's output, not its input.",
        hint="What does the attention of a pre-norm block see: x, or ln1(x)?",
        frequency="occasional",
    ),
    _block(
        "without-first-residual",
        _no_first_residual,
        diagnosis="Your block has no residual connection around its attention.",
        hint="Set output_proj and w2 to zero: what should the output be?",
        frequency="occasional",
    ),
    _block(
        "without-second-residual",
        _no_second_residual,
        diagnosis="Your block has no residual connection around its feed-forward network.",
        hint="Set w2 to zero: what should the output be?",
        frequency="occasional",
    ),
    _block(
        "residuals-of-norms",
        _residual_of_norm,
        diagnosis="The residual connections of your block carry the normalised input, not the input itself.",
        hint="Set output_proj and w2 to zero: is the output equal to the input?",
        frequency="common",
    ),
    _block(
        "second-residual-of-norm",
        _second_residual_of_norm,
        diagnosis="The second residual connection of your block carries ln2(y), not y.",
        hint="Set w2 to zero: what should the output be?",
        frequency="occasional",
    ),
    _block(
        "second-residual-from-input",
        _second_residual_from_input,
        diagnosis="Your block adds its feed-forward network to x instead of y = x + attn(ln1(x)).",
        hint="Set w2 to zero: does the attention still have an effect?",
        frequency="common",
    ),
    _block(
        "sublayers-in-parallel",
        _parallel,
        diagnosis="The feed-forward network of your block gets x instead of y = x + attn(ln1(x)).",
        hint="What is the argument of ln2 in the formula?",
        frequency="occasional",
    ),
    _block(
        "feed-forward-first",
        _feed_forward_first,
        diagnosis="Your block applies the feed-forward network before the attention.",
        hint="Which of the two comes first in the formula?",
        frequency="rare",
    ),
    _block(
        "norms-swapped",
        _norms_swapped,
        diagnosis="Your block uses ln2 before the attention and ln1 before the feed-forward network.",
        hint="Give the two norms different gains and set one sublayer's output to zero.",
        frequency="rare",
    ),
    _block(
        "first-norm-twice",
        _one_norm_twice,
        diagnosis="Your block uses ln1 in both places and never uses ln2.",
        hint="Change the weight of ln2: does the output change?",
        frequency="occasional",
    ),
    _block(
        "without-first-norm",
        _no_first_norm,
        diagnosis="Your block does not normalise the input of its attention.",
        hint="Set w2 to zero and multiply the input by 10: should the attention change?",
        frequency="rare",
    ),
    _block(
        "without-second-norm",
        _no_second_norm,
        diagnosis="Your block does not normalise the input of its feed-forward network.",
        hint="Set output_proj to zero and multiply the input by 10: should the feed-forward network change?",
        frequency="rare",
    ),
    _block(
        "normalises-its-output",
        _normalises_output,
        diagnosis="Your block also normalises its output.",
        hint="How many norms does one block have?",
        frequency="rare",
    ),
    _block(
        "without-feed-forward",
        _feed_forward_left_out,
        diagnosis="Your block returns before its feed-forward network.",
        hint="Change w2: does the output change?",
        frequency="rare",
    ),
    _block(
        "residual-counted-twice",
        _doubles_residual,
        diagnosis="Your block adds its residual connection twice.",
        hint="Set output_proj and w2 to zero: is the output equal to the input?",
        frequency="rare",
    ),
    _block(
        "changes-its-input",
        _in_place,
        diagnosis="Your block adds to its input in place (x += ...), so the caller's tensor changes.",
        hint="Print the input before and after a call. What is the difference between x = x + y and x += y?",
        frequency="common",
    ),
    _block(
        "residual-is-detached",
        _residual_is_detached,
        diagnosis="The first residual connection of your block passes no gradient.",
        hint="Set output_proj and w2 to zero: which gradient reaches the input?",
        frequency="rare",
    ),
    _block(
        "views-strided-input",
        _views,
        diagnosis="Your block calls view on its input, which fails when the input is not contiguous in memory.",
        hint="Try it on a transposed tensor.",
        frequency="rare",
    ),
    _block(
        "positions-backwards",
        _backwards,
        diagnosis="Your block counts positions from the end of the sequence.",
        hint="Which position does the first token have?",
        frequency="rare",
    ),
    _constructed(
        "without-rope",
        _built(theta=lambda theta: None),
        diagnosis="The attention of your block has no RoPE.",
        hint="Does the output depend on theta?",
        frequency="common",
    ),
    _constructed(
        "ignores-theta",
        _built(theta=lambda theta: 1e4),
        diagnosis="Your block always uses 10000 as the base of RoPE and ignores theta.",
        hint="Does the output depend on theta?",
        frequency="occasional",
    ),
    _constructed(
        "other-eps",
        _built(eps=1e-6),
        diagnosis="The norms of your block do not use eps = 1e-5.",
        hint="Which eps does RMSNorm have by default, and which does your block pass?",
        frequency="occasional",
    ),
    _constructed(
        "tiny-eps",
        _built(eps=1e-8),
        diagnosis="The norms of your block use an eps of 1e-8 instead of 1e-5.",
        hint="Which eps does RMSNorm have by default, and which does your block pass?",
        frequency="rare",
    ),
    _constructed(
        "norms-subtract-mean",
        _built(norm=_Centred),
        diagnosis="The norms of your block subtract the mean, as LayerNorm does.",
        hint="Which class are ln1 and ln2?",
        frequency="rare",
    ),
    _block(
        "first-residual-of-norm",
        _first_residual_of_norm,
        diagnosis="Your block adds the attention's output to ln1(x), not to x.",
        hint="In a pre-norm block, is there anything but additions on the path from the input to the output?",
        frequency="occasional",
    ),
)
