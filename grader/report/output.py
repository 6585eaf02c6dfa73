"""Writes a report to a file, so that it is there as a whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_json(report: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a report's JSON form.

    Raises:
        OSError: as `write_whole`.
    """
    write_whole(path, json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def write_whole(path: str | os.PathLike[str], text: str) -> None:
    """Write a file that appears complete or not at all; what lay there before stays until then.

    What cannot stand in UTF-8 (halves of a pair of surrogates, as in a path that is none) becomes an escape, which JSON
    reads as the same. A device, a pipe or a file in a folder that takes no new one is written in place.

    Raises:
        OSError: there is no such folder, it takes no file, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    content = text.encode("utf-8", "backslashreplace")
    if target.exists() and (not target.is_file() or not os.access(target.parent, os.W_OK)):
        with target.open("wb") as file:
            file.write(content)
        return
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".grader-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
