"""Cases for the tokenizer.

A case holds several texts for one tokenizer, since GPT-2's tables take a while to cross the wall. Small tables are cut
from GPT-2's: its first merges need no later ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..assets import Asset, load, text
from ..case import Case, Draw

_END = "<|endoftext|>"
_GPT2 = {"vocab": Asset("gpt2/vocab"), "merges": Asset("gpt2/merges")}
# Pre-tokens that a stream may cut in two show it in their ids only if they are one token.
_FURTHER_MERGES = {b"\n\n", b"aa", b"aaaa", b"'t", b"'m", b"'d", b"'re", b"'ve", b"'ll"}
_LETTERS = "etaoinshrdlu"
_SIGNS = "éßøñæλжשअ你好世界かな한국🙂🎉👩‍💻🏳️‍🌈€½²…—“”’́̈"


def generate(draw: Draw) -> Iterator[Case]:
    def encode(name: str, texts: list[str], group: str, special_tokens: Any = None, tables: Any = None) -> Case:
        inputs = {**(tables or _GPT2), "special_tokens": special_tokens, "texts": texts}
        return Case(name, "encode_texts", inputs, group)

    short = ["", "s", " ", "\n", "é", "🙃", "Hello", " the", "\u00a0", "\x00"]
    yield encode("words", short + _words_texts(draw), "text")
    yield encode("white_space", _white_space_texts(draw), "text")
    yield encode("contractions_and_signs", _contraction_texts(draw) + _sign_texts(draw), "text")
    yield encode("unicode", _unicode_texts(draw), "unicode")
    corpora = [_extract(draw, text(f"{name}.txt"), 1_200) for name in ("english", "technical", "multilingual")]
    yield encode("corpora", corpora, "corpora")
    yield encode("special_tokens", _special_texts(draw), "special", [_END])

    small, with_end, with_double = (_small_tables(tokens) for tokens in ([], [_END], [_END, _END * 2]))
    yield encode("double", _double_texts(draw), "overlapping", [_END, _END * 2], with_double)
    yield encode("double_first", _double_texts(draw), "overlapping", [_END * 2, _END], with_double)
    for name, tokens, texts in _special_forms(draw):
        yield encode(name, texts, "special_forms", tokens, _small_tables(tokens))
    yield encode("none", _special_texts(draw), "no_special", None, with_end)
    yield encode("empty_list", _special_texts(draw), "no_special", [], with_end)
    yield encode("missing", [f"a{_END}b <|pad|>", f"{_END}<|pad|>"], "missing", [_END, "<|pad|>"], with_end)

    ordinary = [_extract(draw, text("english.txt"), 400), "aaaaaaa banana", _unicode_texts(draw)[0]]
    yield encode("trained", [*ordinary, f"a{_END}b"], "small_tables", [_END], with_end)
    yield encode("shuffled", ordinary, "shuffled_ids", None, _shuffled(draw, small))
    runs = ["a" * draw.integer(3_000, 4_000), _word(draw, 2_000, 2_000), "=-" * 1_500, " " * 3_000 + "x"]
    yield encode("runs", runs, "long", None, small)

    # Every line ends in one newline and begins with a visible character, so the lines' ids are those of the text.
    lines = [" ".join(line.split()) for line in corpora[0].splitlines() if line.strip()]
    texts = ["".join(f"{line}\n" for line in lines), f"one\n{_END}\ntwo {_END}\n"]
    yield encode("lines", texts, "lines", [_END], with_end)

    def stream(name: str, streams: list[list[str]], group: str, special_tokens: Any, tables: Any) -> Case:
        inputs = {**tables, "special_tokens": special_tokens, "streams": streams}
        return Case(name, "encode_streams", inputs, group)

    yield stream("text_with_cuts", _cut_texts(draw, corpora), "cuts", None, small)
    yield stream("special_tokens_with_cuts", _cut_special_texts(draw), "cuts_in_special", [_END], with_end)
    yield stream("double_with_cuts", _cut_double_texts(draw), "cuts_in_special", [_END, _END * 2], with_double)

    inputs = {**small, "special_tokens": None, "sequences": _malformed(draw, small["vocab"])}
    yield Case("malformed", "decode_ids", inputs, "malformed")


def _extract(draw: Draw, source: str, length: int) -> str:
    """About `length` characters of a text, from one space to another."""
    start = source.index(" ", draw.integer(0, len(source) - length - 500))
    return source[start : source.index(" ", start + length)].strip()


def _word(draw: Draw, longest: int = 10, shortest: int = 1, letters: str = _LETTERS) -> str:
    return "".join(draw.choice(list(letters)) for _ in range(draw.integer(shortest, longest + 1)))


def _words_texts(draw: Draw) -> list[str]:
    return [
        "Hello, how are you?",
        "the cat ate",
        "aaaaaaaaaaaaaaa banana ededed preceded",
        " ".join(_word(draw) for _ in range(30)),
        " ".join(_word(draw, 6).title() for _ in range(20)),
        " ".join(_word(draw, 14, letters="aeimnrst") for _ in range(20)),
        _word(draw, 12, letters="ab") + _word(draw, 12, letters="XYz"),
    ]


def _contraction_texts(draw: Draw) -> list[str]:
    stems, ends = ["I", "you", "we", "it", "don", "IT"], ["'s", "'d", "'m", "'t", "'ll", "'ve", "'re", "'S", "'x", "'"]
    return [
        "I'll say it's John's; they've known we're here, haven't they?",
        "DON'T 'tis ''s 'll",
        " ".join(draw.choice(stems) + draw.choice(ends) + draw.choice(["", "", "x", "'s"]) for _ in range(40)),
    ]


def _white_space_texts(draw: Draw) -> list[str]:
    gaps = [" ", "  ", "   ", "\n", "\n\n", "\n\n\n", "\n   ", "\t", " \t ", "\r\n", "\u00a0", "\u2003", "\x0b", "\x1f"]
    return [
        "  leading and trailing  ",
        "\n\n\n",
        "a  b   c    d\n\n  e\t\tf \n g",
        "".join(draw.choice(["ab", "7", "!", "’"]) + draw.choice(gaps) for _ in range(60)),
    ]


def _sign_texts(draw: Draw) -> list[str]:
    pieces = ["12", "2024", "3.14", "x2", "_", "a_b", "--", "...", "!?", "(", ")", "$5", "%", "://", "@", "{}", "\\"]
    return [
        "1234567890 3.14159 1,000,000",
        "def f(x): return x**2  # ok",
        "".join(draw.choice(pieces) + draw.choice(["", "", " "]) for _ in range(60)),
    ]


def _unicode_texts(draw: Draw) -> list[str]:
    return [
        "Héllò hôw are ü? 🙃",
        "你好，世界！ こんにちは 안녕하세요",
        "👩‍👩‍👧‍👦 🇫🇷 e\u0301 ½ ² ٣ Ⅷ \ufeff \ufffd",
        " ".join(_word(draw, 6, letters=_SIGNS) for _ in range(20)),
        "".join(chr(draw.choice([0x80, 0x370, 0x900, 0x4E00, 0x1F300]) + draw.integer(0, 0x60)) for _ in range(40)),
    ]


def _special_texts(draw: Draw) -> list[str]:
    words = [_word(draw, 5) for _ in range(12)]
    return [
        _END,
        f"Hello{_END}world",
        f"{_END}one {_END} two\n{_END}\n  {_END}{_END}",
        "<|endoftext <|endoftext|",
        "".join(word + draw.choice([_END, f" {_END}", f"{_END} ", f"  {_END}", " ", "\n"]) for word in words),
    ]


def _double_texts(draw: Draw) -> list[str]:
    return [
        f"Hello, how {_END * 2} are you?{_END}",
        *(_END * times for times in range(2, 6)),
        "".join(_word(draw, 4) + _END * draw.integer(0, 5) for _ in range(10)),
    ]


def _special_forms(draw: Draw) -> Iterator[tuple[str, list[str], list[str]]]:
    for name, tokens in {
        "regex_characters": ["[a-c]", "a|b", "(.*)", "e+", "\\n", "^$"],
        "one_contains_another": ["<|end|>", "<|end|>tea<|end|>", "<|end|>tea"],
        "one_inside_another": ["nd|", "<|end|>", "<|"],
        "with_spaces": ["<new document>", " <x>", "\t\t"],
        "not_ascii": ["«fin»", "🛑"],
    }.items():
        parts = [*tokens, "a", "b", "c", "tea", "see", " ", "<|en", "end|>"]
        texts = ["".join(draw.choice(parts) for _ in range(30)) for _ in range(3)]
        yield name, tokens, ["".join(tokens), " ".join(reversed(tokens)), *texts]


def _small_tables(special_tokens: list[str]) -> dict[str, Any]:
    """Tables as training makes them: special tokens, the 256 bytes, and some of GPT-2's merges."""
    merges = [(a, b) for rank, (a, b) in enumerate(load("gpt2/merges")) if rank < 150 or a + b in _FURTHER_MERGES]
    alphabet = [bytes([byte]) for byte in range(256)]
    tokens = [token.encode() for token in special_tokens] + alphabet + [left + right for left, right in merges]
    return {"vocab": dict(enumerate(tokens)), "merges": merges}


def _shuffled(draw: Draw, tables: dict[str, Any]) -> dict[str, Any]:
    vocab = tables["vocab"]
    ids = [int(i) for i in draw.random.permutation(len(vocab))]
    return {**tables, "vocab": {ids[i]: token for i, token in vocab.items()}}


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
        *(_cut(draw, corpus[:600], longest) for corpus in corpora for longest in (1, 7, 60)),
    ]


def _cut_special_texts(draw: Draw) -> list[list[str]]:
    words = _special_texts(draw)[-1]
    return [
        ["one<|endof", "text|>two"],
        ["one <", "|endoftext|", "> two"],
        ["<|endoftext|> <|endo", "f the text|>"],
        ["a  ", _END, "  b"],
        list(f"x{_END}{_END} y"),
        *(_cut(draw, words, longest) for longest in (2, 9, 25)),
    ]


def _cut_double_texts(draw: Draw) -> list[list[str]]:
    return [[_END, _END], [_END, "x", _END + _END[:5], _END[5:]], [_END] * 3, _cut(draw, _double_texts(draw)[-1], 15)]


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
