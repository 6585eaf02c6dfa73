"""Fetch the corpora that are too large to ship: TinyStories, and Stanford's sample of OpenWebText.

Every file is pinned: a revision of its repository, its size, and its SHA-256. So it does not matter which server or
mirror the bytes came from, over how many attempts: a file appears under its name only when it is complete and right.
Until then it is `NAME.part`, from which the next run goes on.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import Refused

ENDPOINT = "https://huggingface.co"
"""Where the files are. The variable HF_ENDPOINT names a mirror instead, as for Hugging Face's own tools."""

_CHUNK = 1 << 20
_SILENCE_S = 30.0
_PATIENCE = 5
_PATIENCE_AT_FIRST = 2
"""Attempts in a row that bring nothing, before giving up; and before anything came at all."""
_MARGIN = 1 << 30

Advance = Callable[[int], None]
"""Told how many bytes more are done."""


@dataclass(frozen=True)
class Content:
    """What the bytes of a file must be."""

    size: int
    sha256: str


@dataclass(frozen=True)
class RemoteFile:
    """A text, and where it is found.

    name: of the text; repository, revision: of a data set on Hugging Face; text: the text's content; packed: that of
    `NAME.gz`, where the repository has it in that form.
    """

    corpus: str
    name: str
    repository: str
    revision: str
    text: Content
    packed: Content | None = None

    @property
    def remote_name(self) -> str:
        """Its name in the repository."""
        return f"{self.name}.gz" if self.packed else self.name

    @property
    def transfer(self) -> Content:
        """What crosses the network."""
        return self.packed or self.text

    def url(self, endpoint: str) -> str:
        """Where it is."""
        return f"{endpoint.rstrip('/')}/datasets/{self.repository}/resolve/{self.revision}/{self.remote_name}"


_STORIES = ("tinystories", "roneneldan/TinyStories", "f54c09fd23315a6f9c86f9dc80f725de7d8f9c64")
_WEB = ("owt", "stanford-cs336/owt-sample", "488afadefc224407de5645a3c8c53b64ed923537")


def _file(source: tuple[str, str, str], name: str, text: Content, packed: Content | None = None) -> RemoteFile:
    corpus, repository, revision = source
    return RemoteFile(corpus, name, repository, revision, text, packed)


FILES = (
    _file(
        _STORIES,
        "TinyStoriesV2-GPT4-valid.txt",
        Content(22_502_601, "6874bae9a4c1a4e7edcf0e53b86c17817e9cf881fc75ff2368da457b80c0585d"),
    ),
    _file(
        _STORIES,
        "TinyStoriesV2-GPT4-train.txt",
        Content(2_227_753_162, "6418d412de72888f52b5142c761ac21a582f7d1166f0bfbdb5f03ccfdec90443"),
    ),
    _file(
        _WEB,
        "owt_valid.txt",
        Content(289_998_753, "2406f278e71829d273b315e9b403285baea7022b26a96d2728dd8b776ea40660"),
        Content(111_785_382, "bc73db5da2f19c360836b9c8a88094e13346ec83798c2f40060be39135768c80"),
    ),
    _file(
        _WEB,
        "owt_train.txt",
        Content(11_920_511_059, "bbeb7f291a981ecfd5cf44b84d0f654b9e96c53dff99f2556b7d2cccaf8c1918"),
        Content(4_591_240_837, "b19ae88cfbc4016b304c348522455fe38ebac48fffed955adcc7191a89e38ccf"),
    ),
)
"""Small ones first, so that work can begin while the rest arrives."""

CORPORA = tuple(dict.fromkeys(file.corpus for file in FILES))


class DownloadError(Refused):
    """A file cannot be had; the message says what to do about it."""


class Observer:
    """Told what happens; every method may be overridden, none has to be."""

    def stage(self, what: str, size: int, done: int = 0) -> Advance:
        """Work on so many bytes begins, of which some are done already; gives what to call as it proceeds."""
        return lambda count: None

    def note(self, sentence: str) -> None:
        """Something worth a line."""


