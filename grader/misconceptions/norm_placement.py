"""How norms get to stand in the wrong place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from grader.reference.architecture.blocks import PLACEMENTS, NormPlacementBlock

from .catalogue import Misconception, replacing

Forward = Callable[[Any, Tensor], Tensor]
_right = NormPlacementBlock.forward
_init = NormPlacementBlock.__init__


def _placed(**changed: Forward):
    """A block that goes another way with these placements."""

    def forward(self, x):
        return changed.get(self.placement, _right)(self, x)

    return forward


def _residual_from_normed(self, x):
    x = self.ln1(x)
    x = x + self.attn(x)
    x = self.ln2(x)
    return x + self.ffn(x)


def _first_norm_twice(self, x):
    x = x + self.attn(self.ln1(x))
    return x + self.ffn(self.ln1(x))


def _second_branch_as_it_is(self, x):
    x = x + self.attn(self.ln1(x))
    return x + self.ffn(x)


def _norms_swapped(self, x):
    x = x + self.attn(self.ln2(x))
    return x + self.ffn(self.ln1(x))


def _as_pre(self, x):
    x = x + self.attn(self.ln1(x))
    return x + self.ffn(self.ln2(x))


def _as_post(self, x):
    x = self.ln1(x + self.attn(x))
    return self.ln2(x + self.ffn(x))


def _as_branch(self, x):
    x = x + self.ln1(self.attn(x))
    return x + self.ln2(self.ffn(x))


def _post_and_pre(self, x):
    x = self.ln1(x + self.attn(self.ln1(x)))
    return self.ln2(x + self.ffn(self.ln2(x)))


def _post_only_at_the_end(self, x):
    x = x + self.attn(x)
    return self.ln2(self.ln1(x + self.ffn(x)))


def _branch_at_both_ends(self, x):
    x = x + self.ln1(self.attn(self.ln1(x)))
    return x + self.ln2(self.ffn(self.ln2(x)))


def _double_outside(self, x):
    x = self.ln1_out(x + self.attn(self.ln1(x)))
    return self.ln2_out(x + self.ffn(self.ln2(x)))


def _double_with_one_norm(self, x):
    x = x + self.ln1(self.attn(self.ln1(x)))
    return x + self.ln2(self.ffn(self.ln2(x)))


def _double_swapped(self, x):
    x = x + self.ln1(self.attn(self.ln1_out(x)))
    return x + self.ln2(self.ffn(self.ln2_out(x)))


def _double_only_before(self, x):
    x = x + self.attn(self.ln1(x))
    return x + self.ffn(self.ln2(x))


def _double_in_the_order_of_names(self, x):
    """Four norms taken as ln1, ln2 for attention and ln1_out, ln2_out for the network."""
    x = x + self.ln2(self.attn(self.ln1(x)))
    return x + self.ln2_out(self.ffn(self.ln1_out(x)))


def _side_by_side(self, x):
    match self.placement:
        case "pre":
            return x + self.attn(self.ln1(x)) + self.ffn(self.ln2(x))
        case "post":
            return self.ln2(self.ln1(x + self.attn(x)) + self.ffn(x))
        case "branch":
            return x + self.ln1(self.attn(x)) + self.ln2(self.ffn(x))
    return x + self.ln1_out(self.attn(self.ln1(x))) + self.ln2_out(self.ffn(self.ln2(x)))


def _without_second_residual(self, x):
    match self.placement:
        case "pre":
            return self.ffn(self.ln2(x + self.attn(self.ln1(x))))
        case "post":
            return self.ln2(self.ffn(self.ln1(x + self.attn(x))))
        case "branch":
            return self.ln2(self.ffn(x + self.ln1(self.attn(x))))
    return self.ln2_out(self.ffn(self.ln2(x + self.ln1_out(self.attn(self.ln1(x))))))


def _in_place(self, x):
    x += self.attn(self.ln1(x))
    x += self.ffn(self.ln2(x))
    return x


def _takes_any(self, d_model, num_heads, d_ff, max_seq_len, theta, placement, device=None, dtype=None):
    _init(
        self,
        d_model,
        num_heads,
        d_ff,
        max_seq_len,
        theta,
        placement if placement in PLACEMENTS else "pre",
        device,
        dtype,
    )


def _bug(id: str, forward: Forward, diagnosis: str, hint: str, **options: Any) -> Misconception:
    name = "architecture.blocks.NormPlacementBlock.forward"
    return replacing("norm_placement", name, "Your block ", id, forward, diagnosis, hint, **options)


MISCONCEPTIONS = (
    _bug(
        "pre-stream-normalised",
        _placed(pre=_residual_from_normed),
        'with "pre" adds to the normalised input, and not to the input itself.',
        "Make an input 1,000 times as large: how large should the output be?",
        frequency="common",
    ),
    _bug(
        "pre-first-norm-twice",
        _placed(pre=_first_norm_twice),
        'with "pre" uses ln1 for both branches.',
        "Which weights have no gradient after backward()?",
    ),
    _bug(
        "pre-second-branch-not-normalised",
        _placed(pre=_second_branch_as_it_is),
        'with "pre" has no norm before its feed-forward network.',
        "Which weights have no gradient after backward()?",
    ),
    _bug(
        "pre-norms-swapped",
        _placed(pre=_norms_swapped),
        'with "pre" normalises for attention by ln2, and for the feed-forward network by ln1.',
        "Give the two norms different gains.",
        frequency="rare",
    ),
    _bug(
        "post-is-branch",
        _placed(post=_as_branch),
        'with "post" normalises what it adds, and not the sum: that is "branch".',
        "Make an input 1,000 times as large: how large should the output be?",
        frequency="common",
    ),
    _bug(
        "post-is-pre",
        _placed(post=_as_pre),
        'with "post" normalises what its branches read, and not the sum.',
        "Make an input 1,000 times as large: how large should the output be?",
    ),
    _bug(
        "post-also-before",
        _placed(post=_post_and_pre),
        'with "post" also normalises what its branches read.',
        "How often is each norm called in the formula?",
    ),
    _bug(
        "post-only-at-the-end",
        _placed(post=_post_only_at_the_end),
        'with "post" normalises only at the end of the block.',
        "What does the feed-forward network read?",
    ),
    _bug(
        "branch-is-post",
        _placed(branch=_as_post),
        'with "branch" normalises the sum of stream and branch, which is the older meaning of post-norm.',
        "Make an input 1,000 times as large: how large should the output be?",
        frequency="common",
    ),
    _bug(
        "branch-is-pre",
        _placed(branch=_as_pre),
        'with "branch" normalises what its branches read, and not what they add.',
        "Double the weights of output_proj and w2: should the output change?",
    ),
    _bug(
        "branch-at-both-ends",
        _placed(branch=_branch_at_both_ends),
        'with "branch" normalises what its branches read, too.',
        "How often is each norm called in the formula?",
    ),
    _bug(
        "double-outside-residual",
        _placed(double=_double_outside),
        'with "double" applies its second norm to the sum, outside of the residual connection.',
        "Make an input 1,000 times as large: how large should the output be?",
        frequency="common",
    ),
    _bug(
        "double-with-one-norm",
        _placed(double=_double_with_one_norm),
        'with "double" uses one norm at both ends of a branch.',
        "Which weights have no gradient after backward()?",
    ),
    _bug(
        "double-ends-swapped",
        _placed(double=_double_swapped),
        'with "double" has ln_out before its branches, and ln behind them.',
        "Give the norms different gains.",
        forms=[_placed(double=_double_in_the_order_of_names)],
    ),
    _bug(
        "double-only-before",
        _placed(double=_double_only_before),
        'with "double" has no norm behind its branches.',
        "Double the weights of output_proj and w2: should the output change?",
    ),
    _bug(
        "branches-side-by-side",
        _side_by_side,
        "gives its feed-forward network the block's input, not what attention added to it.",
        "Which sum does the second branch read in the formula?",
        throughout=True,
    ),
    _bug(
        "without-second-residual",
        _without_second_residual,
        "does not add its feed-forward network to the stream, but puts it in the stream's place.",
        "With w2 at zero, what should come out?",
        throughout=True,
    ),
    _bug(
        "changes-its-input",
        _placed(pre=_in_place),
        "adds to its input in place (x += ...), which changes the caller's tensor.",
        "Print the input before and after a call.",
    ),
    replacing(
        "norm_placement",
        "architecture.blocks.NormPlacementBlock.__init__",
        "Your block ",
        "takes-any-placement",
        _takes_any,
        'takes any placement, and builds "pre" for those that it does not know.',
        "What does a model do of which the placement was misspelt?",
    ),
)
