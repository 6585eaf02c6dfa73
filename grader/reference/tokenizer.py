"""Encoding text as token ids with a byte-level BPE vocabulary, and decoding ids as text.

`pretokenization.py` says how text is split; `bpe.py` learns vocabularies.
"""

import heapq
import json
import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise, repeat
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from ._bulk_encoding import _BulkEncoder
from ._bulk_merging import _BulkMerger
from .pretokenization import _recut, _special_token_pattern, _split_ascii, _split_unit, _units

_NEVER = 1 << 62  # the rank of a pair that no merge joins
_NOTHING = -1  # in the place of an id: no token, or no longer one; it pairs with nothing

_NOWHERE = r"(?!)"  # a pattern that matches nothing

# Looking at all pairs after each merge is fastest for words, but quadratic; what is longer needs a heap.
_LONG_PRETOKEN = 300

# From this length on, texts are encoded with numpy: to make its tables takes as long as 50,000 characters of text. The
# pieces are so long that each has enough new words to keep numpy's loops busy.
_BULK_TEXT = 1 << 16
_BULK_CHARS = 1 << 20
_BULK_TOKENS = 1 << 21  # of the words that are remembered: some tens of megabytes

_CACHE_ENTRIES = 1 << 18  # some tens of megabytes
_STREAM_CACHE_ENTRIES = 1 << 11  # less than one: `encode_iterable` is for when memory counts
_CACHED_CHARS = 80  # what is longer hardly ever comes again


