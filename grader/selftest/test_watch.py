"""`python -m grader watch` in a pseudo-terminal, with a student's copy of the kit, as a student works with it."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from grader.kit.handout import write_handout
from grader.kit.paths import REFERENCE
from grader.selftest.pseudo_terminal import PseudoTerminal

ROPE = (REFERENCE / "rope.py").read_text("utf-8")
WRONG = ROPE.replace("torch.cos(", "torch.sin(").replace(".cos()", ".sin()")
PASSES, FAILS = r"✓ rope \d+/\d+", r"[✗◐] rope \d+/\d+"
KEYS = r"q quit"


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A student's copy in which RoPE is right, and all else is still to be written."""
    folder = tmp_path_factory.mktemp("student") / "copy"
    write_handout(folder)
    (folder / "cs336_basics" / "rope.py").write_text(ROPE, "utf-8")
    (folder / "editor").write_text('#!/bin/sh\necho "$@" > opened\n(setsid sleep 60 & echo $! > window)\n')
    (folder / "editor").chmod(0o755)
    return folder


def start(copy: Path, *arguments: str, columns: int = 100, **environment: str) -> PseudoTerminal:
    return PseudoTerminal([sys.executable, "-m", "grader", "watch", *arguments], copy, columns, 40, **environment)


@pytest.fixture(scope="module")
def watch(copy) -> Iterator[PseudoTerminal]:
    """One that goes on through all tests of this file, whatever they do to the files."""
    terminal = start(copy, "rope", EDITOR=str(copy / "editor"))
    terminal.wait_for(PASSES)
    yield terminal
    terminal.press("q")
    code = terminal.ends_with()
    terminal.close()
    assert code == 0


@pytest.fixture
def rope(copy, watch) -> Path:
    """The file that is edited. Each test leaves it as it likes: the next one shows that the watch went on."""
    watch.forget()
    return copy / "cs336_basics" / "rope.py"


def save_as_editors_do(path: Path, text: str) -> None:
    """Write another file, and give it the name: what vim, VS Code's atomic save and many others do."""
    other = path.with_name(f".{path.name}.swp")
    other.write_text(text, "utf-8")
    os.replace(other, path)


def test_a_wrong_line_is_shown_as_the_grader_shows_it(watch, rope):
    screen = watch.next_screen(f"(?s){FAILS}.*{KEYS}", after=lambda: save_as_editors_do(rope, WRONG))
    assert "saved: cs336_basics/rope.py" in screen
    assert "╭─ rope: " in screen
    assert "see it for yourself: uv run pytest tests/test_rope.py::" in screen
    assert "next: mend rope" in screen


def test_h_gives_hints_one_by_one(watch, rope):
    watch.next_screen(f"(?s){FAILS}.*{KEYS}", after=lambda: rope.write_text(WRONG, "utf-8"))
    screen = watch.next_screen(r"(?s)hint 1 of \d for rope.*q quit", after=lambda: watch.press("h"))
    assert "This should hold" in screen
    watch.next_screen(r"(?s)hint 2 of \d for rope.*q quit", after=lambda: watch.press("h"))


def test_o_opens_the_failing_line_and_what_the_editor_leaves_running_stays(watch, rope, copy):
    screen = watch.next_screen(f"(?s){FAILS}.*{KEYS}", after=lambda: rope.write_text(WRONG, "utf-8"))
    place = re.search(r"o open rope\.py:(\d+)", screen)
    assert place
    watch.next_screen(KEYS, after=lambda: watch.press("o"))
    assert (copy / "opened").read_text().split() == [f"+{place[1]}", str(rope)]
    window = int((copy / "window").read_text())
    # A run ends what a submission may have left; an editor's window is none of that.
    watch.next_screen(PASSES, after=lambda: rope.write_text(ROPE, "utf-8"))
    os.kill(window, signal.SIGTERM)


def test_a_runs_everything_again(watch, rope):
    first = watch.next_screen(f"(?s){FAILS}.*{KEYS}", after=lambda: rope.write_text(WRONG, "utf-8"))
    assert watch.next_screen(f"(?s){FAILS}.*{KEYS}", after=lambda: watch.press("a")) == first


