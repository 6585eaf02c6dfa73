"""How a block with branches side by side goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from grader.reference.architecture.blocks import ParallelBlock

from .catalogue import Misconception, replacing

Forward = Callable[[Any, Tensor], Tensor]
_right = ParallelBlock.forward


def _with(shared: Forward = _right, two: Forward = _right):
    """A block that goes another way with one shared norm, or with two."""

    def forward(self, x):
        return (shared if self.ln2 is None else two)(self, x)

    return forward


def _second(self, x):
    return self.ln1(x) if self.ln2 is None else self.ln2(x)


def _one_after_the_other(self, x):
    x = x + self.attn(self.ln1(x))
    return x + self.ffn(_second(self, x))


def _network_reads_attention(self, x):
    attended = self.attn(self.ln1(x))
    return x + attended + self.ffn(attended)


def _network_as_it_is(self, x):
    return x + self.attn(self.ln1(x)) + self.ffn(x)


def _attention_as_it_is(self, x):
    return x + self.attn(x) + self.ffn(_second(self, x))


def _residual_twice(self, x):
    return (x + self.attn(self.ln1(x))) + (x + self.ffn(_second(self, x)))


def _residual_from_normed(self, x):
    normed = self.ln1(x)
    return normed + self.attn(normed) + self.ffn(normed if self.ln2 is None else self.ln2(x))


def _without_residual(self, x):
    return self.attn(self.ln1(x)) + self.ffn(_second(self, x))


def _swapped(self, x):
    return x + self.attn(self.ln2(x)) + self.ffn(self.ln1(x))


def _first_norm_for_both(self, x):
    normed = self.ln1(x)
    return x + self.attn(normed) + self.ffn(normed)


def _norm_of_norm(self, x):
    normed = self.ln1(x)
    return x + self.attn(normed) + self.ffn(self.ln2(normed))


def _shared_norm_twice(self, x):
    normed = self.ln1(x)
    return x + self.attn(normed) + self.ffn(self.ln1(normed))


def _norm_on_what_is_added(self, x):
    return x + self.ln1(self.attn(x) + self.ffn(x))


def _attention_detached(self, x):
    normed = self.ln1(x)
    return x + self.attn(normed.detach()) + self.ffn(normed if self.ln2 is None else self.ln2(x))


def _in_place(self, x):
    normed = self.ln1(x)
    other = _second(self, x)
    x += self.attn(normed) + self.ffn(other)
    return x


def _bug(id: str, forward: Forward, diagnosis: str, hint: str, **options: Any) -> Misconception:
    name = "architecture.blocks.ParallelBlock.forward"
    return replacing("parallel_block", name, "Your parallel block ", id, forward, diagnosis, hint, **options)


MISCONCEPTIONS = (
    _bug(
        "one-after-the-other",
        _one_after_the_other,
        "gives its feed-forward network what attention added to the stream: it is the base model's block.",
        "Set output_proj to zeros: does what the feed-forward network adds change?",
        frequency="common",
        throughout=True,
    ),
    _bug(
        "network-reads-attention",
        _network_reads_attention,
        "gives its feed-forward network the output of attention.",
        "Set output_proj to zeros: does what the feed-forward network adds change?",
        throughout=True,
    ),
    _bug(
        "network-not-normalised",
        _network_as_it_is,
        "gives its feed-forward network the stream as it is.",
        "Make an input 10 times as large: should what is added change?",
        throughout=True,
    ),
    _bug(
        "attention-not-normalised",
        _attention_as_it_is,
        "gives attention the stream as it is.",
        "Make an input 10 times as large: should what is added change?",
        frequency="rare",
        throughout=True,
    ),
    _bug(
        "residual-twice",
        _residual_twice,
        "adds its input twice, once for each branch.",
        "With both branches at zero, what should come out?",
        frequency="common",
        throughout=True,
    ),
    _bug(
        "residual-normalised",
        _residual_from_normed,
        "adds its branches to the normalised input, and not to the input itself.",
        "With both branches at zero, what should come out?",
        throughout=True,
    ),
    _bug(
        "without-residual",
        _without_residual,
        "has no residual connection.",
        "With both branches at zero, what should come out?",
        frequency="rare",
        throughout=True,
    ),
    _bug(
        "norms-swapped",
        _with(two=_swapped),
        "normalises for attention by ln2, and for the feed-forward network by ln1.",
        "Give the two norms different gains.",
    ),
    _bug(
        "one-norm-of-two",
        _with(two=_first_norm_for_both),
        "uses ln1 for both branches, although it has two norms.",
        "Which weights have no gradient after backward()?",
        frequency="common",
    ),
    _bug(
        "second-norm-on-first",
        _with(two=_norm_of_norm),
        "applies ln2 to the output of ln1, and not to the stream.",
        "What does ln2 read in the formula?",
    ),
    _bug(
        "shared-norm-twice",
        _with(shared=_shared_norm_twice),
        "applies its shared norm twice for the feed-forward network, so that the gain counts twice.",
        "How often is ln1 called in the formula?",
    ),
    _bug(
        "norm-on-what-is-added",
        _with(shared=_norm_on_what_is_added),
        "normalises what both branches add, and not what they read.",
        "Double the weights of output_proj and w2: should the output change?",
        frequency="rare",
    ),
    _bug(
        "attention-detached",
        _attention_detached,
        "detaches what attention reads.",
        "Does the gradient of the input change when output_proj is set to zeros?",
        frequency="rare",
    ),
    _bug(
        "changes-its-input",
        _in_place,
        "adds to its input in place (x += ...), which changes the caller's tensor.",
        "Print the input before and after a call.",
    ),
)
