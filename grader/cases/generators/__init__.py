"""One generator per problem: `generate(draw)` yields that problem's cases with inputs from the drawing's seed.

Imports `cases`, and `submission` and `reference` where an answer needs them. Start reading at `softmax.py`. Staff only:
with these and the reference, a grade uses inputs that nobody has seen before.
"""

import importlib
from typing import Any

import torch

from ...submission.faults import AdapterMissing, Fault
from ...submission.given_weights import GivenWeights
from ..assets import FixtureError
from ..case import Oracle
from ..kernel_formulas import by_formula

IN_DTYPES = (("float64", torch.float64, 2e-5), ("float16", torch.float16, 3e-3), ("bfloat16", torch.bfloat16, 2e-2))
"""Name, type and relative tolerance of the cases with which a layer is tried in another type than float32.

In float64, too, no more than float32's precision is asked for: what is judged is that the type is kept.
"""


def reference_oracle() -> Oracle:
    """The staff solution, opened in this process: it gives the expected outputs of drawn cases, but for kernels, of
    which the formula is asked.

    It raises `FixtureError` where the solution gives none, which must never be taken for the submission's doing.
    """
    solution = GivenWeights(importlib.import_module("grader.reference.adapters"))

    def answer(operation: str, inputs: dict[str, Any]) -> Any:
        if (computed := by_formula(operation, inputs)) is not None:
            return computed
        try:
            return solution.perform(operation, inputs)
        except AdapterMissing as fault:
            why = fault.message.replace("the submission", "the reference")
            raise FixtureError(
                f"{operation} has no answer, since {why}. Write it in grader/reference/adapters.py."
            ) from fault
        except Fault as fault:
            raise FixtureError(f"{operation} has no answer of the reference's: {fault.message}") from fault

    return answer