def test_the_screen_is_drawn_anew_for_another_size(watch, rope):
    watch.next_screen(f"(?s){FAILS}.*{KEYS}", after=lambda: rope.write_text(WRONG, "utf-8"))
    for columns in (40, 160, 100):
        watch.forget()
        watch.resize(columns, 40)
        widest = max(watch.wait_for(f"(?s){FAILS}.*{KEYS}").splitlines(), key=len)
        assert len(widest) == columns, widest  # of the panel


def test_a_syntax_error_is_one_sentence_with_its_place(watch, rope):
    line = ROPE.splitlines().index("class RotaryPositionalEmbedding(nn.Module):") + 1
    screen = watch.next_screen(
        f"(?s)SyntaxError.*{KEYS}", after=lambda: rope.write_text(ROPE.replace("(nn.Module):", "(nn.Module:"), "utf-8")
    )
    assert len(re.findall(rf"^cs336_basics/rope\.py:{line}: SyntaxError: .+\.$", screen, re.MULTILINE)) == 1
    assert "Traceback" not in screen
    assert f"open rope.py:{line}" in screen


def test_a_renamed_class_is_said(watch, rope):
    screen = watch.next_screen(
        f"(?s)! rope.*{KEYS}",
        after=lambda: rope.write_text(ROPE.replace("RotaryPositionalEmbedding", "Rotary"), "utf-8"),
    )
    assert "rope: ImportError: cannot import name 'RotaryPositionalEmbedding'" in screen
    assert "╭" not in screen  # one sentence, not a page of it


def test_a_circular_import_is_said(watch, rope, copy):
    layers = copy / "cs336_basics" / "layers.py"
    before = layers.read_text("utf-8")
    watch.next_screen(
        "rope does not rest on cs336_basics/layers.py",
        after=lambda: layers.write_text("from cs336_basics.rope import RotaryPositionalEmbedding\n" + before, "utf-8"),
    )
    try:
        screen = watch.next_screen(
            f"(?s)! rope.*{KEYS}",
            after=lambda: rope.write_text("from cs336_basics.layers import Linear\n" + ROPE, "utf-8"),
        )
        assert "circular import" in " ".join(screen.split())
        assert "╭" not in screen
    finally:
        layers.write_text(before, "utf-8")


def test_a_file_that_is_saved_half_way_is_read_again_when_it_is_whole(watch, rope):
    watch.forget()
    half = len(ROPE) // 2
    with rope.open("w", encoding="utf-8") as file:
        file.write(ROPE[:half])
        file.flush()
        time.sleep(0.5)
        file.write(ROPE[half:])
    watch.wait_for(f"(?s)saved: .*{PASSES}.*{KEYS}")


def test_a_deleted_file_is_said(watch, rope):
    screen = watch.next_screen(f"(?s)! rope.*No module named.*{KEYS}", after=rope.unlink)
    assert "rope: ModuleNotFoundError: No module named 'cs336_basics.rope'" in screen
    assert "open adapters.py:" in screen


def test_deleted_adapters_are_said(watch, rope, copy):
    adapters = copy / "adapters.py"
    text = adapters.read_text("utf-8")
    try:
        screen = watch.next_screen(f"(?s)no adapters.py and no tests/adapters.py.*{KEYS}", after=adapters.unlink)
        assert "Traceback" not in screen
    finally:
        adapters.write_text(text, "utf-8")


def test_of_two_editors_the_last_one_counts(watch, rope):
    watch.forget()

    def save_often(text: str) -> None:
        for _ in range(20):
            rope.write_text(text, "utf-8")
            time.sleep(0.01)

    editors = [threading.Thread(target=save_often, args=(text,)) for text in (WRONG, WRONG.replace("sin", "tan"))]
    for editor in editors:
        editor.start()
    for editor in editors:
        editor.join()
    save_as_editors_do(rope, WRONG)
    watch.wait_for(f"(?s){FAILS}.*{KEYS}")


def test_a_file_that_is_no_text_is_said(watch, rope):
    assert "cs336_basics/rope.py is not UTF-8 text (byte 2)" in watch.next_screen(
        KEYS, after=lambda: rope.write_bytes(b"# \xff\xfe\n" + ROPE.encode())
    )


