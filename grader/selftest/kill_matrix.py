"""Does every known bug fail its problem's tests, and every honest variant pass them?

    python -m grader.selftest.kill_matrix [--problem ID ...]

Runs in one process, on stored cases, with each variant planted into the reference in turn.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from tqdm import tqdm

from grader.misconceptions.catalogue import Misconception, Variant, load_catalogue
from grader.misconceptions.trial import try_variant


def honest_variants(problem: str) -> tuple[Variant, ...]:
    """Correct implementations of one problem, written differently."""
    try:
        return importlib.import_module(f"grader.selftest.honest.{problem}").VARIANTS
    except ModuleNotFoundError:
        return ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what survives and what is wrongly failed; exit code 1 when there is any."""
    parser = argparse.ArgumentParser("python -m grader.selftest.kill_matrix", description=__doc__)
    parser.add_argument("--problem", nargs="+", default=None, help="only these problems")
    parser.add_argument("--verbose", action="store_true", help="name the tests that kill each misconception")
    options = parser.parse_args(arguments)
    problems = options.problem or sorted({m.problem for m in load_catalogue()})
    wrong = 0
    for problem in problems:
        for variant in tqdm([*load_catalogue(problem), *honest_variants(problem)], desc=problem, leave=False):
            verdict = try_variant(variant, problem)
            if isinstance(variant, Misconception):
                complaint = "" if verdict.failed else "SURVIVES"
            else:
                complaint = f"HONEST BUT FAILED {list(verdict.failed)}" if verdict.failed or not verdict.passed else ""
            if complaint or options.verbose:
                tqdm.write(f"{problem:30} {variant.id:45} {complaint or ' '.join(verdict.failed) or 'passes'}")
            wrong += bool(complaint)
    print(f"{wrong} variants are judged wrongly")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
