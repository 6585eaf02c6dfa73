"""Run every attack at every level that works here, and print the table.

    python -m grader.selftest.attacks [WORD ...] [--level LEVEL | --strongest]

Words choose the attacks whose id contains one of them. The exit code is 1 when an attack gained something at a level
that claims to stop it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from grader.isolation import Level
from grader.selftest.attacks.arena import attempt, available
from grader.selftest.attacks.catalogue import load_attacks


def main(arguments: Sequence[str]) -> int:
    """Run and print them; returns the exit code."""
    parser = argparse.ArgumentParser("python -m grader.selftest.attacks", description="Run hostile submissions.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="part of the name of an attack or a family")
    parser.add_argument("--level", choices=[str(level) for level in Level if level is not Level.NONE])
    parser.add_argument("--strongest", action="store_true", help="only at the strongest level that works here")
    options = parser.parse_args(arguments)
    attacks = [a for a in load_attacks() if not options.words or any(word in a.id for word in options.words)]
    if not attacks:
        parser.error(f"no attack is called anything like {' or '.join(options.words)}")
    levels = [i for i in available(attacks[0]) if options.level in (None, i.level)]
    levels = levels[:1] if options.strongest else levels
    width = max(len(attack.id) for attack in attacks)
    start = time.monotonic()
    gained = 0
    print(f"{'':{width}}  " + "  ".join(f"{isolation.level:10}" for isolation in levels))
    for attack in attacks:
        print(f"{attack.id:{width}}  ", end="", flush=True)
        faults = []
        for isolation in levels:
            if not attack.is_claimed_at(isolation.level):
                print(f"{'open':12}", end="", flush=True)
                continue
            report = attempt(attack, isolation)
            word = "GAINED" if report.faults else "passed" if attack.earns == "everything" else "stopped"
            faults += [f"{isolation.level}: {fault}" for fault in report.faults]
            print(f"{word:12}", end="", flush=True)
        print(attack.tries, *(f"\n    {fault}" for fault in faults), sep="")
        gained += bool(faults)
    print(f"\n{len(attacks)} attacks, {gained} gained something; {time.monotonic() - start:.0f} s.")
    print("passed: right answers have their points, and nothing is left. open: not claimed at that level, not tried.")
    return int(gained > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
