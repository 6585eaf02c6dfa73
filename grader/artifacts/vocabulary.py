"""A tokenizer's tables as a submission gives them: `vocab.json` and `merges.txt`, in GPT-2's format."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tiktoken

from ..cases.assets import byte_decoder
from ..cases.pattern_probes import GPT2_PATTERN
from ..submission.faults import WrongResult
from ..submission.files import Files
from .parsing import parse_json, parse_toml, shown

_LIMIT = 16 << 20
_MOST_TOKENS = 1 << 18
_LONGEST_TOKEN = 4096
_MOST_SPECIAL = 100
_BYTES = [bytes([byte]) for byte in range(256)]


@dataclass(frozen=True)
class Vocabulary:
    """A byte-level BPE vocabulary and the merges that made it.

    where: what messages call it; tokens: {id: bytes}; merges: in the order of their creation.
    """

    where: str
    tokens: Mapping[int, bytes]
    merges: Sequence[tuple[bytes, bytes]]

    @functools.cached_property
    def special_tokens(self) -> list[str]:
        """The tokens that are neither single bytes nor made by a merge.

        Raises:
            WrongResult: for more of them than any tokenizer has.
        """
        made = {left + right for left, right in self.merges}
        special = [token for _, token in sorted(self.tokens.items()) if len(token) != 1 and token not in made]
        if len(special) > _MOST_SPECIAL:
            raise WrongResult(
                f"{self.where}: {len(special):,} tokens are neither bytes nor made by a merge, the first of them "
                f"{shown(special[0])}; merges.txt and vocab.json do not belong together."
            )
        return [token.decode("utf-8", "replace") for token in special]

    def faults(self) -> Iterator[str]:
        """What keeps the tables from being those of a byte-level BPE training, as sentences."""
        ids = sorted(self.tokens)
        if ids != list(range(len(ids))):
            yield f"{self.where}: the {len(ids)} ids are not 0, 1, 2, ... without a gap; the largest is {max(ids)}."
        known = set(self.tokens.values())
        missing = [byte for byte in _BYTES if byte not in known]
        if missing:
            yield f"{self.where}: {len(missing)} of the 256 single bytes are missing, the first of them {missing[0]!r}."
        id_of = {token: id for id, token in self.tokens.items()}
        there = set(_BYTES)
        before = -1
        for number, (left, right) in enumerate(self.merges, start=1):
            absent = next((part for part in (left, right) if part not in there), None)
            if absent is not None:
                yield f"{self.where}: merge {number} joins {left!r} and {right!r}, but none before makes {absent!r}."
                return
            if left + right not in id_of:
                yield f"{self.where}: merge {number} makes {left + right!r}, which is not in the vocabulary."
                return
            if left + right in there:
                yield f"{self.where}: merge {number} makes {left + right!r} a second time."
                return
            if id_of[left + right] <= before:
                yield f"{self.where}: the tokens' ids do not follow the order of the merges, first at merge {number}."
                return
            there.add(left + right)
            before = id_of[left + right]
        strangers = [token for token in self.special_tokens if not (token.startswith("<") and token.endswith(">"))]
        if strangers:
            yield (
                f"{self.where}: {len(strangers)} tokens are neither bytes nor made by a merge, nor do they look like "
                f"'<|endoftext|>'; the first of them is {strangers[0]!r}."
            )

    def count(self, text: str, most_merges: int | None = None) -> int:
        """How many tokens a text takes; with the first `most_merges` merges alone, if that is given."""
        return len(self._encoding(most_merges).encode(text, allowed_special="all"))

    def bytes_per_token(self, text: str, most_merges: int | None = None) -> float:
        """Compression: bytes of UTF-8 for each token."""
        return len(text.encode()) / max(1, self.count(text, most_merges))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, with U+FFFD for what is no UTF-8.

        Raises:
            WrongResult: for an id that is not in the vocabulary.
        """
        unknown = next((id for id in ids if id not in self.tokens), None)
        if unknown is not None:
            raise WrongResult(f"the id {unknown} is not in {self.where}, which has {len(self.tokens)} tokens.")
        return b"".join(self.tokens[id] for id in ids).decode("utf-8", "replace")

    def _encoding(self, most_merges: int | None) -> tiktoken.Encoding:
        """The encoder of these merges. Only how many tokens come out counts here, so it has ids of its own."""
        ranks = {byte: rank for rank, byte in enumerate(_BYTES)}
        for left, right in self.merges[:most_merges]:
            ranks.setdefault(left + right, len(ranks))
        special = {token: len(ranks) + number for number, token in enumerate(self.special_tokens)}
        return tiktoken.Encoding("judged", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens=special)


