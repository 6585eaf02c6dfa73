"""Whatever becomes of output, encodings, disks, paths and signals: a report is kept, or a sentence says why not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grader import __main__ as command_line
from grader import grading
from grader.kit.paths import KIT
from grader.report.output import write_whole
from grader.selftest.layouts import hears_signals, written
from grader.selftest.report_contract import checked

SOFTMAX = """
    import torch


    def run_softmax(in_features, dim):
        shifted = torch.exp(in_features - in_features.max(dim=dim, keepdim=True).values)
        return shifted / shifted.sum(dim=dim, keepdim=True)
"""
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")


@pytest.fixture(scope="module")
def submission(tmp_path_factory) -> Path:
    return written(tmp_path_factory.mktemp("softmax") / "submission", SOFTMAX)


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "grader", *map(str, arguments), "--jobs", "1", "--isolation", "process"]


def grade(*arguments: str | Path, **options) -> subprocess.CompletedProcess[bytes]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(command(*arguments, "--problem", "softmax"), cwd=KIT, check=False, **pipes)


def earned(target: Path) -> float:
    return checked(target.read_text("utf-8"))["score"]["earned"]


def test_a_path_that_is_not_utf8_and_a_terminal_that_knows_ascii_only(tmp_path, submission):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/ada l\xf6vel\xe4ce"))
    shutil.copytree(submission, folder)
    targets = tmp_path / "report.json", tmp_path / "report.html"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = grade(folder, "--json", targets[0], "--html", targets[1], env=environment)
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"1 of 1 assessed points" in result.stdout
    assert b"? pass" in result.stdout
    assert earned(targets[0]) == 1
    assert r"ada l\udcf6vel\udce4ce" in targets[1].read_text("utf-8")
    assert r"l\udcf6vel\udce4ce/adapters.py" not in result.stdout.decode()


@needs_full
def test_a_full_standard_output_loses_no_file(tmp_path, submission):
    with FULL.open("wb") as full:
        result = grade(submission, "--json", tmp_path / "report.json", stdout=full)
    assert result.returncode == 3
    assert result.stderr.decode().startswith("grader: the grader itself failed: what it has to say cannot be written")
    assert earned(tmp_path / "report.json") == 1


@needs_full
def test_a_full_disk_for_one_file_leaves_the_others(tmp_path, submission):
    result = grade(submission, "--json", FULL, "--html", tmp_path / "report.html")
    assert result.returncode == 2
    assert result.stderr.decode() == "grader: --json /dev/full cannot be written: No space left on device.\n"
    assert b"1 of 1 assessed points" in result.stdout
    assert "1 of 1 assessed points" in (tmp_path / "report.html").read_text("utf-8")
    assert FULL.is_char_device()


def test_a_reader_that_goes_away_loses_no_file(tmp_path, submission):
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "wb") as pipe:
        result = grade(submission, "--json", tmp_path / "report.json", stdout=pipe)
    assert (result.returncode, result.stderr) == (0, b"")
    assert earned(tmp_path / "report.json") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="closes descriptors in a shell")
def test_closed_descriptors_are_no_place_for_other_files(tmp_path, submission):
    line = 'exec "$@" >&- 2>&- <&-'
    arguments = command(submission, "--problem", "softmax", "--json", tmp_path / "report.json")
    assert subprocess.run(["sh", "-c", line, "sh", *arguments], cwd=KIT, check=False).returncode == 0
    assert earned(tmp_path / "report.json") == 1


def test_an_unexpected_fault_is_a_sentence_and_never_exit_code_1(monkeypatch, capsys):
    def fail(*_, **__):
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(grading, "grade", fail)
    assert command_line.main(["--problem", "softmax"]) == command_line.FAILED
    said = capsys.readouterr().err
    assert said.startswith("grader: the grader itself failed: ZeroDivisionError: of all things.")
    assert "GRADER_DEBUG=1" in said
    assert "Traceback" not in said
    monkeypatch.setenv("GRADER_DEBUG", "1")
    assert command_line.main(["--problem", "softmax"]) == command_line.FAILED
    assert "Traceback" in capsys.readouterr().err


def test_a_file_is_written_where_a_link_leads_and_into_what_is_no_file(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_whole(tmp_path / "link", "through")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "through"
    write_whole(os.devnull, "nothing")
    assert not Path(os.devnull).is_file()
    write_whole(tmp_path / "halves", json.dumps("\udce4", ensure_ascii=False))
    assert json.loads((tmp_path / "halves").read_text("utf-8")) == "\udce4"


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_grade_as_ctrl_c_does(tmp_path, number):
    """Nothing is left: no folder, no process."""
    slow = "import time\n\n\ndef run_softmax(in_features, dim):\n    open('running', 'w').close()\n    time.sleep(60)\n"
    root = written(tmp_path / "slow", slow)
    archive = shutil.make_archive(str(tmp_path / "slow"), "zip", root)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        command(archive, "--problem", "softmax"),
        cwd=KIT,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=hears_signals,
    )
    deadline = time.monotonic() + 60
    while not is_below(scratch, "running") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_below(scratch, "running")
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert said.decode() == f"grader: ended by {number.name}; there is no report.\n"
    assert list(scratch.iterdir()) == []
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and str(scratch).encode() in environment_of(pid)]


def is_below(folder: Path, name: str) -> bool:
    """Whether there is such a file somewhere below a folder in which others come and go."""
    return any(name in files for _, _, files in os.walk(folder))


def environment_of(pid: str) -> bytes:
    try:
        return Path("/proc", pid, "environ").read_bytes()
    except OSError:
        return b""
