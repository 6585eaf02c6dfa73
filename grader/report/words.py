"""What statuses, results and effects are called where a person reads them."""

from __future__ import annotations

from ..rules.from_scratch import Effect
from ..scoring.outcome import Result
from ..scoring.points import Status

STATUS = {
    Status.PASS: "✓ pass",
    Status.PARTIAL: "◐ partial",
    Status.FAIL: "✗ fail",
    Status.TODO: "○ todo",
    Status.NOT_PROVIDED: "– not provided",
    Status.ERROR: "! error",
    Status.NOT_ASSESSED: "· not assessed",
}
RESULT = {
    Result.FAIL: "failed",
    Result.ERROR: "raised an error",
    Result.TIMEOUT: "took too long",
    Result.CRASH: "ended the process",
    Result.NOT_RUN: "was not run",
    Result.TODO: "is not written yet",
    Result.SKIP: "is not provided",
    Result.ABSENT: "could not be assessed",
}
EFFECT = {
    Effect.ZERO: "the problem's points are withheld",
    Effect.CARRIED: "costs nothing here",
    Effect.WARN: "costs no points",
}
ADVICE = "Advice costs no points: the assignment does not ask for it, and code that others use is better for it."
SUSPICIOUS = "This costs no points by itself: a person should look at it."
INSTALL = (
    "What needs them is not assessed. --environment own installs what the submission's own pyproject.toml or "
    "requirements.txt lists."
)
