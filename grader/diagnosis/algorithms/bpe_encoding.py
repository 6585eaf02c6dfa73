"""Encoding and decoding: which merge was skipped or taken too early, and which other tokenizer gives the student's ids.

`Encoder` is the textbook's, with steps that can be done in other ways. It works on the tables of the failing case.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ...scoring.outcome import Clue
from ...submission.interface import OpenTokenizer, Submission
from .asking import Asker, tries
from .cutting import SAYS_PRETOKENS, parts, pretokens
from .stream_borders import about_streams
from .ways import Explanation, Steps, Way, explanations, sentences, told_apart

if TYPE_CHECKING:
    from ..clues import Failure

Pair = tuple[bytes, bytes]
Tables = Mapping[str, Any]

_TRIES = 2_000
_LONGEST = 400
"""Of pre-tokens with more bytes than this only the plain form is followed: other ways may be quadratic."""

WAYS = (
    Way(
        "merges",
        "longest match",
        "Your tokenizer takes the longest token that fits, from left to right; the merges decide, in the "
        "order in which "
        "they were learnt.",
    ),
    Way(
        "merges",
        "any known token, from the left",
        "Your tokenizer joins, from the left, any two neighbours that make a token of the vocabulary; of "
        "all pairs, the "
        "one that comes first in the list of merges has to be joined first.",
    ),
    Way(
        "merges",
        "leftmost in the list",
        "Your tokenizer joins the leftmost pair that is in the list of merges; of all pairs of the word, "
        "the one that comes "
        "first in the list has to be joined first.",
    ),
    Way(
        "merges",
        "one pass",
        "Your tokenizer goes through a word once and joins what it finds on the way; it has to begin again after each "
        "merge, until no pair is in the list.",
    ),
    Way(
        "merges",
        "each merge at one place",
        "Your tokenizer applies each merge at one place of a word only; it may be there twice, as (a, n) in 'banana'.",
    ),
    Way(
        "merges",
        "one merge",
        "Your tokenizer makes one merge in a word and stops; go on until no pair of it is in the list of merges.",
    ),
    Way("merges", "none", "Your tokenizer joins nothing: the ids are those of single bytes."),
    Way(
        "merges",
        "from the right",
        "Where a pair occurs several times in a word, your tokenizer joins the last one first.",
    ),
    Way(
        "merges",
        "last symbol lost",
        "Your tokenizer loses the last symbol of a word that does not end in the merged pair: a loop over "
        "range(len(word) - 1) never comes to it.",
    ),
    Way(
        "ranks",
        "ids",
        "Your tokenizer joins the pair whose token has the smallest id; the order of the list of merges counts.",
    ),
    Way(
        "ranks",
        "last first",
        "Your tokenizer joins the pair that comes last in the list of merges; the first should be.",
    ),
    Way(
        "ranks",
        "shortest first",
        "Your tokenizer joins the pair that makes the shortest token; the order of the list of merges counts.",
    ),
    Way(
        "first merge",
        "missing",
        "Your tokenizer never applies the first merge of the list: its rank is 0, which `if rank` takes for False.",
    ),
    Way(
        "first pair",
        "left out",
        "Your tokenizer never joins the first two symbols of a word: does your loop begin at 1, or ask for `i > 0`?",
    ),
    Way(
        "last pair", "left out", "Your tokenizer never joins the last two symbols of a word: where does your loop end?"
    ),
    Way(
        "whole words",
        "looked up",
        "Your tokenizer takes a word that is in the vocabulary as one token, even if the merges do not lead to it.",
        alone=True,
    ),
    Way(
        "symbols",
        "characters",
        "Your tokenizer begins with characters, not with bytes: a character of several bytes is one "
        "symbol from the start.",
    ),
    Way(
        "symbols",
        "code points",
        "Your tokenizer takes ord(c) for a byte; a character's bytes are those of its UTF-8 encoding.",
    ),
    *(Way("pre-tokens", name, says) for name, says in SAYS_PRETOKENS.items()),
    Way("special tokens", "text", "Your tokenizer encodes special tokens as text; each of them is one id."),
    Way(
        "special tokens",
        "as a whole text",
        "Your tokenizer finds a special token only where it is the whole text: cut the text at them first.",
    ),
    Way("special tokens", "swallowed", "Your tokenizer cuts the text at special tokens, and then drops them."),
    Way(
        "special tokens",
        "stripped",
        "Your tokenizer drops the white space on both sides of special tokens.",
    ),
    Way(
        "special tokens",
        "not escaped",
        "Your tokenizer takes special tokens for regular expressions; re.escape makes <|endoftext|> match itself.",
    ),
    Way(
        "special tokens",
        "in the given order",
        "Of special tokens that begin alike, your tokenizer takes the one that is first in the list; the "
        "longest should be.",
    ),
    Way(
        "special tokens",
        "shortest first",
        "Of special tokens that begin alike, your tokenizer takes the shortest; the longest should be.",
    ),
    Way("special tokens", "first only", "Your tokenizer knows only the first special token of the list."),
    Way(
        "special tokens",
        "hard-coded",
        "Your tokenizer takes <|endoftext|> for a special token even where special_tokens does not name it.",
    ),
    Way(
        "special tokens",
        "in one pattern",
        "Your tokenizer puts special tokens into the pattern for pre-tokens, where the text before one "
        "can take its first "
        "characters along: cut at special tokens first.",
    ),
)


class Encoder:
    """Encodes with the tables of a case; each step is right unless `ways` names another way."""

    def __init__(
        self, tables: Tables, ranks: Mapping[Pair, int], ids: Mapping[bytes, int], ways: Iterable[Way] = ()
    ) -> None:
        self._way = Steps(ways)
        self._special = list(tables["special_tokens"] or ())
        self._ids, self._ranks = ids, ranks
        self._known: dict[str, list[bytes]] = {}

    def encode(self, text: str) -> list[int] | None:
        """The ids of a text; None where the vocabulary lacks a token."""
        found = []
        for token in self.tokens(text):
            if (token_id := self._ids.get(token)) is None:
                return None
            found.append(token_id)
        return found

    def tokens(self, text: str) -> Iterator[bytes]:
        for piece, special in self.pieces(text):
            if special:
                yield piece.encode()
                continue
            if piece not in self._known:
                self._known[piece] = self._merged(self._symbols(piece))
            yield from self._known[piece]

    def pieces(self, text: str) -> Iterator[tuple[str, bool]]:
        """Pre-tokens and special tokens, and which of the two each is."""
        way = self._way["special tokens"]
        if way == "in one pattern" and self._special:
            for piece in pretokens_with(text, self._special):
                yield piece, piece in self._special
            return
        if way == "as a whole text":
            way = "right" if text in self._special else "text"
        for part, special in parts(text, self._special, way):
            if special and part.encode() in self._ids:
                yield part, True
            else:
                yield from ((piece, False) for piece in pretokens(part, self._way["pre-tokens"]))

    def _symbols(self, piece: str) -> list[bytes]:
        match self._way["symbols"]:
            case "characters":
                return [character.encode("utf-8", "surrogateescape") for character in piece]
            case "code points":
                return [bytes([ord(character) % 256]) for character in piece]
        return [bytes([byte]) for byte in piece.encode("utf-8", "surrogateescape")]

    def rank(self, pair: Pair) -> float:
        """A pair's place in the list of merges; infinite where it is not in it."""
        rank = self._ranks.get(pair)
        if rank is None or (rank == 0 and self._way["first merge"] == "missing"):
            return math.inf
        match self._way["ranks"]:
            case "ids":
                return self._ids.get(pair[0] + pair[1], math.inf)
            case "last first":
                return -rank
            case "shortest first":
                return len(pair[0] + pair[1])
        return rank

    def _merged(self, symbols: list[bytes]) -> list[bytes]:
        if self._way["whole words"] == "looked up" and b"".join(symbols) in self._ids:
            return [b"".join(symbols)]
        if self._way["first pair"] == "left out" and len(symbols) > 2:
            return [symbols[0], *self._joined(symbols[1:])]
        if self._way["last pair"] == "left out" and len(symbols) > 2:
            return [*self._joined(symbols[:-1]), symbols[-1]]
        return self._joined(symbols)

    def _joined(self, symbols: list[bytes]) -> list[bytes]:
        if len(symbols) > _LONGEST:
            return symbols
        match self._way["merges"]:
            case "none":
                return symbols
            case "longest match":
                return list(self._longest(b"".join(symbols)))
            case "any known token, from the left":
                return self._from_the_left(symbols, lambda pair: pair[0] + pair[1] in self._ids)
            case "leftmost in the list":
                return self._from_the_left(symbols, lambda pair: self.rank(pair) < math.inf)
            case "one pass":
                return self._in_one_pass(symbols)
        done = -math.inf
        while len(symbols) > 1:
            ranks = [self.rank(pair) for pair in pairwise(symbols)]
            if self._way["merges"] == "each merge at one place":
                ranks = [rank if rank > done else math.inf for rank in ranks]
            lowest = min(ranks)
            if lowest == math.inf:
                break
            done = lowest
            symbols = self._join(symbols, ranks, lowest)
            if self._way["merges"] == "one merge":
                break
        return symbols

    def _join(self, symbols: list[bytes], ranks: list[float], lowest: float) -> list[bytes]:
        places = [place for place, rank in enumerate(ranks) if rank == lowest]
        way = self._way["merges"]
        place = places[-1] if way == "from the right" else places[0]
        joined = [*symbols[:place], symbols[place] + symbols[place + 1], *symbols[place + 2 :]]
        is_lost = way == "last symbol lost" and place + 2 < len(symbols) and ranks[-1] != lowest
        return joined[:-1] if is_lost else joined

    def _from_the_left(self, symbols: list[bytes], joins: Any) -> list[bytes]:
        symbols = list(symbols)
        while (place := next((i for i, pair in enumerate(pairwise(symbols)) if joins(pair)), None)) is not None:
            symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]
        return symbols

    def _in_one_pass(self, symbols: list[bytes]) -> list[bytes]:
        done: list[bytes] = []
        for symbol in symbols:
            if done and self.rank((done[-1], symbol)) < math.inf:
                done[-1] += symbol
            else:
                done.append(symbol)
        return done

    def _longest(self, rest: bytes) -> Iterator[bytes]:
        while rest:
            length = next((n for n in range(min(len(rest), 64), 0, -1) if rest[:n] in self._ids), 1)
            yield rest[:length]
            rest = rest[length:]


