"""Soft-cap, z-loss, smoothed labels and tied embeddings, written in other ways."""

from __future__ import annotations

import math

import torch

from grader.misconceptions.catalogue import Variant


def _by_exponentials(x, cap):
    """tanh(z) = 2 sigmoid(2 z) - 1."""
    if cap <= 0:
        raise ValueError(f"a cap of {cap} makes no sense")
    return cap * (2 * torch.sigmoid(2 * x / cap) - 1)


def _with_an_added_mask(Q, K, V, mask, cap):
    if cap <= 0:
        raise ValueError(f"a cap of {cap} makes no sense")
    scores = torch.einsum("...qd,...kd->...qk", Q, K) * Q.shape[-1] ** -0.5
    scores = scores.div(cap).tanh().mul(cap)
    if mask is not None:
        scores = scores + torch.zeros(mask.shape, dtype=scores.dtype).masked_fill(~mask, -math.inf)
    return torch.softmax(scores, -1) @ V


def _by_logsumexp(logits, coefficient=1e-4):
    if coefficient < 0:
        raise ValueError(f"coefficient {coefficient} < 0")
    return coefficient * (torch.logsumexp(logits, dim=-1) ** 2).mean()


def _by_distribution(logits, targets, smoothing):
    """The whole distribution of the labels, and its cross-entropy."""
    if smoothing < 0 or smoothing >= 1:
        raise ValueError(f"smoothing={smoothing}")
    classes = logits.shape[-1]
    q = torch.full_like(logits, smoothing / classes).scatter_add(
        -1, targets[..., None], torch.full_like(logits[..., :1], 1 - smoothing)
    )
    return -(q * (logits - logits.logsumexp(-1, keepdim=True))).sum(-1).mean()


def _by_one_hot(self, token_ids):
    """A product with rows that are one in one place."""
    hot = (token_ids[..., None] == torch.arange(self.weight.shape[0])).to(self.weight.dtype)
    return hot @ (self.weight * self.scale)


def _head_by_einsum(self, x):
    return torch.einsum("...d,vd->...v", x, self.weight)


def _table_in_adapter(vocab_size, d_model, scaled, weight, token_ids):
    """No module: the adapter does it all."""
    rows = weight[token_ids]
    return rows * d_model**0.5 if scaled else rows


def _gradient_by_backward(vocab_size, d_model, scaled, weight, token_ids, targets):
    leaf = weight.clone().requires_grad_()
    hidden = leaf[token_ids] * (d_model**0.5 if scaled else 1)
    rows = hidden @ leaf.T
    (rows.logsumexp(-1) - rows.gather(-1, targets[..., None])[..., 0]).mean().backward()
    return leaf.grad


def _stability(id, **replaces):
    return Variant(id, "stability", {f"architecture.stability.{name}": f for name, f in replaces.items()})


VARIANTS = (
    _stability("cap-by-exponentials", soft_cap=_by_exponentials),
    _stability("added-mask", soft_cap_attention=_with_an_added_mask),
    _stability("z-loss-by-logsumexp", z_loss=_by_logsumexp),
    _stability("whole-distribution", smoothed_cross_entropy=_by_distribution),
    Variant(
        "one-hot-products",
        "stability",
        {
            "architecture.stability.TiedEmbedding.forward": _by_one_hot,
            "architecture.stability.TiedEmbedding.logits": _head_by_einsum,
        },
    ),
    Variant(
        "tied-in-adapters",
        "stability",
        {"adapters.run_tied_embedding": _table_in_adapter, "adapters.run_tied_gradient": _gradient_by_backward},
    ),
)