class Tokenizer:
    """A byte-level BPE tokenizer: text to token ids and back.

    To encode a text, split it at the special tokens, each of which becomes its own id; if several match, take the
    longest. Split the text between them into pre-tokens with `PRETOKEN_PATTERN`. Each pre-token starts as its UTF-8
    bytes, one token per byte. Then repeatedly merge the adjacent pair that comes first in `merges`, the leftmost if it
    occurs several times, until no adjacent pair is in `merges`. A token's id is whatever `vocab` says; it need not
    follow the order of the merges.

    Args:
        vocab: Maps ids to the bytes of tokens.
        merges: Pairs of tokens in the order of their creation, as returned by `train_bpe`.
        special_tokens: Tokens at which text is split. Add those that `vocab` lacks to the tokenizer's vocabulary, in
            the order given, with the ids after the largest one. `None` and `[]` both mean that there are none: then
            encode a text such as `"<|endoftext|>"` like any other, even if `vocab` has it.

    Attributes:
        vocab: The vocabulary with the special tokens. The dictionary passed in is not changed.

    Raises:
        ValueError: If a token of a merge, or its merged token, is not in `vocab`, or if a special token is empty.

    Sources:
        Sennrich et al. 2016, section 3.2, https://arxiv.org/abs/1508.07909.
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2.

    Problem: tokenizer
    """

    def __init__(
        self,
        vocab: dict[int, bytes],
        merges: list[tuple[bytes, bytes]],
        special_tokens: list[str] | None = None,
    ) -> None:
        self.vocab = dict(vocab)
        # Of ids with the same bytes the first counts: `train_bpe` puts special tokens before bytes.
        ids = {token: token_id for token_id, token in reversed(self.vocab.items())}
        special_tokens = list(special_tokens or ())
        special = _special_token_pattern(special_tokens)
        # In turn: ordinary text, a special token, ordinary text, ...
        self._split_at_special_tokens = re.compile(f"({special.pattern if special else _NOWHERE})").split
        for token in map(str.encode, special_tokens):
            if token not in ids:
                ids[token] = max(self.vocab, default=-1) + 1
                self.vocab[ids[token]] = token
        self._special_ids = {token: ids[token.encode()] for token in special_tokens}

        self._byte_ids = {token[0]: token_id for token, token_id in ids.items() if len(token) == 1}
        self._ranks: dict[tuple[int, int], int] = {}
        self._products: list[int] = []  # by rank
        for rank, (left, right) in enumerate(merges):
            for token in (left, right, left + right):
                if token not in ids:
                    raise ValueError(
                        f"Merge {rank} joins {left!r} and {right!r}, but {token!r} is not in the vocabulary; "
                        f"pass the vocab and merges of one and the same training."
                    )
            self._ranks.setdefault((ids[left], ids[right]), rank)
            self._products.append(ids[left + right])

        self._cache = _Cache(self, _CACHE_ENTRIES)
        self._stream_cache = _Cache(self, _STREAM_CACHE_ENTRIES)
        self._place_of = {token_id: place for place, token_id in enumerate(self.vocab)}
        self._id_at = np.array(list(self.vocab), object)  # an id in a list of ids is one of these objects
        self._bulk_encoder: _BulkEncoder | None = None  # made when it is needed

    @classmethod
    def from_files(
        cls,
        vocab_filepath: str | os.PathLike,
        merges_filepath: str | os.PathLike,
        special_tokens: list[str] | None = None,
    ) -> "Tokenizer":
        """Read a tokenizer from two files in the format in which GPT-2's vocabulary was published.

        Both are UTF-8 text in which a token's bytes are written in a printable alphabet. The bytes 0x21 to 0x7E, 0xA1
        to 0xAC and 0xAE to 0xFF are written as the characters with these code points. The other 68, in ascending order,
        are written as the characters from U+0100 upwards: 0x00 as U+0100, the space as U+0120 (`Ġ`), 0xAD as U+0143.
        Special tokens are written unchanged.

        Args:
            vocab_filepath: A JSON object that maps tokens to ids.
            merges_filepath: One merge per line, in order: two tokens with a space between them. The first line
                may be a comment that starts with `#version`. Empty lines are skipped.
            special_tokens: As for `Tokenizer`.

        Returns:
            The tokenizer.

        Raises:
            ValueError: If a token has a character that stands for no byte, if a line of merges does not have two
                tokens, or if `Tokenizer` raises it.
        """
        byte_of = {char: byte for byte, char in enumerate(_printable_alphabet())}
        literal = set(special_tokens or ())

        def read_token(token: str) -> bytes:
            if token in literal:
                return token.encode()
            try:
                return bytes([byte_of[char] for char in token])
            except KeyError as missing:
                raise ValueError(
                    f"The token {token!r} has the character {missing}, which stands for no byte in GPT-2's "
                    f"alphabet; if it is a special token, name it in special_tokens."
                ) from None

        entries = json.loads(Path(vocab_filepath).read_text(encoding="utf-8"))
        vocab = {token_id: read_token(token) for token, token_id in entries.items()}
        merges = []
        with open(merges_filepath, encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                pair = line.split()
                if not pair or (number == 1 and pair[0].startswith("#version")):
                    continue
                if len(pair) != 2:
                    raise ValueError(f"{merges_filepath}, line {number}: not two tokens but {line.strip()!r}.")
                merges.append((read_token(pair[0]), read_token(pair[1])))
        return cls(vocab, merges, special_tokens)

    def encode(self, text: str) -> list[int]:
        """Encode a text as token ids.

        Args:
            text: Any text, with or without special tokens. It may be empty.

        Returns:
            The ids; `decode` turns them back into the same text.

        Raises:
            ValueError: If the text has a byte that is not in the vocabulary, or a lone surrogate, which has no UTF-8
                encoding.
        """
        if len(text) < _BULK_TEXT:
            return list(self._encode_with(self._cache, text))
        return list(chain.from_iterable(ids.tolist() for ids in self._encode_in_pieces([text], object)))

    def encode_iterable(self, iterable: Iterable[str]) -> Iterator[int]:
        """Encode a text that comes in chunks, such as the lines of a file, one id at a time.

        The ids are those of `encode("".join(iterable))`, wherever the chunks end: in a word, in a run of white space,
        in a contraction, in a special token. Yield them as soon as no further text can change them, and hold no more
        text than this needs, so that a text far larger than memory can be encoded.

        Args:
            iterable: The chunks, in order. They may be of any length, and empty.

        Returns:
            An iterator over the ids. It requests a chunk only after all final ids so far have been taken.

        Raises:
            ValueError: As for `encode`, when the iterator reaches the place.
        """
        for piece in _recut(iterable, list(self._special_ids)):
            yield from self._encode_with(self._stream_cache, piece)

    def decode(self, ids: Iterable[int]) -> str:
        """Decode token ids as text.

        First join the bytes of all tokens, then decode them as UTF-8, because the bytes of one character may be spread
        over several tokens. Malformed sequences, such as half a character, become U+FFFD.

        Args:
            ids: Any ids of the vocabulary, including those of special tokens. There may be none.

        Returns:
            The text.

        Raises:
            ValueError: If an id is not in the vocabulary.
        """
        try:
            return b"".join(map(self.vocab.__getitem__, ids)).decode("utf-8", errors="replace")
        except KeyError as missing:
            raise ValueError(
                f"The id {missing} is not in the vocabulary, which has {len(self.vocab)} entries; "
                f"decode ids with the tokenizer that made them."
            ) from None

    # `_simple_bpe.encode` is the algorithm without what makes it fast: read that first. Here there are two ways. A
    # stream, or a short text, is split into parts, and each is looked up in a cache (`_encode_with`); for what the
    # cache lacks there are `_encode_pretoken` and the algorithm itself, `_merge`. A long text goes through
    # `_bulk_encoding.py`, which does the same to many words at once, and leaves only long ones to `_encode_pretoken`.

    def _encode_in_pieces(self, texts: Iterable[str], dtype: DTypeLike) -> Iterator[np.ndarray]:
        """The ids of a text that comes in chunks, as arrays of this type, one for each million characters."""
        pieces = map(self._split_at_special_tokens, _recut(texts, list(self._special_ids), _BULK_CHARS))
        if len(self._byte_ids) < 256:  # any word may be an error, which is to name it
            for parts in pieces:
                yield np.array(list(self._encode_with(self._cache, "".join(parts))), dtype)
            return
        if self._bulk_encoder is None:
            self._bulk_encoder = self._make_bulk_encoder()
        ids = self._id_at.astype(dtype)
        for parts in pieces:
            special = self._places(map(self._special_ids.__getitem__, parts[1::2]))
            yield ids[self._bulk_encoder.encode(parts[::2], special)]

    def _make_bulk_encoder(self) -> _BulkEncoder:
        merger = _BulkMerger(
            byte_tokens=self._places(self._byte_ids[byte] for byte in range(256)),
            pairs=self._places(chain.from_iterable(self._ranks)).reshape(-1, 2),
            ranks=np.fromiter(self._ranks.values(), np.int32),
            products=self._places(self._products),
        )
        return _BulkEncoder(merger, self._merge_long_word, _BULK_TOKENS)

    def _merge_long_word(self, word: bytes) -> np.ndarray:
        return self._places(self._encode_pretoken(word.decode()))

    def _places(self, ids: Iterable[int]) -> np.ndarray:
        """The places of ids in the vocabulary: small numbers, whatever the ids are. int32."""
        return np.fromiter(map(self._place_of.__getitem__, ids), np.int32)

    def _encode_with(self, cache: "_Cache", piece: str) -> Iterator[int]:
        """The ids of a text, or of a piece that was cut by `_recut`."""
        return chain.from_iterable(map(cache.__getitem__, self._split(piece)))

    def _split(self, piece: str) -> list[str]:
        """Split a piece into special tokens, pre-tokens where the fast pattern suffices, and units elsewhere."""
        parts: list[str] = []
        for number, text in enumerate(self._split_at_special_tokens(piece)):
            if number % 2:
                parts.append(text)
            else:
                parts += _split_ascii(text) if text.isascii() else _units(text)
        return parts

    def _encode_pretoken(self, pretoken: str) -> list[int]:
        try:
            ids = list(map(self._byte_ids.__getitem__, pretoken.encode()))
        except KeyError as missing:
            raise ValueError(
                f"The text has {pretoken!r}, but the byte {bytes(missing.args)!r} is not in the vocabulary; "
                f"a vocabulary for any text has all 256 bytes."
            ) from None
        return self._merge(ids) if len(ids) <= _LONG_PRETOKEN else self._merge_long(ids)

    def _merge(self, ids: list[int]) -> list[int]:
        """Join pairs, those of the lowest rank first and from the left, until no merge applies."""
        rank_of = self._ranks.get
        ranks = list(map(rank_of, pairwise(ids), repeat(_NEVER)))
        while ranks and (lowest := min(ranks)) != _NEVER:
            i = ranks.index(lowest)
            ids[i : i + 2] = [self._products[lowest]]
            del ranks[i]
            if i > 0:
                ranks[i - 1] = rank_of((ids[i - 1], ids[i]), _NEVER)
            if i < len(ranks):
                ranks[i] = rank_of((ids[i], ids[i + 1]), _NEVER)
        return ids

    def _merge_long(self, ids: list[int]) -> list[int]:
        """Do what `_merge` does in n log n steps, with a heap of pairs over a linked list of ids."""
        rank_of = self._ranks.get
        tokens = [*ids, _NOTHING]
        before = list(range(-1, len(ids)))
        after = list(range(1, len(ids) + 2))
        heap = [(rank, i) for i, pair in enumerate(pairwise(ids)) if (rank := rank_of(pair)) is not None]
        heapq.heapify(heap)
        while heap:
            rank, i = heapq.heappop(heap)
            j = after[i]
            if rank_of((tokens[i], tokens[j])) != rank:
                continue  # one of the two has been joined to its other neighbour
            tokens[i], tokens[j] = self._products[rank], _NOTHING
            after[i] = after[j]
            before[after[i]] = i
            for left in (before[i], i):
                if left >= 0 and (new_rank := rank_of((tokens[left], tokens[after[left]]))) is not None:
                    heapq.heappush(heap, (new_rank, left))
        return [token for token in tokens if token != _NOTHING]


class _Cache(dict[str, tuple[int, ...]]):
    """The ids of parts of text, as `_split` makes them, and of their pre-tokens. It computes those that it lacks, and
    forgets those that have not been asked for in a long time.

    When it is full it becomes the older generation and a new one begins; what is found in the older moves on.
    """

    def __init__(self, tokenizer: Tokenizer, entries: int) -> None:
        super().__init__()
        self._tokenizer = tokenizer
        self._entries = entries
        self._older: dict[str, tuple[int, ...]] = {}

    def __missing__(self, part: str) -> tuple[int, ...]:
        ids = self._older.get(part)
        if ids is None:
            ids = tuple(self._encode(part))
        if len(part) <= _CACHED_CHARS:
            if len(self) >= self._entries:
                self._older = dict(self)
                self.clear()
            self[part] = ids
        return ids

    def _encode(self, part: str) -> Iterable[int]:
        """A special token is never a part of ordinary text."""
        if part in self._tokenizer._special_ids:
            return [self._tokenizer._special_ids[part]]
        first, *others = _split_unit(part)
        if not others:
            return self._tokenizer._encode_pretoken(first)
        return chain.from_iterable(map(self.__getitem__, (first, *others)))


def _printable_alphabet() -> str:
    """Write the 256 bytes in order as GPT-2's files do (`Tokenizer.from_files` has the rule)."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return "".join(chr(byte if byte in visible else next(others)) for byte in range(256))
