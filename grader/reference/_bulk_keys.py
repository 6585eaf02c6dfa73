"""Words as keys of two 64-bit words, so that numpy can compare many at once."""

import numpy as np

# A word's key is its bytes, at most 15, and in the sixteenth how many they are.
_SHORT = 15
_KIND_SHIFT = np.uint64(56)
_MASKS = np.array(
    [[(1 << 8 * min(max(length - skip, 0), 8)) - 1 for length in range(_SHORT + 1)] for skip in (0, 8)], np.uint64
)
"""[2, 16]: what to keep of two words of 64 bits, to have a word of this length."""


def _keys_of_words(data: bytes, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The keys of the words that begin at these places, as two arrays of uint64.

    Args:
        starts: int64 [n]; lengths: in bytes, int64 [n], each at most `_SHORT`.
    """
    padded = np.frombuffer(data + bytes(16), np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 16)[starts]
    first, second = windows.view("<u8").T & _MASKS[:, lengths]
    second |= lengths.astype(np.uint64) << _KIND_SHIFT
    return first, second


def _letters_of_keys(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Their bytes, uint8 [n, 16]: those of the word, zeros, and its length."""
    return np.stack([first, second], axis=1).astype("<u8", copy=False).view(np.uint8)
