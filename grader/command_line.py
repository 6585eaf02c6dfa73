"""What the command line's commands share: how they parse, what they refuse before they begin, how they write files."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

GRADED, BELOW, REFUSED, FAILED, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes."""


def make_parser(command: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """A parser of one command, whose texts are laid out by hand. `command`: "" or " batch", with the space."""
    return argparse.ArgumentParser(
        f"python -m grader{command}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def refuse_here() -> None:
    """Refuse what starts a submission on a system that has no wall, before importing what would build one."""
    from .errors import Refused
    from .kit.systems import why_not_on

    if sentence := why_not_on(sys.platform):
        raise Refused(sentence)


def add_course(parser: argparse.ArgumentParser) -> None:
    """Let a command take what a course has differently."""
    parser.add_argument(
        "--course",
        type=Path,
        metavar="FILE",
        help="what a course has differently: points, problems left out, policy, visibility (docs/course.md)",
    )


def a_path(text: str) -> str:
    """The name of a file or folder, as an argument's `type`. An empty one, as an unset variable of a shell gives, would
    mean this folder, or no file at all, and neither is what was meant."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty; is a variable not set?")
    return text


def check_targets(targets: Mapping[str, str | None]) -> None:
    """Refuse places that cannot take the reports that go there, {option: place}, before grading, not after it."""
    from .errors import Refused

    taken: dict[str, str] = {}
    for option, target in targets.items():
        check_target(option, target)
        place = os.path.realpath(target) if target and target != "-" else target
        if place and (place == "-" or os.path.isfile(place) or not os.path.exists(place)):  # no device
            if place in taken:
                raise Refused(
                    f"{taken[place]} and {option} both go to {target}, which has room for one; name two files."
                )
            taken[place] = option


def check_target(option: str, target: str | None) -> None:
    """Refuse a place that cannot take the report before grading, not after it."""
    from .errors import Refused

    if target and target != "-":
        path = Path(target).absolute()
        if not path.parent.is_dir():
            raise Refused(f"{option} {target}: there is no folder {path.parent}.")
        if path.is_dir():
            raise Refused(f"{option} {target} is a folder; name a file.")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise Refused(f"{option} {target} cannot be written: the permission is missing.")


def write_json_to(report: dict[str, Any], target: str) -> None:
    """Write a report's JSON form to a file, or to standard output for "-".

    Raises:
        Refused: it cannot be written there.
    """
    import json

    from .errors import Refused
    from .report.output import write_json
    from .streams import say

    if target == "-":
        is_utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
        text = json.dumps(report, indent=2, ensure_ascii=not is_utf8)
        say(text.encode("utf-8", "backslashreplace").decode("utf-8"))
        return
    try:
        write_json(report, target)
    except OSError as error:
        raise Refused(f"--json {target} cannot be written: {error.strerror}.") from error


def write_format(option: str, write: Callable[..., str], report: Any, rubric: Any, target: str) -> None:
    """Write what `write(report, rubric)` makes to a file, or to standard output for "-"; `option` is what asked for it.

    Raises:
        Refused: it cannot be written there.
    """
    from .errors import Refused
    from .report.output import write_whole
    from .streams import say

    text = write(report, rubric)
    if target == "-":
        say(text.rstrip("\n"))
        return
    try:
        write_whole(target, text)
    except OSError as error:
        raise Refused(f"--{option} {target} cannot be written: {error.strerror}.") from error
