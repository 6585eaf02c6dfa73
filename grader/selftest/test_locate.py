"""Finding a submission: adapters inside their package, several submissions at once, and files that are traps."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from grader.cases.compare import compare
from grader.kit.paths import KIT
from grader.rules.from_scratch import mentions_in
from grader.rules.integrity import find_suspicions
from grader.scoring.rubric import load_rubric
from grader.selftest.forked import run_grader
from grader.selftest.layouts import written
from grader.submission.archive import ArchiveRefused, unpacked
from grader.submission.locate import SubmissionNotFound, locate
from grader.wall.isolation import available
from grader.wall.walled import WalledSubmission

RUBRIC = load_rubric()
X = torch.linspace(-3, 3, 7)
SILU = "import torch\n\n\ndef silu(x):\n    return x * torch.sigmoid(x)\n"


def adapters(imports: str) -> str:
    return f"{imports}\n\n\ndef run_silu(in_features):\n    return silu(in_features)\n"


def check_silu(root: Path) -> None:
    with WalledSubmission(locate(root)) as submission:
        compare(X * torch.sigmoid(X), submission.run_silu(in_features=X))


# ------------------------------------------------------------------------------------------------------------
# Adapters inside their package

INSIDE = {
    "src/mypkg/__init__.py": "",
    "src/mypkg/layers.py": SILU,
    "src/other.py": "",
    "src/mypkg/adapters.py": adapters("import other\nfrom mypkg.layers import silu"),
}
PYPROJECT = {"pyproject.toml": '[project]\nname = "mine"\n'}


@pytest.mark.parametrize("folder", [".", "src"])
@pytest.mark.parametrize("files", [INSIDE, INSIDE | PYPROJECT], ids=["bare", "project"])
def test_adapters_inside_the_package_that_they_import(tmp_path, files, folder):
    check_silu(written(tmp_path / "work", files) / folder)


def test_the_package_itself_may_be_named(tmp_path):
    alone = {**INSIDE, "src/mypkg/adapters.py": adapters("from mypkg.layers import silu")}
    check_silu(written(tmp_path / "work", alone) / "src" / "mypkg")


def test_the_project_is_the_working_directory_of_a_package(tmp_path):
    root = written(tmp_path / "work", INSIDE | PYPROJECT)
    layout = locate(root)
    assert (layout.root, layout.adapters) == (str(root), os.path.join("src", "mypkg", "adapters.py"))
    assert "mine" in layout.distributions


@pytest.mark.parametrize("init", [True, False])
def test_tests_inside_the_package_that_they_import(tmp_path, init):
    files = {
        "lib/mypkg/layers.py": SILU,
        "lib/mypkg/tests/helper.py": "",
        "lib/mypkg/tests/adapters.py": adapters("from . import helper\nfrom mypkg.layers import silu"),
        **({"lib/mypkg/__init__.py": ""} if init else {}),
    }
    check_silu(written(tmp_path / "work", files))


def test_a_folder_that_is_named_as_the_package_in_it_is_no_package(tmp_path):
    files = {"cs336_basics/layers.py": SILU, "adapters.py": adapters("from cs336_basics.layers import silu")}
    check_silu(written(tmp_path / "cs336_basics", files))


def test_a_folder_that_is_named_as_a_library_is_no_package(tmp_path):
    assert locate(written(tmp_path / "torch", {"adapters.py": adapters(SILU)})).package == ""


def test_a_package_that_lies_elsewhere_in_the_submission_is_found(tmp_path):
    files = {
        "tests/adapters.py": "from cs336_basics import layers\n",
        "modes/student/cs336_basics/layers.py": "",
        "modes/teacher/cs336_basics/layers.py": "",
    }
    said = "'cs336_basics' lies in modes/student/ and in modes/teacher/, where Python does not look for it"
    with WalledSubmission(locate(written(tmp_path, files))) as submission, pytest.raises(Exception, match=said):
        submission.load()


def test_what_is_spelt_in_other_letters_is_said(tmp_path):
    files = {"BPE/__init__.py": "", "adapters.py": "def run_silu(in_features):\n    import bpe\n"}
    with (
        WalledSubmission(locate(written(tmp_path, files))) as submission,
        pytest.raises(Exception, match="case of letters"),
    ):
        submission.run_silu(in_features=X)
    (tmp_path / "BPE" / "layers.py").write_text("")
    (tmp_path / "adapters.py").write_text("import BPE.Layers\n")
    with (
        WalledSubmission(locate(tmp_path)) as submission,
        pytest.raises(Exception, match=r"'BPE/layers\.py' in this submission"),
    ):
        submission.load()


@pytest.mark.parametrize(("required", "is_said"), [(">=3.11", False), (">=3.11,<4", False), (">=3.99", True)])
def test_the_python_that_is_asked_for_is_said_where_it_is_another(tmp_path, required, is_said):
    files = {
        "pyproject.toml": f'[project]\nrequires-python = "{required}"\n',
        "adapters.py": "raise ValueError('no')\n",
    }
    with (
        WalledSubmission(locate(written(tmp_path, files))) as submission,
        pytest.raises(Exception, match="no") as failed,
    ):
        submission.load()
    assert ("asks for Python" in str(failed.value)) == is_said


# ------------------------------------------------------------------------------------------------------------
# Several submissions at once


def typed(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_grader(*arguments, "--problem", "softmax", "--jobs", "1", "--isolation", "process")


def test_one_of_several_submissions_in_an_archive_is_chosen_as_the_message_says(tmp_path):
    right = "def run_softmax(in_features, dim):\n    return (in_features - in_features.logsumexp(dim, True)).exp()\n"
    written(tmp_path / "class", {"ada's work/tests/adapters.py": right, "bob/adapters.py": "NOTHING = 0\n"})
    archive = shutil.make_archive(str(tmp_path / "class"), "zip", tmp_path / "class")
    refusal = typed(archive)
    assert refusal.returncode == 2
    assert "holds several submissions (ada's work/tests/adapters.py, bob/adapters.py)" in refusal.stderr
    command = refusal.stderr.rpartition("python -m grader ")[2].strip()
    assert command == f"""{archive} --root 'ada'"'"'s work'"""
    chosen = typed(archive, "--root", "ada's work")
    assert "1 of 1 assessed points" in chosen.stdout, chosen.stderr
    chosen = typed(Path(archive, "ada's work"))
    assert "1 of 1 assessed points" in chosen.stdout, chosen.stderr
    for elsewhere in ("nobody", "..", "/"):
        refusal = typed(archive, "--root", elsewhere)
        assert refusal.returncode == 2
        assert f"--root {elsewhere}: {archive} holds no such folder" in refusal.stderr


# ------------------------------------------------------------------------------------------------------------
# Files that are traps for whoever reads them

WORKS = {"adapters.py": adapters(SILU)}
DEEP = "a = " + "[" * 20_000 + "]" * 20_000 + "\n"


def pyproject(text: str) -> Callable[[Path], object]:
    return lambda root: (root / "pyproject.toml").write_text(text)


def replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: make(root / name)


def class_chain(path: Path) -> None:
    """400 classes, each derived from the one before, whose methods lead through all of them, one by one."""
    classes = [
        f"class C{i}({f'C{i - 1}' if i else 'object'}):\n"
        f"    def m{i}(self):\n        return C{max(i - 1, 0)}().m{max(i - 1, 0)}()\n\n\n"
        for i in range(400)
    ]
    reaching = adapters(SILU).replace("return silu(", "return C399().m399() if not in_features.numel() else silu(")
    path.write_text("".join(classes) + reaching)


TRAPS: dict[str, Callable[[Path], object]] = {
    "no table": pyproject("project = 3\ntool = 4\n"),
    "no text": pyproject('[project]\nname = ["x"]\nrequires-python = 3\n'),
    "names that are none": pyproject(f'[project]\nname = "../{"x" * 5000}"\n'),
    "deep": pyproject(DEEP),
    "a path with a zero": pyproject('[tool.pytest.ini_options]\npythonpath = ["a\\u0000b", "src"]\n'),
    "a long path": pyproject(f'[tool.pytest.ini_options]\npythonpath = ["{"x" * 5000}"]\n'),
    "not UTF-8": replaced("pyproject.toml", lambda path: path.write_bytes(b"\xff\xfe")),
    "a large one": replaced("pyproject.toml", lambda path: path.write_text("#" * (2 << 20))),
    "a pipe": replaced("pyproject.toml", lambda path: os.mkfifo(path)),
    "an endless device": replaced("pyproject.toml", lambda path: path.symlink_to("/dev/zero")),
    "a link to itself": replaced("pyproject.toml", lambda path: path.symlink_to(path)),
    "a folder": replaced("pyproject.toml", lambda path: path.mkdir()),
    "a package that links to itself": replaced("src", lambda path: path.symlink_to(path)),
    "an import of a zero": replaced("adapters.py", lambda p: p.write_text(f"import importlib as i\n{adapters(SILU)}\n"
        "def run_softmax(**_):\n    return i.import_module('a\\0b').f()\n")),
    "a chain of classes": replaced("adapters.py", class_chain),
}  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="pipes and devices")
@pytest.mark.parametrize("trap", TRAPS)
def test_a_file_that_is_a_trap_says_nothing(tmp_path, trap):
    root = written(tmp_path / "submission", WORKS)
    TRAPS[trap](root)
    start = time.monotonic()
    layout = locate(root)
    mentions_in(layout, RUBRIC.problems)
    find_suspicions(layout, {}, [])
    assert time.monotonic() - start < 8
    check_silu(root)


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 5 << 30)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "5 GiB of nothing": (sparse, "more than 1,048,576 bytes"),
    "a link out": (lambda path: path.symlink_to("/etc/hostname"), "leads out of the submission"),
}  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="sparse files and links")
@pytest.mark.parametrize("trap", REFUSED)
def test_adapters_that_are_a_trap_are_refused(tmp_path, trap):
    make, said = REFUSED[trap]
    make(tmp_path / "adapters.py")
    with pytest.raises(SubmissionNotFound, match=said):
        locate(tmp_path)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="changes the user")
def test_an_unreadable_folder_is_passed_over():
    with tempfile.TemporaryDirectory() as name:
        root = written(Path(name), {**{f"sub/{file}": text for file, text in WORKS.items()}, "closed/x.py": ""})
        os.chmod(root, 0o755)
        os.chmod(root / "closed", 0o700)
        os.seteuid(65534)
        try:
            layout = locate(root)
            mentions_in(layout, RUBRIC.problems)
            find_suspicions(layout, {}, [])
            with pytest.raises(SubmissionNotFound, match="Permission denied"):
                locate(root / "closed")
        finally:
            os.seteuid(0)
    assert layout.adapters == "adapters.py"


def test_every_level_of_isolation_takes_a_folder_with_traps(tmp_path):
    root = written(tmp_path / "submission", WORKS)
    for trap in ("a pipe", "a package that links to itself"):
        TRAPS[trap](root)
    for isolation in available(locate(root)):
        if isolation.level != "none":
            with WalledSubmission(locate(root), isolation=isolation) as submission:
                compare(X * torch.sigmoid(X), submission.run_silu(in_features=X))


def test_an_archive_that_asks_for_gigabytes_to_be_unpacked_is_refused(tmp_path):
    path = tmp_path / "work.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("adapters.py", adapters(SILU))
    with unpacked(path) as folder:
        assert (folder / "adapters.py").read_text() == adapters(SILU)
    content = bytearray(path.read_bytes())
    options = 30 + len("adapters.py")
    assert content[options + 2 : options + 4] == b"\x05\x00"
    content[options + 5 : options + 9] = struct.pack("<I", 3 << 30)
    path.write_bytes(content)
    with pytest.raises(ArchiveRefused, match="needs more than 64 MiB of memory"), unpacked(path):
        pass


def test_a_submission_is_found_before_the_kit_where_both_are_on_the_path(tmp_path):
    """As with PYTHONPATH set to the submission, and pytest run in the kit's folder."""
    (tmp_path / "adapters.py").write_text("import answer\n", "utf-8")
    (tmp_path / "answer.py").write_text("", "utf-8")
    kit = tmp_path / "kit"
    kit.mkdir()
    (kit / "answer.py").write_text("raise NotImplementedError('a stub')\n", "utf-8")
    program = (
        f"import sys; sys.path[:0] = [{str(kit)!r}, {str(tmp_path)!r}]\n"
        "from grader.submission.locate import locate\n"
        "from grader.worker.loader import import_adapters\n"
        f"print(import_adapters(locate({str(tmp_path)!r})).answer.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=KIT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(tmp_path / "answer.py"), done.stderr
