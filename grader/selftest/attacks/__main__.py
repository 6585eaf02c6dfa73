"""Run every attack at every level that works here, and print the table.

    python -m grader.selftest.attacks [WORD ...] [--level LEVEL | --strongest] [--jobs N] [--within SECONDS]

Words choose the attacks whose id contains one of them. The exit code is 1 when an attack gained something at a level
that claims to stop it. With --within the order is drawn, so that whoever runs this often and briefly sees them all.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from grader.examination.runner import default_jobs
from grader.selftest.attacks.attack import Attack, load_attacks
from grader.selftest.attacks.attempt import attempt, available
from grader.wall.isolation import Isolation, Level

_STATES = "passed: right answers have their points, and nothing is left. open: not claimed at that level, not tried."


def main(arguments: Sequence[str]) -> int:
    """Run and print them; returns the exit code."""
    parser = argparse.ArgumentParser("python -m grader.selftest.attacks", description="Run hostile submissions.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="part of the name of an attack or a family")
    parser.add_argument("--level", choices=[str(level) for level in Level if level is not Level.NONE])
    parser.add_argument("--strongest", action="store_true", help="only at the strongest level that works here")
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="so many at a time (default: %(default)s)")
    parser.add_argument("--within", type=float, metavar="SECONDS", help="begin no attack after so many seconds")
    options = parser.parse_args(arguments)
    attacks = [a for a in load_attacks() if not options.words or any(word in a.id for word in options.words)]
    if not attacks:
        parser.error(f"no attack is called anything like {' or '.join(options.words)}")
    if options.within is not None:
        random.SystemRandom().shuffle(attacks)
    levels = [i for i in available(attacks[0]) if options.level in (None, i.level)]
    levels = levels[:1] if options.strongest else levels

    start = time.monotonic()
    width = max(len(attack.id) for attack in attacks)
    print(f"{'':{width}}  " + "".join(f"{isolation.level:12}" for isolation in levels))
    tried = gained = 0
    for attack, words, faults, seconds in _tried(attacks, levels, options.jobs, options.within):
        row = "".join(f"{word:12}" for word in words) + f"{seconds:4.0f} s  "
        print(f"{attack.id:{width}}  {row}{attack.tries}", *(f"\n    {fault}" for fault in faults), sep="", flush=True)
        tried += 1
        gained += bool(faults)
    rest = f", and {len(attacks) - tried} were not tried for want of time" if tried < len(attacks) else ""
    print(f"\n{tried} attacks, {gained} gained something{rest}; {time.monotonic() - start:.0f} s.\n{_STATES}")
    return int(gained > 0)


def _tried(
    attacks: Sequence[Attack], levels: Sequence[Isolation], jobs: int, within_s: float | None
) -> Iterator[tuple[Attack, list[str], list[str], float]]:
    """Each attack, in the order in which they end, with a word for each level, what it gained, and how long it took."""
    deadline = None if within_s is None else time.monotonic() + within_s
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
        runs = {pool.submit(_try, attack, levels, deadline): attack for attack in attacks}
        for run in as_completed(runs):
            if (outcome := run.result()) is not None:
                yield runs[run], *outcome


def _try(
    attack: Attack, levels: Sequence[Isolation], deadline: float | None
) -> tuple[list[str], list[str], float] | None:
    """A word for each level, what was gained at them, and the seconds it took; None when it is too late to begin."""
    if deadline is not None and time.monotonic() > deadline:
        return None
    words, faults, seconds = [], [], 0.0
    for isolation in levels:
        if not attack.is_claimed_at(isolation.level):
            words.append("open")
            continue
        report = attempt(attack, isolation)
        words.append("GAINED" if report.faults else "passed" if attack.earns == "everything" else "stopped")
        faults += [f"{isolation.level}: {fault}" for fault in report.faults]
        seconds += report.seconds
    return words, faults, seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
