"""Find a submission's adapters, and open it: in this process, or (see `wall.py`) behind the wall."""

from __future__ import annotations

import ast
import functools
import os
import re
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .archive import SUFFIXES
from .cases.chance import WITHOUT_CHANCE
from .complaints import Refused
from .faults import AdapterMissing, NothingToAssess, Todo
from .files import Files
from .worker.loader import Layout

_SEARCH_DEPTH = 3
_SKIPPED_FOLDERS = {"node_modules", "site-packages", "__pycache__", "build", "dist"}


_BY_CHANCE = {"open_tokenizer", "open_tokenizer_from_files", "tokenizer_stream_memory", "sampled"}
"""What no transcript holds: openings, shared between tests, so that chance decides which does it; and what is measured
or drawn."""


class SubmissionNotFound(Refused):
    """There is nothing to grade at a path; the message says what was looked for."""


def locate(path: str | os.PathLike[str], named: str | None = None) -> Layout:
    """Find the adapters of the submission at `path` without importing anything of it.

    Args:
        named: what messages call the submission; its path unless given.

    `adapters.py` in the folder itself comes first, then `tests/adapters.py`, then the same in subfolders up to
    three levels down (archives often add a folder or two); the least deep one wins.

    Raises:
        SubmissionNotFound: no such folder, no adapters, several equally near, or a file that is not text.
    """
    root = Path(path).resolve()
    named = named or os.fspath(path)
    if not root.is_dir():
        kind = "a file" if root.exists() else "not there"
        raise SubmissionNotFound(
            f"{named} is {kind}; name the folder that holds adapters.py, or an archive of it ({', '.join(SUFFIXES)})."
        )
    for depth in range(_SEARCH_DEPTH + 1):
        found = [file for folder in _folders(root, depth) if (file := _adapters_in(folder))]
        if len(found) == 1:
            return _layout(found[0])
        if found:
            listed = ", ".join(os.path.relpath(file, root) for file in found)
            raise SubmissionNotFound(f"{named} holds several submissions ({listed}); name the folder of one of them.")
    raise SubmissionNotFound(
        f"no adapters.py and no tests/adapters.py in {named}; a submission connects its code to the tests "
        "there. Copy adapters.py from the skeleton into the folder, or name another folder."
    )


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """Folders exactly `depth` levels below `root`, in name order, without hidden and installed ones."""
    if depth == 0:
        yield root
        return
    for child in sorted(root.iterdir()):
        if (
            child.is_dir()
            and not child.is_symlink()
            and not child.name.startswith(".")
            and child.name not in _SKIPPED_FOLDERS
            and not (child / "pyvenv.cfg").exists()
        ):
            yield from _folders(child, depth - 1)


def _adapters_in(folder: Path) -> Path | None:
    for file in (folder / "adapters.py", folder / "tests" / "adapters.py"):
        if file.is_file() and not (file.parent == folder and folder.name == "tests"):
            return file
    return None


def _layout(adapters: Path) -> Layout:
    try:
        source = adapters.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise SubmissionNotFound(
            f"{adapters} is not UTF-8 text (byte {error.start}); save it as UTF-8 and try again."
        ) from error
    except OSError as error:
        raise SubmissionNotFound(f"{adapters} cannot be read: {error.strerror}.") from error
    in_tests = adapters.parent.name == "tests"
    root = adapters.parent.parent if in_tests else adapters.parent
    settings = _read_settings(root)
    package = "tests" if in_tests else ""
    if not in_tests and _imports_relatively(source):
        package = root.name if root.name.isidentifier() else "submission"
    project = settings.get("project", {})
    name = project.get("name")
    packages = [child.name for child in root.iterdir() if (child / "__init__.py").is_file()]
    return Layout(
        root=str(root),
        adapters=os.path.relpath(adapters, root),
        package=package,
        import_path=tuple(_import_path(root, settings, in_tests)),
        distributions=tuple(dict.fromkeys(n for n in ("cs336_basics", name, *packages) if isinstance(n, str) and n)),
        requires_python=str(project.get("requires-python", "")),
    )


def _read_settings(root: Path) -> dict[str, Any]:
    """The submission's pyproject.toml; one that cannot be read says nothing."""
    try:
        return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}


def _import_path(root: Path, settings: dict[str, Any], in_tests: bool) -> Iterator[str]:
    tool = settings.get("tool", {})
    named = [
        *_strings(tool, "pytest", "ini_options", "pythonpath"),
        *_strings(tool, "setuptools", "packages", "find", "where"),
        *_strings(tool, "uv", "build-backend", "module-root"),
        "src",
        *(["tests"] if in_tests else []),
    ]
    for folder in dict.fromkeys(named):
        resolved = (root / folder).resolve()
        if resolved != root and resolved.is_relative_to(root) and resolved.is_dir():
            yield str(resolved)


