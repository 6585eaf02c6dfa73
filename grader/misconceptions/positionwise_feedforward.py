"""How SiLU and SwiGLU go wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from grader.reference import layers

from .catalogue import Misconception
from .forgotten_arguments import forgetting

Activation = Callable[[Tensor], Tensor]


def _silu(x):
    return x * torch.sigmoid(x)


def _sigmoid(x):
    return torch.sigmoid(x)


def _relu(x):
    return x.clamp(min=0)


def _gelu(x):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def _gelu_by_sigmoid(x):
    return x * torch.sigmoid(1.702 * x)


def _positive_exponent(x):
    return x * torch.exp(x) / (1 + torch.exp(x))


def _sign_lost(x):
    return x / (1 + torch.exp(x))


def _silu_in_place(x):
    return x.mul_(torch.sigmoid(x))


def _detached_sigmoid(x):
    return x * torch.sigmoid(x).detach()


def _gated(activation: Activation):
    """SwiGLU with another activation in its gate."""

    def forward(self, x):
        return self.w2(activation(self.w1(x)) * self.w3(x))

    return forward


def _branches_swapped(self, x):
    return self.w2(self.w1(x) * _silu(self.w3(x)))


def _activates_product(self, x):
    return self.w2(_silu(self.w1(x) * self.w3(x)))


def _activates_both(self, x):
    return self.w2(_silu(self.w1(x)) * _silu(self.w3(x)))


def _no_gate(self, x):
    return self.w2(_silu(self.w1(x)))


def _sum_of_branches(self, x):
    return self.w2(_silu(self.w1(x)) + self.w3(x))


def _one_branch_twice(self, x):
    return self.w2(_silu(self.w1(x)) * self.w1(x))


def _activates_output(self, x):
    return _silu(self.w2(_silu(self.w1(x)) * self.w3(x)))


def _residual(self, x):
    return x + self.w2(_silu(self.w1(x)) * self.w3(x))


def _detached_gate(self, x):
    return self.w2(_silu(self.w1(x)).detach() * self.w3(x))


def _views(self, x):
    flat = x.view(-1, x.shape[-1])
    return self.w2(_silu(self.w1(flat)) * self.w3(flat)).view(x.shape)


def _own_width(self, d_model, d_ff, device=None, dtype=None):
    nn.Module.__init__(self)
    d_ff = max(64, round(8 / 3 * d_model / 64) * 64)
    self.w1 = layers.Linear(d_model, d_ff, device, dtype)
    self.w2 = layers.Linear(d_ff, d_model, device, dtype)
    self.w3 = layers.Linear(d_model, d_ff, device, dtype)


def _branches_start_equal(self, d_model, d_ff, device=None, dtype=None):
    nn.Module.__init__(self)
    self.w1 = layers.Linear(d_model, d_ff, device, dtype)
    self.w2 = layers.Linear(d_ff, d_model, device, dtype)
    self.w3 = layers.Linear(d_model, d_ff, device, dtype)
    self.w3.load_state_dict(self.w1.state_dict())


def _default_initialisation(self, d_model, d_ff, device=None, dtype=None):
    nn.Module.__init__(self)
    self.w1 = nn.Linear(d_model, d_ff, False, device, dtype)
    self.w2 = nn.Linear(d_ff, d_model, False, device, dtype)
    self.w3 = nn.Linear(d_model, d_ff, False, device, dtype)


def _by_tanh(x):
    return x * torch.tanh(x)


def _cuts(self, d_model, d_ff, device=None, dtype=None):
    """Its own width, and of the weights that it is given what fits."""
    _own_width(self, d_model, d_ff, device, dtype)
    sizes = {name: value.shape for name, value in self.state_dict().items()}

    def fit(module, state, prefix, *_):
        for name, (rows, columns) in sizes.items():
            state[prefix + name] = torch.zeros(rows, columns).index_put_(
                (torch.arange(min(rows, state[prefix + name].shape[0])),),
                torch.nn.functional.pad(state[prefix + name], (0, columns))[:rows, :columns],
            )

    self.register_load_state_dict_pre_hook(fit)


def _swapped_shapes(self, d_model, d_ff, device=None, dtype=None):
    nn.Module.__init__(self)
    self.w1 = layers.Linear(d_ff, d_model, device, dtype)
    self.w2 = layers.Linear(d_model, d_ff, device, dtype)
    self.w3 = layers.Linear(d_ff, d_model, device, dtype)


def _assigning(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    """An adapter as many write it: what it assigns takes the place of whatever shape was there."""
    swiglu = layers.SwiGLU(d_model, d_ff)
    swiglu.w1.weight.data = w1_weight
    swiglu.w2.weight.data = w2_weight
    swiglu.w3.weight.data = w3_weight
    return swiglu(in_features)


def _linear_weights(start: Callable[[Tensor], Any]):
    """The constructor with another start of its three weights."""
    right = layers.SwiGLU.__init__

    def init(self, *sizes: Any, **options: Any) -> None:
        right(self, *sizes, **options)
        for weight in self.parameters():
            start(weight)

    return init


def _small_only(self, x):
    return self.w2(_silu(self.w1(x)) * self.w3(x)) * (x.numel() <= 6000)


def _result_is_float32(self, x):
    w1, w2, w3 = (layer.weight.float() for layer in (self.w1, self.w2, self.w3))
    return (_silu(x.float() @ w1.T) * (x.float() @ w3.T)) @ w2.T


def _variance_for_std(weight: Tensor) -> None:
    std = 2 / sum(weight.shape)
    nn.init.trunc_normal_(weight, std=std, a=-3 * std, b=3 * std)


def _either_alone(activation: Activation, gate: Any = None) -> tuple[dict[str, Any], ...]:
    """SwiGLU with this activation in its gate while SiLU is right, and the other way round."""
    return (
        {"layers.SwiGLU.forward": gate or _gated(activation)},
        {"layers.silu": activation, "layers.SwiGLU.forward": _gated(_silu)},
    )


MISCONCEPTIONS = (
    Misconception(
        id="silu-is-sigmoid",
        problem="positionwise_feedforward",
        replaces={"layers.silu": _sigmoid},
        diagnosis="Your activation, in SiLU or in the gate of SwiGLU, is the sigmoid: the factor x is missing.",
        hint="What should silu(10) be, about? Does your SwiGLU gate with the same function?",
        frequency="common",
        throughout=True,
        forms=_either_alone(_sigmoid),
    ),
    Misconception(
        id="silu-is-gelu",
        problem="positionwise_feedforward",
        replaces={"layers.silu": _gelu},
        diagnosis=(
            "Your activation, in SiLU or in the gate of SwiGLU, is GELU: it multiplies x by the normal distribution "
            "function, not by the sigmoid."
        ),
        hint="Compare your silu(1) with 1 / (1 + e^-1).",
        frequency="rare",
        throughout=True,
        forms=_either_alone(_gelu),
    ),
    Misconception(
        id="silu-is-gelu-approximation",
        problem="positionwise_feedforward",
        replaces={"layers.silu": _gelu_by_sigmoid},
        diagnosis="Your SiLU is x * sigmoid(1.702 x), an approximation of GELU.",
        hint="By what does SiLU multiply x inside the sigmoid?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="silu-is-relu",
        problem="positionwise_feedforward",
        replaces={"layers.silu": _relu},
        diagnosis="Your activation, in SiLU or in the gate of SwiGLU, is ReLU: it sets negative numbers to zero.",
        hint="What should silu(-1) be? Does your SwiGLU gate with the same function?",
        frequency="occasional",
        throughout=True,
        forms=_either_alone(_relu),
    ),
    Misconception(
        id="silu-sign-of-exponent",
        problem="positionwise_feedforward",
        replaces={"layers.silu": _sign_lost},
        diagnosis="Your SiLU divides by 1 + e^x; the exponent has the wrong sign.",
        hint="What happens to your silu(x) as x grows?",
        frequency="occasional",
        throughout=True,
    ),
    Misconception(
        id="silu-overflows",
        problem="positionwise_feedforward",
        replaces={"layers.silu": _positive_exponent},
        diagnosis="Your SiLU computes e^x directly, which overflows above 88 and gives infinity / infinity.",
        hint="What does your silu(torch.tensor(100.)) return?",
        frequency="occasional",
    ),
    Misconception(
        id="silu-changes-its-input",
        problem="positionwise_feedforward",
        replaces={"layers.silu": _silu_in_place},
        diagnosis="Your SiLU writes its result into its input.",
        hint="Print the input before and after a call.",
        frequency="rare",
    ),
    Misconception(
        id="silu-sigmoid-is-detached",
        problem="positionwise_feedforward",
        replaces={"layers.silu": _detached_sigmoid},
        diagnosis="Your SiLU treats the sigmoid as a constant, so part of the gradient is missing.",
        hint="Compare your gradient at x = 1 with a finite difference.",
        frequency="rare",
    ),
    Misconception(
        id="swiglu-branches-swapped",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.forward": _branches_swapped},
        diagnosis="Your SwiGLU applies SiLU to W3 x, not to W1 x.",
        hint="In the formula, which of the two products does SiLU act on?",
        frequency="common",
        throughout=True,
    ),
    Misconception(
        id="swiglu-activates-product",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.forward": _activates_product},
        diagnosis="Your SwiGLU applies SiLU after the two branches are multiplied.",
        hint="In the formula, what is the argument of SiLU?",
        frequency="occasional",
        throughout=True,
    ),
    Misconception(
        id="swiglu-activates-both",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.forward": _activates_both},
        diagnosis="Your SwiGLU applies SiLU to both branches.",
        hint="One of the two branches is linear: which one?",
        frequency="occasional",
        throughout=True,
    ),
    Misconception(
        id="swiglu-without-gate",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.forward": _no_gate},
        diagnosis="Your feed-forward network is W2 silu(W1 x): the branch with W3 is missing.",
        hint="Set w3 to zero: what should the output be?",
        frequency="occasional",
        throughout=True,
    ),
    Misconception(
        id="swiglu-adds-branches",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.forward": _sum_of_branches},
        diagnosis="Your SwiGLU adds the two branches instead of multiplying them.",
        hint="Set w3 to zero: what should the output be?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="swiglu-uses-w1-twice",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.forward": _one_branch_twice},
        diagnosis="Your SwiGLU uses W1 in both branches and never uses W3.",
        hint="Change w3: does the output change?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="swiglu-activates-output",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.forward": _activates_output},
        diagnosis="Your SwiGLU also applies SiLU to its output.",
        hint="How negative can an output of SiLU become, and how negative one of SwiGLU?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="swiglu-adds-its-input",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.forward": _residual},
        diagnosis="Your SwiGLU adds its input to its output; the residual connection belongs to the block around it.",
        hint="Set w2 to zero: what should the output be?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="swiglu-views-strided-input",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.forward": _views},
        diagnosis="Your SwiGLU calls view on its input, which fails when the input is not contiguous in memory.",
        hint="Try it on a transposed tensor.",
        frequency="rare",
    ),
    Misconception(
        id="swiglu-branches-start-equal",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.__init__": _branches_start_equal},
        diagnosis="The two branches of your SwiGLU are initialised with the same numbers.",
        hint="Compare w1.weight and w3.weight of a new network.",
        frequency="rare",
    ),
    Misconception(
        id="swiglu-initialised-by-default",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.__init__": _default_initialisation},
        diagnosis=(
            "Your SwiGLU's weights are initialised as in PyTorch's Linear, uniform between -1/sqrt(d) and 1/sqrt(d)."
        ),
        hint="Draw a histogram of w1.weight of a new network. Which class creates the weight?",
        frequency="occasional",
    ),
    Misconception(
        id="silu-takes-tanh",
        problem="positionwise_feedforward",
        replaces={"layers.silu": _by_tanh},
        diagnosis="Your SiLU multiplies x by tanh(x), not by the sigmoid of x.",
        hint="Which values does a sigmoid take, and which does tanh?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="swiglu-without-activation",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.forward": _gated(lambda x: x)},
        diagnosis="Your SwiGLU multiplies W1 x by W3 x and never applies SiLU.",
        hint="Where in SwiGLU(x) does the formula have silu?",
        frequency="occasional",
        throughout=True,
    ),
    Misconception(
        id="swiglu-ignores-device",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.__init__": forgetting("device", layers.SwiGLU.__init__)},
        diagnosis="Your SwiGLU takes a device, but ignores it and creates its weights on the CPU.",
        hint='Make one with device="meta" and print its parameters\' device.',
        frequency="common",
    ),
    Misconception(
        id="swiglu-ignores-dtype",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.__init__": forgetting("dtype", layers.SwiGLU.__init__)},
        diagnosis="Your SwiGLU takes a dtype, but ignores it and creates its weights in float32.",
        hint="Make one with dtype=torch.bfloat16 and print its parameters' dtype.",
        frequency="common",
    ),
    Misconception(
        id="silu-is-detached",
        problem="positionwise_feedforward",
        replaces={"layers.silu": lambda x: x.data * torch.sigmoid(x.data)},
        diagnosis="Your activation, in SiLU or in the gate of SwiGLU, is cut off from its input: gradients end there.",
        hint="Call backward() on the sum of an output: which of x, W1, W2 and W3 has no gradient?",
        frequency="occasional",
        forms=_either_alone(lambda x: x.data * torch.sigmoid(x.data), _detached_gate),
    ),
    Misconception(
        id="silu-result-is-float32",
        problem="positionwise_feedforward",
        replaces={"layers.silu": lambda x: _silu(x.float())},
        diagnosis="Your SiLU returns float32, whatever the dtype of its input.",
        hint="Print the dtype of input and output, for bfloat16 and for float64.",
        frequency="rare",
    ),
    Misconception(
        id="swiglu-cuts-its-weights",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.__init__": _cuts},
        diagnosis="Your SwiGLU ignores d_ff, and uses only as much of the weights as fits into its own.",
        hint="Give it a d_ff of 100 with d_model 24: how many rows of w1 have an effect?",
        frequency="rare",
    ),
    Misconception(
        id="swiglu-shapes-swapped",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.__init__": _swapped_shapes, "adapters.run_swiglu": _assigning},
        diagnosis="Your SwiGLU swaps d_model and d_ff in its weights; assigning weight.data hides this.",
        hint="Call a new SwiGLU(48, 128) on an input of size 48, without giving it weights first.",
        frequency="occasional",
    ),
    Misconception(
        id="swiglu-variance-as-std",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.__init__": _linear_weights(_variance_for_std)},
        diagnosis="Your SwiGLU passes the variance 2 / (d_in + d_out) as the standard deviation.",
        hint="What is the standard deviation of w1 of a new SwiGLU(48, 128), and what should it be?",
        frequency="common",
    ),
    Misconception(
        id="swiglu-never-initialised",
        problem="positionwise_feedforward",
        replaces={
            "layers.SwiGLU.__init__": _linear_weights(lambda weight: weight.data.copy_(torch.empty_like(weight)))
        },
        diagnosis="Your SwiGLU never initialises its weights: torch.empty leaves whatever was in memory.",
        hint="Print the weights of several new networks.",
        frequency="occasional",
    ),
    Misconception(
        id="swiglu-zeros-beyond-a-size",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.forward": _small_only},
        diagnosis="Your SwiGLU returns zeros if the input has more than a few thousand numbers.",
        hint="Does your code contain a size that comes from none of its arguments?",
        frequency="rare",
    ),
    Misconception(
        id="swiglu-result-is-float32",
        problem="positionwise_feedforward",
        replaces={"layers.SwiGLU.forward": _result_is_float32},
        diagnosis="Your SwiGLU computes and returns float32, whatever the dtype of its input and weights.",
        hint="Print the dtype of its output in bfloat16 and in float64.",
        frequency="rare",
    ),
)
