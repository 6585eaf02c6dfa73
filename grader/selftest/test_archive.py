"""Archives are unpacked below one folder, within bounds, and are gone afterwards; anything else is refused."""

from __future__ import annotations

import io
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from grader.kit.paths import KIT
from grader.selftest.forked import run_grader
from grader.selftest.layouts import hears_signals, public_layout
from grader.selftest.report_contract import checked
from grader.submission.archive import ArchiveRefused, Bounds, unpacked

SMALL = Bounds(total_mib=4, file_mib=2, entries=50, ratio=100, ratio_from_mib=1)


def zip_of(path: Path, entries: Iterable[tuple[str | zipfile.ZipInfo, bytes]], compressed: bool = True) -> Path:
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def tar_of(path: Path, entries: Iterable[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for info, content in entries:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def file(name: str) -> tarfile.TarInfo:
    return tarfile.TarInfo(name)


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.devmajor, info.devminor = kind, target, 1, 5
    return info


def zip_link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


def contents(archive: Path, bounds: Bounds = SMALL) -> dict[str, bytes]:
    with unpacked(archive, bounds) as folder:
        assert not [path for path in folder.rglob("*") if path.is_symlink()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def encrypted(path: Path) -> Path:
    """A zip whose only entry is marked as encrypted, in both places where the format says so."""
    data = bytearray(zip_of(path, [("adapters.py", b"x")]).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def damaged(path: Path) -> Path:
    whole = tar_of(path, [(file("a.py"), os.urandom(5000))]).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def lying_zip(path: Path) -> Path:
    """An entry that says it is small and is not."""
    data = bytearray(zip_of(path, [("big.bin", bytes(3 << 20))]).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = data.index(signature) + offset
        data[start : start + 4] = (10).to_bytes(4, "little")
    path.write_bytes(data)
    return path


REFUSED: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "dots_zip": ("s.zip", lambda p: zip_of(p, [("../evil.py", b"x")]), "leads out of the archive"),
    "dots_inside_zip": ("s.zip", lambda p: zip_of(p, [("a/../../evil.py", b"x")]), "leads out of the archive"),
    "backslashes_zip": ("s.zip", lambda p: zip_of(p, [("..\\evil.py", b"x")]), "leads out of the archive"),
    "absolute_zip": ("s.zip", lambda p: zip_of(p, [("/tmp/evil.py", b"x")]), "is an absolute path"),
    "drive_zip": ("s.zip", lambda p: zip_of(p, [("C:\\evil.py", b"x")]), "is an absolute path"),
    "link_out_zip": ("s.zip", lambda p: zip_of(p, [(zip_link("a"), b"../../etc/passwd")]), "is a link out of it"),
    "link_absolute_zip": ("s.zip", lambda p: zip_of(p, [(zip_link("a"), b"/etc/passwd")]), "is a link out of it"),
    "encrypted_zip": ("s.zip", encrypted, "is encrypted"),
    "bomb_of_zeros_zip": ("s.zip", lambda p: zip_of(p, [("a", bytes(2 << 20))]), "100 times its own size"),
    "lying_zip": ("s.zip", lying_zip, "damaged"),
    "large_file_zip": ("s.zip", lambda p: zip_of(p, [("a", bytes(3 << 20))], compressed=False), "larger than 2 MiB"),
    "large_zip": (
        "s.zip",
        lambda p: zip_of(p, [(f"{i}", bytes(2 << 20)) for i in range(3)], compressed=False),
        "more than 4 MiB",
    ),
    "many_entries_zip": ("s.zip", lambda p: zip_of(p, [(f"{i}", b"") for i in range(51)]), "more than 50 entries"),
    "case_zip": ("s.zip", lambda p: zip_of(p, [("A.py", b""), ("a.py", b"")]), "are the same name"),
    "case_of_folder_zip": ("s.zip", lambda p: zip_of(p, [("A/x", b""), ("a/y", b"")]), "are the same name"),
    "unicode_zip": ("s.zip", lambda p: zip_of(p, [("\u00e9", b""), ("e\u0301", b"")]), "are the same name"),
    "file_and_folder_zip": ("s.zip", lambda p: zip_of(p, [("a", b""), ("a/b", b"")]), "both a file and a folder"),
    "no_zip": ("s.zip", lambda p: written(p, b"not a zip"), "damaged"),
    "dots_tar": ("s.tar", lambda p: tar_of(p, [(file("../evil.py"), b"x")]), "leads out of the archive"),
    "absolute_tar": ("s.tgz", lambda p: tar_of(p, [(file("/tmp/evil.py"), b"x")]), "is an absolute path"),
    "link_out_tar": (
        "s.tar.gz",
        lambda p: tar_of(p, [(special("a/b", tarfile.SYMTYPE, "../../x"), b"")]),
        "is a link out of it",
    ),
    "write_through_link_tar": (
        "s.tar",
        lambda p: tar_of(p, [(special("a", tarfile.SYMTYPE, "/tmp"), b""), (file("a/evil.py"), b"x")]),
        "is a link out of it",
    ),
    "hard_link_out_tar": (
        "s.tar",
        lambda p: tar_of(p, [(special("a", tarfile.LNKTYPE, "/etc/passwd"), b"")]),
        "is a link out of it",
    ),
    "link_to_folder_tar": (
        "s.tar",
        lambda p: tar_of(p, [(special("a", tarfile.SYMTYPE, "b"), b""), (file("b/x"), b"")]),
        "which is no file in it",
    ),
    "twice_tar": ("s.tar", lambda p: tar_of(p, [(file("a"), b"1"), (file("a"), b"2")]), "is in it twice"),
    "bomb_tar": ("s.tar.gz", lambda p: tar_of(p, [(file("a"), bytes(2 << 20))]), "100 times its own size"),
    "bomb_in_skipped_member_tar": (
        "s.tar.gz",
        lambda p: tar_of(p, [(special("a", b"Z"), bytes(2 << 20))]),
        "100 times its own size",
    ),
    "many_entries_tar": ("s.tar", lambda p: tar_of(p, [(file(f"{i}"), b"") for i in range(51)]), "more than 50"),
    "truncated_tar": ("s.tar.gz", damaged, "damaged"),
    "no_tar": ("s.tar.gz", lambda p: written(p, b"not a tar at all" * 100), "damaged"),
    "not_utf8_tar": ("s.tar", lambda p: tar_of(p, [(file("caf\udce9"), b"")]), "is not UTF-8"),
    "too_long_tar": ("s.tar", lambda p: tar_of(p, [(file("a" * 300), b"")]), "cannot be unpacked"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_hostile_archive_is_refused(tmp_path, monkeypatch, case):
    name, make, reason = REFUSED[case]
    archive = make(tmp_path / name)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with pytest.raises(ArchiveRefused, match=reason) as refusal, unpacked(archive, SMALL):
        pytest.fail("the archive was opened")
    assert str(refusal.value).startswith(f"{name} is refused: ")
    assert "\n" not in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir() if path != archive] == ["scratch"]
    assert not list(scratch.iterdir())
    assert not Path("/tmp/evil.py").exists()


def test_a_zip_from_macos_has_its_files_and_no_junk(tmp_path):
    entries = [
        ("hw1/", b""),
        ("hw1/adapters.py", b"x = 1"),
        ("__MACOSX/hw1/._adapters.py", b""),
        ("hw1/.DS_Store", b""),
    ]
    assert contents(zip_of(tmp_path / "s.zip", entries)) == {"hw1/adapters.py": b"x = 1"}


def test_an_archive_inside_the_archive_stays_closed(tmp_path):
    inner = zip_of(tmp_path / "inner.zip", [("../evil.py", b"x")]).read_bytes()
    assert contents(zip_of(tmp_path / "s.zip", [("data/inner.zip", inner)])) == {"data/inner.zip": inner}


def test_devices_and_pipes_are_left_out(tmp_path):
    entries = [(special("zero", tarfile.CHRTYPE), b""), (special("pipe", tarfile.FIFOTYPE), b""), (file("a"), b"1")]
    assert contents(tar_of(tmp_path / "s.tar", entries)) == {"a": b"1"}


def test_a_link_to_a_file_of_the_archive_becomes_a_copy(tmp_path):
    entries = [
        (special("b/link", tarfile.SYMTYPE, "../a"), b""),
        (file("a"), b"1"),
        (special("c", tarfile.LNKTYPE, "a"), b""),
    ]
    assert contents(tar_of(tmp_path / "s.tgz", entries)) == {"a": b"1", "b/link": b"1", "c": b"1"}


def test_a_sparse_text_is_no_bomb(tmp_path):
    text = b"the same line again and again\n" * 20_000
    assert contents(zip_of(tmp_path / "s.zip", [("corpus.txt", text)])) == {"corpus.txt": text}


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_an_archive_is_graded_like_its_folder(tmp_path, kind):
    public_layout(tmp_path / "work" / "ada")
    archive = Path(shutil.make_archive(str(tmp_path / "ada"), kind, tmp_path / "work"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    result = run_grader(archive, "--problem", "rmsnorm", "--json", "-", TMPDIR=str(scratch))
    assert result.returncode == 0, result.stderr
    report = checked(result.stdout)
    assert report["score"]["earned"] == 1
    assert report["submission"] == str(archive)
    assert not list(scratch.iterdir())


def test_a_refused_archive_is_one_sentence_and_exit_code_2(tmp_path):
    archive = zip_of(tmp_path / "s.zip", [("../evil.py", b"x")])
    result = run_grader(archive)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "grader: s.zip is refused: ../evil.py leads out of the archive.\n"


def test_an_archive_without_adapters_is_named_by_its_own_name(tmp_path):
    archive = zip_of(tmp_path / "s.zip", [("readme.txt", b"x")])
    result = run_grader(archive)
    assert result.returncode == 2
    assert f"no adapters.py and no tests/adapters.py in {archive}" in result.stderr


def test_nothing_is_left_after_an_interruption(tmp_path):
    archive = zip_of(tmp_path / "s.zip", [("adapters.py", b"import time\ntime.sleep(60)\n")])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "grader", str(archive), "--problem", "rmsnorm"],
        cwd=KIT,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=hears_signals,
    )
    deadline = time.monotonic() + 30
    while not list(scratch.glob("submission-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert not list(scratch.glob("submission-*"))
