"""Which room of `grader/` may import which. Imports go down only; those inside functions count, too."""

from __future__ import annotations

import ast
import collections
import functools
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from grader.kit.paths import KIT

OPEN_TO_ALL = ("errors", "escape", "kit.paths")
"""But not to what runs beside a submission, or is compared with it: see `APART`."""

APART = ("worker", "reference", "kernels")

ROOMS = {
    # From the bottom up: a room may import what is named beside it, and nothing that stands below it in this table.
    "worker": "",
    "reference": "",
    "kernels": "",
    "misconceptions": "reference",
    "scoring": "",
    "kit": "",
    "submission": "scoring worker",
    "cases": "scoring.outcome worker.wire",
    "cases.generators": "cases submission reference",
    "checks": "cases submission",
    "artifacts": "cases submission",
    "rules": "scoring submission worker",
    "wall": "cases.compare submission worker",
    "diagnosis": "artifacts cases misconceptions reference scoring submission worker.wire",
    "examination": "artifacts cases cases.generators diagnosis reference rules scoring submission wall worker",
    "trials": "cases.assets cases.hunt_table diagnosis examination misconceptions reference scoring submission",
    "fixtures": "cases cases.generators diagnosis reference scoring submission trials",
    "performance": "cases examination kernels scoring submission wall worker",
    "streams": "",
    "signals": "",
    "report": "diagnosis rules scoring streams submission kit",
    "command_line": "kit report scoring streams",
    "guide": "cases.assets cases.hunt_table cases.store diagnosis examination kit report scoring submission wall",
    "grading": "examination performance report rules scoring submission wall worker",
    "watching": "examination grading guide report rules scoring submission wall worker",
    "staff": (
        "artifacts command_line grading kit report scoring signals streams submission "
        "wall.scratch worker.landlock worker.limits"
    ),
    "selftest": "",  # everything: see `LIMITED`
    "__main__": (
        "cases.store command_line grading guide kit report scoring selftest signals staff streams submission watching"
    ),
}
LIMITED = [room for room in ROOMS if room != "selftest"]


@functools.cache
def modules(grader: Path) -> dict[str, Path]:
    """Every module below `grader`, by its name without "grader."; golden submissions are data, and some are broken."""
    found = (path for path in grader.rglob("*.py") if "golden" not in path.parts or path.parent.name == "golden")
    files = {path.relative_to(grader).with_suffix(""): path for path in found}
    parts = {".".join(name.parts).removesuffix("__init__").rstrip("."): path for name, path in files.items()}
    return {name: path for name, path in parts.items() if name}


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imported(name: str, tree: ast.Module, packages: set[str]) -> Iterator[str]:
    """What a module of `grader` imports of `grader`, by name or as the argument of `import_module`."""
    here = name.split(".") if name in packages else name.split(".")[:-1]
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name[7:] for alias in node.names if alias.name.startswith("grader."))
            case ast.ImportFrom(level=0, module=str(module)) if module.split(".")[0] == "grader":
                yield from (f"{module}.{alias.name}"[7:] for alias in node.names)
            case ast.ImportFrom(level=level, module=module) if level:
                base = here[: len(here) - level + 1] + (module or "").split(".")
                yield from (".".join(filter(None, [*base, alias.name])) for alias in node.names)
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(module))]):
                yield module.removeprefix("grader.")


@functools.cache
def room_of(name: str) -> str:
    return next((room for room in sorted(ROOMS, key=len, reverse=True) if within(name, room)), "")


def is_allowed(what: str, allowed: Iterable[str]) -> bool:
    """A room within a room has to be named itself."""
    return any(within(what, part) and room_of(what) == room_of(part) for part in allowed)


def within(name: str, room: str) -> bool:
    return f"{name}.".startswith(f"{room}.")


def broken_rules(grader: Path) -> list[str]:
    """A line for each import that the table does not allow, and for each module that lies in no room."""
    packages = {".".join(path.parent.relative_to(grader).parts) for path in grader.rglob("__init__.py")}
    broken = []
    for name, path in modules(grader).items():
        room = room_of(name)
        if not room and name not in OPEN_TO_ALL:
            broken.append(f"grader.{name} lies in no room")
        if room not in LIMITED:
            continue
        allowed = (room, *ROOMS[room].split(), *(() if room in APART else OPEN_TO_ALL))
        wrong = {what for what in imported(name, parsed(path), packages) if not is_allowed(what, allowed)}
        broken += [f"grader.{name} may not import grader.{what}" for what in sorted(wrong)]
    return broken


