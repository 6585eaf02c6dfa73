"""What a leaderboard is asked for, and what is asked of one submission."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import Refused
from .batch import REPORTS, stamped
from .collection import HandedIn
from .leaderboard import CONTEXT_LENGTH

TEXT_KIB = 256
"""So much of a text counts: some 60,000 tokens, on which a model of 23 million weights keeps a core for 2 minutes."""
_LEAST_BYTES = 1024


@dataclass(frozen=True)
class Board:
    """What a leaderboard is asked for.

    text: the validation text; text_bytes: so many of it count; digest: of these, in hexadecimal digits; anonymous:
    whether the page has aliases in place of ids.
    """

    text: Path
    text_bytes: int
    digest: str
    anonymous: bool = False


@dataclass(frozen=True)
class BoardOrder:
    """What to measure, on what, and where to leave what comes of it.

    source: folder or archive; target: the folder for reports; asked: see `BoardEntry`; text: a file, of which the first
    so many bytes count.
    """

    source: str
    target: str
    asked: str
    text: str
    text_bytes: int

    @classmethod
    def from_json(cls, text: str) -> BoardOrder:
        return cls(**json.loads(text))

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def board_of(text: Path, kib: int = TEXT_KIB, anonymous: bool = False) -> Board:
    """A leaderboard on the first so many KiB of a text.

    Raises:
        Refused: there is no such text, it is not UTF-8, or too short to tell models apart.
    """
    try:
        content = read_text(text, kib << 10).encode()
    except OSError as error:
        raise Refused(f"--leaderboard {text} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Refused(
            f"--leaderboard {text} is not UTF-8 text (byte {error.start}); name the text itself, not its token ids."
        ) from error
    if len(content) < _LEAST_BYTES:
        raise Refused(
            f"--leaderboard {text} has {len(content)} bytes; a loss on fewer than {_LEAST_BYTES} says little."
        )
    return Board(text.absolute(), len(content), hashlib.sha256(content).hexdigest(), anonymous)


def board_order(submission: HandedIn, out: Path, board: Board) -> BoardOrder:
    """What the unit is told of one submission."""
    assert submission.source is not None
    source = os.path.abspath(submission.source)
    asked = stamped(Path(source), f"{CONTEXT_LENGTH} {board.digest}")
    return BoardOrder(source, os.path.abspath(out / REPORTS / submission.id), asked, str(board.text), board.text_bytes)


def read_text(path: Path, most: int) -> str:
    """The first so many bytes of a text, without half of a character at the end.

    Raises:
        UnicodeDecodeError: it is not UTF-8; OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(most + 1)
    end = min(most, len(data))
    while 0 < end < len(data) and data[end] & 0xC0 == 0x80:
        end -= 1
    return data[:end].decode("utf-8")
