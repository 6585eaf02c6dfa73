"""The class as one page that needs nothing else: `OUT/index.html`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..report import html
from .class_statistics import ClassStatistics

_HERE = Path(__file__).resolve().parent
_STYLES = Path(html.__file__).resolve().parent


def render_class(
    statistics: ClassStatistics, titles: Mapping[str, str], name: str, pages: Mapping[str, str] | None = None
) -> str:
    """The whole page. What submissions and rosters hold is escaped, wherever it stands; the script reads it as text.

    Args:
        titles: {claim: what should hold}.
        name: of the class, as the title has it; pages: {file beside this one: what it shows}.
    """
    environment = Environment(
        loader=FileSystemLoader([_HERE, _STYLES]), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["path"] = quote
    highest = max(statistics.bins, default=0) or 1
    return environment.get_template("class_page.html.j2").render(
        it=statistics, titles=titles, name=name, pages=pages or {}, highest=highest, total=len(statistics.students)
    )
