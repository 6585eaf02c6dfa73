"""The training objective: cross-entropy of the next token."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def cross_entropy(logits: Float[Tensor, " ... vocab_size"], targets: Int[Tensor, " ..."]) -> Float[Tensor, ""]:
    """Mean negative log-likelihood of the targets, in nats: the mean of -log softmax(logits)[target].

    Accurate for logits of any size: where the softmax would overflow, or round to 0 before its logarithm is
    taken.

    Args:
        logits: one row of unnormalised scores per prediction, with any number of leading dimensions.
        targets: the right class of each row, int64, from 0 to vocab_size - 1.

    Returns:
        A scalar, the mean over all leading dimensions. Half-precision logits are summed up in float32 and
        give a float32 loss; otherwise its dtype is that of the logits.

    Problem: cross_entropy
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    shifted = wide - wide.detach().amax(dim=-1, keepdim=True)
    target_logits = shifted.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return (shifted.exp().sum(dim=-1).log() - target_logits).mean()