def pretokens_with(text: str, special_tokens: Sequence[str]) -> list[str]:
    """Pre-tokens by one pattern, in which special tokens come first."""
    import regex

    from ...cases.pattern_probes import GPT2_PATTERN

    escaped = "|".join(map(regex.escape, sorted(special_tokens, key=len, reverse=True)))
    return regex.findall(f"{escaped}|{GPT2_PATTERN}", text)


# --- the clue --------------------------------------------------------------------------------------------------------


def find(failure: Failure, submission: Submission) -> Clue | None:
    """What a failure of the tokenizer comes from, and where to look."""
    tables = failure.case.inputs if failure.case is not None else {}
    if not {"vocab", "merges", "special_tokens"} <= tables.keys():
        return None
    ids = {token: token_id for token_id, token in reversed(tables["vocab"].items())}
    _append_missing(ids, tables["special_tokens"] or ())
    ranks = {pair: rank for rank, pair in reversed(list(enumerate(tables["merges"])))}
    tokenizer = submission.tokenizer(tables["vocab"], tables["merges"], tables["special_tokens"])
    asked: dict[str, list[tuple[Any, Any]]] = {
        "tokenizer_encode": [],
        "tokenizer_encode_iterable": [],
        "tokenizer_decode": [],
    }
    for (operation, arguments), answer in failure.calls:
        if operation in asked:
            given = next(arguments[name] for name in ("text", "chunks", "ids") if name in arguments)
            asked[operation].append((given, answer))
    ask = Asker(submission)
    encoded, streamed, decoded = asked.values()
    return (
        (_about_encoding(failure, encoded, ask, tokenizer, tables, ranks, ids) if encoded else None)
        or (about_streams(failure, streamed, ask, tokenizer) if streamed else None)
        or (_about_decoding(failure, decoded, tables, ids) if decoded else None)
    )


