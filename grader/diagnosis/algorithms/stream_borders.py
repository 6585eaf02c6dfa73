"""`encode_iterable`: at which border between chunks its ids leave those of the whole text, and how chunks are joined.

All is compared with what the student's own `encode` gives for the whole text, so that a fault of `encode` is none here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import regex

from ...scoring.outcome import Clue
from ...submission.interface import OpenTokenizer, Submission
from .asking import NONE, Asker
from .cutting import pretokens

if TYPE_CHECKING:
    from ..clues import Failure

Segments = Callable[[Sequence[str]], list[str]]


def _after_last(characters: str) -> Segments:
    """Encodes up to the last of these characters, and holds the rest back for the next chunk."""

    def segments(chunks: Sequence[str]) -> list[str]:
        found, held = [], ""
        for chunk in chunks:
            held += chunk
            cut = max(held.rfind(character) for character in characters) + 1
            found.append(held[:cut])
            held = held[cut:]
        return [*found, held]

    return segments


def _before_last(characters: str) -> Segments:
    def segments(chunks: Sequence[str]) -> list[str]:
        found, held = [], ""
        for chunk in chunks:
            held += chunk
            cut = max(max(held.rfind(character) for character in characters), 0)
            found.append(held[:cut])
            held = held[cut:]
        return [*found, held]

    return segments


def _holding_back(count: int, splits_again: bool = False) -> Segments:
    """Encodes all pre-tokens of what it has but the last ones.

    Args:
        splits_again: what is before these is split once more; it may be other pre-tokens without them.
    """

    def segments(chunks: Sequence[str]) -> list[str]:
        found, held = [], ""
        for chunk in chunks:
            pieces = pretokens(held + chunk, "right")
            found += ["".join(pieces[:-count])] if splits_again else pieces[:-count]
            held = "".join(pieces[-count:])
        return [*found, held]

    return segments


_HOLDS_BACK_ONE = (
    'Your encode_iterable holds back the last pre-token only; "\'" and "l" are two until one more "l" comes, so hold '
    "back the last two."
)
_SPLITS_AGAIN = (
    "Your encode_iterable takes the last pre-token off and then splits the rest again, which may give others: "
    r"'\n\n' before a letter is two pre-tokens, and alone it is one. Encode the pre-tokens that you have, all but the "
    'last two: "\'" and "l" are two until one more "l" comes.'
)
_JOININGS: dict[str, Segments] = {
    "Your encode_iterable encodes each chunk on its own: what lies across the end of a chunk is cut in two. Hold back "
    "what the next chunk may still change.": list,
    "Your encode_iterable strips the ends of lines off; they are text.": lambda chunks: [
        c.rstrip("\n") for c in chunks
    ],
    "Your encode_iterable strips white space off each chunk; it is text.": lambda chunks: [c.strip() for c in chunks],
    "Your encode_iterable encodes up to the last newline and holds the rest back; several newlines are one pre-token, "
    "which this cuts in two.": _after_last("\n"),
    "Your encode_iterable encodes up to the last white space and holds the rest back; a run of white space is one "
    "pre-token, and a space belongs to the word after it.": _after_last(" \n"),
    "Your encode_iterable encodes up to the last space and holds the rest back; the space belongs to the word after "
    "it.": _after_last(" "),
    "Your encode_iterable encodes what is before the last space and holds the rest back; a run of white space is one "
    "pre-token, which this cuts in two.": _before_last(" "),
    "Your encode_iterable encodes what is before the last white space and holds the rest back; a run of white space is "
    "one pre-token, which this cuts in two.": _before_last(" \n"),
    _HOLDS_BACK_ONE: _holding_back(1),
    _SPLITS_AGAIN: _holding_back(1, splits_again=True),
    "Your encode_iterable leaves out the last chunk.": lambda chunks: list(chunks[:-1]),
    "Your encode_iterable yields only the first chunk.": lambda chunks: list(chunks[:1]),
    "Your encode_iterable never yields what it holds back when the stream ends (the last pre-token).": lambda chunks: [
        "".join(pretokens("".join(chunks), "right")[:-1])
    ],
    "Your encode_iterable never yields what it holds back when the stream ends (the last two "
    "pre-tokens).": lambda chunks: ["".join(pretokens("".join(chunks), "right")[:-2])],
}


def about_streams(
    failure: Failure, given: list[tuple[list[str], Any]], ask: Asker, tokenizer: OpenTokenizer
) -> Clue | None:
    """How the student's `encode_iterable` joins chunks, or at which border it goes wrong."""
    own: dict[str, Any] = {}

    def encode(text: str) -> Any:
        if text not in own:
            own[text] = ask(lambda _: tokenizer.encode(text)) if text else []
        return own[text]

    given = [(chunks, ids) for chunks, ids in given if isinstance(ids, list) and sum(map(len, chunks)) <= 2000]
    wrong = [
        (chunks, ids) for chunks, ids in given if encode("".join(chunks)) is not NONE and encode("".join(chunks)) != ids
    ]
    if not wrong:
        return None
    wrong.sort(key=lambda one: sum(map(len, one[0])))
    chunks, ids = wrong[0]
    if any(isinstance(one, list) for one in ids):
        return Clue.of_cause(
            "Your encode_iterable yields lists; it should yield ids one by one: `yield from` does that."
        )
    says: list[str] = []
    if not failure.bug:
        tried = wrong[:6] + [one for one in given if one not in wrong][:4]
        found = [
            sentence
            for sentence, join in _JOININGS.items()
            if all(_encoded(join(chunks), encode) == ids for chunks, ids in tried)
        ]
        if _HOLDS_BACK_ONE in found:  # then splitting again does no harm in these texts
            found = [sentence for sentence in found if sentence != _SPLITS_AGAIN]
        says = found if len(found) == 1 else []
    special = list(tokenizer._arguments["special_tokens"] or ())
    where = _border(chunks, ask, tokenizer, encode, special)
    return Clue((*says, *where), cause=tuple(says)) if says or where else None


