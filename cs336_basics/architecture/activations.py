"""Activation functions, element by element. Each result has the shape and dtype of `x`, and is finite where `x` is."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS = ("relu", "squared_relu", "gelu", "gelu_tanh", "swish", "elu", "selu")


def relu(x: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
    """ReLU: max(x, 0) (Nair and Hinton, 2010). The original Transformer, T5.

    Problem: activations
    """
    raise NotImplementedError("activations: write relu in cs336_basics/architecture/activations.py")


def squared_relu(x: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
    """Squared ReLU: max(x, 0)^2 (So et al., 2021, *Primer*). Nemotron-4, nanochat.

    Problem: activations
    """
    raise NotImplementedError("activations: write squared_relu in cs336_basics/architecture/activations.py")


def gelu(x: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
    """GELU: x Phi(x), with the distribution function of the standard normal distribution

        Phi(x) = (1 + erf(x / sqrt(2))) / 2

    (Hendrycks and Gimpel, 2016, section 2). Falcon, and the gates of ModernBERT.

    Problem: activations
    """
    raise NotImplementedError("activations: write gelu in cs336_basics/architecture/activations.py")


def gelu_tanh(x: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
    """GELU by its older approximation (Hendrycks and Gimpel, 2016, section 2), which differs in the fourth digit:

        x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))

    GPT-2 and GPT-J were trained with it, and so were the gates of Gemma.

    Problem: activations
    """
    raise NotImplementedError("activations: write gelu_tanh in cs336_basics/architecture/activations.py")


def swish(x: Float[Tensor, " ..."], beta: float = 1.0) -> Float[Tensor, " ..."]:
    """Swish: x sigmoid(beta x) (Ramachandran et al., 2017). With beta = 1 it is SiLU; for large beta it becomes ReLU.

    Problem: activations
    """
    raise NotImplementedError("activations: write swish in cs336_basics/architecture/activations.py")


def elu(x: Float[Tensor, " ..."], alpha: float = 1.0) -> Float[Tensor, " ..."]:
    """ELU: x where x > 0, else alpha (e^x - 1) (Clevert et al., 2015, equation 15).

    Its gradient is finite, too, also for an x of 200, of which e^x is not.

    Problem: activations
    """
    raise NotImplementedError("activations: write elu in cs336_basics/architecture/activations.py")


def selu(x: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
    """SELU: lambda times ELU with alpha (Klambauer et al., 2017, equation 2). With these constants, activations that
    have mean 0 and variance 1 keep them from layer to layer:

        lambda = 1.0507009873554804934193349852946        alpha = 1.6732632423543772848170429916717

    Problem: activations
    """
    raise NotImplementedError("activations: write selu in cs336_basics/architecture/activations.py")


def activation(name: str, beta: float = 1.0, alpha: float = 1.0) -> Activation:
    """The activation function of a name: one of ACTIVATIONS, each called as its function.

    Args:
        beta: of swish; the others have none.
        alpha: of elu; the others have none.

    Raises:
        ValueError: there is none of this name; the message has the name, and those that there are.

    Problem: activations
    """
    raise NotImplementedError("activations: write activation in cs336_basics/architecture/activations.py")
