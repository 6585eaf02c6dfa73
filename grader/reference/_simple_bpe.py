"""Byte-pair encoding as a teacher would write it on the board: words, counts of pairs, and a heap.

Read this module to learn the algorithm. It gives exactly what `bpe.train_bpe` and `tokenizer.Tokenizer.encode` give; a
test holds it to that. Read those two to see what makes it fast: text read in pieces and by several processes, many
words and many merges in one go with numpy, caches. None of this is here, nor are checks of the arguments, streams and
decoding. Ten megabytes of text take 25 times as long for 1,000 merges and 22 times for 10,000 (15 s, on one core each).

A token is its bytes. Two merges never make the same bytes: in training, what a token's bytes were cut into depends on
these bytes alone.
"""

import heapq
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import regex

from .pretokenization import PRETOKEN_PATTERN

_Pair = tuple[bytes, bytes]


def train(text: str, vocab_size: int, special_tokens: Sequence[str]) -> tuple[dict[int, bytes], list[_Pair]]:
    """Learn a vocabulary and its merges; see `train_bpe` for the rules."""
    vocab = [token.encode() for token in special_tokens] + [bytes([byte]) for byte in range(256)]
    merges: list[_Pair] = []

    # A word that comes a thousand times is looked at once, and counts a thousand times.
    repeats = Counter(word for part in _between(text, special_tokens) for word in regex.findall(PRETOKEN_PATTERN, part))
    words, weights = [_as_bytes(word) for word in repeats], list(repeats.values())
    pair_counts: Counter[_Pair] = Counter()
    words_with: defaultdict[_Pair, set[int]] = defaultdict(set)  # a word stays listed when a merge takes its pair away
    for number, word in enumerate(words):
        for pair in pairwise(word):
            pair_counts[pair] += weights[number]
            words_with[pair].add(number)

    heap = [_Candidate(count, pair) for pair, count in pair_counts.items()]
    heapq.heapify(heap)
    while heap and len(vocab) < vocab_size:
        best = heapq.heappop(heap)
        if best.count != pair_counts[best.pair]:
            continue  # its count has changed, and it was entered again with the new one
        merges.append(best.pair)
        vocab.append(b"".join(best.pair))

        # Only words that have the pair change, and with them the counts of their own pairs.
        changes: Counter[_Pair] = Counter()
        for number in words_with.pop(best.pair):
            for pair in pairwise(words[number]):
                changes[pair] -= weights[number]
            words[number] = _merged(words[number], best.pair)
            for pair in pairwise(words[number]):
                changes[pair] += weights[number]
                words_with[pair].add(number)
        for pair, change in changes.items():
            pair_counts[pair] += change
            if change and pair_counts[pair]:
                heapq.heappush(heap, _Candidate(pair_counts[pair], pair))
    return dict(enumerate(vocab)), merges


def encode(text: str, vocab: dict[int, bytes], merges: list[_Pair], special_tokens: Sequence[str] = ()) -> list[int]:
    """Encode a text as token ids; see `Tokenizer` for the rules. `vocab` has the special tokens."""
    ids = {token: token_id for token_id, token in reversed(vocab.items())}  # of two ids with the same bytes, the first
    ranks = {pair: rank for rank, pair in reversed(list(enumerate(merges)))}
    encoded = []
    for part in _between(text, special_tokens, keep=True):
        if part in special_tokens:
            encoded.append(ids[part.encode()])
            continue
        for pretoken in regex.findall(PRETOKEN_PATTERN, part):
            word = _as_bytes(pretoken)
            while len(word) > 1:
                rank, place = min((ranks.get(pair, math.inf), place) for place, pair in enumerate(pairwise(word)))
                if rank == math.inf:
                    break
                word[place : place + 2] = [word[place] + word[place + 1]]
            encoded += [ids[token] for token in word]
    return encoded


@dataclass(frozen=True)
class _Candidate:
    """A pair that may be merged next. `heapq` hands out the smallest, so the more frequent is the smaller here, and of
    equally frequent ones the greater pair of bytes."""

    count: int
    pair: _Pair

    def __lt__(self, other: "_Candidate") -> bool:
        return (self.count, self.pair) > (other.count, other.pair)


def _merged(word: list[bytes], pair: _Pair) -> list[bytes]:
    """The word with each occurrence of the pair made one token, from left to right: of `aaa`, the first two."""
    merged: list[bytes] = []
    place = 0
    while place < len(word):
        size = 2 if tuple(word[place : place + 2]) == pair else 1
        merged.append(b"".join(word[place : place + size]))
        place += size
    return merged


def _between(text: str, special_tokens: Sequence[str], keep: bool = False) -> list[str]:
    """The text cut at its special tokens, the longest where several fit; `keep` leaves them in the list."""
    if not special_tokens:
        return [text]
    pattern = "|".join(re.escape(token) for token in sorted(special_tokens, key=len, reverse=True))
    return re.split(f"({pattern})" if keep else pattern, text)


def _as_bytes(pretoken: str) -> list[bytes]:
    return [bytes([byte]) for byte in pretoken.encode()]
