"""What a setting that cannot be is answered with: a ValueError that names what does not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..submission.interface import Submission


def check_refused(submission: Submission, adapter: str, inputs: Mapping[str, Any], what: str, *values: object) -> None:
    """Raise AssertionError unless an adapter refuses these arguments with a ValueError that names all of these values.

    Args:
        what: the setting in words, such as "3 heads for 2 key heads".
    """
    said = submission.refusal(adapter=adapter, inputs=dict(inputs))
    assert said is not None, f"{adapter} takes {what}"
    missing = [str(value) for value in values if not re.search(rf"(?<!\w){re.escape(str(value))}(?!\w)", said)]
    assert not missing, f"the error for {what} does not name {' and '.join(missing)}; it says: {said[:300]}"
