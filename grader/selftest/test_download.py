"""Downloads, from a server on this machine that behaves as badly as real ones do. No test needs a network."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import random
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from grader.kit import corpora
from grader.kit.corpora import CORPORA, FILES, Content, DownloadError, Observer, RemoteFile, fetch

TEXT = random.Random(336).randbytes(3_000_000)
PACKED = gzip.compress(TEXT + bytes(5_000_000), 1)
UNPACKED = TEXT + bytes(5_000_000)


def content(data: bytes) -> Content:
    return Content(len(data), hashlib.sha256(data).hexdigest())


PLAIN_FILE = RemoteFile("c", "plain.txt", "someone/corpus", "abc123", content(TEXT))
PACKED_FILE = RemoteFile("c", "packed.txt", "someone/corpus", "abc123", content(UNPACKED), content(PACKED))


@dataclass
class Server:
    """What it offers, how it misbehaves, and what it was asked.

    drop_after: break off after so many bytes of a body, as often as `drops` says; refuse: status codes to answer
    first; ranges: whether it honours them; shift: it answers a range from so many bytes earlier than asked.
    """

    bodies: dict[str, bytes]
    drop_after: int = 0
    drops: int = 0
    refuse: list[int] = field(default_factory=list)
    ranges: bool = True
    shift: int = 0
    claimed_length: int | None = None
    redirect: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextlib.contextmanager
def serving(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server at a port of its own, in place of huggingface.co."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.close_connection = True
            if server.redirect and "/resolve/" in self.path:  # as the real one does, to where large files are kept
                self.send_response(302)
                self.send_header("Location", f"/store/{self.path.rpartition('/')[2]}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            server.asked.append((self.path, self.headers.get("Range")))
            if server.refuse:
                self.send_error(server.refuse.pop(0))
                return
            body = server.bodies.get(self.path.rpartition("/")[2])
            if body is None:
                self.send_error(404)
                return
            start = 0
            if server.ranges and (asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
                start = max(0, int(asked[1]) - server.shift)
                if start >= len(body):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(server.claimed_length or len(body) - start))
            self.end_headers()
            end = len(body)
            if server.drops:
                server.drops -= 1
                end = start + server.drop_after
            with contextlib.suppress(OSError):
                self.wfile.write(body[start:end])

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{running.server_port}/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    try:
        yield server
    finally:
        running.shutdown()
        running.server_close()


@pytest.fixture
def serve(monkeypatch):
    with contextlib.ExitStack() as stack:
        yield lambda bodies, **behaviour: stack.enter_context(serving(Server(bodies, **behaviour), monkeypatch))


class Notes(Observer):
    """Remembers stages with the bytes they were told of, and notes."""

    def __init__(self) -> None:
        self.stages: list[list] = []
        self.notes: list[str] = []

    def stage(self, what, size, done=0):
        stage = [what, size, done]
        self.stages.append(stage)

        def advance(count: int) -> None:
            stage[2] += count

        return advance

    def note(self, sentence):
        self.notes.append(sentence)


def get(file: RemoteFile, folder: Path) -> Notes:
    notes = Notes()
    fetch([file], folder, observer=notes, pause_s=0.001)
    return notes


def refused(file: RemoteFile, folder: Path) -> str:
    """The one line that says why a file cannot be had."""
    with pytest.raises(DownloadError) as caught:
        get(file, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_arrives_under_its_name_and_nothing_is_left_beside_it(serve, tmp_path):
    server = serve({"plain.txt": TEXT})
    notes = get(PLAIN_FILE, tmp_path / "data")
    assert (tmp_path / "data" / "plain.txt").read_bytes() == TEXT
    assert names(tmp_path / "data") == {"plain.txt"}
    assert server.asked == [("/store/plain.txt", None)]
    assert all(done == size for _, size, done in notes.stages), "progress ends at the size of each stage"


def test_a_packed_file_is_unpacked_and_the_archive_deleted(serve, tmp_path):
    serve({"packed.txt.gz": PACKED})
    get(PACKED_FILE, tmp_path)
    assert (tmp_path / "packed.txt").read_bytes() == UNPACKED
    assert names(tmp_path) == {"packed.txt"}


def test_lost_connections_are_taken_up_where_they_broke(serve, tmp_path):
    server = serve({"plain.txt": TEXT}, drops=4, drop_after=500_000)
    notes = get(PLAIN_FILE, tmp_path)
    assert (tmp_path / "plain.txt").read_bytes() == TEXT
    assert [asked for _, asked in server.asked] == [None] + [f"bytes={n}-" for n in range(500_000, 2_000_001, 500_000)]
    assert notes.stages[0][2] == len(TEXT)


def test_the_next_run_goes_on_where_the_last_one_ended(serve, tmp_path):
    server = serve({"plain.txt": TEXT})
    (tmp_path / "plain.txt.part").write_bytes(TEXT[:1_234_567])
    get(PLAIN_FILE, tmp_path)
    assert (tmp_path / "plain.txt").read_bytes() == TEXT
    assert server.asked == [("/store/plain.txt", "bytes=1234567-")]


def test_a_server_without_ranges_starts_again(serve, tmp_path):
    serve({"plain.txt": TEXT}, ranges=False)
    (tmp_path / "plain.txt.part").write_bytes(TEXT[:1_234_567])
    notes = get(PLAIN_FILE, tmp_path)
    assert (tmp_path / "plain.txt").read_bytes() == TEXT
    assert notes.stages[0] == ["download plain.txt", len(TEXT), len(TEXT)]


def test_a_range_that_begins_elsewhere_is_not_appended(serve, tmp_path):
    serve({"plain.txt": TEXT}, shift=4096)
    (tmp_path / "plain.txt.part").write_bytes(TEXT[:1_234_567])
    get(PLAIN_FILE, tmp_path)
    assert (tmp_path / "plain.txt").read_bytes() == TEXT


@pytest.mark.parametrize("size", [len(TEXT) + 1, 2 * len(TEXT)])
def test_a_part_longer_than_the_file_is_thrown_away(serve, tmp_path, size):
    serve({"plain.txt": TEXT})
    (tmp_path / "plain.txt.part").write_bytes(bytes(size))
    get(PLAIN_FILE, tmp_path)
    assert (tmp_path / "plain.txt").read_bytes() == TEXT


def test_a_part_that_belongs_to_something_else_is_found_out_and_deleted(serve, tmp_path):
    serve({"plain.txt": TEXT})
    (tmp_path / "plain.txt.part").write_bytes(bytes(1_000_000))
    assert "their SHA-256 is not" in refused(PLAIN_FILE, tmp_path)
    assert names(tmp_path) == set()
    get(PLAIN_FILE, tmp_path)
    assert (tmp_path / "plain.txt").read_bytes() == TEXT


def test_busy_servers_are_asked_again(serve, tmp_path):
    serve({"plain.txt": TEXT}, refuse=[503], drops=1, drop_after=1_000)
    get(PLAIN_FILE, tmp_path)
    assert (tmp_path / "plain.txt").read_bytes() == TEXT


def test_servers_that_stay_busy_are_given_up_and_what_came_is_kept(serve, tmp_path):
    serve({"plain.txt": TEXT}, refuse=[429] * 9)
    (tmp_path / "plain.txt.part").write_bytes(TEXT[:100_000])
    message = refused(PLAIN_FILE, tmp_path)
    assert "it answers 429" in message
    assert "100 kB are kept in" in message
    assert (tmp_path / "plain.txt.part").read_bytes() == TEXT[:100_000]


def test_a_file_that_is_not_there_is_said_at_once(serve, tmp_path):
    server = serve({})
    assert "answers 404" in refused(PLAIN_FILE, tmp_path)
    assert len(server.asked) == 1


def test_another_length_is_refused_before_anything_is_written(serve, tmp_path):
    serve({"plain.txt": b"<html>Please log in to this network</html>"})
    message = refused(PLAIN_FILE, tmp_path)
    assert "offers 42 bytes, but the file has 3,000,000" in message
    assert not (tmp_path / "plain.txt").exists()


def test_a_length_that_is_claimed_and_not_kept_does_not_pass(serve, tmp_path):
    serve({"plain.txt": TEXT[:-1]}, ranges=False, claimed_length=len(TEXT))
    assert "the connection was closed early" in refused(PLAIN_FILE, tmp_path)
    assert names(tmp_path) == {"plain.txt.part"}


def test_other_contents_of_the_right_length_do_not_pass(serve, tmp_path):
    serve({"plain.txt": bytes(len(TEXT))})
    assert "their SHA-256 is not" in refused(PLAIN_FILE, tmp_path)
    assert names(tmp_path) == set()


def test_without_a_network_the_message_says_how_to_bring_the_file(serve, tmp_path, monkeypatch):
    serve({})
    monkeypatch.setenv("HF_ENDPOINT", "http://no-such-host.invalid")
    message = refused(PACKED_FILE, tmp_path)
    assert message.startswith("nothing comes from no-such-host.invalid: ")
    assert "fetch http://no-such-host.invalid/datasets/someone/corpus/resolve/abc123/packed.txt.gz there" in message
    assert f"unpack it and put it here as {tmp_path / 'packed.txt'}" in message
    assert names(tmp_path) == set()


@pytest.mark.parametrize("named", ["hf.example.org", "ftp://hf.example.org", "file:///etc", "https://"])
def test_a_mirror_that_is_no_address_is_refused_before_anything_is_made(named, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", named)
    with pytest.raises(DownloadError, match=rf"HF_ENDPOINT is '{named}'; it has to be an address such as https://"):
        fetch(FILES, tmp_path / "data", observer=Observer())
    assert not (tmp_path / "data").exists()


def test_a_complete_file_is_checked_and_kept_without_asking_anyone(serve, tmp_path):
    server = serve({})
    (tmp_path / "packed.txt").write_bytes(UNPACKED)
    notes = get(PACKED_FILE, tmp_path)
    assert notes.notes == [f"{tmp_path / 'packed.txt'}: there and undamaged."]
    assert server.asked == []


@pytest.mark.parametrize(
    ("found", "what"),
    [(UNPACKED[:-1], "7,999,999 bytes, not 8,000,000"), (UNPACKED[:-1] + b"x", "its contents differ")],
)
def test_another_file_of_that_name_is_not_overwritten(serve, tmp_path, found, what):
    server = serve({"packed.txt.gz": PACKED})
    (tmp_path / "packed.txt").write_bytes(found)
    assert what in refused(PACKED_FILE, tmp_path)
    assert (tmp_path / "packed.txt").read_bytes() == found
    assert server.asked == []


def test_an_archive_that_unpacks_to_more_than_the_text_stops_there(serve, tmp_path):
    bomb = gzip.compress(bytes(50_000_000), 9)
    serve({"packed.txt.gz": bomb})
    file = RemoteFile("c", "packed.txt", "someone/corpus", "abc123", content(UNPACKED), content(bomb))
    assert "unpacks to another text" in refused(file, tmp_path)
    assert names(tmp_path) == {"packed.txt.gz.part"}


def test_an_archive_that_is_none_is_refused(serve, tmp_path):
    serve({"packed.txt.gz": TEXT})
    file = RemoteFile("c", "packed.txt", "someone/corpus", "abc123", content(UNPACKED), content(TEXT))
    assert "cannot be unpacked (Not a gzipped file" in refused(file, tmp_path)


def test_too_little_space_is_said_before_anything_is_fetched(serve, tmp_path, monkeypatch):
    server = serve({"plain.txt": TEXT})
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000_000)
    monkeypatch.setattr(corpora.shutil, "disk_usage", lambda folder: usage)
    message = refused(PLAIN_FILE, tmp_path)
    assert "1.08 GB of free space are needed" in message
    assert "has 1 GB" in message
    assert server.asked == []


def test_a_folder_that_cannot_be_made_is_one_sentence(serve, tmp_path):
    serve({"plain.txt": TEXT})
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(PLAIN_FILE, tmp_path / "file" / "data")


def test_what_is_fetched_is_pinned():
    assert CORPORA == ("tinystories", "owt")
    for file in FILES:
        assert re.fullmatch(r"[0-9a-f]{40}", file.revision), "a commit does not move, a branch does"
        for expected in filter(None, (file.text, file.packed)):
            assert re.fullmatch(r"[0-9a-f]{64}", expected.sha256)
        assert file.url("https://huggingface.co").startswith(
            f"https://huggingface.co/datasets/{file.repository}/resolve/"
        )
