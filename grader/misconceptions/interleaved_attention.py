"""How layers of two kinds go wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from grader.reference.architecture import attention_variants, interleaved
from grader.reference.attention import CausalMultiHeadSelfAttention, scaled_dot_product_attention
from grader.reference.layers import RMSNorm
from grader.reference.transformer import TransformerBlock

from .catalogue import Misconception, replacing
from .together import assembled

_heads, _joined, _rotated = attention_variants._heads, attention_variants._joined, attention_variants._rotated
_kinds = interleaved.layer_kinds


@assembled
def _choosing(full: Callable[[int, int, int], bool], checked: bool = True):
    def layer_kinds(num_layers, every):
        if checked:
            _kinds(num_layers, every)
        return ["full" if full(layer, every, num_layers) else "window" for layer in range(num_layers)]

    return layer_kinds


# ------------------------------------------------------------------------------------------------------------


def _within(distance: Tensor, window: int) -> Tensor:
    return distance < window


def _causal(distance: Tensor) -> Tensor:
    return distance >= 0


@assembled
def _attending(
    within: Callable[[Tensor, int], Tensor] = _within,
    causal: Callable[[Tensor], Tensor] = _causal,
    rotating: Callable[..., tuple[Tensor, Tensor]] = _rotated,
    attend: Callable[..., Tensor] = scaled_dot_product_attention,
):
    """The forward pass of attention with another window, or another use of positions."""

    def forward(self, x, token_positions=None):
        q, k, v = (_heads(proj(x), self.num_heads) for proj in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotating(self.rope, q, k, token_positions)
        i = torch.arange(x.shape[-2])
        distance = i.unsqueeze(-1) - i
        seen = causal(distance)
        if self.window is not None:
            seen = seen & within(distance, self.window)
        return self.output_proj(_joined(attend(q, k, v, seen)))

    return forward


def _one_more(distance, window):
    return distance <= window


def _one_less(distance, window):
    return (distance < window - 1) | (distance == 0)


def _no_window(distance, window):
    return distance < 10**6


def _in_blocks(distance, window):
    i = torch.arange(len(distance))
    return i.unsqueeze(-1) // window == i // window


def _both_ways(distance):
    return distance > -(10**6)


def _never(rope, q, k, token_positions):
    return q, k


def _queries_only(rope, q, k, token_positions):
    return _rotated(rope, q, k, token_positions)[0], k


def _values_too(self, x, token_positions=None):
    q, k, v = (_heads(proj(x), self.num_heads) for proj in (self.q_proj, self.k_proj, self.v_proj))
    q, k = _rotated(self.rope, q, k, token_positions)
    v, _ = _rotated(self.rope, v, v, token_positions)
    i = torch.arange(x.shape[-2])
    distance = i.unsqueeze(-1) - i
    seen = (distance >= 0) & (distance < (self.window or len(i)))
    return self.output_proj(_joined(scaled_dot_product_attention(q, k, v, seen)))


def _unscaled(q, k, v, mask):
    return scaled_dot_product_attention(q * math.sqrt(q.shape[-1]), k, v, mask)


def _takes_any_window(self, d_model, num_heads, max_seq_len, theta=None, window=None, device=None, dtype=None):
    CausalMultiHeadSelfAttention.__init__(self, d_model, num_heads, max_seq_len, theta, device, dtype)
    self.window = window or None


# ------------------------------------------------------------------------------------------------------------


def _windowed(theta: float, window: int) -> tuple[float | None, int | None]:
    return theta, window


def _full(theta: float, window: int) -> tuple[float | None, int | None]:
    return None, None


@assembled
def _building(
    of_window: Callable[[float, int], tuple[float | None, int | None]] = _windowed,
    of_full: Callable[[float, int], tuple[float | None, int | None]] = _full,
    shared: bool = False,
):
    """The constructor of the stack with layers of another kind."""

    def __init__(
        self, num_layers, d_model, num_heads, d_ff, max_seq_len, theta, window, every, device=None, dtype=None
    ):
        nn.Module.__init__(self)
        self.kinds = interleaved.layer_kinds(num_layers, every)
        self.layers = nn.ModuleList()
        for kind in self.kinds:
            settings = (of_window if kind == "window" else of_full)(theta, window)
            block = TransformerBlock(d_model, num_heads, d_ff, max_seq_len, theta, device, dtype)
            block.attn = interleaved.WindowedSelfAttention(d_model, num_heads, max_seq_len, *settings, device, dtype)
            self.layers.append(self.layers[0] if shared and len(self.layers) else block)

    return __init__


def _window_without_rope(theta, window):
    return None, window


def _no_window_at_all(theta, window):
    return theta, None


def _stack_forward(step: Callable[[Any, int, Tensor], Tensor], order: Callable[[Any], list[int]]):
    def forward(self, x):
        for i in order(self):
            x = step(self, i, x)
        return x

    return forward


def _in_order(self):
    return list(range(len(self.layers)))


def _backwards(self):
    return _in_order(self)[::-1]


def _kind_by_kind(self):
    """All windowed layers, then all full ones, turned round so that it shows in a stack of two."""
    return sorted(_in_order(self), key=lambda i: (self.kinds[i], i))


def _plain_step(self, i, x):
    return self.layers[i](x)


def _only_full_ones_add(self, i, x):
    """The residual connection around a whole layer is there twice."""
    return x + self.layers[i](x)


def _norm_at_the_end(self, x):
    x = _stack_forward(_plain_step, _in_order)(self, x)
    return RMSNorm(x.shape[-1], dtype=x.dtype)(x)


def _in_place(self, x):
    given = x
    y = _stack_forward(_plain_step, _in_order)(self, x)
    given.detach().copy_(y.detach())
    return y


def _detached(self, x):
    y = self.layers[0](x) if len(self.layers) else x
    for layer in list(self.layers)[1:]:
        y = layer(y.detach() + 0 * x)
    return y


def _bug(name: str, begins: str) -> Callable[..., Misconception]:
    def bug(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
        place = f"architecture.interleaved.{name}"
        return replacing("interleaved_attention", place, begins, id, function, diagnosis, hint, **options)

    return bug


_layers = _bug("layer_kinds", "Your kinds of layers ")
_attention = _bug("WindowedSelfAttention.forward", "Your windowed attention ")
_settings = _bug("WindowedSelfAttention.__init__", "Your windowed attention ")
_stack = _bug("InterleavedStack.__init__", "Your stack ")
_forward = _bug("InterleavedStack.forward", "Your stack ")

MISCONCEPTIONS = (
    _layers(
        "first-is-full",
        _choosing(lambda layer, every, number: layer % every == 0),
        "begin with a full one; the first full layer is the `every`-th.",
        "Which kind is layer 0 of eight, for every = 4?",
        frequency="common",
    ),
    _layers(
        "exchanged",
        _choosing(lambda layer, every, number: (layer + 1) % every != 0),
        "are exchanged: every n-th has a window, and the others are full.",
        "How many full layers are there of eight, for every = 4?",
        frequency="common",
    ),
    _layers(
        "counted-from-the-end",
        _choosing(lambda layer, every, number: (number - layer - 1) % every == 0),
        "are counted from the last layer, which is always full.",
        "Which kind is the last layer of seven, for every = 3?",
    ),
    _layers(
        "one-too-late",
        _choosing(lambda layer, every, number: layer > 0 and layer % every == 0),
        "are full one layer too late.",
        "Which kind is layer 3, for every = 4?",
    ),
    _layers(
        "every-other-number",
        _choosing(lambda layer, every, number: (layer + 1) % (every + 1) == 0),
        "have `every` windowed layers between full ones, where there is one less.",
        "Which is the second full layer, for every = 4?",
    ),
    _layers(
        "takes-zero",
        _choosing(lambda layer, every, number: bool(every) and (layer + 1) % every == 0, checked=False),
        "take every = 0.",
        "Which layer is every 0-th?",
    ),
    _attention(
        "window-one-wider",
        _attending(_one_more),
        "has one key too many: the query's own is one of its `window` keys.",
        "How many keys does the last query see, for a window of 1?",
        frequency="common",
    ),
    _attention(
        "window-one-narrower",
        _attending(_one_less),
        "has one key too few: the query's own is one of its `window` keys.",
        "How many keys does the last query see, for a window of 2?",
    ),
    _attention(
        "ignores-window",
        _attending(_no_window),
        "ignores its window.",
        "How many keys does the last query see, for a window of 1?",
    ),
    _attention(
        "blocks-not-windows",
        _attending(_in_blocks),
        "cuts the sequence into blocks, and a query sees only its own block.",
        "How many keys does the first query of the second block see?",
    ),
    _attention(
        "not-causal",
        _attending(causal=_both_ways),
        "lets tokens see those after them.",
        "Change the last token: do the outputs before it stay the same?",
    ),
    _attention(
        "never-rotates",
        _attending(rotating=_never),
        "has no RoPE, though theta is given.",
        "Exchange two tokens: does the last output change?",
        frequency="common",
    ),
    _attention(
        "rotates-queries-only",
        _attending(rotating=_queries_only),
        "rotates queries, and not keys.",
        "Which vectors does RoPE rotate?",
    ),
    _attention(
        "rotates-values",
        _values_too,
        "rotates its values, too.",
        "Which vectors does RoPE rotate?",
        frequency="rare",
    ),
    _attention(
        "without-scale",
        _attending(attend=_unscaled),
        "does not divide its scores by sqrt(d_k).",
        "What does scaled dot-product attention divide by?",
    ),
    _settings(
        "takes-impossible-windows",
        _takes_any_window,
        "takes a window of 0.",
        "What does attention give for a query that sees no key?",
    ),
    _stack(
        "full-layers-with-rope",
        _building(of_full=_no_window_at_all),
        "has RoPE in its full layers, too, as Gemma 3 does.",
        "Exchange the first two tokens: does the last output of a full layer change?",
        frequency="common",
    ),
    _stack(
        "windows-without-rope",
        _building(of_window=_window_without_rope),
        "has no RoPE in its windowed layers.",
        "Exchange two tokens of a window: does the last output change?",
    ),
    _stack(
        "full-layers-with-window",
        _building(of_full=_window_without_rope),
        "has windows in its full layers, too.",
        "How far does a change of the first token reach?",
    ),
    _stack(
        "no-windows",
        _building(of_window=_no_window_at_all),
        "has no windows.",
        "How far does a change of the first token reach?",
    ),
    _stack(
        "positions-exchanged",
        _building(of_window=_window_without_rope, of_full=_no_window_at_all),
        "has RoPE in its full layers, and none in those with windows.",
        "Which layers know positions, in the table of kinds?",
        frequency="common",
    ),
    _forward(
        "layers-backwards",
        _stack_forward(_plain_step, _backwards),
        "applies its last layer first.",
        "Which layer gets the input?",
        frequency="rare",
        forms=[_stack_forward(_plain_step, _kind_by_kind)],
    ),
    _forward(
        "adds-around-layers",
        _stack_forward(_only_full_ones_add, _in_order),
        "adds the input of each layer to its output, where the layer has done so twice already.",
        "What is the output of a layer whose weights are all 0?",
        frequency="rare",
    ),
    _forward(
        "norm-at-the-end",
        _norm_at_the_end,
        "normalises what comes out of the last layer.",
        "Where does the language model have its last norm: in the stack, or behind it?",
    ),
    _forward(
        "layers-detached",
        _detached,
        "cuts off each layer from the one before.",
        "Do the weights of the first layer have gradients after backward()?",
        frequency="rare",
    ),
    _forward(
        "changes-its-input",
        _in_place,
        "writes its output into its input.",
        "Print the input before and after a call.",
        frequency="rare",
    ),
)
