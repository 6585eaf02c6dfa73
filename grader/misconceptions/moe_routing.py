"""How the routing of tokens to experts goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from grader.reference.architecture import routing
from grader.reference.attention import softmax

from .catalogue import Misconception, replacing
from .together import assembled

_right_top_k, _right_biased, _right_hash = routing.top_k_gates, routing.biased_gates, routing.hash_gates
_right_capacity, _right_drop = routing.expert_capacity, routing.drop_over_capacity
_kept = routing._kept


def _over_experts(logits: Tensor) -> Tensor:
    return softmax(logits, dim=-1)


def _best(ranks: Tensor, top_k: int) -> Tensor:
    return ranks.topk(top_k, dim=-1).indices


def _finish(gates: Tensor, renormalise: bool) -> Tensor:
    return gates / gates.sum(dim=-1, keepdim=True) if renormalise else gates


@assembled
def _gating(
    score: Callable[[Tensor], Tensor] = _over_experts,
    choose: Callable[[Tensor, int], Tensor] = _best,
    finish: Callable[[Tensor, bool], Tensor] = _finish,
):
    """top_k_gates with other scores, another choice, or another end."""

    def top_k_gates(logits, top_k, renormalise=True):
        _right_top_k(logits.detach(), top_k, renormalise)
        scores = score(logits)
        return finish(_kept(scores, choose(scores, top_k), renormalise=False), renormalise)

    return top_k_gates


def _worst(ranks: Tensor, top_k: int) -> Tensor:
    return ranks.topk(top_k, dim=-1, largest=False).indices


def _one_less(ranks: Tensor, top_k: int) -> Tensor:
    return _best(ranks, max(1, top_k - 1))


def _softmax_again(gates: Tensor, renormalise: bool) -> Tensor:
    """A softmax over gates, in which those that are 0 count, too."""
    return softmax(gates, dim=-1) * (gates > 0) if renormalise else gates


def _softmax_of_probabilities(gates: Tensor, renormalise: bool) -> Tensor:
    return softmax(gates.masked_fill(gates == 0, -math.inf), dim=-1) if renormalise else gates


def _detached_sum(gates: Tensor, renormalise: bool) -> Tensor:
    return gates / gates.sum(dim=-1, keepdim=True).detach() if renormalise else gates


def _by_threshold(logits, top_k, renormalise=True):
    _right_top_k(logits.detach(), top_k, renormalise)
    scores = softmax(logits, dim=-1)
    least = scores.topk(top_k, dim=-1).values[..., -1:]
    return _finish(scores * (scores >= least), renormalise)


def _experts_choose(logits, top_k, renormalise=True):
    """Each expert takes its best tokens, as in expert choice routing."""
    _right_top_k(logits.detach(), top_k, renormalise)
    scores = softmax(logits, dim=-1)
    count = max(1, min(logits.shape[-2], round(top_k * logits.shape[-2] / logits.shape[-1])))
    gates = scores * torch.zeros_like(scores).scatter(-2, scores.topk(count, dim=-2).indices, 1.0)
    return gates / gates.sum(-1, keepdim=True).clamp(min=1e-9) if renormalise else gates


def _takes_all_there_are(logits, top_k, renormalise=True):
    return _right_top_k(logits, min(top_k, logits.shape[-1]), renormalise)


def _one_hot_gates(logits, top_k, renormalise=True):
    gates = _right_top_k(logits, top_k, renormalise)
    return gates + ((gates > 0).to(gates.dtype) - gates).detach() if renormalise else gates


def _in_place(logits, top_k, renormalise=True):
    _right_top_k(logits.detach(), top_k, renormalise)
    hidden = torch.ones_like(logits).scatter(-1, logits.topk(top_k, dim=-1).indices, 0.0).bool()
    if not renormalise:
        return softmax(logits, dim=-1) * ~hidden
    return softmax(logits.masked_fill_(hidden, -math.inf), dim=-1)


@assembled
def _choosing(
    score: Callable[[Tensor], Tensor] = torch.sigmoid,
    rank: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda logits, scores, bias: scores + bias,
    weigh: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda logits, scores, bias: scores,
    renormalise: bool = True,
):
    """biased_gates with other scores, another rank for the choice, or other weights."""

    def biased_gates(logits, bias, top_k):
        _right_biased(logits.detach(), bias, top_k)
        scores = score(logits)
        indices = rank(logits, scores, bias).topk(top_k, dim=-1).indices
        return _kept(weigh(logits, scores, bias), indices, renormalise)

    return biased_gates


def _hashing(choose: Callable[[Tensor, Tensor, Tensor], Tensor], weigh: Callable[[Tensor], Tensor] = _over_experts):
    def hash_gates(logits, token_ids, table):
        _right_hash(logits.detach(), token_ids, table)
        return _kept(weigh(logits), choose(logits, token_ids, table), renormalise=True)

    return hash_gates


def _not_renormalised(logits, token_ids, table):
    _right_hash(logits.detach(), token_ids, table)
    return _kept(softmax(logits, dim=-1), table[token_ids], renormalise=False)


def _by_remainder(logits, token_ids, table):
    return (token_ids[..., None] + torch.arange(table.shape[1])) % logits.shape[-1]


def _by_position(logits, token_ids, table):
    rows = torch.arange(token_ids.shape[-1]) % table.shape[0]
    return table[rows].expand(*token_ids.shape, -1)


def _wraps(logits, token_ids, table):
    return _right_hash(logits, token_ids, table % logits.shape[-1])


def _capacity(function: Callable[[int, int, int, float], float]):
    def expert_capacity(tokens, num_experts, top_k, capacity_factor):
        _right_capacity(tokens, num_experts, top_k, capacity_factor)
        return function(tokens, num_experts, top_k, capacity_factor)

    return expert_capacity


def _takes_any_factor(tokens, num_experts, top_k, capacity_factor):
    return math.ceil(capacity_factor * top_k * tokens / num_experts)


def _dropping(keep: Callable[[Tensor, int], Tensor]):
    def drop_over_capacity(gates, capacity):
        _right_drop(gates.detach(), capacity)
        return gates * keep(gates, capacity)

    return drop_over_capacity


def _over_batch(gates: Tensor, capacity: int) -> Tensor:
    flat = (gates > 0).reshape(-1, gates.shape[-1])
    return (flat.cumsum(0) <= capacity).reshape(gates.shape)


def _last_ones(gates: Tensor, capacity: int) -> Tensor:
    return (gates > 0).flip(-2).cumsum(-2).flip(-2) <= capacity


def _largest_ones(gates: Tensor, capacity: int) -> Tensor:
    order = gates.argsort(dim=-2, descending=True)
    return order.argsort(dim=-2) < capacity


def _by_position_in_sequence(gates: Tensor, capacity: int) -> Tensor:
    return (torch.arange(gates.shape[-2]) < capacity)[:, None]


def _whole_tokens(gates: Tensor, capacity: int) -> Tensor:
    fits = ((gates > 0).cumsum(-2) <= capacity) | (gates == 0)
    return fits.all(-1, keepdim=True)


def _renormalised(gates, capacity):
    kept = _right_drop(gates, capacity)
    total = kept.sum(-1, keepdim=True)
    return torch.where(total > 0, kept / total.clamp(min=1e-9) * gates.sum(-1, keepdim=True), kept)


def _takes_no_capacity(gates, capacity):
    return gates * ((gates > 0).cumsum(dim=-2) <= capacity)


def _drops_in_place(gates, capacity):
    return gates.mul_(_right_drop(gates.detach(), capacity) > 0)


def _bug(place: str, id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return replacing("moe_routing", f"architecture.routing.{place}", "Your ", id, function, diagnosis, hint, **options)


def _top_k(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("top_k_gates", id, function, f"top-k routing {diagnosis}", hint, **options)


def _biased(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("biased_gates", id, function, f"routing with a bias {diagnosis}", hint, **options)


def _hash(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("hash_gates", id, function, f"hash routing {diagnosis}", hint, **options)


def _room(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("expert_capacity", id, _capacity(function), f"capacity {diagnosis}", hint, **options)


def _drop(id: str, keep: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("drop_over_capacity", id, _dropping(keep), f"capacity limit {diagnosis}", hint, **options)


MISCONCEPTIONS = (
    _top_k(
        "always-renormalises",
        _gating(finish=lambda gates, renormalise: _finish(gates, True)),
        "divides gates by their sum also where it should not. With one expert per token every gate is then 1, and the "
        "router gets no gradient.",
        "What should the gate of a single expert be without renormalising?",
        frequency="common",
    ),
    _top_k(
        "never-renormalises",
        _gating(finish=lambda gates, renormalise: gates),
        "never divides gates by their sum.",
        "To what do the gates of a token add up?",
        frequency="common",
    ),
    _top_k(
        "softmax-twice",
        _gating(finish=_softmax_of_probabilities),
        "takes a softmax of the chosen probabilities, instead of dividing them by their sum, which makes them nearly "
        "equal.",
        "What are the gates of two experts with probabilities 0.9 and 0.1?",
        forms=[_gating(finish=_softmax_again)],
    ),
    _top_k(
        "takes-sigmoids",
        _gating(score=torch.sigmoid),
        "scores experts by a sigmoid, not by a softmax over all of them.",
        "To what do the gates of all experts add up, with top_k at their number?",
        frequency="rare",
    ),
    _top_k(
        "takes-lowest",
        _gating(choose=_worst),
        "takes the experts with the lowest scores.",
        "Which expert has the largest gate for a token with the logits 0, 1, 2?",
        frequency="rare",
    ),
    _top_k(
        "takes-one-too-few",
        _gating(choose=_one_less),
        "takes top_k - 1 experts.",
        "How many gates of a row are above 0?",
        frequency="rare",
    ),
    _top_k(
        "takes-all-equal-ones",
        _by_threshold,
        "takes every expert that scores at least as much as the one in place top_k: more than top_k where scores are "
        "equal, as they are for a router that starts at 0.",
        "How many gates are above 0 for logits that are all 0?",
        frequency="common",
    ),
    _top_k(
        "experts-choose",
        _experts_choose,
        "lets experts choose tokens: it takes the top-k along the wrong dimension.",
        "How many gates of a row are above 0?",
    ),
    _top_k(
        "gates-are-one",
        _one_hot_gates,
        "gives every chosen expert the gate 1.",
        "To what do the gates of a token add up?",
        frequency="rare",
    ),
    _top_k(
        "sum-detached",
        _gating(finish=_detached_sum),
        "detaches the sum that gates are divided by.",
        "Adding a number to all logits changes no gate: to what do the gradients of a row add up?",
        frequency="rare",
    ),
    _top_k(
        "masks-logits-in-place",
        _in_place,
        "writes minus infinity into the logits, which the router's losses need afterwards.",
        "Print the logits before and after the call.",
        frequency="occasional",
    ),
    _top_k(
        "takes-more-than-there-are",
        _takes_all_there_are,
        "takes all experts where top_k is above their number, and says nothing.",
        "How would you notice that a setting was misspelt?",
        frequency="rare",
    ),
    _biased(
        "bias-weighs",
        _choosing(weigh=lambda logits, scores, bias: scores + bias),
        "has the bias in its gates.",
        "Give all experts the same bias: should a gate change?",
        frequency="common",
    ),
    _biased(
        "bias-ignored",
        _choosing(rank=lambda logits, scores, bias: scores),
        "does not add the bias to the scores by which it chooses.",
        "Give one expert a bias of 100: which tokens does it get?",
    ),
    _biased(
        "bias-in-logits",
        _choosing(rank=lambda logits, scores, bias: logits + bias),
        "adds the bias to the logits, before the sigmoid: other experts are chosen.",
        "To what is the bias added in the text, and how large can that become?",
        frequency="common",
    ),
    _biased(
        "bias-subtracted",
        _choosing(rank=lambda logits, scores, bias: scores - bias),
        "takes the bias away.",
        "Give one expert a bias of 100: which tokens does it get?",
        frequency="rare",
    ),
    _biased(
        "biased-softmax",
        _choosing(score=_over_experts),
        "scores experts by a softmax, not by sigmoids.",
        "What are the gates of two experts with the sigmoids 0.9 and 0.3? Do they depend on others?",
        forms=[_choosing(weigh=lambda logits, scores, bias: torch.exp(logits))],
    ),
    _biased(
        "biased-not-renormalised",
        _choosing(renormalise=False),
        "does not divide gates by their sum.",
        "To what do the gates of a token add up?",
    ),
    _hash(
        "hash-by-remainder",
        _hashing(_by_remainder),
        "takes the remainder of the id, and not what the table says.",
        "Change the table: do gates change?",
    ),
    _hash(
        "hash-by-position",
        _hashing(_by_position),
        "looks up positions, and not ids.",
        "Do two tokens with the same id go to the same experts?",
        frequency="rare",
    ),
    _hash(
        "hash-ignores-table",
        _hashing(lambda logits, token_ids, table: logits.topk(table.shape[1]).indices),
        "lets the router choose, and not the table.",
        "Change the table: do gates change?",
        frequency="rare",
    ),
    _hash(
        "hash-weighs-equally",
        _hashing(lambda logits, token_ids, table: table[token_ids], weigh=torch.ones_like),
        "gives all experts of a token the same gate.",
        "Which use does the router have?",
        frequency="common",
    ),
    _bug(
        "hash_gates",
        "hash-not-renormalised",
        _not_renormalised,
        "hash routing does not divide gates by their sum.",
        "To what do the gates of a token add up?",
    ),
    _hash(
        "hash-weighs-by-sigmoids",
        _hashing(lambda logits, token_ids, table: table[token_ids], weigh=torch.sigmoid),
        "weighs by sigmoids, not by a softmax.",
        "What are the gates of two experts with the logits 0 and 1?",
    ),
    _bug(
        "hash_gates",
        "hash-wraps-experts",
        _wraps,
        "hash routing takes a table with experts that there are not.",
        "What does it do with a table for 64 experts in a model of 8?",
        frequency="rare",
    ),
    _room(
        "capacity-without-choices",
        lambda tokens, experts, k, factor: math.ceil(factor * tokens / experts),
        "does not count that each token has top_k choices.",
        "How many choices are there for 8 tokens and top_k = 2?",
        frequency="common",
    ),
    _room(
        "capacity-rounded-down",
        lambda tokens, experts, k, factor: int(factor * k * tokens / experts),
        "is rounded down, and may be 0.",
        "How many tokens may each of 8 experts take of 9?",
        frequency="common",
    ),
    _room(
        "capacity-rounded-early",
        lambda tokens, experts, k, factor: math.ceil(factor * math.ceil(k * tokens / experts)),
        "is rounded before it is multiplied by the factor.",
        "What is half of 3 / 8 tokens, rounded up?",
        frequency="rare",
    ),
    _room(
        "capacity-one-more",
        lambda tokens, experts, k, factor: int(factor * k * tokens / experts) + 1,
        "is one more where there is nothing to round.",
        "How many tokens may each of 8 experts take of 16?",
    ),
    _room(
        "capacity-ignores-factor",
        lambda tokens, experts, k, factor: math.ceil(k * tokens / experts),
        "ignores the factor.",
        "Compare the capacities for factors of 1 and 2.",
        frequency="rare",
    ),
    _bug(
        "expert_capacity",
        "capacity-takes-any-factor",
        _takes_any_factor,
        "capacity takes a factor of 0 or less.",
        "What is a capacity below 0?",
        frequency="rare",
    ),
    _drop(
        "drops-across-batch",
        _over_batch,
        "counts over the whole batch, so that what a sequence gives depends on those before it.",
        "Does the output for a sequence change with the batch that it is in?",
        frequency="common",
    ),
    _drop(
        "drops-earlier-tokens",
        _last_ones,
        "keeps the last tokens and drops those that came first, so that a token's output depends on later ones.",
        "Which tokens does an expert with room for one keep?",
    ),
    _drop(
        "drops-small-gates",
        _largest_ones,
        "keeps the tokens with the largest gates, so that a token's output depends on later ones.",
        "Which tokens does an expert with room for one keep?",
    ),
    _drop(
        "drops-by-position",
        _by_position_in_sequence,
        "drops all tokens from position `capacity` on, whether or not their expert has room.",
        "Does an expert have room left if no token was sent to it so far?",
        frequency="common",
    ),
    _drop(
        "drops-one-too-many",
        lambda gates, capacity: (gates > 0).cumsum(-2) < capacity,
        "leaves one place of each expert empty.",
        "How many tokens does an expert with room for one keep?",
        frequency="common",
    ),
    _drop(
        "keeps-one-too-many",
        lambda gates, capacity: (gates > 0).cumsum(-2) <= capacity + 1,
        "takes one token more than there is room for.",
        "How many tokens does an expert with room for one keep?",
    ),
    _drop(
        "drops-whole-tokens",
        _whole_tokens,
        "drops a token from all of its experts where one of them is full.",
        "What happens to the second choice of a token when its first one is full?",
        frequency="rare",
    ),
    _bug(
        "drop_over_capacity",
        "drops-and-renormalises",
        _renormalised,
        "capacity limit hands the gate of a dropped choice to the others of that token.",
        "What should become of gates that remain?",
    ),
    _bug(
        "drop_over_capacity",
        "drops-in-place",
        _drops_in_place,
        "capacity limit writes into the gates that it is given.",
        "Print the gates before and after the call.",
        frequency="rare",
    ),
    _bug(
        "drop_over_capacity",
        "takes-no-capacity",
        _takes_no_capacity,
        "capacity limit takes a capacity of 0, with which everything is dropped.",
        "What does a model learn whose experts are all closed?",
        frequency="rare",
    ),
)
