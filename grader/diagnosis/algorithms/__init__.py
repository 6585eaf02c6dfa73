"""Where an algorithm leaves the right path, and which other algorithm walks the student's: one module for each.

Each holds a plain form of its algorithm whose steps can be done in other *ways*. A way, or two together, is said when
it gives the student's wrong answers exactly, and nothing else tried does. Imports what `diagnosis` may; nothing of it
needs the reference, so it works in a student's copy. Start reading at `ways.py`, then `clipping_norms.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...scoring.outcome import Clue
from ...submission.interface import Submission
from . import (
    adam_steps,
    bpe_encoding,
    bpe_training,
    checkpoint_entries,
    clipping_norms,
    schedule_pieces,
    windows,
)

if TYPE_CHECKING:
    from ..clues import Failure

_BY_PROBLEM: dict[str, Callable[[Failure, Submission], Clue | None]] = {
    "train_bpe": bpe_training.find,
    "adamw": adam_steps.find,
    "data_loading": windows.find,
    "checkpointing": checkpoint_entries.find,
    "gradient_clipping": clipping_norms.find,
    "learning_rate_schedule": schedule_pieces.find,
    "tokenizer": bpe_encoding.find,
}


def find_algorithm(failure: Failure, submission: Submission) -> Clue | None:
    """A source of clues: see the module."""
    find = _BY_PROBLEM.get(failure.problem)
    return find(failure, submission) if find is not None else None