def test_imports_go_down_only():
    assert broken_rules(KIT / "grader") == []


def test_the_table_names_rooms_from_the_bottom_up():
    order = [*OPEN_TO_ALL, *ROOMS]
    for room, may_import in ROOMS.items():
        for part in may_import.split():
            assert room_of(part) in order[: order.index(room)], f"{room} names {part}, which stands below it"


def test_every_room_says_what_it_is():
    for room in ROOMS:
        if (KIT / "grader" / room.replace(".", "/")).is_dir():
            init = KIT / "grader" / room.replace(".", "/") / "__init__.py"
            text = ast.get_docstring(ast.parse(init.read_text("utf-8")))
            assert text, f"{room} has no docstring"
            assert len(text.splitlines()) >= 3, f"{room}: what lives there, what it may import, where to start reading"


STAFFS_OWN = ("selftest", "misconceptions", "worker.stand_ins", "kernels")
"""Where names repeat on purpose: wrong variants and hostile code are called as what they stand for."""


def test_no_two_classes_have_one_name():
    classes: dict[str, list[str]] = collections.defaultdict(list)
    for name, path in modules(KIT / "grader").items():
        if not any(within(name, part) for part in STAFFS_OWN):
            for node in parsed(path).body:
                if isinstance(node, ast.ClassDef):
                    classes[node.name].append(name)
    assert {name: where for name, where in classes.items() if len(where) > 1} == {}


def test_no_two_files_have_one_name():
    """Drivers are called as the module of the reference whose objects they drive, generators as their problem."""
    mirrored = ("worker.drivers", "cases.generators")
    files: dict[str, list[str]] = collections.defaultdict(list)
    for name in modules(KIT / "grader"):
        if not any(within(name, part) for part in (*STAFFS_OWN, *mirrored)):
            files[name.rpartition(".")[2]].append(name)
    assert {
        name: where for name, where in files.items() if len(where) > 1 and name not in ("adapters", "__main__")
    } == {}


@pytest.mark.parametrize(
    ("module", "source", "what"),
    [
        ("scoring.points", "from ..wall.walled import WalledSubmission", "wall.walled.WalledSubmission"),
        ("worker.wire", "from grader.errors import Failed", "errors.Failed"),
        ("wall.walled", "def late():\n    import grader.examination.runner", "examination.runner"),
        ("report.html", "import importlib\nimportlib.import_module('grader.grading')", "grading"),
        ("cases.case", "from .generators import rope", "cases.generators.rope"),
        ("reference.rope", "from ..cases import case", "cases.case"),
    ],
)
def test_a_broken_rule_is_seen(tmp_path, module, source, what):
    path = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
    path.parent.mkdir()
    (path.parent / "__init__.py").touch()
    path.write_text(textwrap.dedent(source), "utf-8")
    assert broken_rules(tmp_path) == [f"grader.{module} may not import grader.{what}"]


def test_a_module_in_no_room_is_seen(tmp_path):
    (tmp_path / "helpers.py").touch()
    assert broken_rules(tmp_path) == ["grader.helpers lies in no room"]


def test_files_that_are_named_in_words_exist():
    """In docstrings, comments and texts; a name may begin at the root, at `grader/`, at a room or beside the file."""
    elsewhere = {
        "tests/adapters.py",
        "test_rope.py",
        "accounting.py",
        "__init__.py",
    }  # of a submission's, or any one of many
    readers = [
        *(KIT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
        *(KIT / "grader").rglob("*.py"),
    ]
    places = [KIT, KIT / "grader", *(KIT / "grader" / room for room in ("report", "selftest", "selftest/attacks"))]
    gone = [
        f"{path.relative_to(KIT)}: {name}"
        for path in readers
        if "attacks" not in path.parts and "honest" not in path.parts
        for name in re.findall(r"`((?:[\w.]+/)*\w+\.py)`", path.read_text("utf-8"))
        if name not in elsewhere
        if not any((folder / name).is_file() for folder in (*places, path.parent))
    ]
    assert gone == []
