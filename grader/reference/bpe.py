"""Byte-pair encoding: learn a vocabulary and its merges from a text.

`tokenizer.py` encodes texts with them.
"""

import heapq
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .pretokenization import _count_pretokens


def train_bpe(
    input_path: str | os.PathLike,
    vocab_size: int,
    special_tokens: list[str],
    *,
    num_processes: int | None = None,
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """Learn a byte-level BPE vocabulary from a text file.

    The file is UTF-8. Do not translate line endings. A malformed byte sequence counts as U+FFFD.

    1. Split the text at the special tokens; if several match, at the longest. Drop them: count nothing inside them, and
       merge nothing across them.
    2. Split the text between them into pre-tokens with `PRETOKEN_PATTERN`. Each pre-token is a sequence of tokens, at
       first its UTF-8 bytes. Merges never cross the boundary of a pre-token.
    3. Merge the pair of adjacent tokens that is most frequent over all pre-tokens: from left to right, each occurrence
       becomes one new token with the bytes of both. Of equally frequent pairs, take the lexicographically greater:
       compare the bytes of the first tokens, then those of the second: `max([(b"a", b"z"), (b"ab", b"a")])` is
       `(b"ab", b"a")`.
    4. Repeat step 3 until the vocabulary has `vocab_size` entries, or no pre-token has a pair left.

    Args:
        input_path: The training text.
        vocab_size: The maximum size of the vocabulary: special tokens, 256 bytes and merges together.
        special_tokens: Tokens such as `"<|endoftext|>"`, in the order of their ids. There may be none.
        num_processes: How many processes may count pre-tokens in parallel; None means one per processor. It does not
            change the result, and small files are not worth a second process.

    Returns:
        vocab: Maps ids to bytes. Ids count from 0: first the special tokens in the order given, then the 256
            bytes in ascending order, then the merged tokens in the order of their creation.
        merges: The merged pairs `(first, second)` in the order of their creation.

    Raises:
        ValueError: If a special token is empty or given twice, if `vocab_size` leaves no room for the special
            tokens and the 256 bytes, or if `num_processes` is less than 1.

    Sources:
        Sennrich et al. 2016, section 3.2, https://arxiv.org/abs/1508.07909, for byte-pair encoding.
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2, for bytes as
        base tokens and for pre-tokens.

    Problem: train_bpe
    """
    smallest = len(special_tokens) + 256
    if vocab_size < smallest:
        raise ValueError(
            f"vocab_size is {vocab_size}, but {len(special_tokens)} special tokens and 256 bytes "
            f"take {smallest} ids before the first merge; ask for {smallest} or more."
        )
    for token, times in Counter(special_tokens).items():
        if times > 1:
            raise ValueError(f"special_tokens has {token!r} {times} times, but a token has one id; give it once.")

    pretoken_counts = _count_pretokens(Path(input_path), special_tokens, num_processes)
    tokens, merges = _learn_merges(pretoken_counts, vocab_size - smallest)
    return dict(enumerate([*(token.encode() for token in special_tokens), *tokens])), merges


# The text is counted once, in `pretokenization.py`. What follows works on distinct pre-tokens and their counts, and
# touches only the places where a pair occurs: start with `_learn_merges`, then see `_Corpus` and `_Queue`.


def _learn_merges(pretoken_counts: Counter[bytes], limit: int) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    """Learn up to `limit` merges, and return all tokens, from the 256 bytes on, and the merges.

    To learn the algorithm read `_simple_bpe.py` instead, which merges one pair after the other with plain
    dictionaries; read on here for how the same is done fast.

    The next pairs in line are merged together as long as no one of them can change what comes next (see
    `_Queue.take` and `_Corpus.merge`). The outcome is that of merging one after the other, and there are some
    thirty times fewer rounds, so that the array operations of a round have enough to work on.
    """
    tokens = [bytes([byte]) for byte in range(256)]
    merges: list[tuple[bytes, bytes]] = []
    corpus = _Corpus(pretoken_counts)
    queue = _Queue(corpus, tokens)
    batch_size = limit
    while len(merges) < limit and (batch := queue.take(min(batch_size, limit - len(merges)))):
        merged, new_pairs = corpus.merge(batch, first_new_token=len(tokens))
        # Among rare pairs ties are the rule, and most of a large batch would go back into the queue each time.
        batch_size = 16 + 4 * merged
        for pair in batch[:merged]:
            left, right = tokens[corpus.left[pair]], tokens[corpus.right[pair]]
            merges.append((left, right))
            tokens.append(left + right)
        queue.put(batch[merged:])
        queue.put(new_pairs)
    return tokens, merges


_BORDER = -1  # in the place of a token: the border between two pre-tokens
_NO_UTF8 = b"\xff"  # no byte of any character
_NO_PAIR = 0  # in the place of a pair: no pair starts here


class _Corpus:
    """The distinct pre-tokens of a text, in UTF-8, as token ids one after the other, and an index of their pairs.

    `token`, `before`, `after`, `weight` and `pair` are indexed by *place*. They make a linked list of the
    tokens that are left, with the count of the pre-token that a place belongs to and the number of the pair
    that starts there.

    `left`, `right` and `count` are indexed by pair, and counts are always exact. `_sites` lists the places
    where a pair starts. When a place's pair changes it stays in the list of the old one, so `pair` has to be
    asked as well.
    """

    def __init__(self, pretoken_counts: Counter[bytes]) -> None:
        letters = np.frombuffer(_NO_UTF8.join([b"", *pretoken_counts, b""]), dtype=np.uint8)
        size = len(letters)
        self.token = letters.astype(np.int32)
        self.token[letters == ord(_NO_UTF8)] = _BORDER
        self.before = np.arange(-1, size - 1, dtype=np.int32)
        self.after = np.arange(1, size + 1, dtype=np.int32)
        lengths = [0, *map(len, pretoken_counts)]
        self.weight = np.repeat([0, *pretoken_counts.values()], np.array(lengths) + 1)
        self.pair = np.full(size, _NO_PAIR, dtype=np.int32)

        # Each place is listed once at first, and twice more at most for each token that is merged away.
        # Memory that is never written to is never taken.
        capacity = 3 * size
        self.left = np.empty(capacity, dtype=np.int32)
        self.right = np.empty(capacity, dtype=np.int32)
        self.count = np.empty(capacity, dtype=np.int64)
        self._sites = np.empty(capacity, dtype=np.int32)
        self._sites_end = np.empty(capacity, dtype=np.int64)
        self.count[_NO_PAIR] = self._sites_end[_NO_PAIR] = 0
        self.num_pairs = 1
        starts_pair = (self.token[:-1] != _BORDER) & (self.token[1:] != _BORDER)
        self._index(np.flatnonzero(starts_pair).astype(np.int32))

    def merge(self, batch: list[int], first_new_token: int) -> tuple[int, range]:
        """Merge the pairs of a batch, giving their tokens consecutive ids, or only the first of them.

        Returns how many were merged, and the pairs that have come into being.

        The batch holds the highest-ranking pairs, and none of its members overlaps another (`_Queue.take`).
        One thing can still go wrong: that a new pair outranks a later member. Say that merging (a, b) makes
        it of (t, a). It is at most as frequent as (t, a) was, which is no member and so ranks below them all.
        Hence it can at most come to a tie with the last members, and only if every (t, a) has become one.
        Then the batch ends with the member that made it.
        """
        pairs = np.array(batch)
        sites = [self._sites[self._sites_end[pair - 1] : self._sites_end[pair]] for pair in batch]
        member = np.repeat(np.arange(len(batch)), [len(places) for places in sites])
        place = np.concatenate(sites)
        current = self.pair[place] == pairs[member]
        place, member = place[current], member[current]
        if self.left[batch[0]] == self.right[batch[0]]:
            place = self._without_overlaps(place)
            member = member[: len(place)]

        while True:
            second = self.after[place]
            pair_after = self.pair[second]
            self.pair[second] = _NO_PAIR  # so that a pair between two merged ones is not taken away twice
            vanishing = np.concatenate((self.pair[self.before[place]], pair_after))
            weight = np.tile(self.weight[place], 2)
            count_before = self.count[vanishing]
            np.subtract.at(self.count, vanishing, weight)
            count_of_last = self.count[batch[-1]]
            may_tie = (self.count[vanishing] == 0) & (count_before >= count_of_last)
            if not may_tie.any():
                break
            keep = int(np.tile(member, 2)[may_tie].min()) + 1
            if keep >= len(batch):
                break
            np.add.at(self.count, vanishing, weight)
            self.pair[second] = pair_after
            batch, pairs = batch[:keep], pairs[:keep]
            place, member = place[member < keep], member[member < keep]

        self.count[pairs] = 0
        third = self.after[second]
        self.token[place] = first_new_token + member
        self.pair[place] = _NO_PAIR
        self.after[place] = third
        self.before[third] = place
        left_neighbour = self.before[place]
        left_neighbour = left_neighbour[self.pair[left_neighbour] != _NO_PAIR]
        return len(batch), self._index(np.concatenate((left_neighbour, place[self.token[third] != _BORDER])))

    def _without_overlaps(self, place: np.ndarray) -> np.ndarray:
        """Keep every second place of each run of places where a pair of equal tokens starts."""
        place = np.sort(place)
        number = np.arange(len(place))
        continues = np.append(False, self.after[place[:-1]] == place[1:])
        run_start = np.maximum.accumulate(np.where(continues, 0, number))
        return place[(number - run_start) % 2 == 0]

    def _index(self, place: np.ndarray) -> range:
        """Number the pairs that start at these places, all of them new, and list their places."""
        if not len(place):
            return range(self.num_pairs, self.num_pairs)
        key, width = _pair_keys(self.token[place], self.token[self.after[place]])
        by_key = np.argsort(key, kind="stable" if width <= 8 else None)  # which counts 16 bits, and does not compare
        key, place = key[by_key], place[by_key]
        del by_key  # the text of a large corpus is here, so that each of these arrays counts
        starts = np.append(0, 1 + np.flatnonzero(key[1:] != key[:-1]))
        sizes = np.diff(starts, append=len(place))

        pairs = range(self.num_pairs, self.num_pairs + len(starts))
        new = slice(pairs.start, pairs.stop)
        self.left[new], self.right[new] = key[starts] >> width, key[starts] & ((1 << width) - 1)
        self.count[new] = np.add.reduceat(self.weight[place], starts)
        listed = self._sites_end[pairs.start - 1]
        self._sites[listed : listed + len(place)] = place
        self._sites_end[new] = listed + np.cumsum(sizes)
        self.pair[place] = np.repeat(np.arange(pairs.start, pairs.stop, dtype=np.int32), sizes)
        self.num_pairs = pairs.stop
        return pairs


def _pair_keys(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, int]:
    """A number for each pair of tokens, as short as they allow: the right token is its last `width` bits."""
    width = int(max(left.max(), right.max())).bit_length()
    unsigned = np.min_scalar_type((1 << 2 * width) - 1)
    return left.astype(unsigned) << width | right.astype(unsigned), width


class _Queue:
    """The pairs of a corpus in the order in which they are to be merged.

    Counts only fall once a pair is there. An entry whose count is out of date is an upper bound, and is put
    back with the new count when its turn comes. Pairs less frequent than `_floor` are kept out, most of them
    for good; when the queue is empty, the floor is lowered.
    """

    def __init__(self, corpus: _Corpus, tokens: list[bytes]) -> None:
        self._corpus = corpus
        self._tokens = tokens  # shared with the caller, who appends to it
        self._sort_keys: list[str] = []
        self._heap: list[tuple[int, str, int]] = []
        self._floor = int(corpus.count[: corpus.num_pairs].max()) + 1

    def put(self, pairs: Sequence[int] | np.ndarray) -> None:
        """Enter those of the pairs that are frequent enough."""
        self._sort_keys += map(_descending, self._tokens[len(self._sort_keys) :])
        all_pairs = np.asarray(pairs, dtype=np.int64)
        frequent = all_pairs[self._corpus.count[all_pairs] >= self._floor]
        columns = (
            frequent,
            *(table[frequent] for table in (self._corpus.count, self._corpus.left, self._corpus.right)),
        )
        for pair, count, left, right in zip(*(column.tolist() for column in columns), strict=True):
            heapq.heappush(self._heap, (-count, self._sort_keys[left] + self._sort_keys[right], pair))

    def take(self, limit: int) -> list[int]:
        """Take the next pairs in line, as many as cannot overlap one another.

        Pairs overlap where one's second token is the other's first. No pair of the batch then has its count
        changed by another. The batch is empty when no pairs are left.
        """
        self._lower_floor()
        batch: list[int] = []
        lefts: set[int] = set()
        rights: set[int] = set()
        while self._heap and len(batch) < limit:
            bound, sort_key, pair = self._heap[0]
            count = int(self._corpus.count[pair])
            if count < -bound:
                heapq.heappop(self._heap)
                if count >= self._floor:
                    heapq.heappush(self._heap, (-count, sort_key, pair))
                elif not batch:
                    self._lower_floor()
                continue
            left, right = int(self._corpus.left[pair]), int(self._corpus.right[pair])
            if left in rights or right in lefts or (left == right and batch):
                break
            heapq.heappop(self._heap)
            batch.append(pair)
            lefts.add(left)
            rights.add(right)
            if left == right:  # its occurrences can overlap each other, which a batch of one allows for
                break
        return batch

    def _lower_floor(self) -> None:
        while not self._heap and self._floor > 1:
            ceiling, self._floor = self._floor, (self._floor + 1) // 2
            count = self._corpus.count[: self._corpus.num_pairs]
            self.put(np.flatnonzero((count >= self._floor) & (count < ceiling)))


_COMPLEMENT = bytes(range(255, -1, -1))


def _descending(token: bytes) -> str:
    """Make a sort key, for tokens and one after the other for pairs, that reverses the order of the bytes."""
    return token.translate(_COMPLEMENT).decode("latin-1") + "\u0100"
