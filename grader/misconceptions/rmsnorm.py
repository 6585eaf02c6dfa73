"""How RMSNorm goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from grader.reference import layers

from .catalogue import Misconception
from .forgotten_arguments import forgetting
from .together import assembled

Divide = Callable[[Any, Tensor], Tensor]


@assembled
def _normalising(normalised: Divide, gain: Callable[[Tensor], Tensor] = lambda weight: weight):
    """A forward pass with another quotient: normalised(module, float32 input), then the gain."""

    def forward(self, x):
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return (normalised(self, wide) * gain(self.weight)).to(x.dtype)

    return forward


def _eps_outside(self, x):
    return x / (x.square().mean(-1, keepdim=True).sqrt() + self.eps)


def _subtracts_mean(self, x):
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + self.eps)


def _without_eps(self, x):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True))


def _own_eps(self, x):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5)


def _at_least_eps(self, x):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True).clamp(min=self.eps))


def _sum(self, x):
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + self.eps)


def _no_root(self, x):
    return x / (x.square().mean(-1, keepdim=True) + self.eps)


def _over_everything(self, x):
    return x * torch.rsqrt(x.square().mean() + self.eps)


def _over_sequence(self, x):
    return x * torch.rsqrt(x.square().mean(min(1, x.ndim - 1), keepdim=True) + self.eps)


def _keeps_no_dimension(self, x):
    return x * torch.rsqrt(x.square().mean(-1) + self.eps)


def _detached_norm(self, x):
    return x * torch.rsqrt(x.detach().square().mean(-1, keepdim=True) + self.eps)


def _right(self, x):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)


def _views(self, x):
    return _right(self, x.view(-1, x.shape[-1])).view(x.shape)


def _in_own_dtype(self, x):
    return (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight).to(x.dtype)


def _stays_wide(self, x):
    return _right(self, x.to(torch.promote_types(x.dtype, torch.float32))) * self.weight


def _in_place(self, x):
    return x.mul_(torch.rsqrt(x.float().square().mean(-1, keepdim=True) + self.eps)).mul_(self.weight)


@assembled
def _starting(register: Callable[[Any, Tensor], None], start: Callable[..., Tensor] = torch.ones):
    """The constructor with another way to keep the gain, or another value at the start."""

    def init(self, d_model, eps=1e-5, device=None, dtype=None):
        nn.Module.__init__(self)
        self.eps = eps
        register(self, start(d_model, device=device, dtype=dtype))

    return init


def _as_parameter(self, gain):
    self.weight = nn.Parameter(gain)


def _as_buffer(self, gain):
    self.register_buffer("weight", gain)


def _with_bias(self, gain):
    self.weight = nn.Parameter(gain)
    self.bias = nn.Parameter(torch.zeros_like(gain))
    self.register_load_state_dict_pre_hook(
        lambda module, state, prefix, *_: state.setdefault(prefix + "bias", self.bias)
    )


def _one_less(self, x):
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) / (x.shape[-1] - 1) + self.eps)


def _by_standard_deviation(self, x):
    return x * torch.rsqrt(x.var(-1, keepdim=True, correction=0) + self.eps)


def _by_mean_size(self, x):
    return x / (x.abs().mean(-1, keepdim=True) + self.eps)


def _small_only(self, x):
    return _right(self, x) * (x.numel() <= 6000)


def _clamps(self, x):
    return _right(self, x.clamp(-3e4, 3e4))


MISCONCEPTIONS = (
    Misconception(
        id="rmsnorm-eps-outside-root",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_eps_outside)},
        diagnosis="Your RMSNorm adds eps to the root of the mean square, not to the mean square itself.",
        hint="Feed it a vector of values around 0.001: does the result match the formula?",
        frequency="common",
    ),
    Misconception(
        id="rmsnorm-subtracts-mean",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_subtracts_mean)},
        diagnosis="Your RMSNorm subtracts the mean before it normalises, as LayerNorm does.",
        hint="Add 7 to every element of an input: should the output stay the same?",
        frequency="occasional",
        throughout=True,
    ),
    Misconception(
        id="rmsnorm-without-eps",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_without_eps)},
        diagnosis="Your RMSNorm leaves eps out, so a vector of zeros becomes 0 / 0.",
        hint="What does your layer return for torch.zeros(4)?",
        frequency="occasional",
    ),
    Misconception(
        id="rmsnorm-fixed-eps",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_own_eps)},
        diagnosis="Your RMSNorm always uses eps = 1e-5 and ignores its eps argument.",
        hint="Compare the outputs for eps = 1e-5 and eps = 1.",
        frequency="occasional",
    ),
    Misconception(
        id="rmsnorm-eps-as-minimum",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_at_least_eps)},
        diagnosis="Your RMSNorm uses eps as a lower bound of the mean square instead of adding it.",
        hint="What does the formula give when the mean square is exactly eps?",
        frequency="rare",
    ),
    Misconception(
        id="rmsnorm-sum-for-mean",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_sum)},
        diagnosis="Your RMSNorm divides by the root of the sum of squares, not of their mean.",
        hint="What should the output be for a vector of ones and gains of 1?",
        frequency="occasional",
        throughout=True,
    ),
    Misconception(
        id="rmsnorm-without-root",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_no_root)},
        diagnosis="Your RMSNorm divides by the mean square itself, without the root.",
        hint="Multiply an input by 10: should the output change?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="rmsnorm-averages-whole-tensor",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_over_everything)},
        diagnosis="Your RMSNorm takes one mean over the whole tensor, so tokens influence each other.",
        hint="Change one row of a batch: do the other rows of the output stay the same?",
        frequency="occasional",
        throughout=True,
    ),
    Misconception(
        id="rmsnorm-averages-over-sequence",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_over_sequence)},
        diagnosis="Your RMSNorm takes the mean over the sequence, not over the features.",
        hint="Which dimension of [batch, seq, d_model] belongs to one token?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="rmsnorm-drops-dimension",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_keeps_no_dimension)},
        diagnosis=("Your RMSNorm drops the last dimension when it takes the mean, so the quotient misaligns."),
        hint="What is the shape of x.mean(-1), and how does it broadcast against x?",
        frequency="occasional",
        throughout=True,
    ),
    Misconception(
        id="rmsnorm-views-strided-input",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_views)},
        diagnosis="Your RMSNorm calls view on its input, which fails when the input is not contiguous in memory.",
        hint="Try it on a transposed tensor.",
        frequency="rare",
    ),
    Misconception(
        id="rmsnorm-ignores-gain",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_right, torch.ones_like)},
        diagnosis="Your RMSNorm does not multiply by its gain.",
        hint="Set the weight to 2 everywhere: does the output double?",
        frequency="occasional",
    ),
    Misconception(
        id="rmsnorm-adds-one-to-gain",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_right, lambda weight: 1 + weight)},
        diagnosis="Your RMSNorm multiplies by 1 + weight, as Gemma does.",
        hint="What should the output be when the weight is 0?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="rmsnorm-gain-inside-root",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_right, lambda weight: weight.sqrt())},
        diagnosis="Your RMSNorm takes the root of the gain, too.",
        hint="Set the weight to 4 everywhere: by what does the output grow?",
        frequency="rare",
    ),
    Misconception(
        id="rmsnorm-squares-in-half-precision",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _in_own_dtype},
        diagnosis="Your RMSNorm squares in float16, where squares above 65504 overflow.",
        hint="What is torch.tensor(300., dtype=torch.float16) ** 2?",
        frequency="common",
    ),
    Misconception(
        id="rmsnorm-result-stays-float32",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _stays_wide},
        diagnosis="Your RMSNorm computes half-precision inputs in float32 and does not convert the result back.",
        hint="Compare the dtypes of input and output for a bfloat16 input.",
        frequency="common",
    ),
    Misconception(
        id="rmsnorm-changes-its-input",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _in_place},
        diagnosis="Your RMSNorm writes its result into the input, which the residual connection still needs.",
        hint="Print the input before and after a call.",
        frequency="rare",
    ),
    Misconception(
        id="rmsnorm-norm-is-detached",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_detached_norm)},
        diagnosis="Your RMSNorm treats the root mean square as a constant, so part of the gradient is missing.",
        hint="Compare your gradient with a finite difference, (f(x + h) - f(x)) / h.",
        frequency="rare",
    ),
    Misconception(
        id="rmsnorm-gain-starts-at-zero",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.__init__": _starting(_as_parameter, torch.zeros)},
        diagnosis="Your RMSNorm initialises its gains with zero, so a new model outputs nothing but zeros.",
        hint="What does a new layer return?",
        frequency="occasional",
    ),
    Misconception(
        id="rmsnorm-gain-starts-random",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.__init__": _starting(_as_parameter, torch.randn)},
        diagnosis="Your RMSNorm initialises its gains randomly.",
        hint="Print the weight of a new layer.",
        frequency="occasional",
    ),
    Misconception(
        id="rmsnorm-gain-is-a-buffer",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.__init__": _starting(_as_buffer)},
        diagnosis=(
            "Your RMSNorm keeps its gain as a tensor that is not an nn.Parameter, so no optimizer will ever see it."
        ),
        hint="What does list(norm.parameters()) contain?",
        frequency="occasional",
    ),
    Misconception(
        id="rmsnorm-has-bias",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.__init__": _starting(_with_bias)},
        diagnosis="Your RMSNorm has a bias among its parameters, as LayerNorm does.",
        hint="List the named parameters of a new layer: which ones does the formula contain?",
        frequency="rare",
    ),
    Misconception(
        id="rmsnorm-divides-sum-by-one-less",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_one_less)},
        diagnosis="Your RMSNorm divides the sum of squares by d_model - 1, as the estimate of a variance does.",
        hint="What is the mean of d_model squares that are all 1, and what does your code compute?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="rmsnorm-divides-by-standard-deviation",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_by_standard_deviation)},
        diagnosis="Your RMSNorm divides by the standard deviation, which ignores the mean; the RMS does not.",
        hint="What is the root mean square of [3, 3, 3], and what is its standard deviation?",
        frequency="occasional",
        throughout=True,
    ),
    Misconception(
        id="rmsnorm-averages-absolute-values",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_by_mean_size)},
        diagnosis="Your RMSNorm divides by the mean of the absolute values, not by the root of the mean square.",
        hint="What is the root mean square of [0, 2], and what does your code divide by?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="rmsnorm-ignores-device",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.__init__": forgetting("device", layers.RMSNorm.__init__)},
        diagnosis="Your RMSNorm takes a device, but ignores it and creates its gain on the CPU.",
        hint='Make one with device="meta" and print its parameters\' device.',
        frequency="common",
    ),
    Misconception(
        id="rmsnorm-ignores-dtype",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.__init__": forgetting("dtype", layers.RMSNorm.__init__)},
        diagnosis="Your RMSNorm takes a dtype, but ignores it and creates its gain in float32.",
        hint="Make one with dtype=torch.bfloat16 and print its parameters' dtype.",
        frequency="common",
    ),
    Misconception(
        id="rmsnorm-zeros-beyond-a-size",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_small_only)},
        diagnosis="Your RMSNorm returns zeros if the input has more than a few thousand numbers.",
        hint="Does your code contain a size that comes from none of its arguments?",
        frequency="rare",
    ),
    Misconception(
        id="rmsnorm-clamps-values",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_clamps)},
        diagnosis="Your RMSNorm clips its inputs at some value.",
        hint="Compare the outputs for x and for 1e6 x: what should change?",
        frequency="rare",
    ),
    Misconception(
        id="rmsnorm-gain-never-set",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.__init__": _starting(_as_parameter, torch.empty)},
        diagnosis="Your RMSNorm never initialises its gains: torch.empty leaves whatever was in memory.",
        hint="Print the gains of several new layers.",
        frequency="occasional",
    ),
    Misconception(
        id="rmsnorm-gain-is-detached",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _normalising(_right, lambda weight: weight.detach())},
        diagnosis="Your RMSNorm multiplies by a detached gain, so the gain never learns.",
        hint="Call backward() on the sum of an output: is weight.grad still None?",
        frequency="rare",
    ),
)
