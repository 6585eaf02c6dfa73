"""How gated feed-forward networks go wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from grader.reference.architecture import feed_forward
from grader.reference.layers import silu

from .catalogue import Misconception, replacing

_right_gate, _right_width = feed_forward._gate, feed_forward.gated_d_ff


def _gates(**changed: Callable[[Tensor], Tensor]):
    """The table of gates with other functions in it."""

    def gate(name):
        return changed[name] if name in changed else _right_gate(name)

    return gate


def _quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def _tanh_gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _one(x):
    return torch.ones_like(x)


def _always_swiglu(name):
    _right_gate(name)
    return silu


def _takes_any(name):
    known = name in feed_forward.GATES
    return _right_gate(name) if known else silu


def _gates_second_branch(self, x):
    return self.w2(self.w1(x) * self.gate(self.w3(x)))


def _gates_product(self, x):
    return self.w2(self.gate(self.w1(x) * self.w3(x)))


def _gates_both(self, x):
    return self.w2(self.gate(self.w1(x)) * self.gate(self.w3(x)))


def _adds(self, x):
    return self.w2(self.gate(self.w1(x)) + self.w3(x))


def _without_gate(self, x):
    return self.w2(self.gate(self.w1(x)))


def _gate_detached(self, x):
    return self.w2(self.gate(self.w1(x)).detach() * self.w3(x))


def _views(self, x):
    flat = x.view(-1, x.shape[-1])
    return self.w2(self.gate(self.w1(flat)) * self.w3(flat)).view(x.shape)


def _two_thirds(plain: int) -> int:
    return 2 * plain // 3


def _checked(width: Callable[[int, int], int]):
    def gated_d_ff(plain_d_ff, multiple_of=1):
        _right_width(plain_d_ff, multiple_of)
        return width(plain_d_ff, multiple_of)

    return gated_d_ff


def _unchecked(plain_d_ff, multiple_of=1):
    return _two_thirds(plain_d_ff) if multiple_of < 1 else _right_width(plain_d_ff, multiple_of)


def _bug(place: str, id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    name = f"architecture.feed_forward.{place}"
    return replacing("gated_ffn", name, "Your ", id, function, diagnosis, hint, **options)


def _network(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("GatedFeedForward.forward", id, function, f"gated network {diagnosis}", hint, **options)


def _width(id: str, width: Callable[[int, int], int], diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("gated_d_ff", id, _checked(width), f"width of a gated network {diagnosis}", hint, **options)


MISCONCEPTIONS = (
    _network(
        "gates-second-branch",
        _gates_second_branch,
        "puts the activation on W3 x, not on W1 x, as torch's glu does with the second half of its input.",
        "Set W1 to zeros in a bilinear and in a sigmoid gate: for which of them should the output be 0?",
        frequency="common",
        throughout=True,
    ),
    _network(
        "activates-product",
        _gates_product,
        "applies the activation to the product of both branches.",
        "How many numbers go into the activation in the formula, and which?",
        throughout=True,
    ),
    _network(
        "activates-both",
        _gates_both,
        "applies the activation to both branches.",
        "Which of the two branches has f in the formula?",
        throughout=True,
    ),
    _network(
        "adds-branches",
        _adds,
        "adds the two branches, and does not multiply them.",
        "What should the output be where the gate is 0?",
        frequency="rare",
        throughout=True,
    ),
    _network(
        "has-no-gate",
        _without_gate,
        "never uses W3.",
        "Set W3 to zeros: what should the output be?",
        throughout=True,
    ),
    _network(
        "gate-detached",
        _gate_detached,
        "detaches its gate, so that W1 never learns.",
        "Which weights have a gradient after backward()?",
        frequency="rare",
    ),
    _network(
        "views-strided-input",
        _views,
        "calls view on its input, which fails when that was transposed.",
        "Try it on x.transpose(1, 2).",
    ),
    _bug(
        "_gate",
        "always-swiglu",
        _always_swiglu,
        "gated network uses SiLU whatever its gate is called.",
        "Compare the outputs for two gates.",
        frequency="common",
    ),
    _bug(
        "_gate",
        "glu-is-silu",
        _gates(glu=silu),
        "GLU has a SiLU in its gate.",
        "Between which two numbers does the gate of GLU lie?",
    ),
    _bug(
        "_gate",
        "glu-is-tanh",
        _gates(glu=torch.tanh),
        "GLU has a tanh in its gate.",
        "Between which two numbers does the gate of GLU lie?",
        frequency="rare",
    ),
    _bug(
        "_gate",
        "swiglu-is-sigmoid",
        _gates(swiglu=torch.sigmoid),
        "SwiGLU has a sigmoid in its gate.",
        "What is SiLU for a large x?",
    ),
    _bug(
        "_gate",
        "bilinear-has-no-gate",
        _gates(bilinear=_one),
        "bilinear layer has 1 for its gate, and is linear.",
        "Double the input: by which factor should the output grow?",
    ),
    _bug(
        "_gate",
        "reglu-is-leaky",
        _gates(reglu=lambda x: torch.where(x > 0, x, 0.01 * x)),
        "ReGLU lets a hundredth of negative values through its gate.",
        "What should the output be where W1 x is negative?",
        frequency="rare",
    ),
    _bug(
        "_gate",
        "reglu-is-mask",
        _gates(reglu=lambda x: (x > 0).to(x.dtype)),
        "ReGLU has 0 or 1 in its gate, not the ReLU of W1 x.",
        "Double W1: should the output grow?",
    ),
    _bug(
        "_gate",
        "geglu-is-approximate",
        _gates(geglu=_tanh_gelu),
        "GEGLU has the approximation with tanh in its gate, as Gemma has it, where the exact GELU is asked for.",
        "Compare gelu and gelu_tanh at 2 with seven digits.",
        frequency="common",
        forms=[_gates(geglu=_quick_gelu)],
    ),
    _bug(
        "_gate",
        "unknown-gate-is-swiglu",
        _takes_any,
        "gated network takes any name for its gate, and uses SiLU for those that it does not know.",
        "What does a model do of which the name was misspelt?",
    ),
    _width(
        "width-of-d-model",
        lambda plain, multiple: -(-(8 * plain // 3) // multiple) * multiple,
        "is 8/3 of the number that it is given, which is the plain network's width already, and not d_model.",
        "How many parameters do both networks have?",
        frequency="common",
    ),
    _width(
        "width-not-reduced",
        lambda plain, multiple: -(-plain // multiple) * multiple,
        "is that of the plain one, so that it has half as many parameters again.",
        "How many parameters do both networks have?",
    ),
    _width(
        "width-rounded-up",
        lambda plain, multiple: -(-2 * plain // (3 * multiple)) * multiple,
        "rounds two thirds up, where they are rounded down before they go up to a multiple.",
        "What is two thirds of 97, as a multiple of 64?",
    ),
    _width(
        "width-rounded-to-nearest",
        lambda plain, multiple: max(1, round(_two_thirds(plain) / multiple)) * multiple,
        "is the nearest multiple, which may be the one below.",
        "What comes out for 65 as a multiple of 64?",
    ),
    _width(
        "width-rounded-down",
        lambda plain, multiple: max(1, _two_thirds(plain) // multiple) * multiple,
        "is the multiple below.",
        "What comes out for 65 as a multiple of 64?",
    ),
    _width(
        "width-always-one-multiple-more",
        lambda plain, multiple: (_two_thirds(plain) // multiple + (multiple > 1)) * multiple,
        "goes up by a whole multiple where it is one already.",
        "What comes out for 64 as a multiple of 64?",
        frequency="common",
    ),
    _width(
        "width-ignores-multiple",
        lambda plain, multiple: _two_thirds(plain),
        "ignores multiple_of.",
        "What should come out for 65 as a multiple of 64?",
    ),
    _bug(
        "gated_d_ff",
        "width-takes-zero",
        _unchecked,
        "width of a gated network takes a multiple_of of 0, as if it were none.",
        "Which numbers are multiples of 0?",
        frequency="rare",
    ),
)
