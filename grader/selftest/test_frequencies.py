"""The chi-square test that judges samplers: how often it refuses a right one, and whether it notices wrong ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from grader.checks.frequencies import LIMIT, SMALLEST_EXPECTED_COUNT, chance, check_frequencies

CHECKS_PER_GRADE = 7  # those of test_decoding.py: four tables of frequencies, three of pairs


def false_alarm_rate(draws: int, probability: float) -> float:
    """The exact probability that a right sampler with two outcomes is refused."""
    log_mass = [
        math.lgamma(draws + 1)
        - math.lgamma(k + 1)
        - math.lgamma(draws - k + 1)
        + k * math.log(probability)
        + (draws - k) * math.log1p(-probability)
        for k in range(draws + 1)
    ]
    expected = torch.tensor([[probability, 1 - probability]], dtype=torch.float64)
    refused = [chance(torch.tensor([[k, draws - k]]), expected) <= LIMIT for k in range(draws + 1)]
    return sum(math.exp(mass) for mass, bad in zip(log_mass, refused, strict=True) if bad)


@pytest.mark.parametrize("probability", [0.5, 0.2, 0.05, 0.02])
def test_a_right_sampler_is_refused_less_than_once_in_a_million_grades(probability):
    """At the smallest counts that are let in, where the chi-square distribution is furthest from the truth."""
    draws = round(SMALLEST_EXPECTED_COUNT / probability)
    assert CHECKS_PER_GRADE * false_alarm_rate(draws, probability) < 1e-6


def test_chances_are_uniform_for_a_right_sampler():
    """Where both can be compared, in the middle, the chi-square distribution is the right one."""
    random = np.random.default_rng(0)
    rows = np.array([[0.4, 0.3, 0.2, 0.06, 0.04], [0.64, 0.36, 0.0, 0.0, 0.0]])
    chances = np.array(
        [
            chance(torch.from_numpy(np.stack([random.multinomial(2500, row) for row in rows])), torch.from_numpy(rows))
            for _ in range(2000)
        ]
    )
    for quantile in (0.01, 0.1, 0.5, 0.9):
        spread = 5 * math.sqrt(quantile * (1 - quantile) / len(chances))
        assert abs((chances < quantile).mean() - quantile) < spread


def test_a_slightly_wrong_sampler_is_refused():
    random = np.random.default_rng(0)
    right = torch.tensor([[0.4, 0.3, 0.2, 0.1]], dtype=torch.float64)
    counts = torch.from_numpy(random.multinomial(12_288, [0.43, 0.29, 0.19, 0.09]))[None]
    with pytest.raises(AssertionError, match="token 0 should come about 4915 times in 12288 draws and came"):
        check_frequencies(counts, right, "token {j}")


def test_the_impossible_is_refused_whatever_its_number():
    probabilities = torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64)
    check_frequencies(torch.tensor([[500, 500, 0]]), probabilities, "token {j}")
    with pytest.raises(AssertionError, match="token 2 has probability 0 and came 1 times"):
        check_frequencies(torch.tensor([[500, 499, 1]]), probabilities, "token {j}")


def test_too_few_draws_are_refused():
    with pytest.raises(AssertionError, match="there were only 20 draws"):
        check_frequencies(torch.tensor([[10, 10]]), torch.tensor([[0.5, 0.5]]), "token {j}")
