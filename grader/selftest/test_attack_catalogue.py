"""The attacks are all there, and say what must happen (`python -m grader.selftest.attacks` runs them)."""

from __future__ import annotations

from grader.selftest.attacks.attack import load_attacks

ATTACKS = load_attacks()


def test_every_family_is_there():
    families = {attack.family for attack in ATTACKS}
    assert families == {"controls", "leaving", "resources", "verdict", "files", "oracle", "time", "carried"}
    assert len(ATTACKS) >= 110


def test_each_says_what_it_tries():
    assert all(attack.tries.endswith(".") for attack in ATTACKS)
    assert len({attack.tries for attack in ATTACKS}) == len(ATTACKS)
