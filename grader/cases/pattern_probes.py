"""Short strings that show how a text is cut into pre-tokens: what GPT-2's pattern joins, and what it keeps apart.

Each kind of cut is always there; only letters, digits and signs are drawn. So a pattern that takes another view of any
of them, such as `[A-Za-z]` for letters, `[0-9]` for digits or `\\w` for both, shows it whatever the seed.
"""

from __future__ import annotations

from collections.abc import Sequence

from .case import Draw

GPT2_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
"""The pattern that the assignment names, for the module `regex`."""

LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "123456789"
_SIGNS = "!?;#+="

_SCRIPTS = ("éüñøç", "αβγδω", "бджщю", "אבגדה", "بتجدر")
_WIDE_SCRIPTS = ("कखगघच", "你好世界語", "あいうえお", "カキクケコ", "한국말글자")
"""Letters (L) of other scripts, of two bytes and of three; of each script some are always used."""

_NUMBERS = ("٠١٢٣٤", "²³¹", "½¼¾")
_WIDE_NUMBERS = ("०१२३४", "ⅠⅡⅣⅧ", "０１２３")
"""What counts as a number (N) and is none of 0 to 9: Arabic-Indic digits, superscripts, fractions, Roman numerals"""

_MARKS, _WIDE_MARKS = "\u0301\u0308", "\u093e\u0940"
"""Combining marks (M), which are neither letters nor numbers."""

_SYMBOLS, _WIDE_SYMBOLS = "§«±", "€→🙂…’"


def contractions_and_signs(draw: Draw) -> list[str]:
    """Apostrophes where the pattern cuts and where it does not, signs, and the space that belongs to what follows."""
    a, b, c = _some(draw, "abcfghijknopq", 3)
    sign, other = _some(draw, _SIGNS, 2)
    return [
        *(f"{a}'{end}" for end in ("s", "d", "m", "t", "ll", "ve", "re")),
        *(f"{a}'{end}" for end in ("S", "LL", "x", f"s{b}", f"t{c}")),
        *("ll", "ve", "re"),
        *(f"{a}{sign}", f"{sign}{b}", f"{sign}{other}", f"{a}_", f"_{b}", f"_{sign}"),
        *(f"{b}{a} {c}", f"{a} {sign}", f"{sign} {other}", f"{b}{c}", f"{c.upper()}{a}"),
    ]


def digits(draw: Draw) -> list[str]:
    """Runs of digits of any length, apart from letters and signs."""
    a, b = _some(draw, LETTERS, 2)
    one, two, three, four = _some(draw, _DIGITS, 4)
    sign = draw.choice(list(_SIGNS))
    return [
        *(
            f"{one}{two}",
            f"{three}{one}{two}",
            f"{three}{one}{two}{four}",
            f"{a}{one}",
            f"{two}{b}",
            f"{a} {three}",
            f"{four}{sign}",
        ),
        *(f"{sign}{three}", f"{one}_", f"_{four}", f"{two}.{one}", f"{three} {four}"),
    ]


def white_space(draw: Draw) -> list[str]:
    """Runs of white space between words, whose last character stays with the word if it is a space."""
    a, b = _some(draw, LETTERS, 2)
    gaps = (
        "  ",
        "   ",
        "\n\n",
        "\n\n\n",
        "\n\n  ",
        "\n ",
        " \n",
        "\t",
        "\t\t",
        "\t\t\t",
        "\u00a0",
        "\u2003 ",
        "\u2002",
    )
    return [f"{a}{gap}{b}" for gap in gaps]


def scripts(draw: Draw) -> list[str]:
    """Letters and numbers of other scripts beside those of ours and beside signs, combining marks, and symbols."""
    return _of_characters(draw, _SCRIPTS, _NUMBERS, _MARKS, _SYMBOLS)


def wide_scripts(draw: Draw) -> list[str]:
    """The same, of characters that take three bytes or four."""
    return _of_characters(draw, _WIDE_SCRIPTS, _WIDE_NUMBERS, _WIDE_MARKS, _WIDE_SYMBOLS)


def _of_characters(draw: Draw, scripts: Sequence[str], numbers: Sequence[str], marks: str, symbols: str) -> list[str]:
    probes = []
    for letters in scripts:
        (x, y), a, sign = _some(draw, letters, 2), draw.choice(list(LETTERS)), draw.choice(list(_SIGNS))
        probes += [f"{a}{x}", f"{y}{a}", f"{x}{y}", f"{x}{sign}", f"{sign}{y}", f"{x}_"]
    for digits in numbers:
        (x, y), a, sign = _some(draw, digits, 2), draw.choice(list(LETTERS)), draw.choice(list(_SIGNS))
        one = draw.choice(list(_DIGITS))
        probes += [f"{one}{x}", f"{y}{one}", f"{a}{x}", f"{sign}{y}", f"{x}_", f"{y}{a}"]
    for mark in marks:
        a, one, sign = draw.choice(list(LETTERS)), draw.choice(list(_DIGITS)), draw.choice(list(_SIGNS))
        probes += [f"{a}{mark}", f"{one}{mark}", f"{sign}{mark}"]
    for symbol in symbols:
        a, sign = draw.choice(list(LETTERS)), draw.choice(list(_SIGNS))
        probes += [f"{a}{symbol}", f"{sign}{symbol}", f"{symbol}{sign}", f" {symbol}"]
    return probes


def _some(draw: Draw, characters: str, count: int) -> list[str]:
    """So many different ones of these characters."""
    return [characters[i] for i in draw.random.permutation(len(characters))[:count]]


OTHER_PATTERNS = {
    "contractions_and_signs": (
        r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"""'(?i:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
        r"""'(?:[sdmt]|ll|ve|re)| ?\w+| ?[^\s\w]+|\s+(?!\S)|\s+""",
        r"\S+|\s+",
        r" ?\S+|\s+",
        r"\w+|[^\w\s]+|\s+",
    ),
    "digits": (
        r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
        r"""'(?:[sdmt]|ll|ve|re)| ?[\p{L}\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
        r"""'(?:[sdmt]|ll|ve|re)| ?\w+| ?[^\s\w]+|\s+(?!\S)|\s+""",
        r"\S+|\s+",
    ),
    "white_space": (
        r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+""",
        r"""'(?:[sdmt]|ll|ve|re)|\s?\p{L}+|\s?\p{N}+|\s?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
        r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s""",
        r"[^\r\n\p{L}\p{N}]?+\p{L}+|\s*[\r\n]|\s+(?!\S)|\s+",
        r"\S+",
    ),
    "scripts": (
        r"""'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]+| ?\p{N}+| ?[^\sA-Za-z\p{N}]+|\s+(?!\S)|\s+""",
        r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?[0-9]+| ?[^\s\p{L}0-9]+|\s+(?!\S)|\s+""",
        r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{Nd}+| ?[^\s\p{L}\p{Nd}]+|\s+(?!\S)|\s+""",
        r"""'(?:[sdmt]|ll|ve|re)| ?[\p{L}\p{M}]+| ?\p{N}+| ?[^\s\p{L}\p{M}\p{N}]+|\s+(?!\S)|\s+""",
        r"""'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+| ?\d+| ?[^\s\w]+|_+|\s+(?!\S)|\s+""",
    ),
}
OTHER_PATTERNS["wide_scripts"] = OTHER_PATTERNS["scripts"]
"""{probes: patterns that a case of them must tell from the right one}; real solutions have used most of them."""
