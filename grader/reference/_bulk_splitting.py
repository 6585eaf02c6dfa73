"""Where pre-tokens begin, found with numpy in a whole text at once: what `PRETOKEN_PATTERN` finds one after the other.

A character and its neighbours tell whether a pre-token begins there: where a run of letters, of digits or of other
visible characters begins, unless it takes a space from in front; where white space begins; and at the last character of
white space that is followed by something visible. Only contractions need a second look.
"""

from collections.abc import Sequence

import numpy as np
import regex

# Classes of characters. A sign is visible, but neither letter nor number; a blank is white space, but not U+0020. What
# has no class is a border between texts, or a character that has not been looked up.
_NONE, _LETTER, _NUMBER, _SIGN, _SPACE, _BLANK = range(6)

_CONTRACTIONS = {1: ("s", "d", "m", "t"), 2: ("ll", "ve", "re")}  # what follows the apostrophe, by its length


def _find_pretokens(texts: Sequence[str]) -> tuple[bytes, np.ndarray, np.ndarray]:
    """Find the pre-tokens of one text or more, none of which crosses the end of a text. A text may be empty.

    Returns:
        The texts in UTF-8, with one byte between two of them, their border; where in it each pre-token and each border
        begins, int64 [n]; and which of these n are borders, in order.

    Raises:
        UnicodeEncodeError: a text has a lone surrogate.
    """
    text = "\n".join(texts)
    borders = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)[:-1] - 1  # their places
    data = text.encode()
    if len(data) == len(text):
        codes = np.frombuffer(data, np.uint8)
        classes = np.frombuffer(data.translate(_ascii_classes), np.uint8)
    else:
        codes = np.frombuffer(text.encode("utf-32-le"), "<u4")
        classes = _classes(codes)
    padded = np.full(len(codes) + 2, _NONE, np.uint8)
    padded[1:-1] = classes
    padded[borders + 1] = _NONE
    is_start = _starts(codes, padded)
    starts = np.flatnonzero(is_start)
    places = np.searchsorted(starts, borders)
    if len(data) > len(text):
        sizes = np.ones(len(codes), np.int8)  # of the characters, in bytes
        for larger in (0x80, 0x800, 0x10000):
            sizes += codes >= larger
        lengths = np.add.reduceat(sizes, starts, dtype=np.int64)
        starts = np.cumsum(lengths) - lengths
    return data, starts, places


def _starts(codes: np.ndarray, padded: np.ndarray) -> np.ndarray:
    """Tell of each character whether a pre-token or a border begins there: bool [n].

    Args:
        codes: the characters' code points, integers [n].
        padded: their classes, uint8 [n + 2], with one of no class at each end.
    """
    before, here, after = padded[:-2], padded[1:-1], padded[2:]
    white = padded >= _SPACE
    visible = ~white & (padded != _NONE)
    run_begins = (here != before) & (before != _SPACE)
    is_start = np.where(white[1:-1], ~white[:-2] | visible[2:], run_begins) | (here == _NONE)

    quotes = np.flatnonzero(codes == ord("'"))
    quotes = quotes[is_start[quotes] & (after[quotes] == _LETTER)]
    if len(quotes):
        ends = quotes + 1 + _contraction_lengths(codes, padded, quotes)
        is_contraction = ends > quotes + 1
        is_start[quotes[is_contraction] + 1] = False
        is_start[ends[is_contraction & (ends < len(codes))]] = True
    return is_start


def _contraction_lengths(codes: np.ndarray, padded: np.ndarray, quotes: np.ndarray) -> np.ndarray:
    """How many letters of a contraction follow each of these apostrophes, each of which has a letter behind it."""
    first = codes[quotes + 1]
    second = np.where(padded[quotes + 3] == _LETTER, codes[np.minimum(quotes + 2, len(codes) - 1)], 0)
    lengths = np.zeros(len(quotes), np.int64)
    for length, contractions in _CONTRACTIONS.items():
        for letters in contractions:
            matches = first == ord(letters[0])
            lengths[matches & (second == ord(letters[1])) if length == 2 else matches] = length
    return lengths


def _classes(codes: np.ndarray) -> np.ndarray:
    classes = _class_of[codes]
    if (classes == _NONE).any():
        for code in np.unique(codes[classes == _NONE]).tolist():
            _class_of[code] = _look_up(chr(code))
        classes = _class_of[codes]
    return classes


def _look_up(char: str) -> int:
    if char == " ":
        return _SPACE
    patterns = {_LETTER: r"\p{L}", _NUMBER: r"\p{N}", _BLANK: r"\s"}
    return next((kind for kind, pattern in patterns.items() if regex.match(pattern, char)), _SIGN)


_class_of = np.zeros(0x110000, np.uint8)  # by code point, those of them that have come
_ascii_classes = bytes(_look_up(chr(code)) for code in range(128)) + bytes(128)
