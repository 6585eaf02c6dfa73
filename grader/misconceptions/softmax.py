"""How softmax goes wrong."""

from __future__ import annotations

import torch

from .catalogue import Misconception


def _shifted(shift):
    """Softmax with another number subtracted from the inputs: shift(x, dim)."""

    def softmax(x, dim):
        exponentials = torch.exp(x - shift(x, dim))
        return exponentials / exponentials.sum(dim, keepdim=True)

    return softmax


def _right(x, dim):
    return _shifted(lambda x, dim: x.amax(dim, keepdim=True))(x, dim)


def _last_dimension(x, dim):
    return _right(x, -1)


def _one_sum(x, dim):
    exponentials = torch.exp(x - x.max())
    return exponentials / exponentials.sum()


def _keeps_no_dimension(x, dim):
    exponentials = torch.exp(x - x.amax(dim, keepdim=True))
    return exponentials / exponentials.sum(dim)


def _shift_keeps_no_dimension(x, dim):
    exponentials = torch.exp(x - x.amax(dim))
    return exponentials / exponentials.sum(dim, keepdim=True)


def _moved(x, dim):
    return _right(x.transpose(dim, -1), -1)


def _negative_dim_refused(x, dim):
    order = [i for i in range(x.ndim) if i != dim] + [dim]
    if dim < 0 and dim != -1:
        raise IndexError(f"dimension {dim}")
    return _right(x, -1) if dim == -1 else _right(x.permute(order), -1).permute([order.index(i) for i in range(x.ndim)])


def _logarithm(x, dim):
    return _right(x, dim).log()


def _clamped(x, dim):
    exponentials = torch.exp(x.clamp(-80, 80))
    return exponentials / exponentials.sum(dim, keepdim=True)


def _unnormalised(x, dim):
    return torch.exp(x - x.amax(dim, keepdim=True))


def _base_two(x, dim):
    return _right(x * 0.6931472, dim)


def _negated(x, dim):
    return _right(-x, dim)


def _sigmoid(x, dim):
    return torch.sigmoid(x)


def _eps_in_sum(x, dim):
    exponentials = torch.exp(x - x.amax(dim, keepdim=True))
    return exponentials / (exponentials.sum(dim, keepdim=True) + 1e-2)


def _in_place(x, dim):
    x -= x.amax(dim, keepdim=True)
    return _right(x, dim)


def _infinities_replaced(x, dim):
    return _right(torch.nan_to_num(x, neginf=-5.0), dim)


def _zero_times_infinity(x, dim):
    largest = x.amax(dim, keepdim=True)
    smallest = x.amin(dim, keepdim=True)
    scaled = (x - smallest) - (largest - smallest)
    exponentials = torch.exp(scaled)
    return exponentials / exponentials.sum(dim, keepdim=True)


def _detached_sum(x, dim):
    exponentials = torch.exp(x - x.detach().amax(dim, keepdim=True))
    return exponentials / exponentials.sum(dim, keepdim=True).detach()


def _detached(x, dim):
    return _right(x.detach(), dim)


def _views(x, dim):
    flat = x.view(-1)
    return _right(flat.view(x.shape), dim)


def _small_only(x, dim):
    return _right(x, dim) * (x.numel() <= 6000)


