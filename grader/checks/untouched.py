"""Are the tensors that an adapter was given afterwards as they were?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..cases.case import Case
from ..cases.compare import compare
from ..submission.faults import NothingToAssess, StudentError, is_refusal

if TYPE_CHECKING:
    from ..submission.interface import Submission


def inputs_after(submission: Submission, case: Case) -> Any:
    """What the driver `inputs_after` says of a call.

    A model that cannot be built fails the claims on its values for that. It does not lose this claim, too: one cause
    costs once. An error in the computation counts as in every other claim, where a known bug may be carried forward.

    Raises:
        NothingToAssess: the call did not come to computing, and neither does the same call without this driver.
    """
    try:
        return submission.inputs_after(**case.inputs)
    except Exception as error:
        if _is_about_names(error):
            _must_begin(submission, **case.inputs)
        raise


def _must_begin(submission: Submission, adapter: str, inputs: dict[str, Any]) -> None:
    try:
        getattr(submission, adapter)(**inputs)
    except Exception as error:
        if _is_about_names(error):
            raise NothingToAssess("a call that fails at once does not show what it does to its inputs") from error


def _is_about_names(error: Exception) -> bool:
    """Whether code asked for a name, or passed an argument, that does not exist: it builds something wrongly."""
    kind = error.type_name if isinstance(error, StudentError) else type(error).__name__
    return is_refusal(error) and kind in ("AttributeError", "NameError", "TypeError")


def check_untouched(submission: Submission, case: Case, *names: str) -> None:
    """Raise `Mismatch` unless a call leaves these inputs as they were, whatever it returns.

    Other inputs do not matter: an adapter that takes entries out of the dict of weights harms nobody.

    Args:
        case: one for the driver `inputs_after`.
    """
    before = case.inputs["inputs"]
    after = inputs_after(submission, case)["inputs"]
    compare(
        {name: before[name] for name in names},
        {name: after.get(name) for name in names},
        where="inputs after the call",
    )
