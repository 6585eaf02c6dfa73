"""A batch on a Dask cluster of processes of its own, and as the parts of an array job."""

from __future__ import annotations

import contextlib
import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from grader.errors import Refused
from grader.kit.paths import KIT
from grader.scoring.rubric import load_rubric
from grader.selftest.test_batch import handed_in, stand_in, tries
from grader.staff.class_run import ClassRun
from grader.staff.grade_table import ClassRow
from grader.staff.unit import Options
from grader.staff.unit_process import Units

__all__ = ["stand_in"]  # a fixture
COUNT = 12


@contextlib.contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of a scheduler, and its workers, all of them there: processes with one thread each, on this machine
    only."""
    distributed = pytest.importorskip("distributed", reason="needs Dask: pip install 'distributed>=2024.5'")
    file = folder / "scheduler.json"

    def run(program: str, *options: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            f"distributed.cli.{program}",
            "--host",
            "127.0.0.1",
            "--no-dashboard",
            *options,
        ]
        return subprocess.Popen(command, cwd=KIT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    processes = [run("dask_scheduler", "--port", "0", "--scheduler-file", str(file))]
    try:
        end = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < end, "the scheduler does not start"
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        for number in range(workers):
            local = str(folder / f"worker{number}")
            processes.append(run("dask_worker", address, "--nthreads", "1", "--no-nanny", "--local-directory", local))
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_worker_that_dies_costs_nothing(tmp_path, stand_in, monkeypatch):
    """Every submission is graded, and in what came of it exactly once."""
    folder = handed_in(tmp_path, **{f"student{i:02}": "sleep 0.5" for i in range(COUNT)})
    out = tmp_path / "out"
    with cluster(tmp_path, 2) as (address, workers):
        run = ClassRun(
            folder, out, Options(problems=("rope",)), load_rubric(), console=Console(quiet=True), units=Units(stand_in)
        )
        finished: list[str] = []

        def kill_in_the_middle(row: ClassRow) -> None:
            finished.append(row.submission.id)
            if len(finished) == 3:
                workers[0].send_signal(signal.SIGKILL)

        monkeypatch.setattr(run._screen, "finished", kill_in_the_middle)
        run.grade(jobs=1, limit_s=60, scheduler=address)
        list(run.close())
    assert sorted(finished) == [f"student{i:02}" for i in range(COUNT)]
    with (out / "grades.csv").open(newline="") as file:
        assert {row["state"] for row in csv.DictReader(file)} == {"graded"}
    begun = tries(tmp_path)
    assert set(begun) == set(finished)
    assert sum(begun.values()) <= COUNT + 1  # the one that its worker took with it


def test_parts_are_the_whole_and_no_two_have_the_same(tmp_path, stand_in):
    folder = handed_in(tmp_path, **{f"student{i}": "" for i in range(5)})
    for part in ((1, 2), (2, 2)):
        run = ClassRun(
            folder, tmp_path / "out", Options(problems=("rope",)), load_rubric(), part=part,
            console=Console(quiet=True), units=Units(stand_in),
        )  # fmt: skip
        run.grade(jobs=2, limit_s=30)
        assert next(run.part_lines()).startswith(f"{3 if part == (1, 2) else 2} submissions: ")
        assert not (tmp_path / "out" / "grades.csv").exists()
    assert tries(tmp_path) == {f"student{i}": 1 for i in range(5)}


def test_the_array_job_is_a_script_that_bash_reads():
    script = KIT / "examples" / "slurm" / "grade.sbatch"
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    assert all(word in text for word in ("#SBATCH --requeue", "--part", "SLURM_ARRAY_TASK_COUNT"))


def test_a_scheduler_that_does_not_answer_is_refused(tmp_path, stand_in, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("grader.staff.cluster._PATIENCE_S", 0.5)
    run = ClassRun(handed_in(tmp_path, ada=""), tmp_path / "out", Options(), load_rubric(), console=Console(quiet=True))
    with pytest.raises(Refused, match="no Dask scheduler answers there"):
        run.grade(jobs=1, limit_s=1, scheduler="tcp://127.0.0.1:9")


@pytest.mark.parametrize("part", ["0/3", "4/3", "x", "1", "1/0", "-1/2"])
def test_a_part_that_is_none_is_refused(part):
    command = [sys.executable, "-m", "grader", "batch", "x", "--out", "y", f"--part={part}"]
    result = subprocess.run(command, cwd=KIT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "is no part: write 3/100" in result.stderr
