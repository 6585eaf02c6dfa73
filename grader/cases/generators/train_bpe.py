"""Cases for BPE training.

The tie rule is fixed and everything is counted in whole numbers, so merges are compared exactly. Texts over few letters
are worth most here: ties, overlapping pairs and pairs next to a merged pair, rare in English, are everywhere in them.
Core texts come twice over, so that no merge among them rests on a pair that occurs once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ..assets import Asset, text
from ..case import Case, Draw

_END = "<|endoftext|>"
_SCRIPTS = "éèñßøæαβγδωжщыюאבגअआइ你好世界語かなカナ한국말🙂🙃🎉🚀́̈"


def generate(draw: Draw) -> Iterator[Case]:
    def case(name: str, corpus: str | bytes | Asset, merges: int, group: str = "reference", **options) -> Case:
        """A case that asks for `merges` merges."""
        inputs = {"corpus": corpus.encode() if isinstance(corpus, str) else corpus, "special_tokens": [_END], **options}
        inputs["vocab_size"] = 256 + len(inputs["special_tokens"]) + merges
        return Case(name, "train_bpe", inputs, group)

    english = text("english.txt")
    yield case("english_small", Asset("text/english_small.txt"), 243)
    yield case("english", _extract(draw, english, 16_000), 200)

    yield from (case(name, corpus, n, "documents", **rest) for name, corpus, n, rest in _documents(draw, english))

    yield case("letters", _twice(" ".join(_words(draw, "abcde", 40, 6))), 50, "ties")
    yield case("every_word_as_often", _twice(_permuted_words(draw)), 50, "ties")
    # U+FFFD, which stands for half a character when bytes are decoded, sorts elsewhere than those bytes.
    yield case("characters", _twice(" ".join(_words(draw, _SCRIPTS, 40, 3))), 60, "ties")

    yield case("runs_of_one_letter", _runs(draw), 25, "repeats")
    yield case("alternating_letters", _alternating(draw), 40, "repeats")
    yield case("syllables", _twice(" ".join(_words(draw, ["na", "ba", "ed", "e", "n"], 120, 6))), 60, "repeats")

    yield case("multilingual", _extract(draw, text("multilingual.txt"), 5_000), 150, "unicode")
    yield case("mixed_scripts", _twice(" ".join(_words(draw, _SCRIPTS, 120, 8))), 100, "unicode")

    yield case("contractions", _twice(_contractions(draw)), 30, "pretokens")
    yield case("white_space", _twice(_white_space(draw)), 12, "pretokens")
    yield case("digits_and_signs", _twice(_digits_and_signs(draw)), 60, "pretokens")

    small = _extract(draw, english, 2_500)
    for merges in (0, 1, 40):
        yield case(f"{merges}_merges", small, merges, "sizes")

    yield case("english_only", small, 60, "no_special_tokens", special_tokens=[])

    yield case("three_words", "low lower lowest low low", 200, "exhausted")
    yield case("few_letters", " ".join(_words(draw, "ab", 12, 5)), 500, "exhausted")
    yield case("one_run", "a" * draw.integer(5, 40), 100, "exhausted")
    yield case("no_pair_at_all", "a\n7\nb\n", 10, "exhausted")

    yield case("no_bytes", b"", 20, "empty")
    yield case("no_bytes_no_special_tokens", b"", 20, "empty", special_tokens=[])
    yield case("special_tokens_only", _END * 3, 20, "empty")

    words = small.split()
    lines = [" ".join(words[i : i + 4]) for i in range(0, len(words), 4)]
    # A single line end before a word is cut into "\r" and "\n"; it takes two for a pair that can be counted.
    yield case("windows", _joined(draw, lines, ["\r\n", "\r\n\r\n", "\r\n    "]), 60, "line_ends")
    yield case("old_mac_and_mixed", _twice(_joined(draw, lines, ["\r", "\r\r", "\r\n\n", "\n\r\n"])), 60, "line_ends")

    yield from (case(name, corpus, 30, "special_forms", special_tokens=t) for name, corpus, t in _special_forms(draw))

    yield case("path_as_str", small, 30, "path_as_str", path_as_str=True)


def _extract(draw: Draw, source: str, length: int) -> str:
    """About `length` characters of a text, from one space to another."""
    start = source.index(" ", draw.integer(0, max(1, len(source) - length - 200)))
    stop = source.find(" ", start + length)
    return source[start : stop if stop > 0 else len(source)].strip()


def _twice(corpus: str) -> str:
    """The text in two documents, of which the first ends in a newline, a pre-token of its own in any case."""
    return f"{corpus}\n{_END}{corpus}"


def _words(draw: Draw, letters: str | list[str], count: int, longest: int) -> list[str]:
    """Random words over an alphabet (or over syllables)."""
    return [
        "".join(draw.choice(list(letters)) for _ in range(draw.integer(1, longest + 1))) for _ in range(count)
    ]  # fmt: skip


def _joined(draw: Draw, parts: list[str], separators: list[str]) -> str:
    return "".join(part + draw.choice(separators) for part in parts)


def _documents(draw: Draw, english: str) -> Iterator[tuple[str, str, int, dict]]:
    sentences = [sentence.strip() for sentence in _extract(draw, english, 6_000).split(".") if sentence.strip()]
    yield "one_sentence_each", _END.join(sentences), 80, {}
    yield "white_space_around", _joined(draw, sentences, [f" {_END} ", f"\n\n{_END}\n", f"  {_END}"]), 80, {}
    # Across the borders "xy" would be the most frequent pair by far.
    words = [f"y{word}x" for word in _words(draw, "xyz", 150, 4)]
    yield "pairs_across_borders", _END.join(words * 2), 40, {}
    start = "<|start|>"
    yield (
        "two_special_tokens",
        _END.join(f"{start}{sentence}" for sentence in sentences),
        80,
        {"special_tokens": [_END, start]},
    )


def _permuted_words(draw: Draw) -> str:
    words = ["".join(letters) for letters in itertools.permutations("abcd")]
    return " ".join(words[i] for i in draw.random.permutation(len(words)))


def _runs(draw: Draw) -> str:
    """Words like "aaaa" and "xaaay", in which a pair overlaps itself."""
    words = ["a" * draw.integer(1, 18) for _ in range(25)]
    words += [
        draw.choice(["", "x", "ba"])
        + draw.choice(["a", "b", "ab"]) * draw.integer(1, 12)
        + draw.choice(["", "y", "ab"])
        for _ in range(60)
    ]
    return " ".join(words)


def _alternating(draw: Draw) -> str:
    """Words like "ededed" and "preceded", in which a merged pair has itself for a neighbour."""
    parts = ["ed", "de", "ece", "pr", "ce", "e", "d", "ic"]
    words = ["preceded", "ededed", "deeded", "seceded", "dedicated"]
    words += ["".join(draw.choice(parts) for _ in range(draw.integer(2, 8))) for _ in range(100)]
    return " ".join(draw.choice(words) for _ in range(400))


def _contractions(draw: Draw) -> str:
    """Apostrophes where GPT-2's pattern cuts, and where it does not: before capitals and other letters."""
    stems = ["I", "you", "we", "they", "it", "don", "can", "IT", "L", "rock", "o", "ma"]
    ends = ["'s", "'d", "'m", "'t", "'ll", "'ve", "'re", "'S", "'LL", "'x", "'", "n't've", "'nroll", "’s", "'stand"]
    return " ".join(draw.choice(stems) + draw.choice(ends) for _ in range(200))


