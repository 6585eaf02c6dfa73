"""README's pictures: they show what the kit says today, are small, and know nothing of the machine they come from."""

from __future__ import annotations

import re
import struct
from dataclasses import replace

import pytest

from grader.kit.paths import KIT
from grader.reference.train import _draw_curve
from grader.report.html import render
from grader.report.model import Report
from grader.scoring.points import Status
from grader.selftest.browser import find_browser
from grader.selftest.pictures import (
    CURVE,
    FOLDER,
    PAGES,
    TERMINAL,
    failing_report,
    page_pictures,
    stale,
    terminal_picture,
    words_of_curve,
    words_of_page,
    words_of_png,
    words_of_svg,
)

FILES = [TERMINAL, *PAGES, CURVE]


@pytest.fixture(scope="module")
def report() -> Report:
    return failing_report()


def test_they_show_what_the_kit_says_today(report):
    """If the change is meant: `make pictures`, and look at them before they are committed."""
    assert stale(report) == []


def test_other_words_make_them_stale(report):
    other = replace(report, submission="another", environment={**report.environment, "seconds": 10.0})
    assert stale(other) == [TERMINAL, *PAGES]


def test_the_report_shows_what_a_report_is_for(report):
    status = {p.problem.id: p.score.status for p in report.problems}
    assert {Status.PASS, Status.PARTIAL, Status.TODO} == set(status.values())
    said = " ".join(words_of_svg(terminal_picture(report)))
    assert "carried forward from rope" in said
    assert "Your RoPE pairs feature k with feature k + d_k/2" in said
    assert "Line 9, called from line 16, is the first that computes something else." in said
    assert {"partial", "Start", "differs"} < set(words_of_page(render(report)))


def test_the_curve_has_the_words_that_training_writes(tmp_path):
    """The curve itself is a real run's, of `configs/experiment.toml`, which takes too long to repeat here."""
    folder = tmp_path / "experiment"
    folder.mkdir()
    _draw_curve([{"step": n, "train_loss": 1.0 / n, "val_loss": 2.0 / n} for n in (1, 2, 3)], folder)
    now = words_of_curve((folder / CURVE).read_text("utf-8"))
    assert "loss (nats per token)" in now
    assert words_of_curve((FOLDER / CURVE).read_text("utf-8")) == now


OF_HANDOUT = ("variants.svg",)
"""Made from trainings of some minutes (`python -m grader.fixtures variants`)."""


@pytest.mark.parametrize("name", [*FILES, *OF_HANDOUT])
def test_they_are_small_and_name_no_machine(name):
    content = (FOLDER / name).read_bytes()
    assert len(content) < 128 << 10
    text = " ".join(words_of_png(content)) if name in PAGES else content.decode("utf-8")
    assert len(text) > 500
    assert not re.search(r"(?<![\w.])/(?:tmp|var|home|root|usr|work|Users)/", text)
    assert not re.search(r"url\((?!#)|src=|@import|<script", text)


def test_readme_and_handout_show_all_of_them():
    for text, names in (("README.md", FILES), ("HANDOUT.md", OF_HANDOUT)):
        words = (KIT / text).read_text("utf-8")
        assert [name for name in names if f"docs/pictures/{name}" not in words] == []
    assert {path.name for path in FOLDER.iterdir()} == {*FILES, *OF_HANDOUT}


@pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed here")
def test_a_photograph_is_of_the_page(report):
    for name, png in page_pictures(report).items():
        width, height = struct.unpack(">II", png[16:24])
        assert (width, height > 800) == (1000, True)
        assert words_of_png(png) == words_of_page(render(report))
        assert len(png) < 128 << 10, name
