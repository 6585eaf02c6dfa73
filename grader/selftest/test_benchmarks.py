"""`python -m benchmarks`: the table and the JSON that are made of timings, and the texts that are timed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks import bpe
from benchmarks.__main__ import FULL, QUICK, in_turn, parts, row, save
from benchmarks.corpus import END_OF_TEXT, KINDS, write_corpus
from benchmarks.scaling import exponent
from benchmarks.table import Row, as_json, as_markdown
from grader.kit.paths import KIT

TIMES = Row("encoding", "reference", "tiktoken", "CPU s", ((1.0, 2.0), (3.0, 1.0), (2.0, 2.0)), goal=1.0)


def test_a_ratio_is_that_of_a_round_and_not_of_medians():
    assert TIMES.ratios == [0.5, 3.0, 1.0]
    assert "| encoding | tiktoken | 1.00 | 0.50 to 3.00 | 1.00 |" in as_markdown([TIMES])


def test_the_json_keeps_every_timing_beside_what_is_made_of_them():
    kept = json.loads(json.dumps(as_json([TIMES], "2026-01-01", "command", {"cores": 2}, {"rustbpe": "missing"})))
    (entry,) = kept["rows"]
    assert entry["pairs"] == [[1.0, 2.0], [3.0, 1.0], [2.0, 2.0]]
    assert entry["ratio"] == {"median": 1.0, "min": 0.5, "max": 3.0}
    assert kept["versions"] == {"rustbpe": "missing"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_is_the_same_each_time_and_brings_new_words_as_it_grows(tmp_path, kind):
    texts = []
    for name, megabytes in (("a", 0.2), ("b", 0.2), ("c", 0.4)):
        write_corpus(tmp_path / name, kind, megabytes)
        texts.append((tmp_path / name).read_text("utf-8"))
    assert texts[0] == texts[1]
    assert 0 <= len(texts[0].encode()) - 200_000 < 2_000
    assert texts[2].startswith(texts[0])
    assert END_OF_TEXT in texts[0]
    assert len(set(texts[2].split())) > 1.3 * len(set(texts[0].split()))


def test_every_part_has_a_name_of_its_own_and_its_own_text(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "benchmarks.__main__.write_corpus", lambda path, kind, megabytes: asked.append((kind, megabytes))
    )
    for measure in ("training", "encoding"):
        monkeypatch.setattr(f"benchmarks.__main__.{measure}", lambda corpus, name, megabytes, rounds: [corpus, name])
    named = [(name, part) for name, part in parts(FULL, 1, tmp_path) if " MB" in name]
    assert len({name for name, _ in named}) == len(named) == 8
    for name, part in named:  # called after all were made
        _, given = part()
        assert given == name
        assert all(str(word) in name for word in asked[-1])
    assert set(QUICK.training) <= set(FULL.training)


def test_the_contenders_run_and_their_figures_are_their_own(tmp_path):
    corpus = tmp_path / "text.txt"
    write_corpus(corpus, "English", 0.05)
    (run,) = in_turn(str(corpus), bpe.ENCODING, ["reference", "tiktoken"], rounds=1)
    assert all(run[name][figure] > 0 for name in run for figure in ("cpu", "peak_mb"))
    ballast = bytearray(b"x") * (400 << 20)
    command = [sys.executable, "-c", "from benchmarks.bpe import peak_kib; print(peak_kib())"]
    done = subprocess.run(command, cwd=KIT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < len(ballast) >> 10, "a process counts the memory of the one that started it"
    assert row("job", "reference", "tiktoken", "peak_mb", [run], None).what == "job: peak memory"


def test_results_of_a_day_do_not_overwrite_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__.RESULTS", tmp_path)
    assert save([TIMES]) != save([TIMES])
    assert len(list(tmp_path.iterdir())) == 2


def test_the_exponent_of_a_power_law_is_found():
    assert exponent([1, 10, 100], [3, 30, 300]) == pytest.approx(1)
    assert exponent([1, 4, 16], [5, 10, 20]) == pytest.approx(0.5)


def test_readme_names_every_command():
    readme = (KIT / "benchmarks" / "README.md").read_text("utf-8")
    runnable = [path.stem for path in (KIT / "benchmarks").glob("[a-z]*.py") if "__main__" in path.read_text("utf-8")]
    assert runnable
    assert [name for name in runnable if f"| `python -m benchmarks.{name}" not in readme] == []
