"""A student's first evening, from an empty folder, in a terminal; `first_evening.txt` holds what it shows.

python -m grader.selftest.test_first_evening          writes the transcript anew
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from grader.kit.paths import KIT
from grader.selftest.pseudo_terminal import PseudoTerminal

TRANSCRIPT = Path(__file__).with_name("first_evening.txt")

_INIT = """\
        super().__init__()
        std = (2 / (in_features + out_features)) ** 0.5
        weight = torch.empty(out_features, in_features, device=device, dtype=dtype)
        self.weight = nn.Parameter(nn.init.trunc_normal_(weight, 0, std, -3 * std, 3 * std))"""
_WRONG, _RIGHT = "        return x @ self.weight\n", "        return x @ self.weight.T\n"

_VARIES = (
    (r"\d+(\.\d+)? s\b|\d+\.\d+s( \(\d:\d\d:\d\d\))?", "N s"),
    (r"\d+ (minutes?|seconds?) ago|less than a minute ago|just now", "just now"),
    (r"\d\d:\d\d(:\d\d)?", "NN:NN"),
    (r"(seed) \d+", r"\1 N"),
    (r"\d+ files written", "N files written"),
    (r"The same shows in (.|\n)*?\.( +│)?\n", r"The same shows in ...\n"),  # they run in an order that is drawn
)
"""What is another each time, and what the transcript has in its place."""


class Evening:
    """What is typed and what is shown.

    took_s: {command: seconds until it had answered}.
    """

    def __init__(self, empty: Path) -> None:
        self.folder = empty / "assignment1"
        self.shown: list[str] = []
        self.took_s: dict[str, float] = {}

    @property
    def layers(self) -> Path:
        return self.folder / "cs336_basics" / "layers.py"

    def run(self, *arguments: str, within: Path | None = None) -> str:
        """A command that ends by itself."""
        with self.terminal(*arguments, within=within) as (terminal, keep):
            terminal.ends_with(120.0)
            return keep()

    @contextmanager
    def terminal(
        self, *arguments: str, within: Path | None = None
    ) -> Iterator[tuple[PseudoTerminal, Callable[[], str]]]:
        """A command that is talked to. The function takes down what is on its screen."""
        command = f"python -m {' '.join(arguments)}"
        self.shown.append(f"$ {command}")
        began = time.monotonic()
        terminal = PseudoTerminal([sys.executable, "-m", *arguments], within or self.folder, 100, 200, PYTHONPATH="")

        def keep() -> str:
            self.took_s.setdefault(command, time.monotonic() - began)
            self.shown.append(terminal.screen.strip("\n"))
            return terminal.screen

        try:
            yield terminal, keep
        finally:
            terminal.close()

    def note(self, what: str) -> None:
        self.shown.append(f"# {what}")

    def replace(self, old: str, new: str) -> None:
        text = self.layers.read_text("utf-8")
        assert old in text
        self.layers.write_text(text.replace(old, new), "utf-8")

    def transcript(self) -> str:
        text = "\n\n".join(self.shown).replace(str(self.folder.parent), "~") + "\n"
        for varying, constant in _VARIES:
            text = re.sub(varying, constant, text)
        return re.sub(r"[ \t]+$", "", text, flags=re.M)


def spend(empty: Path) -> Evening:
    """The evening."""
    evening = Evening(empty)
    evening.run("grader", "handout", str(evening.folder), within=KIT)

    evening.note("write Linear, and mistake which way the weight lies")
    for method, body in (("__init__", _INIT), ("forward", _WRONG.rstrip("\n"))):
        evening.replace(
            f'        raise NotImplementedError("linear: write Linear.{method} in cs336_basics/layers.py")', body
        )
    said = evening.run("pytest", "-q", "tests/test_linear.py")
    assert "as if it were stored as [in_features" in said
    assert re.search(r"cs336_basics/layers.py\W+line 42|layers.py:42", said)

    with evening.terminal("grader", "watch", "linear") as (terminal, keep):
        terminal.wait_for(r"(?s)[✗◐] linear \d+/\d+.*q quit")
        assert "as if it were stored as [in_features" in keep()
        terminal.forget()
        evening.note("mend it, and save the file")
        evening.replace(_WRONG, _RIGHT)
        terminal.wait_for(r"(?s)✓ linear \d+/\d+.*q quit")
        keep()
        terminal.press("q")
        assert terminal.ends_with() == 0

    with evening.terminal("grader", "hunt", "linear", "--seed", "1") as (terminal, keep):
        asked = 1
        terminal.wait_for(r"or name the bug \(a to \w\): ?$")
        for key in ("1", "3", "6", "a", "b", "c", "d"):
            terminal.press(f"{key}\n")
            asked += 1
            if "Yes, it is" in terminal.wait_for(rf"(?s)Yes, it is|(or name the bug \(.*){{{asked}}}: ?$"):
                break
        assert terminal.ends_with() == 0
        keep()

    said = evening.run("grader", "status")
    assert re.search(r"layers +\S+ +1 / 5", said), said
    return evening


@pytest.fixture(scope="module")
def evening(tmp_path_factory) -> Evening:
    return spend(tmp_path_factory.mktemp("evening"))


def test_it_goes_as_it_is_written_down(evening):
    assert evening.transcript() == TRANSCRIPT.read_text("utf-8"), f"python -m {__spec__.name} writes it anew"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        spent = spend(Path(folder))
        TRANSCRIPT.write_text(spent.transcript(), "utf-8")
        for command, seconds in spent.took_s.items():
            print(f"{seconds:6.1f} s  {command}")
