"""What an output shows by its mere form, read off before anything else is tried.

Only what neither the failure's message nor `cases/relations.py` says already. A sentence says what is there, what
should be, and where to look; of an output that has the right form there is nothing to say.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from ..cases.relations import close
from ..scoring.outcome import Clue
from ..submission.interface import Submission

if TYPE_CHECKING:
    from .clues import Failure

_MOST_DIMENSIONS = 4
_MOST = 3
"""So many sentences at most: what comes later follows from what comes first."""


def find_structure(failure: Failure, submission: Submission) -> Clue | None:
    """What the outputs of a failed test show by their form. A source of clues; it asks the submission nothing."""
    says: list[str] = []
    for (operation, arguments), answer in zip(failure.asked, failure.answers, strict=False):
        if says := list(_seen(failure, operation, arguments, answer)):
            break  # others of its answers show the same
    told = failure.outcome.message
    kept = [sentence for sentence in says if sentence not in told][:_MOST]
    return Clue(says=tuple(kept)) if kept else None


def _seen(failure: Failure, operation: str, arguments: Mapping[str, Any], answer: Any) -> Iterator[str]:
    if isinstance(answer, Exception):
        return
    if operation == "train_bpe":
        yield from _of_vocabulary(arguments, answer)
    elif operation in ("tokenizer_encode", "tokenizer_encode_iterable"):
        yield from _of_ids(failure, arguments, answer)
    elif operation == "adamw_trajectory":
        yield from _of_trajectory(arguments, answer)
    elif operation == "learning_rates":
        yield from _of_rates(answer)
    elif operation.startswith("run_"):
        case = failure.case
        expected = (
            case.expected if case is not None and case.operation == operation and case.inputs is arguments else None
        )
        if expected is None and case is not None and case.operation == operation and len(failure.asked) == 1:
            expected = case.expected
        yield from _of_tensor(operation, arguments, expected, answer)


# --- tensors ---------------------------------------------------------------------------------------------------------


def _of_tensor(operation: str, arguments: Mapping[str, Any], expected: Any, answer: Any) -> Iterator[str]:
    if answer is None:
        yield (
            f"{operation} returns None: a function that ends without `return` does. Is the result computed and "
            "not returned?"
        )
        return
    if not isinstance(expected, torch.Tensor):
        return
    if isinstance(answer, (list, tuple)):
        yield from _of_several(expected, answer)
        return
    if isinstance(answer, (int, float)) and not isinstance(answer, bool):
        yield "It is a number of Python's, which has no gradient and no device: leave out .item() or float()."
        return
    if not isinstance(answer, torch.Tensor) or not expected.is_floating_point():
        return
    if answer.shape != expected.shape:
        yield from _of_shape(expected, answer)
        return
    right = close(expected, answer)
    if answer.dtype != expected.dtype:
        if right or torch.allclose(
            expected.double(), answer.double(), rtol=1e-2, atol=1e-2 * float(expected.abs().max())
        ):
            yield f"The values are right, as {answer.dtype}; only the last conversion, to {expected.dtype}, is missing."
        return
    if right or not answer.numel():
        return
    if not torch.isfinite(answer).all():
        yield from _of_infinite(expected, answer)
        return
    for name, given in arguments.items():
        if (
            isinstance(given, torch.Tensor)
            and given.shape == answer.shape
            and torch.equal(given.to(answer.dtype), answer)
        ):
            yield f"The output is the input {name}, unchanged."
            return
    if answer.numel() > 1 and answer.any() and float(answer.max()) == float(answer.min()):
        yield f"Every value of the output is {float(answer.reshape(-1)[0]):.6g}, whatever the input."
        return
    yield from _of_distribution(expected, answer)
    yield from _of_order(expected, answer)


def _of_several(expected: torch.Tensor, answer: Any) -> Iterator[str]:
    kind = type(answer).__name__
    tensors = [one for one in answer if isinstance(one, torch.Tensor)]
    if not tensors or len(tensors) != len(answer):
        return
    for number, one in enumerate(tensors):
        if one.shape == expected.shape and close(expected, one):
            yield f"Item {number} of the {kind} is the right answer; it should be returned alone."
            return
    if len({one.shape for one in tensors}) == 1:
        stacked = torch.stack(tensors)
        if stacked.shape == expected.shape and close(expected, stacked):
            yield (
                f"The {len(tensors)} tensors of the {kind} are the rows of the right answer: torch.stack makes one "
                "tensor of them."
            )


def _of_shape(expected: torch.Tensor, answer: torch.Tensor) -> Iterator[str]:
    for order in _orders(answer.ndim):
        said_already = order == _last_two_swapped(answer.ndim)
        if answer.ndim == expected.ndim and not said_already and close(expected, answer.permute(order)):
            yield f"The values are right in another order of dimensions: .permute{order} of yours is what is asked for."
            return
    if not expected.ndim and answer.numel() > 1 and answer.is_floating_point():
        for name, value in (("mean", answer.double().mean()), ("sum", answer.double().sum())):
            if close(expected, value):
                yield (
                    f"The {name} of your {answer.numel()} values is the right answer: it is to be returned, as one "
                    "number."
                )
                return
    if answer.ndim == expected.ndim - 1 and expected.shape[:-1] == answer.shape and expected.shape[-1] != 1:
        yield "The last dimension is lost: was it summed up, or indexed with one number?"


def _of_infinite(expected: torch.Tensor, answer: torch.Tensor) -> Iterator[str]:
    strange = ~torch.isfinite(answer) & torch.isfinite(expected)
    kinds = (
        "NaN"
        if torch.isnan(answer[strange]).all()
        else "infinite"
        if not torch.isnan(answer[strange]).any()
        else "NaN or infinite"
    )
    if strange.all():
        yield f"All values are {kinds}."
        return
    if answer.ndim < 2:
        return
    rows = strange.reshape(-1, strange.shape[-1])
    if bool((rows.all(1) == rows.any(1)).all()):
        number = int(rows.all(1).sum())
        first = bool(strange[..., 0, :].all()) and int(strange.sum()) == strange[..., 0, :].numel()
        which = "the first row of each matrix" if first else f"{number} of {len(rows)} rows"
        yield f"It is whole rows that are {kinds}: {which}. A softmax over nothing but -inf is NaN, and so is 0 / 0."


def _of_distribution(expected: torch.Tensor, answer: torch.Tensor) -> Iterator[str]:
    if answer.ndim < 1 or answer.shape[-1] < 2:
        return
    wide, right = answer.double(), expected.double()
    sums_to_one = bool((wide.min() >= 0) and ((wide.sum(-1) - 1).abs() < 1e-4).all())
    should = bool((right.min() >= 0) and ((right.sum(-1) - 1).abs() < 1e-4).all())
    if sums_to_one and not should:
        if close(torch.softmax(right, -1), wide):
            yield "Your output is the softmax of the right one: return logits, without a softmax at the end."
        elif not any(_sums_to_one(right, dim) for dim in range(right.ndim)):
            yield (
                "Each row of the output sums to 1 and nothing is negative, as probabilities do; what is asked for "
                "does not."
            )
    elif should and not sums_to_one and close(right.log(), wide):
        yield "Your output is the logarithm of the right one (log-softmax)."
    elif not should and close(torch.log_softmax(right, -1), wide):
        yield "Your output is the log-softmax of the right one: return logits."
    elif not sums_to_one:
        right_dims = [dim for dim in range(right.ndim) if right.shape[dim] > 1 and _sums_to_one(right, dim)]
        own_dims = [dim for dim in range(wide.ndim) if wide.shape[dim] > 1 and _sums_to_one(wide, dim)]
        if len(right_dims) == 1 and len(own_dims) == 1 and right_dims != own_dims:
            yield f"Your values sum to 1 along dimension {own_dims[0]}; they should along dimension {right_dims[0]}."


def _sums_to_one(values: torch.Tensor, dim: int) -> bool:
    return bool((values.min() >= 0) and ((values.sum(dim) - 1).abs() < 1e-4).all())


def _of_order(expected: torch.Tensor, answer: torch.Tensor) -> Iterator[str]:
    """Right values with dimensions exchanged that are equally long."""
    for order in _orders(answer.ndim):
        turned = answer.permute(order)
        if turned.shape == expected.shape and close(expected, turned):
            yield (
                f"The values are right with their dimensions in another order: .permute{order} of yours is what is "
                "asked for."
            )
            return


def _orders(dimensions: int) -> list[tuple[int, ...]]:
    if not 2 <= dimensions <= _MOST_DIMENSIONS:
        return []
    return [order for order in itertools.permutations(range(dimensions)) if order != tuple(range(dimensions))]


def _last_two_swapped(dimensions: int) -> tuple[int, ...]:
    """What `relations` says."""
    return (*range(dimensions - 2), dimensions - 1, dimensions - 2)


# --- vocabularies and ids --------------------------------------------------------------------------------------------


def _of_vocabulary(arguments: Mapping[str, Any], answer: Any) -> Iterator[str]:
    if not isinstance(answer, dict) or not {"merges", "ids", "tokens"} <= answer.keys():
        return
    merges, ids, tokens = answer["merges"], list(answer["ids"]), list(answer["tokens"])
    special, size = arguments["special_tokens"], arguments["vocab_size"]
    yield from _of_merges(merges, set(tokens))
    missing = [byte for byte in range(256) if bytes([byte]) not in set(tokens)]
    if missing:
        some = f"the first of them {bytes([missing[0]])!r}"
        empty = (
            " bytes(n) makes n zero bytes, and bytes([n]) the byte n."
            if any(set(one) == {0} and len(one) > 1 for one in tokens)
            else ""
        )
        above = (
            " chr(n).encode() is two bytes from 128 on; bytes([n]) is one." if missing == list(range(128, 256)) else ""
        )
        yield f"Of the 256 single bytes, {len(missing)} are not in the vocabulary, {some}.{empty}{above}"
    lacking = [token for token in special if token.encode() not in set(tokens)]
    if lacking:
        yield f"The special token {lacking[0]!r} is not in the vocabulary: add special_tokens, as bytes."
    if ids and ids != list(range(len(ids))):
        gap = next((i for i, token_id in enumerate(ids) if token_id != i), len(ids))
        yield f"The ids are not 0, 1, 2, ... without a gap: id {gap} is missing, and the largest is {ids[-1]}."
    if len(ids) > len(tokens):
        yield f"The vocabulary has {len(ids)} ids and {len(tokens)} different tokens: some token has two ids."
    if len(ids) > size:
        more = len(ids) - size
        if more == len(special) > 1:
            yield f"The vocabulary has {len(ids)} entries, {more} more than vocab_size: special tokens count, too."
        else:
            loop = " A loop `while len(vocab) <= vocab_size` makes one too many." if more == 1 else ""
            yield f"The vocabulary has {len(ids)} entries, where vocab_size is {size}.{loop}"


def _of_merges(merges: Any, tokens: set[bytes]) -> Iterator[str]:
    if not isinstance(merges, list) or not merges:
        return
    first = merges[0]
    if isinstance(first, tuple) and len(first) == 2:
        if any(isinstance(part, str) for part in first):
            yield f"merges[0] is {first!r}, of str; tokens are bytes, which word.encode() gives."
        elif all(isinstance(part, int) for part in first):
            yield f"merges[0] is {first!r}, two ids; a merge is the two tokens themselves, as bytes."
        elif all(isinstance(part, bytes) for part in first):
            pairs = [merge for merge in merges if isinstance(merge, tuple) and len(merge) == 2]
            lacking = next((pair for pair in pairs if pair[0] + pair[1] not in tokens), None)
            if lacking is not None:
                yield f"The merge {lacking!r} makes {lacking[0] + lacking[1]!r}, which is not in the vocabulary."
            twice = next((pair for i, pair in enumerate(pairs[:2000]) if pair in pairs[:i]), None)
            if twice is not None:
                yield f"The merge {twice!r} is in the list twice: after a merge, its pair is gone from every word."


def _of_ids(failure: Failure, arguments: Mapping[str, Any], answer: Any) -> Iterator[str]:
    text = arguments.get("text", "".join(arguments.get("chunks", ())))
    vocab = failure.case.inputs.get("vocab") if failure.case is not None else None
    if answer is None:
        yield "encode returns None: is a `return` missing?"
    elif isinstance(answer, torch.Tensor):
        yield "encode returns a tensor; it returns a list of int."
    elif isinstance(answer, list) and answer:
        first = answer[0]
        if isinstance(first, (list, tuple)) and "chunks" in arguments:
            yield "Your encode_iterable yields lists; it should yield ids one by one: `yield from` does that."
        elif isinstance(first, (list, tuple)):
            yield (
                "The ids are a list of lists, one for each pre-token or part; they should be one flat list "
                "(extend, not append)."
            )
        elif isinstance(first, (bytes, str)):
            yield f"encode returns tokens, such as {first!r}; their ids are asked for."
        elif vocab and all(type(token_id) is int for token_id in answer):
            yield from _of_spelling(
                text, answer, vocab, failure.case.inputs.get("special_tokens") if failure.case else ()
            )


def _of_spelling(text: str, ids: list[int], vocab: Mapping[int, bytes], special: Any) -> Iterator[str]:
    """Whether the tokens spell the text, however it was cut."""
    unknown = next((token_id for token_id in ids if token_id not in vocab), None)
    if unknown is not None:
        if not any(token.encode() not in vocab.values() for token in special or ()):
            yield f"The id {unknown} is not in the vocabulary, whose ids go up to {max(vocab)}."
        return
    want, got = text.encode("utf-8", "surrogatepass"), b"".join(vocab[token_id] for token_id in ids)
    if want == got:
        return
    at = next(
        (i for i, (one, other) in enumerate(zip(want, got, strict=False)) if one != other), min(len(want), len(got))
    )
    near = repr(want[max(at - 8, 0) : at + 8])
    if len(got) < len(want):
        yield (
            f"Your tokens do not spell the text: joined, they have {len(got)} bytes, and the text has "
            f"{len(want)}. The first loss is near {near}."
        )
    elif len(got) > len(want):
        yield (
            f"Your tokens do not spell the text: joined, they have {len(got)} bytes, and the text has "
            f"{len(want)}. They part near {near}."
        )
    else:
        yield f"Your tokens do not spell the text: other bytes come near {near}."


# --- optimizers ------------------------------------------------------------------------------------------------------


def _of_trajectory(arguments: Mapping[str, Any], answer: Any) -> Iterator[str]:
    try:
        steps = [list(step.values()) for step in answer.values()]
        start = arguments["parameters"]
        still = all(torch.equal(value, start[i]) for step in steps for i, value in enumerate(step))
        moves = any(gradient is not None and gradient.any() for step in arguments["gradients"] for gradient in step)
    except (AttributeError, KeyError, TypeError, IndexError, RuntimeError):
        return
    if steps and still and moves:
        yield (
            "No parameter moves in any step: write to the parameter itself, in place (p.data.add_, p.data = ...); "
            "`p = p - ...` only gives a name to a new tensor."
        )


def _of_rates(answer: Any) -> Iterator[str]:
    if not isinstance(answer, dict) or not answer:
        return
    it, rate = next(iter(answer.items()))
    if rate is None:
        yield f"At it = {it} the schedule returns None: a branch of it has no `return`."
    elif None in answer.values():
        at = next(it for it, rate in answer.items() if rate is None)
        yield f"At it = {at} the schedule returns None: that branch has no `return`."
    elif isinstance(rate, torch.Tensor):
        yield "The schedule returns a tensor; a rate is a float."
