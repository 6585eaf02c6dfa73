"""Feed-forward networks with a gate: one linear map decides how much of another passes."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..layers import Linear, silu
from .activations import Activation, gelu, relu

GATES = ("glu", "bilinear", "reglu", "geglu", "swiglu")


class GatedFeedForward(nn.Module):
    """The position-wise feed-forward network with a gate (Shazeer, 2020, section 2):

        FFN(x) = W2 (f(W1 x) * W3 x)        * multiplies element by element

    The gate's name says what f is:

        glu: sigmoid (Dauphin et al., 2016)     bilinear: f(z) = z, also called LiGLU
        reglu: ReLU     geglu: GELU, the exact one     swiglu: SiLU

    The submodules `w1` and `w3` are Linear layers from d_model to d_ff; `w2` goes from d_ff to d_model.

    Args:
        d_model: size of the last dimension of input and output.
        d_ff: size of the hidden dimension.
        gate: one of GATES.
        device: where the parameters live; None means torch's default.
        dtype: type of the parameters; None means torch's default.

    Raises:
        ValueError: there is no such gate; the message has the name, and those that there are.

    Problem: gated_ffn
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        gate: str,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.gate = _gate(gate)
        self.w1 = Linear(d_model, d_ff, device, dtype)
        self.w2 = Linear(d_ff, d_model, device, dtype)
        self.w3 = Linear(d_model, d_ff, device, dtype)

    def forward(self, x: Float[Tensor, " ... d_model"]) -> Float[Tensor, " ... d_model"]:
        """Apply the network to every position of `x` on its own."""
        return self.w2(self.gate(self.w1(x)) * self.w3(x))


def gated_d_ff(plain_d_ff: int, multiple_of: int = 1) -> int:
    """The hidden size with which a gated network has about as many parameters as a plain one of `plain_d_ff`.

    Three matrices instead of two: two thirds of `plain_d_ff`, rounded down to an integer, and from there up to the next
    multiple of `multiple_of`, since GPUs like round sizes. Llama 7B: 4 * 4096 as a multiple of 256 gives 11008.

    Raises:
        ValueError: either number is below 1; the message has it.

    Problem: gated_ffn
    """
    for name, value in (("plain_d_ff", plain_d_ff), ("multiple_of", multiple_of)):
        if value < 1:
            raise ValueError(f"{name} is {value}, and must be at least 1.")
    return -(-(2 * plain_d_ff // 3) // multiple_of) * multiple_of


def _gate(name: str) -> Activation:
    gates: dict[str, Activation] = {
        "glu": torch.sigmoid,
        "bilinear": _identity,
        "reglu": relu,
        "geglu": gelu,
        "swiglu": silu,
    }
    if name not in gates:
        raise ValueError(f"no gate is called {name!r}; there are {', '.join(GATES)}.")
    return gates[name]


def _identity(x: Tensor) -> Tensor:
    return x
