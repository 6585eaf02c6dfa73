"""The routing of tokens to experts, written in other ways."""

from __future__ import annotations

import math

import torch

from grader.misconceptions.catalogue import Variant


def _softmax_of_the_best(logits, top_k, renormalise=True):
    """As Mixtral's first code has it: a softmax over the k largest logits."""
    experts = logits.shape[-1]
    if top_k < 1 or top_k > experts:
        raise ValueError(f"cannot take {top_k} of {experts}")
    values, indices = torch.topk(logits, top_k)
    weights = torch.softmax(values, -1) if renormalise else torch.softmax(logits, -1).gather(-1, indices)
    return torch.zeros_like(logits).scatter(-1, indices, weights)


def _by_sorting(logits, top_k, renormalise=True):
    """Everything but the first k of a stable sort becomes minus infinity."""
    if not 0 < top_k <= logits.shape[-1]:
        raise ValueError(f"top_k={top_k}, num_experts={logits.shape[-1]}")
    order = torch.argsort(logits, dim=-1, descending=True, stable=True)
    rank = torch.argsort(order, dim=-1)
    if renormalise:
        return torch.softmax(logits.masked_fill(rank >= top_k, -math.inf), dim=-1)
    return torch.where(rank < top_k, torch.softmax(logits, dim=-1), 0.0)


def _as_deepseek(logits, bias, top_k):
    if top_k < 1 or top_k > logits.shape[-1]:
        raise ValueError(f"cannot take {top_k} of {logits.shape[-1]}")
    scores = 1 / (1 + torch.exp(-logits))
    chosen = torch.topk(scores.detach() + bias, top_k, sorted=False)[1]
    weights = scores.gather(-1, chosen)
    weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
    return torch.zeros_like(scores).scatter_(-1, chosen, weights)


def _hash_loop(logits, token_ids, table):
    experts = logits.shape[-1]
    for expert in table.flatten().tolist():
        if not 0 <= expert < experts:
            raise ValueError(f"expert {expert} is none of {experts}")
    rows = []
    for row, token in zip(logits.reshape(-1, experts), token_ids.flatten().tolist(), strict=True):
        mine = table[token]
        rows.append(torch.zeros_like(row).scatter(0, mine, torch.softmax(row[mine], 0)))
    return torch.stack(rows).reshape(logits.shape)


def _by_integers(tokens, num_experts, top_k, capacity_factor):
    if capacity_factor <= 0:
        raise ValueError(f"capacity factor {capacity_factor}")
    return int(-(-(capacity_factor * top_k * tokens) // num_experts))


def _room_by_room(gates, capacity):
    """A loop over tokens that counts what each expert has taken."""
    if capacity <= 0:
        raise ValueError(f"capacity must be positive, not {capacity}")
    flat = gates.reshape(-1, *gates.shape[-2:])
    keep = torch.zeros_like(flat)
    for s, sequence in enumerate(flat.tolist()):
        taken = [0] * gates.shape[-1]
        for t, row in enumerate(sequence):
            for e, gate in enumerate(row):
                if gate > 0 and taken[e] < capacity:
                    taken[e] += 1
                    keep[s, t, e] = 1
    return gates * keep.reshape(gates.shape)


def _places_before(gates, capacity):
    """As Switch Transformers in Mesh TensorFlow: an exclusive sum of one-hot rows."""
    if capacity < 1:
        raise ValueError(f"capacity={capacity}")
    chosen = (gates != 0).long()
    before = chosen.cumsum(-2) - chosen
    return torch.where(before < capacity, gates, torch.zeros_like(gates))


def _routing(id, **replaces):
    return Variant(id, "moe_routing", {f"architecture.routing.{name}": f for name, f in replaces.items()})


VARIANTS = (
    _routing("softmax-of-the-best", top_k_gates=_softmax_of_the_best),
    _routing("ranks-by-sorting", top_k_gates=_by_sorting),
    _routing("as-deepseek", biased_gates=_as_deepseek),
    _routing("hash-loop", hash_gates=_hash_loop, expert_capacity=_by_integers),
    _routing("room-by-room", drop_over_capacity=_room_by_room),
    _routing("places-before", drop_over_capacity=_places_before),
)
