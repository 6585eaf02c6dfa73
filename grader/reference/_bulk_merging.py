"""Byte-pair encoding of many words side by side, with numpy: what `Tokenizer._merge` does to one word.

A word by itself takes some ten steps of Python per byte. Here words are the columns of a matrix, and one step joins a
pair in every word, so that numpy's loops do the work: with some thousands of words that is ten times as fast.
"""

import numpy as np

from ._bulk_numbering import _Numbering

_NEVER = np.int32((1 << 31) - 1)  # in the place of a rank: a pair that no merge joins; it has all bits of a row
_ROW_BITS = 5
_NOTHING = -1  # in the place of a token: outside of the word, or joined to the token on its left
_WIDTHS = (4, 8, 16)  # of the matrices: a word goes into the narrowest that holds it


class _BulkMerger:
    """Merges words of at most `longest` bytes.

    Args:
        byte_tokens: int32 [256], the tokens of the bytes. Tokens are numbers from 0.
        pairs: int32 [n, 2], the pairs of tokens that merges join, each once.
        ranks: int32 [n], the ranks of these pairs, below 2^26.
        products: int32, the tokens that they become, by rank.
    """

    longest = _WIDTHS[-1]

    def __init__(self, byte_tokens: np.ndarray, pairs: np.ndarray, ranks: np.ndarray, products: np.ndarray) -> None:
        self._byte_tokens = byte_tokens
        self._products = products
        self._pairs = _Numbering()
        numbers = self._pairs.add(*pairs.astype(np.uint64).T)
        self._upper_ranks = np.full(len(ranks) + 1, _NEVER)  # by a pair's number; the last for -1, which is no pair
        self._upper_ranks[numbers] = ranks << _ROW_BITS
        left, right = np.repeat(self._byte_tokens, 256), np.tile(self._byte_tokens, 256)
        self._waiting_bytes = self._waiting(left, right).reshape(256, 256)

    def merge(self, letters: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of n words, one word after the other, int32, and how many tokens each word has, int64 [n].

        Args:
            letters: uint8 [n, longest]: the words' bytes; what is behind a word's length does not matter.
            lengths: integers [n], from 1 to `longest`.
        """
        tokens = np.full((len(letters), self.longest), _NOTHING, np.int32)
        narrower = 0
        for width in _WIDTHS:
            numbers = np.flatnonzero((lengths > narrower) & (lengths <= width))
            narrower = width
            if len(numbers):
                tokens[numbers, :width] = self._merge_columns(letters[numbers, :width].T, lengths[numbers]).T
        is_token = tokens != _NOTHING
        return tokens[is_token], is_token.sum(axis=1)

    def _merge_columns(self, letters: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Merge the words that are the columns of a matrix; give their tokens, with gaps, in a matrix of that shape.

        A token stays in the row where it begins; `after` and `before` name the rows of its neighbours. A row of nothing
        above and one below spare us to ask where a word ends. In the row of each token `waiting` has the rank of its
        pair with the next one, and in its lowest bits the row: so a column's smallest number says which pair is merged
        next, of those of the lowest rank the leftmost.
        """
        width, count = letters.shape
        inside = np.arange(width)[:, None] < lengths
        tokens = np.full((width + 2, count), _NOTHING, np.int32)
        tokens[1:-1][inside] = self._byte_tokens[letters[inside]]
        rows = np.arange(width + 2)[:, None]
        after, before = np.tile((rows + 1).astype(np.int8), count), np.tile((rows - 1).astype(np.int8), count)
        waiting = np.full((width + 1, count), _NEVER)
        pairs = np.where(inside[1:], self._waiting_bytes[letters[:-1], letters[1:]], _NEVER)
        waiting[1:-1] = pairs | rows[1:-2].astype(np.int32)
        words = np.arange(count)
        while True:
            next_merge = waiting.min(axis=0)
            goes_on = np.flatnonzero(next_merge != _NEVER)
            if not len(goes_on):
                return tokens[1:-1]
            if len(goes_on) < len(words):
                waiting, words, next_merge = waiting[:, goes_on], words[goes_on], next_merge[goes_on]
            left = next_merge & (1 << _ROW_BITS) - 1
            right = after[left, words]
            ahead, behind = before[left, words], after[right, words]
            tokens[left, words], tokens[right, words] = self._products[next_merge >> _ROW_BITS], _NOTHING
            after[left, words], before[behind, words] = behind, left
            column = np.arange(len(words))
            waiting[right, column] = _NEVER
            for first, second in ((left, behind), (ahead, left)):
                waiting[first, column] = self._waiting(tokens[first, words], tokens[second, words]) | first

    def _waiting(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """The ranks of the pairs of these tokens, in the upper bits."""
        return self._upper_ranks[self._pairs.find(left.astype(np.uint64), right.astype(np.uint64))]