def fetch(files: Sequence[RemoteFile], folder: Path, *, observer: Observer, pause_s: float = 1.0) -> None:
    """Bring these files into `folder`; what is there already is checked and kept.

    Args:
        pause_s: after an attempt that brought nothing; doubled after each further one in a row.

    Raises:
        DownloadError: HF_ENDPOINT is no address, there is too little space, a server cannot be reached or sends
            something else, or the folder has another file of that name. What has arrived stays for the next run.
    """
    endpoint = _endpoint()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing = [file for file in files if not _is_there(file, folder, observer)]
        _check_space(missing, folder)
        for file in missing:
            packed = _downloaded(file, folder, endpoint, observer, pause_s)
            if file.packed:
                _unpack(file, packed, folder, observer)
            else:
                packed.replace(folder / file.name)
            observer.note(f"{folder / file.name}: complete, {human(file.text.size)}, SHA-256 as expected.")
    except OSError as error:
        raise DownloadError(f"{error.filename or folder} cannot be written: {error.strerror or error}.") from error


def _endpoint() -> str:
    named = os.environ.get("HF_ENDPOINT") or ENDPOINT
    address = urllib.parse.urlsplit(named)
    if address.scheme not in ("http", "https") or not address.netloc:
        raise DownloadError(f"HF_ENDPOINT is {named!r}; it has to be an address such as https://hf.example.org.")
    return named


def human(size: float) -> str:
    """A size for people, in powers of ten as disks and networks are sold."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _is_there(file: RemoteFile, folder: Path, observer: Observer) -> bool:
    path = folder / file.name
    if not path.exists():
        return False
    size = path.stat().st_size
    if size == file.text.size and _sha256(path, observer) == file.text.sha256:
        observer.note(f"{path}: there and undamaged.")
        return True
    what = "its contents differ" if size == file.text.size else f"it has {size:,} bytes, not {file.text.size:,}"
    raise DownloadError(f"{path} is not {file.name} as published: {what}. Move or delete it, and run this again.")


def _check_space(files: list[RemoteFile], folder: Path) -> None:
    """Enough for all texts, and for the largest packed file beside its text."""
    arrived = sum(part.stat().st_size for file in files if (part := _part(file, folder)).exists())
    packed = max((file.packed.size for file in files if file.packed), default=0)
    needed = sum(file.text.size for file in files) + packed + _MARGIN - arrived
    free = shutil.disk_usage(folder).free
    if files and free < needed:
        names = ", ".join(file.name for file in files)
        raise DownloadError(
            f"{names}: {human(needed)} of free space are needed, and {folder} has {human(free)}. "
            "Make room, name another --folder, or fetch one corpus only."
        )


def _part(file: RemoteFile, folder: Path) -> Path:
    return folder / f"{file.remote_name}.part"


def _downloaded(file: RemoteFile, folder: Path, endpoint: str, observer: Observer, pause_s: float) -> Path:
    """Download to `NAME.part`, over as many connections as it takes; gives its path when its content is right."""
    url, part, size = file.url(endpoint), _part(file, folder), file.transfer.size
    arrived = part.stat().st_size if part.exists() else 0
    if arrived > size:
        part.unlink()
        arrived = 0
    if arrived:
        observer.note(f"{part}: going on after {human(arrived)} of {human(size)}.")
    advance = observer.stage(f"download {file.remote_name}", size, arrived)
    patience, fruitless = _PATIENCE_AT_FIRST, 0
    while arrived < size:
        trouble = "the connection was closed early"
        try:
            with part.open("ab") as target:
                _continue(url, target, size, advance)
        except _Passing as error:
            trouble = str(error)
        before, arrived = arrived, part.stat().st_size
        if arrived > before:
            patience, fruitless = _PATIENCE, 0
        elif (fruitless := fruitless + 1) == patience:
            raise _nothing_comes(file, url, part, trouble)
        if arrived < size:
            time.sleep(pause_s * 2**fruitless / 2)
    if _sha256(part, observer) != file.transfer.sha256:
        part.unlink()
        raise DownloadError(
            f"{url} sent {size:,} bytes as expected, but their SHA-256 is not {file.transfer.sha256}: damaged "
            "on the way, or they belong to another file. They were deleted; run this again, perhaps without a mirror."
        )
    return part


class _Passing(Exception):
    """What may be better at the next attempt."""


def _continue(url: str, target: BinaryIO, size: int, advance: Advance) -> None:
    """One connection: append to `target` what follows its end, as much as arrives.

    Raises:
        _Passing: no answer, or one that says "later".
        DownloadError: an answer that another attempt will not change.
    """
    arrived = target.tell()
    with closing(_answer(url, arrived)) as answer:
        start, total = _extent(answer)
        if total is not None and total != size:
            raise DownloadError(
                f"{url} offers {total:,} bytes, but the file has {size:,}: something answered in its place, such as a "
                "proxy's page or a mirror with another version. Nothing of it was kept."
            )
        if start != arrived:  # not what was asked for: from the beginning, or of no use
            target.truncate(0)
            advance(-arrived)
            arrived = 0
        if start != arrived:
            raise _Passing("it sends another part than the one asked for")
        while chunk := _read(answer, min(_CHUNK, size - arrived)):
            target.write(chunk)
            arrived += len(chunk)
            advance(len(chunk))


def _answer(url: str, start: int) -> http.client.HTTPResponse:
    """What the server has from byte `start` on, or from the beginning; redirections are followed."""
    headers = {"User-Agent": "language-model-kit", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_SILENCE_S)
    except urllib.error.HTTPError as error:
        if error.code not in (408, 429, 500, 502, 503, 504):
            raise DownloadError(f"{url} answers {error.code} {error.reason}; it may have moved.") from error
        raise _Passing(f"it answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _Passing(str(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Passing(str(error) or type(error).__name__) from error


def _read(answer: http.client.HTTPResponse, most: int) -> bytes:
    """The next bytes; none at the end, and none either when the connection is lost in good order."""
    try:
        return answer.read(most)
    except (OSError, http.client.HTTPException) as error:
        raise _Passing(str(error) or type(error).__name__) from error


def _extent(answer: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Where the bytes of an answer begin in the file, and how long the server says that the whole file is."""
    length = answer.headers.get("Content-Length")
    if answer.status != 206:
        return 0, int(length) if length else None
    try:
        unit, _, extent = answer.headers.get("Content-Range", "").partition(" ")
        span, _, total = extent.partition("/")
        if unit != "bytes":
            raise ValueError(unit)
        return int(span.partition("-")[0]), None if total == "*" else int(total)
    except ValueError as error:
        raise _Passing("it answers with a part of the file and does not say which") from error


