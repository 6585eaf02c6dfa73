"""Submissions made from the reference, in the layouts in which real ones come."""

from __future__ import annotations

import shutil
from pathlib import Path

KIT = Path(__file__).resolve().parents[2]


def public_layout(root: Path) -> Path:
    """The reference as a solution of the public assignment: a package, and `tests/adapters.py` that imports it."""
    ignored = shutil.ignore_patterns("__pycache__", "adapters.py")
    shutil.copytree(KIT / "grader" / "reference", root / "cs336_basics", ignore=ignored)
    (root / "tests").mkdir()
    shutil.copy(KIT / "adapters.py", root / "tests" / "adapters.py")
    return root


def with_bug(root: Path, misconception: str) -> Path:
    """The reference with a misconception planted, as a submission of its own."""
    ignored = shutil.ignore_patterns("__pycache__")
    for package in ("reference", "misconceptions"):
        shutil.copytree(KIT / "grader" / package, root / "grader" / package, ignore=ignored)
    (root / "adapters.py").write_text(
        "from grader.misconceptions.catalogue import load_catalogue\n"
        f"(bug,) = [bug for bug in load_catalogue() if bug.id == {misconception!r}]\n"
        "planted = bug.planted()\n"
        "planted.__enter__()\n"
        "from grader.reference.adapters import *\n",
        "utf-8",
    )
    return root
