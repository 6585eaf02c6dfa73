"""What can go wrong with one call of a submission, as the judge sees it.

Each fault carries the result that a test gets for it and a message for the student. Differences between an
expected and an actual value are `grader.cases.compare.Mismatch`, which is a failure like any other assertion.
"""

from __future__ import annotations

from ..scoring.outcome import Result


class Fault(Exception):
    """A call that gave no value to judge.

    Args:
        message: one or two sentences for the student.
        detail: more to read, such as the student's own traceback or the end of what the code printed.
    """

    result: Result

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message}\n{self.detail}" if self.detail else self.message


class Todo(Fault):
    """The code raised NotImplementedError: it is not written yet."""

    result = Result.TODO


class AdapterMissing(Fault):
    """The submission has no such adapter."""

    result = Result.SKIP


class NothingToAssess(Fault):
    """What a test would look at is not there; the message says what, as in "no answers.toml"."""

    result = Result.ABSENT


class StudentError(Fault):
    """The code raised an exception, or could not be imported.

    Args:
        type_name: of the exception, such as "ValueError".
    """

    result = Result.ERROR

    def __init__(self, message: str, detail: str = "", type_name: str = "") -> None:
        super().__init__(message, detail)
        self.type_name = type_name


class WrongResult(Fault, AssertionError):
    """The code returned something that is not plain data, or broke a promise on the way."""

    result = Result.FAIL


class CallTimeout(Fault):
    """The code did not return within the judge's limit.

    Args:
        meanwhile: what it did instead, as the end of a sentence.
    """

    result = Result.TIMEOUT

    def __init__(self, message: str, detail: str = "", meanwhile: str = "") -> None:
        super().__init__(message, detail)
        self.meanwhile = meanwhile


class NotRun(Fault):
    """The test was not begun, since others of its problem took too long or ended the process too often."""

    result = Result.NOT_RUN


class WorkerCrash(Fault):
    """The process that ran the code ended."""

    result = Result.CRASH


class ChannelBroken(WorkerCrash):
    """The process sent something that is no answer."""


def is_refusal(error: Exception) -> bool:
    """Whether the submission's own code raised this, as opposed to a fault that the judge sees in it.

    In this process (`in_process.py`) a student's exceptions come as they are.
    """
    return not isinstance(error, Fault) or isinstance(error, StudentError)
