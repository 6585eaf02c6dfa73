"""Cases for the tokenizer.

A case holds several texts for one tokenizer, since tables take a while to cross the wall. Each group asks for one
thing:

- In the order of merges, every text is one word, and its tables say where another order would lead.
- In the pattern's cases no two merges meet in a pre-token, so that only cuts decide (`_probe_tables`).
- Elsewhere words are made of pairs of letters that one merge joins, and no other (`_pair_tables`), and the first merge,
  which some programs overlook, is in none of them.

GPT-2's own tables, with everything at once, are one claim. What is encoded with them is short: whoever searches all of
its 50,000 merges for each pair is slow, but not wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import regex

from ...reference.pretokenization import PRETOKEN_PATTERN
from .. import pattern_probes
from ..assets import Asset, load, text
from ..case import Case, Draw
from ..pattern_probes import LETTERS, OTHER_PATTERNS

_END = "<|endoftext|>"
_GPT2 = {"vocab": Asset("gpt2/vocab"), "merges": Asset("gpt2/merges")}
# Pre-tokens that a stream may cut in two show it in their ids only if they are one token.
_FURTHER_MERGES = {b"\n\n", b"aa", b"aaaa", b"'t", b"'m", b"'d", b"'re", b"'ve", b"'ll"}
_LETTERS = "etaoinshrdlu"
_SIGNS = "éßøñæλжשअ你好世界かな한국🙂🎉👩‍💻🏳️‍🌈€½²…—“”’́̈"
_TRIES = 200

Merge = tuple[bytes, bytes]


def generate(draw: Draw) -> Iterator[Case]:
    def encode(name: str, texts: list[str], group: str, tables: Any, special_tokens: Any = (_END,)) -> Case:
        listed = list(special_tokens) if isinstance(special_tokens, tuple) else special_tokens
        return Case(name, "encode_texts", {**tables, "special_tokens": listed, "texts": texts}, group)

    yield encode("where_merges_meet", *_meeting(draw), special_tokens=[_END])
    yield encode("words", _words(draw), "order", _small_tables([_END]))

    corpora = [_extract(draw, text(f"{name}.txt"), 300) for name in ("english", "technical", "multilingual")]
    short = ["s", " ", "\n", "é", "🙃", "Hello", " the", "\u00a0", "\x00"]
    yield encode("short", short + _word_texts(draw), "gpt2", _GPT2)
    yield encode("corpora", corpora, "gpt2", _GPT2)

    for probes in (
        pattern_probes.contractions_and_signs,
        pattern_probes.digits,
        pattern_probes.white_space,
        pattern_probes.scripts,
        pattern_probes.wide_scripts,
    ):
        yield encode(probes.__name__, *_probed(draw, probes), special_tokens=[_END])

    yield encode("characters", *_character_texts(draw), special_tokens=[_END])

    with_end, with_double = (_pair_tables(draw, tokens) for tokens in ([_END], [_END, _END * 2]))
    yield encode("special_tokens", _special_texts(draw, with_end), "special", with_end)
    doubles = _double_texts(draw, with_double)
    yield encode("double", doubles, "overlapping", with_double, [_END, _END * 2])
    yield encode("double_first", doubles, "overlapping", with_double, [_END * 2, _END])

    for name, tokens, group in _SPECIAL_FORMS:
        tables = _pair_tables(draw, tokens)
        yield encode(name, _texts_between(draw, tables, tokens), group, tables, tokens)
    yield encode("none", _special_texts(draw, with_end), "no_special", with_end, None)
    yield encode("empty_list", _special_texts(draw, with_end), "no_special", with_end, [])
    a, b = _pair(draw, with_end), _pair(draw, with_end)
    missing = [f"{a}{_END}{b} <|pad|>", f"{_END}<|pad|>"]
    yield encode("missing", missing, "missing", with_end, [_END, "<|pad|>"])

    yield encode("shuffled", _words(draw), "tables", _shuffled_ids(draw, _small_tables([_END])))
    yield encode("out_of_reach", *_out_of_reach(draw), special_tokens=[_END])
    runs = ["a" * draw.integer(2_400, 2_600), _word(draw, 1_201, 1_200), "=-" * 600, " " * 1_200 + "x"]
    yield encode("runs", runs, "long", _small_tables([_END]))

    # Every line ends in one newline and begins with a visible character, so the lines' ids are those of the text.
    words = [_pair(draw, with_end) for _ in range(60)]
    lines = "".join(" ".join(words[i : i + draw.integer(1, 7)]) + "\n" for i in range(0, 54, 3))
    yield encode("lines", [lines], "lines", with_end)

    def stream(name: str, streams: list[list[str]], group: str, tables: Any, special_tokens: list[str]) -> Case:
        inputs = {**tables, "special_tokens": special_tokens, "streams": streams}
        return Case(name, "encode_streams", inputs, group)

    # Without special tokens, of which the longest says how much some hold back: that would hide that it is too little.
    yield stream("text_with_cuts", _cut_texts(draw, corpora), "cuts", _small_tables([]), [])
    yield stream("special_tokens_with_cuts", _cut_special_texts(draw, with_end), "cuts_in_special", with_end, [_END])
    cut_doubles = _cut_double_texts(draw, with_double)
    yield stream("double_with_cuts", cut_doubles, "cuts_in_special", with_double, [_END, _END * 2])

    small = _small_tables([])
    inputs = {**small, "special_tokens": [], "sequences": _malformed(draw, small["vocab"])}
    yield Case("malformed", "decode_ids", inputs, "malformed")

    unordered = _shuffled_ids(draw, with_end)
    sequences = [[draw.choice(list(unordered["vocab"])) for _ in range(20)], list(unordered["vocab"])[::-1]]
    inputs = {**unordered, "special_tokens": [_END], "sequences": sequences}
    yield Case("unordered", "decode_ids", inputs, "unordered")
    several = draw.choice(_IN_NO_OTHER_ORDER)
    texts = [*several, " ".join([a, *several, b])]
    yield encode("several_missing", texts, "several_missing", with_end, [_END, *several])


_IN_NO_OTHER_ORDER = [
    ["<|pad|>", "<|beginning|>", "<|x|>"],
    ["<|pad|>", "<|x|>", "<|beginning|>"],
    ["<|beginning|>", "<|x|>", "<|pad|>"],
    ["<|x|>", "<|beginning|>", "<|pad|>"],
]
"""Tokens neither by their length nor by the alphabet, up or down."""


# --- tables ----------------------------------------------------------------------------------------------------------


def _tables(special_tokens: Sequence[str], merges: list[Merge]) -> dict[str, Any]:
    """Tables as training makes them: special tokens, the 256 bytes, and what the merges make."""
    alphabet = [bytes([byte]) for byte in range(256)]
    tokens = [token.encode() for token in special_tokens] + alphabet + [left + right for left, right in merges]
    return {"vocab": dict(enumerate(tokens)), "merges": merges}


def _small_tables(special_tokens: Sequence[str]) -> dict[str, Any]:
    """Some of GPT-2's first merges, which need no later ones."""
    merges = [(a, b) for rank, (a, b) in enumerate(load("gpt2/merges")) if rank < 150 or a + b in _FURTHER_MERGES]
    return _tables(special_tokens, merges)


