"""Which changes to the reference does no test of the assignment notice?

    python -m grader.selftest.mutants [--module NAME ...] [--no-run]

mutmut makes the changes, one at a time, and runs the assignment's tests on each. A change that every test passes is
either a missing test, or it changes nothing that is judged: `mutants.toml` lists the latter with the reasons. The exit
code is 1 when a survivor is not on the list, or when the list explains what does not survive any more. The whole takes
about half an hour; mutmut keeps what it knows in mutants/, so that the next run tries only functions that have changed.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import functools
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.kit.paths import KIT, REFERENCE

LIST = Path(__file__).with_name("mutants.toml")
MUTATED = KIT / "mutants" / "grader" / "reference"
PACKAGE = "grader.reference"

# What mutmut writes down for a mutant: pytest's exit code, and 33 where no test ever calls the function.
_SURVIVED = (0, 33)
_NOT_TRIED = (None, 2)
_CLASS_MARK = "\u01c1"


@dataclass(frozen=True)
class Survivor:
    """A change that no test noticed.

    function: `layers.Linear.forward`; change: the changed line before and after, as `ast.unparse` writes it, so that
    neither line numbers nor formatting matter.
    """

    function: str
    change: str

    def __str__(self) -> str:
        return f"{self.function}: {self.change}"


@dataclass(frozen=True)
class Reason:
    """Why some survivors change nothing that is judged; `*` in a pattern stands for anything."""

    text: str
    patterns: tuple[str, ...]

    def explaining(self, survivor: Survivor) -> list[str]:
        """The patterns that a survivor matches."""
        return [pattern for pattern in self.patterns if _matches(pattern, str(survivor))]


def _matches(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mutmut and compare what survives with the list."""
    parser = argparse.ArgumentParser("python -m grader.selftest.mutants", description=__doc__.split("\n")[0])
    parser.add_argument("--module", nargs="+", default=None, help="only these modules of the reference, such as rope")
    parser.add_argument("--no-run", action="store_true", help="only compare what an earlier run has found")
    options = parser.parse_args(arguments)
    modules = options.module or [module for module in _all_modules() if module != "adapters"]  # which only calls
    if not options.no_run:
        run(modules)
    reasons = load_reasons()
    complaints = [*_unexplained(modules, reasons), *_outdated(modules, reasons)]
    print(*complaints, sep="\n")
    return 1 if complaints else 0


def _all_modules() -> list[str]:
    return sorted(path.stem for path in (REFERENCE).glob("[a-z]*.py"))


def run(modules: Sequence[str]) -> None:
    """Let mutmut try the mutants of some modules; its progress goes to the terminal."""
    names = [f"{PACKAGE}.{module}.*" for module in modules]
    subprocess.run([sys.executable, "-m", "mutmut", "run", *names], cwd=KIT, check=True)


def load_reasons() -> list[Reason]:
    """Read `mutants.toml`."""
    entries = tomllib.loads(LIST.read_text("utf-8"))["equivalent"]
    return [Reason(" ".join(entry["reason"].split()), tuple(entry["mutants"])) for entry in entries]


def survivors(module: str) -> Iterator[Survivor]:
    """What no test noticed in a module, as mutmut's last run left it."""
    results = _results(module)
    alive = [name for name, code in results.items() if code in _SURVIVED]
    if not alive:
        return
    functions = _functions(MUTATED / f"{module}.py")
    for name in alive:
        mutant = name.rpartition(".")[2]
        mangled = mutant.rpartition("__mutmut_")[0]
        before, after = functions[f"{mangled}__mutmut_orig"], functions[mutant]
        yield Survivor(f"{module}.{_plain_name(mangled)}", _change(before, after))


def _results(module: str) -> dict[str, int | None]:
    path = MUTATED / f"{module}.py.meta"
    return json.loads(path.read_text("utf-8"))["exit_code_by_key"] if path.exists() else {}


def _functions(path: Path) -> dict[str, list[str]]:
    """{mangled name: lines} of every variant of every function that mutmut wrote into a module."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef) and "__mutmut_" in node.name:
            name, node.name = node.name, "_"
            found[name] = ast.unparse(node).splitlines()
    return found


def _plain_name(mangled: str) -> str:
    """`xǁLinearǁforward` or `x_silu` as a dotted name."""
    parts = mangled.split(_CLASS_MARK)
    return ".".join(parts[1:]) if len(parts) > 1 else mangled.removeprefix("x_")


def _change(before: list[str], after: list[str]) -> str:
    lines = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
    gone, new = (" ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    return f"{gone} -> {new}"


def _unexplained(modules: Sequence[str], reasons: Sequence[Reason]) -> Iterator[str]:
    tried = explained = 0
    by_reason: Counter[str] = Counter()
    for module in modules:
        codes = _results(module).values()
        tried += sum(code not in _NOT_TRIED for code in codes)
        if left := sum(code in _NOT_TRIED for code in codes):
            yield f"{module}: {left} of {len(codes)} mutants have not been tried"
        for survivor in survivors(module):
            reason = next((reason for reason in reasons if reason.explaining(survivor)), None)
            if reason is None:
                yield f"survives: {survivor}"
                continue
            explained += 1
            by_reason[reason.text] += 1
    print(f"{tried} mutants; {tried - explained} noticed or listed below, {explained} alike in all that is judged:")
    for text, count in by_reason.most_common():
        print(f"  {count:4d}  {text}")


def _outdated(modules: Sequence[str], reasons: Sequence[Reason]) -> Iterator[str]:
    """Patterns that explain nothing any more; those of modules that were not asked for are left alone."""
    alive = [survivor for module in modules for survivor in survivors(module)]
    for reason in reasons:
        for pattern in reason.patterns:
            module = pattern.partition(".")[0]
            if (module == "*" or module in modules) and not any(_matches(pattern, str(one)) for one in alive):
                yield f"explains nothing any more: {pattern}"


if __name__ == "__main__":
    sys.exit(main())
