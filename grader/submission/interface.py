"""What tests talk to: a submission, opened in this process (`in_process.py`) or behind the wall (`wall/walled.py`)."""

from __future__ import annotations

import functools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from ..worker.operation_table import OPERATIONS, Kept, Operation
from ..worker.probe import same
from ..worker.wire import WireError
from .faults import AdapterMissing, Fault, NothingToAssess, Todo
from .files import Files
from .recording import Recording
from .transcript import TIMED, kept_of

Question = tuple[str, dict[str, Any]]
"""(operation, arguments) of one call."""


class UnknownOperation(Exception):
    """A test asks for something that is no operation: a mistake in the kit, and never one of the submission's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is not an operation: grader/worker/operation_table.py does not list it.")


def _known(name: str) -> Operation:
    if name not in OPERATIONS:
        raise UnknownOperation(name)
    return OPERATIONS[name]


@dataclass(frozen=True, eq=False)
class _Answered:
    """A call that was made before any test: what came of it, a value or an exception, and what was seen meanwhile."""

    operation: str
    arguments: dict[str, Any]
    outcome: Any
    uses: list[Any]
    generation: int


@dataclass
class Peak:
    """bytes: the most memory that was in use while something was measured."""

    bytes: int = 0


class Submission(ABC):
    """What tests talk to: every adapter and every driver is a method that takes and returns plain data.

        submission.run_softmax(in_features=x, dim=-1)
        submission.clip(parameters=[...], gradients=[...], max_l2_norm=1.0)

    Each call gets its own copy of its arguments.
    """

    generation = 0
    """Counts how often the code was loaded afresh; handles of an earlier generation are void."""

    own_adapters: tuple[str, ...] = ()
    """The adapters beyond the public assignment's that its adapters module defines, once it was imported."""

    def __init__(self, files: Files | None = None) -> None:
        self._files = files
        self._tokenizers: dict[Any, OpenTokenizer] = {}
        self.transcript: list[Any] | None = None
        """What came of every call since `begin_transcript`: the value, or the exception. None: nobody asked for it."""
        self.asked: list[Question] = []
        """The calls in the transcript, while one is kept."""
        self._answered: list[_Answered] = []
        self.uses_seen: list[Any] = []
        """Uses of ready-made code while calls ran, as `worker/usage_monitor.py` describes them: the worker's word."""
        self.noticed: list[dict[str, str]] = []
        """What honest code has no reason for, as `worker/audit.py` describes it, and what the judge itself saw."""

    @property
    def has_files(self) -> bool:
        """Whether it is a folder, rather than code alone."""
        return self._files is not None

    @property
    def files(self) -> Files:
        """The submission's files, as data: read by the judge, never by way of the submission's code."""
        if self._files is None:
            raise NothingToAssess("no folder to read from")
        return self._files

    def perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Run one operation. Raises a `grader.submission.faults.Fault` when it gives no value.

        Raises:
            UnknownOperation: when there is no such operation.
        """
        kept = _known(operation).kept
        try:
            value = self._answer_to(operation, arguments)
        except Exception as error:
            self._note((operation, arguments), error)
            raise
        if kept is not Kept.NOTHING:
            self._note((operation, arguments), kept_of(operation, value))
        return value

    def ask_ahead(self, operation: str, arguments: dict[str, Any]) -> Todo | AdapterMissing | None:
        """Run one operation before the tests do, to learn whether it is written; gives what it lacks, if it does.

        What else comes of it, right or wrong, is what the first `perform` with these arguments will get: otherwise a
        submission's very first answer would be lost to the tests.
        """
        _known(operation)
        before = len(self.uses_seen)
        outcome: Any
        try:
            outcome = self._perform(operation, arguments)
        except (Todo, AdapterMissing) as lack:
            return lack
        except Exception as error:
            outcome = error
        finally:
            uses = self.uses_seen[before:]
            del self.uses_seen[before:]
        self._answered.append(_Answered(operation, arguments, outcome, uses, self.generation))
        return None

    def _answer_to(self, operation: str, arguments: dict[str, Any]) -> Any:
        """What comes of an operation, unless it was asked ahead: then what came of it there, once."""
        alike = (a for a in self._answered if a.operation == operation and same(a.arguments, arguments))
        if (answered := next(alike, None)) is None:
            return self._perform(operation, arguments)
        self._answered.remove(answered)
        self.uses_seen += answered.uses
        if isinstance(answered.outcome, Exception):
            raise answered.outcome
        if answered.generation != self.generation:  # its worker has ended, and with it what a handle stands for
            return self._perform(operation, arguments)
        return answered.outcome

    def timed(self, operation: str, arguments: dict[str, Any]) -> tuple[Any, float]:
        """Run one operation once; gives its value and the seconds that it took. The transcript says that it was timed.

        These are seconds of processor time where they are known and fewer than those on the clock, so that a busy
        machine costs nobody points. Raises a `Fault` as `perform` does.
        """
        _known(operation)
        if not self.transcript or self.transcript[-1] is not TIMED:  # how often, the clock decides
            self._note((operation, arguments), TIMED)
        used, start = self.cpu_seconds(), time.perf_counter()
        value = self._perform(operation, arguments)
        passed, used = time.perf_counter() - start, self.cpu_seconds() - used
        return value, min(passed, used) if used > 0 else passed

    @abstractmethod
    def cpu_seconds(self) -> float:
        """Processor time that its code has used so far, children that ended included; 0 where nobody knows."""

    def begin_transcript(self) -> None:
        """Keep what is asked from now on, and what comes of it."""
        self.transcript, self.asked = [], []

    def note(self, result: Any) -> Any:
        """Put one test's part of what was made for several into the transcript; gives it back."""
        self._note(("", {}), result)
        return result

    def _note(self, question: Question, what: Any) -> None:
        if self.transcript is not None:
            self.transcript.append(what)
            self.asked.append(question)

    @abstractmethod
    def measuring_memory(self) -> AbstractContextManager[Peak]:
        """Measure how much memory the calls within a with-block take at their peak, from outside of their process
        where they have one."""

    def record(self, operation: str, arguments: dict[str, Any]) -> Recording | None:
        """Make a call once more for what is computed on its way; None if nothing can be said.

        It counts nowhere: not in the transcript, not as a use of ready-made code, not as a remark. What comes of it is
        the submission's word, and to be believed for no points.

        Raises:
            UnknownOperation: when there is no such operation.
        """
        _known(operation)
        try:
            return Recording.read(self._record(operation, arguments))
        except (Fault, WireError):
            return None

    @abstractmethod
    def _record(self, operation: str, arguments: dict[str, Any]) -> Any:
        """The recording as the worker gives it, wherever the submission is."""

    @abstractmethod
    def _perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Run one operation, wherever the submission is."""

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        if operation.startswith("_"):
            raise AttributeError(operation)
        return functools.partial(self._call, operation)

    def _call(self, operation: str, **arguments: Any) -> Any:
        return self.perform(operation, arguments)

    def tokenizer(
        self,
        vocab: dict[int, bytes],
        merges: list[tuple[bytes, bytes]],
        special_tokens: list[str] | None = None,
    ) -> OpenTokenizer:
        """The student's tokenizer with this vocabulary; the same arguments give the same object again."""
        key = (id(vocab), id(merges), None if special_tokens is None else tuple(special_tokens))
        if key not in self._tokenizers:
            arguments = {"vocab": vocab, "merges": merges, "special_tokens": special_tokens}
            self._tokenizers[key] = OpenTokenizer(self, "open_tokenizer", arguments)
        return self._tokenizers[key]

    def tokenizer_from_files(
        self, vocab_json: bytes, merges_text: bytes, special_tokens: list[str] | None = None
    ) -> OpenTokenizer:
        """The student's tokenizer built from files with these contents."""
        arguments = {"vocab_json": vocab_json, "merges_text": merges_text, "special_tokens": special_tokens}
        return OpenTokenizer(self, "open_tokenizer_from_files", arguments)


