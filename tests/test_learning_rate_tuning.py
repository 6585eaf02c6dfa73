"""The toy problem of the assignment with three learning rates: what `answers.toml` says happens, happens."""

import math

import pytest
import torch

WORDS = ("faster", "slower", "diverges")


def losses(lr: float, seed: int, iterations: int = 10) -> list[float]:
    """Mean of the squares of 10 x 10 weights, minimised by SGD with a rate that falls as lr / sqrt(t + 1)."""
    weights = 5 * torch.randn(10, 10, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    seen = []
    for t in range(iterations):
        seen.append(float((weights**2).mean()))
        weights = weights - lr / math.sqrt(t + 1) * 2 * weights / weights.numel()
    return seen


def what_happens(lr: float) -> str:
    """The loss of 10 iterations in one of three words, compared with a rate of 1."""
    first, *_, last = losses(lr, seed=0)
    if last > first:
        return "diverges"
    return "faster" if last < losses(1.0, seed=0)[-1] else "slower"


@pytest.mark.decisive
def test_rate_of_ten(answers):
    """With a learning rate of 1e1, the loss does what the answer says.

    Asked: problem learning_rate_tuning, the rate 1e1.
    """
    check(answers, "lr_1e1", 1e1)


@pytest.mark.decisive
def test_rate_of_a_hundred(answers):
    """With a learning rate of 1e2, the loss does what the answer says.

    Asked: problem learning_rate_tuning, the rate 1e2.
    """
    check(answers, "lr_1e2", 1e2)


@pytest.mark.decisive
def test_rate_of_a_thousand(answers, for_staff):
    """With a learning rate of 1e3, the loss does what the answer says.

    Asked: problem learning_rate_tuning, the rate 1e3.
    """
    answers.pass_on(for_staff, "explanation")
    check(answers, "lr_1e3", 1e3)


def test_how_fast(answers):
    """With a learning rate of 1e1, the loss falls by the factor that the answer gives.

    Asked: problem learning_rate_tuning: what happens to the loss.
    """
    given = answers.number("last_over_first_1e1")
    # After nine steps, which the tenth loss shows, or after ten, for those who look once more.
    measured = [losses(1e1, seed=0, iterations=n)[-1] / losses(1e1, seed=0)[0] for n in (10, 11)]
    close = any(abs(given - ratio) <= 0.02 * ratio for ratio in measured)
    assert close, f"the last loss is not {given:g} of the first; whatever the first weights, the ratio is the same"


def check(answers, key: str, lr: float) -> None:
    given = answers.choice(key, WORDS)
    assert given == what_happens(lr), f"{key}: it is not {given!r}; print the ten losses beside those of lr = 1"
