"""The list of changes that change nothing: patterns, and what they are compared with."""

from __future__ import annotations

from grader.selftest.mutants import Survivor, _change, _plain_name, load_reasons


def test_every_reason_is_a_sentence_and_has_patterns():
    for reason in load_reasons():
        assert reason.text.endswith("."), reason.text
        assert reason.patterns, reason.text


def test_a_pattern_fits_whatever_stands_for_its_stars():
    (reason, *_) = load_reasons()
    message = Survivor(
        "rope.RotaryPositionalEmbedding.__init__", "raise ValueError(f'{d_k}') -> raise ValueError(None)"
    )
    assert reason.explaining(message) == ["*: raise ValueError(*"]
    assert not reason.explaining(Survivor("rope.f", "return x -> return None"))


def test_names_and_changes_are_those_of_the_source():
    assert _plain_name("x\u01c1Linear\u01c1forward") == "Linear.forward"
    assert _plain_name("x__truncated_normal") == "_truncated_normal"
    before, after = ["def _(x):", "    y = x + 1", "    return y"], ["def _(x):", "    y = x - 1", "    return y"]
    assert _change(before, after) == "y = x + 1 -> y = x - 1"
