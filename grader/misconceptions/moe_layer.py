"""How mixtures of experts and their losses go wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from grader.reference.architecture import mixture
from grader.reference.architecture.routing import top_k_gates
from grader.reference.attention import softmax

from .catalogue import Misconception, replacing
from .together import assembled

_right_gates = mixture.MixtureOfExperts.gates


def _gates_of_layer(self: Any, x: Tensor) -> Tensor:
    return self.gates(x)


def _own_expert(self: Any, e: int) -> Any:
    return self.experts[e]


def _after(expert: Any, x: Tensor, gate: Tensor) -> Tensor:
    return gate * expert(x)


def _shared_as_it_is(self: Any, x: Tensor, gates: Tensor) -> Tensor:
    return torch.zeros_like(x) if self.shared is None else self.shared(x)


@assembled
def _mixing(
    gates: Callable[[Any, Tensor], Tensor] = _gates_of_layer,
    expert: Callable[[Any, int], Any] = _own_expert,
    weigh: Callable[[Any, Tensor, Tensor], Tensor] = _after,
    shared: Callable[[Any, Tensor, Tensor], Tensor] = _shared_as_it_is,
):
    """The forward pass with other gates, experts, weights or another shared expert; all experts compute all tokens."""

    def forward(self, x):
        rows = gates(self, x)
        routed = sum(
            weigh(expert(self, e), x, rows[..., e, None]) * (rows[..., e, None] > 0) for e in range(len(self.experts))
        )
        return routed + shared(self, x, rows)

    return forward


def _before(expert: Any, x: Tensor, gate: Tensor) -> Tensor:
    return expert(gate * x)


def _without_gate(expert: Any, x: Tensor, gate: Tensor) -> Tensor:
    return expert(x)


def _detached(expert: Any, x: Tensor, gate: Tensor) -> Tensor:
    return gate.detach() * expert(x)


def _root(expert: Any, x: Tensor, gate: Tensor) -> Tensor:
    return gate.square() * expert(x)


def _last_expert_only(self, x):
    """Each expert writes its rows, over what others have put there."""
    gates = self.gates(x)
    y = torch.zeros_like(x)
    for e, expert in enumerate(self.experts):
        y = torch.where(gates[..., e, None] > 0, gates[..., e, None] * expert(x), y)
    return y if self.shared is None else y + self.shared(x)


def _mean_over_experts(self, x):
    gates = self.gates(x)
    routed = sum(gates[..., e, None] * expert(x) for e, expert in enumerate(self.experts)) / self.top_k
    return routed if self.shared is None else routed + self.shared(x)


def _with_residual(self, x):
    gates = self.gates(x)
    routed = sum(gates[..., e, None] * expert(x) for e, expert in enumerate(self.experts))
    return x + (routed if self.shared is None else routed + self.shared(x))


def _one_choice_for_all(self: Any, x: Tensor) -> Tensor:
    """One choice of experts for a whole sequence."""
    return self.gates(x.mean(-2, keepdim=True)).expand(*x.shape[:-1], -1)


def _renormalises_always(self: Any, x: Tensor) -> Tensor:
    gates = self.gates(x)
    if self.capacity_factor is not None or self.renormalise:
        return gates
    return gates / gates.sum(-1, keepdim=True)


def _never_renormalises(self: Any, x: Tensor) -> Tensor:
    if self.capacity_factor is not None or not self.renormalise:
        return self.gates(x)
    return top_k_gates(self.router(x), self.top_k, renormalise=False)


def _one_choice(self: Any, x: Tensor) -> Tensor:
    if self.capacity_factor is not None or not self.renormalise:
        return self.gates(x)
    return top_k_gates(self.router(x), 1)


def _reversed(self: Any, x: Tensor) -> Tensor:
    return self.gates(x).flip(-1)


def _without_capacity(self, x):
    return top_k_gates(self.router(x), self.top_k, self.renormalise)


def _capacity_over_batch(self, x):
    if self.capacity_factor is None:
        return _right_gates(self, x)
    return _right_gates(self, x.reshape(1, -1, x.shape[-1])).reshape(*x.shape[:-1], -1)


def _capacity_then_renormalise(self, x):
    gates = _right_gates(self, x)
    if self.capacity_factor is None:
        return gates
    return gates / gates.sum(-1, keepdim=True).clamp(min=1e-9)


def _dropped_tokens_pass(self, x):
    gates = self.gates(x)
    routed = sum(gates[..., e, None] * expert(x) for e, expert in enumerate(self.experts))
    routed = torch.where(gates.sum(-1, keepdim=True) > 0, routed, x)
    return routed if self.shared is None else routed + self.shared(x)


def _no_shared(self: Any, x: Tensor, gates: Tensor) -> Tensor:
    return torch.zeros_like(x)


def _halved_shared(self: Any, x: Tensor, gates: Tensor) -> Tensor:
    return torch.zeros_like(x) if self.shared is None else self.shared(x) / (len(self.experts) + 1)


def _gated_shared(self: Any, x: Tensor, gates: Tensor) -> Tensor:
    return torch.zeros_like(x) if self.shared is None else self.shared(x) * gates.amax(-1, keepdim=True)


def _shared_after(self, x):
    """The shared expert reads what the others give."""
    gates = self.gates(x)
    routed = sum(gates[..., e, None] * expert(x) for e, expert in enumerate(self.experts))
    return routed if self.shared is None else routed + self.shared(routed)


def _takes_any(self, d_model, d_ff, num_experts, top_k, *rest, **options):
    _right_init(self, d_model, d_ff, num_experts, min(top_k, num_experts), *rest, **options)


_right_init = mixture.MixtureOfExperts.__init__


def _hard_shares(logits: Tensor, top_k: int) -> Tensor:
    chosen = top_k_gates(logits.detach(), top_k, renormalise=False) > 0
    return chosen.flatten(0, -2).to(logits.dtype).mean(0) / top_k


def _mean_probabilities(logits: Tensor, top_k: int) -> Tensor:
    return softmax(logits, dim=-1).flatten(0, -2).mean(0)


@assembled
def _balancing(
    shares: Callable[[Tensor, int], Tensor] = _hard_shares,
    probabilities: Callable[[Tensor, int], Tensor] = _mean_probabilities,
    end: Callable[[Tensor, int, int], Tensor] = lambda products, experts, top_k: experts * products.sum(),
):
    def load_balance_loss(logits, top_k):
        return end(shares(logits, top_k) * probabilities(logits, top_k), logits.shape[-1], top_k)

    return load_balance_loss


def _per_sequence(logits, top_k):
    if logits.ndim == 2:
        return _balancing()(logits, top_k)
    return torch.stack([_balancing()(rows, top_k) for rows in logits.flatten(0, -3)]).mean()


def _variance(logits, top_k):
    shares = _hard_shares(logits, top_k)
    return logits.shape[-1] * (shares * shares).sum() + 0 * logits.sum()


def _mean_then_square(logits):
    return logits.logsumexp(-1).mean().square()


def _without_square(logits):
    return logits.logsumexp(-1).mean()


def _sum_over_tokens(logits):
    return logits.logsumexp(-1).square().sum()


def _of_probabilities(logits):
    return torch.logsumexp(softmax(logits, dim=-1), -1).square().mean()


def _with_small_coefficient(logits):
    return 1e-4 * logits.logsumexp(-1).square().mean()


def _bug(place: str, id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return replacing("moe_layer", f"architecture.mixture.{place}", "Your ", id, function, diagnosis, hint, **options)


def _layer(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("MixtureOfExperts.forward", id, function, f"mixture of experts {diagnosis}", hint, **options)


def _routes(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("MixtureOfExperts.gates", id, function, f"mixture of experts {diagnosis}", hint, **options)


def _balance(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("load_balance_loss", id, function, f"load-balance loss {diagnosis}", hint, **options)


def _z(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
    return _bug("router_z_loss", id, function, f"router's z-loss {diagnosis}", hint, **options)


MISCONCEPTIONS = (
    _layer(
        "gates-input",
        _mixing(weigh=_before),
        "multiplies an expert's input by its gate, and not its output. An expert is not linear.",
        "Where does the gate stand in the formula?",
    ),
    _layer(
        "without-gates",
        _mixing(weigh=_without_gate),
        "adds up its experts without their gates.",
        "Make one expert's logit very small, but still among the top k: should it still count?",
    ),
    _layer(
        "gates-twice",
        _mixing(weigh=_root),
        "multiplies by the gate twice.",
        "With two equal gates, what is the output of two experts that both give 1?",
        frequency="rare",
    ),
    _layer(
        "gates-detached",
        _mixing(weigh=_detached),
        "detaches its gates, so that the router never learns from what its choices gave.",
        "Does the router's weight have a gradient after backward()?",
        frequency="common",
    ),
    _layer(
        "last-expert-overwrites",
        _last_expert_only,
        "lets an expert write over what another one has put there: of a token's experts only the last one counts.",
        "Does y[tokens] = ... add?",
        frequency="common",
    ),
    _layer(
        "averages-experts",
        _mean_over_experts,
        "divides the sum by top_k, although gates add up to 1 already.",
        "If all experts are the same, should the layer give what one of them gives?",
    ),
    _layer(
        "adds-input",
        _with_residual,
        "adds its input, which the block around it does already.",
        "With all experts at zero, what should the layer give?",
        frequency="rare",
    ),
    _layer(
        "one-expert-for-all",
        _mixing(expert=lambda self, e: self.experts[0]),
        "passes all tokens through its first expert.",
        "Which experts have a gradient after backward()?",
        frequency="rare",
    ),
    _layer(
        "one-choice-for-sequence",
        _mixing(gates=_one_choice_for_all),
        "makes one choice for a whole sequence, so that a token's output depends on the others, also on later ones.",
        "Change the last token: do the outputs before it stay the same?",
        frequency="rare",
    ),
    _layer(
        "experts-mixed-up",
        _mixing(gates=_reversed),
        "gives a gate to another expert than the one that it is meant for.",
        "Which row of the router's weight belongs to expert 0?",
        frequency="rare",
    ),
    _layer(
        "always-renormalises",
        _mixing(gates=_renormalises_always),
        "divides gates by their sum also where it should not.",
        "What should the gate of a single expert be without renormalising?",
    ),
    _layer(
        "never-renormalises",
        _mixing(gates=_never_renormalises),
        "does not divide gates by their sum.",
        "To what do the gates of a token add up?",
    ),
    _layer(
        "always-top-one",
        _mixing(gates=_one_choice),
        "sends each token to one expert, whatever top_k is.",
        "How many gates of a row are above 0?",
        frequency="rare",
    ),
    _routes(
        "ignores-capacity",
        _without_capacity,
        "has no limit to how many tokens an expert takes.",
        "Compare the outputs for capacity factors of 0.1 and None.",
    ),
    _routes(
        "capacity-over-batch",
        _capacity_over_batch,
        "counts the tokens of an expert over the whole batch.",
        "Does the output for a sequence change with the batch that it is in?",
        frequency="common",
    ),
    _routes(
        "renormalises-after-dropping",
        _capacity_then_renormalise,
        "divides gates by their sum once more after dropping.",
        "What should become of the gates that remain?",
    ),
    _layer(
        "dropped-tokens-pass",
        _dropped_tokens_pass,
        "gives back its input for tokens that all experts have dropped. The residual connection does so already.",
        "What should the layer give for a token without an expert?",
        frequency="rare",
    ),
    _layer(
        "shared-left-out",
        _mixing(shared=_no_shared),
        "never uses its shared expert.",
        "Which weights have no gradient after backward()?",
        frequency="rare",
    ),
    _layer(
        "shared-averaged",
        _mixing(shared=_halved_shared),
        "divides what the shared expert gives by the number of experts.",
        "By what is the shared expert multiplied in the formula?",
        frequency="rare",
    ),
    _layer(
        "shared-gated",
        _mixing(shared=_gated_shared),
        "multiplies the shared expert by a gate.",
        "By what is the shared expert multiplied in the formula?",
    ),
    _layer(
        "shared-comes-after",
        _shared_after,
        "passes the sum of its experts through the shared one, which should read the input.",
        "With all experts but the shared one at zero, what should the layer give?",
        frequency="rare",
    ),
    _bug(
        "MixtureOfExperts.__init__",
        "takes-too-many",
        _takes_any,
        "mixture of experts takes a top_k above the number of experts.",
        "How would you notice that a setting was misspelt?",
        frequency="rare",
    ),
    _balance(
        "balance-without-number-of-experts",
        _balancing(end=lambda products, experts, top_k: products.sum()),
        "is not multiplied by the number of experts.",
        "What should it be where all is even?",
        frequency="common",
    ),
    _balance(
        "balance-averaged",
        _balancing(end=lambda products, experts, top_k: products.mean()),
        "is the mean over experts, and not their number times the sum.",
        "What should it be where all is even?",
        frequency="rare",
    ),
    _balance(
        "balance-grows-with-choices",
        _balancing(end=lambda products, experts, top_k: experts * top_k * products.sum()),
        "is top_k where all is even, as in the code of Mixtral: its shares are those of tokens, not of choices.",
        "To what do the shares add up?",
        frequency="common",
    ),
    _balance(
        "balance-of-first-choice",
        _balancing(shares=lambda logits, top_k: _hard_shares(logits, 1)),
        "counts the first choice of each token only.",
        "Does the loss for top_k = 2 differ from that for 1?",
    ),
    _balance(
        "balance-soft-shares",
        _balancing(shares=_mean_probabilities),
        "is made of probabilities alone, without counting where tokens really go.",
        "Which of f and P has no gradient?",
    ),
    _balance(
        "balance-without-probabilities",
        _variance,
        "is made of counts alone, which have no gradient.",
        "Does the router's weight have a gradient after backward()?",
        frequency="rare",
    ),
    _balance(
        "balance-of-gates",
        _balancing(probabilities=lambda logits, top_k: top_k_gates(logits, top_k).flatten(0, -2).mean(0)),
        "averages the gates of the chosen experts, and not the probabilities of all.",
        "Is P_e above 0 for an expert that no token has chosen?",
        frequency="common",
    ),
    _balance(
        "balance-per-sequence",
        _per_sequence,
        "is taken sequence by sequence: it makes each sequence use all experts, where the batch should.",
        "What is the loss of two sequences that go to one expert each, of two?",
    ),
    _balance(
        "balance-of-sigmoids",
        _balancing(probabilities=lambda logits, top_k: torch.sigmoid(logits).flatten(0, -2).mean(0)),
        "takes sigmoids for the probabilities, which do not add up to 1.",
        "To what do the P_e add up?",
        frequency="rare",
    ),
    _balance(
        "balance-detached",
        lambda logits, top_k: (
            _balancing()(logits.detach(), top_k)
            + 0.5 * (_balancing()(logits, top_k) - _balancing()(logits, top_k).detach())
        ),
        "loses a part of its gradient on the way.",
        "Compare its gradient with a difference of two losses.",
        frequency="rare",
    ),
    _z(
        "z-mean-before-square",
        _mean_then_square,
        "squares the mean of log Z, so that rows of opposite signs cancel.",
        "What is the loss of two rows with log Z = 3 and log Z = -3?",
        frequency="common",
    ),
    _z(
        "z-without-square",
        _without_square,
        "does not square log Z.",
        "Which log Z has the smallest loss?",
    ),
    _z(
        "z-summed",
        _sum_over_tokens,
        "adds up all tokens, so that it grows with the batch.",
        "Give the same token twice: does the loss double?",
    ),
    _z(
        "z-of-probabilities",
        _of_probabilities,
        "is taken of the probabilities, and not of the logits.",
        "What is Z of logits that are all 0?",
        frequency="rare",
    ),
    _z(
        "z-with-coefficient",
        _with_small_coefficient,
        "has a coefficient in it, which belongs to the sum of the losses.",
        "What is Z of logits that are all 0?",
    ),
)
