"""What is still missing of a problem, in the order in which it is best added; `docs/adding_a_problem.md` is the guide.

    python -m grader.selftest.complete            every problem of the rubric
    python -m grader.selftest.complete ID ...     these, also one that is only planned

The files are read and, but for the table of operations, not run, so that a half-written problem can be looked at. What
`missing` does not say: whether the tests are good. That is the business of `make kill-matrix` and `make tolerances`.
"""

from __future__ import annotations

import argparse
import ast
import functools
import re
import runpy
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..diagnosis.known_bugs import stored_records
from ..kit.paths import KIT
from ..kit.stubs import StubError, skeleton
from ..scoring.rubric import Problem, ProblemKind, Rubric, RubricError, did_you_mean, load_rubric
from ..submission.interface import Submission
from ..trials.evidence import UNRECOGNISABLE

_RUBRIC = "grader/scoring/rubric.toml"
_OPERATIONS = "grader/worker/operation_table.py"
_DRIVERS = "grader/worker/drivers"
_REFERENCE = "grader/reference"
_ADAPTERS = f"{_REFERENCE}/adapters.py"
_ANSWERS = f"{_REFERENCE}/answers.toml"
_RACES = ("grader/performance/tensor_races.py", "grader/performance/text_races.py")
_EVIDENCE = "tests/fixtures/cases/misconceptions.msgpack"
_HANDOUT = "HANDOUT.md"

_TRIED = (ProblemKind.CODE, ProblemKind.ARTIFACT)
"""Properties such as "gives integers" hold for many wrong answers; here some core claim has to judge values. Each claim
about a written answer judges that answer."""


@dataclass(frozen=True)
class Tree:
    """A copy of the kit, read by names below its root; what several problems ask for is worked out once."""

    kit: Path

    def has(self, name: str) -> bool:
        return (self.kit / name).exists()

    def text(self, name: str) -> str:
        return (self.kit / name).read_text("utf-8")

    def parsed(self, name: str) -> ast.Module:
        return ast.parse(self.text(name), name)

    def modules(self, folder: str) -> list[str]:
        """Those of a package, and of the packages in it."""
        return [path.relative_to(self.kit).as_posix() for path in sorted((self.kit / folder).rglob("*.py"))]

    @functools.cached_property
    def operations(self) -> dict[str, Any]:
        """The table of operations: pure, so that it may run."""
        return runpy.run_path(str(self.kit / _OPERATIONS), run_name="operation_table")["OPERATIONS"]

    @functools.cached_property
    def drivers(self) -> set[str]:
        return {name for module in self.modules(_DRIVERS) for name in _drivers(self.parsed(module))}

    @functools.cached_property
    def skeleton(self) -> dict[str, str]:
        return skeleton(self.kit)

    @functools.cached_property
    def recognised(self) -> set[str]:
        """The problems whose known bugs have left evidence."""
        if not self.has(_EVIDENCE):
            return set()
        records = stored_records(self.kit / _EVIDENCE)
        return {record["problem"] for record in records}


def missing(tree: Tree, problem_id: str) -> list[str]:
    """A sentence for each thing that a problem lacks, which names the file; the first is the next to do.

    Whatever cannot be known before something else is there is not in the list yet.
    """
    try:
        rubric = load_rubric(tree.kit / _RUBRIC)
    except RubricError as error:
        return [str(error)]
    ids = [problem.id for problem in rubric.problems]
    if problem_id not in ids:
        return [
            f"{_RUBRIC} has no problem {problem_id!r}.{did_you_mean(problem_id, ids)} A new one is a table [[problem]] "
            "there, with id, title, section, kind and points; its place is its place in the handout."
        ]
    try:
        return list(_missing(tree, rubric, rubric[problem_id]))
    except SyntaxError as error:
        return [f"{error.filename}, line {error.lineno}, is not Python: {error.msg}."]


