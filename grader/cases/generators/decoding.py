"""Cases for decoding: distributions of the next token, and greedy sequences from models made of tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from ..case import Case, Draw

_MARGIN = 1e-3
"""How far a nucleus' mass stays away from top_p, and the largest logit from the next: rounding decides nothing."""

Tables = dict[str, torch.Tensor]


def generate(draw: Draw) -> Iterator[Case]:
    yield from _distributions(draw)
    yield from _corners(draw)
    yield from _sequences(draw)


def _distributions(draw: Draw) -> Iterator[Case]:
    for name, temperature in (("one", 1.0), ("sharper", 0.5), ("flatter", 2.5), ("drawn", draw.number(0.3, 3))):
        yield _probabilities(name, draw.normal(3, 8, scale=2), "temperature", temperature=temperature)
    yield _probabilities("one_row", draw.normal(12), "temperature", temperature=0.7)

    for name, top_p in (("half", 0.5), ("most", 0.9), ("nearly_all", 0.97), ("drawn", draw.number(0.3, 0.95))):
        yield _probabilities(name, _apart(draw, (4, 10), 1.0, top_p), "nucleus", top_p=top_p)
    yield _probabilities("first_token_is_enough", _peaked(draw, 3, 9), "nucleus", top_p=0.6)
    yield _probabilities("long_tail", _apart(draw, (2, 60), 1.0, 0.8), "nucleus", top_p=0.8)

    for name, temperature, top_p in (("sharper", 0.5, 0.8), ("flatter", 2.0, 0.8), ("much_flatter", 5.0, 0.6)):
        logits = _order_matters(draw, (4, 8), temperature, top_p)
        yield _probabilities(name, logits, "temperature_and_nucleus", temperature=temperature, top_p=top_p)


def _corners(draw: Draw) -> Iterator[Case]:
    yield _probabilities("tiny", draw.normal(3, 9), "extremes", top_p=1e-6)
    yield _probabilities("below_the_largest", draw.normal(3, 9), "extremes", top_p=0.05)
    # In float32 the cumulative sums of many probabilities end a little above or below 1.
    yield _probabilities("one", draw.normal(6, 300), "extremes", top_p=1.0)
    yield _probabilities("one_and_flat", draw.normal(3, 40), "extremes", temperature=3.0, top_p=1.0)

    for temperature in (0.0, 1e-4, 1e-2):
        logits = _clear_winner(draw, (4, 7), 0.5)
        yield _probabilities(f"{temperature:g}", logits, "greedy_limit", temperature=temperature)
    winner = _clear_winner(draw, (4, 7), 0.5)
    yield _probabilities("0_and_nucleus", winner, "greedy_limit", temperature=0.0, top_p=0.9)
    yield _probabilities("far_from_zero", _clear_winner(draw, (3, 5), 0.5) + 300, "greedy_limit", temperature=0.01)

    for name, shape in (("one_row", (6,)), ("three_dimensions", (2, 3, 5)), ("four_dimensions", (2, 1, 3, 4))):
        yield _probabilities(name, _apart(draw, shape, 1.3, 0.7), "any_shape", temperature=1.3, top_p=0.7)
    # As many rows as tokens: a softmax or a sum along the wrong dimension shows in the values only.
    yield _probabilities("square", _apart(draw, (6, 6), 1.3, 0.7), "any_shape", temperature=1.3, top_p=0.7)
    yield _probabilities("transposed", _apart(draw, (5, 7), 1.3, 0.7).T.contiguous().T, "any_shape", top_p=0.75)

    masked = _apart(draw, (4, 6), 1.0, 0.7)
    ruled_out = torch.full((4, 3), -math.inf)
    yield _probabilities("some", torch.cat([ruled_out, masked], -1), "minus_infinity", top_p=0.7)
    yield _probabilities("some_whole", torch.cat([masked, ruled_out], -1), "minus_infinity", temperature=0.8)

    # Weights 4, 2, 2, 2, 2, 1: of the equal ones, some belong to the nucleus and some do not.
    weights = torch.tensor([4.0, 2, 2, 2, 2, 1])
    for name, top_p in (("one_of_four", 0.4), ("two_of_four", 0.5), ("three_of_four", 0.7), ("none_of_four", 0.3)):
        rows = torch.stack([weights[_permutation(draw, 6)] for _ in range(3)])
        yield _probabilities(name, rows.log(), "ties", top_p=top_p)
    yield _probabilities("all_equal", torch.full((2, 7), draw.number(-2, 2)), "ties", top_p=0.55)
    yield _probabilities("two_largest", torch.tensor([[1.0, 3, 0, 3], [2, 2, 2, 0]]), "ties", temperature=0.0)

    # 2, 4, 8 or 16 equal probabilities and their sums are exact in floating point.
    for size, kept in ((2, 1), (4, 2), (4, 3), (8, 5), (16, 4)):
        logits = torch.full((2, size), draw.number(-2, 2))
        yield _probabilities(f"{kept}_of_{size}", logits, "exact_mass", top_p=kept / size)

    yield _probabilities("nucleus", _coarse(draw, (2, 600), 0.9), "half_precision", top_p=0.9)
    yield _probabilities("temperature", draw.normal(3, 9).bfloat16().float(), "half_precision", temperature=0.6)

    given = {"logits": _apart(draw, (3, 6), 0.7, 0.8), "temperature": 0.7, "top_p": 0.8}
    yield Case("logits", "inputs_after", {"adapter": "run_next_token_probabilities", "inputs": given}, "untouched")


