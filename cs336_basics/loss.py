"""The training objective: cross-entropy of the next token."""

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
    raise NotImplementedError("cross_entropy: write cross_entropy in cs336_basics/loss.py")
