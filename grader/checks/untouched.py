"""Are the tensors that an adapter was given afterwards as they were?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cases.case import Case
from ..cases.compare import compare

if TYPE_CHECKING:
    from ..submission.interface import Submission


def check_untouched(submission: Submission, case: Case, *names: str) -> None:
    """Raise `Mismatch` unless a call leaves these inputs as they were, whatever it returns.

    Other inputs do not matter: an adapter that takes entries out of the dict of weights harms nobody.

    Args:
        case: one for the driver `inputs_after`.
    """
    before = case.inputs["inputs"]
    after = submission.inputs_after(**case.inputs)["inputs"]
    compare(
        {name: before[name] for name in names},
        {name: after.get(name) for name in names},
        where="inputs after the call",
    )
