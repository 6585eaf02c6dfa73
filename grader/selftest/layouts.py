"""Submissions for tests: made from the reference in the layouts in which real ones come, or written on the spot."""

from __future__ import annotations

import ast
import shutil
import signal
import textwrap
from collections.abc import Mapping
from pathlib import Path

from grader.kit.paths import KIT, REFERENCE
from grader.worker.operation_table import OWN_ADAPTERS


def public_layout(root: Path) -> Path:
    """The reference as a solution of the public assignment: a package, and `tests/adapters.py` that imports it."""
    ignored = shutil.ignore_patterns("__pycache__", "adapters.py")
    shutil.copytree(REFERENCE, root / "cs336_basics", ignore=ignored)
    (root / "tests").mkdir()
    shutil.copy(KIT / "adapters.py", root / "tests" / "adapters.py")
    return root


def public_solution(root: Path) -> Path:
    """A right solution of the public assignment, as people have them: none of the adapters that this kit adds.

    A package `cs336_basics`, a `pyproject.toml`, and a package `tests` whose adapters import a neighbour relatively.
    """
    public_layout(root)
    adapters = root / "tests" / "adapters.py"
    adapters.write_text(
        f"from .common import FIXTURES_PATH\n{without_own_adapters(adapters.read_text('utf-8'))}", "utf-8"
    )
    return written(
        root,
        {
            "pyproject.toml": """
                [project]
                name = "cs336_basics"
                version = "1.0.3"
                requires-python = ">=3.11"

                [tool.pytest.ini_options]
                testpaths = ["tests"]
            """,
            "tests/__init__.py": "",
            "tests/common.py": """
                from pathlib import Path

                FIXTURES_PATH = Path(__file__).parent / "fixtures"
            """,
        },
    )


def with_rope_in_halves(root: Path) -> Path:
    """A public solution in which RoPE turns feature k with feature k + d_k/2, where neighbours belong together."""
    path = root / "cs336_basics" / "rope.py"
    source = path.read_text("utf-8")
    changed = source.replace(
        "        return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)\n",
        "        halves = torch.complex(*x.to(precision).chunk(2, dim=-1))\n"
        "        return torch.cat(((halves * turns).real, (halves * turns).imag), dim=-1).to(x.dtype)\n",
    )
    assert changed != source
    path.write_text(changed, "utf-8")
    return root


def without_own_adapters(source: str) -> str:
    """An adapters module with those functions only that the public assignment has, too."""
    lines = source.splitlines(keepends=True)
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.FunctionDef) and node.name in OWN_ADAPTERS:
            del lines[node.lineno - 1 : node.end_lineno]
    return "".join(lines)


def written(folder: Path, sources: str | Mapping[str, str]) -> Path:
    """A submission of these files in a folder; a single text is its adapters.py."""
    for name, source in ({"adapters.py": sources} if isinstance(sources, str) else sources).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source).lstrip("\n"), "utf-8")
    return folder


def marked(folder: Path, mark: str = "# here") -> str:
    """`file:line` of the one line below a folder that ends with this mark."""
    (place,) = (
        f"{path.relative_to(folder).as_posix()}:{number}"
        for path in sorted(folder.rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if line.endswith(mark)
    )
    return place


def with_bug(root: Path, *misconceptions: str) -> Path:
    """The reference with misconceptions planted, as a submission of its own."""
    ignored = shutil.ignore_patterns("__pycache__")
    for package in ("reference", "misconceptions"):
        shutil.copytree(KIT / "grader" / package, root / "grader" / package, ignore=ignored)
    (root / "adapters.py").write_text(
        "from grader.misconceptions.catalogue import load_catalogue\n"
        f"planted = [bug.planted() for bug in load_catalogue() if bug.id in {misconceptions!r}]\n"
        f"assert len(planted) == {len(misconceptions)}\n"
        "for bug in planted:\n"
        "    bug.__enter__()\n"
        "from grader.reference.adapters import *\n",
        "utf-8",
    )
    return root


def copy_of_kit(folder: Path) -> Path:
    """A copy of the kit that a test may damage."""
    ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache")
    return Path(shutil.copytree(KIT, folder / "kit", ignore=ignored))


def hears_signals() -> None:
    """For `preexec_fn`: the process hears Ctrl-C and hang-ups, also where `nohup` or a shell's `&` began this one."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