def read_vocabulary(files: Files, folder: str) -> Vocabulary:
    """The vocabulary in `vocab.json` and `merges.txt` of a folder.

    Raises:
        NothingToAssess: one of the files is not there.
        WrongResult: they are not in GPT-2's format.
    """
    vocab, merges = f"{folder}/vocab.json", f"{folder}/merges.txt"
    return Vocabulary(
        folder, _tokens(files.read_text(vocab, _LIMIT), vocab), _merges(files.read_text(merges, _LIMIT), merges)
    )


def vocabulary_from(where: str, trained: Any) -> Vocabulary:
    """The vocabulary that the driver `train_bpe` brought back.

    Raises:
        WrongResult: when its merges are not pairs of bytes.
    """
    pairs = [tuple(pair) if type(pair) in (tuple, list) else () for pair in trained["merges"]]
    if not all(len(pair) == 2 and all(type(part) is bytes for part in pair) for pair in pairs):
        raise WrongResult(f"{where} gave merges that are not pairs of bytes.")
    return Vocabulary(where, dict(zip(trained["ids"], trained["tokens"], strict=False)), pairs)


def _tokens(text: str, name: str) -> dict[int, bytes]:
    entries = parse_json(text, name)
    if not isinstance(entries, dict) or not all(type(id) is int and 0 <= id < 1 << 31 for id in entries.values()):
        raise WrongResult(f"{name} must be one JSON object that maps tokens to ids, whole numbers from 0 on.")
    if not 0 < len(entries) <= _MOST_TOKENS:
        raise WrongResult(f"{name} has {len(entries):,} tokens; 1 to {_MOST_TOKENS:,} are accepted.")
    if len(set(entries.values())) < len(entries):
        raise WrongResult(f"{name} gives two tokens the same id.")
    decoder = byte_decoder()
    tokens = {}
    for token, id in entries.items():
        if not 0 < len(token) <= _LONGEST_TOKEN:
            raise WrongResult(f"{name} has a token of {len(token):,} characters; 1 to {_LONGEST_TOKEN:,} are accepted.")
        tokens[id] = (
            bytes(decoder[c] for c in token) if set(token) <= decoder.keys() else token.encode("utf-8", "replace")
        )
    return tokens


def _merges(text: str, name: str) -> list[tuple[bytes, bytes]]:
    decoder = byte_decoder()
    merges = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        pair = line.split(" ")
        if len(pair) != 2 or not all(part and set(part) <= decoder.keys() for part in pair):
            raise WrongResult(
                f"{name}, line {number}: {line[:60]!r} is not two tokens with one space between them, written in "
                "GPT-2's alphabet (a space inside a token is Ġ)."
            )
        merges.append((bytes(decoder[c] for c in pair[0]), bytes(decoder[c] for c in pair[1])))
        if len(merges) > _MOST_TOKENS:
            raise WrongResult(f"{name} has more than {_MOST_TOKENS:,} merges.")
    return merges


@dataclass(frozen=True)
class Training:
    """What a run folder says about a BPE training.

    text: the file name of what was trained on; longest_token: as the author found it.
    """

    folder: str
    text: str
    vocab_size: int
    special_tokens: tuple[str, ...]
    longest_token: str
    seconds: float
    peak_memory_mib: float


def read_training(files: Files, folder: str) -> Training:
    """The `config.toml` of a folder with a tokenizer.

    Raises:
        NothingToAssess: there is none; WrongResult: a key is missing or of the wrong type.
    """
    name = f"{folder}/config.toml"
    table = parse_toml(files.read_text(name, 1 << 16), name)
    kinds = {"text": str, "vocab_size": int, "special_tokens": list, "longest_token": str}
    kinds |= {"seconds": float, "peak_memory_mib": float}
    for key, kind in kinds.items():
        value = table.get(key)
        if type(value) is not kind and not (kind is float and type(value) is int):
            what = {str: "text", int: "a whole number", list: "a list of texts", float: "a number"}[kind]
            raise WrongResult(f"{name}: {key} is {shown(value)}; it must be {what}.")
    special = table["special_tokens"]
    if not all(isinstance(token, str) for token in special) or len(special) > 100:
        raise WrongResult(f"{name}: special_tokens must be a list of texts.")
    values = {key: table[key] for key in kinds if key != "special_tokens"}
    return Training(folder, special_tokens=tuple(special), **values)
