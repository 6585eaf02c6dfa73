"""Cases for BPE training.

The tie rule is fixed and everything is counted in whole numbers, so merges are compared exactly. Each group asks for
one thing, and its texts leave out what the others ask for:

- In texts that are not about ties no merge is a close call: the most frequent pair leads by `_MARGIN` (`_clear`).
- Words that are not about repeated pairs have each letter once. Where counts after a merge are not the matter either,
  they have two: one pair each, which nothing changes but its own merge.
- Texts that are not about pre-tokens are words of small letters, one a line: any sensible pattern cuts them alike.
- Special tokens are in the list, as the assignment always has one, but in the text only where they are the matter.

Only the English texts have it all, as what people train on has.
"""

from __future__ import annotations

import functools
import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import regex

from ...reference.pretokenization import PRETOKEN_PATTERN
from .. import pattern_probes
from ..assets import Asset, text
from ..case import Case, Draw
from ..pattern_probes import LETTERS

_END = "<|endoftext|>"
_MARGIN = 2
"""By how much the most frequent pair leads where ties are not the matter, at least."""

_TRIES = 2_000


def generate(draw: Draw) -> Iterator[Case]:
    def case(name: str, corpus: str | bytes | Asset, merges: int, group: str, **options) -> Case:
        """A case that asks for `merges` merges."""
        inputs = {"corpus": corpus.encode() if isinstance(corpus, str) else corpus, "special_tokens": [_END], **options}
        inputs["vocab_size"] = 256 + len(inputs["special_tokens"]) + merges
        return Case(name, "train_bpe", inputs, group)

    english = text("english.txt")
    yield case("english_small", Asset("text/english_small.txt"), 243, "reference")
    yield case("english", _extract(draw, english, 16_000), 200, "reference")
    yield case("stories", _extract(draw, text("stories.txt"), 16_000), 150, "reference")

    yield case("pairs", _lines(draw, _two_letter_words(draw, 45)), 40, "merges")
    yield case("words", _clear(draw, _words, 20), 20, "merges")

    yield case("tied_pairs", _tied_pairs(draw), 24, "ties")
    yield case("longer_tokens", _tied_with_a_longer_token(draw), 2, "ties")
    yield case("tokens_of_two_lengths", _tied_by_what_they_make(draw), 3, "ties")
    yield case("characters", _tied_characters(draw), 20, "ties")

    yield case("runs_of_one_letter", _clear(draw, _runs, 7), 7, "repeats")
    yield case("side_by_side", _clear(draw, _side_by_side, 6), 6, "repeats")
    yield case("apart", _clear(draw, _apart, 4), 4, "repeats")

    yield case("two_bytes", _clear(draw, _two_byte_characters, 25), 25, "unicode")
    yield case("three_and_four_bytes", _clear(draw, _wide_characters, 4), 4, "unicode")

    for probes, merges in (
        (pattern_probes.contractions_and_signs, 15),
        (pattern_probes.digits, 5),
        (pattern_probes.white_space, 7),
        (pattern_probes.scripts, 45),
    ):
        yield case(probes.__name__, _probed(draw, probes, merges), merges, "pretokens")

    for name, corpus, merges, tokens in _documents(draw):
        yield case(name, corpus, merges, "documents", special_tokens=tokens)

    yield case("one_document", _one_document(draw), _LONG_WORD, "one_document")
    yield case("many_documents", _many_documents(draw), _LONG_WORD + 1, "many_documents")

    pairs = functools.partial(_two_letter_words, draw, 45)
    yield case("one_merge", _lines(draw, pairs()), 1, "vocabulary")
    yield case("forty_merges", _lines(draw, pairs()), 40, "vocabulary")
    yield case("two_special_tokens", _lines(draw, pairs()), 20, "vocabulary", special_tokens=[_END, "<|pad|>"])

    yield case("no_special_tokens", _lines(draw, pairs()), 30, "no_special_tokens", special_tokens=[])
    yield case("path_as_str", _lines(draw, pairs()), 30, "path_as_str", path_as_str=True)

    yield case("few_pairs", _lines(draw, _two_letter_words(draw, 12)), 60, "exhausted")
    yield case("prefixes", _lines(draw, _prefixes(draw)), 60, "exhausted")
    yield case("no_pair_at_all", "a\n7\nb\n", 10, "exhausted")

    for name, corpus, tokens in _special_forms(draw):
        yield case(name, corpus, 20, "special_forms", special_tokens=tokens)
    tokens = ["<|end|>", "<|end|>nab<|end|>", "<|end|>nab"]
    for name, order in (("one_contains_another", tokens), ("longest_first", tokens[::-1])):
        yield case(name, _between(draw, tokens), 20, "contained", special_tokens=order)

    yield case("no_bytes", b"", 20, "empty")
    yield case("no_bytes_no_special_tokens", b"", 20, "empty", special_tokens=[])
    yield case("special_tokens_only", _END * 3, 20, "empty")
    yield case("no_merges", _lines(draw, pairs()), 0, "empty")

    # A single line end before a word is cut into "\r" and "\n"; it takes two for a pair that can be counted.
    yield case("windows", _lines(draw, pairs()).replace("\n", "\r\n\r\n"), 40, "line_ends")
    yield case("old_mac", _lines(draw, pairs()).replace("\n", "\r\r"), 40, "line_ends")


