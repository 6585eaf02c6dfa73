"""The pictures in README: what the grader says, in a terminal and as a page, of a submission that fails; and a curve.

    python -m grader.selftest.pictures            do they show what the kit says today? (their words are compared)
    python -m grader.selftest.pictures --write    make them anew, in about a minute; the page takes Chromium

The submission is made of what the kit's tests have: a solution with two pieces of the bank in it, and with a stub.
Seconds, places and long digits are masked as in the golden reports, so that no machine shows in a picture.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from rich.console import Console

from ..grading import grade
from ..kit.paths import KIT
from ..report.html import render, write_html
from ..report.model import Report
from ..report.terminal import show
from ..scoring.rubric import load_rubric
from .browser import browser
from .diagnosis import BANK
from .forked import ForkedExaminer
from .golden import SEED, masked
from .layouts import public_layout

FOLDER = KIT / "docs" / "pictures"
TERMINAL = "terminal.svg"
PAGES = {"page.png": False, "page-dark.png": True}
"""{file: whether it is dark}."""
CURVE = "curve.svg"

PROBLEMS = (
    "linear", "rmsnorm", "rope", "softmax", "scaled_dot_product_attention", "multihead_self_attention",
    "transformer_block", "cross_entropy", "adamw",
)  # fmt: skip
_WRONG = {"rope_01.py": "rope.py", "scaled_dot_product_attention_03.py": "sdpa.py"}
"""{file of the bank: its name in the submission}."""
_COLUMNS = 86
_PAGE_WIDTH = 1000
_COLORS = 192
_SECONDS = 9.0
_TEXT = "Text"
# rich's own, without the fonts that it would fetch from a network.
_SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
    font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
    font-size: {char_height}px; line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def failing_report() -> Report:
    """Grade the submission of the pictures."""
    rubric = load_rubric()
    with tempfile.TemporaryDirectory() as folder:
        root = public_layout(Path(folder, "solution"))
        for wrong, name in _WRONG.items():
            shutil.copy(BANK / wrong, root / "cs336_basics" / name)
        shutil.copy(KIT / "cs336_basics" / "optimizer.py", root / "cs336_basics")  # a stub: still to be written
        with (root / "tests" / "adapters.py").open("a", encoding="utf-8") as adapters:
            adapters.write("\n\nfrom cs336_basics.sdpa import run_scaled_dot_product_attention\n")
        report = grade(
            str(root), rubric, rubric.select(PROBLEMS), seed=SEED, isolation="process", jobs=1, gpu=False,
            launch=ForkedExaminer,
        )  # fmt: skip
    found = masked(report)
    return replace(found, environment={**found.environment, "seconds": _SECONDS})


def terminal_picture(report: Report) -> str:
    """The report in a terminal, as SVG."""
    console = Console(
        record=True, file=io.StringIO(), width=_COLUMNS, force_terminal=True, color_system="truecolor",
        legacy_windows=False,
    )  # fmt: skip
    show(report, console)
    return console.export_svg(title="python -m grader solution", unique_id="report", code_format=_SVG)


def page_pictures(report: Report) -> dict[str, bytes]:
    """{file: PNG} of the report as a page, down to the end of the first problem that fails, light and dark.

    Raises:
        RuntimeError: there is no Chromium here.
    """
    pictures = {}
    with tempfile.TemporaryDirectory() as folder, browser() as page:
        write_html(report, Path(folder, "report.html"))
        for name, dark in PAGES.items():
            page.show(width=_PAGE_WIDTH, dark=dark)
            page.open(Path(folder, "report.html"))
            end = page.evaluate("document.querySelector('section.problem').getBoundingClientRect().bottom")
            pictures[name] = _small(page.photograph(height=int(end) + 16), " ".join(words_of_page(render(report))))
    return pictures


def _small(png: bytes, text: str) -> bytes:
    """A PNG of few colours, which takes a third of the bytes; it carries the text of the page that it shows."""
    from PIL import Image, PngImagePlugin  # which comes with matplotlib

    info = PngImagePlugin.PngInfo()
    info.add_itxt(_TEXT, text, zip=True)
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        few = image.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
        few.save(out, "PNG", optimize=True, pnginfo=info)
    return out.getvalue()


def curve_picture() -> str:
    """The learning curve of the reference with `configs/experiment.toml`, as its training draws it."""
    with tempfile.TemporaryDirectory() as folder:
        texts = KIT / "tests" / "fixtures" / "text"
        data, run = Path(folder, "tiny"), Path(folder, "experiment")
        module = (sys.executable, "-m")
        for command in (
            (*module, "grader.reference.prepare", data, "--train", texts / "stories.txt", "--valid",
             texts / "stories_valid.txt"),
            (*module, "grader.reference.train", "configs/experiment.toml", f"train_data={data / 'train.npy'}",
             f"valid_data={data / 'valid.npy'}", f"out={run}"),
        ):  # fmt: skip
            subprocess.run([str(word) for word in command], cwd=KIT, check=True, stdout=subprocess.DEVNULL)
        return (run / "curve.svg").read_text("utf-8")


def words_of_svg(svg: str) -> list[str]:
    """The words in an SVG that rich made, in the order of reading; frames are none."""
    root = xml.etree.ElementTree.fromstring(svg)
    text = " ".join("".join(e.itertext()) for e in root.iter() if e.tag.endswith("}text"))
    return re.sub(r"[─│╭╮╰╯]", " ", text).split()


def words_of_curve(svg: str) -> list[str]:
    """What stands at the axes and in the legend, without numbers: matplotlib draws letters and notes what they say."""
    said = re.findall(r"<!-- (.+?) -->", svg)
    return [re.sub(r"[\d.]+$", "#", text) for text in said if not re.fullmatch(r"[\d.]+", text)]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.texts.append(data)


def words_of_page(page: str) -> list[str]:
    """The words of an HTML page, whether they are folded away or not."""
    reader = _Reader()
    reader.feed(page)
    return " ".join(reader.texts).split()


def words_of_png(png: bytes) -> list[str]:
    """The words of the page that a picture was taken of."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        image.load()
        return str(image.info.get(_TEXT, "")).split()


def stale(report: Report) -> list[str]:
    """The pictures of the report that do not show what the kit says of this submission now."""
    page = words_of_page(render(report))
    shown = {TERMINAL: words_of_svg((FOLDER / TERMINAL).read_text("utf-8"))}
    shown |= {name: words_of_png((FOLDER / name).read_bytes()) for name in PAGES}
    now = {TERMINAL: words_of_svg(terminal_picture(report)), **dict.fromkeys(PAGES, page)}
    return [name for name, words in shown.items() if words != now[name]]


def main() -> int:
    """Returns 1 where a picture shows something else than the kit says now."""
    parser = argparse.ArgumentParser("python -m grader.selftest.pictures", description=__doc__)
    parser.add_argument("--write", action="store_true", help="make the pictures anew")
    write = parser.parse_args().write
    report = failing_report()
    if write:
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / TERMINAL).write_text(terminal_picture(report), "utf-8")
        for name, png in page_pictures(report).items():
            (FOLDER / name).write_bytes(png)
        (FOLDER / CURVE).write_text(curve_picture(), "utf-8")
    wrong = stale(report)
    print(
        f"other words than the kit's in {', '.join(wrong)}"
        if wrong
        else f"the pictures in {FOLDER.relative_to(KIT)} agree"
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
