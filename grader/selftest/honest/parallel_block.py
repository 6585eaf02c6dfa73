"""Blocks with branches side by side, written in other ways."""

from __future__ import annotations

import torch

from grader.misconceptions.catalogue import Variant
from grader.reference.attention import CausalMultiHeadSelfAttention
from grader.reference.layers import RMSNorm, SwiGLU


def _branches_first(self, x):
    norms = [self.ln1, self.ln1 if self.ln2 is None else self.ln2]
    branches = (branch(norm(x)) for branch, norm in zip((self.attn, self.ffn), norms, strict=True))
    return torch.stack([x, *branches]).sum(0)


def _two_equal_norms(d_model, num_heads, d_ff, max_seq_len, theta, shared_norm, weights, in_features):
    """A shared norm is two norms with one gain."""
    attention = CausalMultiHeadSelfAttention(d_model, num_heads, max_seq_len, theta)
    network = SwiGLU(d_model, d_ff)
    for module, prefix in ((attention, "attn."), (network, "ffn.")):
        module.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
    first, second = RMSNorm(d_model), RMSNorm(d_model)
    first.load_state_dict({"weight": weights["ln1.weight"]})
    second.load_state_dict({"weight": weights["ln1.weight" if shared_norm else "ln2.weight"]})
    for one in (attention, network, first, second):
        one.to(in_features.dtype)
    return network(second(in_features)) + (attention(first(in_features)) + in_features)


VARIANTS = (
    Variant("branches-first", "parallel_block", {"architecture.blocks.ParallelBlock.forward": _branches_first}),
    Variant("two-equal-norms", "parallel_block", {"adapters.run_parallel_block": _two_equal_norms}),
)
