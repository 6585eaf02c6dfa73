"""GitHub Actions: a step's summary, and annotations beside the lines of code. Pure.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands: how commands escape what they say.
Of a kind, no more than ten are shown for a step; a summary may have 1 MiB.
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...escape import visible
from .account import Account, accounts

MOST_ANNOTATIONS = 10
MOST_BYTES = 1_000_000
_CUT = "\n\nThe rest does not fit into a summary: the report has it.\n"
_MARKS = {"pass": "✅", "partial": "🟡", "fail": "❌", "error": "❌", "todo": "⬜"}


def summary(report: Mapping[str, Any]) -> str:
    """A step's summary, in GitHub's Markdown: points, a table of problems, and what is wrong with each."""
    score = report["score"]
    lines = [f"## {score['earned']:g} of {score['assessed']:g} assessed points", ""]
    if report["load_fault"]:
        lines += ["Nothing could run:", _block(visible(report["load_fault"]))]
    lines += ["| problem | points | |", "|---|--:|---|"]
    found = accounts(report)
    for one in found:
        mark = _MARKS.get(one.status, "➖")
        lines.append(f"| {mark} {_inline(one.id)} | {one.earned:g} / {one.assessed:g} | {_inline(one.remark)} |")
    for one in found:
        if one.complaints:
            lines += ["", f"### {_inline(one.id)}: {_inline(one.title)}"]
            lines += [_block("\n".join(complaint.lines())) for complaint in one.complaints]
    text = "\n".join(lines) + "\n"
    encoded = text.encode("utf-8")
    if len(encoded) <= MOST_BYTES:
        return text
    whole = encoded[: MOST_BYTES - len(_CUT) - 100].decode("utf-8", "ignore").rpartition("\n<pre>")[0]
    return whole + _CUT


def annotation_lines(report: Mapping[str, Any], folder: str = "") -> list[str]:
    """Workflow commands, each a line to be printed: one error for each thing that is wrong, what costs most first.

    Args:
        folder: of the submission, relative to the repository; "" where they are the same.
    """
    dearest = sorted(accounts(report), key=lambda one: one.earned - one.assessed)
    return [line for one in dearest for line in _errors(one, folder)][:MOST_ANNOTATIONS]


def _errors(one: Account, folder: str) -> Iterator[str]:
    for complaint in one.complaints:
        properties = {"title": f"{one.id}: {complaint.test}"}
        if complaint.file:
            properties = {"file": posixpath.join(folder, complaint.file), "line": str(complaint.line), **properties}
        listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
        yield f"::error {listed}::{_data(chr(10).join(complaint.lines()))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _inline(text: str) -> str:
    """Text in a cell or a heading: nothing in it is Markdown or HTML."""
    escaped = html.escape(text.replace("\n", " "), quote=False)
    return re.sub(r"([\\`*_{}\[\]()#+!|~@$:-])", r"\\\1", escaped)


def _block(text: str) -> str:
    """Text as it is, in a block that ends with its own tag and nothing else."""
    return f"<pre>{html.escape(text, quote=False)}</pre>"