def _append_missing(ids: dict[bytes, int], special_tokens: Sequence[str]) -> None:
    for token in special_tokens:
        ids.setdefault(token.encode(), max(ids.values(), default=-1) + 1)


def _about_encoding(
    failure: Failure,
    given: list[tuple[str, Any]],
    ask: Asker,
    tokenizer: OpenTokenizer,
    tables: Tables,
    ranks: Mapping[Pair, int],
    ids: Mapping[bytes, int],
) -> Clue | None:
    given = [(text, answer) for text, answer in given if _is_ids(answer)]
    right = Encoder(tables, ranks, ids)
    wrong = [(text, answer) for text, answer in given if right.encode(text) != answer]
    if not wrong:
        return None
    text, answer = min(wrong, key=lambda one: len(one[0]))
    says: tuple[str, ...] = ()
    if not failure.bug:
        ordered = [(text, answer), *wrong, *given]

        def fits(ways: Explanation) -> bool:
            other = Encoder(tables, ranks, ids, ways)
            return all(other.encode(text) == answer for text, answer in ordered)

        found = explanations(WAYS, fits, tries(ask.submission, __name__, _TRIES))
        found = _told_apart_by_more(found, [text for text, _ in given], ask, tokenizer, tables, ranks, ids)
        says = sentences(found)
    where = tuple(_first_parting(right, text, answer, tables))
    return Clue((*says, *where), cause=says) if says or where else None


