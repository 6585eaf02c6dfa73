"""A class that comes as one archive: each submission with bounds of its own, and nothing unpacked twice."""

from __future__ import annotations

import csv
import errno
import tarfile
from pathlib import Path

import pytest
from rich.console import Console

from grader.errors import Refused
from grader.scoring.rubric import load_rubric
from grader.selftest.test_archive import file, special, tar_of, zip_of
from grader.selftest.test_batch import stand_in, tries
from grader.staff.batch import digest
from grader.staff.class_archive import HANDED_IN, unpacked_class
from grader.staff.class_run import ClassRun
from grader.staff.collection import HandedIn, collect
from grader.staff.unit import Options
from grader.staff.unit_process import Units
from grader.submission import archive as archives

__all__ = ["stand_in"]  # a fixture

METADATA = """\
submission_1:
  :submitters:
  - :name: Ada Lovelace
    :sid: '17'
    :email: ada@example.edu
submission_2:
  :submitters:
  - :name: Grace Hopper
    :sid: '18'
    :email: grace@example.edu
"""


def class_of(archive: Path, out: Path) -> list[HandedIn]:
    found = unpacked_class(archive, out)
    return collect(found.folder, None, (), found.refused)


def one(name: str, content: bytes = b"") -> list[tuple[str, bytes]]:
    return [(f"{name}/adapters.py", content), (f"{name}/model/rope.py", b"x = 1")]


def test_an_export_of_gradescope_names_its_students(tmp_path):
    wrapper = "assignment_7_export"
    entries = [(f"{wrapper}/submission_metadata.yml", METADATA.encode())]
    entries += one(f"{wrapper}/submission_1") + one(f"{wrapper}/submission_2")
    found = class_of(zip_of(tmp_path / "export.zip", entries), tmp_path / "out")
    assert [(each.id, each.students[0].name) for each in found] == [("17", "Ada Lovelace"), ("18", "Grace Hopper")]
    assert all(each.source and (each.source / "model" / "rope.py").is_file() for each in found)


def test_an_export_of_canvas_is_archives_in_an_archive(tmp_path):
    inner = zip_of(tmp_path / "inner.zip", one("code")).read_bytes()
    names = ("lovelaceada_17_901_code.zip", "hoppergrace_LATE_18_902_code.zip")
    found = class_of(zip_of(tmp_path / "submissions.zip", [(name, inner) for name in names]), tmp_path / "out")
    assert [each.id for each in found] == ["hoppergrace-18", "lovelaceada-17"]
    assert all(each.source and each.source.name in names for each in found)


@pytest.mark.parametrize("wrapper", ["", "class/", "./class/"])
def test_a_folder_around_all_of_them_is_no_submission(tmp_path, wrapper):
    entries = [(file(f"{wrapper}{name}"), content) for name, content in one("ada") + one("grace")]
    entries.append((special(f"{wrapper}ada/again.py", tarfile.LNKTYPE, f"{wrapper}ada/adapters.py"), b""))
    found = class_of(tar_of(tmp_path / "class.tar.gz", entries), tmp_path / "out")
    assert [each.id for each in found] == ["ada", "grace"]
    assert (tmp_path / "out" / HANDED_IN / "ada" / "again.py").is_file()


def test_one_submission_by_itself_is_not_taken_apart(tmp_path):
    found = class_of(zip_of(tmp_path / "class.zip", one("ada")), tmp_path / "out")
    assert [each.id for each in found] == ["ada"]


def test_hostile_contents_cost_their_own_row_only(tmp_path):
    entries = [*one("ada"), *one("grace")]
    entries += [("bomb/adapters.py", b""), ("bomb/zeros", bytes(40 << 20)), ("bomb/after.py", b"")]
    entries += [
        ("../outside.py", b"x"),
        ("twice/a.py", b"1"),
        ("twice/a.py", b"2"),
        ("case/a.py", b""),
        ("case/A.py", b""),
    ]
    entries += [("deep/../../../outside.py", b""), ("/etc/owned", b"x"), ("line\nend <b>/a.py", b"")]
    found = {each.id: each for each in class_of(zip_of(tmp_path / "class.zip", entries), tmp_path / "out")}
    refused = {id: each.fault for id, each in found.items() if each.source is None}
    assert "bomb in class.zip is refused: its contents are more than 100 times its own size" in refused["bomb"]
    assert "is in it twice" in refused["twice"]
    assert "are the same name on some file systems" in refused["case"]
    assert "leads out of the archive" in refused["deep"]
    assert sorted(why for id, why in refused.items() if id.startswith("submission-")) == [
        ".. in class.zip is refused: ../outside.py leads out of the archive"
    ]
    graded = [id for id, each in found.items() if each.source]
    assert {"ada", "grace", "etc"} < set(graded)
    assert len(graded) == 4  # and the one with a line's end in its name
    assert not list(tmp_path.rglob("outside.py"))
    assert not (tmp_path / "out" / HANDED_IN / "bomb").exists()