def _missing(tree: Tree, rubric: Rubric, problem: Problem) -> Iterator[str]:
    if problem.kind is ProblemKind.PERFORMANCE:
        yield from _race(tree, problem)
        return
    tests, claims = f"tests/test_{problem.id}.py", ast.Module([], [])
    if tree.has(tests):
        claims = tree.parsed(tests)
        yield from _claims(claims, tests, problem)
        yield from _operations(tree, claims, tests, problem)
        yield from _answers_and_runs(tree, claims, tests, problem)
    elif problem.kind is not ProblemKind.MANUAL:
        yield (
            f"{tests} is missing: the claims, each a function test_... with a docstring whose first line the student "
            "reads, and a line 'Asked: ...' that says where the assignment asks for it."
        )
        yield from _operations(tree, claims, tests, problem)
    with_cases = any("cases" in marks(claim) for claim in claims_of(claims))
    if with_cases and not tree.has(_generator(problem)):
        yield f"{_generator(problem)} is missing: it draws the cases for which {tests} asks, as `generate(draw)`."
    if problem.kind is ProblemKind.CODE:
        yield from _proofs(tree, problem)
    if with_cases and not tree.has(stored := f"tests/fixtures/cases/{problem.id}.msgpack"):
        yield f"{stored} is missing. Run `python -m grader.fixtures cases --problem {problem.id}`, which writes it."
    if problem.kind is ProblemKind.CODE:
        yield from _evidence(tree, problem)
    yield from _skeleton(tree, problem)
    yield from _handout(tree, rubric, problem)


# ------------------------------------------------------------------------------------------------------------
# Claims


def claims_of(tests: ast.Module) -> list[ast.FunctionDef]:
    """The test functions of a file."""
    return [node for node in tests.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def marks(claim: ast.FunctionDef) -> set[str]:
    """The names of a claim's pytest marks."""
    return {
        node.attr
        for decorator in claim.decorator_list
        for node in ast.walk(decorator)
        if isinstance(node, ast.Attribute)
    }


def _claims(module: ast.Module, tests: str, problem: Problem) -> Iterator[str]:
    found = claims_of(module)
    if not found:
        yield f"{tests} has no claim: write a function test_..."
        return
    for claim in found:
        text = ast.get_docstring(claim) or ""
        if not text:
            yield f"{tests}: {claim.name} has no docstring; its first line is what the student reads."
        elif "advice" not in marks(claim) and not re.search(r"^\s*Asked: \S", text, re.MULTILINE):
            yield (
                f"{tests}: {claim.name} does not say where it is asked for. End its docstring with a line "
                "'Asked: ...', or mark the claim as advice."
            )
    core = [claim for claim in found if not marks(claim) & {"edge", "advice"}]
    if problem.kind in _TRIED and not any(marks(claim) & {"cases", "decisive"} for claim in core):
        yield (
            f"{tests}: no core claim judges values. Mark one with @pytest.mark.cases, or with @pytest.mark.decisive "
            "where it computes itself what is right."
        )


# ------------------------------------------------------------------------------------------------------------
# From the claim to the code: operations, drivers, adapters


def _operations(tree: Tree, claims: ast.Module, tests: str, problem: Problem) -> Iterator[str]:
    table = tree.operations
    asked = {(tests, name): None for name in _asked(claims)}
    generator = _generator(problem)
    if tree.has(generator):
        asked |= {(generator, name): None for name in _adapters_named(tree.parsed(generator))}
    known = set(table) | set(dir(Submission))
    for file, name in asked:
        if name not in known:
            yield (
                f"{_OPERATIONS} has no operation {name}, for which {file} asks. Add it, with {problem.id!r} as its "
                f"problem.{did_you_mean(name, table)}"
            )
    own = [operation for operation in table.values() if operation.problem == problem.id]
    adapters = [operation.name for operation in own if operation.is_adapter]
    if problem.kind is ProblemKind.CODE and not adapters:
        yield (
            f"{_OPERATIONS} gives {problem.id} no adapter, a name with run_ or get_. Add where its code begins: the "
            "from-scratch rule starts there."
        )
    for operation in own:
        if not operation.is_adapter and operation.name not in tree.drivers:
            yield (
                f"{_DRIVERS}/ has no driver {operation.name}, which {_OPERATIONS} names. Write the function in one of "
                "its modules, and add it to the tuple DRIVERS at the end of that."
            )
    if problem.kind is ProblemKind.CODE:
        yield from _solution(tree, problem, adapters)


def _asked(module: ast.Module) -> Iterator[str]:
    """What is called as `submission.NAME(...)`."""
    for node in ast.walk(module):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="submission"), attr=name)):
                yield name