def _told_apart_by_more(
    found: list[Explanation],
    texts: Sequence[str],
    ask: Asker,
    tokenizer: OpenTokenizer,
    tables: Tables,
    ranks: Mapping[Pair, int],
    ids: Mapping[bytes, int],
) -> list[Explanation]:
    """Those rivals that also foresee the ids of further texts, with the case's tables or with ours."""
    known = [(tables, ranks, ids), *((own, _OUR_RANKS, _ids_of(own)) for own, _ in _OURS)]
    others = {(ways, number): Encoder(*one, ways) for ways in found for number, one in enumerate(known)}

    def answer(text: str, number: int) -> Any:
        return ask(lambda submission: (submission.tokenizer(**known[number][0]) if number else tokenizer).encode(text))

    questions = [(text, 0) for text in _more_texts(texts, tables)]
    questions += [(text, number) for number, (_, more) in enumerate(_OURS, start=1) for text in more]
    return told_apart(
        found, questions, lambda ways, question: others[ways, question[1]].encode(question[0]), lambda q: answer(*q)
    )


def _our_tables(*special_tokens: str) -> dict[str, Any]:
    """Tables in which the order of merges, that of ids and the vocabulary lead to different tokens."""
    pairs = "b-c a-b c-d d-e bc-d e-f ab-c f-a cd-e a-a aa-a ab-cd"
    merges = [(left.encode(), right.encode()) for left, _, right in (pair.partition("-") for pair in pairs.split())]
    tokens = [left + right for left, right in merges]
    listed = [
        *(token.encode() for token in special_tokens),
        *(bytes([byte]) for byte in range(256)),
        *reversed(tokens),
        b"fe",
        b"abcde",
    ]
    return {"vocab": dict(enumerate(listed)), "merges": merges, "special_tokens": list(special_tokens)}


