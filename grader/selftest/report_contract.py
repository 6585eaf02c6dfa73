"""Holds reports to their schema, and writes `docs/report.md` from it.

python -m grader.selftest.report_contract            does the document agree with the schema?
python -m grader.selftest.report_contract --write    write it anew
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ..kit.paths import KIT
from ..report.schema import load_schema

DOCUMENT = KIT / "docs" / "report.md"
_FAULTS_SHOWN = 5
_INTRODUCTION = """\
<!-- Generated from grader/report/schema.json by `python -m grader.selftest.report_contract --write`. -->

# The report as JSON

{description}

[`grader/report/schema.json`](../grader/report/schema.json) is the contract, as a JSON Schema (draft 2020-12); this is
the same for people. It allows what this version of the kit writes and nothing else, so that it also finds what is
misspelt.
"""


@functools.cache
def _validator(part: str) -> Any:
    from jsonschema import Draft202012Validator

    schema = load_schema()
    return Draft202012Validator({"$ref": f"#/$defs/{part}", "$defs": schema["$defs"]} if part else schema)


def check(report: Mapping[str, Any], part: str = "") -> None:
    """Raise AssertionError unless a report, or a part of one such as "problem", fulfils the schema."""
    faults = [f"{fault.json_path}: {fault.message[:300]}" for fault in _validator(part).iter_errors(report)]
    shown = "\n".join(faults[:_FAULTS_SHOWN])
    assert not faults, f"{len(faults)} faults against grader/report/schema.json:\n{shown}"


def checked(text: str | bytes) -> dict[str, Any]:
    """The report in a JSON text, which must be valid in the strict sense (no NaN) and fulfil the schema."""
    report = json.loads(text, parse_constant=_refuse)
    check(report)
    return report


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def document() -> str:
    """The schema for people: a table for each kind of object."""
    schema = load_schema()
    lines = [_INTRODUCTION.format(description=schema["description"]), *_described("report", schema)]
    for name, definition in schema["$defs"].items():
        lines += ["", *_described(name, definition)]
    return "\n".join(lines) + "\n"


def _described(name: str, definition: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {definition['title']}"
    yield ""
    if name != "report":
        yield definition["description"]
        yield ""
    yield "| field | type | meaning |"
    yield "|---|---|---|"
    for field, what in definition["properties"].items():
        may_lack = "" if field in definition["required"] else " (may be missing)"
        yield f"| `{field}`{may_lack} | {_type(what)} | {_cell(what['description'])} |"


def _type(what: Mapping[str, Any]) -> str:
    """A type in words, with a link to the table of an object."""
    match what:
        case {"const": value}:
            return f"`{value}`"
        case {"enum": values}:
            return " ".join(f"`{value}`" if value else '`""`' for value in values)
        case {"$ref": reference}:
            name = reference.rpartition("/")[2]
            title = load_schema()["$defs"][name]["title"]
            return f"[{title}](#{_anchor(title)})"
        case {"anyOf": choices}:
            return " or ".join(map(_type, choices))
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"type": "object", "additionalProperties": values}:
            return f"object: name to {_type(values)}"
        case {"type": list(types)}:
            return " or ".join(types)
        case {"type": kind}:
            return str(kind)
    raise ValueError(f"a type that has no words yet: {what}")


def _anchor(title: str) -> str:
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Returns 1 where the document does not agree with the schema."""
    parser = argparse.ArgumentParser("python -m grader.selftest.report_contract", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the document anew")
    if parser.parse_args().write:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(document(), "utf-8")
    agrees = DOCUMENT.is_file() and DOCUMENT.read_text("utf-8") == document()
    print(f"{DOCUMENT.relative_to(KIT)} {'agrees' if agrees else 'does not agree'} with the schema")
    return int(not agrees)


if __name__ == "__main__":
    sys.exit(main())
