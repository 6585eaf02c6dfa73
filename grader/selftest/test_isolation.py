"""Levels of isolation, what they hide, and the private folders and processes that the judge keeps in hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from grader.errors import Refused
from grader.kit.paths import KIT
from grader.selftest.layouts import written
from grader.submission.locate import locate
from grader.wall import isolation as module
from grader.wall import processes
from grader.wall.isolation import Cell, FileAccess, Isolation, Level, available, choose
from grader.wall.root import is_root, unused_user
from grader.wall.scratch import Scratch, copy_submission, is_small
from grader.wall.walled import WalledSubmission

REAL_PROCESSES = True  # what is to be found in one is what this is about

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")

ADAPTERS = "def run_softmax(in_features, dim): ...\n"


@pytest.fixture
def layout(tmp_path):
    folder = tmp_path / "submission"
    folder.mkdir()
    (folder / "adapters.py").write_text(ADAPTERS)
    (folder / "notes.txt").write_text("mine")
    return locate(folder)


def run_inside(cell: Cell, code: str) -> str:
    command = cell.command("-c", code)
    result = subprocess.run(
        command,
        cwd=cell.directory,
        env=cell.environment(),
        pass_fds=cell.descriptors,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def bubblewrap(layout) -> Isolation:
    try:
        return choose("bubblewrap", layout)
    except Refused as error:
        pytest.skip(str(error))


def test_auto_takes_a_level_that_works(layout):
    chosen = choose("auto", layout)
    assert chosen.level is not Level.NONE
    assert Isolation.from_plain(json.loads(json.dumps(chosen.as_plain()))) == chosen


def test_what_does_not_work_here_is_refused_with_the_reason(layout, monkeypatch):
    monkeypatch.setattr(module, "_find_bwrap", lambda: None)
    if sys.platform == "linux":
        with pytest.raises(Refused, match="install the package bubblewrap"):
            choose("bubblewrap", layout)
    assert choose("auto", layout).level is not Level.BUBBLEWRAP


def test_weak_levels_say_what_they_lack(layout):
    assert any("expected answers" in sentence for sentence in choose("process", layout).missing)
    assert any("no wall" in sentence for sentence in choose("none", layout).missing)


@linux
def test_bubblewrap_hides_the_judge_and_the_machine(layout):
    cell = Cell(layout, bubblewrap(layout))
    try:
        code = (
            "import os, json; seen = lambda p: os.listdir(p) if os.path.isdir(p) else os.path.exists(p)\n"
            f"print(json.dumps([seen({str(KIT)!r}), seen({str(KIT / 'grader')!r}), seen({str(Path.home())!r}), "
            "seen('/tmp'), [p for p in os.listdir('/proc') if p.isdigit()], sorted(os.listdir('.'))]))"
        )
        kit, package, home, tmp, running, own = json.loads(run_inside(cell, code))
        assert kit is False or set(kit) <= {"grader", ".venv"}
        assert package is False or package == ["worker"]
        assert home is False or not any(name.startswith(".ssh") for name in home)
        assert str(Path(cell.scratch.path).name) not in tmp
        assert len(running) <= 3
        assert own == ["adapters.py", "notes.txt"]
    finally:
        cell.scratch.remove()


@linux
def test_bubblewrap_leaves_what_multiprocessing_needs(layout):
    """Semaphores and shared memory, also where the worker is another user than the one who made its place."""
    isolation = bubblewrap(layout)
    cell = Cell(layout, isolation)
    become = f"os.setresgid(*[{isolation.user}] * 3); os.setresuid(*[{isolation.user}] * 3)" if isolation.user else ""
    code = (
        f"import multiprocessing as m, os; from multiprocessing.shared_memory import SharedMemory as S\n{become}\n"
        "m.Lock(); memory = S(create=True, size=99); memory.unlink(); print(m.Pool(2).map(abs, [-1, 2]))"
    )
    try:
        assert run_inside(cell, code) == "[1, 2]"
    finally:
        cell.scratch.remove()


@linux
def test_bubblewrap_keeps_the_kit_to_itself_when_it_grades_its_own_folder():
    layout = locate(KIT)
    cell = Cell(layout, bubblewrap(layout))
    try:
        seen = json.loads(
            run_inside(
                cell,
                "import os, json; print(json.dumps([os.path.exists('adapters.py'), os.listdir('grader'), "
                "os.path.exists('tests/fixtures'), os.path.exists('.git/HEAD')]))",
            )
        )
        assert seen == [True, ["worker"], False, False]
    finally:
        cell.scratch.remove()


@linux
@pytest.mark.parametrize("files", [FileAccess.OVERLAY, FileAccess.COPY, FileAccess.READ_ONLY], ids=str)
def test_writes_of_a_submission_stay_in_its_cell(layout, files):
    chosen = bubblewrap(layout)
    isolation = Isolation(chosen.level, files, chosen.bwrap)
    if files is FileAccess.OVERLAY and module._run_inside(layout, isolation, "-S", "-c", "") is not None:
        pytest.skip("this bubblewrap or this file system has no overlays")
    cell = Cell(layout, isolation)
    try:
        code = "import os; open('notes.txt', 'w').write('changed'); print(open('notes.txt').read())"
        if files is FileAccess.READ_ONLY:
            code = f"try: exec({code!r})\nexcept OSError as error: print(error.strerror)"
        said = run_inside(cell, code)
        assert said == ("Read-only file system" if files is FileAccess.READ_ONLY else "changed")
    finally:
        cell.scratch.remove()
    assert Path(layout.root, "notes.txt").read_text() == "mine"


@linux
def test_bubblewrap_shows_settings_of_the_machine_read_only(layout):
    """Root inside is root outside to the files of /proc, whatever rights were dropped."""
    cell = Cell(layout, bubblewrap(layout))
    code = """