_OVERLOOKED = (b"Q", b"Z")
"""A first merge that no text of `_pair_tables` has: a rank of 0 is a matter of the order of merges."""


def _pair_tables(draw: Draw, special_tokens: Sequence[str]) -> dict[str, Any]:
    """Tables whose merges join letters two and two, each with one other and none of "endoftext", and two spaces."""
    pairs = pairwise(_shuffled(draw, sorted(set(LETTERS) - set("endoftext"))))
    merges = [(a.encode(), b.encode()) for i, (a, b) in enumerate(pairs) if i % 2 == 0]
    return _tables(special_tokens, [_OVERLOOKED, *merges, (b" ", b" ")])


def _pair(draw: Draw, tables: dict[str, Any]) -> str:
    """Two letters that a merge of `_pair_tables` joins: a word in which nothing else can happen."""
    left, right = draw.choice(tables["merges"][1:-1])
    return (left + right).decode()


def _shuffled_ids(draw: Draw, tables: dict[str, Any]) -> dict[str, Any]:
    """Any other ids, but for the order of those of what merges make: that is backwards, so that the merges with which
    ids agree by chance are none."""
    vocab, merged = tables["vocab"], {left + right: rank for rank, (left, right) in enumerate(tables["merges"])}
    ids = [int(i) for i in draw.random.permutation(len(vocab))]
    backwards = sorted((ids[i] for i, token in vocab.items() if token in merged), reverse=True)
    return {
        **tables,
        "vocab": {backwards[merged[token]] if token in merged else ids[i]: token for i, token in vocab.items()},
    }


