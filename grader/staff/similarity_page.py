"""The pairs of submissions that are most alike, on one page with their lines side by side: `OUT/similarity.html`."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..escape import visible
from ..kit.paths import KIT
from ..report import html
from ..submission.archive import ArchiveRefused, is_archive, unpacked
from ..submission.files import read_source
from .batch import spread
from .collection import HandedIn
from .fingerprints import Fingerprint, of_stubs, read_fingerprints
from .similarity import AlikePair, Region, rank, regions, typical

FINGERPRINTS = "fingerprints.json"
_HERE = Path(__file__).resolve().parent
_STYLES = Path(html.__file__).resolve().parent
_LIMIT_S = 120.0
_PAIRS, _REGIONS, _LINES = 40, 12, 60
_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class ShownRegion:
    """A region with its lines: (number, text) of each side."""

    region: Region
    one: tuple[tuple[int, str], ...]
    other: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class ShownPair:
    """A pair with the regions that are shown of it, and how many are not."""

    pair: AlikePair
    regions: tuple[ShownRegion, ...]
    left_out: int


def take_fingerprints(submissions: Sequence[HandedIn], reports: Path, jobs: int) -> dict[str, list[Fingerprint]]:
    """{submission: its fingerprints}, each taken in a process of its own; what could not be read is not there."""

    def take(one: HandedIn) -> Callable[[], tuple[str, list[Fingerprint] | None]]:
        return lambda: (one.id, _taken(one, reports / one.id / FINGERPRINTS))

    found: dict[str, list[Fingerprint]] = {}
    with ThreadPoolExecutor(jobs) as pool:
        for id, fingerprints in spread(pool, (take(one) for one in submissions if one.source), 2 * jobs, _lost):
            if fingerprints is not None:
                found[id] = fingerprints
    return dict(sorted(found.items()))


def _lost(_: object, error: BaseException) -> tuple[str, None]:
    raise error


def _taken(one: HandedIn, target: Path) -> list[Fingerprint] | None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    assert one.source is not None
    paths = [str(path.absolute()) for path in (one.source, target)]
    command = [sys.executable, "-m", "grader.staff.fingerprints", *paths]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, cwd=KIT, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S, check=False)
    try:
        return read_fingerprints(target)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def similarity_page(submissions: Sequence[HandedIn], reports: Path, jobs: int) -> str:
    """The whole page. Code of submissions is text on it."""
    taken = take_fingerprints(submissions, reports, jobs)
    stubs = of_stubs()
    hashes = {id: [one.hash for one in found] for id, found in taken.items()}
    pairs = rank(hashes, stubs, _PAIRS)
    sources = {one.id: one.source for one in submissions if one.source}
    shown = [_shown(pair, taken, sources, stubs) for pair in pairs]
    environment = Environment(
        loader=FileSystemLoader([_HERE, _STYLES]), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("similarity_page.html.j2").render(
        pairs=shown, count=len(taken), typical=typical(hashes, stubs),
        unread=[one.id for one in submissions if one.source and one.id not in taken],
    )  # fmt: skip


def _shown(
    pair: AlikePair, taken: dict[str, list[Fingerprint]], sources: dict[str, Path], stubs: frozenset[int]
) -> ShownPair:
    found = regions(taken[pair.one], taken[pair.other], stubs)
    with _folder(sources[pair.one]) as one, _folder(sources[pair.other]) as other:
        shown = tuple(
            ShownRegion(region, tuple(_lines(one, *region.one)), tuple(_lines(other, *region.other)))
            for region in found[:_REGIONS]
        )
    return ShownPair(pair, shown, len(found) - len(shown))


@contextlib.contextmanager
def _folder(source: Path) -> Iterator[Path | None]:
    """The folder of a submission; None where its archive cannot be opened any more."""
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(unpacked(source)) if is_archive(source) else source
        except ArchiveRefused:
            folder = None
        yield folder


def _lines(folder: Path | None, file: str, first: int, last: int) -> Iterator[tuple[int, str]]:
    if folder is None:
        return
    try:
        lines = read_source(folder / file, _FILE_BYTES, folder).split("\n")
    except (OSError, UnicodeDecodeError):
        return
    for number in range(first, min(last, first + _LINES - 1) + 1):
        yield number, visible(lines[number - 1]) if number <= len(lines) else ""
