"""Are the tensors that an adapter was given afterwards as they were?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..cases.case import Case
from ..cases.compare import compare
from ..submission.faults import NothingToAssess, is_refusal

if TYPE_CHECKING:
    from ..submission.interface import Submission


def inputs_after(submission: Submission, case: Case) -> Any:
    """What the driver `inputs_after` says of a call.

    Code that cannot even be called, such as a model that cannot be built, fails the claims on its values for that. It
    does not lose this claim, too: one cause costs once.

    Raises:
        NothingToAssess: the call raised, and so does the same call without this driver.
    """
    try:
        return submission.inputs_after(**case.inputs)
    except Exception as error:
        if is_refusal(error):
            _must_work(submission, **case.inputs)
        raise


def _must_work(submission: Submission, adapter: str, inputs: dict[str, Any]) -> None:
    try:
        getattr(submission, adapter)(**inputs)
    except Exception as error:
        if is_refusal(error):
            raise NothingToAssess("a call that fails does not show whether it modifies its inputs") from error
        raise


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