def _shuffled(draw: Draw, items: Any) -> list[Any]:
    return [items[i] for i in draw.random.permutation(len(items))]


# --- the order of merges ---------------------------------------------------------------------------------------------


def _meeting(draw: Draw) -> tuple[list[str], str, dict[str, Any]]:
    """Words in which two merges want the same letter, and ones in which a merge comes more than once.

    With (b, c) before (a, b), "abc" is a, bc: not ab, c, as the longest beginning or the first pair that fits has it.
    """
    a, b, c, d, e, g, h, i, j, k, x, y = _shuffled(draw, LETTERS)[:12]
    pairs = [b + c, a + b, d + e, g + g, h + i, j + k]
    merges = [(left.encode(), right.encode()) for left, right in pairs]
    merges += [((h + i).encode(), (j + k).encode()), ((d + e).encode(), x.encode())]
    words = [a + b + c, b + c + x, x + a + b, x + b + c, d + e + x, d + e + y, d + e + d + e, y + d + e + y + d + e]
    words += [g * times for times in (2, 3, 4, 5)]
    words += [h + i + j + k, h + i + j + k + h + i, y + h + i + j + k + y, a + b + a + b + c, y + x]
    return words, "order", _tables([_END], merges)


def _out_of_reach(draw: Draw) -> tuple[list[str], str, dict[str, Any]]:
    """Words that are in the vocabulary, and which the merges, in their order, do not make of their bytes.

    With (b, c) before (a, b), (c, d) and (ab, cd), "abcd" is a, bc, d. No training leaves such a table.
    """
    a, b, c, d = (letter.encode() for letter in _shuffled(draw, LETTERS)[:4])
    merges = [(b, c), (a, b), (c, d), (a + b, c + d)]
    return [(a + b + c + d).decode(), (a + b + d).decode()], "tables", _tables([_END], merges)


def _words(draw: Draw) -> list[str]:
    """Words of small letters, a text each."""
    return ["ededed", "preceded", "banana", *(_word(draw, 14, 2) for _ in range(40))]


# --- the pattern -----------------------------------------------------------------------------------------------------


def _probed(draw: Draw, probes: Callable[[Draw], list[str]]) -> tuple[list[str], str, dict[str, Any]]:
    """Probes, a text each, and tables with which each of the other patterns gives other tokens for one of them."""
    for _ in range(_TRIES):
        texts = probes(draw)
        merges = _probe_merges(draw, texts)
        right = [_tokens(probe, merges) for probe in texts]
        others = ([_tokens(probe, merges, other) for probe in texts] for other in OTHER_PATTERNS[probes.__name__])
        if right not in others:
            group = "scripts" if "scripts" in probes.__name__ else "pattern"
            return texts, group, _tables([_END], [_OVERLOOKED, *merges])
    raise RuntimeError(f"{probes.__name__}: in {_TRIES} tries no tables told all patterns from the right one")


def _probe_merges(draw: Draw, texts: list[str]) -> list[Merge]:
    """A merge for each border between two characters, where that leaves no pre-token with two merges that overlap."""
    pretokens = {pretoken.encode() for probe in texts for pretoken in regex.findall(PRETOKEN_PATTERN, probe)}
    within = {
        pair for probe in texts for pretoken in regex.findall(PRETOKEN_PATTERN, probe) for pair in _borders(pretoken)
    }
    across = {pair for probe in texts for pair in _borders(probe)} - within
    merges: set[Merge] = set()
    for pair in (*sorted(across), *_shuffled(draw, sorted(within))):
        if not any(_overlap(pretoken, merges | {pair}) for pretoken in pretokens):
            merges.add(pair)
    return _shuffled(draw, sorted(merges))