def test_a_link_into_another_submission_is_refused(tmp_path):
    entries = [(file(name), content) for name, content in one("ada", b"the solution")]
    entries += [(special("mallory/adapters.py", tarfile.SYMTYPE, "../ada/adapters.py"), b"")]
    found = {each.id: each for each in class_of(tar_of(tmp_path / "class.tar", entries), tmp_path / "out")}
    assert found["ada"].source
    assert "is a link to ada/adapters.py, which is no file in it" in found["mallory"].fault


def damaged(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def no_archive(path: Path) -> None:
    path.write_bytes(b"<!doctype html><title>Log in</title>")


@pytest.mark.parametrize("name", ["class.zip", "class.tar.gz"])
@pytest.mark.parametrize("spoil", [damaged, no_archive])
def test_a_corrupt_archive_is_one_sentence(tmp_path, name, spoil):
    noise = bytes(hash((i, 7)) & 0xFF for i in range(1 << 16))
    entries = [*one("ada", noise), *one("grace", noise)]
    path = tmp_path / name
    if name.endswith("zip"):
        zip_of(path, entries)
    else:
        tar_of(path, [(file(entry), content) for entry, content in entries])
    spoil(path)
    with pytest.raises(Refused, match=rf"{name} is refused: it (is damaged|cannot be unpacked) \(.*\)\.$"):
        unpacked_class(path, tmp_path / "out")
    assert not (tmp_path / "out" / HANDED_IN).exists()


def test_a_member_that_is_damaged_costs_its_own_row(tmp_path):
    path = zip_of(tmp_path / "class.zip", [*one("ada", b"first"), *one("grace", b"second")], compressed=False)
    path.write_bytes(path.read_bytes().replace(b"second", b"spoilt", 1))
    ada, grace = class_of(path, tmp_path / "out")
    assert ada.source
    assert "grace in class.zip is refused: it is damaged" in grace.fault


def test_a_full_disk_refuses_all_of_it(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archives._Target, "write", full)
    with pytest.raises(Refused, match=r"class.zip is refused: the disk is too full to unpack it\."):
        unpacked_class(zip_of(tmp_path / "class.zip", one("ada")), tmp_path / "out")


def test_what_is_the_same_in_a_newer_archive_is_the_same_submission(tmp_path):
    """A download has the times of the download; it is what changed that is graded anew."""
    path, out = tmp_path / "class.zip", tmp_path / "out"

    def digests() -> dict[str, str]:
        return {each.id: digest(each.source, Options()) for each in class_of(path, out) if each.source}

    zip_of(path, [*one("ada"), *one("grace")])
    first = digests()
    unpacked = (out / HANDED_IN).stat().st_ino
    assert digests() == first
    assert (out / HANDED_IN).stat().st_ino == unpacked
    zip_of(path, [*one("ada"), *one("grace", b"changed"), *one("alan")])
    second = digests()
    assert sorted(second) == ["ada", "alan", "grace"]
    assert second["ada"] == first["ada"]
    assert second["grace"] != first["grace"]


def test_a_batch_takes_the_archive_as_it_is(tmp_path, stand_in):
    path, out = tmp_path / "class.zip", tmp_path / "out"
    entries = [(f"class/{name}/does", b"") for name in ("ada", "grace")] + [("class/mallory/../../x", b"")]
    zip_of(path, entries)

    def batch() -> dict[str, str]:
        run = ClassRun(path, out, Options(), load_rubric(), console=Console(quiet=True), units=Units(stand_in))
        run.grade(jobs=2, limit_s=30)
        list(run.close())
        with (out / "grades.csv").open(newline="") as table:
            return {row["id"]: row["state"] for row in csv.DictReader(table)}

    expected = {"ada": "graded", "grace": "graded", "mallory": "refused"}
    assert batch() == expected
    assert batch() == expected
    assert tries(tmp_path) == {"ada": 1, "grace": 1}
    assert "<title>class.zip: 3 submissions</title>" in (out / "index.html").read_text()
