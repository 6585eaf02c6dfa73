"""Whether a name is missing because a package is installed here in another version than a submission was written for.

`torch.serialization.FILE_LIKE` is another name in a newer torch, and numpy has given up `np.float_`. Code that asks for
such a name says nothing about its author. The worker says what it met, and here the judge finds out three things:

- The package is installed for this submission, and neither Python's nor the submission's own.
- It does not have the name, or cannot be imported at all. A second worker looks, behind the same wall, which loads
  nothing of the submission: the judge imports no module that a submission names.
- It is another version that counts. The submission's own lock file or requirements ask for one, or the package itself
  says that it has given up the name. So a name that was never there is an error, as in any code.

A submission may still ask for another version only to escape tests that it would fail. It gains no point by that: see
`worker.lacking.lacks`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..escape import visible
from ..submission.files import Files
from ..worker.lacking import GIVEN_UP, is_installed
from ..worker.loader import Layout
from .isolation import import_path

MOST_LOOKED_UP = 8
"""So many names are looked up for one submission; each takes a process that imports a package."""
_SUBJECT = re.compile(r"([A-Za-z_]\w{0,99}(?:\.\w{1,100}){0,9}):(\w{0,100})", re.ASCII)
_SHOWN = 120

LookUp = Callable[[str, str], Any]
"""From a module and a name to what `worker.lacking.look_up` gives, or None where there was no answer."""


class OtherVersions:
    """What the packages of one submission lack, each looked up once."""

    def __init__(self, layout: Layout, files: Files, look_up: LookUp) -> None:
        self._layout, self._files, self._look_up = layout, files, look_up
        self._known: dict[str, str] = {}

    def need(self, subject: str) -> str:
        """What a test needs and the installed version of a package lacks, as the end of "it ..."; "" if that is not so.

        Args:
            subject: as `worker.lacking.missing_name` gives it. Anybody may have written it.
        """
        match = _SUBJECT.fullmatch(subject)
        if match is None:
            return ""
        if subject not in self._known and len(self._known) < MOST_LOOKED_UP:
            self._known[subject] = self._find_out(match[1], match[2])
        return self._known.get(subject, "")

    def _find_out(self, module: str, name: str) -> str:
        package = module.partition(".")[0]
        if not is_installed(package, self._layout, import_path(self._layout)):
            return ""
        said = self._look_up(module, name)
        if type(said) is not dict or not all(type(text) is str for text in said.values()) or not said.get("raised"):
            return ""
        distribution, version = visible(said["distribution"][:_SHOWN]), visible(said["version"][:_SHOWN])
        raised = visible(" ".join(said["raised"].split())[:_SHOWN])
        if not name:
            return f"needs the package {package!r}, which cannot be imported here ({distribution} {version}: {raised})"
        lacks = f"needs {name!r} of {module}, which {distribution} {version} does not have"
        if asked := self._other(said["distribution"], said["version"]):
            return f"{lacks}; the submission asks for {distribution} {asked}"
        return f"{lacks} any more" if GIVEN_UP.search(said["raised"]) else ""

    def _other(self, distribution: str, version: str) -> str:
        """The versions that the submission asks for, if the one that is installed is none of them."""
        from packaging.version import InvalidVersion, Version  # here, as most submissions never ask

        from .own_environment import versions_asked

        try:
            here = Version(Version(version).public)
        except InvalidVersion:
            return ""
        asked = versions_asked(self._files, distribution)
        if any(here in versions for versions in asked):
            return ""
        return " or ".join(dict.fromkeys(str(versions).removeprefix("==") for versions in asked))