import os
writable = []
for folder, folders, files in os.walk("/proc"):
    if folder == "/proc":
        folders[:] = [name for name in folders if not name.isdigit() and name not in ("self", "thread-self")]
    for path in (os.path.join(folder, name) for name in files):
        try:
            os.close(os.open(path, os.O_WRONLY))  # opened, never written to
            writable.append(path)
        except OSError:
            pass
print(writable[:5])
"""
    try:
        assert run_inside(cell, code) == "[]"
    finally:
        cell.scratch.remove()


_AS_WHOM = """
import os

def run_silu(in_features):
    with open("/proc/self/status") as status:
        user = next(line.split()[1:] for line in status if line.startswith("Uid:"))
    written = []
    for path in open("notes.txt").read().split("\\n"):
        try:
            os.close(os.open(path, os.O_WRONLY))
            written.append(path)
        except OSError:
            pass
    with open("notes.txt", "w") as file:
        file.write("mine")
    return [user, written, os.listdir("/proc/self/fd")]
"""


@linux
@pytest.mark.skipif(not is_root(), reason="about graders that root runs")
@pytest.mark.parametrize("level", ["bubblewrap", "landlock", "process"])
def test_root_has_a_worker_that_owns_nothing_or_says_so(tmp_path, level):
    """Without capabilities root still owns root's files, such as one of mode 644."""
    open_to_all = Path(tempfile.mkdtemp())
    try:
        open_to_all.chmod(0o755)
        (open_to_all / "settings").touch(0o644)
        folder = written(tmp_path, _AS_WHOM)
        (folder / "notes.txt").write_text(f"{open_to_all / 'settings'}\n/etc/ld.so.cache")
        (folder / "notes.txt").chmod(0o600)  # which the worker may read all the same
        layout = locate(folder)
        try:
            isolation = choose(level, layout)
        except Refused as error:
            pytest.skip(str(error))
        with WalledSubmission(layout, isolation=isolation) as submission:
            inside, could_write, descriptors = submission.run_silu(in_features=torch.zeros(1))
            pids = [process.pid for process in processes.started_here()]
            outside = [Path(f"/proc/{pid}/status").read_text().partition("Uid:")[2].split()[:4] for pid in pids]
        assert (folder / "notes.txt").read_text() != "mine"
    finally:
        shutil.rmtree(open_to_all)
    if isolation.user is None:
        assert any("ran as root" in sentence for sentence in isolation.missing)
        return
    assert inside == [str(isolation.user)] * 4
    assert inside in outside
    assert could_write == []
    assert len(descriptors) <= 5  # three streams, the channel, and the listing itself
    assert not any("as root" in sentence or "@u" in sentence for sentence in isolation.missing)