def _ids_of(tables: Tables) -> dict[bytes, int]:
    return {token: token_id for token_id, token in reversed(tables["vocab"].items())}


_OURS = (
    (
        _our_tables("<|endoftext|>"),
        ("abcd", "feabc", "abcde", "bcdef", "faaab", "cdeabc", "aaaaa", "defabcd", "abab", "facdbc", "abcabc"),
    ),
    (_our_tables("<|a|>b", "<|a|>", "<|a|>bc", "<|z|>"), ("<|a|>bcd", "x<|z|>y", "x<|endoftext|>y")),
)
"""Tables of our own with texts for them; in the second ones special tokens begin alike, and none is the usual one."""

_OUR_RANKS = {pair: rank for rank, pair in enumerate(_OURS[0][0]["merges"])}


def _is_ids(answer: Any) -> bool:
    return isinstance(answer, list) and all(type(token_id) is int for token_id in answer)


def _more_texts(texts: Sequence[str], tables: Tables) -> Iterator[str]:
    """Further small texts with the same tables."""
    short = [text for text in texts if 0 < len(text) <= 40][:12]
    special = tables["special_tokens"] or ()
    yield from (f"a{one}b{other}{one} c" for one in special for other in special)
    yield from ("ab a  b\n\n\nc", "it's 12345 ²½ é_ñ 'S", "naïve Ünï 好🙂", "a<|endoftext|> b", "aaaa bbb")
    yield from ("cafe\u0301 \ufb01", "a\r\nb\rc")
    yield from (one + other for one, other in pairwise(short))
    yield from (token.decode("utf-8", "ignore") for token in list(tables["vocab"].values())[-8:])
    yield from (f"{text} {text}" for text in short)


def _first_parting(right: Encoder, text: str, answer: Sequence[int], tables: Tables) -> Iterator[str]:
    """The pre-token in which the ids part, and the merges that apply there, by rank."""
    vocab = tables["vocab"]
    got = [vocab.get(token_id) for token_id in answer]
    at = 0
    for piece, special in right.pieces(text):
        tokens = (
            [piece.encode()]
            if special
            else list(right.tokens(piece))
            if piece not in right._special
            else [piece.encode()]
        )
        here = got[at : at + len(tokens)]
        if here == tokens:
            at += len(tokens)
            continue
        if special:
            yield f"In {_short(text)} the ids part at {piece!r}, a special token: it should be one id."
            return
        yours = list(_covering(got[at:], piece.encode()))
        if b"".join(token or b"" for token in yours) != piece.encode():
            yield (
                f"In {_short(text)} the ids part at the pre-token {piece!r}: it is {_tokens(tokens)}, and yours go "
                f"on with {_tokens(got[at : at + 4])}."
            )
            return
        yield (
            f"In {_short(text)} the ids part at the pre-token {piece!r}: it is {_tokens(tokens)}, and you have "
            f"{_tokens(yours)}."
        )
        yield from _merge_taken_otherwise(right, piece, yours)
        return


def _covering(got: Sequence[bytes | None], piece: bytes) -> Iterator[bytes | None]:
    """The student's tokens that stand where a pre-token does."""
    length = 0
    for token in got:
        if length >= len(piece) or token is None:
            return
        length += len(token)
        yield token