@dataclass(frozen=True)
class Streamed:
    """ids: how many came of a stream; peak_bytes: the most memory in use meanwhile, the tokenizer's own included;
    seconds: of processor time that it took, 0 where nobody knows."""

    ids: int
    peak_bytes: int
    seconds: float


class OpenTokenizer:
    """A tokenizer that lives beside the student's code; opened on first use and again after a restart."""

    def __init__(self, submission: Submission, opener: str, arguments: dict[str, Any]) -> None:
        self._submission = submission
        self._opener = opener
        self._arguments = arguments  # also keeps alive the objects whose ids are the key in `Submission.tokenizer`
        self._handle: tuple[int, int] | None = None
        self._absent: Todo | AdapterMissing | None = None

    def encode(self, text: str) -> list[int]:
        return self._ask("tokenizer_encode", text=text)

    def decode(self, ids: list[int]) -> str:
        return self._ask("tokenizer_decode", ids=ids)

    def encode_iterable(self, chunks: list[str]) -> list[int]:
        return self._ask("tokenizer_encode_iterable", chunks=chunks)

    def encode_file(self, content: bytes) -> list[int]:
        return self._ask("tokenizer_encode_file", content=content)

    def chunks_read_before_first_id(self, chunk: str, available: int) -> int:
        return self._ask("tokenizer_chunks_read_before_first_id", chunk=chunk, available=available)

    def stream(self, chunk: str, repeats: int) -> Streamed:
        """Let `encode_iterable` go through `repeats` equal chunks, one id at a time."""
        self.open()
        used = self._submission.cpu_seconds()
        with self._submission.measuring_memory() as peak:
            ids = self._ask("tokenizer_stream", chunk=chunk, repeats=repeats)
        return Streamed(ids, peak.bytes, self._submission.cpu_seconds() - used)

    def seconds_to_encode(self, text: str) -> float:
        """How long `encode` takes for a text, as `Submission.timed` has it."""
        return self._submission.timed("tokenizer_encode", {"handle": self.open(), "text": text})[1]

    def open(self) -> int:
        """Its handle, once it is built."""
        if self._absent is not None:  # asking again with all of GPT-2's tables would take its time and change nothing
            raise self._absent
        if self._handle is None or self._handle[0] != self._submission.generation:
            try:
                handle = self._submission.perform(self._opener, self._arguments)
            except (Todo, AdapterMissing) as fault:
                self._absent = fault
                raise
            self._handle = (self._submission.generation, handle)
        return self._handle[1]

    def _ask(self, operation: str, **arguments: Any) -> Any:
        return self._submission.perform(operation, {"handle": self.open(), **arguments})
