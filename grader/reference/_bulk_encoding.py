"""Encoding of large pieces of text with numpy, without a Python object for each word.

Words are found in the bytes of a text (`_bulk_splitting.py`), get numbers (`_bulk_numbering.py`), and those that
are new are merged side by side (`_bulk_merging.py`). The text is then a sequence of numbers, for which tables have ids.
"""

import threading
from collections.abc import Callable

import numpy as np

from ._bulk_keys import _KIND_SHIFT, _SHORT, _keys_of_words, _letters_of_keys
from ._bulk_merging import _BulkMerger
from ._bulk_numbering import _Numbering
from ._bulk_splitting import _find_pretokens

# Two kinds of keys have in the sixteenth byte what is no length of a short word, and before it a number: a longer word
# its own, a special token that of the token.
_LONG, _SPECIAL = 16, 17


class _BulkEncoder:
    """Encodes texts as tokens, and remembers the words that it has seen.

    Args:
        merger: what merges words of at most 15 bytes.
        merge_long: gives the tokens, int32, of any word in UTF-8.
        capacity: forget all words when they have more tokens than this.
    """

    def __init__(self, merger: _BulkMerger, merge_long: Callable[[bytes], np.ndarray], capacity: int) -> None:
        self._merger = merger
        self._merge_long = merge_long
        self._capacity = capacity
        self._lock = threading.Lock()  # a word that one thread has numbered and not yet merged is not for another
        self._forget()

    def __reduce__(self) -> tuple[type["_BulkEncoder"], tuple[object, ...]]:
        """A pickled one is sent without its words."""
        return type(self), (self._merger, self._merge_long, self._capacity)

    def _forget(self) -> None:
        self._words = _Numbering()
        self._long: dict[bytes, int] = {}  # {word: its number among the long ones}
        self._tokens = np.empty(0, np.int32)  # of all words, one word after the other
        self._size = 0  # how many of these there are
        self._begins = np.empty(0, np.int32)  # where among them a word's begin, by the word's number
        self._counts = np.empty(0, np.int32)  # how many it has

    def encode(self, texts: list[str], special: np.ndarray) -> np.ndarray:
        """Encode texts with a special token between each two of them.

        Args:
            texts: n + 1 texts without special tokens. A text may be empty.
            special: the tokens between them, integers [n].

        Returns:
            The tokens, int32.

        Raises:
            UnicodeEncodeError: a text has a lone surrogate.
        """
        data, starts, borders = _find_pretokens(texts)
        if not len(starts):
            return np.empty(0, np.int32)
        with self._lock:
            if self._size > self._capacity:
                self._forget()
            first, second = self._keys(data, starts)
            first[borders], second[borders] = special, _SPECIAL << 56
            known = len(self._words)
            try:
                numbers = self._words.add(first, second)
                self._learn(known)
            except BaseException:  # some words have a number, and nothing else
                self._forget()
                raise
            counts = self._counts[numbers]
            ends = np.cumsum(counts, dtype=np.int32)
            places = np.repeat(self._begins[numbers] - (ends - counts), counts)
            places += np.arange(len(places), dtype=np.int32)
            return self._tokens[places]

    def _keys(self, data: bytes, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The keys of the words that begin at these places, as two arrays of uint64."""
        lengths = np.diff(starts, append=len(data))
        is_short = lengths <= _SHORT
        first, second = _keys_of_words(data, starts, np.where(is_short, lengths, 0))
        for place in np.flatnonzero(~is_short).tolist():
            word = data[starts[place] : starts[place] + lengths[place]]
            first[place], second[place] = self._long.setdefault(word, len(self._long)), _LONG << 56
        return first, second

    def _learn(self, known: int) -> None:
        """Find the tokens of the words whose numbers are not below this."""
        first, second = self._words.keys[:, known : len(self._words)]
        kinds = (second >> _KIND_SHIFT).astype(np.int64)
        short = np.flatnonzero(kinds <= _SHORT)
        letters = _letters_of_keys(first[short], second[short])
        self._enter(known + short, *self._merger.merge(letters, kinds[short]))
        special = np.flatnonzero(kinds == _SPECIAL)
        self._enter(known + special, first[special].astype(np.int32), np.ones(len(special), np.int32))
        long = np.flatnonzero(kinds == _LONG)
        if len(long):
            words = list(self._long)
            merged = [self._merge_long(words[number]) for number in first[long].tolist()]
            self._enter(known + long, np.concatenate(merged), np.array(list(map(len, merged))))

    def _enter(self, numbers: np.ndarray, tokens: np.ndarray, counts: np.ndarray) -> None:
        """Keep the tokens of the words that have these numbers."""
        self._tokens = _with_room(self._tokens, self._size + len(tokens))
        self._tokens[self._size : self._size + len(tokens)] = tokens
        self._begins = _with_room(self._begins, len(self._words))
        self._counts = _with_room(self._counts, len(self._words))
        self._begins[numbers] = self._size + np.cumsum(counts) - counts
        self._counts[numbers] = counts
        self._size += len(tokens)


def _with_room(array: np.ndarray, size: int) -> np.ndarray:
    """The array, or a larger one that begins with it, if it has no place for so many."""
    if size <= len(array):
        return array
    larger = np.empty(2 * size, array.dtype)
    larger[: len(array)] = array
    return larger
