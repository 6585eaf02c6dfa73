"""How batch sampling goes wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from .catalogue import Misconception
from .together import assembled


def _any_start(dataset, batch_size, context_length):
    return torch.randint(len(dataset) - context_length, (batch_size,)).tolist()


def _window(dataset, start, length):
    return torch.from_numpy(np.asarray(dataset[start : start + length]).astype(np.int64))


@assembled
def _batches(
    starts: Callable[..., list[int]] = _any_start,
    inputs: Callable[..., torch.Tensor] = _window,
    targets: Callable[..., torch.Tensor] = lambda dataset, start, length: _window(dataset, start + 1, length),
    read: Callable[..., np.ndarray] = lambda dataset: dataset,
    finish: Callable[..., torch.Tensor] = lambda rows, device: rows.to(device),
    stack: Callable[..., torch.Tensor] = torch.stack,
) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Batch sampling with some of its parts replaced."""

    def get_batch(dataset, batch_size, context_length, device):
        dataset = read(dataset)
        chosen = starts(dataset, batch_size, context_length)
        x, y = (stack([part(dataset, i, context_length) for i in chosen]) for part in (inputs, targets))
        return finish(x, device), finish(y, device)

    return get_batch


def _starts_below(shift: int, lowest: int = 0) -> Callable[..., list[int]]:
    def starts(dataset, batch_size, context_length):
        return torch.randint(lowest, len(dataset) - context_length + shift, (batch_size,)).tolist()

    return starts


def _block(dataset, batch_size, context_length):
    span = max(1, len(dataset) - context_length - batch_size)
    first = int(torch.randint(span, ()))
    return [first + i for i in range(batch_size)]


def _same_for_all(dataset, batch_size, context_length):
    return _any_start(dataset, 1, context_length) * batch_size


def _seeded(dataset, batch_size, context_length):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(len(dataset) - context_length, (batch_size,), generator=generator).tolist()