def _borders(characters: str) -> list[Merge]:
    """The bytes on both sides of each border between two characters."""
    return [(left.encode()[-1:], right.encode()[:1]) for left, right in pairwise(characters)]


def _overlap(pretoken: bytes, merges: set[Merge]) -> bool:
    joined = [(pretoken[i : i + 1], pretoken[i + 1 : i + 2]) in merges for i in range(len(pretoken) - 1)]
    return any(one and other for one, other in pairwise(joined))


def _tokens(probe: str, merges: list[Merge], pattern: str = PRETOKEN_PATTERN) -> list[bytes]:
    """The tokens of a text, cut by a pattern, when no two merges overlap in it or the first come first."""
    tokens: list[bytes] = []
    for pretoken in regex.findall(pattern, probe):
        symbols = [bytes([byte]) for byte in pretoken.encode()]
        for left, right in merges:
            i = 0
            while i < len(symbols) - 1:
                if (symbols[i], symbols[i + 1]) == (left, right):
                    symbols[i : i + 2] = [left + right]
                i += 1
        tokens += symbols
    return tokens


def _character_texts(draw: Draw) -> tuple[list[str], str, dict[str, Any]]:
    """Words of one script each, and merges that join the last two bytes of some of their characters."""
    alphabets = ["äöüßéñ", "αβγδεζ", "бвгджз", "אבגדהו", "你好世界語文", "かなひらが", "한국말글자", "🙂🙃🎉🚀🌍"]
    texts = ["".join(_shuffled(draw, alphabet)[: draw.integer(3, 6)]) for alphabet in alphabets for _ in range(3)]
    joined = [character.encode()[-2:] for alphabet in alphabets for character in alphabet[::2]]
    merges = [(last[:1], last[1:]) for last in sorted(set(joined))]
    return texts, "unicode", _tables([_END], [_OVERLOOKED, *_shuffled(draw, merges)])


# --- texts -----------------------------------------------------------------------------------------------------------


def _extract(draw: Draw, source: str, length: int) -> str:
    """About `length` characters of a text, from one space to another."""
    start = source.index(" ", draw.integer(0, len(source) - length - 500))
    return source[start : source.index(" ", start + length)].strip()


def _word(draw: Draw, longest: int = 10, shortest: int = 1, letters: str = _LETTERS) -> str:
    return "".join(draw.choice(list(letters)) for _ in range(draw.integer(shortest, longest + 1)))


def _word_texts(draw: Draw) -> list[str]:
    """Short texts that have a bit of everything."""
    return [
        "Hello, how are you? I'll say it's John's; they've known we're here, haven't they?",
        "  leading and trailing  ",
        "1234567890 3.14159 1,000,000 def f(x): return x**2  # ok",
        "Héllò hôw are ü? 🙃 你好，世界！ こんにちは 안녕하세요",
        "👩‍👩‍👧‍👦 🇫🇷 e\u0301 ½ ² ٣ Ⅷ \ufeff \ufffd",
        " ".join(_word(draw, 6).title() for _ in range(10)),
        " ".join(_word(draw, 6, letters=_SIGNS) for _ in range(8)),
    ]


def _special_texts(draw: Draw, tables: dict[str, Any]) -> list[str]:
    a, b, c, *words = (_pair(draw, tables) for _ in range(12))
    return [
        _END,
        f"{a}{_END}{b}",
        f"{_END}{a} {_END} {b}\n{_END}\n  {_END}{_END}",
        f"{c}  {_END}  {a}",
        "<|endoftext <|endoftext|",
        "".join(word + draw.choice([_END, f" {_END}", f"{_END} ", f"  {_END}", " ", "\n"]) for word in words),
    ]