@linux
@pytest.mark.skipif(not is_root(), reason="about graders that root runs")
def test_root_becomes_nobody_inside_bubblewrap_even_below_a_home_that_only_root_may_enter(layout):
    chosen = bubblewrap(layout)
    if unused_user() is None:
        pytest.skip("root may not act for others here")
    assert chosen.user is not None
    cell = Cell(layout, chosen)
    code = (
        "import ctypes, os; os.setresgid(*[{0}] * 3); os.setresuid(*[{0}] * 3); "
        "libc = ctypes.CDLL(None, use_errno=True); print(libc.unshare(0x10000000), ctypes.get_errno() > 0)"
    )
    try:
        assert run_inside(cell, code.format(chosen.user)) == "-1 True"  # no user namespace, so no rights in one
    finally:
        cell.scratch.remove()


@linux
@pytest.mark.skipif(not is_root(), reason="about graders that root runs")
def test_a_folder_below_one_that_others_may_not_enter_is_no_place_for_another_user():
    """Where TMPDIR is private, right code as another user could not even be imported; so the worker stays who it is."""
    if (user := unused_user()) is None:
        pytest.skip("root may not act for others here")
    probe = [sys.executable, "-I", "-S", str(module.WORKER / "user.py"), str(user), ""]
    results = []
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are private
        cell = Path(folder, "cell")
        cell.mkdir()
        for mode in (0o711, 0o700):
            os.chmod(folder, mode)
            results.append(subprocess.run(probe, cwd=cell, capture_output=True, text=True, check=False))
    assert results[0].returncode == 0, results[0].stderr
    assert results[1].returncode != 0
    assert str(cell) in results[1].stderr


@linux
@pytest.mark.skipif(not is_root(), reason="about graders that root runs")
def test_what_is_too_large_for_a_copy_stays_as_it_is_and_the_report_says_as_whom_it_ran(layout, monkeypatch):
    monkeypatch.setattr(module, "_SMALL_FILES", 1)
    for isolation in module.available(layout):
        assert isolation.user is None
        assert isolation.level is Level.NONE or any("ran as root" in sentence for sentence in isolation.missing)


_KEYS = """
import ctypes, os
number = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
libc = ctypes.CDLL(None, use_errno=True)
SESSION, USER, SEARCH, REVOKE = -3, -4, 10, 3
def add(name, ring=SESSION):
    return libc.syscall(number[0], b"user", name, b"x", ctypes.c_size_t(1), ring)
def find(name, ring=SESSION):
    return libc.syscall(number[1], SEARCH, ring, b"user", name, 0)
"""


def answer_beside_a_key(folder: Path, level: str, name: bytes, ring: str, answer: str) -> tuple[Isolation, Any]:
    """What a submission answers while whoever runs the grader keeps a key of this name in one of the keyrings."""
    layout = locate(written(folder, f"{_KEYS}\ndef run_silu(in_features):\n    return {answer}\n"))
    try:
        isolation = choose(level, layout)
    except Refused as error:
        pytest.skip(str(error))
    keys: dict[str, Any] = {}
    exec(_KEYS, keys)
    key = keys["add"](name, keys[ring])
    if key < 0 or keys["find"](name, keys[ring]) != key:
        pytest.skip("no keys can be kept here")
    try:
        with WalledSubmission(layout, isolation=isolation) as submission:
            return isolation, submission.run_silu(in_features=torch.zeros(1))
    finally:
        keys["libc"].syscall(keys["number"][1], keys["REVOKE"], key)


