"""CSV: a line for each problem. Pure.

Spreadsheets run cells that begin as a formula does. So such cells get an apostrophe in front, as OWASP advises
(https://owasp.org/www-community/attacks/CSV_Injection).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from ...escape import visible
from .account import accounts

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def cell(value: Any) -> Any:
    """A value as a cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if value is None or isinstance(value, int | float):
        return value
    text = visible(str(value)).replace("\n", " ")
    return f"'{text}" if str(value).startswith(_FORMULA) or text.startswith(_FORMULA) else text


def as_csv(report: Mapping[str, Any]) -> str:
    """The report as a table: problem, status, points, and what is wrong."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("problem", "title", "section", "status", "earned", "assessed", "points", "says"))
    for one in accounts(report):
        said = one.remark or "; ".join(complaint.headline for complaint in one.complaints)
        cells = (one.id, one.title, one.section, str(one.status), one.earned, one.assessed, one.points, said)
        writer.writerow([cell(value) for value in cells])
    return out.getvalue()