def _double_texts(draw: Draw, tables: dict[str, Any]) -> list[str]:
    words = [_pair(draw, tables) for _ in range(10)]
    return [
        f"{words[0]}{_END * 2}{words[1]}{_END}",
        *(_END * times for times in range(2, 6)),
        "".join(word + _END * draw.integer(1, 5) for word in words),
    ]


_SPECIAL_FORMS = (
    ("regex_characters", ["[a-c]", "a|b", "(.*)", "e+", "\\n", "^$"], "special_forms"),
    ("with_spaces", ["<new document>", " <x>", "\t\t"], "special_forms"),
    ("not_ascii", ["«fin»", "🛑"], "special_forms"),
    ("one_contains_another", ["<|end|>", "<|end|>tea<|end|>", "<|end|>tea"], "special_forms"),
    ("one_inside_another", ["nd|", "<|end|>", "<|"], "inside"),
)
"""(name, special tokens, group)."""


def _texts_between(draw: Draw, tables: dict[str, Any], tokens: list[str]) -> list[str]:
    """Each of the tokens between words, and a mixture of them with what looks a little like them."""
    words = [_pair(draw, tables) for _ in tokens]
    parts = [*tokens, *(f" {word}" for word in words), "<|en", "end|>"]
    mixed = ["".join(draw.choice(parts) for _ in range(30)) for _ in range(3)]
    return ["".join(map("".join, zip(words, tokens, strict=True))), " ".join(reversed(tokens)), "abc nn ab cde", *mixed]


def _cut(draw: Draw, whole: str, longest: int) -> list[str]:
    """Cut a text into chunks of up to `longest` characters, an empty one among them now and then."""
    chunks = []
    while whole:
        length = draw.integer(0, longest + 1)
        chunks.append(whole[:length])
        whole = whole[length:]
    return chunks


def _cut_texts(draw: Draw, corpora: list[str]) -> list[list[str]]:
    gaps = "".join(_word(draw, 3) + draw.choice([" ", "  ", "\n\n\n", " \n ", "\t\t", "     "]) for _ in range(30))
    return [
        [],
        [""],
        ["Hel", "lo wor", "ld"],
        ["a ", " ", "  b\n", "\n", "\n", "c"],
        ["we", "'", "l", "l see; it", "'", "s"],
        list(gaps),
        *(_cut(draw, gaps, longest) for longest in (2, 5)),
        *(_cut(draw, corpus[:300], longest) for corpus in corpora for longest in (1, 7, 60)),
    ]


def _cut_special_texts(draw: Draw, tables: dict[str, Any]) -> list[list[str]]:
    words = _special_texts(draw, tables)[-1]
    a, b = _pair(draw, tables), _pair(draw, tables)
    return [
        [f"{a}<|endof", f"text|>{b}"],
        [f"{a} <", "|endoftext|", f"> {b}"],
        ["<|endoftext|> <|endo", f"f the text|>{a}"],
        [f"{a}  ", _END, f"  {b}"],
        list(f"{a}{_END}{_END} {b}"),
        *(_cut(draw, words, longest) for longest in (2, 9, 25)),
    ]


def _cut_double_texts(draw: Draw, tables: dict[str, Any]) -> list[list[str]]:
    mixed = _cut(draw, _double_texts(draw, tables)[-1], 15)
    return [[_END, _END], [_END, "x", _END + _END[:5], _END[5:]], [_END] * 3, mixed]


def _malformed(draw: Draw, vocab: dict[int, bytes]) -> list[list[int]]:
    ids = {token: token_id for token_id, token in vocab.items()}

    def of(raw: bytes) -> list[int]:
        return [ids[bytes([byte])] for byte in raw]

    emoji = "🙂".encode()
    return [
        [],
        of(b"fine"),
        of(emoji[:3]),
        of(emoji[1:]),
        of(b"a" + emoji[:2] + b"b"),
        of(b"\xff\xfe\xc0\x80"),
        of(emoji[:3] + emoji + "é".encode()[:1]),
        of(bytes(draw.integer(0, 256) for _ in range(40))),
        of(_word(draw, 30, letters=_SIGNS).encode()[1:-1]),
        [draw.integer(0, len(vocab)) for _ in range(60)],
    ]
