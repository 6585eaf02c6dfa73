"""Stored cases for everyone, fresh cases for those who have the reference."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from ..kit.paths import FIXTURES, TESTS
from ..worker import wire
from .assets import Asset, FixtureError, Recipe, is_table, load
from .case import Case, Draw, Oracle, named_in, truth
from .compare import Tolerance

CASES = FIXTURES / "cases"
_ASSET = "$asset"
_RECIPE = "$recipe"


def stored_cases(problem: str) -> list[Case]:
    """The cases in `tests/fixtures/cases/<problem>.msgpack`, drawn from seed 0.

    Raises:
        FixtureError: when the file is missing or damaged.
    """
    path = CASES / f"{problem}.msgpack"
    try:
        records = wire.decode(path.read_bytes())
        return [_from_record(record) for record in records]
    except OSError as error:
        if has_generators():
            _refuse_without_generator(problem)
        anew = f"write it with `python -m grader.fixtures cases --problem {problem}`, or " * has_generators()
        raise FixtureError(
            f"tests/fixtures/cases/{path.name} cannot be read ({error.strerror}); {anew}restore it with `git checkout "
            "tests/fixtures`."
        ) from error
    except (wire.WireError, KeyError, TypeError) as error:
        raise FixtureError(
            f"tests/fixtures/cases/{path.name} is damaged ({error}); restore it with `git checkout tests/fixtures`."
        ) from error


def fresh_cases(problem: str, seed: int, oracle: Oracle) -> list[Case]:
    """The same cases with inputs from another seed; what the reference expects is computed when first asked for."""
    return [_answered(case, oracle) for case in draw_cases(problem, seed)]


def draw_cases(problem: str, seed: int) -> Iterator[Case]:
    """Run a problem's generator.

    Raises:
        FixtureError: when it has none.
    """
    _refuse_without_generator(problem)
    generator = importlib.import_module(f"{__package__}.generators.{problem}")
    return generator.generate(Draw(seed, problem))


def has_generators() -> bool:
    """Whether this copy of the kit can draw cases at all (a student's cannot)."""
    return importlib.util.find_spec(f"{__package__}.generators") is not None


def asks_for_cases(problem: str) -> bool:
    """Whether a claim of the problem is made for each of its cases."""
    tests = TESTS / f"test_{problem}.py"
    return tests.is_file() and "pytest.mark.cases" in tests.read_text("utf-8")


def _refuse_without_generator(problem: str) -> None:
    if problem not in problems_with_cases():
        raise FixtureError(
            f"grader/cases/generators/{problem}.py is missing, which draws the cases for which tests/test_{problem}.py "
            "asks. Write it, or restore it with `git checkout grader`."
        )


def problems_with_cases() -> list[str]:
    """Ids of the problems that have a generator."""
    folder = Path(__file__).with_name("generators")
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def write_all(folder: Path, oracle: Oracle, problems: Sequence[str] | None = None) -> list[Path]:
    """Draw the cases of every problem, or of these, from seed 0 and store them below `folder`; gives the files.

    Raises:
        FixtureError: for a problem whose tests ask for cases while nothing draws them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for problem in problems_with_cases() if problems is None else problems:
        if not asks_for_cases(problem):
            continue
        path = folder / f"{problem}.msgpack"
        kept = [case for case in draw_cases(problem, 0) if case.stored]
        path.write_bytes(wire.encode([_to_record(case, oracle) for case in kept]))
        written.append(path)
    return written


class _Given:
    """Inputs of which some are still to be drawn, by their recipes: once, when they are first asked for."""

    def __init__(self, unresolved: dict[str, Any]) -> None:
        self.unresolved = unresolved

    @functools.cached_property
    def resolved(self) -> dict[str, Any]:
        return _resolve(self.unresolved)


class _DrawnLate(Case):
    """A case that is made with a `_Given` for inputs: nobody asks for those of what is still to be written."""

    @property
    def inputs(self) -> dict[str, Any]:
        return self.__dict__["given"].resolved

    @inputs.setter
    def inputs(self, given: Any) -> None:
        self.__dict__["given"] = given

    @property
    def about(self) -> tuple[str, ...]:
        return named_in(self.__dict__["given"].unresolved)


def _answered(case: Case, oracle: Oracle) -> Case:
    given = _Given(case.inputs)
    resolved = _with_inputs(case, given, fresh=True)
    answer = functools.cache(lambda: truth(oracle, resolved))
    others = functools.cache(lambda: [truth(peer, resolved) for peer in case.peers])
    return _with_inputs(case, given, fresh=True, answer=answer, other_answers=others)


def _with_inputs(case: Case, given: _Given, **changes: Any) -> Case:
    fields = {
        "name": case.name,
        "operation": case.operation,
        "inputs": given,
        "group": case.group,
        "tolerance": case.tolerance,
        **changes,
    }
    return _DrawnLate(**fields)


def _to_record(case: Case, oracle: Oracle) -> dict[str, Any]:
    resolved = _with_inputs(case, _Given(case.inputs))
    record = {
        "name": case.name,
        "operation": case.operation,
        "inputs": _name_assets(case.inputs),
        "group": case.group,
        "tolerance": list(astuple(case.tolerance)),
        "expected": truth(oracle, resolved),
    }
    if case.peers:
        record["also_right"] = [truth(peer, resolved) for peer in case.peers]
    return record


def _from_record(record: dict[str, Any]) -> Case:
    expected, others = record["expected"], record.get("also_right", [])
    return _DrawnLate(
        name=record["name"],
        operation=record["operation"],
        inputs=_Given(_find_assets(record["inputs"])),  # type: ignore[arg-type]
        group=record["group"],
        tolerance=Tolerance(*record["tolerance"]),
        answer=lambda: expected,
        other_answers=lambda: others,
    )


def _resolve(value: Any) -> Any:
    """Replace assets and recipes by what they stand for."""
    if is_table(value):
        return value
    if isinstance(value, Asset):
        return load(value.name)
    if isinstance(value, Recipe):
        return value.tensor()
    if isinstance(value, dict):
        return {key: _resolve(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_resolve(item) for item in value)
    return value


def _name_assets(value: Any) -> Any:
    if isinstance(value, Asset):
        return {_ASSET: value.name}
    if isinstance(value, Recipe):
        return {_RECIPE: [list(value.shape), value.scale, value.key]}
    if isinstance(value, dict):
        return {key: _name_assets(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_name_assets(item) for item in value)
    return value


def _find_assets(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {_ASSET}:
            return load(value[_ASSET])  # at once: what cannot be read is known before any test runs
        if set(value) == {_RECIPE}:
            shape, scale, key = value[_RECIPE]
            return Recipe(tuple(shape), scale, key)
        return {key: _find_assets(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_find_assets(item) for item in value)
    return value
