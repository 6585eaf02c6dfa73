"""`python -m grader.selftest.golden [CASE ...] [--write]`: compare with the golden reports, or write them anew."""

from __future__ import annotations

import argparse
import difflib
import sys

from . import graded, load_cases, rendered


def main() -> int:
    """Returns 1 where a report differs from the one that is stored."""
    names = [case.name for case in load_cases()]
    parser = argparse.ArgumentParser("python -m grader.selftest.golden", description=__doc__)
    parser.add_argument("case", nargs="*", metavar="CASE", help=f"of {', '.join(names)} (default: all)")
    parser.add_argument("--write", action="store_true", help="store what the grader says now")
    options = parser.parse_args()
    if unknown := set(options.case).difference(names):
        parser.error(f"no case is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    different = False
    for case in load_cases():
        if options.case and case.name not in options.case:
            continue
        stored, now = case.stored(), rendered(graded(case))
        for name, text in now.items():
            where = f"{case.name}/{name}"
            diff = list(difflib.unified_diff(stored.get(name, "").splitlines(), text.splitlines(), where, where, n=2))
            different |= bool(diff)
            print(f"{where}: {'changed' if diff else 'as it was'}")
            if options.write:
                (case.folder / name).write_text(text, "utf-8")
            else:
                print(*diff, sep="\n", end="\n" if diff else "")
    return int(different and not options.write)


if __name__ == "__main__":
    sys.exit(main())