def _nothing_comes(file: RemoteFile, url: str, part: Path, trouble: str) -> DownloadError:
    host, arrived = urllib.parse.urlsplit(url).netloc, part.stat().st_size
    if arrived:
        kept = f" {human(arrived)} are kept in {part}; run this again to go on."
    else:
        kept = ""
        part.unlink()
    unpacked = "unpack it and " if file.packed else ""
    return DownloadError(
        f"nothing comes from {host}: {trouble}.{kept} The tests need no network, and short texts lie in "
        "tests/fixtures/text/. Where this host cannot be reached, a mirror may be: HF_ENDPOINT=https://... make data. "
        f"To bring the file from another machine: fetch {url} there, {unpacked}"
        f"put it here as {part.with_name(file.name)}."
    )


def _unpack(file: RemoteFile, packed: Path, folder: Path, observer: Observer) -> None:
    """Unpack into place and delete the packed file; no more is written than the text is long."""
    target = folder / f"{file.name}.part"
    advance = observer.stage(f"unpack {file.remote_name}", file.text.size)
    digest, written = hashlib.sha256(), 0
    try:
        with gzip.open(packed) as source, target.open("wb") as out:
            while chunk := source.read(min(_CHUNK, file.text.size - written + 1)):
                written += len(chunk)
                if written > file.text.size:
                    break
                digest.update(chunk)
                out.write(chunk)
                advance(len(chunk))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DownloadError(f"{packed} cannot be unpacked ({error}); delete it, and run this again.") from error
    if written != file.text.size or digest.hexdigest() != file.text.sha256:
        target.unlink()
        raise DownloadError(f"{packed} unpacks to another text than {file.name}; delete it, and run this again.")
    target.replace(folder / file.name)
    packed.unlink()


def _sha256(path: Path, observer: Observer) -> str:
    advance, digest = observer.stage(f"check {path.name}", path.stat().st_size), hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()
