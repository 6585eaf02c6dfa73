"""Blocks with norms in four places, written in other ways."""

from __future__ import annotations

from torch import nn

from grader.misconceptions.catalogue import Variant
from grader.reference.attention import CausalMultiHeadSelfAttention
from grader.reference.layers import RMSNorm, SwiGLU


def _one_formula(self, x):
    """Every placement has a norm before, behind and on the sum, most of which do nothing."""
    for branch, norm, out in ((self.attn, "ln1", "ln1_out"), (self.ffn, "ln2", "ln2_out")):
        ln = getattr(self, norm)
        added = branch(ln(x) if self.placement in ("pre", "double") else x)
        if self.placement in ("branch", "double"):
            added = (ln if self.placement == "branch" else getattr(self, out))(added)
        x = x + added
        if self.placement == "post":
            x = ln(x)
    return x


class _Sublayer(nn.Module):
    """One branch with its norms."""

    def __init__(self, branch, placement, d_model):
        super().__init__()
        self.branch, self.placement = branch, placement
        self.norm, self.out = RMSNorm(d_model), RMSNorm(d_model)

    def forward(self, x):
        match self.placement:
            case "pre":
                return x + self.branch(self.norm(x))
            case "post":
                return self.norm(x + self.branch(x))
            case "branch":
                return x + self.norm(self.branch(x))
            case "double":
                return x + self.out(self.branch(self.norm(x)))
        raise ValueError(f"placement: {self.placement}")


def _in_sublayers(d_model, num_heads, d_ff, max_seq_len, theta, placement, weights, in_features):
    attention = CausalMultiHeadSelfAttention(d_model, num_heads, max_seq_len, theta)
    network = SwiGLU(d_model, d_ff)
    for module, prefix in ((attention, "attn."), (network, "ffn.")):
        module.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
    x = in_features
    for branch, name in ((attention, "ln1"), (network, "ln2")):
        layer = _Sublayer(branch, placement, d_model)
        layer.norm.load_state_dict({"weight": weights[f"{name}.weight"]})
        if placement == "double":
            layer.out.load_state_dict({"weight": weights[f"{name}_out.weight"]})
        x = layer.to(x.dtype)(x)
    return x


VARIANTS = (
    Variant("one-formula", "norm_placement", {"architecture.blocks.NormPlacementBlock.forward": _one_formula}),
    Variant("in-sublayers", "norm_placement", {"adapters.run_norm_placement_block": _in_sublayers}),
)
