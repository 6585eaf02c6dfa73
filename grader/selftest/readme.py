"""Run every command that the README shows, in a copy of the kit, and stop at the first that fails.

    python -m grader.selftest.readme [FILE.md ...]

Commands are the lines of ```sh blocks. Those that `.ci/run` runs itself are not repeated.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from grader.selftest.layouts import public_layout

KIT = Path(__file__).resolve().parents[2]


def commands(markdown: str) -> list[str]:
    """The commands of all ```sh blocks, without comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    lines = (re.sub(r"\s+#.*", "", line).strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def already_run() -> set[str]:
    """The commands of `.ci/run`."""
    return set((KIT / ".ci" / "run").read_text("utf-8").splitlines())


def main(arguments: Sequence[str]) -> int:
    """Run them; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache")
        copy = Path(shutil.copytree(KIT, Path(folder, "kit"), ignore=ignored))
        (copy / ".venv").symlink_to(KIT / ".venv")
        theirs = public_layout(Path(folder, "their-solution"))
        shutil.make_archive(str(theirs), "zip", theirs)
        environment = {
            **os.environ,
            "PATH": f"{copy / '.venv' / 'bin'}:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(copy / ".venv"),
        }
        for name in arguments or ["README.md"]:
            for command in commands((KIT / name).read_text("utf-8")):
                if command in already_run():
                    continue
                start = time.monotonic()
                result = subprocess.run(
                    ["bash", "-c", command], cwd=copy, env=environment, capture_output=True, text=True, check=False
                )
                print(f"{time.monotonic() - start:6.1f} s  {command}")
                if result.returncode:
                    print(f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}", file=sys.stderr)
                    return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