def _encoded(segments: Sequence[str], encode: Callable[[str], Any]) -> Any:
    found: list[int] = []
    for segment in segments:
        ids = encode(segment)
        if ids is NONE:
            return NONE
        found += ids
    return found


def _border(
    chunks: Sequence[str], ask: Asker, tokenizer: OpenTokenizer, encode: Callable[[str], Any], special: Sequence[str]
) -> tuple[str, ...]:
    """The first border that is wrong by itself, with all other chunks joined."""
    text = "".join(chunks)
    whole = encode(text)
    at = 0
    for chunk in [chunk for chunk in chunks if chunk][:-1][:60]:
        at += len(chunk)
        halves = [text[:at], text[at:]]
        ids = ask(functools.partial(_streamed, tokenizer, halves))
        if ids is not NONE and ids != whole:
            where = _described(text, at, special)
            return (
                f"A border where it goes wrong: {_end(halves[0])} and then {_begin(halves[1])} gives other ids than "
                "both "
                f"together. {where}",
            )
    return ()


def _streamed(tokenizer: OpenTokenizer, chunks: list[str], _: Submission) -> list[int]:
    return tokenizer.encode_iterable(chunks)


def _described(text: str, at: int, special: Sequence[str]) -> str:
    """What a border lies in."""
    for token in special:
        for match in regex.finditer(regex.escape(token), text):
            if match.start() < at < match.end():
                return f"The border is inside of the special token {token!r}."
            if at == match.end():
                longer = any(other != token and other.startswith(token) for other in special)
                return f"The border is right behind the special token {token!r}" + (
                    ", which may still become a longer one." if longer else "."
                )
            if at == match.start():
                return f"The border is right before the special token {token!r}."
    start = 0
    for piece in pretokens(text, "right"):
        end = start + len(piece)
        if start < at < end:
            if piece.isspace():
                return f"The border is inside of {piece!r}, a run of white space that is one pre-token."
            return f"The border is inside of the pre-token {piece!r}."
        start = end
    if text[at - 1 : at].isspace():
        return "The first chunk ends in white space, and how that is cut depends on what follows."
    return "The border is between two pre-tokens of the whole text; alone, the first chunk ends in other ones."


def _end(text: str) -> str:
    return repr(text) if len(text) <= 24 else f"...{text[-20:]!r}"


def _begin(text: str) -> str:
    return repr(text) if len(text) <= 24 else f"{text[:20]!r}..."