def _sequences(draw: Draw) -> Iterator[Case]:
    for name, lengths in (("one_prompt", [3]), ("one_token", [1]), ("several_prompts", [4, 4, 4])):
        yield _greedy(name, draw, lengths, 8, "greedy")
    for count in (0, 1, 2, 13):
        yield _greedy(f"{count}_tokens", draw, [3, 3], count, "max_new_tokens")
    yield _greedy("longer_than_prompt", draw, [2], 12, "max_new_tokens")
    yield _greedy("shorter_than_prompt", draw, [9], 3, "max_new_tokens")

    yield _stopping("in_the_middle", draw, [3], "stop_token")
    yield _stopping("some_of_a_batch", draw, [3, 3, 3, 3], "stop_token")
    yield _stopping("in_the_prompt", draw, [5, 5], "stop_token", in_prompt=True)
    yield _greedy("never_drawn", draw, [3], 9, "stop_token", stop_token=5, never=5)
    yield _greedy("token_0", draw, [3], 9, "stop_token", stop_token=0, certain=0)

    for name, lengths in (("two", [2, 6]), ("longest_first", [7, 3, 1]), ("many", [1, 5, 2, 5, 3, 8])):
        yield _greedy(name, draw, lengths, 6, "different_lengths")
    yield _stopping("with_stop_token", draw, [2, 6, 4, 1], "different_lengths")

    yield _greedy("grows_over_it", draw, [3], 9, "context", context_length=6)
    yield _greedy("prompt_is_longer", draw, [11], 5, "context", context_length=4)
    yield _greedy("batch", draw, [2, 9, 5], 6, "context", context_length=5)
    yield _greedy("one_token", draw, [4], 6, "context", context_length=1)


def _probabilities(name: str, logits: torch.Tensor, group: str, temperature: float = 1.0, top_p: float = 1.0) -> Case:
    inputs = {"logits": logits, "temperature": temperature, "top_p": top_p}
    return Case(name, "run_next_token_probabilities", inputs, group)


# ------------------------------------------------------------------------------------------------------------
# Logits with room around every decision


def _apart(draw: Draw, shape: tuple[int, ...], temperature: float, top_p: float) -> torch.Tensor:
    """Logits whose nucleus is the same if rounding moves its mass a little, and holds neither one token nor all."""
    while True:
        logits = draw.normal(*shape, scale=1.5)
        sizes = _nucleus_sizes(logits, temperature, top_p)
        if sizes is not None and sizes.max() < shape[-1] and sizes.max() > 1:
            return logits


def _order_matters(draw: Draw, shape: tuple[int, ...], temperature: float, top_p: float) -> torch.Tensor:
    """Logits whose nucleus is another one when it is chosen before the temperature, in every row."""
    rows: list[torch.Tensor] = []
    while len(rows) < shape[0]:
        row = _apart(draw, shape[1:], temperature, top_p)
        before = _nucleus_sizes(row, 1.0, top_p)
        after = _nucleus_sizes(row, temperature, top_p)
        if before is not None and after is not None and before != after:
            rows.append(row)
    return torch.stack(rows)


def _nucleus_sizes(
    logits: torch.Tensor, temperature: float, top_p: float, margin: float = _MARGIN
) -> torch.Tensor | None:
    """How many tokens make up the nucleus of each row; None where rounding could decide."""
    ranked = (logits.double() / temperature).softmax(-1).sort(-1, descending=True).values
    mass = ranked.cumsum(-1)
    if (mass - top_p).abs().min() < margin:
        return None
    sizes = (mass < top_p).sum(-1) + 1
    # The last token that is in and the first that is out must differ, or rounding could exchange them.
    padded = torch.cat([ranked, torch.zeros_like(ranked[..., :1])], -1)
    inside, outside = (padded.gather(-1, (sizes + shift)[..., None]) for shift in (-1, 0))
    return sizes if ((inside - outside) / inside > margin).all() else None


