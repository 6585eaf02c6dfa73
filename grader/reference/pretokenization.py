"""How text is cut before byte-pair encoding, in training and in encoding alike.

Special tokens are cut out first; the text between them is split into *pre-tokens* by GPT-2's pattern, and no merge
ever crosses the border of a pre-token. The pattern is the whole definition. The rest of this module makes it
fast (`_UNIT`) and lets a text be read in pieces (`_recut`) without changing a single pre-token.
"""

import re
from collections.abc import Iterable, Iterator

import regex

# In words, with "the first alternative that fits wins": a contraction; a run of letters, of digits, or of other visible
# characters, each with at most one space in front; white space. White space before a visible character leaves its last
# character behind, so that a following word gets its space.
PRETOKEN_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

_pretokens = regex.compile(PRETOKEN_PATTERN).findall

# A *unit* is a stretch of visible characters with the one white-space character in front of it, or what is left of a run of
# white space. No pre-token reaches beyond its unit: one that holds a visible character holds at most one white-space
# character, the first, and the pattern also leaves the last character of a run to what follows. Hence the
# pre-tokens of a text are those of its units, and the slow pattern need only see each distinct unit once.
# The standard library's `\s` has four characters that the pattern's has not: U+001C to U+001F.
_SPACE, _VISIBLE = r"[^\S\x1c-\x1f]", r"[\S\x1c-\x1f]"
_units = re.compile(rf"{_SPACE}?{_VISIBLE}+|{_SPACE}+(?!{_VISIBLE})").findall

# Between a visible character and one of another kind there is always a border between pre-tokens, and the
# two sides can be split on their own. The one exception is an apostrophe before a letter: maybe a contraction.
_last_border = regex.compile(
    r"""(?r)(?<=\p{L})(?=\P{L})|(?<=\p{N})(?=\P{N})|(?<=[^\s\p{L}\p{N}])(?=[\s\p{L}\p{N}])(?<!'(?=\p{L}))"""
).search

_PIECE_CHARS = 1 << 16


def _special_token_pattern(special_tokens: Iterable[str]) -> regex.Pattern[str] | None:
    """Match any of the special tokens, a longer one before its own prefix; None if there is none to match."""
    longest_first = sorted(special_tokens, key=len, reverse=True)
    if "" in longest_first:
        raise ValueError("A special token is the empty string, which occurs everywhere; leave it out.")
    return regex.compile("|".join(map(regex.escape, longest_first))) if longest_first else None


def _recut(texts: Iterable[str], special_tokens: Iterable[str], piece_chars: int = _PIECE_CHARS) -> Iterator[str]:
    """Cut a stream of texts anew, so that each piece can be split by itself.

    The special tokens and pre-tokens of the pieces, one piece after the other, are those of the whole text. A piece has
    few more than `piece_chars` characters, or as many as its longest pre-token needs.
    """
    special_tokens = list(special_tokens)
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


def _is_cut(text: str, place: int, special_tokens: list[str]) -> bool:
    return bool(_last_border(text, place, place + 1)) and not _cuts_special_token(text, place, special_tokens)


def _cuts_special_token(window: str, place: int, special_tokens: list[str]) -> bool:
    """Tell whether a special token, as far as the window shows it, begins before the place and ends after it."""
    return any(
        token.startswith(window[start : start + len(token)])
        for token in special_tokens
        for start in range(max(0, place - len(token) + 1), place)
    )
