"""How text is split before byte-pair encoding, both in training and in encoding.

Special tokens are cut out first. GPT-2's pattern splits the text between them into *pre-tokens*, and no merge ever
crosses the boundary of a pre-token. The pattern is the whole definition.
"""

import codecs
import multiprocessing
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

import regex

from ._bulk_counting import _BulkCounter

# GPT-2's pattern. The first alternative that matches wins: a contraction; a run of letters, of digits, or of other
# visible characters, each with at most one space in front; white space. A run of white space before a visible
# character does not include its last character, so that a word gets its space.
PRETOKEN_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

# Everything below makes splitting fast (`_units`, `_split_unit`) or lets a text be read in pieces (`_recut`), without
# changing a single pre-token. Large pieces are split with numpy (`_bulk_splitting.py`), which is what counting does.
#
# A *unit* is a run of visible characters with the one white-space character in front of it, or what is then
# left of a run of white space. Every pre-token lies inside a unit: where it holds a visible character it
# holds at most one white-space character, the first; and of white space before a visible character the
# pattern, too, leaves the last one behind. So the pre-tokens of a text are those of its units, and units that
# come again need not be split again. The standard library takes U+001C to U+001F for white space; the pattern
# does not.
_SPACE, _VISIBLE = r"[^\S\x1c-\x1f]", r"[\S\x1c-\x1f]"
_units = re.compile(rf"{_SPACE}?{_VISIBLE}+|{_SPACE}+(?!{_VISIBLE})").findall

_split = regex.compile(PRETOKEN_PATTERN).findall
_split_ascii = re.compile(
    r"""'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+""", re.ASCII
).findall

# Between a visible character and one of another class, pre-tokens always have a border, and nothing on one
# side of it changes how the other side is split. The exception is an apostrophe before a letter, maybe a
# contraction.
_last_border = regex.compile(
    r"""(?r)(?<=\p{L})(?=\P{L})|(?<=\p{N})(?=\P{N})|(?<=[^\s\p{L}\p{N}])(?=[\s\p{L}\p{N}])(?<!'(?=\p{L}))"""
).search

_PIECE_CHARS = 1 << 14  # small enough that what is made of a piece stays in the processor's cache
_COUNTED_CHARS = 1 << 18  # of what is counted at once: each pre-token then takes less time than in a small piece
_READ_BYTES = 1 << 20
_SHARE_BYTES = 1 << 24  # about a second of work; starting a process takes some tenths of a second


def _split_unit(unit: str) -> list[str]:
    """Split a unit into pre-tokens; the standard library is three times faster where its classes suffice."""
    return _split_ascii(unit) if unit.isascii() else _split(unit)


def _special_token_pattern(special_tokens: Iterable[str]) -> re.Pattern[str] | None:
    """Match any of the special tokens, a longer one before its own prefix; None if there is none to match."""
    longest_first = sorted(special_tokens, key=len, reverse=True)
    if "" in longest_first:
        raise ValueError("One of the special tokens is the empty string, which is everywhere; leave it out.")
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


# --- reading in pieces --------------------------------------------------------------------------------------


def _recut(texts: Iterable[str], special_tokens: list[str], piece_chars: int = _PIECE_CHARS) -> Iterator[str]:
    """Cut a stream of texts anew, so that each piece can be split by itself.

    The special tokens and pre-tokens of the pieces, one piece after the other, are those of the whole text. A
    piece ends as far to the right as what has been read allows; only a pre-token longer than a piece makes it
    grow.
    """
    reach = max(map(len, special_tokens), default=1)
    held: list[str] = []  # the text since the last cut
    context = ""  # its end: as much of it as a cut may depend on
    for text in texts:
        for start in range(0, len(text), piece_chars):
            part = text[start : start + piece_chars]
            held.append(part)
            window = context + part
            # Places further left were judged before, with all that matters on their right in view.
            cut = _last_cut(window, len(context) - reach, special_tokens)
            if cut is not None:
                whole = "".join(held)
                cut += len(whole) - len(window)
                yield whole[:cut]
                window = whole[cut:]
                held = [window]
            context = window[-2 * reach :]
    if rest := "".join(held):
        yield rest