def _peaked(draw: Draw, rows: int, size: int) -> torch.Tensor:
    """Logits with one token of more than 0.6 in every row."""
    logits = draw.normal(rows, size)
    return logits.scatter_(-1, draw.integers(0, size, rows, 1), math.log(size) + 4.0)


def _clear_winner(draw: Draw, shape: tuple[int, int], gap: float) -> torch.Tensor:
    """Logits whose largest stands out from the next by `gap`."""
    logits = draw.normal(*shape)
    best = logits.argmax(-1, keepdim=True)
    return logits.scatter_add_(-1, best, torch.full_like(logits, gap))


def _coarse(draw: Draw, shape: tuple[int, int], top_p: float) -> torch.Tensor:
    """Logits that bfloat16 holds exactly, of so many tokens that bfloat16 could not add up their probabilities."""
    while True:
        logits = draw.normal(*shape, scale=0.7).bfloat16().float()
        if _nucleus_sizes(logits, 1.0, top_p, margin=1e-4) is not None:
            return logits


def _permutation(draw: Draw, size: int) -> torch.Tensor:
    return draw.uniform(size).argsort()


# ------------------------------------------------------------------------------------------------------------
# Greedy sequences

_VOCAB_SIZE = 7
_LONGEST = 24


def _greedy(
    name: str,
    draw: Draw,
    lengths: list[int],
    max_new_tokens: int,
    group: str,
    stop_token: int | None = None,
    context_length: int | None = None,
    never: int | None = None,
    certain: int | None = None,
) -> Case:
    """A case of greedy decoding.

    Args:
        never: a token that is never generated; certain: one that comes once the prompt is over, sooner or later.
    """
    while True:
        tables = _tables(draw, _LONGEST if context_length is None else context_length)
        if never is not None:
            tables["last"][:, never] -= 50
        prompts = [draw.integers(0, _VOCAB_SIZE, length).tolist() for length in lengths]
        found = [_rollout(tables, prompt, max_new_tokens, context_length) for prompt in prompts]
        varied = all(tokens is not None and len(set(tokens)) > min(2, len(tokens) - 1) for tokens in found)
        if varied and (certain is None or all(certain in (tokens or [])[1:-1] for tokens in found)):
            break
    inputs: dict[str, Any] = {"tables": tables, "prompts": prompts, "max_new_tokens": max_new_tokens}
    options = {"stop_token": stop_token, "context_length": context_length}
    return Case(name, "generated", inputs | {k: v for k, v in options.items() if v is not None}, group)


def _stopping(name: str, draw: Draw, lengths: list[int], group: str, in_prompt: bool = False) -> Case:
    """Greedy decoding with a stop token that ends some sequences in their middle, and not all of them at once."""
    while True:
        case = _greedy(name, draw, lengths, 9, group)
        tables, prompts = case.inputs["tables"], case.inputs["prompts"]
        found = [_rollout(tables, prompt, 9, None) or [] for prompt in prompts]
        for stop_token in range(_VOCAB_SIZE):
            ends = [tokens.index(stop_token) if stop_token in tokens else None for tokens in found]
            inside = [end for end in ends if end is not None and 1 <= end < 8]
            said = [stop_token in prompt for prompt in prompts]
            if inside and (len(lengths) == 1 or len(set(ends)) > 1) and all(one is in_prompt for one in said):
                return Case(name, "generated", case.inputs | {"stop_token": stop_token}, group)


def _tables(draw: Draw, longest: int) -> Tables:
    """A model whose next token depends on the last token, on the first, and on how many there are."""
    return {
        "last": draw.normal(_VOCAB_SIZE, _VOCAB_SIZE),
        "first": draw.normal(_VOCAB_SIZE, _VOCAB_SIZE),
        "position": draw.normal(longest, _VOCAB_SIZE),
    }


def _rollout(tables: Tables, prompt: list[int], count: int, context_length: int | None) -> list[int] | None:
    """The most likely continuation of a prompt; None when rounding could change it."""
    tokens = list(prompt)
    for _ in range(count):
        window = tokens if context_length is None else tokens[-context_length:]
        logits = tables["last"][window[-1]] + tables["first"][window[0]] + tables["position"][len(window) - 1]
        best, second = logits.topk(2).values.tolist()
        if best - second < _MARGIN:
            return None
        tokens.append(int(logits.argmax()))
    return tokens[len(prompt) :]
