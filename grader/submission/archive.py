"""Unpack a submission that came as one file, trusting nothing in it.

`unpacked` gives a folder and takes it away again. Names, sizes and links are the sender's words: every path is taken
apart and put together anew below the folder, every byte is counted while it is written, and what is neither a file
nor a folder is never created. Archives inside the archive stay closed.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from ..errors import Refused

MIB = 1 << 20
SUFFIXES = (".zip", ".tar.gz", ".tgz", ".tar")
_CHUNK = 1 << 16
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_LZMA_DICTIONARY_MIB = 64  # what xz -9 takes
_LOCAL_HEADER = 30  # bytes; those of name and extra field follow
_JUNK = re.compile(r"(?:^|/)(?:__MACOSX(?:/|$)|\.DS_Store$|\._)")  # what macOS adds to an archive


@dataclass(frozen=True)
class Bounds:
    """What an archive may hold.

    Sizes in MiB, unpacked. `ratio`: how many times larger than the archive its contents may be, counted from
    `ratio_from_mib` on, since small texts compress well.
    """

    total_mib: float = 500
    file_mib: float = 200
    entries: int = 20_000
    ratio: float = 100
    ratio_from_mib: float = 16


class ArchiveRefused(Refused):
    """An archive is damaged, too large or tries to reach outside; the message says which and where."""


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a file of one of the kinds that `unpacked` opens."""
    return os.fspath(path).lower().endswith(SUFFIXES) and Path(path).is_file()


_OF_A_CLASS = Bounds(total_mib=64 << 10, entries=2_000_000)


@contextlib.contextmanager
def unpacked(archive: str | os.PathLike[str], bounds: Bounds = Bounds()) -> Iterator[Path]:
    """Unpack an archive into a temporary folder, which is gone when the block ends, however it ends.

    Raises:
        ArchiveRefused: before anything outside the folder could be touched.
    """
    with tempfile.TemporaryDirectory(prefix="submission-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch, "submission")
        folder.mkdir()
        target = _Target(folder, Path(archive), bounds)
        with _in_words(target):
            if _is_zip(target.archive):
                _unpack_zip(target)
            else:
                _unpack_tar(target)
            target.copy_linked_files()
        yield folder


def unpack_each(archive: Path, folder: Path, bounds: Bounds = Bounds()) -> dict[str, str]:
    """Unpack an archive of many submissions: each entry at its top, a folder or a file, into `folder`, which is empty.

    A single folder at the top that is no submission itself is a wrapper, and what lies in it counts. The bounds are
    those of one submission, and so is a refusal: the others are unpacked all the same.

    Returns:
        {entry: why it was refused}; of these, nothing is left in the folder.

    Raises:
        ArchiveRefused: the archive as a whole is damaged, or the disk is full.
    """
    whole = _Target(folder, archive, _OF_A_CLASS)
    parts = _Parts(whole, bounds)
    with _in_words(whole):
        if _is_zip(archive):
            with zipfile.ZipFile(archive) as opened:
                members = opened.infolist()
                whole.expect(len(members), 0)
                parts.plan((member.filename, member.compress_size) for member in members)
                for member in members:
                    with parts.of(member.filename) as (target, name):
                        if target:
                            _take_from_zip(target, opened, member, name)
        else:
            with _opened_tar(whole) as tar:
                parts.plan((member.name, 0) for member in tar)
            with _opened_tar(whole) as tar:
                for entry in tar:
                    with parts.of(entry.name) as (target, name):
                        if target:
                            _take_from_tar(target, tar, entry, name, parts.depth)
    parts.close()
    return parts.refused


def _is_zip(archive: Path) -> bool:
    return archive.name.lower().endswith(".zip")


@contextlib.contextmanager
def _in_words(target: _Target) -> Iterator[None]:
    """Whatever goes wrong with an archive, as a sentence about it."""
    try:
        yield
    except ArchiveRefused:
        raise
    except MemoryError as error:
        raise target.refusal("unpacking it takes more memory than there is") from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RecursionError) as error:
        raise target.refusal(f"it is damaged ({type(error).__name__}: {error})") from error
    except (NotImplementedError, ValueError, OSError) as error:
        raise target.refusal(f"it cannot be unpacked ({error})") from error


