"""Encoding text as token ids with a byte-level BPE vocabulary, and decoding ids as text.

Read `Tokenizer.encode_iterable` and `_encode_pieces` for the way of a text through the tokenizer, and `_merge_pairs` for
the algorithm. How text is cut is in `pretokenization.py`; where vocabularies come from, in `bpe.py`.
"""

import heapq
import json
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise, repeat
from pathlib import Path

from .pretokenization import _pretokens, _recut, _special_token_pattern, _units

_NEVER = 1 << 62  # the rank of a pair that no merge joins

# Above this length a pre-token's merges are found with a heap; below it, looking at all pairs is faster.
_LONG_PRETOKEN = 300

_CACHED_UNITS = 1 << 18


class Tokenizer:
    """A byte-level BPE tokenizer.

    Problem: tokenizer
    """

    def __init__(
        self,
        vocab: dict[int, bytes],
        merges: list[tuple[bytes, bytes]],
        special_tokens: list[str] | None = None,
    ) -> None:
        self.vocab = dict(vocab)
        ids = {token: token_id for token_id, token in self.vocab.items()}
        special_tokens = list(special_tokens or ())
        self._special_pattern = _special_token_pattern(special_tokens)
        for special_token in special_tokens:
            token = special_token.encode()
            if token not in ids:
                ids[token] = max(self.vocab, default=-1) + 1
                self.vocab[ids[token]] = token
        self._special_ids = {token: ids[token.encode()] for token in special_tokens}
        self._byte_ids = [ids.get(bytes([byte])) for byte in range(256)]
        self._ranks: dict[tuple[int, int], int] = {}
        self._products: list[int] = []
        for rank, (left, right) in enumerate(merges):
            for token in (left, right, left + right):
                if token not in ids:
                    raise ValueError(
                        f"Merge {rank} joins {left!r} and {right!r}, but {token!r} is not in the vocabulary; "
                        f"vocab and merges must come from the same training."
                    )
            self._ranks.setdefault((ids[left], ids[right]), rank)
            self._products.append(ids[left + right])
        self._unit_ids = _Cache(self._encode_unit, _CACHED_UNITS)

    @classmethod
    def from_files(
        cls,
        vocab_filepath: str | os.PathLike,
        merges_filepath: str | os.PathLike,
        special_tokens: list[str] | None = None,
    ) -> "Tokenizer":
        """Read a tokenizer from two files in the format in which GPT-2's vocabulary was published."""
        byte_of = {char: byte for byte, char in enumerate(_printable_alphabet())}

        def as_bytes(token: str) -> bytes:
            if token in specials:
                return token.encode()
            try:
                return bytes([byte_of[char] for char in token])
            except KeyError as missing:
                raise ValueError(
                    f"The token {token!r} has the character {missing}, which stands for no byte in GPT-2's format."
                ) from None

        specials = set(special_tokens or ())
        entries = json.loads(Path(vocab_filepath).read_text(encoding="utf-8"))
        vocab = {token_id: as_bytes(token) for token, token_id in entries.items()}
        merges = []
        with open(merges_filepath, encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if (number == 1 and line.startswith("#version")) or not line.strip():
                    continue
                pair = line.split()
                if len(pair) != 2:
                    raise ValueError(f"{merges_filepath}, line {number}: expected two tokens, found {line.strip()!r}.")
                merges.append((as_bytes(pair[0]), as_bytes(pair[1])))
        return cls(vocab, merges, special_tokens)

    def encode(self, text: str) -> list[int]:
        """Encode a text."""
        return list(chain.from_iterable(self._encode_pieces([text])))

    def encode_iterable(self, iterable: Iterable[str]) -> Iterator[int]:
        """Encode a text that comes in chunks, such as the lines of a file, without holding all of it."""
        for ids in self._encode_pieces(iterable):
            yield from ids

    def decode(self, ids: Iterable[int]) -> str:
        """Decode token ids as text."""
        try:
            return b"".join(map(self.vocab.__getitem__, ids)).decode("utf-8", errors="replace")
        except KeyError as missing:
            raise ValueError(
                f"Token id {missing} is not in the vocabulary, which has {len(self.vocab)} entries; "
                f"decode with the tokenizer that made the ids."
            ) from None

    def _encode_pieces(self, texts: Iterable[str]) -> Iterator[Iterable[int]]:
        for piece in _recut(texts, self._special_ids):
            if self._special_pattern is None:
                yield self._encode_ordinary(piece)
                continue
            end = 0
            for match in self._special_pattern.finditer(piece):
                yield self._encode_ordinary(piece[end : match.start()])
                yield (self._special_ids[match[0]],)
                end = match.end()
            yield self._encode_ordinary(piece[end:])

    def _encode_ordinary(self, text: str) -> Iterable[int]:
        return chain.from_iterable(map(self._unit_ids.__getitem__, _units(text)))

    def _encode_unit(self, unit: str) -> tuple[int, ...]:
        ids: list[int] = []
        for pretoken in _pretokens(unit):
            ids += self._merge_pairs([self._byte_id(byte) for byte in pretoken.encode()])
        return tuple(ids)

    def _byte_id(self, byte: int) -> int:
        byte_id = self._byte_ids[byte]
        if byte_id is None:
            raise ValueError(f"The text has the byte {bytes([byte])!r}, which is not in the vocabulary.")
        return byte_id

    def _merge_pairs(self, ids: list[int]) -> list[int]:
        """Join pairs, the lowest rank first and the leftmost of equals, until no merge applies."""
        if len(ids) > _LONG_PRETOKEN:
            return self._merge_pairs_of_many(ids)
        ranks = list(map(self._ranks.get, pairwise(ids), repeat(_NEVER)))
        while ranks and (lowest := min(ranks)) != _NEVER:
            i = ranks.index(lowest)
            ids[i : i + 2] = [self._products[lowest]]
            del ranks[i]
            if i > 0:
                ranks[i - 1] = self._ranks.get((ids[i - 1], ids[i]), _NEVER)
            if i < len(ranks):
                ranks[i] = self._ranks.get((ids[i], ids[i + 1]), _NEVER)
        return ids

    def _merge_pairs_of_many(self, ids: list[int]) -> list[int]:
        """Do what `_merge_pairs` does in n log n steps: a heap of pairs over a linked list of ids."""
        ids = [*ids, -1]  # a last id that pairs with nothing
        before = list(range(-1, len(ids) - 1))
        after = list(range(1, len(ids) + 1))
        heap = [(self._ranks[pair], i) for i, pair in enumerate(pairwise(ids)) if pair in self._ranks]
        heapq.heapify(heap)
        while heap:
            rank, i = heapq.heappop(heap)
            j = after[i]
            if ids[i] < 0 or self._ranks.get((ids[i], ids[j])) != rank:
                continue  # one of the two has been joined to another neighbour
            ids[i], ids[j] = self._products[rank], -1
            after[i] = after[j]
            before[after[j]] = i
            for left in (before[i], i):
                if left >= 0 and (new_rank := self._ranks.get((ids[left], ids[after[left]]))) is not None:
                    heapq.heappush(heap, (new_rank, left))
        return [token_id for token_id in ids if token_id >= 0]


class _Cache(dict):
    """A dictionary that computes the values it lacks, and starts afresh when it is full."""

    def __init__(self, compute: Callable, limit: int) -> None:
        super().__init__()
        self._compute = compute
        self._limit = limit

    def __missing__(self, key):
        if len(self) >= self._limit:
            self.clear()
        self[key] = value = self._compute(key)
        return value


def _printable_alphabet() -> str:
    """Write the 256 bytes as GPT-2's files do: Latin-1's visible characters as they are, the others from U+0100 on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return "".join(chr(byte if byte in visible else next(others)) for byte in range(256))
