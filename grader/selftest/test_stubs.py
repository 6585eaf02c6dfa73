"""The generated skeleton is what a student should get, and the generator says so when it cannot make it."""

import ast
import importlib
import inspect
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from grader.kit.paths import KIT
from grader.kit.stubs import StubError, main, skeleton, stub_module, student_adapters

REFERENCE = '''\
"""A module of the reference."""

import math
import os.path
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from functools import (
    cache,
    partial,
)

import regex as re

# Why this constant is public.
PATTERN = re.compile(
    r"a|b",  # kept as it is written
)
_SECRET = math.pi


def _private(x: int) -> int:
    return x


TABLE: dict[str, int] = {"a": 1}
_also_secret, _too = 3, 4


# A comment on the function.
@cache
def public(
    x: int,  # a comment on the parameter
    *,
    f: Callable[[int], int] | None = None,
) -> Iterator[int]:
    """Count up to `x`.

    Problem: counting
    """

    # This must not be handed out.
    @partial
    def inner() -> Iterable[int]:
        return range(_private(x))

    yield from inner()


class Shape:
    """A shape.

    Problem: shapes
    """

    sides: int = 3
    _cache: dict[str, int]

    # A comment on the constructor.
    def __init__(self, sides: int) -> None:
        # A comment on its body.
        self.sides = sides

    def _hidden(self) -> int:
        return self.sides

    @property
    def area(self) -> float:
        """The area."""
        return math.sqrt(self._hidden())

    @classmethod
    def with_an_exceedingly_long_name_for_a_method_of_a_class(cls, points: Sequence[int]) -> "Shape":
        """Make one.

        Problem: shapes_of_another_problem
        """
        return cls(len(points))


class _Private(Shape):
    pass


def last() -> MutableMapping[str, MutableSequence[Mapping[str, Iterable[Callable[[int], Iterator[int]]]]]]:
    """Nothing.

    Problem: last
    """
    return {}
'''

SKELETON = '''\
"""A module of the reference."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from functools import cache

import regex as re

# Why this constant is public.
PATTERN = re.compile(
    r"a|b",  # kept as it is written
)


TABLE: dict[str, int] = {"a": 1}


# A comment on the function.
@cache
def public(
    x: int,  # a comment on the parameter
    *,
    f: Callable[[int], int] | None = None,
) -> Iterator[int]:
    """Count up to `x`.

    Problem: counting
    """
    raise NotImplementedError("counting: write public in cs336_basics/sample.py")


class Shape:
    """A shape.

    Problem: shapes
    """

    sides: int = 3

    # A comment on the constructor.
    def __init__(self, sides: int) -> None:
        raise NotImplementedError("shapes: write Shape.__init__ in cs336_basics/sample.py")

    @property
    def area(self) -> float:
        """The area."""
        raise NotImplementedError("shapes: write Shape.area in cs336_basics/sample.py")

    @classmethod
    def with_an_exceedingly_long_name_for_a_method_of_a_class(cls, points: Sequence[int]) -> "Shape":
        """Make one.

        Problem: shapes_of_another_problem
        """
        raise NotImplementedError(
            "shapes_of_another_problem: write Shape.with_an_exceedingly_long_name_for_a_method_of_a_class "
            "in cs336_basics/sample.py"
        )


def last() -> MutableMapping[str, MutableSequence[Mapping[str, Iterable[Callable[[int], Iterator[int]]]]]]:
    """Nothing.

    Problem: last
    """
    raise NotImplementedError("last: write last in cs336_basics/sample.py")
'''


def test_what_is_public_stays_as_it_was_written() -> None:
    assert stub_module(REFERENCE, "sample.py") == SKELETON


def test_a_long_import_that_loses_a_name_is_laid_out_again() -> None:
    names = [f"a_name_to_be_imported_{i}" for i in range(6)]
    statement = "from .elsewhere import (\n" + "".join(f"    {name},\n" for name in names) + ")\n"
    constants = "".join(f"{name.upper()} = {name}\n" for name in names[:-1])
    stub = stub_module(f'"""Doc."""\n\n{statement}\n{constants}', "sample.py")
    assert stub == f'"""Doc."""\n\n{statement}\n{constants}'.replace(f"    {names[-1]},\n", "")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("X = 1\n", "no docstring"),
        ('"""Doc."""\n\n\ndef f():\n    return 1\n', "sample.py:4: f has no docstring"),
        ('"""Doc."""\n\n\ndef f():\n    """Doc."""\n', "sample.py:4: f belongs to no problem"),
        ('"""Doc."""\n\n\nclass A:\n    """Doc."""\n', "sample.py:4: A belongs to no problem"),
        (
            '"""Doc."""\n\n\nclass A:\n    """Doc.\n\n    Problem: a\n    """\n\n    def f(self): ...\n',
            "sample.py:10: A.f has no docstring",
        ),
        ('"""Doc."""\n\n_X = 1\nY = _X\n', "_X is private"),
        ('"""See _f."""\n\n\ndef _f(): ...\n', "_f is private"),
        ('"""Doc."""\n\n_X, Y = 1, 2\n', "_X is private"),
        ('"""Doc."""\n\nif True:\n    X = 1\n', "sample.py:3: a skeleton is cut from"),
    ],
)
def test_what_cannot_be_cut_is_reported_with_its_place(source: str, message: str) -> None:
    with pytest.raises(StubError, match=message):
        stub_module(source, "sample.py")