def _adapters_named(module: ast.Module) -> Iterator[str]:
    """The texts in a generator that are names of adapters: the operations of its cases."""
    for node in ast.walk(module):
        match node:
            case ast.Constant(value=str(text)) if re.fullmatch(r"(run|get)_\w+", text):
                yield text


def _drivers(module: ast.Module) -> Iterator[str]:
    for node in module.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="DRIVERS")], value=ast.Tuple(elts=names)):
                yield from (name.id for name in names if isinstance(name, ast.Name))


def _solution(tree: Tree, problem: Problem, adapters: list[str]) -> Iterator[str]:
    line = re.compile(rf"^\s*Problem: {problem.id}$", re.MULTILINE)
    if not any(line.search(tree.text(module)) for module in tree.modules(_REFERENCE)):
        yield (
            f"{_REFERENCE}/ has no solution of {problem.id}. Write it in one of its modules; the docstring of what a "
            f"student is to write ends with the line 'Problem: {problem.id}'."
        )
    defined = {node.name for node in tree.parsed(_ADAPTERS).body if isinstance(node, ast.FunctionDef)}
    for name in adapters:
        if name not in defined:
            yield f"{_ADAPTERS} has no function {name}. Write it: it leads from the test to the solution."


# ------------------------------------------------------------------------------------------------------------
# Answers and experiments; cases


def _answers_and_runs(tree: Tree, claims: ast.Module, tests: str, problem: Problem) -> Iterator[str]:
    functions = [node for node in ast.walk(claims) if isinstance(node, ast.FunctionDef)]
    fixtures = {argument.arg for function in functions for argument in function.args.args}
    if fixtures & {"answers", "remarks"} and problem.id not in tomllib.loads(tree.text(_ANSWERS)):
        yield (
            f"{_ANSWERS} has no table [{problem.id}], which {tests} reads. Write the questions as comments, and the "
            "staff's answers."
        )
    runs = f"{_REFERENCE}/runs/{problem.id}"
    if "runs" in fixtures and problem.kind is ProblemKind.ARTIFACT and not tree.has(runs):
        yield (
            f"{runs}/ is missing: the staff's own experiment. Say what it trains in grader/fixtures/runs.py, then run "
            "`python -m grader.fixtures runs`."
        )


def _generator(problem: Problem) -> str:
    return f"grader/cases/generators/{problem.id}.py"


# ------------------------------------------------------------------------------------------------------------
# What proves the tests


def _proofs(tree: Tree, problem: Problem) -> Iterator[str]:
    if not tree.has(bugs := _bugs(problem)):
        yield (
            f"{bugs} is missing: the known bugs, as wrong variants of the reference in a tuple MISCONCEPTIONS. Each "
            "claim is proved by one that it notices."
        )
    if not tree.has(honest := f"grader/selftest/honest/{problem.id}.py"):
        yield (
            f"{honest} is missing: right code that is written differently, in a tuple VARIANTS. It shows that the "
            "tests refuse none of it."
        )


def _bugs(problem: Problem) -> str:
    return f"grader/misconceptions/{problem.id}.py"


def _evidence(tree: Tree, problem: Problem) -> Iterator[str]:
    bugs = _bugs(problem)
    if tree.has(bugs) and problem.id not in UNRECOGNISABLE and problem.id not in tree.recognised:
        yield (
            f"{_EVIDENCE} knows none of the bugs in {bugs}. Run `python -m grader.fixtures misconceptions --problem "
            f"{problem.id}`, which writes down what they look like."
        )


