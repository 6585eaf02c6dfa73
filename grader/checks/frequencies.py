"""Do counts come from the probabilities that they should come from? Pearson's chi-square test, with a fixed verdict.

A right sampler is refused less than once in ten million checks. The limit is set at a thousand-millionth of the
chi-square distribution, further out than that, since the counts' true distribution has heavier tails than its limit:
`grader/selftest/test_frequencies.py` works out how much heavier at the smallest counts that are let in.
"""

from __future__ import annotations

import torch

LIMIT = 1e-9
"""Counts are refused when the chi-square distribution gives no more than this to a deviation of their size."""

SMALLEST_EXPECTED_COUNT = 50


def check_frequencies(counts: torch.Tensor, probabilities: torch.Tensor, what: str) -> None:
    """Raise AssertionError unless each row of counts can come from the row of probabilities beside it.

    Args:
        counts: [rows, outcomes], how often each outcome came.
        probabilities: the same shape; each row adds up to 1. What has probability 0 may not come at all.
        what: names outcome `j` of row `i` in messages, such as "token {j} after token {i}".
    """
    totals = counts.sum(-1, keepdim=True)
    expected = probabilities.double() * totals
    for i, j in ((counts > 0) & (probabilities == 0)).nonzero().tolist():
        raise AssertionError(f"{what.format(i=i, j=j)} has probability 0 and came {int(counts[i, j])} times")
    possible = probabilities > 0
    for i, j in (possible & (expected < SMALLEST_EXPECTED_COUNT)).nonzero().tolist():
        raise AssertionError(
            f"there were only {int(totals[i])} draws in which {what.format(i=i, j=j)} could have come, too few of all "
            f"{int(totals.sum())} for a right sampler"
        )
    if chance(counts, probabilities) > LIMIT:
        return
    deviation = torch.where(possible, (counts - expected) / expected.clamp(min=1).sqrt(), 0)
    i, j = divmod(int(deviation.abs().argmax()), counts.shape[1])
    raise AssertionError(
        f"the frequencies of {int(totals.sum())} draws are not what they should be; the strangest: "
        f"{what.format(i=i, j=j)} should come about {expected[i, j]:.0f} times in {int(totals[i])} draws and came "
        f"{int(counts[i, j])} times"
    )


def chance(counts: torch.Tensor, probabilities: torch.Tensor) -> float:
    """What the chi-square distribution gives to a deviation at least as large as that of these counts."""
    possible = probabilities > 0
    expected = probabilities.double() * counts.sum(-1, keepdim=True)
    statistic = torch.where(possible, (counts - expected) ** 2 / expected, 0.0).sum()
    freedom = possible.sum() - len(counts)
    return torch.special.gammaincc(freedom.double() / 2, statistic / 2).item()
