"""Normalisation as the models before Llama have it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LayerNorm(nn.Module):
    """Layer normalisation (Ba et al., 2016), over the last dimension:

        LayerNorm(a)_i = (a_i - mean(a)) / sqrt(var(a) + eps) * g_i + b_i

    var(a) is the mean of the squared differences from the mean: their sum over d_model, not over d_model - 1. The
    parameter `weight` is the gain g, which starts at 1, and `bias` is b, which starts at 0. Both have the shape
    [d_model], and each is None where it is left out. Compute in float32 for float16 and bfloat16 inputs (in float64 for
    float64 inputs), and take the mean away before you square: the difference of two large squares has no digits left.

    Args:
        d_model: size of the last dimension of the input.
        eps: keeps the root away from zero.
        gain: whether there is a gain.
        bias: whether there is a bias. Neither: as in OLMo; a gain alone: as in PaLM and Cohere.
        device: where the parameters live; None means torch's default.
        dtype: type of the parameters; None means torch's default.

    Problem: layernorm
    """

    def __init__(
        self,
        d_model: int,
        eps: float = 1e-5,
        gain: bool = True,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model, device=device, dtype=dtype)) if gain else None
        self.bias = nn.Parameter(torch.zeros(d_model, device=device, dtype=dtype)) if bias else None

    def forward(self, x: Float[Tensor, " ... d_model"]) -> Float[Tensor, " ... d_model"]:
        """Normalise every vector of `x`; the result has the shape and dtype of `x`."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        centred = wide - wide.mean(dim=-1, keepdim=True)
        result = centred * torch.rsqrt(centred.square().mean(dim=-1, keepdim=True) + self.eps)
        if self.weight is not None:
            result = result * self.weight
        if self.bias is not None:
            result = result + self.bias
        return result.to(x.dtype)
