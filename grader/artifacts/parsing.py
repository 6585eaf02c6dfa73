"""JSON and TOML of a stranger: what is doubtful about them is a sentence, never a traceback."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from ..submission.faults import WrongResult

_COMPLAINT = 200


def parse_json(text: str, name: str) -> Any:
    """The value of a JSON text in which no key appears twice.

    NaN and Infinity, which Python writes although JSON has no words for them, come as floats.

    Raises:
        WrongResult: when it is none.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) < len(pairs):
            raise WrongResult(f"{name} has an object with the same key twice.")
        return table

    try:
        return json.loads(text, object_pairs_hook=once)
    except RecursionError as error:
        raise WrongResult(f"{name} is nested too deeply.") from error
    except ValueError as error:  # not JSON, or a number of thousands of digits
        raise WrongResult(f"{name} is not valid JSON: {str(error)[:_COMPLAINT]}.") from error


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """The table of a TOML text.

    Raises:
        WrongResult: when it is none.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WrongResult(f"{name} is not valid TOML: {str(error)[:_COMPLAINT]}.") from error
    except (ValueError, OverflowError) as error:  # a number of thousands of digits, a date that is none
        raise WrongResult(f"{name} has a value that cannot be read: {str(error)[:_COMPLAINT]}.") from error
    except RecursionError as error:
        raise WrongResult(f"{name} is nested too deeply.") from error


def shown(value: Any, most: int = 60) -> str:
    """A value as it may stand in a sentence, whatever it is."""
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length():,} bits"
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
