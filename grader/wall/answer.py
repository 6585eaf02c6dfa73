"""An answer of a worker, read from bytes that anybody beside the submission may have written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..worker import wire

_TEXT_LIMIT = 4000
_REMARKS_KEPT = 20
_REMARK_FIELDS = 3
_USES_KEPT = 600
_REMARK_LIMIT = 300


@dataclass(frozen=True)
class Answer:
    """An answer of a worker: of the form that it should have, and not believed beyond that.

    kind: "ok", or what the call ended with; value: plain data, for "ok"; message, traceback, type_name: texts about
    what it ended with; package, missing_name, newer: what the machine may lack for it (see `worker/lacking.py`), or "";
    uses_seen, noticed: what the worker saw meanwhile.
    """

    kind: str
    value: Any = None
    message: str = ""
    traceback: str = ""
    type_name: str = ""
    package: str = ""
    missing_name: str = ""
    newer: str = ""
    uses_seen: list[dict[str, str]] = field(default_factory=list)
    noticed: list[dict[str, str]] = field(default_factory=list)


def read_answer(body: bytes | bytearray, token: int) -> Answer:
    """The answer to the request with this token; whoever runs beside the worker may have written it.

    Raises:
        wire.WireError: when it is none, for whatever reason, or too large.
    """
    try:
        fields = wire.decode(body)
        if type(fields) is not dict or not all(type(key) is str for key in fields):
            raise wire.WireError("an answer of another form")
        if type(fields.get("id")) is not int or fields["id"] != token:
            raise wire.WireError("an answer to no question")
        if fields.get("kind") == "ok" and "value" not in fields:
            raise wire.WireError("an answer without a value")
        return Answer(
            kind=_text(fields, "kind"),
            value=fields.get("value"),
            message=_text(fields, "message"),
            traceback=_text(fields, "traceback"),
            type_name=_text(fields, "type"),
            package=_text(fields, "package"),
            missing_name=_text(fields, "missing_name"),
            newer=_text(fields, "newer"),
            uses_seen=_remarks(fields.get("uses_seen", []), _USES_KEPT),
            noticed=_remarks(fields.get("noticed", [])),
        )
    except (wire.WireError, MemoryError):
        raise
    except Exception as error:  # nothing that a frame holds may end the judge
        raise wire.WireError(f"malformed answer: {type(error).__name__}: {error}") from error


def _text(fields: dict[str, Any], key: str) -> str:
    text = fields.get(key, "")
    if type(text) is not str:
        raise wire.WireError(f"an answer whose {key} is no text")
    return text[:_TEXT_LIMIT]


def _remarks(said: Any, most: int = _REMARKS_KEPT) -> list[dict[str, str]]:
    """What the worker says it saw. Texts may be cut; another form is nothing that a worker sends."""
    if type(said) is not list:
        raise wire.WireError("remarks that are no list")
    remarks = []
    for remark in said:
        if type(remark) is not dict or len(remark) > _REMARK_FIELDS:
            raise wire.WireError("a malformed remark")
        if not all(type(text) is str for pair in remark.items() for text in pair):
            raise wire.WireError("a remark that is no text")
        remarks.append({key[:_REMARK_LIMIT]: text[:_REMARK_LIMIT] for key, text in remark.items()})
    return remarks[:most]
