"""How a text is cut into the pieces that are merged on their own: documents or parts first, then pre-tokens.

Training and encoding cut alike, and go wrong alike.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Iterable

import regex

from ...cases.pattern_probes import GPT2_PATTERN

Part = tuple[str, bool]
"""A part of a text, and whether it is a special token."""

_PRETOKEN = regex.compile(GPT2_PATTERN)


# --- pre-tokens ------------------------------------------------------------------------------------------------------

_ASCII_LETTERS = GPT2_PATTERN.replace(r" ?\p{L}+", " ?[A-Za-z]+").replace(r"\p{L}", "A-Za-z")
_ASCII_DIGITS = GPT2_PATTERN.replace(r" ?\p{N}+", " ?[0-9]+").replace(r"\p{N}", "0-9")

PATTERNS = {
    "right": GPT2_PATTERN,
    "word characters": r"""'(?:[sdmt]|ll|ve|re)| ?\w+| ?[^\s\w]+|\s+(?!\S)|\s+""",
    "letters of re": r"""'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+""",
    "letters of re, no underscore": r"""'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+| ?\d+| ?[^\s\w]+|_+|\s+(?!\S)|\s+""",
    "ascii letters": _ASCII_LETTERS,
    "ascii digits": _ASCII_DIGITS,
    "ascii": _ASCII_LETTERS.replace(r" ?\p{N}+", " ?[0-9]+").replace(r"\p{N}", "0-9"),
    "decimal digits": GPT2_PATTERN.replace(r"\p{N}", r"\p{Nd}"),
    "marks are letters": r"""'(?:[sdmt]|ll|ve|re)| ?[\p{L}\p{M}]+| ?\p{N}+| ?[^\s\p{L}\p{M}\p{N}]+|\s+(?!\S)|\s+""",
    "no lookahead": GPT2_PATTERN.replace(r"|\s+(?!\S)", ""),
    "no contractions": GPT2_PATTERN.removeprefix("'(?:[sdmt]|ll|ve|re)|"),
    "contractions of any case": GPT2_PATTERN.replace("'(?:", "'(?i:"),
    "no leading space": GPT2_PATTERN.replace(" ?", ""),
    "any leading white space": GPT2_PATTERN.replace(" ?", r"\s?"),
    "three digits": GPT2_PATTERN.replace(r"\p{N}+", r"\p{N}{1,3}"),
    "letters with digits": r"""'(?:[sdmt]|ll|ve|re)| ?[\p{L}\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    "newer": (
        r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"""
        r"|\s*[\r\n]|\s+(?!\S)|\s+"
    ),
    "words and white space": r"\S+|\s+",
    "words with a leading space": r" ?\S+|\s+",
    "words, signs, white space": r"\w+|[^\w\s]+|\s+",
    "words and signs": r"\w+|[^\w\s]+",
    "words only": r"\w+",
}


def _by_bytes(text: str) -> list[str]:
    """The pattern matched against bytes, where `\\p{L}` knows no character of two; kept as surrogates."""
    pieces = _compiled_for_bytes().findall(text.encode("utf-8", "surrogateescape"))
    return [piece.decode("utf-8", "surrogateescape") for piece in pieces]


def _lines(text: str) -> list[str]:
    return [piece for line in text.splitlines(keepends=True) for piece in _PRETOKEN.findall(line)]


_OTHER_CUTS: dict[str, Callable[[str], list[str]]] = {
    "none": lambda text: [text] if text else [],
    "split": str.split,
    "split at spaces": lambda text: text.split(" "),
    "characters": list,
    "bytes": _by_bytes,
    "line by line": _lines,
    "stripped": lambda text: [piece.strip() for piece in _PRETOKEN.findall(text) if piece.strip()],
    "lower case": lambda text: _PRETOKEN.findall(text.lower()),
    "composed": lambda text: _PRETOKEN.findall(unicodedata.normalize("NFC", text)),
    "decomposed": lambda text: _PRETOKEN.findall(unicodedata.normalize("NFD", text)),
    "compatible": lambda text: _PRETOKEN.findall(unicodedata.normalize("NFKC", text)),
    "line ends": lambda text: _PRETOKEN.findall(text.replace("\r\n", "\n").replace("\r", "\n")),
    "windows line ends": lambda text: _PRETOKEN.findall(text.replace("\r\n", "\n")),
}


def pretokens(text: str, way: str) -> list[str]:
    """A text without special tokens, cut in one of these ways."""
    if way in _OTHER_CUTS:
        return _OTHER_CUTS[way](text)
    return _compiled(PATTERNS[way]).findall(text)


@functools.cache
def _compiled(pattern: str) -> regex.Pattern[str]:
    return regex.compile(pattern)


@functools.cache
def _compiled_for_bytes() -> regex.Pattern[bytes]:
    return regex.compile(GPT2_PATTERN.encode())


