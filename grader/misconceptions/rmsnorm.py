"""How RMSNorm goes wrong."""

from __future__ import annotations

import torch

from .catalogue import Misconception


def _eps_outside(self, x):
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide / (wide.square().mean(-1, keepdim=True).sqrt() + self.eps) * self.weight).to(x.dtype)


def _subtracts_mean(self, x):
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    wide = wide - wide.mean(-1, keepdim=True)
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps) * self.weight).to(x.dtype)


MISCONCEPTIONS = (
    Misconception(
        id="rmsnorm-eps-outside-root",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _eps_outside},
        diagnosis="Your RMSNorm adds eps to the root of the mean square, not to the mean square itself.",
        hint="Feed it a vector of values around 0.001: is the result what the formula gives?",
        frequency="common",
    ),
    Misconception(
        id="rmsnorm-subtracts-mean",
        problem="rmsnorm",
        replaces={"layers.RMSNorm.forward": _subtracts_mean},
        diagnosis="Your RMSNorm subtracts the mean before it normalises, as LayerNorm does.",
        hint="Add 7 to every element of an input: should the output stay the same?",
        frequency="occasional",
    ),
)
