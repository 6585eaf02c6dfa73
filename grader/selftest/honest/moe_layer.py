"""A mixture of experts and its losses, written in other ways."""

from __future__ import annotations

import torch

from grader.misconceptions.catalogue import Variant
from grader.reference.architecture.routing import drop_over_capacity, expert_capacity, top_k_gates

NAME = "architecture.mixture.MixtureOfExperts.forward"


def _gates(self, x):
    logits = self.router(x)
    gates = top_k_gates(logits, self.top_k, self.renormalise)
    if self.capacity_factor is not None:
        room = expert_capacity(x.shape[-2], logits.shape[-1], self.top_k, self.capacity_factor)
        gates = drop_over_capacity(gates, room)
    return gates


def _all_experts(self, x):
    """Every expert computes every token, and most of it counts 0."""
    outputs = torch.stack([expert(x) for expert in self.experts], dim=-1)
    y = torch.einsum("...de,...e->...d", outputs, _gates(self, x))
    return y if self.shared is None else y + self.shared(x)


def _index_add(self, x):
    """As Mixtral has it: tokens in one row, and each expert adds to its own."""
    flat, gates = x.flatten(0, -2), _gates(self, x).flatten(0, -2)
    y = torch.zeros_like(flat)
    for e in gates.sum(0).nonzero().flatten().tolist():
        tokens = gates[:, e].nonzero().flatten()
        y = y.index_add(0, tokens, self.experts[e](flat[tokens]) * gates[tokens, e, None])
    if self.shared is not None:
        y = y + self.shared(flat)
    return y.unflatten(0, x.shape[:-1])


def _token_by_token(self, x):
    rows = []
    gates = _gates(self, x).flatten(0, -2)
    for token, row in zip(x.flatten(0, -2), gates, strict=True):
        parts = [row[e] * self.experts[e](token) for e in row.nonzero().flatten().tolist()]
        if self.shared is not None:
            parts.append(self.shared(token))
        rows.append(sum(parts, torch.zeros_like(token)))
    return torch.stack(rows).reshape(x.shape)


def _balance_as_mixtral(logits, top_k):
    """One-hot rows, and top_k taken out at the end."""
    experts = logits.shape[-1]
    if not 0 < top_k <= experts:
        raise ValueError(f"top_k={top_k} for {experts} experts")
    rows = logits.reshape(-1, experts)
    probabilities = rows.exp() / rows.exp().sum(-1, keepdim=True)
    picked = torch.topk(probabilities, top_k, dim=-1)[1]
    mask = (picked[..., None] == torch.arange(experts)).to(rows.dtype)
    per_expert = mask.mean(0)
    return (per_expert * probabilities.mean(0)).sum() * experts / top_k


def _balance_by_counts(logits, top_k):
    """Bincount over all choices, per cent of them."""
    experts = logits.shape[-1]
    picked = logits.topk(top_k, dim=-1).indices.flatten()
    shares = torch.bincount(picked, minlength=experts) / picked.numel()
    mean = torch.softmax(logits, dim=-1).flatten(0, -2).mean(0)
    return experts * torch.dot(shares.to(mean.dtype), mean)


def _router_z(logits):
    return logits.logsumexp(-1).pow(2).mean()


def _mixture(id, **replaces):
    return Variant(id, "moe_layer", {f"architecture.mixture.{name}": f for name, f in replaces.items()})


VARIANTS = (
    Variant("all-experts", "moe_layer", {NAME: _all_experts}),
    Variant("index-add", "moe_layer", {NAME: _index_add}),
    Variant("token-by-token", "moe_layer", {NAME: _token_by_token}),
    _mixture("balance-as-mixtral", load_balance_loss=_balance_as_mixtral, router_z_loss=_router_z),
    _mixture("balance-by-counts", load_balance_loss=_balance_by_counts),
)
