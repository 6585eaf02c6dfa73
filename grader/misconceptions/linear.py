"""How Linear goes wrong."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from grader.reference import layers

from .catalogue import Misconception
from .forgotten_arguments import forgetting


def _starting(draw: Callable[[int, int], Tensor]):
    """The constructor with another distribution of the initial weight: draw(in_features, out_features)."""

    def init(self, in_features, out_features, device=None, dtype=None):
        nn.Module.__init__(self)
        self.weight = nn.Parameter(draw(in_features, out_features).to(device=device, dtype=dtype))

    return init


def _truncated(std: float, d_out: int, d_in: int) -> Tensor:
    return nn.init.trunc_normal_(torch.empty(d_out, d_in), std=std, a=-3 * std, b=3 * std)


def _with_bias(self, in_features, out_features, device=None, dtype=None):
    nn.Module.__init__(self)
    std = (2 / (in_features + out_features)) ** 0.5
    self.weight = nn.Parameter(_truncated(std, out_features, in_features).to(device=device, dtype=dtype))
    self.bias = nn.Parameter(torch.zeros(out_features, device=device, dtype=dtype))
    self.register_load_state_dict_pre_hook(
        lambda module, state, prefix, *_: state.setdefault(prefix + "bias", self.bias)
    )


def _as_buffer(self, in_features, out_features, device=None, dtype=None):
    nn.Module.__init__(self)
    std = (2 / (in_features + out_features)) ** 0.5
    self.register_buffer("weight", _truncated(std, out_features, in_features).to(device=device, dtype=dtype))


def _stored_transposed(self, in_features, out_features, device=None, dtype=None):
    nn.Module.__init__(self)
    std = (2 / (in_features + out_features)) ** 0.5
    self.weight = nn.Parameter(_truncated(std, in_features, out_features).to(device=device, dtype=dtype))


def _not_transposed(self, x):
    return x @ self.weight


def _flattens(self, x):
    return x.reshape(-1, x.shape[-1]) @ self.weight.T


def _diagonal(self, x):
    if self.weight.shape[0] != self.weight.shape[1]:
        return x @ self.weight.T
    return torch.einsum("... d, d d -> ... d", x, self.weight)


def _scales(self, x):
    return x @ self.weight.T / x.shape[-1] ** 0.5


def _views(self, x):
    return (x.view(-1, x.shape[-1]) @ self.weight.T).view(*x.shape[:-1], -1)


def _detaches(self, x):
    return x @ self.weight.data.T


def _detaches_input(self, x):
    return x.detach() @ self.weight.T


def _clears_bias(self, x):
    return x @ self.weight.T + self.weight.mean(-1)


def _result_is_float32(self, x):
    return x.float() @ self.weight.float().T


def _small_only(self, x):
    result = x @ self.weight.T
    return result * (result.numel() <= 6000)


def _clamps(self, x):
    return x.clamp(-1e3, 1e3) @ self.weight.T


def _frozen(self, in_features, out_features, device=None, dtype=None):
    nn.Module.__init__(self)
    std = (2 / (in_features + out_features)) ** 0.5
    weight = _truncated(std, out_features, in_features).to(device=device, dtype=dtype)
    self.weight = nn.Parameter(weight, requires_grad=False)


MISCONCEPTIONS = (
    Misconception(
        id="linear-weight-not-transposed",
        problem="linear",
        replaces={"layers.Linear.forward": _not_transposed},
        diagnosis="Your Linear multiplies by the weight as if it were stored as [in_features, out_features].",
        hint="The weight has shape [d_out, d_in]: which of its dimensions must match the last one of the input?",
        frequency="common",
        throughout=True,
    ),
    Misconception(
        id="linear-weight-stored-transposed",
        problem="linear",
        replaces={"layers.Linear.__init__": _stored_transposed, "layers.Linear.forward": _not_transposed},
        diagnosis=(
            "Your Linear keeps its weight as [in_features, out_features], so weights from a checkpoint do not fit."
        ),
        hint="Print the shape of the weight of Linear(3, 5) and compare it with the docstring.",
        frequency="occasional",
        throughout=True,
    ),
    Misconception(
        id="linear-adds-to-result",
        problem="linear",
        replaces={"layers.Linear.forward": _clears_bias},
        diagnosis="Your Linear adds something to the product of weight and input.",
        hint="What does your layer return for an input of zeros?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="linear-has-bias",
        problem="linear",
        replaces={"layers.Linear.__init__": _with_bias},
        diagnosis="Your Linear has a bias among its parameters.",
        hint="List the named parameters of a new layer: which ones does the assignment ask for?",
        frequency="occasional",
    ),
    Misconception(
        id="linear-weight-is-a-buffer",
        problem="linear",
        replaces={"layers.Linear.__init__": _as_buffer},
        diagnosis=(
            "Your Linear keeps its weight as a tensor that is not an nn.Parameter, so no optimizer will ever see it."
        ),
        hint="What does list(layer.parameters()) contain?",
        frequency="occasional",
    ),
    Misconception(
        id="linear-detaches-weight",
        problem="linear",
        replaces={"layers.Linear.forward": _detaches},
        diagnosis="Your Linear multiplies by weight.data (or a detached weight), so the weight never gets a gradient.",
        hint="Call backward() on the sum of an output: is weight.grad still None?",
        frequency="occasional",
    ),
    Misconception(
        id="linear-detaches-input",
        problem="linear",
        replaces={"layers.Linear.forward": _detaches_input},
        diagnosis="Your Linear detaches its input, so nothing that comes before the layer can learn.",
        hint="Give it an input with requires_grad=True and call backward(): does the input get a gradient?",
        frequency="rare",
    ),
    Misconception(
        id="linear-flattens-batch",
        problem="linear",
        replaces={"layers.Linear.forward": _flattens},
        diagnosis="Your Linear merges all leading dimensions into one and does not restore them.",
        hint="Compare the shapes of input and output for an input of shape [2, 3, 4].",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="linear-einsum-diagonal",
        problem="linear",
        replaces={"layers.Linear.forward": _diagonal},
        diagnosis="Your einsum uses one label for both dimensions of the weight, which takes its diagonal.",
        hint='What does einsum("i i -> i", matrix) return?',
        frequency="rare",
    ),
    Misconception(
        id="linear-scales-output",
        problem="linear",
        replaces={"layers.Linear.forward": _scales},
        diagnosis="Your Linear divides its output by sqrt(d_in).",
        hint="With a weight of ones and an input of ones, what is y = W x?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="linear-views-strided-input",
        problem="linear",
        replaces={"layers.Linear.forward": _views},
        diagnosis="Your Linear calls view on its input, which fails when the input is not contiguous in memory.",
        hint="Try it on the transpose of a matrix.",
        frequency="occasional",
    ),
    Misconception(
        id="linear-variance-as-std",
        problem="linear",
        replaces={"layers.Linear.__init__": _starting(lambda i, o: _truncated(2 / (i + o), o, i))},
        diagnosis="Your Linear passes the variance 2 / (d_in + d_out) as the standard deviation.",
        hint="What is the standard deviation of the weight of Linear(200, 200), and what should it be?",
        frequency="common",
    ),
    Misconception(
        id="linear-initialised-by-fan-in",
        problem="linear",
        replaces={"layers.Linear.__init__": _starting(lambda i, o: _truncated((2 / i) ** 0.5, o, i))},
        diagnosis="Your Linear computes the variance of its initial weight from only one of its two sizes.",
        hint="Compare the weights of Linear(10, 1000) and Linear(1000, 10): their spread should be the same.",
        frequency="occasional",
    ),
    Misconception(
        id="linear-initialised-with-unit-variance",
        problem="linear",
        replaces={"layers.Linear.__init__": _starting(lambda i, o: _truncated(1.0, o, i))},
        diagnosis="Your Linear initialises its weight with variance 1, whatever its size.",
        hint="How large do outputs become when d_in is 1000 and the inputs have variance 1?",
        frequency="occasional",
    ),
    Misconception(
        id="linear-initialised-without-cut",
        problem="linear",
        replaces={
            "layers.Linear.__init__": _starting(lambda i, o: torch.randn(o, i) * (2 / (i + o)) ** 0.5),
        },
        diagnosis=(
            "Your Linear is initialised from a normal distribution that is not truncated at three standard deviations "
            "(or only at -3 and 3, which no weight of this size reaches)."
        ),
        hint="What is the largest weight of a new Linear(1000, 1000), in standard deviations?",
        frequency="common",
    ),
    Misconception(
        id="linear-initialised-uniform",
        problem="linear",
        replaces={
            "layers.Linear.__init__": _starting(lambda i, o: (torch.rand(o, i) * 2 - 1) * (6 / (i + o)) ** 0.5),
        },
        diagnosis="Your Linear is initialised from a uniform distribution.",
        hint="Draw a histogram of the weight of a new layer.",
        frequency="occasional",
    ),
    Misconception(
        id="linear-starts-at-zero",
        problem="linear",
        replaces={"layers.Linear.__init__": _starting(lambda i, o: torch.zeros(o, i))},
        diagnosis="Your Linear is initialised with zeros, so the layers before it cannot learn.",
        hint="Which gradient reaches the input of a layer whose weight is zero?",
        frequency="rare",
    ),
    Misconception(
        id="linear-ignores-device",
        problem="linear",
        replaces={"layers.Linear.__init__": forgetting("device", layers.Linear.__init__)},
        diagnosis="Your Linear takes a device, but ignores it and creates its weight on the CPU.",
        hint='Make one with device="meta" and print its parameters\' device.',
        frequency="common",
    ),
    Misconception(
        id="linear-ignores-dtype",
        problem="linear",
        replaces={"layers.Linear.__init__": forgetting("dtype", layers.Linear.__init__)},
        diagnosis="Your Linear takes a dtype, but ignores it and creates its weight in float32.",
        hint="Make one with dtype=torch.bfloat16 and print its parameters' dtype.",
        frequency="common",
    ),
    Misconception(
        id="linear-result-is-float32",
        problem="linear",
        replaces={"layers.Linear.forward": _result_is_float32},
        diagnosis="Your Linear computes and returns float32, whatever the dtype of its input and weight.",
        hint="Print the dtype of the output of a Linear in bfloat16, and of one in float64.",
        frequency="occasional",
    ),
    Misconception(
        id="linear-zeros-beyond-a-size",
        problem="linear",
        replaces={"layers.Linear.forward": _small_only},
        diagnosis="Your Linear returns zeros if the result has more than a few thousand numbers.",
        hint="Does your code contain a size that comes from none of its arguments?",
        frequency="rare",
    ),
    Misconception(
        id="linear-clamps-values",
        problem="linear",
        replaces={"layers.Linear.forward": _clamps},
        diagnosis="Your Linear clips its inputs at some value.",
        hint="Compare the outputs for x and for 1e6 x.",
        frequency="rare",
    ),
    Misconception(
        id="linear-never-initialised",
        problem="linear",
        replaces={"layers.Linear.__init__": _starting(lambda i, o: torch.empty(o, i))},
        diagnosis="Your Linear never initialises its weight: torch.empty and torch.Tensor keep what was in memory.",
        hint="Print the weight of several new layers. Where do these numbers come from?",
        frequency="occasional",
    ),
    Misconception(
        id="linear-weight-is-frozen",
        problem="linear",
        replaces={"layers.Linear.__init__": _frozen},
        diagnosis="The weight of your Linear has requires_grad=False, so it would never be trained.",
        hint="What is weight.requires_grad?",
        frequency="rare",
    ),
)
