"""RMSNorm, written in other ways."""

from __future__ import annotations

import torch
from einops import einsum, reduce

from grader.misconceptions.catalogue import Variant
from grader.reference import layers


def _divides(self, x):
    wide = x.to(torch.float32)
    rms = torch.sqrt(torch.mean(wide**2, dim=-1, keepdim=True) + self.eps)
    return (wide / rms * self.weight).to(x.dtype)


def _gain_in_own_dtype(self, x):
    wide = x.to(torch.float32)
    normalised = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
    return normalised.to(x.dtype) * self.weight


def _sum_of_products(self, x):
    wide = x.float()
    mean_square = torch.einsum("...d,...d->...", wide, wide).unsqueeze(-1) / x.shape[-1]
    return (self.weight * wide * (mean_square + self.eps) ** -0.5).type_as(x)


def _einops(self, x):
    wide = x.double()
    scale = (reduce(wide.square(), "... d -> ... 1", "mean") + self.eps).rsqrt()
    return einsum(wide * scale, self.weight.double(), "... d, d -> ... d").to(x.dtype)


def _by_norm(self, x):
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    rms = torch.sqrt(torch.linalg.vector_norm(wide, dim=-1, keepdim=True) ** 2 / x.shape[-1] + self.eps)
    result = wide.clone()
    result /= rms
    result *= self.weight
    return result.to(x.dtype)


@torch.no_grad()
def _without_gradients(d_model, eps, weights, in_features):
    rmsnorm = layers.RMSNorm(d_model, eps)
    rmsnorm.weight.data = weights
    return rmsnorm(in_features)


def _batches_only(self, x):
    """A reading of the shapes that costs nothing: [batch, sequence, d] and no other."""
    wide = x.float()
    batch, seq, _ = x.shape
    inverse = torch.rsqrt(wide.square().mean(-1) + self.eps).view(batch, seq, 1)
    return (wide * inverse * self.weight).to(x.dtype)


VARIANTS = (
    Variant("rmsnorm-divides", "rmsnorm", {"layers.RMSNorm.forward": _divides}),
    Variant("rmsnorm-gain-in-own-dtype", "rmsnorm", {"layers.RMSNorm.forward": _gain_in_own_dtype}),
    Variant("rmsnorm-sum-of-products", "rmsnorm", {"layers.RMSNorm.forward": _sum_of_products}),
    Variant("rmsnorm-einops", "rmsnorm", {"layers.RMSNorm.forward": _einops}),
    Variant("rmsnorm-by-norm", "rmsnorm", {"layers.RMSNorm.forward": _by_norm}),
    Variant("rmsnorm-adapter-without-gradients", "rmsnorm", {"adapters.run_rmsnorm": _without_gradients}),
    Variant("rmsnorm-three-dimensions-only", "rmsnorm", {"layers.RMSNorm.forward": _batches_only}),
)
