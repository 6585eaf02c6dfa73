"""What is postponed while torch is imported is there for whoever needs it, and for nobody else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from grader.kit.paths import KIT
from grader.scoring.outcome import Result
from grader.scoring.rubric import load_rubric
from grader.selftest.layouts import written

SCRIPT = """
import json, os, sys
from grader.worker.lean_imports import Postponed, without_collections

Postponed.begin()
with without_collections():
    import torch
module = torch._meta_registrations

def convolves():
    image, kernel = torch.empty(1, 2, 5, 5, device="meta"), torch.empty(3, 2, 3, 3, device="meta")
    try:
        return tuple(torch.nn.functional.conv2d(image, kernel).shape) == (1, 3, 3, 3)
    except NotImplementedError:
        return False

for name, (root, action) in json.loads(sys.argv[1]).items():
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.chdir(root)
        sys.path[:0] = [root, root + "/elsewhere"]
        Postponed.watch(root + "/submission")
        exec(action)
        said = [name, Postponed.is_pending(), convolves(), module is torch._meta_registrations]
        os.write(writing, json.dumps(said).encode())
        os._exit(0)
    os.close(writing)
    print(os.read(reading, 1 << 16).decode())
"""

NOT_NEEDED = {
    "nothing": "",
    "of Python's own": "import graphlib",
    "known": "import einops, regex",
    "its own": "import submission.own",
    "what torch has already": "import torch.nn, torch.utils.checkpoint",
    "what there is not": "\ntry: import nowhere_to_be_found\nexcept ImportError: pass",
}
NEEDED = {
    "more of torch": "import torch.utils.flop_counter",
    "an unknown package": "import unheard_of",
    "asked for by the grader": "Postponed.run(); Postponed.run()",
}
TEXTS = {
    "device": 'x = torch.empty(3, device="meta")',
    "device with a number": "torch.zeros(2, device='meta:0')",
    "attribute": "if parameter.is_meta:",
    "mode": "from torch._subclasses import FakeTensorMode",
    "helper": "torch.nn.utils.skip_init(torch.nn.Linear, 2, 3)",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """{what a submission does: (is it still postponed, does it work, is it the module that torch has had all along)}"""
    root = tmp_path_factory.mktemp("plain")
    (root / "elsewhere").mkdir()
    (root / "elsewhere" / "unheard_of.py").write_text("")
    written(root / "submission", {"own.py": "# metadata, and Meta's Llama\n"})
    cases = {name: (str(root), action) for name, action in (NOT_NEEDED | NEEDED).items()}
    for name, text in TEXTS.items():
        folder = tmp_path_factory.mktemp("texts")
        written(folder / "submission", {"deeper/own.py": text + "\n"})
        cases[name] = (str(folder), "")
    command = [sys.executable, "-c", SCRIPT, json.dumps(cases)]
    done = subprocess.run(command, cwd=KIT, capture_output=True, text=True, check=True)
    return {name: rest for name, *rest in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", NOT_NEEDED)
def test_it_is_postponed_as_long_as_nobody_needs_it(found, name):
    assert found[name] == [True, False, True], "the second: the example does need it"


@pytest.mark.parametrize("name", [*NEEDED, *TEXTS])
def test_it_is_there_for_whoever_may_need_it(found, name):
    assert found[name] == [False, True, True]


def test_a_submission_that_computes_without_values_does_so_behind_the_wall(tmp_path):
    from grader.examination.runner import run_tests
    from grader.submission.locate import locate
    from grader.wall.isolation import Isolation, Level

    source = """
        import torch

        def run_linear(d_in, d_out, weights, in_features):
            image, kernel = torch.empty(1, 2, 5, 5, device="meta"), torch.empty(3, 2, 3, 3, device="meta")
            assert torch.nn.functional.conv2d(image, kernel).shape == (1, 3, 3, 3)
            return in_features @ weights.mT
    """
    layout = locate(written(tmp_path, source))
    found = run_tests(layout, [load_rubric()["linear"]], isolation=Isolation(Level.PROCESS))
    results = {o.result for o in found.outcomes if o.id.startswith("test_linear.py::test_matches_reference[")}
    assert results == {Result.PASS}