# --- counting, as a check --------------------------------------------------------------------------------------------


def clear_merges(counts: Counter[str], limit: int, margin: int = _MARGIN) -> list[tuple[bytes, bytes]]:
    """The merges of pre-tokens with these counts, up to the first that leads the next best by less than `margin`."""
    words = {pretoken: [bytes([byte]) for byte in pretoken.encode()] for pretoken in counts}
    merges: list[tuple[bytes, bytes]] = []
    while len(merges) < limit:
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for pretoken, tokens in words.items():
            for pair in pairwise(tokens):
                pairs[pair] += counts[pretoken]
        ranked = heapq.nlargest(2, pairs, key=lambda pair: (pairs[pair], pair))
        if not ranked or pairs[ranked[0]] - sum(pairs[pair] for pair in ranked[1:]) < margin:
            break
        best = ranked[0]
        merges.append(best)
        for tokens in words.values():
            i = 0
            while i < len(tokens) - 1:
                if (tokens[i], tokens[i + 1]) == best:
                    tokens[i : i + 2] = [best[0] + best[1]]
                i += 1
    return merges


def _pretokens(corpus: str, pattern: str = PRETOKEN_PATTERN) -> Counter[str]:
    return Counter(regex.findall(pattern, corpus))


def _clear(draw: Draw, words: Callable[[Draw], dict[str, int]], merges: int) -> str:
    """A text of drawn words and counts, one a line, drawn anew until none of the first merges is a close call."""
    for _ in range(_TRIES):
        counts = words(draw)
        if len(clear_merges(Counter(counts), merges)) == merges:
            return _lines(draw, counts)
    raise RuntimeError(f"{words.__name__}: in {_TRIES} tries no text had {merges} merges that are no close call")


# --- words and texts -------------------------------------------------------------------------------------------------


def _extract(draw: Draw, source: str, length: int) -> str:
    """About `length` characters of a text, from one space to another."""
    start = source.index(" ", draw.integer(0, max(1, len(source) - length - 2_000)))
    stop = source.find(" ", start + length)
    return source[start : stop if stop > 0 else len(source)].strip()


def _shuffled(draw: Draw, items: Sequence[str]) -> list[str]:
    return [items[i] for i in draw.random.permutation(len(items))]


def _lines(draw: Draw, counts: dict[str, int]) -> str:
    """Each word as often as it counts, one a line, in drawn order."""
    return "".join(f"{word}\n" for word in _shuffled(draw, list(Counter(counts).elements())))


def _distinct(draw: Draw, count: int) -> list[int]:
    """Different counts, `_MARGIN` apart, the least of them 1; in drawn order."""
    return [1 + _MARGIN * int(i) for i in draw.random.permutation(count)]


