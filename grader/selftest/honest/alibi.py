"""ALiBi, written in other ways."""

from __future__ import annotations

import math

import torch

from grader.misconceptions.catalogue import Variant
from grader.reference.architecture import positions


def _recursive(num_heads):
    """As its authors published it."""
    if num_heads < 1:
        raise ValueError(f"alibi needs heads, not {num_heads}")

    def of_power(n):
        start = 2 ** (-(2 ** -(math.log2(n) - 3)))
        return [start * start**i for i in range(n)]

    if math.log2(num_heads).is_integer():
        return torch.tensor(of_power(num_heads))
    lower = 2 ** math.floor(math.log2(num_heads))
    return torch.tensor(of_power(lower) + of_power(2 * lower)[0::2][: num_heads - lower])


def _by_key_index(Q, K, V):
    """The bias slope times j differs by slope times i in a row, which a softmax does not see: as in Bloom."""
    seq = Q.shape[-2]
    bias = positions.alibi_slopes(Q.shape[-3]).to(Q)[:, None, None] * torch.arange(seq).to(Q)
    scores = Q @ K.mT * Q.shape[-1] ** -0.5 + bias
    ahead = torch.full((seq, seq), float("-inf"), dtype=Q.dtype).triu(1)
    return torch.softmax(scores + ahead, -1) @ V


def _by_loop(Q, K, V):
    slopes = positions.alibi_slopes(Q.shape[-3]).tolist()
    rows = []
    for i in range(Q.shape[-2]):
        scores = (K[..., : i + 1, :] @ Q[..., i, :, None]).squeeze(-1) / math.sqrt(Q.shape[-1])
        far = torch.arange(i, -1, -1).to(Q)
        scores = scores - torch.tensor(slopes).to(Q)[:, None] * far
        rows.append((torch.softmax(scores, -1)[..., None, :] @ V[..., : i + 1, :]).squeeze(-2))
    return torch.stack(rows, -2)


VARIANTS = (
    Variant("slopes-as-published", "alibi", {"architecture.positions.alibi_slopes": _recursive}),
    Variant("by-key-index", "alibi", {"architecture.positions.alibi_attention": _by_key_index}),
    Variant("row-by-row", "alibi", {"architecture.positions.alibi_attention": _by_loop}),
)
