"""Tokenizers that are right and written differently."""

from __future__ import annotations

import codecs
import functools
import itertools
from itertools import pairwise

import regex

from grader.misconceptions.catalogue import Variant
from grader.misconceptions.tokenizer import PATTERN, PlainTokenizer


class _OnePatternForAll(PlainTokenizer):
    """One pattern with special tokens as its first alternatives, which text before them must not swallow."""

    def pieces(self, text):
        if not self.special_tokens:
            yield from regex.findall(PATTERN, text)
            return
        special = "|".join(map(regex.escape, self.special_tokens))
        start = 0
        for match in regex.finditer(special, text):
            yield from (found.group() for found in regex.finditer(PATTERN, text[start : match.start()]))
            yield match.group()
            start = match.end()
        yield from (found.group() for found in regex.finditer(PATTERN, text[start:]))


class _FindsSpecialTokens(PlainTokenizer):
    """Looks for special tokens with str.startswith, character by character."""

    def split(self, text):
        parts, plain = [], 0
        i = 0
        while i < len(text):
            token = next((token for token in self.special_tokens if text.startswith(token, i)), None)
            if token is None:
                i += 1
                continue
            parts += [text[plain:i], token]
            i = plain = i + len(token)
        return [part for part in [*parts, text[plain:]] if part]


class _JoinsOnePlace(PlainTokenizer):
    """Joins the leftmost pair of the lowest rank and looks at all pairs again."""

    def join(self, symbols, ranks, lowest):
        i = ranks.index(lowest)
        return [*symbols[:i], symbols[i] + symbols[i + 1], *symbols[i + 2 :]]


class _MergesOnIds(PlainTokenizer):
    """Merges ids instead of bytes."""

    def encode_piece(self, piece):
        if piece in self.special_tokens:
            return super().encode_piece(piece)
        ids = [self.ids[bytes([byte])] for byte in piece.encode()]
        while len(ids) > 1:
            pair = min(pairwise(ids), key=lambda pair: self.rank(self.vocab[pair[0]], self.vocab[pair[1]]))
            left, right = self.vocab[pair[0]], self.vocab[pair[1]]
            if (left, right) not in self.ranks:
                break
            new, joined, i = self.ids[left + right], [], 0
            while i < len(ids):
                if tuple(ids[i : i + 2]) == pair:
                    joined.append(new)
                    i += 2
                else:
                    joined.append(ids[i])
                    i += 1
            ids = joined
        return ids


class _RanksByToken(PlainTokenizer):
    """Knows merges by what they make, not by the pair."""

    def __init__(self, vocab, merges, special_tokens=None):
        super().__init__(vocab, merges, special_tokens)
        self.rank_of = {left + right: rank for rank, (left, right) in enumerate(merges)}

    def rank(self, left, right):
        return self.rank_of.get(left + right, float("inf"))


class _Caches(PlainTokenizer):
    """Keeps the ids of every piece that it has seen."""

    def __init__(self, vocab, merges, special_tokens=None):
        super().__init__(vocab, merges, special_tokens)
        self.kept = {}

    def encode_piece(self, piece):
        if piece not in self.kept:
            self.kept[piece] = super().encode_piece(piece)
        return self.kept[piece]


class _MergesInOrder(PlainTokenizer):
    """Goes through those merges that a word can need, in their order."""

    def merge(self, symbols):
        rank = -1.0
        while len(symbols) > 1:
            ranks = [self.rank(left, right) for left, right in pairwise(symbols)]
            rank = min((r for r in ranks if r > rank), default=float("inf"))
            if rank == float("inf"):
                return symbols
            symbols = self.join(symbols, ranks, rank)
        return symbols


class _ReadsAhead(PlainTokenizer):
    """Puts chunks together until there are 16,384 characters."""

    def encode_iterable(self, iterable):
        chunks = iter(iterable)
        held = ""
        while True:
            read = 0
            parts = [held]
            for chunk in chunks:
                parts.append(chunk)
                read += len(chunk)
                if read >= 16_384:
                    break
            held = "".join(parts)
            if not read and len(parts) == 1:
                yield from self.encode(held)
                return
            settled = self.settled(held)
            yield from itertools.chain.from_iterable(map(self.encode_piece, settled))
            held = held[sum(map(len, settled)) :]


class _IncrementalDecoder(PlainTokenizer):
    """Decodes with codecs, token by token but with memory."""

    def decode(self, ids):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return "".join([*(decoder.decode(self.vocab[i]) for i in ids), decoder.decode(b"", final=True)])


class _UnknownIdsShow(PlainTokenizer):
    """Unknown ids become U+FFFD."""

    def decode(self, ids):
        return b"".join(self.vocab.get(i, b"\xef\xbf\xbd") for i in ids).decode(errors="replace")


class _CachedMerge(PlainTokenizer):
    """functools.lru_cache over a method, as is often seen."""

    def __init__(self, vocab, merges, special_tokens=None):
        super().__init__(vocab, merges, special_tokens)
        self.encode_piece = functools.lru_cache(maxsize=10_000)(super().encode_piece)  # type: ignore[method-assign]


def _variant(name: str, tokenizer: type[PlainTokenizer]) -> Variant:
    return Variant(f"tokenizer-{name}", "tokenizer", {"tokenizer.Tokenizer": tokenizer})


VARIANTS = (
    _variant("plain", PlainTokenizer),
    _variant("finditer", _OnePatternForAll),
    _variant("startswith", _FindsSpecialTokens),
    _variant("one-place", _JoinsOnePlace),
    _variant("merges-ids", _MergesOnIds),
    _variant("ranks-by-token", _RanksByToken),
    _variant("caches", _Caches),
    _variant("lru-cache", _CachedMerge),
    _variant("merges-in-order", _MergesInOrder),
    _variant("reads-ahead", _ReadsAhead),
    _variant("incremental-decoder", _IncrementalDecoder),
    _variant("unknown-ids-show", _UnknownIdsShow),
)
