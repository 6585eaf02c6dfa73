"""A submission's files are read as data, and nothing in their names or kinds leads the judge astray."""

from __future__ import annotations

import os
import socket

import pytest

from grader.submission.faults import NothingToAssess, WrongResult
from grader.submission.files import Files


@pytest.fixture
def files(tmp_path) -> Files:
    root = tmp_path / "submission"
    (root / "runs" / "small").mkdir(parents=True)
    (root / "runs" / "small" / "metrics.jsonl").write_bytes(b"{}\r\n")
    (tmp_path / "outside.txt").write_text("secret")
    return Files(root)


def test_a_file_is_read_as_it_is(files):
    assert files.read("runs/small/metrics.jsonl", 10) == b"{}\r\n"
    assert files.read_text("runs/small/metrics.jsonl", 10) == "{}\n"
    assert files.names("runs") == ["small"]
    assert files.has("runs/small")
    assert not files.has("runs/large")


def test_what_is_not_there_is_not_assessed(files):
    with pytest.raises(NothingToAssess, match=r"no answers\.toml"):
        files.read("answers.toml", 10)
    with pytest.raises(NothingToAssess, match="no runs/large"):
        files.names("runs/large")


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../outside.txt", "runs/../../outside.txt", "runs//small", "a\0b"])
def test_a_path_out_of_the_folder_is_refused(files, path):
    with pytest.raises(WrongResult, match="not a path inside the submission"):
        files.read(path, 100)


@pytest.mark.parametrize("target", ["../outside.txt", "runs/small/metrics.jsonl", "/dev/zero", "link"])
def test_a_link_is_not_followed(files, target):
    (files.root / "link").symlink_to(target)
    with pytest.raises(WrongResult, match="link is a link, which is not followed"):
        files.read("link", 100)
    assert not files.has("link")


def test_a_folder_that_is_a_link_is_not_followed(files):
    (files.root / "runs" / "elsewhere").symlink_to(files.root.parent, target_is_directory=True)
    for read in (lambda: files.read("runs/elsewhere/outside.txt", 100), lambda: files.names("runs/elsewhere")):
        with pytest.raises(WrongResult, match="runs/elsewhere is a link"):
            read()


def test_what_is_no_regular_file_is_refused_at_once(files):
    os.mkfifo(files.root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(files.root / "socket"))
        for name in ("pipe", "socket", "runs"):
            with pytest.raises(WrongResult, match=r"not a regular file|cannot be read"):
                files.read(name, 100)


def test_a_file_beyond_the_bound_is_refused(files):
    with open(files.root / "huge", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(WrongResult, match=r"huge has 1,099,511,627,776 bytes; the grader reads at most 100\."):
        files.read("huge", 100)


def test_text_that_is_not_utf8_is_refused(files):
    (files.root / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(WrongResult, match="latin is not UTF-8 text"):
        files.read_text("latin", 100)


def test_a_folder_with_very_many_entries_is_refused(files):
    for number in range(1001):
        (files.root / "runs" / f"{number}").touch()
    with pytest.raises(WrongResult, match="holds 1,002 entries"):
        files.names("runs")


def test_no_descriptor_stays_open(files):
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        files.read("runs/small/metrics.jsonl", 10)
        files.has("runs/none")
        with pytest.raises(WrongResult):
            files.read("runs/small/metrics.jsonl", 1)
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after == before