def test_a_file_that_the_problem_does_not_rest_on_runs_nothing(watch, rope, copy):
    watch.next_screen(f"(?s){PASSES}.*{KEYS}", after=lambda: rope.write_text(ROPE, "utf-8"))
    loss = copy / "cs336_basics" / "loss.py"
    watch.next_screen(
        "rope does not rest on cs336_basics/loss.py",
        after=lambda: loss.write_text(loss.read_text("utf-8") + "\n", "utf-8"),
    )


def test_a_new_folder_is_watched_too(watch, rope, copy):
    watch.forget()
    new = copy / "cs336_basics" / "parts"
    new.mkdir()
    (new / "__init__.py").touch()
    (new / "turn.py").write_text(ROPE, "utf-8")
    rope.write_text("from cs336_basics.parts.turn import RotaryPositionalEmbedding\n", "utf-8")
    watch.wait_for(f"(?s)saved: .*{PASSES}.*{KEYS}")
    screen = watch.next_screen(f"(?s){FAILS}.*{KEYS}", after=lambda: (new / "turn.py").write_text(WRONG, "utf-8"))
    assert "saved: cs336_basics/parts/turn.py" in screen
    shutil.rmtree(new)


def test_the_answer_after_a_save_needs_no_imports(copy, rope):
    """In processor time, as a busy machine makes everything wait: less than one import of what two processes need."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import torch, pytest, hypothesis"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    import_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    rope.write_text(ROPE, "utf-8")
    terminal = start(copy, "rope", "--isolation", "process")
    terminal.wait_for(f"(?s){PASSES}.*{KEYS}")
    idle = settled(terminal.pid)
    terminal.next_screen(f"(?s){PASSES}.*{KEYS}", after=lambda: rope.write_text(ROPE + "\n", "utf-8"))
    assert cpu_of(terminal.pid) - idle < import_s
    terminal.close()


def settled(process: int, within_s: float = 120.0) -> float:
    """What `cpu_of` gives once that process and all others of its have nothing more to do."""
    end = time.monotonic() + within_s
    before, now = -1.0, cpu_of(process)
    while now - before > 0.1:
        assert time.monotonic() < end
        time.sleep(2)
        before, now = now, cpu_of(process)
    return now


def cpu_of(process: int) -> float:
    """Seconds of processor time of a process and of all that it has started, also of what has ended."""
    there = psutil.Process(process)
    return sum(sum(one.cpu_times()[:4]) for one in (there, *there.children(recursive=True)))


def test_ctrl_c_ends_it_and_the_terminal_is_as_it_was(copy, rope):
    rope.write_text(ROPE, "utf-8")
    terminal = start(copy, "rope", columns=60)
    before = terminal.modes
    terminal.wait_for(f"(?s){PASSES}.*{KEYS}")
    assert not terminal.modes & termios.ECHO
    terminal.press("\x03")
    assert terminal.ends_with() == 130
    assert terminal.modes == before
    terminal.close()


def test_what_was_found_is_kept_for_status(watch, rope, copy):
    command = [sys.executable, "-m", "grader", "status"]
    said = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=True).stdout
    assert "About" in said
    assert "hours are left" in said
    assert "just now" in said or "ago" in said


def can_mount() -> bool:
    done = (
        subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
        if sys.platform == "linux"
        else None
    )
    return done is not None and done.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs a file system of its own to fill")
def test_a_full_disk_is_said_and_the_watch_goes_on(copy, rope, tmp_path):
    rope.write_text(ROPE, "utf-8")
    command = f"mount -t tmpfs -o size=8m tmpfs {tmp_path} && exec {sys.executable} -m grader watch rope"
    terminal = PseudoTerminal(["unshare", "-rm", "sh", "-c", command], copy, TMPDIR=str(tmp_path))
    try:
        terminal.wait_for(f"(?s){PASSES}.*{KEYS}")
        fill = Path(f"/proc/{terminal.pid}/root{tmp_path}/fill")
        with pytest.raises(OSError, match="No space left"):
            fill.write_bytes(bytes(16 << 20))
        screen = terminal.next_screen(
            f"(?s)No space left on device.*{KEYS}", after=lambda: rope.write_text(WRONG, "utf-8")
        )
        assert "Traceback" not in screen
        fill.unlink()
        terminal.next_screen(f"(?s){PASSES}.*{KEYS}", after=lambda: rope.write_text(ROPE, "utf-8"))
        terminal.press("q")
        assert terminal.ends_with() == 0
    finally:
        terminal.close()