class _Parts:
    """The submissions in one archive, each with bookkeeping of its own.

    refused: {entry: why}; depth: how many folders are wrapped around them.
    """

    def __init__(self, whole: _Target, bounds: Bounds) -> None:
        self.refused: dict[str, str] = {}
        self._whole, self._bounds = whole, bounds
        self.depth = 0
        self._targets: dict[str, _Target] = {}
        self._packed: dict[str, int] = {}

    def plan(self, members: Iterable[tuple[str, int]]) -> None:
        """Look at (name, bytes in the archive) of everything in it; 0 where that is not known."""
        found = [(parts, size) for name, size in members if (parts := _parts_of(name))]
        below = [parts[1:] for parts, _ in found if len(parts) > 1]
        if len({parts[0] for parts, _ in found}) == 1 and not any(_has_adapters(parts) for parts in below):
            self.depth = int(any(len(parts) > 1 or parts[0].lower().endswith(SUFFIXES) for parts in below))
        for parts, size in found:
            if len(parts) > self.depth:
                entry = parts[self.depth]
                self._packed[entry] = self._packed.get(entry, 0) + size

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[tuple[_Target | None, str]]:
        """(the submission that a member belongs to, its name below `folder`).

        None where that was refused, as it is when the block raises.
        """
        parts = _parts_of(name)[self.depth :]
        if not parts or parts[0] in self.refused:
            yield None, ""
            return
        entry = parts[0]
        if entry not in self._targets:
            packed, what = self._packed.get(entry, 0), f"{entry} in {self._whole.archive.name}"
            self._targets[entry] = _Target(self._whole.folder, self._whole.archive, self._bounds, packed, what)
        with self._refusing(entry):
            self._targets[entry].count()
            yield self._targets[entry], "/".join(parts)

    @contextlib.contextmanager
    def _refusing(self, entry: str) -> Iterator[None]:
        try:
            with _in_words(self._targets[entry]):
                yield
        except ArchiveRefused as error:
            if isinstance(cause := error.__cause__, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._whole.refusal("the disk is too full to unpack it") from error
            self.refused[entry] = str(error)
            if entry != "..":
                with contextlib.suppress(OSError, ValueError):  # as of a name that no file system takes
                    _remove(self._whole.folder / entry)

    def close(self) -> None:
        """Once everything was seen."""
        for entry, target in self._targets.items():
            if entry not in self.refused:
                with self._refusing(entry):
                    target.copy_linked_files()


def _parts_of(name: str) -> list[str]:
    """The parts of a member's name, without what macOS adds."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    return [] if _JUNK.search("/".join(parts)) else parts


def _has_adapters(parts: list[str]) -> bool:
    return parts in (["adapters.py"], ["tests", "adapters.py"])


def _remove(path: Path) -> None:
    """Remove what was unpacked there: files and folders, and no links, since none are made."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _unpack_zip(target: _Target) -> None:
    with zipfile.ZipFile(target.archive) as archive:
        members = archive.infolist()
        target.expect(len(members), sum(member.file_size for member in members))
        for member in members:
            _take_from_zip(target, archive, member, member.filename)


def _take_from_zip(target: _Target, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> None:
    path = target.place(name)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if path is None or kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        return
    if member.flag_bits & 0x1:
        raise target.refusal(f"{member.filename} is encrypted; send it without a password")
    if member.is_dir():
        target.make_folder(path)
        return
    _check_method(target, member)
    with archive.open(member) as source:
        if kind == stat.S_IFLNK:
            target.link(path, os.fsdecode(source.read(4096)))
        else:
            target.write(path, source)


def _check_method(target: _Target, member: zipfile.ZipInfo) -> None:
    """Refuse what takes more memory to unpack than an honest archive does.

    LZMA sets aside a dictionary of the size that its header asks for, up to 4 GiB (APPNOTE.TXT of the zip format,
    section 5.8.8): the local header, 2 bytes of version, 2 of length, 1 of options, and the size in 4.
    """
    if member.compress_type not in _METHODS:
        raise target.refusal(f"{member.filename} is compressed with method {member.compress_type}; use deflate")
    if member.compress_type != zipfile.ZIP_LZMA:
        return
    with target.archive.open("rb") as raw:
        raw.seek(member.header_offset)
        header = raw.read(_LOCAL_HEADER)
        raw.seek(sum(struct.unpack("<HH", header[26:])), os.SEEK_CUR)
        options = raw.read(9)
    if len(options) == 9 and int.from_bytes(options[5:], "little") > _LZMA_DICTIONARY_MIB * MIB:
        raise target.refusal(
            f"{member.filename} needs more than {_LZMA_DICTIONARY_MIB} MiB of memory to be unpacked; use deflate"
        )


def _unpack_tar(target: _Target) -> None:
    with _opened_tar(target) as archive:
        for count, member in enumerate(archive, start=1):
            target.expect(count, 0)
            _take_from_tar(target, archive, member, member.name)


@contextlib.contextmanager
def _opened_tar(target: _Target) -> Iterator[tarfile.TarFile]:
    """As a stream, and through a reader that counts: headers and skipped members are unpacked bytes, too."""
    with contextlib.ExitStack() as stack:
        raw: IO[bytes] = stack.enter_context(target.archive.open("rb"))
        if raw.read(2) == b"\x1f\x8b":
            raw.seek(0)
            raw = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=raw)))
        else:
            raw.seek(0)
        counted = cast(BinaryIO, _Counted(raw, target))
        yield stack.enter_context(tarfile.open(fileobj=counted, mode="r|"))


def _take_from_tar(
    target: _Target, archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, depth: int = 0
) -> None:
    """`name`: where it belongs; `depth`: how many folders of its own name that leaves out."""
    path = target.place(name)
    if path is None:
        return
    if member.isdir():
        target.make_folder(path)
    elif member.issym():
        target.link(path, member.linkname)
    elif member.islnk():
        named = "/".join(_parts_of(member.linkname)[depth:]) if depth else member.linkname
        target.link(path, named, relative_to_top=True)
    elif member.isfile():
        source = archive.extractfile(member)
        assert source is not None
        target.write(path, source)