SAYS_PRETOKENS = {
    "none": "Your code does not cut the text into pre-tokens: merges join the end of one word with the next.",
    "split": "Your pre-tokens are those of str.split(): white space is dropped, and signs stay with their "
    "words. GPT-2's "
    "pattern keeps every character; a space belongs to the word after it.",
    "split at spaces": 'Your pre-tokens are those of split(" "): spaces are dropped, and line ends and signs stay with '
    "their words. GPT-2's pattern keeps every character.",
    "characters": "Your code takes every character for a pre-token of its own, so only bytes of one character merge. "
    "An empty pattern ('|'.join([])) cuts a text so.",
    "bytes": "Your pre-tokens are those of the pattern compiled on bytes, where \\p{L} and \\p{N} know no character of "
    "two or more bytes: é becomes signs. Match the pattern against str, and encode each match as UTF-8.",
    "line by line": "Your code cuts the text into lines before it looks for pre-tokens, so white space that runs over "
    "a "
    "line end is cut otherwise. Give the pattern the whole text.",
    "stripped": "Your pre-tokens have no white space: it is stripped off, and a space before a word belongs to "
    "the word.",
    "lower case": "Your code lowers the text before it is cut; capital letters are other bytes.",
    "composed": "Your code composes characters first (Unicode's NFC): e and an accent become one é, and the text that "
    "comes back is another one. Take the text as it is.",
    "decomposed": "Your code takes characters apart first (Unicode's NFD): é becomes e and an accent, and the text "
    "that comes back is another one. Take the text as it is.",
    "compatible": "Your code replaces characters first by those that Unicode calls compatible (NFKC): ² becomes 2, and "
    "the text that comes back is another one. Take the text as it is.",
    "line ends": "Your code makes every \\r\\n and \\r a \\n first; take the text as it is.",
    "windows line ends": "Your code makes every \\r\\n a \\n first; take the text as it is.",
    "word characters": "Your pattern takes \\w for letters and digits: words hold digits and underscores. \\p{L} and "
    "\\p{N} keep them apart.",
    "letters of re": "Your pattern makes letters and numbers of \\w and \\d, which part them elsewhere than \\p{L} and "
    "\\p{N} do (², ½, combining marks). The module `regex` knows \\p.",
    "letters of re, no underscore": "Your pattern makes letters and numbers of \\w and \\d, and keeps underscores "
    "apart from other signs. The module `regex` knows \\p{L} and \\p{N}.",
    "ascii letters": "Your pattern takes only a-z and A-Z for letters, so words of other scripts are cut to pieces; "
    "\\p{L} has the letters of all.",
    "ascii digits": "Your pattern takes only 0 to 9 for numbers; \\p{N} also has the digits of all scripts, ² and ½.",
    "ascii": "Your pattern takes only a-z for letters and 0 to 9 for numbers; \\p{L} and \\p{N} have those of "
    "all scripts.",
    "decimal digits": "Your pattern takes only decimal digits for numbers; \\p{N} also has ², ½ and Ⅷ.",
    "marks are letters": "Your pattern counts combining marks (\\p{M}) among the letters; \\p{L} has letters only.",
    "no lookahead": "Your pattern lacks \\s+(?!\\S): of several spaces before a word none stays with the word.",
    "no contractions": "Your pattern lacks the contractions ('s, 'll, ...): the apostrophe is cut off from them.",
    "contractions of any case": "Your pattern takes contractions of any case; GPT-2's takes 's, and not 'S.",
    "no leading space": "Your pattern lacks the ' ?' before letters, numbers and signs: a space is a pre-token of its "
    "own and never merges with the word after it.",
    "any leading white space": "Your pattern takes any white space as a word's beginning; ' ?' takes a space only.",
    "three digits": "Your pattern cuts numbers after three digits, as later models do; GPT-2's takes all of them.",
    "letters with digits": "Your pattern lets one pre-token hold letters and numbers; GPT-2's keeps them apart.",
    "newer": "Your pre-tokens are those of a later model's pattern (cl100k), not of GPT-2's.",
    "words and white space": "Your pre-tokens are runs of non-space and of white space (\\S+|\\s+); GPT-2's "
    "pattern parts letters, numbers and signs, and gives a space to the word after it.",
    "words with a leading space": "Your pre-tokens are words with a space before them ( ?\\S+|\\s+); GPT-2's "
    "pattern also parts letters, numbers and signs.",
    "words, signs, white space": "Your pre-tokens are \\w+|[^\\w\\s]+|\\s+: no space belongs to the word after it.",
    "words and signs": "Your pre-tokens are \\w+|[^\\w\\s]+, which drops all white space.",
    "words only": "Your pre-tokens are \\w+, which drops white space and signs.",
}


# --- special tokens --------------------------------------------------------------------------------------------------


def parts(text: str, special_tokens: list[str], way: str) -> list[Part]:
    """A text cut at its special tokens, in one of these ways."""
    if way == "text":
        return [(text, False)]
    if way == "hard-coded":
        special_tokens = ["<|endoftext|>"]
    if way == "first only":
        special_tokens = special_tokens[:1]
    if not special_tokens:
        return [(text, False)]
    order = {"shortest first": lambda token: len(token), "in the given order": lambda token: 0}
    ordered = sorted(special_tokens, key=order.get(way, lambda token: -len(token)))
    escape = str if way == "not escaped" else regex.escape
    found: list[Part] = []
    end = 0
    for match in regex.finditer("|".join(f"(?:{escape(token)})" for token in ordered), text):
        found += [(text[end : match.start()], False), (match.group(), True)]
        end = match.end()
    found.append((text[end:], False))
    match way:
        case "swallowed":
            found = [part for part in found if not part[1]]
        case "joined":
            found = [("".join(piece for piece, special in found if not special), False)]
        case "stripped":
            found = [(piece if special else piece.strip(), special) for piece, special in found]
        case "kept as text":
            found = [(piece, False) for piece, special in found]
    return [(piece, special) for piece, special in found if piece]


def plain(found: Iterable[Part]) -> list[str]:
    """The parts that are no special tokens."""
    return [piece for piece, special in found if not special]