def _white_space(draw: Draw) -> str:
    words = ["ab", "cab", "7", "!", "x1", "abc"]
    return _joined(
        draw,
        [draw.choice(words) for _ in range(250)],
        ["  ", "   ", "\n", "\n\n", "\n   ", "\t", "\t\t ", " \n", "      ", "\u00a0", "\u2003 "],
    )


def _digits_and_signs(draw: Draw) -> str:
    pieces = [
        "12",
        "2024",
        "3.14",
        "007",
        "x2",
        "²",
        "½",
        "a_b",
        "__",
        "--",
        "...",
        "!?",
        "(a)",
        "$5",
        "%",
        "→",
        "©",
        "٣٤",
    ]
    return _joined(draw, [draw.choice(pieces) for _ in range(250)], ["", " ", ", ", "-"])


def _special_forms(draw: Draw) -> Iterator[tuple[str, str, list[str]]]:
    def corpus(separators: list[str]) -> str:
        words = _words(draw, "abcn.", 60, 5)
        return _joined(draw, words, [*separators, " "]) * 2

    for name, tokens in {
        "regex_characters": ["[a-c]", "a|b", "(.*)", "n+", "\\n", "^$"],
        "one_contains_another": ["<|end|>", "<|end|>nab<|end|>", "<|end|>nab"],
        "one_contains_another_longest_first": ["<|end|>nab<|end|>", "<|end|>nab", "<|end|>"],
        "with_spaces_inside": ["<new document>", " <x>"],
        "not_ascii": ["«fin»", "🛑"],
    }.items():
        yield name, corpus(tokens), tokens
    words = _words(draw, "abc", 60, 5)
    yield "not_in_the_text", " ".join(words * 2), [_END, "<|pad|>", "<|unk|>"]
    yield "at_both_ends_and_doubled", f"{_END}{_END}{(_END * 2).join(words * 2)}{_END}", [_END]
