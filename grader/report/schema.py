"""The contract of a report's JSON form: `schema.json` beside this file, described for people in `docs/report.md`."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

SCHEMA_FILE = Path(__file__).with_name("schema.json")


@functools.cache
def load_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that every report fulfils."""
    return json.loads(SCHEMA_FILE.read_text("utf-8"))


def schema_version() -> int:
    """The version that a report of this kit carries; the schema says when it changes."""
    return load_schema()["properties"]["schema_version"]["const"]