MISCONCEPTIONS = (
    Misconception(
        id="softmax-without-shift",
        problem="softmax",
        replaces={"attention.softmax": _shifted(lambda x, dim: 0.0)},
        diagnosis="Your softmax computes e^x of its inputs directly, which overflows above 88 and gives NaN.",
        hint="What does your softmax return for [1000., 1000.], and what should it return?",
        frequency="common",
    ),
    Misconception(
        id="softmax-one-shift-for-all-rows",
        problem="softmax",
        replaces={"attention.softmax": _shifted(lambda x, dim: x.max())},
        diagnosis=(
            "Your softmax subtracts the largest number of the whole tensor, so rows far below it vanish and give 0 / 0."
        ),
        hint="Try a matrix with the rows [0., 1.] and [300., 301.].",
        frequency="common",
    ),
    Misconception(
        id="softmax-shifts-by-size",
        problem="softmax",
        replaces={"attention.softmax": _shifted(lambda x, dim: x.abs().amax(dim, keepdim=True))},
        diagnosis="Your softmax subtracts the largest absolute value, so very negative rows vanish and give 0 / 0.",
        hint="Try [-1000., -1001.].",
        frequency="rare",
    ),
    Misconception(
        id="softmax-shifts-by-mean",
        problem="softmax",
        replaces={"attention.softmax": _shifted(lambda x, dim: x.mean(dim, keepdim=True))},
        diagnosis="Your softmax subtracts the mean, so a number far above the others still overflows.",
        hint="Try [0., 0., 1000.].",
        frequency="rare",
    ),
    Misconception(
        id="softmax-clamps-inputs",
        problem="softmax",
        replaces={"attention.softmax": _clamped},
        diagnosis="Your softmax clamps its inputs to a fixed range, so different large numbers become equal.",
        hint="Try [1000., 1001.]: which of the two gets more?",
        frequency="rare",
    ),
    Misconception(
        id="softmax-last-dimension-only",
        problem="softmax",
        replaces={"attention.softmax": _last_dimension},
        diagnosis="Your softmax works along the last dimension, whatever `dim` says.",
        hint="With dim=0, do the columns of a matrix add up to 1?",
        frequency="common",
    ),
    Misconception(
        id="softmax-one-sum-for-all",
        problem="softmax",
        replaces={"attention.softmax": _one_sum},
        diagnosis="Your softmax divides by one sum over the whole tensor.",
        hint="What should the numbers of a row add up to, and what do they add up to here?",
        frequency="occasional",
        throughout=True,
    ),
    Misconception(
        id="softmax-sum-drops-dimension",
        problem="softmax",
        replaces={"attention.softmax": _keeps_no_dimension},
        diagnosis="Your softmax drops the dimension that it sums over, so the sums align with the wrong one.",
        hint="What is the shape of x.sum(-1), and how does it broadcast against x?",
        frequency="occasional",
        throughout=True,
    ),
    Misconception(
        id="softmax-maximum-drops-dimension",
        problem="softmax",
        replaces={"attention.softmax": _shift_keeps_no_dimension},
        diagnosis="Your softmax drops the dimension that it takes the maximum over, so each row is shifted unevenly.",
        hint="What is the shape of x.amax(-1), and how does it broadcast against x?",
        frequency="occasional",
        throughout=True,
    ),
    Misconception(
        id="softmax-leaves-dimension-at-end",
        problem="softmax",
        replaces={"attention.softmax": _moved},
        diagnosis="Your softmax moves the dimension to the end and does not move it back.",
        hint="Compare the shapes of input and output for an input of shape [2, 3, 4] and dim=0.",
        frequency="rare",
    ),
    Misconception(
        id="softmax-refuses-negative-dimensions",
        problem="softmax",
        replaces={"attention.softmax": _negative_dim_refused},
        diagnosis="Your softmax does not understand negative dimensions other than -1.",
        hint="Which dimension of a matrix is -2?",
        frequency="rare",
    ),
    Misconception(
        id="softmax-gives-logarithms",
        problem="softmax",
        replaces={"attention.softmax": _logarithm},
        diagnosis="Your softmax returns logarithms of probabilities.",
        hint="Do your outputs add up to 1?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="softmax-does-not-divide",
        problem="softmax",
        replaces={"attention.softmax": _unnormalised},
        diagnosis="Your softmax does not divide by the sum.",
        hint="Do your outputs add up to 1?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="softmax-base-two",
        problem="softmax",
        replaces={"attention.softmax": _base_two},
        diagnosis="Your softmax uses powers of 2 instead of powers of e.",
        hint="The ratio of the outputs for [0., 1.] is a well-known number. Which one?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="softmax-sign",
        problem="softmax",
        replaces={"attention.softmax": _negated},
        diagnosis="Your softmax gives the smallest number the largest probability.",
        hint="Which of [0., 1.] should get more?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="softmax-is-sigmoid",
        problem="softmax",
        replaces={"attention.softmax": _sigmoid},
        diagnosis="Your softmax is the sigmoid of each number separately.",
        hint="Do your outputs add up to 1?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="softmax-eps-in-denominator",
        problem="softmax",
        replaces={"attention.softmax": _eps_in_sum},
        diagnosis="Your softmax adds a constant to the sum, so probabilities no longer add up to 1.",
        hint="After the shift, how small can the sum become?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="softmax-changes-its-input",
        problem="softmax",
        replaces={"attention.softmax": _in_place},
        diagnosis="Your softmax subtracts the maximum from its input in place.",
        hint="Print the input before and after a call.",
        frequency="occasional",
    ),
    Misconception(
        id="softmax-replaces-infinity",
        problem="softmax",
        replaces={"attention.softmax": _infinities_replaced},
        diagnosis="Your softmax gives an input of minus infinity some probability.",
        hint="What is e to the power of minus infinity?",
        frequency="rare",
    ),
    Misconception(
        id="softmax-subtracts-infinities",
        problem="softmax",
        replaces={"attention.softmax": _zero_times_infinity},
        diagnosis="Your softmax uses the smallest input, which fails if it is minus infinity.",
        hint="What is minus infinity minus minus infinity?",
        frequency="rare",
    ),
    Misconception(
        id="softmax-denominator-is-detached",
        problem="softmax",
        replaces={"attention.softmax": _detached_sum},
        diagnosis="Your softmax treats the sum as a constant, so part of the gradient is missing.",
        hint="Compare your gradient with a finite difference.",
        frequency="rare",
    ),
    Misconception(
        id="softmax-is-detached",
        problem="softmax",
        replaces={"attention.softmax": _detached},
        diagnosis="Your softmax detaches its input, so nothing that comes before it can learn.",
        hint="Give it an input with requires_grad=True: does the output require a gradient?",
        frequency="rare",
    ),
    Misconception(
        id="softmax-views-strided-input",
        problem="softmax",
        replaces={"attention.softmax": _views},
        diagnosis="Your softmax calls view on its input, which fails when the input is not contiguous in memory.",
        hint="Try it on the transpose of a matrix.",
        frequency="rare",
    ),
    Misconception(
        id="softmax-shifts-by-minimum",
        problem="softmax",
        replaces={"attention.softmax": _shifted(lambda x, dim: x.amin(dim, keepdim=True))},
        diagnosis="Your softmax subtracts the smallest number of each row, so the largest exponent can still overflow.",
        hint="Up to which exponent does e^x not overflow, and what is your largest exponent?",
        frequency="rare",
    ),
    Misconception(
        id="softmax-result-is-float64",
        problem="softmax",
        replaces={"attention.softmax": lambda x, dim: _right(x.double(), dim)},
        diagnosis="Your softmax returns float64, whatever the dtype of its input.",
        hint="Print the dtype of input and output.",
        frequency="rare",
    ),
    Misconception(
        id="softmax-result-is-float32",
        problem="softmax",
        replaces={"attention.softmax": lambda x, dim: _right(x.float(), dim)},
        diagnosis="Your softmax returns float32, whatever the dtype of its input.",
        hint="Print the dtype of input and output, for bfloat16 and for float64.",
        frequency="occasional",
    ),
    Misconception(
        id="softmax-zeros-beyond-a-size",
        problem="softmax",
        replaces={"attention.softmax": _small_only},
        diagnosis="Your softmax returns zeros if the input has more than a few thousand numbers.",
        hint="Does your code contain a size that comes from none of its arguments?",
        frequency="rare",
    ),
)
