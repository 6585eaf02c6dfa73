"""Hostile submissions gain nothing and leave nothing behind (see `attacks/`)."""

from __future__ import annotations

import functools

import pytest

from grader.isolation import Isolation, Level
from grader.selftest.attacks.arena import attempt, available
from grader.selftest.attacks.catalogue import Attack, load_attacks

ATTACKS = load_attacks()
AT_EVERY_LEVEL = ("controls/", "verdict/judge_", "leaving/daemon", "leaving/exit_code_zero", "files/change_itself")
"""What is run at the weaker levels, too; `make attacks` runs everything everywhere."""


@functools.cache
def levels() -> list[Isolation]:
    return available(ATTACKS[0])


def runs() -> list[tuple[Attack, int]]:
    """Each attack at the strongest level, and at the others those that are about just that level."""
    chosen = [(attack, 0) for attack in ATTACKS]
    for number, isolation in enumerate(levels()[1:], start=1):
        chosen += [
            (attack, number)
            for attack in ATTACKS
            if attack.id.startswith(AT_EVERY_LEVEL) or attack.stopped_from is isolation.level is Level.LANDLOCK
        ]
    return [(attack, number) for attack, number in chosen if attack.is_claimed_at(levels()[number].level)]


@pytest.mark.parametrize(
    ("attack", "number"), [pytest.param(*run, id=f"{run[0].id}-{levels()[run[1]].level}") for run in runs()]
)
def test_it_gains_nothing_and_leaves_nothing(attack, number):
    assert attempt(attack, levels()[number]).faults == ()


def test_every_family_is_there():
    families = {attack.family for attack in ATTACKS}
    assert families == {"controls", "leaving", "resources", "verdict", "files", "oracle", "time"}
    assert len(ATTACKS) >= 60