class _Counted:
    """The unpacked bytes of a tar archive, refused from the point where they become too many."""

    def __init__(self, raw: IO[bytes], target: _Target) -> None:
        self._raw, self._target, self._read = raw, target, 0

    def read(self, size: int) -> bytes:
        part = self._raw.read(size)
        self._read += len(part)
        self._target.check_total(self._read)
        return part


class _Target:
    """The folder that an archive is unpacked into, and the bookkeeping that keeps it inside."""

    def __init__(self, folder: Path, archive: Path, bounds: Bounds, packed: int = 0, named: str = "") -> None:
        """`packed`: bytes of the archive that are about this folder; `named`: what messages call it."""
        self.archive = archive
        self.folder = folder
        self._bounds = bounds
        self._named = named or archive.name
        self._archive_bytes = packed or max(1, archive.stat().st_size)
        self._written = self._members = 0
        self._spelling: dict[str, str] = {}
        self._files: set[PurePosixPath] = set()
        self._links: list[tuple[PurePosixPath, PurePosixPath]] = []

    def refusal(self, reason: str) -> ArchiveRefused:
        """The error for this archive; its text is one line, whatever the archive's names hold."""
        return ArchiveRefused(f"{_printable(self._named)} is refused: {_printable(reason)}.")

    def count(self) -> None:
        """One more member is for this folder."""
        self._members += 1
        self.expect(self._members, 0)

    def expect(self, entries: int, size: int) -> None:
        """Refuse by what the archive says of itself, before unpacking."""
        if entries > self._bounds.entries:
            raise self.refusal(
                f"it has more than {self._bounds.entries:,} entries; leave out environments, data and caches"
            )
        self.check_total(size)

    def check_total(self, size: int) -> None:
        bounds = self._bounds
        if size > bounds.total_mib * MIB:
            raise self.refusal(f"it holds more than {bounds.total_mib:g} MiB; leave out data and checkpoints")
        if size > bounds.ratio_from_mib * MIB and size > bounds.ratio * self._archive_bytes:
            raise self.refusal(f"its contents are more than {bounds.ratio:g} times its own size, as in a zip bomb")

    def place(self, name: str) -> PurePosixPath | None:
        """Where an entry belongs below the folder; None for the folder itself and for what macOS adds.

        Raises:
            ArchiveRefused: for a name that leads out of the folder, or that some file systems take for another one.
        """
        name = name.replace("\\", "/")
        if name.startswith("/") or re.match(r"[A-Za-z]:", name):
            raise self.refusal(f"{name} is an absolute path; pack the folder, not its full path")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self.refusal(f"{name} leads out of the archive")
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise self.refusal(f"the name {name} is not UTF-8") from None
        path = PurePosixPath(*parts)
        if not parts or _JUNK.search(str(path)):
            return None
        for ancestor in (*reversed(path.parents), path):
            exact = str(ancestor)
            other = self._spelling.setdefault(unicodedata.normalize("NFC", exact).casefold(), exact)
            if other != exact:
                raise self.refusal(f"{other} and {exact} are the same name on some file systems")
        return path

    def make_folder(self, path: PurePosixPath) -> None:
        if any(ancestor in self._files for ancestor in (path, *path.parents)):
            raise self.refusal(f"{path} is both a file and a folder")
        Path(self.folder, path).mkdir(parents=True, exist_ok=True)

    def write(self, path: PurePosixPath, source: IO[bytes]) -> None:
        """Write one file, counting its bytes."""
        self.make_folder(path.parent)
        destination = Path(self.folder, path)
        if destination.is_dir() or path in self._files:
            raise self.refusal(f"{path} is in it twice")
        self._files.add(path)
        size = 0
        with destination.open("xb") as file:
            while part := source.read(_CHUNK):
                size += len(part)
                self._written += len(part)
                if size > self._bounds.file_mib * MIB:
                    raise self.refusal(f"{path} is larger than {self._bounds.file_mib:g} MiB; leave it out")
                self.check_total(self._written)
                file.write(part)

    def link(self, path: PurePosixPath, target: str, relative_to_top: bool = False) -> None:
        """Take note of a link; one that leads out of the archive is refused."""
        base = "" if relative_to_top else str(path.parent)
        joined = os.path.normpath(os.path.join(base, target.replace("\\", "/")))
        if joined.startswith(("/", "../")) or joined == ".." or re.match(r"[A-Za-z]:", joined):
            raise self.refusal(f"{path} is a link out of it, to {target}; pack the file itself or leave it out")
        self._links.append((path, PurePosixPath(joined)))

    def copy_linked_files(self) -> None:
        """Put a copy of the file in the place of each link: a folder without links has no way out of it."""
        for path, target in self._links:
            if target not in self._files:
                raise self.refusal(f"{path} is a link to {target}, which is no file in it; pack the file itself")
            with Path(self.folder, target).open("rb") as source:
                self.write(path, source)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)[:500]
