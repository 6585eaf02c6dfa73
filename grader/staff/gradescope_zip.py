"""The archive that Gradescope runs as an autograder: the kit, a script that sets it up, and one that grades.

https://gradescope-autograders.readthedocs.io/en/latest/specs/: `setup.sh` runs once, when the image is built;
`run_autograder` for each submission, which lies in /autograder/submission; what it found goes to
/autograder/results/results.json.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement

from ..errors import Refused
from ..kit.handout import CONTENTS
from ..kit.paths import KIT

_LEFT_OUT = {"selftest", "staff"}
"""Below `grader/`: what no grade needs."""
_TIME = (1980, 1, 1, 0, 0, 0)  # the same kit gives the same archive
_EXECUTABLE, _PLAIN = 0o100755, 0o100644

CONTAINER = (
    "In the assignment's settings, choose a container of at least 2 CPUs and 4 GB (the default, half a CPU and 768 MB, "
    "is too small for PyTorch), Ubuntu 22.04 or later, and a time limit of 40 minutes."
)

_SETUP = """\
#!/usr/bin/env bash
# Runs once, when Gradescope builds the image.
set -euo pipefail
apt-get update
apt-get install -y --no-install-recommends bubblewrap python3-pip
python3 -m pip install --break-system-packages uv || python3 -m pip install uv
cd /autograder
uv venv --python {python} venv
uv pip install --python venv --torch-backend cpu --compile-bytecode -r source/requirements.txt
"""

_RUN = '''\
#!/autograder/venv/bin/python
"""Grade one submission; whatever happens, results.json says something."""

import json
import os
import subprocess
import sys
from pathlib import Path

root = Path(os.environ.get("AUTOGRADER_ROOT", "/autograder"))
results = root / "results" / "results.json"
results.parent.mkdir(exist_ok=True)
results.unlink(missing_ok=True)
options = {options!r}
command = [sys.executable, "-m", "grader", str(root / "submission"), "--no-gpu", "--gradescope", str(results), *options]
graded = subprocess.run(command, cwd=root / "source" / "kit", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
if not results.is_file():
    last = graded.stderr.decode("utf-8", "replace").strip().rpartition("\\n")[2] or "the grader said nothing."
    says = {{"score": 0.0, "output": f"This could not be graded. {{last}}", "output_format": "text", "tests": []}}
    results.write_text(json.dumps(says))
'''


def write_gradescope_zip(target: Path, options: Iterable[str] = (), course: Path | None = None) -> int:
    """Write the archive; gives the number of files in it.

    Args:
        options: of a grade, such as `--section model`.
        course: what the course has differently; it goes along.

    Raises:
        Refused: it cannot be written there.
    """
    version = platform.python_version_tuple()
    scripts = {
        "setup.sh": _SETUP.format(python=f"{version[0]}.{version[1]}"),
        "run_autograder": _RUN.format(options=[*options, *(["--course", "../course.toml"] if course else [])]),
    }
    count = 0
    try:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in scripts.items():
                _add(archive, name, text.encode(), _EXECUTABLE)
            _add(archive, "requirements.txt", requirements().encode(), _PLAIN)
            if course:
                _add(archive, "course.toml", course.read_bytes(), _PLAIN)
            for path in _files_of_the_kit():
                _add(archive, f"kit/{path.relative_to(KIT).as_posix()}", path.read_bytes(), _PLAIN)
            count = len(archive.namelist())
    except OSError as error:
        raise Refused(f"{target} cannot be written: {error.strerror}.") from error
    return count


def _add(archive: zipfile.ZipFile, name: str, content: bytes, mode: int) -> None:
    member = zipfile.ZipInfo(name, _TIME)
    member.external_attr = mode << 16
    member.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(member, content)


def _files_of_the_kit() -> Iterator[Path]:
    for name in CONTENTS:
        path = KIT / name
        if path.is_file():
            yield path
        for folder, folders, files in os.walk(path):
            here = Path(folder)
            within = here.relative_to(KIT / "grader") if here.is_relative_to(KIT / "grader") else None
            folders[:] = sorted(f for f in folders if f != "__pycache__" and not (within == Path() and f in _LEFT_OUT))
            yield from (here / file for file in sorted(files) if not file.endswith(".pyc"))


def requirements() -> str:
    """What the kit needs, each at the version that is installed here: Gradescope grades as this machine does."""
    project = tomllib.loads((KIT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = []
    for text in project["dependencies"]:
        wanted = Requirement(text)
        if wanted.marker and not wanted.marker.evaluate():
            continue
        try:
            version = importlib.metadata.version(wanted.name).partition("+")[0]  # a CPU's torch is 2.13.0+cpu
        except importlib.metadata.PackageNotFoundError as error:
            raise Refused(f"{wanted.name} is not installed here; make setup installs what the kit needs.") from error
        lines.append(f"{wanted.name}=={version}")
    return "\n".join(sorted(set(lines))) + "\n"
