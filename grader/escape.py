"""Text that somebody else wrote, made safe to show: a terminal obeys some characters instead of showing them."""

from __future__ import annotations


def visible(text: str) -> str:
    """The text with everything but letters, signs, spaces and line ends written as an escape: ESC becomes `\\x1b`.

    Control characters could clear the screen and draw another report on it; marks of direction, exchange its words.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else "    " if c == "\t" else _escaped(c) for c in text)


def in_one_line(text: str, most: int = 200) -> str:
    """As `visible`, without line ends, and with the middle left out of what is longer than `most` characters."""
    text = visible(text).replace("\n", "\\n")
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
