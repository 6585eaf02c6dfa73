"""The leaderboard as one page that needs nothing else: `OUT/leaderboard.html`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..report import html
from .leaderboard import CONTEXT_LENGTH, BoardLine, BoardState

_HERE = Path(__file__).resolve().parent
_STYLES = Path(html.__file__).resolve().parent


def render_board(lines: Sequence[BoardLine], text: str, text_bytes: int, anonymous: bool) -> str:
    """The whole page. What submissions hold is escaped, wherever it stands.

    Args:
        text: the name of the validation text, of which so many bytes count.
        anonymous: leave out whatever an author could have written a name into, such as the names of folders.
    """
    environment = Environment(
        loader=FileSystemLoader([_HERE, _STYLES]), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("leaderboard_page.html.j2").render(
        lines=[(line, _note(line, anonymous)) for line in lines],
        vocabularies={line.entry.vocab_size for line in lines if line.rank is not None},
        text=text, text_bytes=text_bytes, context_length=CONTEXT_LENGTH, anonymous=anonymous,
    )  # fmt: skip


def _note(line: BoardLine, anonymous: bool) -> str:
    if not anonymous or line.entry.state is BoardState.MEASURED:
        return line.entry.says
    return "claimed, not recomputed" if line.entry.state is BoardState.CLAIMED else "not measured yet"
