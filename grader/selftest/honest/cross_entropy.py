"""Cross-entropy, right and written differently."""

from __future__ import annotations

import einops
import torch

from grader.misconceptions.catalogue import Variant


def _logsumexp(logits, targets):
    picked = torch.gather(logits, -1, targets[..., None])[..., 0]
    return torch.mean(torch.logsumexp(logits, dim=-1) - picked)


def _maximum_added_back(logits, targets):
    """The maximum comes back after the logarithm: numbers near 1e4 lose digits here."""
    top = torch.max(logits, dim=-1, keepdim=True).values
    lse = top.squeeze(-1) + torch.log(torch.sum(torch.exp(logits - top), dim=-1))
    return (lse - logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)).mean()


def _log_softmax_flattened(logits, targets):
    rows = einops.rearrange(logits, "... vocab -> (...) vocab")
    flat = einops.rearrange(targets, "... -> (...)")
    rows = rows - rows.max(dim=-1, keepdim=True)[0]
    log_probs = rows - torch.log(rows.exp().sum(dim=-1, keepdim=True))
    return -log_probs[torch.arange(flat.numel()), flat].mean()


def _one_hot(logits, targets):
    log_probs = torch.log_softmax(logits, dim=-1)
    hot = (targets.unsqueeze(-1) == torch.arange(logits.shape[-1])).to(logits.dtype)
    return -(hot * log_probs).sum() / targets.numel()


def _row_by_row(logits, targets):
    total = logits.new_zeros(())
    for row, target in zip(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), strict=True):
        shifted = row - row.max()
        total = total + shifted.exp().sum().log() - shifted[target]
    return total / targets.numel()


def _in_float64(logits, targets):
    wide = logits.double()
    return torch.nn.functional.cross_entropy(wide.flatten(0, -2), targets.flatten()).to(logits.dtype)


def _in_float32(logits, targets):
    """A loss in float32, whatever the dtype of the logits, as PyTorch's own gives under autocast."""
    return _logsumexp(logits.float(), targets)


def _by_identity(logits, targets):
    """Rows of an identity matrix as one-hot vectors, which takes memory for the square of the vocabulary."""
    log_probs = torch.log_softmax(logits, dim=-1)
    return -(torch.eye(logits.shape[-1])[targets] * log_probs).sum(-1).mean()


def _of_each_batch(logits, targets):
    """The mean over the batch and over a sequence, and so one for each of several batches."""
    picked = torch.gather(logits, -1, targets[..., None])[..., 0]
    return (torch.logsumexp(logits, dim=-1) - picked).mean(tuple(range(-min(2, targets.ndim), 0)))


VARIANTS = tuple(
    Variant(
        f"cross-entropy-{function.__name__.strip('_').replace('_', '-')}",
        "cross_entropy",
        {"loss.cross_entropy": function},
    )
    for function in (
        _logsumexp,
        _maximum_added_back,
        _log_softmax_flattened,
        _one_hot,
        _row_by_row,
        _in_float64,
        _in_float32,
        _by_identity,
        _of_each_batch,
    )
)