def test_adapters_import_from_the_students_package() -> None:
    source = '"""From .here."""\n\nfrom os import path\n\n\ndef f():\n    from .rope import X\n\n    return X\n'
    assert student_adapters(source) == source.replace("    from .rope", "    from cs336_basics.rope")


# ------------------------------------------------------------------------------------------------------------
# The skeleton of this kit


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the skeleton as it would be generated now."""
    folder = tmp_path_factory.mktemp("handed_out")
    for name, text in skeleton().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_committed_skeleton_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--check"])
    assert (capsys.readouterr().out, status) == ("", 0)


def test_the_skeleton_satisfies_the_formatter_and_the_linter(handed_out: Path) -> None:
    pytest.importorskip("ruff")
    sample = handed_out / "cs336_basics" / "sample.py"
    for arguments in (["format", "--check"], ["check"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--no-cache", "--config", "pyproject.toml"]
        sample.write_text(SKELETON)
        result = subprocess.run([*command, str(handed_out)], capture_output=True, text=True, cwd=KIT)
        sample.unlink()
        assert result.returncode == 0, result.stdout + result.stderr


def test_a_body_is_a_docstring_and_a_raise_and_nothing_is_private(handed_out: Path) -> None:
    for path in (handed_out / "cs336_basics").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                documented = ast.get_docstring(node) is not None
                assert [type(statement) for statement in node.body[documented:]] == [ast.Raise]
                assert node.name.endswith("__") or not node.name.startswith("_")


def stubs_in(module: ModuleType) -> Iterator[Any]:
    """Every function and method that a module of the skeleton defines, also behind a property."""
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef):
            yield getattr(module, node.name)
        elif isinstance(node, ast.ClassDef):
            names = [member.name for member in node.body if isinstance(member, ast.FunctionDef)]
            for method in map(vars(getattr(module, node.name)).get, names):
                yield method.fget if isinstance(method, property) else getattr(method, "__func__", method)


def test_every_stub_imports_and_raises_not_implemented(handed_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Under another name, as `cs336_basics` may have been imported by other tests.
    package = handed_out / "skeleton_under_test"
    shutil.copytree(handed_out / "cs336_basics", package)
    monkeypatch.syspath_prepend(handed_out)
    for path in sorted(package.rglob("[a-z]*.py")):
        place = path.relative_to(package)
        module = importlib.import_module(".".join([package.name, *place.with_suffix("").parts]))
        for stub in stubs_in(module):
            parameters = inspect.signature(stub).parameters.values()
            positional = [None for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
            keywords = {p.name: None for p in parameters if p.kind == p.KEYWORD_ONLY}
            with pytest.raises(NotImplementedError, match=f": write .* in cs336_basics/{place.as_posix()}$"):
                stub(*positional, **keywords)


# ------------------------------------------------------------------------------------------------------------
# The command


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """A kit with one module."""
    (tmp_path / "grader/reference").mkdir(parents=True)
    for name, text in {"__init__.py": "", "adapters.py": '"""Glue."""\n', "sample.py": REFERENCE}.items():
        (tmp_path / "grader/reference" / name).write_text(text)
    return tmp_path


def test_the_command_writes_and_then_finds_no_drift(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"], kit) == 1
    assert main([], kit) == 0
    assert (kit / "cs336_basics/sample.py").read_text() == SKELETON
    assert (kit / "adapters.py").read_text() == '"""Glue."""\n'
    capsys.readouterr()
    assert main(["--check"], kit) == 0
    assert capsys.readouterr().out == ""


def test_the_check_names_what_drifted_and_writes_nothing(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([], kit)
    drifted = kit / "cs336_basics/sample.py"
    drifted.write_text("edited")
    (kit / "cs336_basics/renamed_away.py").write_text("")
    capsys.readouterr()
    assert main(["--check"], kit) == 1
    output = capsys.readouterr().out
    assert "cs336_basics/sample.py differs" in output
    assert "cs336_basics/renamed_away.py has no counterpart" in output
    assert "adapters.py" not in output
    assert drifted.read_text() == "edited"


def test_a_copy_without_the_reference_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], tmp_path) == 1
    assert "only a staff copy" in capsys.readouterr().err


def test_the_generator_does_not_import_what_it_reads() -> None:
    code = "import sys, grader.kit.stubs; grader.kit.stubs.skeleton(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=KIT).returncode == 0
