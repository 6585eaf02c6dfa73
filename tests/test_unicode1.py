"""The character that nobody sees: chr(0), as `answers.toml` describes it."""

_NAMES = ("U+0000", "U+0", "U0000", "0", "0X0", "0X00", "\\X00", "NUL", "NULL")


def test_which_character(answers):
    """chr(0) is the first of all code points.

    Asked: problem unicode1 (a).
    """
    given = answers.text("code_point").strip().upper()
    assert given in _NAMES, f"chr(0) is not {given!r}: `hex(ord(chr(0)))` shows its code point"


def test_its_repr(answers, for_staff):
    """repr shows chr(0) as an escape sequence.

    Asked: problem unicode1 (b).
    """
    answers.pass_on(for_staff, "repr_against_print")
    given = answers.text("repr").strip()
    assert given in (repr(chr(0)), repr(chr(0))[1:-1]), f"repr(chr(0)) does not look like {given!r}: type it in and see"


def test_it_counts(answers, for_staff):
    """Inside a text, chr(0) is a character like any other.

    Asked: problem unicode1 (c).
    """
    answers.pass_on(for_staff, "in_a_text")
    text = "before" + chr(0) + "after"
    given = answers.number("length")
    assert given == len(text), f"the text does not have {given:g} characters: `len` counts them"
