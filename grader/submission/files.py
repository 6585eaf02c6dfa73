"""A submission's files, read by the judge as data.

Whoever wrote the submission chose every name and every byte in it. So a path is walked one folder at a time and no
link is ever followed, which leaves no way out of the folder; only regular files are read, so that no pipe or device
can hold the judge up; and nothing larger than a bound is taken into memory. The folder is the one that was handed in
(or the temporary one of an archive), whatever the submission's code sees of it behind the wall.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .faults import Fault, NothingToAssess, WrongResult

MIB = 1 << 20
_ENTRIES = 1000
_STATE_BYTES = 1 << 20
_MOST_PARTS = 16
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FILE = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_BY_DESCRIPTOR = os.open in os.supports_dir_fd  # not on Windows


def read_source(path: Path, limit: int, within: Path) -> str:
    """The text of a file of a submission's code, which may lie behind a link as long as it lies in the submission.

    What is no regular file would hold the reader up, or never end; what is larger than `limit` bytes is no source.

    Raises:
        OSError: there is no such file, it is of another kind, too large, or leads out of `within`; `strerror` says so.
        UnicodeDecodeError: it is not UTF-8.
    """
    if not os.path.realpath(path).startswith(os.path.join(os.path.realpath(within), "")):
        raise OSError(errno.ELOOP, "it is a link that leads out of the submission", str(path))
    descriptor = os.open(path, _FILE & ~getattr(os, "O_NOFOLLOW", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        content = b""
        while len(content) <= limit and (part := os.read(descriptor, min(limit + 1 - len(content), MIB))):
            content += part
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit:,} bytes", str(path))
    return content.decode("utf-8-sig").replace("\r\n", "\n")


class Files:
    """The files below one folder. Paths are relative to it, with `/` between their parts."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    def read(self, path: str, limit: int) -> bytes:
        """The bytes of a file of at most `limit` bytes.

        Raises:
            NothingToAssess: there is no such file.
            WrongResult: it is not a regular file, lies behind a link, is larger than `limit`, or cannot be read.
        """
        with self._opened(path, _FILE) as descriptor:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise WrongResult(f"{path} is not a regular file; put the file itself there.")
            if status.st_size > limit:
                raise WrongResult(f"{path} has {status.st_size:,} bytes; the grader reads at most {limit:,}.")
            parts = []
            left = limit + 1  # it may grow while it is being read
            while left and (part := os.read(descriptor, min(left, MIB))):
                parts.append(part)
                left -= len(part)
        if not left:
            raise WrongResult(f"{path} has more than {limit:,} bytes; the grader reads at most that many.")
        return b"".join(parts)

    def write(self, path: str, content: bytes) -> None:
        """Write a small file for the judge, with the folders on its way; what lies there is replaced, and never
        followed if it is a link.

        Raises:
            WrongResult: there is a link on the way, or it cannot be written.
        """
        *folders, name = path.split("/")
        temporary = f".{name}.{os.getpid()}"
        new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        try:
            if not _BY_DESCRIPTOR:
                self._write_by_name(folders, name, content)
                return
            with contextlib.ExitStack() as open_ones:
                folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
                open_ones.callback(os.close, folder)
                for part in folders:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=folder)
                    folder = os.open(part, _FOLDER, dir_fd=folder)
                    open_ones.callback(os.close, folder)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=folder)
                with os.fdopen(os.open(temporary, new, 0o644, dir_fd=folder), "wb") as file:
                    file.write(content)
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            fault = _fault(self.root, path, error)
            if isinstance(fault, WrongResult) and "is a link" in fault.message:
                raise fault from error
            raise WrongResult(f"{path} cannot be written: {error.strerror}.") from error

    def recall(self, path: str) -> Any:
        """What `remember` has kept there, which anybody may have changed since; None where it is missing or damaged."""
        try:
            return json.loads(self.read(path, _STATE_BYTES))
        except (Fault, ValueError, RecursionError):
            return None

    def remember(self, path: str, state: Any) -> str:
        """Keep plain data in a file of the kit's own, for its next run; gives why that is impossible, or ""."""
        try:
            self.write(path, (json.dumps(state, indent=2, sort_keys=True) + "\n").encode())
        except Fault as fault:
            return fault.message
        return ""

    def read_text(self, path: str, limit: int) -> str:
        """The text of a UTF-8 file, as `read`; its line ends become newlines.

        Raises:
            NothingToAssess, WrongResult: as `read`; also when it is not UTF-8.
        """
        try:
            text = self.read(path, limit).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise WrongResult(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
        return text.replace("\r\n", "\n")

    def has(self, path: str) -> bool:
        """Whether there is a file or a folder of this name, and no link on the way to it."""
        try:
            with self._opened(path, _FILE):
                return True
        except (NothingToAssess, WrongResult):
            return False

    def names(self, path: str) -> list[str]:
        """The names in a folder, in order.

        Raises:
            NothingToAssess: there is no such folder.
            WrongResult: it is not a folder, lies behind a link, or holds more than a thousand entries.
        """
        with self._opened(path, _FOLDER) as descriptor:
            found = sorted(os.listdir(descriptor if _BY_DESCRIPTOR else self.root / path))
        if len(found) > _ENTRIES:
            raise WrongResult(f"{path} holds {len(found):,} entries; the grader looks at no more than {_ENTRIES:,}.")
        return found

    @contextlib.contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[int]:
        """The descriptor of a file or folder, reached one folder at a time; -1 for a folder on Windows."""
        parts = path.split("/")
        if not path or len(parts) > _MOST_PARTS or any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise WrongResult(f"{path!r} is not a path inside the submission.")
        with contextlib.ExitStack() as open_ones:
            try:
                if _BY_DESCRIPTOR:
                    descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
                    open_ones.callback(os.close, descriptor)
                    for part in parts[:-1]:
                        descriptor = os.open(part, _FOLDER, dir_fd=descriptor)
                        open_ones.callback(os.close, descriptor)
                    descriptor = os.open(parts[-1], flags, dir_fd=descriptor)
                    open_ones.callback(os.close, descriptor)
                else:
                    descriptor = self._open_by_name(parts, flags)
                    if descriptor >= 0:
                        open_ones.callback(os.close, descriptor)
            except OSError as error:
                raise _fault(self.root, path, error) from error
            yield descriptor

    def _write_by_name(self, folders: list[str], name: str, content: bytes) -> None:
        """Where folders have no descriptors: look where the name leads before it is used."""
        self.root.joinpath(*folders).mkdir(parents=True, exist_ok=True)
        place = self.root.joinpath(*folders, name)
        if os.path.realpath(place) != os.path.join(os.path.realpath(self.root), *folders, name):
            raise OSError(errno.ELOOP, "a link", str(place))
        place.write_bytes(content)

    def _open_by_name(self, parts: list[str], flags: int) -> int:
        """Where folders have no descriptors: look where the name leads before it is used."""
        place = self.root.joinpath(*parts)
        if os.path.realpath(place) != os.path.join(os.path.realpath(self.root), *parts):
            raise OSError(errno.ELOOP, "a link", str(place))
        if flags == _FOLDER or place.is_dir():
            os.listdir(place)
            return -1
        return os.open(place, flags)


def _fault(root: Path, path: str, error: OSError) -> NothingToAssess | WrongResult:
    """What is wrong with a path, as words for a student."""
    place = root
    for part in path.split("/"):
        place = place / part
        if place.is_symlink():
            name = place.relative_to(root).as_posix()
            return WrongResult(f"{name} is a link, which is not followed; put the file or folder itself there.")
    if error.errno == errno.ENOENT:
        return NothingToAssess(f"no {path}")
    if error.errno == errno.ENOTDIR:
        return WrongResult(f"{path} is not a folder, or lies inside something that is not a folder.")
    return WrongResult(f"{path} cannot be read: {error.strerror}.")


def entries(folder: Path) -> list[Path]:
    """What a folder of a submission holds, in name order; nothing where it is gone or not for us to read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def is_file(path: Path) -> bool:
    """Whether there is such a file, as far as one is allowed to know."""
    try:
        return path.is_file()
    except OSError:
        return False
