"""LayerNorm, written in other ways."""

from __future__ import annotations

import torch

from grader.misconceptions.catalogue import Variant


def _affine(self, x):
    x = x if self.weight is None else x * self.weight
    return x if self.bias is None else x + self.bias


def _by_var(self, x):
    wide = x.float() if x.dtype != torch.float64 else x
    variance, mean = torch.var_mean(wide, dim=-1, keepdim=True, correction=0)
    return _affine(self, (wide - mean) / torch.sqrt(variance + self.eps)).to(x.dtype)


def _in_float64(self, x):
    wide = x.double()
    centred = wide - wide.sum(-1, keepdim=True) / x.shape[-1]
    return _affine(self, centred / (centred.pow(2).mean(-1, keepdim=True) + self.eps) ** 0.5).to(x.dtype)


def _rounded_before_gain(self, x):
    """The normalised value is rounded to the input's dtype before the gain, as in the port of OLMo."""
    wide = x.float() if x.dtype != torch.float64 else x
    centred = wide - wide.mean(-1, keepdim=True)
    return _affine(self, (centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype))


def _by_matrix(self, x):
    """Taking the mean away is a linear map."""
    width = x.shape[-1]
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    centring = torch.eye(width, dtype=wide.dtype) - torch.full((width, width), 1 / width, dtype=wide.dtype)
    centred = (wide - wide[..., :1]) @ centring
    scale = torch.linalg.vector_norm(centred, dim=-1, keepdim=True).square() / width
    return _affine(self, centred / torch.sqrt(scale + self.eps)).to(x.dtype)


def _in_adapter(d_model, eps, weight, bias, in_features):
    wide = in_features.double()
    centred = wide - wide.mean(-1, keepdim=True)
    result = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps)
    result = result * (1.0 if weight is None else weight.double()) + (0.0 if bias is None else bias.double())
    return result.to(in_features.dtype)


def _layernorm(name, forward):
    return Variant(f"layernorm-{name}", "layernorm", {"architecture.norms.LayerNorm.forward": forward})


VARIANTS = (
    _layernorm("by-var-mean", _by_var),
    _layernorm("in-float64", _in_float64),
    _layernorm("rounded-before-gain", _rounded_before_gain),
    _layernorm("by-matrix", _by_matrix),
    Variant("layernorm-in-adapter", "layernorm", {"adapters.run_layernorm": _in_adapter}),
)
