"""Drivers for decoding: the student's `generate` on models whose distributions the judge knows."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import torch

from ..exceptions import ContractBroken

if TYPE_CHECKING:
    from ..operations import Operations

_GLOBAL_SEED = 5

Tables = dict[str, torch.Tensor]


class _KnownModel(torch.nn.Module):
    """A causal model that is nothing but tables: logits = last[this token] + first[first token] + position[place].

    `last` and `first` are [vocab_size, vocab_size], `position` is [longest, vocab_size] and says how many tokens the
    model takes; the latter two may be missing. A model that sees padding on the left, or another stretch of the
    sequence than it should, gives other logits than the right ones.
    """

    def __init__(self, last: torch.Tensor, first: torch.Tensor | None = None, position: torch.Tensor | None = None):
        super().__init__()
        self.last = torch.nn.Parameter(last.clone())
        self.first = None if first is None else torch.nn.Parameter(first.clone())
        self.position = None if position is None else torch.nn.Parameter(position.clone())
        self.calls = 0
        self.trained = False
        self.followed = False

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        self._check(token_ids)
        self.calls += 1
        self.trained |= self.training
        self.followed |= torch.is_grad_enabled()
        logits = self.last[token_ids]
        if self.first is not None:
            logits = logits + self.first[token_ids[:, :1]]
        if self.position is not None:
            logits = logits + self.position[: token_ids.shape[1]]
        return logits

    def _check(self, token_ids: Any) -> None:
        if not isinstance(token_ids, torch.Tensor):
            raise ContractBroken(
                f"generate called the model with {type(token_ids).__name__}, not a tensor of token ids"
            )
        if token_ids.ndim != 2 or not token_ids.numel() or token_ids.is_floating_point():
            raise ContractBroken(
                f"generate called the model with a tensor of shape {tuple(token_ids.shape)} and dtype "
                f"{token_ids.dtype}; it takes token ids, int64, of shape [batch, seq]"
            )
        vocab_size = len(self.last)
        if token_ids.min() < 0 or token_ids.max() >= vocab_size:
            raise ContractBroken(
                f"generate called the model with ids from {int(token_ids.min())} to {int(token_ids.max())}; "
                f"they run from 0 to {vocab_size - 1}, for padding too"
            )
        if self.position is not None and token_ids.shape[1] > len(self.position):
            raise ContractBroken(
                f"generate called the model with {token_ids.shape[1]} tokens; its context_length is "
                f"{len(self.position)}, so the last {len(self.position)} should go in"
            )


def generated(
    operations: Operations,
    tables: Tables,
    prompts: list[list[int]],
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    stop_token: int | None = None,
    context_length: int | None = None,
    seed: int = 0,
) -> list[list[int]]:
    """The new tokens of every prompt, from the student's `generate` on a known model; greedy unless told otherwise."""
    return _generate(
        operations,
        _KnownModel(**tables),
        prompts,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        stop_token=stop_token,
        context_length=context_length,
        generator=torch.Generator().manual_seed(seed),
    )


def sampled(
    operations: Operations,
    tables: Tables,
    prompts: list[list[int]],
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int | None = 0,
    global_seed: int = _GLOBAL_SEED,
    calls: int = 1,
) -> list[list[list[int]]]:
    """The new tokens of several calls one after another, drawn at random.

    Args:
        seed: of a generator that all calls are given; None gives them none.
        global_seed: of torch's global generator.
    """
    torch.manual_seed(global_seed)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    options = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "generator": generator}
    return [_generate(operations, _KnownModel(**tables), prompts, **options) for _ in range(calls)]


def generation_traces(
    operations: Operations, tables: Tables, prompts: list[list[int]], max_new_tokens: int, training: bool
) -> dict[str, Any]:
    """What a greedy call of `generate` does besides returning tokens.

    Args:
        training: whether the model is in training mode before.

    Returns:
        tokens: as generated; prompts: as they are afterwards.
        trained, followed: whether the model was ever called in training mode, and with gradients enabled.
        training: the modes of its modules afterwards; weights: its tables then; gradients_enabled: whether autograd is.
    """
    model = torch.nn.Sequential(_KnownModel(**tables)).train(training)
    known: Any = model[0]
    tokens = _generate(operations, model, prompts, max_new_tokens=max_new_tokens, temperature=0.0)
    return {
        "tokens": tokens,
        "prompts": prompts,
        "trained": known.trained,
        "followed": known.followed,
        "training": [module.training for module in model.modules()],
        "gradients_enabled": torch.is_grad_enabled(),
        "weights": {name: value.detach().clone() for name, value in known.named_parameters()},
    }


def generation_is_refused(operations: Operations, tables: Tables, prompts: list[list[int]], **options: Any) -> bool:
    """Whether `generate` raises a ValueError."""
    try:
        _generate(operations, _KnownModel(**tables), prompts, max_new_tokens=2, **options)
    except ValueError:
        return True
    return False


def generated_by_own_model(
    operations: Operations,
    config: dict[str, Any],
    weights: dict[str, torch.Tensor],
    prompts: list[list[int]],
    max_new_tokens: int,
) -> list[list[int]]:
    """Greedy decoding with the student's own Transformer language model."""
    model = operations.adapter("get_transformer_lm_module", **config)
    model.load_state_dict(weights)
    return _generate(
        operations,
        model,
        prompts,
        max_new_tokens=max_new_tokens,
        temperature=0.0,
        context_length=config["context_length"],
    )


def _generate(
    operations: Operations, model: torch.nn.Module, prompts: list[list[int]], **options: Any
) -> list[list[int]]:
    defaults = {"temperature": 1.0, "top_p": 1.0, "stop_token": None, "context_length": None, "generator": None}
    result = operations.adapter("run_generate", model=model, prompts=prompts, **{**defaults, **options})
    if isinstance(result, torch.Tensor):
        result = result.tolist()
    if not isinstance(result, (list, tuple)) or len(result) != len(prompts):
        size = f" of {len(result)}" if isinstance(result, (list, tuple)) else ""
        raise ContractBroken(
            f"run_generate returned {type(result).__name__}{size} for {len(prompts)} prompts; it gives a list with one "
            "list of new tokens for each"
        )
    return [_tokens(sequence) for sequence in result]


def _tokens(sequence: Any) -> list[int]:
    if isinstance(sequence, torch.Tensor):
        sequence = sequence.tolist()
    if not isinstance(sequence, (list, tuple)):
        raise ContractBroken(f"run_generate returned {type(sequence).__name__} for a prompt, not a list of new tokens")
    tokens = [token.item() if isinstance(token, torch.Tensor) and token.numel() == 1 else token for token in sequence]
    for token in tokens:
        if not isinstance(token, numbers.Integral):
            raise ContractBroken(f"run_generate returned {token!r} of type {type(token).__name__} among the token ids")
    return [int(token) for token in tokens]


DRIVERS = (generated, sampled, generation_traces, generation_is_refused, generated_by_own_model)
