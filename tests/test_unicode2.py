"""Encodings, as `answers.toml` describes them. What is claimed there is carried out here."""

import codecs

import pytest

TEXT = "Ein Bär, 一只熊, 🐻"


def test_lengths_in_three_encodings(answers, for_staff):
    """UTF-8 is the shortest of the three for most texts, and UTF-32 is mostly zeros for ASCII.

    Asked: problem unicode2 (a).
    """
    answers.pass_on(for_staff, "why_utf8")
    for encoding, mark in (("utf-8", 0), ("utf-16", 2), ("utf-32", 4)):
        key = f"{encoding.replace('-', '')}_bytes"
        given, size = answers.number(key), len(TEXT.encode(encoding))
        assert given in (size, size - mark), f"{key}: {TEXT!r} does not have {given:g} bytes in {encoding.upper()}"
    given = answers.number("zero_bytes")
    zeros = ("a" * 100).encode("utf-32-le").count(0)
    assert given == zeros, f"zero_bytes: 100 ASCII letters in UTF-32 do not have {given:g} bytes that are zero"


def test_byte_by_byte_goes_wrong(answers, for_staff):
    """Decoding UTF-8 byte by byte fails for the given text.

    Asked: problem unicode2 (b).
    """
    answers.pass_on(for_staff, "why_it_breaks")
    text = answers.text("breaking_text")
    try:
        decoded = "".join(bytes([byte]).decode("utf-8") for byte in text.encode("utf-8"))
    except UnicodeError:
        return  # a byte that is no character by itself, or a text (half a pair of surrogates) without any bytes
    assert decoded != text, f"decoded byte by byte, {text[:60]!r} comes out as it should"


def test_two_bytes_without_a_character(answers, for_staff):
    """The given two bytes decode to no character.

    Asked: problem unicode2 (c).
    """
    answers.pass_on(for_staff, "why_undecodable")
    data = two_bytes(answers)
    try:
        decoded = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    raise AssertionError(f"undecodable: {data.hex(' ')} decodes to {decoded!r}")


@pytest.mark.edge
def test_nothing_that_follows_helps(answers):
    """Whatever bytes follow, the given two decode to no character.

    Asked: problem unicode2 (c), read strictly: the bytes decode to no character, whatever follows.
    """
    data = two_bytes(answers)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)  # as the beginning of something longer
    except UnicodeDecodeError:
        return
    raise AssertionError(f"undecodable: {data.hex(' ')} can be the beginning of a character")


def two_bytes(answers):
    """The answer's bytes, of which there have to be two."""
    given = answers.text("undecodable")
    try:
        data = bytes.fromhex(given.replace("0x", "").replace("\\x", ""))
    except ValueError:
        data = b""
    assert len(data) == 2, f"undecodable: {given[:40]!r} is not two bytes in hexadecimal, such as 'c3 a4'"
    return data
