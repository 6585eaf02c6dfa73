"""The reference's decoding, against an enumeration of all sets of tokens and of all sequences."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from grader.checks.frequencies import check_frequencies
from grader.reference.decoding import generate, next_token_probabilities


def smallest_set(q: list[float], top_p: float) -> tuple[int, ...]:
    """Among all sets of tokens with a mass of at least top_p, the smallest, and of those the heaviest."""
    subsets = [s for size in range(1, len(q) + 1) for s in itertools.combinations(range(len(q)), size)]
    enough = [s for s in subsets if sum(q[i] for i in s) >= top_p]
    return min(enough, key=lambda s: (len(s), -sum(q[i] for i in s)))


@pytest.mark.parametrize("top_p", [0.1, 0.37, 0.5, 0.81, 0.99])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_nucleus_is_the_smallest_of_all_sets(temperature, top_p):
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        logits = torch.randn(7, generator=generator, dtype=torch.float64)
        q = torch.softmax(logits / temperature, -1)
        kept = list(smallest_set(q.tolist(), top_p))
        expected = torch.zeros(7, dtype=torch.float64)
        expected[kept] = q[kept] / q[kept].sum()
        torch.testing.assert_close(next_token_probabilities(logits, temperature, top_p), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.0, 1e-30, 1.0])
def test_result_is_a_distribution_in_float32_at_least(dtype, temperature):
    logits = (30 * torch.randn(4, 50_000)).to(dtype)
    probabilities = next_token_probabilities(logits, temperature, top_p=0.9)
    assert probabilities.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(4, dtype=probabilities.dtype))


class Chain(nn.Module):
    """A model whose next token depends on the last two; it has no parameters, and counts its calls."""

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        self.table = table
        self.dropout = nn.Dropout(0.5)
        self.calls = 0

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        before = torch.cat([torch.zeros_like(token_ids[:, :1]), token_ids[:, :-1]], dim=1)
        return self.dropout(self.table[before, token_ids])


def test_sequences_have_the_probability_of_their_tokens_product():
    """All 27 sequences of three tokens, with the probabilities that the chain rule gives them."""
    table = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(3)) / 2
    p = torch.softmax(table.double() / 0.9, -1)
    sequences = list(itertools.product(range(3), repeat=3))
    expected = torch.tensor([[p[1, 2, a] * p[2, a, b] * p[a, b, c] for a, b, c in sequences]], dtype=torch.float64)
    drawn = generate(Chain(table), [[1, 2]] * 20_000, 3, temperature=0.9, generator=torch.Generator().manual_seed(4))
    places = torch.tensor([9 * a + 3 * b + c for a, b, c in drawn])
    check_frequencies(torch.bincount(places, minlength=27)[None], expected, "sequence {j}")


def test_ends_when_all_sequences_have_ended():
    table = torch.zeros(3, 3, 3)
    table[..., 2] = 100
    model = Chain(table)
    assert generate(model, [[0], [1, 1]], 50, stop_token=2) == [[2], [2]]
    assert model.calls == 1


def test_modes_of_all_modules_are_restored_also_after_an_error():
    class Failing(Chain):
        def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("out of memory")

    for kind in (Chain, Failing):
        model = kind(torch.zeros(3, 3, 3)).train()
        model.dropout.eval()
        try:
            generate(model, [[0]], 2)
        except RuntimeError:
            assert kind is Failing
        assert (model.training, model.dropout.training) == (True, False)


def test_nothing_to_do():
    model = Chain(torch.zeros(3, 3, 3))
    assert generate(model, [], 5) == []
    assert generate(model, [[1], [2]], 0) == [[], []]
    with pytest.raises(ValueError, match="A prompt is empty"):
        generate(model, [[1], []], 5)