def _merge_taken_otherwise(right: Encoder, piece: str, yours: Sequence[bytes | None]) -> Iterator[str]:
    """Follow the merges by rank up to the first that the student's tokens cannot have made."""
    borders, length = {0}, 0
    for token in yours:
        length += len(token or b"")
        borders.add(length)
    symbols = right._symbols(piece)
    if len(symbols) > _LONGEST:
        return
    step = 0
    while len(symbols) > 1:
        ranks = [right.rank(pair) for pair in pairwise(symbols)]
        lowest = min(ranks)
        if lowest == math.inf:
            break
        place = ranks.index(lowest)
        start = sum(map(len, symbols[:place]))
        middle = start + len(symbols[place])
        step += 1
        if middle in borders:
            pair = f"({symbols[place]!r}, {symbols[place + 1]!r})"
            what = "comes first" if step == 1 else f"comes next, after {step - 1}"
            yield (
                f"Of its merges, {pair}, of rank {int(lowest)}, {what}; yours has not joined these two. Print the "
                "ranks of all pairs of the word there."
            )
            return
        symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]
    yield (
        "All merges that apply are made, and yours joins more: a pair that is not in the list of merges "
        "must not be joined."
    )


def _tokens(tokens: Sequence[bytes | None]) -> str:
    shown = ", ".join("an id that is not in the vocabulary" if token is None else repr(token) for token in tokens[:8])
    return (shown + (", ..." if len(tokens) > 8 else "")) or "nothing more"


def _short(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= 80 else f"{shown[:60]} ..."


# --- decoding --------------------------------------------------------------------------------------------------------

_DECODINGS = {
    "Your decode decodes each token on its own, so a character whose bytes are in two tokens is lost: "
    "join the bytes of "
    "all tokens first, then decode.": lambda tokens, special: "".join(t.decode("utf-8", "replace") for t in tokens),
    "Your decode decodes each token on its own and leaves out what is malformed: join the bytes of "
    "all tokens first, then "
    "decode with errors='replace'.": lambda tokens, special: "".join(t.decode("utf-8", "ignore") for t in tokens),
    "Your decode leaves out malformed bytes; errors='replace' puts U+FFFD in their place.": lambda tokens, special: (
        b"".join(tokens).decode("utf-8", "ignore")
    ),
    "Your decode puts a space between tokens; a token has its own spaces.": lambda tokens, special: " ".join(
        t.decode("utf-8", "replace") for t in tokens
    ),
    "Your decode drops special tokens; they are text like any other here.": lambda tokens, special: b"".join(
        t for t in tokens if t not in special
    ).decode("utf-8", "replace"),
    "Your decode reads bytes as Latin-1; they are UTF-8.": lambda tokens, special: b"".join(tokens).decode("latin-1"),
    "Your decode strips white space off the text's ends.": lambda tokens, special: (
        b"".join(tokens).decode("utf-8", "replace").strip()
    ),
}


def _about_decoding(
    failure: Failure,
    given: list[tuple[list[int], Any]],
    tables: Tables,
    ids: Mapping[bytes, int],
) -> Clue | None:
    vocab = {token_id: token for token, token_id in ids.items()} | dict(tables["vocab"])
    special = {token.encode() for token in tables["special_tokens"] or ()}
    known = [([vocab[i] for i in sequence], answer) for sequence, answer in given if all(i in vocab for i in sequence)]
    for tokens, answer in known:
        if isinstance(answer, bytes):
            return Clue.of_cause("Your decode returns bytes; decode them as UTF-8, with errors='replace'.")
        if (
            isinstance(answer, Exception)
            and "UnicodeDecodeError" in f"{type(answer).__name__}{getattr(answer, 'type_name', '')}"
        ):
            shown = b"".join(tokens)
            shown_short = repr(shown if len(shown) < 40 else shown[:40])
            return Clue.of_cause(
                f"Any ids can be decoded, even half a character such as in {shown_short}: "
                "bytes.decode(errors='replace') puts U+FFFD in the place of what is malformed."
            )
    known = [(tokens, answer) for tokens, answer in known if isinstance(answer, str)]
    right = [b"".join(tokens).decode("utf-8", "replace") for tokens, _ in known]
    if failure.bug or all(one == answer for one, (_, answer) in zip(right, known, strict=True)):
        return None
    found = [
        says
        for says, decode in _DECODINGS.items()
        if all(decode(tokens, special) == answer for tokens, answer in known)
    ]
    return Clue.of_cause(*found) if len(found) == 1 else None
