"""Byte-pair encoding of many words side by side, with numpy: what `Tokenizer._merge` does to one word.

A word by itself takes some ten steps of Python per byte. Here words are the rows of a matrix, and one step joins a pair
in every row, so that numpy's loops do the work: with some thousands of words that is three times as fast.
"""

from collections.abc import Mapping, Sequence

import numpy as np

_NEVER = np.int32((1 << 31) - 1)  # the rank of a pair that no merge joins
_PADDING = -1  # right of a word's last token; pairs with nothing
_WIDTHS = (4, 8, 16, 32)  # of the matrices: a word goes into the narrowest that holds it


class _BulkMerger:
    """Merges words of at most `longest` bytes; of longer ones it gives nothing.

    Args:
        byte_ids: the ids of the 256 bytes.
        ranks: the ranks of the pairs of ids that merges join.
        products: the ids that they become, by rank.
    """

    longest = _WIDTHS[-1]

    def __init__(self, byte_ids: Sequence[int], ranks: Mapping[tuple[int, int], int], products: Sequence[int]) -> None:
        self._byte_ids = np.array(byte_ids, dtype=np.int32)
        self._products = np.array(products, dtype=np.int32)
        keys = np.array([left << 32 | right for left, right in ranks], dtype=np.int64)
        by_key = np.argsort(keys)
        # One key more, so that what is greater than all others finds a place, too.
        self._keys = np.append(keys[by_key], np.iinfo(np.int64).max)
        self._ranks = np.append(np.fromiter(ranks.values(), np.int32, len(ranks))[by_key], _NEVER)
        self._rank_of_bytes = self._rank(self._byte_ids[:, None], self._byte_ids)

    def merge(self, words: Sequence[bytes]) -> list[bytes]:
        """The ids of each word, in order, as the bytes of int64 numbers; none of a word that is too long."""
        merged = [b""] * len(words)
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        starts = np.cumsum(lengths) - lengths
        letters = np.frombuffer(b"".join(words), np.uint8)
        narrower = 0
        for width in _WIDTHS:
            numbers = np.flatnonzero((lengths > narrower) & (lengths <= width))
            narrower = width
            if len(numbers):
                columns = np.arange(width)
                inside = columns < lengths[numbers, None]
                places = np.where(inside, starts[numbers, None] + columns, 0)
                self._merge_rows(letters[places], inside, numbers, merged)
        return merged

    def _merge_rows(self, letters: np.ndarray, inside: np.ndarray, numbers: np.ndarray, merged: list[bytes]) -> None:
        """Merge the words that are the rows of `letters`, as far as they are `inside`, and store them as `numbers`.

        Each step joins, in each row, the pair of the lowest rank, of several the leftmost. So all rows lose a column at
        each step; a row without a pair to join is done and leaves the matrix.
        """
        ids = np.where(inside, self._byte_ids[letters], np.int32(_PADDING))
        ranks = np.where(inside[:, 1:], self._rank_of_bytes[letters[:, :-1], letters[:, 1:]], _NEVER)
        sizes = inside.sum(axis=1)
        while ids.shape[1] > 1:
            place = ranks.argmin(axis=1)
            rank = ranks[np.arange(len(ranks)), place]
            goes_on = rank != _NEVER
            if not goes_on.all():
                _store(ids[~goes_on], sizes[~goes_on], numbers[~goes_on], merged)
                ids, ranks, sizes, numbers = ids[goes_on], ranks[goes_on], sizes[goes_on], numbers[goes_on]
                place, rank = place[goes_on], rank[goes_on]
                if not len(ids):
                    return
            row = np.arange(len(ids))
            columns = np.arange(ids.shape[1] - 1)
            ids = np.where(columns <= place[:, None], ids[:, :-1], ids[:, 1:])
            ids[row, place] = self._products[rank]
            ranks = np.where(columns[:-1] < place[:, None], ranks[:, :-1], ranks[:, 1:])
            sizes = sizes - 1
            for has_pair, left in ((place > 0, place - 1), (place < ids.shape[1] - 1, place)):
                at, left = row[has_pair], left[has_pair]
                ranks[at, left] = self._rank(ids[at, left], ids[at, left + 1])
        _store(ids, sizes, numbers, merged)

    def _rank(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """The ranks of the pairs of these ids. Padding makes a key that is negative, which no pair has."""
        key = left.astype(np.int64) << 32 | right
        found = np.searchsorted(self._keys, key)
        return np.where(self._keys[found] == key, self._ranks[found], _NEVER)


def _store(ids: np.ndarray, sizes: np.ndarray, numbers: np.ndarray, merged: list[bytes]) -> None:
    content, width = ids.astype(np.int64).tobytes(), 8 * ids.shape[1]
    for row, (number, size) in enumerate(zip(numbers.tolist(), (8 * sizes).tolist(), strict=True)):
        merged[number] = content[row * width : row * width + size]