def _in_steps(dataset, batch_size, context_length):
    windows = max(1, (len(dataset) - 1) // context_length)
    return (torch.randint(windows, (batch_size,)) * context_length).tolist()


def _from_the_beginning(dataset, batch_size, context_length):
    return [i % (len(dataset) - context_length) for i in range(batch_size)]


def _towards_the_beginning(dataset, batch_size, context_length):
    places = torch.rand(batch_size) ** 2 * (len(dataset) - context_length)
    return places.long().tolist()


def _own_numbers(dataset, start, length):
    return torch.from_numpy(np.array(dataset[start : start + length]))


def _signed(dataset):
    return dataset.astype(np.int16).astype(np.int64) if dataset.dtype == np.uint16 else dataset


def _reads_all(dataset):
    return np.array(dataset, dtype=np.int64)


def _seeded_by_chance(dataset, batch_size, context_length):
    torch.seed()
    return _any_start(dataset, batch_size, context_length)


def _of_its_own(dataset, batch_size, context_length):
    return np.random.default_rng().integers(len(dataset) - context_length, size=batch_size).tolist()


def _targets_stay_behind(dataset, batch_size, context_length, device):
    x, y = _batches()(dataset, batch_size, context_length, "cpu")
    return x.to(device), y


def _in_place(dataset, batch_size, context_length, device):
    x, y = _batches()(dataset, batch_size, context_length, device)
    np.random.shuffle(dataset)
    return x, y


def _wrong(
    id: str,
    diagnosis: str,
    hint: str,
    frequency: str = "occasional",
    function: Callable | None = None,
    throughout: bool = False,
    **parts: Callable,
) -> Misconception:
    return Misconception(
        id=f"data-loading-{id}",
        problem="data_loading",
        replaces={"data.get_batch": function or _batches(**parts)},
        diagnosis=f"Your get_batch {diagnosis}",
        hint=hint,
        frequency=frequency,
        throughout=throughout,
    )


MISCONCEPTIONS = (
    _wrong(
        "targets-are-inputs",
        "returns the same tokens as inputs and targets.",
        "Which token should a model predict at the last position of a window?",
        "rare",
        targets=_window,
    ),
    _wrong(
        "targets-one-earlier",
        "returns targets one token before the inputs, not after them.",
        "For the dataset 0, 1, 2, ...: is y equal to x + 1?",
        "rare",
        starts=_starts_below(0, lowest=1),
        targets=lambda dataset, start, length: _window(dataset, start - 1, length),
    ),
    _wrong(
        "targets-two-later",
        "returns targets two tokens after the inputs, so that each skips the next token.",
        "For the dataset 0, 1, 2, ...: is y equal to x + 1?",
        "rare",
        starts=_starts_below(-1),
        targets=lambda dataset, start, length: _window(dataset, start + 2, length),
    ),
    _wrong(
        "targets-roll-around",
        "shifts each window by one and puts its first token at the end, where the dataset's next token belongs.",
        "What is the last target of a window?",
        targets=lambda dataset, start, length: _window(dataset, start, length).roll(-1),
    ),
    _wrong(
        "targets-next-window",
        "returns the next window as targets; they should be the same window one token later.",
        "For the dataset 0, 1, 2, ...: is y equal to x + 1?",
        "rare",
        starts=lambda dataset, batch_size, length: torch.randint(
            max(1, len(dataset) - 2 * length), (batch_size,)
        ).tolist(),
        targets=lambda dataset, start, length: _window(dataset, start + length, length),
    ),
    _wrong(
        "last-token-only",
        "returns one target per window, the token after it.",
        "What shape should y have?",
        "rare",
        targets=lambda dataset, start, length: _window(dataset, start + length, 1),
    ),
    _wrong(
        "window-too-short",
        "returns windows that are one token too short.",
        "What shape does x have for a context length of 7?",
        "rare",
        inputs=lambda dataset, start, length: _window(dataset, start, length - 1),
        targets=lambda dataset, start, length: _window(dataset, start + 1, length - 1),
        throughout=True,
    ),
    _wrong(
        "transposed",
        "returns batches of shape (context, batch).",
        "Which dimension comes first?",
        "rare",
        stack=lambda rows: torch.stack(rows, dim=1),
        throughout=True,
    ),
    _wrong(
        "misses-last-start",
        "never draws the last start for which a next token exists.",
        "For 5 tokens and a context of 4: how many windows are there, and which bounds does your random call get?",
        "common",
        starts=_starts_below(-1),
    ),
    _wrong(
        "one-start-too-many",
        "sometimes draws a window whose last target is beyond the end of the dataset.",
        "For 5 tokens and a context of 5: is there a target for the last token?",
        "common",
        starts=_starts_below(1),
    ),
    _wrong(
        "misses-first-start",
        "never draws the first window of the dataset.",
        "What is the smallest number that your random call returns?",
        "rare",
        starts=_starts_below(0, lowest=1),
    ),
    _wrong(
        "multiples-only",
        "draws only starts that are multiples of the context length.",
        "Can a window begin at token 1?",
        starts=_in_steps,
    ),
    _wrong(
        "prefers-the-beginning",
        "draws starts near the beginning of the dataset more often than others.",
        "Draw ten thousand starts and count how many fall into each tenth of the dataset.",
        "rare",
        starts=_towards_the_beginning,
    ),
    _wrong(
        "from-the-beginning",
        "always starts at the beginning of the dataset, without any randomness.",
        "Call it twice: are the batches different?",
        "rare",
        starts=_from_the_beginning,
    ),
    _wrong(
        "same-every-call",
        "sets the seed in every call, so every batch is the same.",
        "Call it twice: are the batches different?",
        starts=_seeded,
    ),
    _wrong(
        "same-for-all-rows",
        "draws one start per batch and uses it for every row.",
        "Print a batch of 4: are its rows different?",
        "rare",
        starts=_same_for_all,
    ),
    _wrong(
        "rows-in-sequence",
        "draws one start per batch and takes consecutive rows from there.",
        "Print the starts of a batch of 4: does each determine the next?",
        "rare",
        starts=_block,
    ),
    _wrong(
        "not-int64",
        "returns the tokens in the dataset's own integer type, but embeddings and losses need int64.",
        "Print x.dtype for a dataset of uint16 or int32.",
        "common",
        inputs=_own_numbers,
        targets=lambda dataset, start, length: _own_numbers(dataset, start + 1, length),
    ),
    _wrong(
        "int32",
        "returns int32 tensors, but embeddings and losses need int64.",
        "Print x.dtype.",
        finish=lambda rows, device: rows.int().to(device),
    ),
    _wrong(
        "float",
        "returns floating-point tensors; token ids are int64.",
        "What happens when you pass your x to an embedding?",
        finish=lambda rows, device: rows.float().to(device),
    ),
    _wrong(
        "signed-16-bit",
        "reads 16-bit tokens as signed numbers, so ids above 32767 become negative.",
        "What is np.uint16(40000).astype(np.int16)?",
        "rare",
        read=_signed,
    ),
    _wrong(
        "reads-everything",
        "copies the whole dataset into memory, but a memory-mapped one may not fit.",
        "Which of your lines touches all of the dataset, not only the windows?",
        "common",
        read=_reads_all,
    ),
    _wrong(
        "shuffles-the-dataset",
        "changes the given dataset.",
        "Is the caller's array the same before and after?",
        "rare",
        function=_in_place,
    ),
    _wrong(
        "ignores-device",
        "leaves the batch on the CPU, whatever the requested device.",
        "Where does your code use the device argument?",
        finish=lambda rows, device: rows,
    ),
    _wrong(
        "targets-stay-on-cpu",
        "puts the inputs on the requested device but leaves the targets on the CPU.",
        "Print the device of both x and y.",
        function=_targets_stay_behind,
    ),
    _wrong(
        "seeds-by-chance",
        "reseeds torch's generator in every call, so that no run with it can be repeated.",
        "Seed torch, draw a batch, then draw a number: is it the same every time?",
        starts=_seeded_by_chance,
    ),
    _wrong(
        "own-generator",
        "creates a new generator in every call, which nobody can seed, so that no batch can be repeated.",
        "What seed does np.random.default_rng() use without an argument?",
        starts=_of_its_own,
    ),
)
