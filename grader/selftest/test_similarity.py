"""Similarity: copies are found whatever was renamed or moved, and independent work is not."""

from __future__ import annotations

import ast
import shutil

import pytest
from markupsafe import escape

from grader.kit.paths import KIT, REFERENCE
from grader.staff.collection import collect
from grader.staff.fingerprints import Fingerprint, handed_out, of_folder, of_source, of_stubs
from grader.staff.similarity import rank, regions, typical
from grader.staff.similarity_page import similarity_page

SOURCE = (REFERENCE / "bpe.py").read_text("utf-8")
INDEPENDENT = (REFERENCE / "_simple_bpe.py").read_text("utf-8")
STUBS = of_stubs()


class _Renamed(ast.NodeTransformer):
    """Another name for each name that the author chose, no docstrings, no annotations."""

    def __init__(self, tree: ast.Module) -> None:
        chosen = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        chosen |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        chosen |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        self._names = {name: f"v{number}" for number, name in enumerate(sorted(chosen - {"self"}))}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg, node.annotation = self._names.get(node.arg, node.arg), None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.name, node.returns = self._names.get(node.name, node.name), None
        if ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
        return node


def renamed(source: str) -> str:
    tree = ast.parse(source)
    return ast.unparse(_Renamed(tree).visit(tree))


def reordered(source: str) -> str:
    tree = ast.parse(source)
    tree.body.sort(key=lambda node: (isinstance(node, ast.FunctionDef), -node.lineno))
    return ast.unparse(tree)


def hashes(source: str) -> list[int]:
    return [one.hash for one in of_source(source, "x.py")]


def share(one: str, other: str) -> float:
    """How alike two sources are; 0 where they are no pair at all."""
    pairs = rank({"one": hashes(one), "other": hashes(other)}, STUBS, 1)
    return pairs[0].share if pairs else 0.0


@pytest.mark.parametrize(
    ("changed", "least"),
    [(SOURCE, 1.0), (renamed(SOURCE), 0.97), (reordered(SOURCE), 0.97), (renamed(reordered(SOURCE)), 0.95)],
    ids=["a copy", "renamed", "reordered", "both"],
)
def test_a_copy_is_found(changed, least):
    assert share(SOURCE, changed) >= least


def test_independent_work_is_not():
    """Two ways to train BPE, by one author even."""
    assert share(SOURCE, INDEPENDENT) == 0.0


def test_part_of_a_copy_is_found_in_other_code():
    """A function that was taken over into a file of one's own."""
    functions = [node for node in ast.parse(SOURCE).body if isinstance(node, ast.FunctionDef)]
    first, last, longest = max(
        ((node.lineno, node.end_lineno or 0, node) for node in functions), key=lambda found: found[1] - found[0]
    )
    taken = INDEPENDENT + "\n\n" + renamed(ast.unparse(longest))
    (pair,) = rank({"one": hashes(SOURCE), "other": hashes(taken)}, STUBS, 9)
    assert pair.share > 0.05
    (region, *_) = regions(list(of_source(SOURCE, "a.py")), list(of_source(taken, "b.py")), STUBS)
    assert first <= region.one[1] <= region.one[2] <= last
    assert region.other[1] > len(INDEPENDENT.splitlines())


def test_what_is_handed_out_is_nobodys():
    skeleton = [one.hash for one in of_folder(KIT / "cs336_basics")]
    assert rank({"one": skeleton, "other": skeleton}, STUBS, 9) == []
    assert not of_folder(KIT / "cs336_basics", handed_out())


def test_what_many_share_comes_from_none_of_them():
    own = {f"student{i}": [*range(100), *range(1000 * (i + 1), 1000 * (i + 1) + 50)] for i in range(20)}
    assert rank(own, (), 9) == []
    own["student1"] += range(1000, 1030)
    (pair,) = rank(own, (), 9)
    assert (pair.one, pair.other, pair.shared) == ("student0", "student1", 30)
    assert typical(own, ()) == 0.0


def test_neighbouring_matches_are_one_region():
    one = [Fingerprint(number, "a.py", 10 * number, 10 * number + 9) for number in range(1, 4)]
    other = [Fingerprint(number, "b.py", 10 * number + 100, 10 * number + 109) for number in range(1, 4)]
    assert [(found.one, found.other) for found in regions(one, other, ())] == [(("a.py", 10, 39), ("b.py", 110, 139))]
    assert regions(one, other, (1, 2, 3)) == []


@pytest.mark.parametrize(
    "source", ["(" * 5000, "-" * 100_000 + "1", "def f(:", "\0", "x = " + "[" * 300 + "]" * 300, ""]
)
def test_code_that_cannot_be_read_has_no_fingerprints(source):
    assert list(of_source(source, "x.py")) == []


def test_the_page_shows_the_lines_side_by_side(tmp_path):
    shared = (REFERENCE / "tokenizer.py").read_text("utf-8")  # of which several regions are alike
    folder = tmp_path / "class"
    for name, source in {"ada": shared, "grace": renamed(shared) + "\n# <script>\n", "alan": INDEPENDENT}.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "bpe.py").write_text(source)
    shutil.make_archive(str(folder / "grace"), "zip", folder / "grace")
    shutil.rmtree(folder / "grace")
    (folder / "damaged.zip").write_bytes(b"PK\3\4")
    page = similarity_page(collect(folder), tmp_path / "reports", 2)
    assert page.count("<summary>") == 1
    assert "</strong> ada and grace," in page
    assert "This is no verdict." in page
    assert "could not be read: damaged" in page
    assert "<script" not in page
    found = regions(list(of_source(shared, "bpe.py")), list(of_source(renamed(shared), "bpe.py")), STUBS)
    assert page.count('<div class="sides">') == len(found) > 2
    line = shared.splitlines()[found[0].one[1] - 1]
    assert f"{found[0].one[1]:4}  {escape(line)}" in page
