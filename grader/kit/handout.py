"""Write the copy of the kit that students get."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from ..errors import Refused
from .paths import KIT, REFERENCE

CONTENTS = (
    "README.md", "README.zh-CN.md", "HANDOUT.md", "LICENSE", "Makefile", "pyproject.toml",
    ".gitignore", ".gitattributes", ".editorconfig", "adapters.py", "answers.toml", "runs/README.md", "docs/report.md",
    "docs/pictures", "docs/course.md", "docs/cluster.md", "docs/leaderboard.md", "configs", "cs336_basics", "tests",
    "grader",
)  # fmt: skip
"""What students get, as far as it exists."""

STAFF_ONLY = (
    *("reference", "misconceptions", "selftest", "cases/generators", "fixtures", "kit/stubs.py", "kit/assistants.md"),
    *("kernels", "performance", "trials", "artifacts/measurement.py", "diagnosis/algorithms", "diagnosis/hypotheses"),
    "staff",
)
"""Below `grader/`: what would give solutions or hidden inputs away, or is of no use without them."""

PACKAGE = "cs336_basics"
"""The students' package, unless a course calls it something else."""

_NAMED_IN = (".md", ".toml", ".svg", "Makefile", ".gitignore", ".gitattributes")
"""How the files end that name the package, but for its modules and the adapters, which are generated."""

ASSISTANTS = KIT / "grader" / "kit" / "assistants.md"
"""What a coding assistant may do for a student, and what not."""

_FOR_ASSISTANTS = {
    "AGENTS.md": None,
    "CLAUDE.md": "Read AGENTS.md in this folder first, and keep to it.\n\n@AGENTS.md\n",
}
"""The files in which assistants look for it; None: the text itself."""


class HandoutError(Refused):
    """The copy cannot be written there."""


def write_handout(folder: Path, assistants: bool = True, package: str = PACKAGE) -> int:
    """Copy the skeleton, the tests and the grader to `folder`; gives the number of files.

    Args:
        assistants: whether to tell coding assistants what they may do here.
        package: what the students' package is called; stubs, adapters and texts have that name.

    Raises:
        HandoutError: when the folder has something in it, or lies inside the kit; when the package cannot be called so.
    """
    folder = folder.resolve()
    if package != PACKAGE:
        _check_name(package)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HandoutError(f"{folder} is not empty; name a folder that does not exist yet.")
    if folder.is_relative_to(KIT):
        raise HandoutError(f"{folder} lies inside the kit; name a folder outside of it.")
    for name in CONTENTS:
        source = KIT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=_left_out)
        elif source.exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    for name, text in _FOR_ASSISTANTS.items() if assistants else ():
        (folder / name).write_text(text or ASSISTANTS.read_text("utf-8"), "utf-8")
    if package != PACKAGE:
        _rename(folder, package)
    return sum(path.is_file() for path in folder.rglob("*"))


def _check_name(package: str) -> None:
    """Refuse a name that something else would be imported by."""
    if not REFERENCE.is_dir():
        raise HandoutError("another name for the package needs the staff's copy of the kit, which generates the stubs.")
    if (KIT / package).exists() or (KIT / f"{package}.py").exists() or importlib.util.find_spec(package) is not None:
        raise HandoutError(f"the package cannot be called {package}: there is something else of that name.")


def _rename(folder: Path, package: str) -> None:
    """Give the students' package another name, wherever the copy has the first one."""
    from .stubs import renamed, skeleton

    shutil.rmtree(folder / PACKAGE)
    for name, text in skeleton(package=package).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8", newline="\n")
    for path in folder.rglob("*"):
        if path.is_file() and path.name.endswith(_NAMED_IN) and not path.is_relative_to(folder / "tests"):
            text = path.read_text("utf-8")
            if (changed := renamed(text, package)) != text:
                path.write_text(changed, "utf-8", newline="\n")


def _left_out(folder: str, names: list[str]) -> set[str]:
    """Staff-only parts and by-products among the entries of one folder."""
    staff_only = {KIT / "grader" / path for path in STAFF_ONLY}
    return {
        name for name in names if name == "__pycache__" or name.endswith(".pyc") or Path(folder, name) in staff_only
    }