@linux
def test_a_worker_that_may_use_a_gpu_may_name_its_threads(layout):
    """CUDA does so when it starts, and says "OS call failed" where it cannot."""
    isolation = next((found for found in available(layout) if found.level is Level.LANDLOCK), None)
    if isolation is None:
        pytest.skip("no Landlock here")
    code = (
        "import json, sys, threading; from grader.worker.landlock import confine; confine(**json.loads(sys.argv[1]))\n"
        "def name():\n"
        "    with open(f'/proc/self/task/{threading.get_native_id()}/comm', 'w') as file: file.write('cuda')\n"
        "thread = threading.Thread(target=name); thread.start(); thread.join()"
    )
    said = []
    for gpu in (True, False):
        cell = Cell(layout, isolation, gpu=gpu)
        command = [sys.executable, "-c", code, json.dumps(cell.landlock())]
        said.append(subprocess.run(command, cwd=KIT, capture_output=True, text=True, check=False).stderr)
        cell.scratch.remove()
    assert said[0] == ""
    assert "PermissionError" in said[1]


@pytest.mark.parametrize("level", ["bubblewrap", "landlock", "process"])
def test_a_worker_has_a_keyring_of_its_own(tmp_path, level):
    """A key that whoever runs the grader keeps in the session's keyring is not found by a submission."""
    answer = "[find(b'grader-selftest') > 0, add(b'another') > 0]"
    _, (found, has_its_own) = answer_beside_a_key(tmp_path, level, b"grader-selftest", "SESSION", answer)
    assert not found
    assert has_its_own


@linux
@pytest.mark.parametrize("level", ["bubblewrap", "landlock", "process"])
def test_who_shares_the_keyring_of_his_user_is_told(tmp_path, level):
    answer = "find(b'grader-selftest-user', USER) > 0"
    isolation, found = answer_beside_a_key(tmp_path, level, b"grader-selftest-user", "USER", answer)
    assert found == any("(`@u`)" in sentence for sentence in isolation.missing)


def test_a_copy_is_made_of_small_folders_only(tmp_path):
    source = tmp_path / "source"
    (source / ".git").mkdir(parents=True)
    (source / ".git" / "objects").write_bytes(b"x" * 1000)
    (source / "empty").mkdir()
    (source / "data.bin").write_bytes(b"x" * 100)
    (source / "link").symlink_to("/does/not/exist")
    if hasattr(os, "mkfifo"):
        os.mkfifo(source / "pipe")
    assert is_small(source, (), most_bytes=500, most_files=10)
    assert not is_small(source, (), most_bytes=50, most_files=10)
    assert not is_small(source, (), most_bytes=500, most_files=1)
    copy_submission(source, tmp_path / "copy", ())
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {"empty", "data.bin", "link"}


def test_a_copy_is_brought_up_to_date(tmp_path):
    source, copy = tmp_path / "source", tmp_path / "copy"
    (source / "package").mkdir(parents=True)
    for name in ("same", "changed", "gone", "package/gone", "becomes_a_folder"):
        (source / name).write_text("before")
    (source / "link").symlink_to("same")
    copied = copy_submission(source, copy, ())
    (copy / "mounted").mkdir()
    before = (copy / "same").stat().st_ino

    for name in ("gone", "package/gone", "becomes_a_folder", "link"):
        (source / name).unlink()
    (source / "package").rmdir()
    (source / "changed").write_text("after")
    (source / "becomes_a_folder").mkdir()
    (source / "becomes_a_folder" / "new").write_text("new")
    (source / "link").symlink_to("changed")
    copied = copy_submission(source, copy, (), before=copied)

    assert {path.name for path in copied} == {"same", "changed", "becomes_a_folder", "new", "link"}
    assert {path.name for path in copy.iterdir()} == {"same", "changed", "becomes_a_folder", "link", "mounted"}
    assert (copy / "changed").read_text() == (copy / "link").read_text() == "after"
    assert (copy / "becomes_a_folder" / "new").read_text() == "new"
    assert (copy / "same").stat().st_ino == before