def _strings(table: Any, *keys: str) -> list[str]:
    for key in keys:
        table = table.get(key, {}) if isinstance(table, dict) else {}
    values = table.split() if isinstance(table, str) else table
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _imports_relatively(source: str) -> bool:
    """Whether a module has relative imports and so must be imported as part of a package."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the worker's import will say what is wrong
        return bool(re.search(r"^\s*from\s+\.", source, re.MULTILINE))
    return any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))


class Submission(ABC):
    """What tests talk to: every adapter and every driver is a method that takes and returns plain data.

        submission.run_softmax(in_features=x, dim=-1)
        submission.clip(parameters=[...], gradients=[...], max_l2_norm=1.0)

    Each call gets its own copy of its arguments.
    """

    generation = 0
    """Counts how often the code was loaded afresh; handles of an earlier generation are void."""

    def __init__(self, files: Files | None = None) -> None:
        self._files = files
        self._tokenizers: dict[Any, Tokenizer] = {}
        self.transcript: list[Any] | None = None
        """Whoever puts a list here finds in it what came of every call: the value, or the exception."""
        self.witnessed: list[Any] = []
        """Uses of ready-made code while calls ran, as `worker/witness.py` describes them: the worker's word."""
        self.noticed: list[dict[str, str]] = []
        """What honest code has no reason for, as `worker/sentry.py` describes it, and what the judge itself saw."""

    @property
    def files(self) -> Files:
        """The submission's files, as data: read by the judge, never by way of the submission's code."""
        if self._files is None:
            raise NothingToAssess("no folder to read from")
        return self._files

    def perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Run one operation. Raises a `grader.faults.Fault` when it gives no value."""
        try:
            value = self._perform(operation, arguments)
        except Exception as error:
            self._note(error)
            raise
        if operation not in _BY_CHANCE:
            self._note(value, operation)
        return value

    def _note(self, what: Any, operation: str = "") -> None:
        if self.transcript is not None:
            self.transcript.append(WITHOUT_CHANCE[operation](what) if operation in WITHOUT_CHANCE else what)

    @abstractmethod
    def _perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Run one operation, wherever the submission is."""

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        if operation.startswith("_"):
            raise AttributeError(operation)
        return functools.partial(self._call, operation)

    def _call(self, operation: str, **arguments: Any) -> Any:
        return self.perform(operation, arguments)

    def tokenizer(
        self,
        vocab: dict[int, bytes],
        merges: list[tuple[bytes, bytes]],
        special_tokens: list[str] | None = None,
    ) -> Tokenizer:
        """The student's tokenizer with this vocabulary; the same arguments give the same object again."""
        key = (id(vocab), id(merges), None if special_tokens is None else tuple(special_tokens))
        if key not in self._tokenizers:
            arguments = {"vocab": vocab, "merges": merges, "special_tokens": special_tokens}
            self._tokenizers[key] = Tokenizer(self, "open_tokenizer", arguments)
        return self._tokenizers[key]

    def tokenizer_from_files(
        self, vocab_json: bytes, merges_text: bytes, special_tokens: list[str] | None = None
    ) -> Tokenizer:
        """The student's tokenizer built from files with these contents."""
        arguments = {"vocab_json": vocab_json, "merges_text": merges_text, "special_tokens": special_tokens}
        return Tokenizer(self, "open_tokenizer_from_files", arguments)


class Tokenizer:
    """A tokenizer that lives beside the student's code; opened on first use and again after a restart."""

    def __init__(self, submission: Submission, opener: str, arguments: dict[str, Any]) -> None:
        self._submission = submission
        self._opener = opener
        self._arguments = arguments  # also keeps alive the objects whose ids are the key in `Submission.tokenizer`
        self._handle: tuple[int, int] | None = None
        self._absent: Todo | AdapterMissing | None = None

    def encode(self, text: str) -> list[int]:
        return self._ask("tokenizer_encode", text=text)

    def decode(self, ids: list[int]) -> str:
        return self._ask("tokenizer_decode", ids=ids)

    def encode_iterable(self, chunks: list[str]) -> list[int]:
        return self._ask("tokenizer_encode_iterable", chunks=chunks)

    def encode_file(self, content: bytes) -> list[int]:
        return self._ask("tokenizer_encode_file", content=content)

    def chunks_read_before_first_id(self, chunk: str, available: int) -> int:
        return self._ask("tokenizer_chunks_read_before_first_id", chunk=chunk, available=available)

    def stream_memory(self, chunk: str, repeats: int) -> dict[str, int]:
        return self._ask("tokenizer_stream_memory", chunk=chunk, repeats=repeats)

    def _ask(self, operation: str, **arguments: Any) -> Any:
        if self._absent is not None:  # asking again with all of GPT-2's tables would take its time and change nothing
            raise self._absent
        if self._handle is None or self._handle[0] != self._submission.generation:
            try:
                handle = self._submission.perform(self._opener, self._arguments)
            except (Todo, AdapterMissing) as fault:
                self._absent = fault
                raise
            self._handle = (self._submission.generation, handle)
        return self._submission.perform(operation, {"handle": self._handle[1], **arguments})
