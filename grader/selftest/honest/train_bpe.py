"""BPE training that is right and written differently."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from itertools import pairwise

import regex

from grader.misconceptions.catalogue import Variant
from grader.misconceptions.train_bpe import PlainTrainer


class _LooksForThePair(PlainTrainer):
    """Keeps no index of places: looks for the pair in every word, and updates the counts of those that have it."""

    def choose(self, merges):
        best = super().choose(merges)
        self.places[best] = {i for i, word in enumerate(self.words) if best in pairwise(word)}
        return best


class _SlowStart(PlainTrainer):
    """Needs long for what comes before the first merge, on texts as large as those with which speed is judged."""

    def read(self, path):
        end = time.process_time() + (1 if path.stat().st_size > 150_000 else 0)
        while time.process_time() < end:
            pass
        return super().read(path)


class _PartsAtSpecialTokens(PlainTrainer):
    """Cuts the file into parts that begin with a special token, as one does for several processes."""

    def train(self, input_path, vocab_size, special_tokens, **options):
        self.special_tokens = special_tokens
        return super().train(input_path, vocab_size, special_tokens)

    def read(self, path):
        whole, border = path.read_bytes(), self.special_tokens[0].encode() if self.special_tokens else b"\0none"
        cuts = {whole.find(border, len(whole) * i // 4) for i in range(1, 4)} - {-1}
        places = [0, *sorted(cuts), len(whole)]
        self.parts = [whole[start:stop].decode() for start, stop in pairwise(places)]
        return ""

    def documents(self, text, special_tokens):
        return (document for part in self.parts for document in super(type(self), self).documents(part, special_tokens))


class _OneSort(PlainTrainer):
    """Chooses by count and pair in one key."""

    def choose(self, merges):
        return max(self.pairs, key=lambda pair: (self.pairs[pair], pair))


class _Heap(PlainTrainer):
    """A heap of all pairs, in which entries are checked when they are taken out."""

    def choose(self, merges):
        heap = [(-count, _Descending(pair)) for pair, count in self.pairs.items()]
        heapq.heapify(heap)
        return heap[0][1].pair


class _Descending:
    def __init__(self, pair):
        self.pair = pair

    def __lt__(self, other):
        return self.pair > other.pair


class _TiesByPaddedNumbers(PlainTrainer):
    """Ties by tuples of byte values."""

    def tie_key(self, merges):
        return lambda pair: (tuple(pair[0]), tuple(pair[1]))


class _CutsOutSpecialTokens(PlainTrainer):
    """Finds special tokens one after the other instead of splitting, and reads pre-tokens with finditer."""

    def documents(self, text, special_tokens):
        if not special_tokens:
            yield text
            return
        pattern = regex.compile("|".join(regex.escape(t) for t in sorted(special_tokens, key=len, reverse=True)))
        start = 0
        for match in pattern.finditer(text):
            if match.start() > start:
                yield text[start : match.start()]
            start = match.end()
        yield text[start:]

    def pretokens(self, document):
        pattern = r"""'s|'d|'m|'t|'ll|'ve|'re| ?\p{Letter}+| ?\p{Number}+| ?[^\s\p{Letter}\p{Number}]+|\s+(?!\S)|\s+"""
        return (match.group() for match in regex.finditer(pattern, document))


class _MergesInJoinedIds(PlainTrainer):
    """Keeps words as lists and deletes in place."""

    def merge(self, word, pair):
        symbols = list(word)
        i = 0
        while i < len(symbols) - 1:
            if (symbols[i], symbols[i + 1]) == pair:
                symbols[i : i + 2] = [pair[0] + pair[1]]
            i += 1
        return tuple(symbols)


class _SpecialTokensLast(PlainTrainer):
    """Bytes first, then merges, then special tokens."""

    def vocabulary(self, special_tokens, merges):
        tokens = [*self.alphabet(), *(left + right for left, right in merges)]
        return dict(enumerate([*tokens, *(token.encode() for token in special_tokens)]))


class _IdsByToken(PlainTrainer):
    """Keeps the vocabulary by token while training, and stops at its size."""

    def train(self, input_path, vocab_size, special_tokens, **_):
        vocab, merges = super().train(input_path, vocab_size, special_tokens)
        by_token = {token: token_id for token_id, token in vocab.items()}
        return {token_id: token for token, token_id in by_token.items()}, merges


class _DifferenceOfCounters(PlainTrainer):
    """Updates counts by the difference of two counters, and looks through all words for the pair."""

    def update(self, i, old, new, pair):
        before, after = Counter(pairwise(old)), Counter(pairwise(new))
        for changed in before.keys() | after.keys():
            self.pairs[changed] += (after[changed] - before[changed]) * self.counts[i]
            self.places[changed].add(i)
            if not self.pairs[changed]:
                del self.pairs[changed]


def _variant(name: str, trainer: type[PlainTrainer]) -> Variant:
    def train_bpe(input_path, vocab_size, special_tokens, **options):
        return trainer().train(input_path, vocab_size, special_tokens, **options)

    return Variant(f"bpe-{name}", "train_bpe", {"bpe.train_bpe": train_bpe})


VARIANTS = (
    _variant("plain", PlainTrainer),
    _variant("looks-for-the-pair", _LooksForThePair),
    _variant("slow-start", _SlowStart),
    _variant("parts-at-special-tokens", _PartsAtSpecialTokens),
    _variant("one-key", _OneSort),
    _variant("heap", _Heap),
    _variant("byte-values", _TiesByPaddedNumbers),
    _variant("finditer", _CutsOutSpecialTokens),
    _variant("in-place", _MergesInJoinedIds),
    _variant("special-tokens-last", _SpecialTokensLast),
    _variant("ids-by-token", _IdsByToken),
    _variant("difference-of-counters", _DifferenceOfCounters),
)
