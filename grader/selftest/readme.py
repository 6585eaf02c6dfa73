"""Run every command that README and HANDOUT show, in copies of the kit, and stop at the first that fails.

    python -m grader.selftest.readme [FILE.md ...]

Commands are the lines of ```sh blocks. Those that `.ci/run` runs itself, or in its tests, are not repeated. A word
after `sh` says why a block is not run: it takes `minutes`, or needs a `network` or a `gpu`; renderers ignore it.
HANDOUT speaks to those who write the skeleton's code: its commands run where that has been done.
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
from dataclasses import dataclass
from pathlib import Path

from grader.kit.paths import KIT, REFERENCE
from grader.selftest.layouts import public_solution

REASONS = ("minutes", "network", "gpu")
SOLVED = ("HANDOUT.md",)
"""Texts whose commands need the skeleton's code to be written."""


_COMMAND = r"(?:\$ )?(?:(?:python3?|pytest|uv|pip|make|git|bash|sh|curl|docker)\b(?! is\b)|\./)"

IN_TESTS = {
    "python -m grader grader/reference",
    "python -m grader ../their-solution --json result.json",
    ".venv/bin/python -m grader watch",
}
"""Whole grades, for which test_end_to_end.py asks in the same words, up to paths, to look at what they find; and what
goes on until a key is pressed, as test_watch.py does."""


@dataclass(frozen=True)
class Command:
    """One line of a ```sh block; reason: why it is not run, or "" where it is."""

    line: str
    reason: str


def all_commands(markdown: str) -> list[Command]:
    """The commands of all ```sh blocks, without comments.

    Raises:
        ValueError: a block gives a reason that there is none of.
    """
    found = []
    for reason, block in re.findall(r"^```sh *([^\n]*)\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL):
        if reason and reason not in REASONS:
            raise ValueError(f"```sh {reason}: a block is not run because of {', '.join(REASONS)}, and nothing else")
        lines = (re.sub(r"(?:^|\s+)#.*", "", line).strip() for line in block.splitlines())
        found += [Command(line, reason) for line in lines if line]
    return found


def unseen_commands(markdown: str) -> list[str]:
    """Lines that a reader would take for commands, in blocks that are not ```sh: nothing ever runs them."""
    seen = re.sub(r"^```sh\b.*?^```$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    fenced = [
        line
        for block in re.findall(r"^```.*?\n(.*?)^```$", seen, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    rest = re.sub(r"^```.*?^```$", "", seen, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^(?: {4,}|\t)(.*)$", rest, re.MULTILINE)
    return [line.strip() for line in (*fenced, *indented) if re.match(_COMMAND, line.strip())]


def already_run() -> set[str]:
    """The commands of `.ci/run`, and those of its tests."""
    return IN_TESTS | set((KIT / ".ci" / "run").read_text("utf-8").splitlines())


def copy_of_kit(folder: Path, *, solved: bool) -> Path:
    """A copy to run commands in, with the kit's own environment; solved: with the reference for the skeleton."""
    anywhere = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache")

    def ignored(where: str, names: list[str]) -> set[str]:
        here = {"data"} if Path(where) == KIT else set()
        results = {name for name in names if name != "README.md"} if Path(where) == KIT / "runs" else set()
        return {*anywhere(where, names), *here, *results}

    copy = Path(shutil.copytree(KIT, folder, ignore=ignored))
    (copy / ".venv").symlink_to(KIT / ".venv")
    if solved:
        for path in sorted(REFERENCE.rglob("*.py")):
            if path.name != "adapters.py":
                shutil.copy(path, copy / "cs336_basics" / path.relative_to(REFERENCE))
        shutil.copy(REFERENCE / "answers.toml", copy)
    return copy


def main(arguments: Sequence[str]) -> int:
    """Run them; returns the exit code."""
    done = already_run()
    with tempfile.TemporaryDirectory() as folder:
        theirs = public_solution(Path(folder, "their-solution"))
        shutil.make_archive(str(theirs), "zip", theirs)
        for name in arguments or ["README.md", *SOLVED]:
            copy = copy_of_kit(Path(folder, Path(name).stem), solved=name in SOLVED)
            environment = {
                **os.environ,
                "PATH": f"{copy / '.venv' / 'bin'}:{os.environ['PATH']}",
                "VIRTUAL_ENV": str(copy / ".venv"),
                "UV_NO_SYNC": "1",  # the environment is the kit's own, and stays as it is
            }
            for command in all_commands((KIT / name).read_text("utf-8")):
                if command.reason or command.line in done:
                    print(f"  not run  {command.line}  ({command.reason or 'ran before'})")
                    continue
                done.add(command.line)
                start = time.monotonic()
                result = subprocess.run(
                    ["bash", "-c", command.line],
                    cwd=copy,
                    env=environment,
                    stdin=subprocess.DEVNULL,  # whatever asks is told that nobody is there
                    capture_output=True,
                    text=True,
                    check=False,
                )
                print(f"{time.monotonic() - start:7.1f} s  {command.line}", flush=True)
                if result.returncode:
                    print(f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}", file=sys.stderr)
                    return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
