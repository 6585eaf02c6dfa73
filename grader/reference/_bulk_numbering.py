"""A dictionary for numpy: numbers for keys of two 64-bit words, many thousands of keys at a time.

Python's dictionary takes a tenth of a microsecond and more for each key, and wants an object made for it. Here one step
looks at one slot of a hash table for each of the keys, so that numpy's loops do the work.
"""

import numpy as np

_FREE = -1
_SMALLEST = 1 << 12  # keys
_ODD_1, _ODD_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)  # they mix a key's bits upwards


class _Numbering:
    """Numbers distinct keys: 0, 1, 2, ...

    Of a hash table's slots each is free or has the number of a key; at least half are free. A key is in the first slot
    that was free, from the one that its hash names onwards.

    Attributes:
        keys: uint64 [2, capacity]: the keys by their numbers; what is behind the first `len(self)` means nothing.
    """

    def __init__(self) -> None:
        self._count = 0
        self._reserve(_SMALLEST)

    def __len__(self) -> int:
        return self._count

    def find(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The numbers, int64, of the keys whose words these are, uint64 [n] each; -1 for a key that has none."""
        numbers = np.full(len(first), _FREE)
        pending, slots = np.arange(len(first)), self._first_slots(first, second)
        while len(pending):
            found = self._slots[slots]
            same = (self.keys[0][found] == first) & (self.keys[1][found] == second) & (found != _FREE)
            numbers[pending[same]] = found[same]
            others = np.flatnonzero(~same & (found != _FREE))
            pending, first, second = pending[others], first[others], second[others]
            slots = (slots[others] + 1) & (len(self._slots) - 1)
        return numbers

    def add(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """What `find` gives, after keys that have no number got the next ones, in no particular order."""
        numbers = self.find(first, second)
        new = np.flatnonzero(numbers == _FREE)
        if len(new):
            new = new[np.lexsort((second[new], first[new]))]
            ordered = np.stack([first[new], second[new]])
            is_other = np.append(True, (ordered[:, 1:] != ordered[:, :-1]).any(axis=0))
            numbers[new] = self._count - 1 + np.cumsum(is_other)
            self._append(ordered[:, is_other])
        return numbers

    def _append(self, keys: np.ndarray) -> None:
        """Give distinct new keys, uint64 [2, n], the next numbers."""
        before, self._count = self._count, self._count + keys.shape[1]
        if self._count > self.keys.shape[1]:
            self._reserve(2 * self._count, self.keys[:, :before])
        self.keys[:, before : self._count] = keys
        self._settle(np.arange(before, self._count))

    def _reserve(self, capacity: int, keys: np.ndarray | None = None) -> None:
        """Make a larger table, and let the keys of the old one live there."""
        capacity = 1 << (capacity - 1).bit_length()
        self.keys = np.empty((2, capacity), np.uint64)
        self._slots = np.full(2 * capacity, _FREE, np.int32)
        if keys is not None:
            self.keys[:, : keys.shape[1]] = keys
            self._settle(np.arange(keys.shape[1]))

    def _settle(self, numbers: np.ndarray) -> None:
        """Put numbers into the slots of their keys. Of several that find the same slot free one gets it."""
        slots = self._first_slots(self.keys[0, numbers], self.keys[1, numbers])
        while len(numbers):
            free = self._slots[slots] == _FREE
            self._slots[slots[free]] = numbers[free]
            homeless = np.flatnonzero(self._slots[slots] != numbers)
            numbers, slots = numbers[homeless], (slots[homeless] + 1) & (len(self._slots) - 1)

    def _first_slots(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        shift = np.uint64(65 - len(self._slots).bit_length())
        return (((first ^ (second * _ODD_2)) * _ODD_1) >> shift).astype(np.int64)
