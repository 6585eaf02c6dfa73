"""The layers that look at one position at a time: Linear, Embedding, RMSNorm, SiLU and the feed-forward networks.

All weights are initialised from a normal distribution with mean 0, truncated at three standard deviations (Linear:
variance 2 / (d_in + d_out); Embedding: variance 1). The gains of RMSNorm start at 1. No layer has a bias.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Linear(nn.Module):
    """A linear map without bias: y = W x.

    The parameter `weight` has shape [out_features, in_features]. It is initialised from a normal distribution with
    mean 0 and variance 2 / (in_features + out_features), truncated to [-3 sigma, 3 sigma] (Glorot and Bengio,
    2010).

    Args:
        in_features: size of the last dimension of the input.
        out_features: size of the last dimension of the output.
        device: where the parameter lives; None means torch's default.
        dtype: type of the parameter; None means torch's default.

    Problem: linear
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        std = (2 / (in_features + out_features)) ** 0.5
        self.weight = _truncated_normal((out_features, in_features), std, device, dtype)

    def forward(self, x: Float[Tensor, " ... d_in"]) -> Float[Tensor, " ... d_out"]:
        """Multiply the last dimension of `x` by the weight; `x` may have any number of leading dimensions."""
        return x @ self.weight.T


class Embedding(nn.Module):
    """A table with one vector of size `embedding_dim` per token id.

    The parameter `weight` has shape [num_embeddings, embedding_dim]. It is initialised from a normal distribution
    with mean 0 and variance 1, truncated to [-3, 3].

    Args:
        num_embeddings: size of the vocabulary.
        embedding_dim: size of each vector, d_model.
        device: where the parameter lives; None means torch's default.
        dtype: type of the parameter; None means torch's default.

    Problem: embedding
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.weight = _truncated_normal((num_embeddings, embedding_dim), 1.0, device, dtype)

    def forward(self, token_ids: Int[Tensor, " ..."]) -> Float[Tensor, " ... d_model"]:
        """Look up the vector of every token id; `token_ids` is an int64 tensor of any shape.

        An id of num_embeddings or more raises IndexError.
        """
        return self.weight[token_ids]


class RMSNorm(nn.Module):
    """Root mean square layer normalisation (Zhang and Sennrich, 2019), over the last dimension:

        RMSNorm(a)_i = a_i / RMS(a) * g_i        RMS(a) = sqrt(mean_i(a_i^2) + eps)

    The parameter `weight` is the gain g, of shape [d_model]; it starts at 1. Squares of float16 numbers overflow, so
    compute in float32 for float16 and bfloat16 inputs (in float64 for float64 inputs).

    Args:
        d_model: size of the last dimension of the input.
        eps: keeps the root away from zero.
        device: where the parameter lives; None means torch's default.
        dtype: type of the parameter; None means torch's default.

    Problem: rmsnorm
    """

    def __init__(
        self,
        d_model: int,
        eps: float = 1e-5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model, device=device, dtype=dtype))

    def forward(self, x: Float[Tensor, " ... d_model"]) -> Float[Tensor, " ... d_model"]:
        """Normalise every vector of `x`; the result has the shape and dtype of `x`."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        inverse_rms = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.eps)
        return (wide * inverse_rms * self.weight).to(x.dtype)


def silu(x: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
    """SiLU, also called Swish, element by element: silu(x) = x * sigmoid(x) = x / (1 + e^-x).

    The result is finite for every finite input: large negative numbers give 0, not an overflow. It has the shape and
    dtype of `x`.

    Problem: positionwise_feedforward
    """
    return x * torch.sigmoid(x)


class SwiGLU(nn.Module):
    """The position-wise feed-forward network with a gated SiLU (Shazeer, 2020, section 2):

        SwiGLU(x) = W2 (silu(W1 x) * W3 x)        * multiplies element by element

    The submodules `w1` and `w3` are Linear layers from d_model to d_ff; `w2` goes from d_ff to d_model. In a
    Transformer, d_ff is about 8/3 d_model, rounded to a multiple of 64.

    Args:
        d_model: size of the last dimension of input and output.
        d_ff: size of the hidden dimension.
        device: where the parameters live; None means torch's default.
        dtype: type of the parameters; None means torch's default.

    Problem: positionwise_feedforward
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.w1 = Linear(d_model, d_ff, device, dtype)
        self.w2 = Linear(d_ff, d_model, device, dtype)
        self.w3 = Linear(d_model, d_ff, device, dtype)

    def forward(self, x: Float[Tensor, " ... d_model"]) -> Float[Tensor, " ... d_model"]:
        """Apply the network to every position of `x` on its own."""
        return self.w2(silu(self.w1(x)) * self.w3(x))


class SiLUFeedForward(nn.Module):
    """The position-wise feed-forward network without a gate, for comparison with SwiGLU:

        FFN(x) = W2 silu(W1 x)

    The submodules `w1` and `w2` are Linear layers, from d_model to d_ff and back. There are two matrices instead of
    SwiGLU's three; to compare both at equal size, use d_ff = 4 d_model.

    Args:
        d_model: size of the last dimension of input and output.
        d_ff: size of the hidden dimension.
        device: where the parameters live; None means torch's default.
        dtype: type of the parameters; None means torch's default.

    Problem: swiglu_ablation
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.w1 = Linear(d_model, d_ff, device, dtype)
        self.w2 = Linear(d_ff, d_model, device, dtype)

    def forward(self, x: Float[Tensor, " ... d_model"]) -> Float[Tensor, " ... d_model"]:
        """Apply the network to every position of `x` on its own."""
        return self.w2(silu(self.w1(x)))


def _truncated_normal(
    shape: tuple[int, int], std: float, device: torch.device | str | None, dtype: torch.dtype | None
) -> nn.Parameter:
    weight = torch.empty(shape, device=device, dtype=dtype)
    return nn.Parameter(nn.init.trunc_normal_(weight, std=std, a=-3 * std, b=3 * std))