def _two_letter_words(draw: Draw, count: int) -> dict[str, int]:
    words = _shuffled(draw, ["".join(pair) for pair in itertools.permutations(LETTERS, 2)])[:count]
    return dict(zip(words, _distinct(draw, count), strict=True))


def _words(draw: Draw) -> dict[str, int]:
    """Words of three to six different letters out of nine, so that a merge changes the counts of many pairs."""
    letters = _shuffled(draw, LETTERS)[:9]
    words = {"".join(_shuffled(draw, letters)[: draw.integer(3, 7)]) for _ in range(150)}
    return {word: int(2 * 100 ** draw.number(0, 1)) for word in sorted(words)}


# --- ties ------------------------------------------------------------------------------------------------------------


def _tied_pairs(draw: Draw) -> str:
    """All words equally often; the first line of each comes in ascending order, the greatest being asked for first."""
    words = sorted(_two_letter_words(draw, 30))
    return "".join(f"{word}\n" for word in words) + _lines(draw, dict.fromkeys(words, 4))


def _tied_with_a_longer_token(draw: Draw) -> str:
    """After (a, b), the pair (y, z) is as frequent as (ab, c); it is greater, though shorter and of smaller ids."""
    a, b, c, y, z = sorted(_shuffled(draw, LETTERS)[:5])
    often, tied = draw.integer(30, 50), draw.integer(10, 20)
    return _lines(draw, {a + b: often, a + b + c: tied, y + z: tied})


def _tied_by_what_they_make(draw: Draw) -> str:
    """After (t, u) and (s, a), the pair (sa, z) is as frequent as (s, tu); it is greater, but "stu" is than "saz"."""
    a, s, t, u, z = sorted(_shuffled(draw, LETTERS)[:5])
    often, less, tied = draw.integer(50, 60), draw.integer(30, 40), draw.integer(10, 20)
    return _lines(draw, {t + u: often, s + a: less, s + t + u: tied, s + a + z: tied})


def _tied_characters(draw: Draw) -> str:
    """Characters of two bytes, equally often. As text, each of their bytes is the same U+FFFD."""
    characters = sorted(_shuffled(draw, "".join(map(chr, [*range(0xE0, 0xF7), *range(0x3B1, 0x3C9)])))[:25])
    return "".join(f"{character}\n" for character in characters) + _lines(draw, dict.fromkeys(characters, 3))


# --- repeated pairs --------------------------------------------------------------------------------------------------