# ------------------------------------------------------------------------------------------------------------
# What students get


def _skeleton(tree: Tree, problem: Problem) -> Iterator[str]:
    try:
        generated = tree.skeleton
    except StubError as error:
        yield str(error)
        return
    concerned = {
        name: text
        for name, text in generated.items()
        if f"{problem.id}: write " in text or name in ("adapters.py", "answers.toml")
    }
    for name, text in concerned.items():
        if not tree.has(name) or tree.text(name) != text:
            yield f"{name} is not what {_REFERENCE}/ gives. Run `python -m grader.kit.stubs`, which writes it."


def _race(tree: Tree, problem: Problem) -> Iterator[str]:
    tables = [node for name in _RACES for node in ast.walk(tree.parsed(name)) if isinstance(node, ast.Dict)]
    if not any(isinstance(key, ast.Constant) and key.value == problem.id for table in tables for key in table.keys):
        yield (
            f"{' or '.join(_RACES)}: no race belongs to {problem.id}. Write a function that gives its races, and name "
            "it in the table RACES or TEXT_RACES."
        )
    row = rf"^\| `{problem.id}` \|.*\| {problem.points:g} \|"
    if not re.search(row, tree.text(_HANDOUT), re.MULTILINE):
        yield f"{_HANDOUT}, section Speed, has no row `{problem.id}` with {_points(problem.points)}. Add it."


def _handout(tree: Tree, rubric: Rubric, problem: Problem) -> Iterator[str]:
    text = tree.text(_HANDOUT)
    heading = f"`{problem.id}` {problem.title} ({_points(problem.points)})"
    found = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        yield f"{_HANDOUT} has no section '### {heading}'. Write what to build and why, in the rubric's order."
    elif (shown := _how_it_is_tested(problem)) not in found[1]:
        yield f"{_HANDOUT}, section {problem.id}, does not say '{shown}': how this problem is tested."
    total = sum(other.points for other in rubric.problems if other.section in rubric.base_sections)
    if problem.section in rubric.base_sections and f"together there are {total:g}." not in " ".join(text.split()):
        yield (
            f"{_HANDOUT} does not say 'together there are {total:g}.', which is what the rubric's base sections hold "
            f"with {problem.id}. They stand for the public handout: a problem that it lacks goes into another section."
        )


def _how_it_is_tested(problem: Problem) -> str:
    if problem.kind is ProblemKind.CODE:
        return f"pytest tests/test_{problem.id}.py"
    if problem.kind is ProblemKind.MANUAL:
        return "A person judges"
    return f"python -m grader --problem {problem.id}"


def _points(number: float) -> str:
    return f"{number:g} point{'' if number == 1 else 's'}"


def main(arguments: list[str] | None = None, kit: Path = KIT) -> int:
    """Run the command line: 0 when nothing is missing, 1 when something is."""
    parser = argparse.ArgumentParser(
        prog="python -m grader.selftest.complete", description="Say what is still missing of a problem, and where."
    )
    parser.add_argument("problems", nargs="*", metavar="ID", help="these problems only (default: all of the rubric)")
    options = parser.parse_args(arguments)
    try:
        problems = options.problems or [problem.id for problem in load_rubric(kit / _RUBRIC).problems]
    except RubricError as error:
        print(error, file=sys.stderr)
        return 1
    tree = Tree(kit)
    found = {problem: missing(tree, problem) for problem in problems}
    for problem, sentences in found.items():
        if sentences:
            print(f"{problem}:")
            print(*(f"  {number}. {sentence}" for number, sentence in enumerate(sentences, start=1)), sep="\n")
    complete = sum(not sentences for sentences in found.values())
    print(f"{complete} of {len(found)} problems are complete.")
    return int(complete < len(found))


if __name__ == "__main__":
    sys.exit(main())