def _last_cut(window: str, lowest: int, special_tokens: list[str]) -> int | None:
    """Find the last place, above `lowest`, where the window can be cut whatever text comes after it."""
    end = len(window)
    while (border := _last_border(window, endpos=end)) and border.start() > lowest:
        end = border.start()
        if not _cuts_special_token(window, end, special_tokens):
            return end
    return None


def _can_cut(window: str, place: int, special_tokens: list[str]) -> bool:
    """Tell whether the window can be cut at a place, whatever text comes before and after it."""
    border = _last_border(window, endpos=place + 1)
    at_border = border is not None and border.start() == place
    return at_border and not _cuts_special_token(window, place, special_tokens)


def _cuts_special_token(window: str, place: int, special_tokens: list[str]) -> bool:
    """Tell whether a special token, as far as the window shows, begins before the place and ends after it."""
    for token in special_tokens:
        start = max(place - len(token), -1)
        while (start := window.find(token[0], start + 1, place)) >= 0:
            if token.startswith(window[start : start + len(token)]):
                return True
    return False


# --- counting -----------------------------------------------------------------------------------------------


def _count_pretokens(path: Path, special_tokens: list[str], num_processes: int | None) -> Counter[bytes]:
    """Count the pre-tokens of a file, in UTF-8. Its shares are counted side by side, one of them in this process."""
    borders = _share_borders(path, special_tokens, _useful_processes(path, num_processes))
    first, *others = pairwise(borders)
    if not others:
        return _count_share(path, *first, special_tokens)
    with ProcessPoolExecutor(len(others)) as pool:
        counting = [pool.submit(_count_share, path, *share, special_tokens) for share in others]
        counts = _count_share(path, *first, special_tokens)
        for share in counting:
            counts.update(share.result())
    return counts


def _useful_processes(path: Path, num_processes: int | None) -> int:
    if num_processes is None:
        num_processes = os.cpu_count() or 1
    elif num_processes < 1:
        raise ValueError(f"num_processes is {num_processes}, but at least 1 is needed to read the file.")
    if multiprocessing.current_process().daemon:  # and therefore not allowed to start processes
        return 1
    return max(1, min(num_processes, path.stat().st_size // _SHARE_BYTES))


def _share_borders(path: Path, special_tokens: list[str], count: int) -> list[int]:
    """Divide a file into at most `count` shares of about the same size that can be counted one by one."""
    size = path.stat().st_size
    cuts = [_next_file_cut(path, special_tokens, size * number // count) for number in range(1, count)]
    found: set[int] = {cut for cut in cuts if cut is not None}
    return [0, *sorted(found), size]


def _next_file_cut(path: Path, special_tokens: list[str], position: int) -> int | None:
    """Find an offset not far behind `position` where the file may be cut, if there is one.

    Only offsets before an ASCII space or line feed are tried: there a UTF-8 sequence has ended, well-formed
    or not.
    """
    reach = 4 * (1 + max(map(len, special_tokens), default=1))  # bytes that hold as many characters as matter
    with path.open("rb") as file:
        file.seek(position)
        window = file.read(_READ_BYTES)
    for space in re.finditer(rb"[ \n]", window):
        offset = space.start()
        if offset < reach:
            continue
        left = window[offset - reach : offset].decode("utf-8", "replace")
        right = window[offset : offset + reach].decode("utf-8", "replace")
        if _can_cut(left + right, len(left), special_tokens):
            return position + offset
    return None


def _count_share(path: Path, start: int, stop: int, special_tokens: list[str]) -> Counter[bytes]:
    special_pattern = _special_token_pattern(special_tokens)
    counter = _BulkCounter()
    for piece in _recut(_read_text(path, start, stop), special_tokens, _COUNTED_CHARS):
        counter.add(special_pattern.split(piece) if special_pattern else [piece])
    return counter.result()


def _read_text(path: Path, start: int, stop: int) -> Iterator[str]:
    """Read a part of a file as text: what is not UTF-8 becomes U+FFFD, everything else stays as it is."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with path.open("rb") as file:
        file.seek(start)
        for position in range(start, stop, _READ_BYTES):
            yield decoder.decode(file.read(min(_READ_BYTES, stop - position)))
    yield decoder.decode(b"", final=True)