def _runs(draw: Draw) -> dict[str, int]:
    """Words like "aaaa" and "xaaay", in which a pair overlaps itself.

    Whoever counts (c, c) once or twice in "cccc" takes (p, q) before it. Whoever merges "cccs" from the right leaves no
    "cs" in it, and takes (t, u) before (c, s).
    """
    a, b, x, y, c, p, q, s, t, u = _shuffled(draw, LETTERS)[:10]
    often, some = draw.integer(70, 80), draw.integer(55, 65)
    counts = {c * 4: often, c * 3 + s: some, p + q: (5 * often + 3 * some) // 2, c + s: 100, t + u: 100 + some // 2}
    words = [letter * times for letter in (a, b) for times in (2, 3, 4, 5, 7, 9)]
    words += [f"{x}{a * 3}{y}", f"{a * 5}{b}", f"{x}{b * 4}", f"{b * 3}{a * 3}", f"{x}{y}", f"{y}{x}"]
    return {word: draw.integer(2, 12) for word in words} | counts


def _side_by_side(draw: Draw) -> dict[str, int]:
    """Words like "ededed" and "preceded", in which a merged pair has itself for a neighbour."""
    e, d, p, r, c = _shuffled(draw, LETTERS)[:5]
    ed = e + d
    words = [ed, ed * 2, ed * 3, ed * 4, f"{p}{r}{ed}{ed}", f"{d}{ed}{ed}", f"{c}{ed}{ed}{ed}{p}", f"{ed}{ed}{c}"]
    words += [f"{d}{e}", f"{p}{r}", f"{c}{e}", f"{r}{d}{c}"]
    return {word: draw.integer(5, 60) for word in words}


def _apart(draw: Draw) -> dict[str, int]:
    """Words like "banana", in which a pair occurs twice, with something else between.

    Whoever counts it once for each of them takes one of the words of two letters first; whoever merges it at one place
    only has to merge it again.
    """
    a, n, *between, p, q, r, s, t, u = _shuffled(draw, LETTERS)[:12]
    often = draw.integer(8, 13)
    words = {f"{a}{n}{x}{a}{n}": often for x in between}
    return words | {p + q: 6 * often, r + s: 3 * often + 1, t + u: 2 * often + 3}


# --- characters of several bytes -------------------------------------------------------------------------------------


def _two_byte_characters(draw: Draw) -> dict[str, int]:
    """Single letters of several scripts, each of them one pair of bytes."""
    letters = "".join(map(chr, [*range(0xDF, 0xF7), *range(0x3B1, 0x3C9), *range(0x430, 0x450), *range(0x5D0, 0x5EB)]))
    return dict(zip(_shuffled(draw, letters)[:30], _distinct(draw, 30), strict=True))


def _wide_characters(draw: Draw) -> dict[str, int]:
    """Single characters of three and four bytes; the first bytes of each block are the most frequent pairs by far."""
    blocks = [range(0x4E00, 0x4E30), range(0x3042, 0x3070), range(0xAC00, 0xAC30), range(0x1F600, 0x1F630)]
    blocks.append(range(0x1F330, 0x1F340))  # or the first two pairs of bytes of all emoji would be equally frequent
    chosen = [character for block in blocks for character in _shuffled(draw, "".join(map(chr, block)))[:8]]
    return dict(zip(chosen, _distinct(draw, len(chosen)), strict=True))


# --- pre-tokens ------------------------------------------------------------------------------------------------------


def _probed(draw: Draw, probes: Callable[[Draw], list[str]], merges: int) -> str:
    """A text of probes, one a line, that none of the other patterns cuts into the same merges."""
    for _ in range(_TRIES):
        strings = probes(draw)
        counts = [5 + 4 * int(i) + draw.integer(0, 4) for i in draw.random.permutation(len(strings))]
        lines = _lines(draw, dict(zip(strings, counts, strict=True)))
        right = clear_merges(_pretokens(lines), merges)
        others = (
            clear_merges(_pretokens(lines, other), merges) for other in pattern_probes.OTHER_PATTERNS[probes.__name__]
        )
        if len(right) == merges and right not in others and _is_spread(lines, right):
            return lines
    raise RuntimeError(f"{probes.__name__}: in {_TRIES} tries no text had {merges} merges that are no close call")


def _is_spread(lines: str, right: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether white space that runs over line ends, if there is any, makes a difference to the merges."""
    if "\n\n" not in lines:
        return True
    pattern = regex.compile(PRETOKEN_PATTERN)
    by_line = Counter(pretoken for line in lines.splitlines(keepends=True) for pretoken in pattern.findall(line))
    return clear_merges(by_line, len(right)) != list(right)


# --- special tokens --------------------------------------------------------------------------------------------------


def _documents(draw: Draw) -> Iterator[tuple[str, str, int, list[str]]]:
    """Documents of one short word each; what lies across their borders would be as frequent as what lies within."""

    def words() -> list[str]:
        *first, last = sorted(_shuffled(draw, LETTERS)[:16])  # the greatest comes last: across borders it would win
        counts = dict(zip([letter + last for letter in first], _distinct(draw, 15), strict=True))
        return _shuffled(draw, list(Counter(counts).elements()))

    yield "one_word_each", _END.join(words()), 12, [_END]
    # At a document's end two spaces are one pre-token, and at its beginning a space is part of the word.
    yield "white_space_around", "".join(f" {word[0]}  {_END}" for word in words()), 12, [_END]
    start, stop = "<|start|>", "<|stop|>"
    yield "two_special_tokens", "".join(f"{start}{word}{stop}" for word in words()), 12, [start, stop]


def _between(draw: Draw, tokens: Sequence[str]) -> str:
    """Words of two letters with drawn special tokens between them, each of which comes up."""
    words = _shuffled(draw, list(Counter(_two_letter_words(draw, 22)).elements()))
    separators = _shuffled(draw, [*tokens] * (len(words) // len(tokens) + 1))
    return "".join(word + separator for word, separator in zip(words, separators, strict=False))


def _special_forms(draw: Draw) -> Iterator[tuple[str, str, list[str]]]:
    for name, tokens in {
        "regex_characters": ["[a-c]", "a|b", "(.*)", "n+", "\\n", "^$"],
        "with_spaces_inside": ["<new document>", "<x y>"],
        "not_ascii": ["«fin»", "🛑"],
    }.items():
        yield name, _between(draw, tokens), tokens
    yield "not_in_the_text", _lines(draw, _two_letter_words(draw, 22)), [_END, "<|pad|>", "<|unk|>"]
    yield "at_both_ends_and_doubled", f"{_END}{_END}{_between(draw, [_END * 2])}{_END}", [_END]


# --- long files ------------------------------------------------------------------------------------------------------

_LONG_WORD = 20
"""Letters of the word that long files are made of."""

_BLOCKS = (1 << 12, 1 << 13, 1 << 15, 1 << 16, 100_000, 1 << 17, 200_000, 1 << 18)
_PARTS = (2, 3, 4, 5, 6, 7, 8, 12, 16)


def _prefixes(draw: Draw) -> dict[str, int]:
    """A word and its beginnings, so that it is merged from the left, and no two pairs are ever equally frequent."""
    word = "".join(_shuffled(draw, LETTERS)[:7])
    return {word[:length]: 3 for length in range(2, 7)} | {word: 1}


def _long_words(draw: Draw, count: int) -> dict[str, int]:
    """A long word `count` times and its beginnings some times each, of the letters up to x."""
    word = "".join(_shuffled(draw, LETTERS[:24])[:_LONG_WORD])
    return {word[:length]: 40 for length in range(2, _LONG_WORD)} | {word: count}


def _one_document(draw: Draw) -> str:
    """A file that cannot be cut inside its words without another result.

    The long word is merged from the left, one letter at a time. The last of these merges leads the pair "zy", a word of
    its own, by one occurrence; were they equally frequent, "zy" would come first.
    """
    for _ in range(_TRIES):
        corpus = _lines(draw, {**_long_words(draw, 11_000), "zy": 10_999})
        if _cuts_show(corpus, _LONG_WORD):
            return corpus
    raise RuntimeError(f"in {_TRIES} tries every file could be cut somewhere without another result")


def _many_documents(draw: Draw) -> str:
    """A file that can be cut at special tokens only, and of which no document may be lost or come twice.

    As above, and the last merge of the long word comes after that of "zx", which leads it by one occurrence; were they
    equally frequent or less, it would come first. Both words are in the first document, and only there.
    """
    for _ in range(_TRIES):
        lines = _lines(draw, _long_words(draw, 5_000)).splitlines(keepends=True)
        documents = ["".join(lines[i : i + 150]) for i in range(0, len(lines), 150)]
        corpus = _END.join([_lines(draw, {"zy": 4_999, "zx": 5_001}), *documents])
        if _cuts_show(corpus, _LONG_WORD + 1):
            return corpus
    raise RuntimeError(f"in {_TRIES} tries every file could be cut somewhere without another result")


def _cuts_show(corpus: str, merges: int) -> bool:
    """Whether blocks of some sizes, and equal parts, of the file would each give other merges than the whole."""

    def learnt(cuts: Sequence[int], margin: int = 0) -> list[tuple[bytes, bytes]]:
        parts = (corpus[start:stop] for start, stop in pairwise([0, *cuts, len(corpus)]))
        return clear_merges(Counter(line for part in parts for line in _split_lines(part)), merges, margin)

    schemes: list[Sequence[int]] = [range(size, len(corpus), size) for size in _BLOCKS if size < len(corpus)]
    schemes += [[len(corpus) * i // parts for i in range(1, parts)] for parts in _PARTS]
    right = learnt([], margin=1)
    return len(right) == merges and all(learnt(cuts) != right for cuts in schemes)


def _split_lines(part: str) -> list[str]:
    return part.replace(_END, "\n").split("\n")
