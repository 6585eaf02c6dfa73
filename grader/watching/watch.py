"""`python -m grader watch`: run what a saved file affects, and say what the grader says, until somebody presses q.

One loop waits for keys and for events: files that were saved, a test that ended, an answer, a terminal of another size.
What runs is decided in `work`, what is shown in `screen`; here are the effects. Tests run in a thread, which follows an
examiner that was started ahead (`examination/spare.py`); what is saved meanwhile ends them and comes first.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import os
import queue
import selectors
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ..errors import Refused
from ..escape import visible
from ..examination.runner import has_tests
from ..examination.spare import Spare
from ..report.hints import reply
from ..report.remembered import recall, remember, results_of
from ..report.terminal import safely
from ..rules.reach import Reach, affected, reach_of, state_of
from ..scoring.rubric import Problem, ProblemKind, Rubric
from ..submission.files import Files, read_source
from ..submission.locate import locate
from ..wall.isolation import choose
from ..wall.processes import let_orphans_go
from . import editor, screen, work
from .batch_run import Advanced, Answered, BatchRun, Event, Looked, Redraw, in_a_sentence
from .keyboard import Keyboard
from .saved_files import FolderWatch, changed, look

QUIT, INTERRUPTED = 0, 130
_SOURCE_LIMIT = 1 << 20
_CLEAR = "\x1b[H\x1b[2J"
_CLEAR_LINE = "\r\x1b[2K"


class Watch:
    """One watch over a submission.

    Args:
        named: its folder, as it was named; scope: the id of the only problem to run, or "".

    Raises:
        Refused: there is no submission, no such problem, or nothing that watches files.
    """

    def __init__(self, named: str, rubric: Rubric, scope: str = "", isolation: str = "auto") -> None:
        warnings.simplefilter("ignore")  # of a student's source, as it is read: it is not what was asked
        self._named, self._rubric = named, rubric
        self._layout = locate(named)
        self._isolation = choose(isolation, self._layout)
        self._files = Files(self._layout.root)
        self._problems = [
            p for p in rubric.select([scope] if scope else []) if has_tests(p) and p.kind is not ProblemKind.MANUAL
        ]
        if scope and not self._problems:
            raise Refused(f"{scope} has no tests that saving a file could run.")
        self._keyboard = Keyboard()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._wakes, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._spare: Spare | None = None
        self._run: BatchRun | None = None
        self._reach: dict[str, Reach] = {}
        self._unread: set[str] = set()
        self._snapshot, self._folders = look(self._layout)
        self._folder_watch = FolderWatch(self._folders, self._heard)
        self._view = screen.View(
            rubric, recall(self._files), scope=scope, has_keys=self._keyboard.descriptor is not None
        )

    def loop(self) -> int:
        """Go on until q is pressed, or Ctrl-C; gives the exit code."""
        with self._at_the_terminal(), selectors.DefaultSelector() as selector:
            selector.register(self._wakes, selectors.EVENT_READ)
            if self._keyboard.descriptor is not None:
                selector.register(self._keyboard.descriptor, selectors.EVENT_READ)
            self._begin()
            while True:
                for key, _ in selector.select():
                    if key.fd == self._wakes:
                        os.read(self._wakes, 1024)
                        self._take_events()
                    elif self._press(selector):
                        return QUIT

    def close(self) -> None:
        """End everything that was started."""
        self._folder_watch.stop()
        if self._run is not None:
            self._run.cancel()
            self._run.wait()
        if self._spare is not None:
            self._spare.close()

    # Events

    def _tell(self, event: Event) -> None:
        """From any thread, and from a signal."""
        self._events.put(event)
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b".")

    def _heard(self, trouble: str | None) -> None:
        self._tell(Looked(trouble or ""))

    def _take_events(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                match self._events.get_nowait():
                    case Looked(trouble=trouble):
                        self._look(trouble)
                    case Redraw():
                        self._draw()
                    case Advanced(run=run, test=test) if run is self._run:
                        self._show_progress(run, test)
                    case Answered(run=run) as answered if run is self._run:
                        self._end(answered)

    def _look(self, trouble: str) -> None:
        """Find what was saved, and run what that affects."""
        if trouble:
            self._say(trouble)
        snapshot, folders = look(self._layout)
        if folders != self._folders:
            self._folder_watch.stop()
            self._folders = folders
            self._folder_watch = FolderWatch(folders, self._heard)
        saved = changed(self._snapshot, snapshot)
        self._snapshot = snapshot
        if saved:
            self._saved(saved)

    def _saved(self, saved: tuple[str, ...]) -> None:
        self._unread.update(saved)
        if mistake := self._mistake_in(saved):
            sentence, place = mistake
            self._stop()
            self._view = dataclasses.replace(self._view, saved=saved, reports=(), said=sentence, place=place)
            self._draw()
            return
        before = self._reach
        try:
            self._layout = locate(self._named)
        except Refused as error:
            self._stop()
            self._view = dataclasses.replace(self._view, saved=saved, reports=(), said=str(error), place=None)
            self._draw()
            return
        self._reach = reach_of(self._layout, self._reaching)
        found = affected(self._unread, before, self._reach)
        self._unread.clear()
        self._view = dataclasses.replace(self._view, saved=saved)
        if not found:
            named = visible(", ".join(saved))
            scope = self._view.scope
            self._say(f"{scope} does not rest on {named}." if scope else f"No problem rests on {named}.")
            return
        self._stop()
        self._wait_for(found)

    def _mistake_in(self, saved: Sequence[str]) -> tuple[str, tuple[str, int] | None] | None:
        """The first thing in the saved files that keeps Python from reading one, and its place."""
        root = Path(self._layout.root)
        for name in saved:
            if not name.endswith(".py") or name not in self._snapshot:
                continue
            try:
                ast.parse(read_source(root / name, _SOURCE_LIMIT, root))
            except SyntaxError as error:
                line = error.lineno or 1
                return visible(f"{name}:{line}: {type(error).__name__}: {error.msg}."), (name, line)
            except UnicodeDecodeError as error:
                return f"{visible(name)} is not UTF-8 text (byte {error.start}); save it as UTF-8.", None
            except FileNotFoundError:
                continue  # it has just gone; another event follows
            except OSError as error:
                return f"{visible(name)} cannot be read: {error.strerror}.", None
            except (ValueError, RecursionError, MemoryError) as error:
                return visible(f"{name} cannot be read by Python: {error}."), (name, 1)
        return None

    def _end(self, answered: Answered) -> None:
        """Take down what came of a run, show it, and begin the next."""
        run, self._run = self._run, None
        assert run is not None
        if answered.report is None:
            waiting = work.merged((p.id for p in run.problems), self._view.waiting, self._rubric)
            self._view = dataclasses.replace(self._view, waiting=waiting, running=False, said=answered.trouble)
            self._draw()
            return
        new = results_of(answered.report, self._reach, self._files, time.time())
        unkept = remember(self._files, new)
        self._view = dataclasses.replace(
            self._view,
            results={**self._view.results, **new},
            reports=(*self._view.reports, answered.report),
            running=False,
            said=f"This is not remembered: {unkept}" if unkept else "",
        )
        self._view = dataclasses.replace(self._view, place=self._find_place())
        self._begin_next(urgent=False)
        self._draw()

    # Runs

    @property
    def _reaching(self) -> list[Problem]:
        return [problem for problem in self._problems if work.is_watched(problem)]

    def _begin(self) -> None:
        """Run what is not known of the code as it is."""
        self._reach = reach_of(self._layout, self._reaching)
        if self._view.scope:
            first = [self._view.scope]
        else:
            states = {name: state_of(self._files, reach) for name, reach in self._reach.items()}
            watched = [problem for problem in self._problems if work.is_watched(problem)]
            first = work.outdated(watched, self._view.results, states)
        self._wait_for(first)
        if not first:
            self._draw()

    def _wait_for(self, problems: Sequence[str]) -> None:
        """Have these run as soon as possible; what was found before is no longer shown."""
        waiting = work.merged(problems, self._view.waiting, self._rubric)
        self._view = dataclasses.replace(self._view, waiting=waiting, reports=(), said="", place=None)
        self._begin_next(urgent=True)

    def _begin_next(self, urgent: bool) -> None:
        if self._run is not None:
            return
        batch = work.next_batch(self._view.waiting, self._view.results, self._rubric)
        try:
            if batch:
                waiting = tuple(name for name in self._view.waiting if name not in batch)
                spare, self._spare = self._ready(), None
                problems = [self._rubric[name] for name in batch]
                self._view = dataclasses.replace(self._view, waiting=waiting, running=True)
                self._run = BatchRun(spare, self._named, self._rubric, problems, self._tell)
                self._show_progress(self._run, "")
            if not urgent or not batch:  # the next one gets ready beside what nobody waits for
                self._spare = self._ready()
        except OSError as error:
            self._view = dataclasses.replace(self._view, said=in_a_sentence(error))
            self._draw()

    def _ready(self) -> Spare:
        """The examiner that was started ahead, if it is for the submission as it lies there now, or another."""
        if self._spare is not None and self._spare.layout == self._layout and self._spare.is_alive():
            return self._spare
        if self._spare is not None:
            self._spare.close()
        return Spare(self._layout, self._isolation)

    def _stop(self) -> None:
        """End what runs; it waits to be run again."""
        if self._run is not None:
            self._run.cancel()
            waiting = work.merged((p.id for p in self._run.problems), self._view.waiting, self._rubric)
            self._view = dataclasses.replace(self._view, waiting=waiting, running=False)
            self._run = None

    # Keys

    def _press(self, selector: selectors.BaseSelector) -> bool:
        """Obey the keys that were pressed; whether to quit."""
        descriptor = self._keyboard.descriptor
        for key in self._keyboard.pressed():
            match key:
                case "q":
                    return True
                case "h":
                    self._say(self._hint())
                case "o":
                    self._say(self._open())
                case "a":
                    self._stop()
                    self._wait_for([p.id for p in self._problems if p.kind is not ProblemKind.PERFORMANCE])
        if self._keyboard.descriptor is None and descriptor is not None:  # the terminal is gone
            selector.unregister(descriptor)
        return False

    def _hint(self) -> str:
        if (found := screen.subject(self._view)) is None:
            return "Nothing has run yet that there could be a hint for."
        problem, report = found
        return reply(dataclasses.replace(report, problems=(problem,)), Path(self._layout.root))

    def _find_place(self) -> tuple[str, int] | None:
        """Where what failed first is to be looked at."""
        for report in self._view.reports:
            if report.load_fault and (place := editor.place_in(report.load_fault)):
                return place
            for problem in report.most_urgent_first:
                if place := editor.place_of(problem) or self._reach.get(problem.problem.id, Reach()).place:
                    return place
        return None

    def _open(self) -> str:
        """Open the failing line in an editor; gives a sentence where that is impossible, or ""."""
        if self._view.place is None:
            return "Nothing fails here that could be opened."
        file, line = self._view.place
        root = Path(self._layout.root)
        path = Path(os.path.realpath(root / file))
        if not path.is_relative_to(root) or not path.is_file():
            return f"{visible(file)} is no file of this folder."
        chosen = os.environ.get("EDITOR") or os.environ.get("VISUAL") or ""
        if not chosen.strip():
            return f"EDITOR names no editor: export EDITOR=vim, or another. The line is {visible(file)}:{line}."
        try:
            with self._keyboard.lent(), _undisturbed():
                ended = subprocess.run(editor.command(chosen, str(path), line), cwd=root, check=False)
        except (OSError, ValueError) as error:
            return f"EDITOR={chosen} could not be started: {error}."
        return f"{chosen} ended with exit code {ended.returncode}." if ended.returncode else ""

    # The terminal

    @contextlib.contextmanager
    def _at_the_terminal(self) -> Iterator[None]:
        """Listen to keys, and to what happens to the terminal, as long as this lasts."""
        before: dict[int, Any] = {}
        for name in ("SIGWINCH", "SIGCONT"):
            if number := getattr(signal, name, None):
                before[number] = signal.signal(number, self._terminal_changed)
        self._keyboard.listen()
        try:
            yield
        finally:
            self._keyboard.leave()
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)

    def _terminal_changed(self, *_: object) -> None:
        self._keyboard.listen()  # after Ctrl-Z and fg, the shell has had it
        self._tell(Redraw())

    def _say(self, text: str) -> None:
        self._view = dataclasses.replace(self._view, said=text)
        self._draw()

    def _draw(self) -> None:
        console = Console()
        with safely(console) as page:
            if console.is_terminal:
                page.file.write(_CLEAR)
            for part in screen.draw(self._view):
                page.print(part)

    def _show_progress(self, run: BatchRun, test: str) -> None:
        """One line that is written over and over."""
        console = Console()
        if console.is_terminal:
            what = test.removeprefix("test_") or "loading the code"
            counted = f"{run.done}/{run.count}  " if run.count else ""
            line = f"{counted}{what}"[: max(1, console.width - 1)]
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.write(f"{_CLEAR_LINE}{line}")
                sys.stdout.flush()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """While another program has the terminal, Ctrl-C is for that; and what it leaves running stays."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    let_orphans_go()
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def watch(named: str, rubric: Rubric, scope: str = "", isolation: str = "auto") -> int:
    """Watch a submission until somebody ends it; gives the exit code.

    Raises:
        Refused: as `Watch`.
    """
    watching = Watch(named, rubric, scope, isolation)
    try:
        return watching.loop()
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        watching.close()
