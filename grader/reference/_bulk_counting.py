"""Counting the words of a text with numpy, without a Python object for each time that one comes."""

from collections import Counter

import numpy as np

from ._bulk_keys import _KIND_SHIFT, _SHORT, _keys_of_words, _letters_of_keys
from ._bulk_numbering import _Numbering
from ._bulk_splitting import _find_pretokens


class _BulkCounter:
    """Counts the pre-tokens of texts."""

    def __init__(self) -> None:
        self._words = _Numbering()  # those of at most `_SHORT` bytes
        self._counts = np.zeros(0, np.int64)  # by their numbers; there may be room for more
        self._long: Counter[bytes] = Counter()

    def add(self, texts: list[str]) -> None:
        """Count the pre-tokens of one text or more, none of which crosses the end of a text."""
        data, starts, borders = _find_pretokens(texts)
        lengths = np.diff(starts, append=len(data))
        is_long = lengths > _SHORT
        is_short = ~is_long
        is_short[borders] = False
        first, second = _keys_of_words(data, starts[is_short], lengths[is_short])
        counts = np.bincount(self._words.add(first, second), minlength=len(self._counts))
        counts[: len(self._counts)] += self._counts
        self._counts = counts
        ends = starts + lengths
        self._long.update(
            data[start:end] for start, end in zip(starts[is_long].tolist(), ends[is_long].tolist(), strict=True)
        )

    def result(self) -> Counter[bytes]:
        """{pre-token in UTF-8: how often it came}"""
        first, second = self._words.keys[:, : len(self._words)]
        letters = _letters_of_keys(first, second).tobytes()
        lengths = (second >> _KIND_SHIFT).astype(np.int64)
        starts = 16 * np.arange(len(lengths))
        words = (letters[i:j] for i, j in zip(starts.tolist(), (starts + lengths).tolist(), strict=True))
        counts = Counter(dict(zip(words, self._counts.tolist(), strict=True)))
        counts.update(self._long)
        return counts
