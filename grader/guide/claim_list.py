"""The claims of a problem, read from its test file without running or importing anything."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ..kit.paths import TESTS
from ..scoring.outcome import Tier
from ..scoring.rubric import Problem


@dataclass(frozen=True)
class ListedClaim:
    """One test function as a reader sees it.

    name: `test_pairs_are_neighbours`; title: the first line of its docstring; asked: where the assignment asks for it;
    own_adapter: whether it needs an adapter that only this kit defines; points: what it is worth by itself.
    """

    name: str
    title: str
    tier: Tier
    asked: str
    own_adapter: bool
    points: float = 0.0


def claims_of(problem: Problem) -> tuple[ListedClaim, ...]:
    """The claims of a problem in the order of its test file; none where it has no tests."""
    path = TESTS / f"test_{problem.id}.py"
    if not path.is_file():
        return ()
    tree = ast.parse(path.read_text("utf-8"))
    of_all = {mark for node in tree.body if isinstance(node, ast.Assign) for mark in _marks_of_all(node)}
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    claims = [_claim(function, of_all) for function in functions]
    return tuple(_priced(claims, problem))


def _marks_of_all(assignment: ast.Assign) -> Iterator[str]:
    """The marks that a file gives to all of its tests: `pytestmark = pytest.mark.own_adapter`, or a list of such."""
    if [target.id for target in assignment.targets if isinstance(target, ast.Name)] == ["pytestmark"]:
        value = assignment.value
        for mark in value.elts if isinstance(value, (ast.List, ast.Tuple)) else [value]:
            yield _mark(mark)


def _claim(function: ast.FunctionDef, of_all: Collection[str]) -> ListedClaim:
    lines = [line.strip() for line in (ast.get_docstring(function) or function.name).splitlines()]
    asked = next((line.removeprefix("Asked:").strip() for line in lines if line.startswith("Asked:")), "")
    marks = {*of_all, *map(_mark, function.decorator_list)}
    tier = next((tier for tier in (Tier.ADVICE, Tier.EDGE) if tier in marks), Tier.CORE)
    return ListedClaim(function.name, lines[0], tier, asked, "own_adapter" in marks)


def _mark(decorator: ast.expr) -> str:
    """`edge` of `@pytest.mark.edge` and of `@pytest.mark.edge(...)`."""
    match decorator.func if isinstance(decorator, ast.Call) else decorator:
        case ast.Attribute(value=ast.Attribute(attr="mark"), attr=name):
            return name
    return ""


def _priced(claims: Sequence[ListedClaim], problem: Problem) -> Iterator[ListedClaim]:
    """With points: claims of a tier share what that tier carries, as `scoring.points` has it."""
    counted = {tier: sum(claim.tier is tier for claim in claims) for tier in (Tier.CORE, Tier.EDGE)}
    shares = {Tier.CORE: problem.core_share, Tier.EDGE: 1 - problem.core_share}
    if not all(counted.values()):
        shares = dict.fromkeys(shares, 1.0)
    for claim in claims:
        share = shares[claim.tier] / counted[claim.tier] if claim.tier in shares else 0.0
        yield ListedClaim(claim.name, claim.title, claim.tier, claim.asked, claim.own_adapter, problem.points * share)
