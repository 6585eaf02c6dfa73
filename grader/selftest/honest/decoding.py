"""Decoding, right and written differently."""

from __future__ import annotations

import math

import numpy as np
import torch

from grader.misconceptions.catalogue import Variant
from grader.reference import decoding


def _check(temperature, top_p):
    if temperature < 0:
        raise ValueError("temperature")
    if top_p <= 0 or top_p > 1:
        raise ValueError("top_p")


def _masked_logits(logits, temperature=1.0, top_p=1.0):
    """Sort the logits, shift the mask by one, softmax at the end: what many libraries do."""
    _check(temperature, top_p)
    logits = logits.double() if logits.dtype == torch.float64 else logits.float()
    if temperature == 0:
        best = logits.argmax(dim=-1)
        return (torch.arange(logits.shape[-1]) == best.unsqueeze(-1)).to(logits.dtype)
    logits = logits / temperature
    if top_p < 1:
        ranked, ids = torch.sort(logits, descending=True, dim=-1)
        remove = torch.log_softmax(ranked, -1).exp().cumsum(-1) >= top_p
        remove[..., 1:] = remove[..., :-1].clone()
        remove[..., 0] = False
        logits = logits.masked_fill(remove.scatter(-1, ids, remove), -math.inf)
    return torch.softmax(logits, -1)


def _row_by_row(logits, temperature=1.0, top_p=1.0):
    _check(temperature, top_p)
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    rows = logits.double().reshape(-1, logits.shape[-1]).numpy()
    result = np.zeros_like(rows)
    for row, out in zip(rows, result, strict=True):
        if temperature == 0:
            out[np.argmax(row)] = 1.0
            continue
        q = np.exp((row - row.max()) / temperature)
        q /= q.sum()
        mass = 0.0
        for i in np.argsort(-q):
            out[i] = q[i]
            mass += q[i]
            if mass >= top_p and top_p < 1:
                break
        out /= out.sum()
    return torch.from_numpy(result).to(dtype).view(logits.shape)


def _flipped(logits, temperature=1.0, top_p=1.0):
    """Adds up from the small end: what may go is what weighs at most 1 - top_p together."""
    _check(temperature, top_p)
    wide = logits.double()
    if temperature == 0:
        ids = wide.topk(1).indices
        return torch.zeros_like(wide).scatter(-1, ids, 1.0).to(torch.promote_types(logits.dtype, torch.float32))
    q = torch.softmax((wide - wide.max(-1, keepdim=True).values) / temperature, -1)
    ranked, ids = q.sort(-1)
    gone = ranked.cumsum(-1) <= 1 - top_p + 1e-12
    gone[..., -1] = False
    left = ranked * ~gone if top_p < 1 else ranked
    left = left / left.sum(-1, keepdim=True)
    return torch.empty_like(left).scatter(-1, ids, left).to(torch.promote_types(logits.dtype, torch.float32))


@torch.no_grad()
def _one_by_one(
    model, prompts, max_new_tokens, temperature=1.0, top_p=1.0, stop_token=None, context_length=None, generator=None
):
    """Every prompt on its own, without any padding."""
    if any(len(prompt) == 0 for prompt in prompts):
        raise ValueError("empty prompt")
    was_training = model.training
    model.eval()
    result = []
    for prompt in prompts:
        tokens = torch.tensor([prompt])
        for _ in range(max_new_tokens):
            window = tokens if context_length is None else tokens[:, -context_length:]
            logits = model(window)[0, -1]
            probabilities = decoding.next_token_probabilities(logits, temperature, top_p)
            drawn = torch.multinomial(probabilities, 1, generator=generator)
            tokens = torch.cat([tokens, drawn[None]], dim=1)
            if drawn.item() == stop_token:
                break
        result.append(tokens[0, len(prompt) :].tolist())
    model.train(was_training)
    return result


@torch.inference_mode()
def _by_length(
    model, prompts, max_new_tokens, temperature=1.0, top_p=1.0, stop_token=None, context_length=None, generator=None
):
    """Sequences of one length share a batch; all are carried to the end and cut afterwards; inverse of the
    cumulative distribution in place of multinomial."""
    if min(map(len, prompts)) == 0:
        raise ValueError("empty prompt")
    was_training = model.training
    model.eval()
    result: list[list[int]] = [[] for _ in prompts]
    for length in sorted({len(prompt) for prompt in prompts}):
        members = [i for i, prompt in enumerate(prompts) if len(prompt) == length]
        tokens = torch.tensor([prompts[i] for i in members])
        for _ in range(max_new_tokens):
            window = tokens[:, -(context_length or tokens.shape[1]) :]
            probabilities = decoding.next_token_probabilities(model(window)[:, -1], temperature, top_p).double()
            place = torch.rand(len(members), 1, generator=generator, dtype=torch.float64)
            cumulative = probabilities.cumsum(-1)
            drawn = torch.searchsorted(cumulative, place * cumulative[:, -1:], right=True)
            tokens = torch.cat([tokens, drawn], 1)
        for i, row in zip(members, tokens[:, length:].tolist(), strict=True):
            result[i] = row[: row.index(stop_token) + 1] if stop_token in row else row
    model.train(was_training)
    return result


def _gumbel(
    model, prompts, max_new_tokens, temperature=1.0, top_p=1.0, stop_token=None, context_length=None, generator=None
):
    """Right padding with the stop token or 0; draws by the Gumbel trick."""
    if not all(prompts):
        raise ValueError("empty prompt")
    was_training = model.training
    model.eval()
    new: list[list[int]] = [[] for _ in prompts]
    done = [False] * len(prompts)
    for _ in range(max_new_tokens):
        if all(done):
            break
        rows = [[*prompt, *tokens] for prompt, tokens in zip(prompts, new, strict=True)]
        rows = [row[-context_length:] if context_length else row for row in rows]
        batch = torch.full((len(rows), max(map(len, rows))), stop_token or 0)
        for i, row in enumerate(rows):
            batch[i, : len(row)] = torch.tensor(row)
        with torch.no_grad():
            logits = torch.stack([out[len(row) - 1] for out, row in zip(model(batch), rows, strict=True)])
        probabilities = decoding.next_token_probabilities(logits, temperature, top_p)
        noise = -torch.rand(probabilities.shape, generator=generator).clamp(min=1e-30).log()
        for i, token in enumerate((probabilities / noise).argmax(-1).tolist()):
            if not done[i]:
                new[i].append(token)
                done[i] = token == stop_token
    model.train(was_training)
    return new


VARIANTS = tuple(
    Variant(f"decoding{function.__name__.replace('_', '-')}", "decoding", {f"decoding.{name}": function})
    for name, functions in (
        ("next_token_probabilities", (_masked_logits, _row_by_row, _flipped)),
        ("generate", (_one_by_one, _by_length, _gumbel)),
    )
    for function in functions
)