def test_a_copy_is_made_while_an_editor_writes_and_removes_files(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "kept").write_text("kept")
    stopped = threading.Event()

    def edit() -> None:
        while not stopped.is_set():
            for number in range(20):
                (source / f"{number}.tmp").touch()
            for number in range(20):
                (source / f"{number}.tmp").unlink()

    editor = threading.Thread(target=edit)
    editor.start()
    copied: list[Path] = []
    try:
        for _ in range(100):
            copied = copy_submission(source, tmp_path / "copy", (), before=copied)
    finally:
        stopped.set()
        editor.join()
    copy_submission(source, tmp_path / "copy", (), before=copied)
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["kept"]


def test_a_private_folder_is_removed_whatever_is_in_it(tmp_path):
    scratch = Scratch(tmp_path)
    (scratch / "locked" / "inner").mkdir(parents=True)
    (scratch / "locked" / "inner" / "file").touch()
    (scratch / "locked" / "inner").chmod(0)
    (scratch / "locked").chmod(0)
    (scratch / "link").symlink_to(tmp_path)
    here = os.getcwd()
    os.chdir(scratch.path)
    try:
        for _ in range(1500):
            os.mkdir("a folder with a long name")
            os.chdir("a folder with a long name")
    finally:
        os.chdir(here)
    size, entries = scratch.usage(100_000)
    assert size > 0
    assert entries > 100  # what lies deeper than a path can be long is not counted
    scratch.remove()
    assert not scratch.path.exists()
    assert tmp_path.exists()


@linux
def test_abandoned_processes_are_found_and_ended():
    code = """
import os, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from grader.wall import processes
processes.adopt_orphans()
worker = subprocess.Popen(
    [sys.executable, "-c", "import os, time\\nif os.fork() == 0:\\n os.setsid()\\n if os.fork() == 0: time.sleep(60)\\n"
     " os._exit(0)\\nos.wait()\\nprint('ready', flush=True)"],
    start_new_session=True, stdout=subprocess.PIPE)
worker.stdout.readline()
worker.wait()
before = [p for p in processes.started_here() if not p.zombie]
gone = processes.end(worker.pid)
print(len(before), gone, len(processes.started_here()))
"""
    result = subprocess.run([sys.executable, "-c", code, str(KIT)], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["1", "True", "0"]


@linux
def test_an_undumpable_judge_keeps_its_environment_to_itself():
    code = """
import subprocess, sys
sys.path.insert(0, sys.argv[1])
from grader.wall.processes import become_undumpable
from grader.worker.limits import give_up_privileges
become_undumpable()
child = "import os, sys; sys.path.insert(0, sys.argv[1])\\n" \\
    "from grader.worker.limits import give_up_privileges; give_up_privileges()\\n" \\
    "try: open(f'/proc/{os.getppid()}/environ').read(); print('read')\\n" \\
    "except PermissionError: print('refused')"
print(subprocess.run([sys.executable, "-c", child, sys.argv[1]], capture_output=True, text=True).stdout)
"""
    result = subprocess.run([sys.executable, "-c", code, str(KIT)], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "refused"


@linux
def test_memory_that_no_folder_lists_is_counted():
    file = os.memfd_create("test")
    os.write(file, b"x" * (1 << 20))
    try:
        assert processes.unlinked_bytes([os.getpid()]) >= 1 << 20
    finally:
        os.close(file)
