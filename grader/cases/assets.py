"""Data that many cases share, read once from `tests/fixtures/`: a case's inputs name it instead of containing it."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from ..kit.paths import FIXTURES

_DRAWN_AT_ONCE = 1 << 14  # what lies on the way to so many numbers fits into a processor's cache
Vocab = dict[int, bytes]
Merges = list[tuple[bytes, bytes]]


class FixtureError(Exception):
    """A file below `tests/fixtures/` is missing or damaged."""


@dataclass(frozen=True)
class Asset:
    """A reference, in the inputs of a case, to what `load(name)` gives."""

    name: str


@dataclass(frozen=True)
class Recipe:
    """A float32 tensor, in the inputs of a case, that is drawn anew from `key` instead of being stored.

    Its values are uniform with mean 0 and standard deviation `scale`. They come from the raw bits of PCG64, whose
    stream NumPy promises to keep, so a stored case means the same numbers everywhere and for good.
    """

    shape: tuple[int, ...]
    scale: float
    key: int

    def tensor(self) -> torch.Tensor:
        """The tensor that is meant."""
        generator, values = np.random.PCG64(self.key), np.empty(math.prod(self.shape), np.float32)
        for start in range(0, len(values), _DRAWN_AT_ONCE):
            part = values[start : start + _DRAWN_AT_ONCE]
            unit = (generator.random_raw(len(part)) >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0
            part[:] = unit * math.sqrt(3) * self.scale
        return torch.from_numpy(values).reshape(self.shape)


def read(name: str) -> bytes:
    """The bytes of a file below `tests/fixtures/`.

    Raises:
        FixtureError: when it cannot be read.
    """
    try:
        return (FIXTURES / name).read_bytes()
    except OSError as error:
        raise FixtureError(
            f"tests/fixtures/{name} cannot be read ({error.strerror}); restore it with `git checkout tests/fixtures`."
        ) from error


def text(name: str) -> str:
    """The text of a file below `tests/fixtures/text/`, with its line ends as they are."""
    return read(f"text/{name}").decode("utf-8")


_TABLES: dict[int, Any] = {}
"""{id: table} of the tokenizers' tables that were read, which are kept for good."""


def is_table(value: object) -> bool:
    """Whether this is one of `load`'s tables, in whose fifty thousand entries nobody need look for tensors."""
    return id(value) in _TABLES


@functools.cache
def load(name: str) -> Any:
    """The data that `Asset(name)` stands for.

    `small_lm/weights` gives a state dict in float32; `small_lm/weights/layers.0` the part below a prefix;
    `gpt2/vocab`, `gpt2/merges`, `small_lm/vocab`, `small_lm/merges` a tokenizer's tables; `text/NAME` the bytes
    of a text.
    """
    folder, _, rest = name.partition("/")
    if folder == "text":
        return read(name)
    if rest == "vocab":
        return _kept(_vocab(f"{folder}/vocab.json"))
    if rest == "merges":
        return _kept(_merges(f"{folder}/merges.txt"))
    if rest.startswith("weights"):
        weights = _weights(f"{folder}/weights.safetensors")
        prefix = rest.removeprefix("weights").lstrip("/")
        if not prefix:
            return weights
        return {key.removeprefix(f"{prefix}."): value for key, value in weights.items() if key.startswith(f"{prefix}.")}
    raise KeyError(f"no asset is called {name}")


def _kept(table: Vocab | Merges) -> Vocab | Merges:
    _TABLES[id(table)] = table
    return table


def _weights(name: str) -> dict[str, torch.Tensor]:
    read(name)  # says what to do when the file is not there
    try:
        return {key: value.float() for key, value in load_file(FIXTURES / name).items()}
    except Exception as error:
        raise FixtureError(f"tests/fixtures/{name} is damaged: {error}") from error


def _vocab(name: str) -> Vocab:
    decoder = byte_decoder()
    return {
        index: bytes(decoder[c] for c in token) if set(token) <= decoder.keys() else token.encode()
        for token, index in json.loads(read(name)).items()
    }


def _merges(name: str) -> Merges:
    decoder = byte_decoder()
    lines = read(name).decode("utf-8").splitlines()
    pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    return [(bytes(decoder[c] for c in left), bytes(decoder[c] for c in right)) for left, right in pairs]


@functools.cache
def byte_decoder() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes: visible Latin-1 characters stand for themselves, the rest follow 255."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + i): byte for i, byte in enumerate(hidden)}
