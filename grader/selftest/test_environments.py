"""What a submission needs beside its own files: packages and Pythons that the kit has, lacks, or is asked to install.

Nothing here touches a network: wheels are small zip files that a test writes, and uv finds them through the variables
that it honours for everybody. What must hold: what this machine lacks costs no points and is named, and a submission
cannot make more of that than a smaller total.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement

from grader.cases.compare import compare
from grader.kit.paths import KIT
from grader.scoring.outcome import Result
from grader.selftest.forked import run_grader
from grader.selftest.layouts import public_layout, written
from grader.selftest.report_contract import checked
from grader.submission.faults import NothingToAssess, StudentError
from grader.submission.files import Files
from grader.submission.locate import locate
from grader.wall.isolation import FileAccess, Level, available
from grader.wall.other_versions import MOST_LOOKED_UP
from grader.wall.own_environment import (
    MOST_REQUIREMENTS,
    another_python,
    make_environment,
    read_wanted,
    versions_asked,
)
from grader.wall.walled import WalledSubmission
from grader.wall.worker_start import Limits
from grader.worker.lacking import python_needed
from grader.worker.operation_table import OPERATIONS

X = torch.linspace(-3, 3, 7)


def wheel(folder: Path, name: str, version: str, source: str, requires: tuple[str, ...] = ()) -> None:
    """A wheel of one module of that name."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for file, content in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(file, content)


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder that is all that uv finds packages in, with a cache of this test's own; its index is empty and here."""
    folder, nothing = tmp_path / "wheels", tmp_path / "nothing"
    nothing.mkdir()
    wheel(folder, "far_heap", "1.2", "def least(values):\n    return min(values)\n")
    places = {"UV_FIND_LINKS": folder, "UV_DEFAULT_INDEX": nothing.as_uri(), "UV_INDEX": ""}
    for name, value in {**places, "UV_CACHE_DIR": tmp_path / "uv"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def asking_for(folder: Path, *requirements: str, python: str = ">=3.11", **files: str) -> Path:
    """A submission with these requirements."""
    listed = json.dumps(requirements)
    project = f'[project]\nname = "cs336_basics"\nrequires-python = "{python}"\ndependencies = {listed}\n'
    return written(folder, {"pyproject.toml": project, "adapters.py": "", **files})


def graded(root: Path, *options: str) -> tuple[dict, str]:
    """A whole grade, as the command line gives it: the report and what it shows."""
    result = run_grader(root, "--json", root / "report.json", *options)
    assert result.returncode == 0, result.stderr
    return checked((root / "report.json").read_text("utf-8")), " ".join(result.stdout.replace("│", " ").split())


USES_A_HEAP = """

import far_heap

softmax_alone = run_softmax


def run_softmax(in_features, dim):
    far_heap.least([1, 2])
    return softmax_alone(in_features, dim)
"""


def test_a_package_beside_the_kits_costs_nothing_and_can_be_installed(tmp_path, index):
    root = public_layout(tmp_path / "solution")
    with (root / "tests" / "adapters.py").open("a", encoding="utf-8") as file:
        file.write(USES_A_HEAP)
    asking_for(root, "far_heap>=1", "torch", "numpy<1")
    (root / "adapters.py").unlink()
    problems = ("--problem", "softmax", "cross_entropy")

    report, shown = graded(root, *problems)
    without = {problem["id"]: problem for problem in report["problems"]}
    assert without["softmax"]["status"] == "not_assessed"
    assert without["softmax"]["note"] == "needs the package 'far_heap', which is not installed here"
    assert without["cross_entropy"]["status"] == "pass"
    assert report["score"]["earned"] == report["score"]["assessed"] > 0
    assert report["load_fault"] is None
    assert "far_heap: needed by softmax" in shown

    report, shown = graded(root, *problems, "--environment", "own")
    assert [problem["status"] for problem in report["problems"]] == ["pass", "pass"]
    own = report["environment"]["own"]
    assert (own["installed"], own["missing"], own["reused"]) == (["far-heap 1.2"], {}, False)
    assert "with far-heap 1.2" in shown

    report, _ = graded(root, *problems, "--environment", "own")
    assert report["environment"]["own"]["reused"]
    assert report["score"]["earned"] == report["score"]["total"]


# ------------------------------------------------------------------------------------------------------------
# Packages that are missing

OF_THE_ASSIGNMENT = ("einops", "einx", "jaxtyping", "numpy", "psutil", "pytest", "regex", "tiktoken", "torch", "tqdm")
"""What the public assignment's pyproject.toml lists, wandb apart, which has a stand-in."""


@pytest.mark.parametrize("package", OF_THE_ASSIGNMENT)
def test_the_kit_has_the_packages_of_the_public_assignment(package):
    listed = tomllib.loads((KIT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert package in {Requirement(line).name for line in listed}
    assert importlib.util.find_spec(package) is not None


NEEDY = {
    "m.py": """
        import torch
        from far_logger import logger
        import far_jit.compiler as jit, math

        log = logger.bind(module=__name__)

        class Configuration(jit.Base):
            size: jit.Size | None = jit.field(default=1)

        @jit.compiled(cache=True)
        def softmax(x):
            return torch.softmax(x, -1)

        def silu(x):
            return x * torch.sigmoid(x)

        def loud(x):
            log.info("called")
            return x
    """,
    "adapters.py": """
        import m
        from far_plots import (
            curve,
        )
        import einops, jax
        try:
            import far_jit
        except ImportError:
            far_jit = None

        def run_silu(in_features):
            return m.silu(einops.rearrange(in_features, "n -> n 1"))[:, 0]

        def run_linear(in_features):
            import sys
            assert far_jit is None
            assert not {"jax", "far_jit", "far_logger"} & set(sys.modules)
            return in_features

        def run_softmax(in_features):
            return m.softmax(in_features)

        def run_rmsnorm(in_features):
            return m.loud(in_features)

        def run_swiglu(in_features):
            return m.Configuration()

        def run_embedding(in_features):
            return curve.of(in_features)

        def run_rope(in_features):
            import far_away.inside
            return in_features

        def run_cross_entropy(in_features):
            try:
                return m.loud(in_features)
            except ImportError:
                return in_features

        def run_transformer_lm(in_features):
            import m.inside

        def run_transformer_block(in_features):
            raise ModuleNotFoundError("No module named 'numpy'", name="numpy")
    """,
}


@pytest.fixture(scope="module")
def needy(tmp_path_factory):
    with WalledSubmission(locate(written(tmp_path_factory.mktemp("needy"), NEEDY))) as submission:
        yield submission


def test_what_needs_no_missing_package_works(needy):
    compare(X * torch.sigmoid(X), needy.run_silu(in_features=X))
    assert needy.noticed == []


def test_code_that_can_do_without_a_package_does(needy):
    for operation in ("run_linear", "run_cross_entropy"):
        compare(X, getattr(needy, operation)(in_features=X))


@pytest.mark.parametrize(
    ("operation", "package"),
    [
        ("run_softmax", "far_jit"),
        ("run_rmsnorm", "far_logger"),
        ("run_swiglu", "far_jit"),
        ("run_embedding", "far_plots"),
        ("run_rope", "far_away"),
    ],
)
def test_what_needs_a_missing_package_is_not_assessed(needy, operation, package):
    with pytest.raises(NothingToAssess, match=f"needs the package '{package}', which is not installed here"):
        getattr(needy, operation)(in_features=X)


@pytest.mark.parametrize("operation", ["run_transformer_lm", "run_transformer_block"])
def test_only_what_is_really_missing_excuses_a_call(needy, operation):
    with pytest.raises(StudentError, match="ModuleNotFoundError"):
        getattr(needy, operation)(in_features=X)


SILU = "def run_silu(in_features):\n    return in_features\n"


@pytest.mark.parametrize(
    ("source", "package"),
    [
        ("from far_away import *\n", "far_away"),
        ("import far_away\nlist(far_away.names)\n", "far_away"),
        ("import far_away\nif far_away.fast:\n    pass\n", "far_away"),
        ("import importlib\nimportlib.import_module('far_away')\n", "far_away"),
        ("import far_away\nraise ValueError(far_away)\n", "far_away"),
    ],
)
def test_a_package_that_the_import_itself_uses_leaves_nothing_to_assess(tmp_path, source, package):
    with WalledSubmission(locate(written(tmp_path, source + SILU))) as submission:
        for _ in range(2):
            with pytest.raises(NothingToAssess, match=f"needs the package '{package}'"):
                submission.run_silu(in_features=X)


@pytest.mark.parametrize("neighbour", ["BPE/vocabulary.py", "lib/bpe.py", "solution/code/bpe/trainer.py"])
def test_a_folder_of_its_own_that_is_not_found_is_no_missing_package(tmp_path, neighbour):
    root = written(tmp_path, {"adapters.py": f"import bpe\n{SILU}", neighbour: ""})
    with WalledSubmission(locate(root)) as submission, pytest.raises(StudentError, match="bpe"):
        submission.run_silu(in_features=X)


START_ALONE = """
import json, sys

from grader.worker import fresh_process
from grader.worker.lacking import Placeholders
from grader.worker.loader import Layout, import_adapters

layout = Layout.from_plain(json.loads(sys.argv[1]))
placeholders = Placeholders(layout, list(sys.path))
try:
    import_adapters(layout)
except ImportError as error:
    assert placeholders.provide(error)
adapters = import_adapters(layout)
sys.exit(fresh_process.start(adapters, "run_train", {"config": "done"}, sys.stdout.buffer).wait())
"""


def test_a_process_that_a_driver_starts_has_the_placeholders_too(tmp_path):
    source = "import far_logger\n\ndef run_train(config):\n    open(config, 'w').close()\n"
    root = written(tmp_path, source)
    order = json.dumps(locate(root).as_plain())
    subprocess.run([sys.executable, "-c", START_ALONE, order], cwd=KIT, check=True)
    assert (root / "done").exists()


# ------------------------------------------------------------------------------------------------------------
# Names of another version

LOCKED = """
version = 1

[[package]]
name = "far-old"
version = "1.0"

[[package]]
name = "far-plain"
version = "2.0"
"""

FAR_OLD = """
GIVEN = {"Fast": "`far_old.Fast` was removed in far_old 2. Use `far_old.slow`."}
slow = list

def __getattr__(name):
    raise AttributeError(GIVEN.get(name, name))
"""

OF_ANOTHER_VERSION = {
    "kept.py": """
        from far_old import (
            slow,
            FILE_LIKE,
        )

        def written_to(out: str | FILE_LIKE, x):
            return slow(x) and x

        def opened(x):
            return FILE_LIKE(x)
    """,
    "adapters.py": """
        import kept
        try:
            from far_old import Faster
        except ImportError:
            Faster = None

        def run_silu(in_features):
            return kept.written_to("", in_features)

        def run_linear(in_features):
            assert Faster is None
            return in_features

        def run_softmax(in_features):
            return kept.opened(in_features)

        def run_rmsnorm(in_features):
            from far_old import Stream

        def run_embedding(in_features):
            import far_old.inside

        def run_rope(in_features):
            import asks_while_importing

        def run_swiglu(in_features):
            import far_old
            return far_old.Fast(in_features)

        def run_cross_entropy(in_features):
            import numpy
            return numpy.float_(in_features)

        def run_transformer_lm(in_features):
            import far_broken
    """,
    "asks_while_importing.py": "import far_old\nkind = far_old.Kind\n",
    "uv.lock": LOCKED,
}

NOT_OF_ANOTHER_VERSION = {
    "far_plain.py": "",
    "regex.py": "from m import gone\n",
    "m.py": "",
    "adapters.py": """
        def run_silu(in_features):
            import far_old
            return far_old.sloww(in_features)

        def run_softmax(in_features):
            from far_named import anything

        def run_rmsnorm(in_features):
            from far_plain import anything

        def run_rope(in_features):
            raise ImportError("cannot import name 'slow' from 'far_old' (somewhere)")

        def run_linear(in_features):
            raise AttributeError("`far_old.slow` was removed", obj=__import__("far_old"), name="slow")

        def run_swiglu(in_features):
            from itertools import chained

        def run_embedding(in_features):
            import regex

        def run_cross_entropy(in_features):
            raise ImportError("cannot import name 'gone' from 'far_old.mine:' (somewhere)")
    """,
    "uv.lock": LOCKED,
}


@pytest.fixture
def of_another_version(tmp_path, index):
    """Makes submissions with packages whose versions are not those that their lock file names."""
    wheel(index, "far_old", "2.0", FAR_OLD)
    wheel(index, "far_named", "2.0", "")
    wheel(index, "far_plain", "2.0", "")
    wheel(index, "far_broken", "1.0", "import numpy\nnumpy.float_\n")
    opened = []

    def make(files: Mapping[str, str]) -> WalledSubmission:
        packages = ("far_old", "far_named", "far_plain", "far_broken", "numpy")
        layout = locate(written(asking_for(tmp_path / "s", *packages), files))
        made = make_environment(layout)
        opened.append(WalledSubmission(dataclasses.replace(layout, environment=made.environment)))
        return opened[-1]

    yield make
    for submission in opened:
        submission.close()


def test_what_needs_a_name_of_another_version_is_not_assessed_and_all_else_works(of_another_version):
    submission = of_another_version(OF_ANOTHER_VERSION)
    for operation in ("run_silu", "run_linear"):
        compare(X, getattr(submission, operation)(in_features=X))
    other = r"of far_old, which far[-_]old 2\.0 does not have; the submission asks for far[-_]old 1\.0"
    for operation, said in {
        "run_softmax": f"needs 'FILE_LIKE' {other}",
        "run_rmsnorm": f"needs 'Stream' {other}",
        "run_embedding": f"needs 'inside' {other}",
        "run_rope": f"needs 'Kind' {other}",
        "run_swiglu": f"needs 'Fast' {other}",
        "run_cross_entropy": rf"needs 'float_' of numpy, which numpy {np.__version__} does not have any more",
        "run_transformer_lm": r"needs the package 'far_broken', which cannot be imported here \(far.broken 1\.0: .*np",
    }.items():
        with pytest.raises(NothingToAssess, match=said):
            getattr(submission, operation)(in_features=X)
    assert submission.noticed == []


@pytest.mark.parametrize("files", [NOT_OF_ANOTHER_VERSION])
def test_a_name_that_no_version_is_known_to_have_is_an_error(of_another_version, files):
    """A typo, a package of its own, the version that it asks for, and exceptions that say what is not so."""
    submission = of_another_version(files)
    for operation in [name for name in OPERATIONS if f"def {name}(" in files["adapters.py"]]:
        with pytest.raises(StudentError):
            getattr(submission, operation)(in_features=X)


def test_the_judge_looks_a_name_up_in_a_process_without_the_submission(tmp_path):
    """What a submission does to a package in its own process, or puts in the way of it, is no evidence."""
    spoiled = "import numpy; vars(numpy).pop('clip', None)\n"
    lock = 'name = "numpy"\nversion = "1.0"'
    for source in (
        f"{spoiled}from numpy import clip\n{SILU}",
        f"def run_silu(in_features):\n    {spoiled}    numpy.clip\n",
    ):
        root = written(tmp_path, {"adapters.py": source, "uv.lock": lock})
        with WalledSubmission(locate(root)) as submission, pytest.raises(StudentError, match="clip"):
            submission.run_silu(in_features=X)


@pytest.mark.parametrize("source", ["from torch import Tensr", "import torch.optin", "import torch\nT = torch.Tensr"])
def test_a_typo_in_an_import_still_fails_it(tmp_path, source):
    """Also where nothing uses the name: a placeholder stands in only for what another version has."""
    layout, said = locate(written(tmp_path, f"{source}\n{SILU}")), r"importing adapters\.py failed: .*(Tensr|optin)"
    with WalledSubmission(layout) as submission, pytest.raises(StudentError, match=said):
        submission.run_silu(in_features=X)


RENAMED_IN_A_LIBRARY = """
from torch.serialization import FILE_LIKE

right_softmax = run_softmax


def run_cross_entropy(inputs, targets):
    return FILE_LIKE(inputs)


def run_softmax(in_features, dim, out: str | FILE_LIKE = ""):
    return right_softmax(in_features, dim)
"""


def test_a_name_that_the_kits_torch_has_no_more_costs_nothing_and_is_named(tmp_path):
    root = public_layout(tmp_path / "solution")
    with (root / "tests" / "adapters.py").open("a", encoding="utf-8") as file:
        file.write(RENAMED_IN_A_LIBRARY)
    written(root, {"uv.lock": '[[package]]\nname = "torch"\nversion = "2.6.0"\n'})
    report, shown = graded(root, "--problem", "softmax", "cross_entropy")
    problems = {problem["id"]: problem for problem in report["problems"]}
    assert problems["softmax"]["status"] == "pass"
    assert problems["cross_entropy"]["status"] == "not_assessed"
    version = re.escape(torch.__version__)
    said = (
        f"'FILE_LIKE' of torch.serialization, which torch {version} does not have; the submission asks for torch 2.6.0"
    )
    assert re.search(f"{said}: needed by cross_entropy", shown)
    assert report["load_fault"] is None
    assert report["score"]["earned"] == report["score"]["assessed"] > 0


def test_few_names_are_looked_up_and_each_once(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(WalledSubmission, "_look_up", lambda self, *subject: asked.append(subject))
    calls = "import itertools\nlabel = itertools.count()\n\ndef run_silu(in_features):\n"
    raising = "    raise ImportError(f\"cannot import name 'name{next(label) // 2}' from 'numpy' (somewhere)\")\n"
    with WalledSubmission(locate(written(tmp_path, calls + raising))) as submission:
        for _ in range(4 * MOST_LOOKED_UP):
            with pytest.raises(StudentError):
                submission.run_silu(in_features=X)
    assert asked == [("numpy", f"name{i}") for i in range(MOST_LOOKED_UP)]


def test_versions_that_a_submission_was_written_for(tmp_path):
    root = asking_for(
        tmp_path, "torch~=2.6.0 ; sys_platform != 'darwin'", "torch~=2.2.2", "numpy", "far_old @ file:///x"
    )
    files = Files(root)
    assert [str(versions) for versions in versions_asked(files, "torch")] == ["~=2.6.0", "~=2.2.2"]
    assert versions_asked(files, "numpy") == versions_asked(files, "far-old") == ()
    written(
        root,
        {"uv.lock": '[[package]]\nname = "Torch"\nversion = "2.6.0"\n[[package]]\nname = "torch"\nversion = "?"\n'},
    )
    assert [str(versions) for versions in versions_asked(files, "torch")] == ["==2.6.0"]


# ------------------------------------------------------------------------------------------------------------
# A newer Python

FOR_A_NEWER_PYTHON = {
    "def first[T](items: list[T]) -> T:\n    return items[0]\n": (3, 12),
    "type Ids = list[int]\n": (3, 12),
    'names = {\'a\': 1}\ntext = f"{names["a"]}"\n': (3, 12),
    "from itertools import batched\n": (3, 12),
    "import itertools\nchunks = itertools.batched\n": (3, 12),
    "from typing import override\n": (3, 12),
    "from typing import Generator\n\ndef f() -> Generator[int]: ...\n": (3, 13),
    "from warnings import deprecated\n": (3, 13),
    "class Box[T = int]: ...\n": (3, 13),
    "import compression.zstd\n": (3, 14),
}


BROKEN = [
    "def first(items:\n",
    "def first[(items): ...\n",
    "from itertools import chained\n",
    "import itertools\nitertools.chained\n",
    "raise ImportError(\"cannot import name 'chain' from 'itertools'\")\n",
]


@pytest.fixture(scope="module")
def lazy(tmp_path_factory):
    """A submission whose adapters each import one of the modules above when they are called."""
    sources = [*FOR_A_NEWER_PYTHON, *BROKEN]
    names = [name for name in OPERATIONS if name.startswith("run_")]
    adapters = "".join(f"def {name}(in_features):\n    import module_{i}\n" for i, name in enumerate(names))
    modules = {f"module_{i}.py": source for i, source in enumerate(sources)}
    root = written(tmp_path_factory.mktemp("lazy"), {"adapters.py": adapters, **modules})
    with WalledSubmission(locate(root)) as submission:
        yield lambda source: submission.perform(names[sources.index(source)], {"in_features": X})


def saying(needed: tuple[int, int]) -> str:
    if sys.version_info >= needed:
        pytest.skip("this Python has it")
    version = f"{needed[0]}.{needed[1]}"
    return rf"Python {version} (or later|on); this is Python 3\.\d+.*`python{version} -m grader`"


@pytest.mark.parametrize("source", FOR_A_NEWER_PYTHON)
def test_a_call_of_code_for_a_newer_python_is_not_assessed(lazy, source):
    with pytest.raises(NothingToAssess, match=saying(FOR_A_NEWER_PYTHON[source])):
        lazy(source)


CHECKPOINTS = """
import torch

def run_save_checkpoint(model, optimizer, iteration, out):
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}, out)

def run_load_checkpoint(src, model, optimizer):
    import newer
"""


@pytest.mark.parametrize("source", ["from typing import override\n", "type Ids = list[int]\n"])
def test_a_newer_python_is_not_charged_in_a_process_of_its_own_either(tmp_path, source):
    root, limits = written(tmp_path, {"adapters.py": CHECKPOINTS, "newer.py": source}), Limits(call_s=60)
    with WalledSubmission(locate(root), limits) as submission, pytest.raises(NothingToAssess, match=saying((3, 12))):
        submission.checkpoints_elsewhere(jobs=[{"seed": 1, "iteration": 3}])


@pytest.mark.parametrize("source", list(FOR_A_NEWER_PYTHON)[::3])
def test_adapters_for_a_newer_python_leave_nothing_to_assess(tmp_path, source):
    said = saying(FOR_A_NEWER_PYTHON[source])
    root = written(tmp_path, {"adapters.py": f"import newer\n{SILU}", "newer.py": source})
    with WalledSubmission(locate(root)) as submission, pytest.raises(NothingToAssess, match=said):
        submission.run_silu(in_features=X)


@pytest.mark.parametrize("source", BROKEN)
def test_code_that_no_python_takes_is_an_error(lazy, source):
    with pytest.raises(StudentError):
        lazy(source)


def test_a_python_that_is_asked_for_is_named_when_the_import_fails(tmp_path):
    root = asking_for(tmp_path, python=">=3.99")
    written(root, f"import statistics\nstatistics.of_the_future\n{SILU}")
    with WalledSubmission(locate(root)) as submission, pytest.raises(NothingToAssess, match=r"asks for Python >=3\.99"):
        submission.run_silu(in_features=X)


@pytest.mark.parametrize(
    ("asked", "have", "needed"),
    [
        (">=3.12", "3.11.7", (3, 12)),
        (">=3.11.4,<3.13", "3.11.2", (3, 11)),
        ("<3.11", "3.11.7", (3, 8)),
        (">=3.11", "3.11.7", None),
        ("", "3.11.7", None),
        ("newest", "3.11.7", None),
    ],
)
def test_ranges_of_pythons(asked, have, needed):
    assert another_python(asked, have) == needed


def test_a_file_that_is_no_python_names_no_version():
    def unreadable(path: str) -> str:
        raise OSError(path)

    assert python_needed("gone.py", unreadable) is None
    assert python_needed("itertools.batched", unreadable, (3, 12)) is None
    assert python_needed("itertools.batched", unreadable, (3, 11)) == (3, 12)


# ------------------------------------------------------------------------------------------------------------
# An environment of its own


def test_requirements_are_names_and_versions_and_nothing_else(tmp_path):
    taken = ["far_heap", "far-heap>=1,<2 ; python_version >= '3.8'", "far.heap[extra]==1.2"]
    refused = [
        "far_heap @ https://example.org/far_heap.whl",
        "far_heap @ file:///etc/passwd",
        "./far_heap",
        "/etc/passwd",
        "-e .",
        "--index-url=https://example.org",
        "far_heap --hash=sha256:0",
        "git+https://example.org/far_heap",
        "far_heap\n--index-url=https://example.org",
        "far_heap" * 50,
        "far\x1bheap",
    ]
    wanted = read_wanted(locate(asking_for(tmp_path, *taken, *refused, "cs336-basics")))
    assert wanted.requirements == (
        "far_heap",
        'far-heap<2,>=1; python_version >= "3.8"',
        "far.heap[extra]==1.2",
    )
    assert len(wanted.refused) == len(refused)


def test_requirements_txt_is_read_and_both_are_bounded(tmp_path):
    lines = "far_heap>=1  # a heap\n\n# nothing\n-r /etc/passwd\n" + "".join(f"p{i}\n" for i in range(200))
    root = asking_for(tmp_path, **{"requirements.txt": lines})
    wanted = read_wanted(locate(root))
    assert wanted.requirements[0] == "far_heap>=1"
    assert len(wanted.requirements) == MOST_REQUIREMENTS - 1
    assert set(wanted.refused) >= {"-r /etc/passwd", "p199"}
    (root / "requirements.txt").write_text("x" * (1 << 20), "utf-8")
    assert read_wanted(locate(root)).requirements == ()


def test_what_the_kit_has_stays_the_kits(tmp_path, index):
    wheel(index, "numpy", "99.0", "raise SystemExit('another numpy')\n")
    wheel(index, "old_times", "1.0", "import numpy\n", requires=("numpy<1", "far_heap", "torch==1.0"))
    source = f"import numpy, old_times, far_heap\nassert numpy.zeros(1) == 0\n{SILU}"
    made = make_environment(locate(asking_for(tmp_path / "s", "old_times", "numpy>=99", **{"adapters.py": source})))
    assert made.installed == ("far-heap 1.2", "old-times 1.0")
    layout = dataclasses.replace(locate(tmp_path / "s"), environment=made.environment)
    with WalledSubmission(layout) as submission:
        compare(X, submission.run_silu(in_features=X))
        assert submission.noticed == []  # to import what somebody else has written is nothing to remark


def test_what_cannot_be_had_is_listed_and_nothing_is_built(tmp_path, index):
    with zipfile.ZipFile(index / "far_builder-1.0.zip", "w") as archive:
        archive.writestr("far_builder-1.0/setup.py", f"open({str(tmp_path / 'built')!r}, 'w').close()")
    root = asking_for(tmp_path / "s", "far_builder", "far_heap", "far_nowhere>=2", "far_heap @ https://example.org/x")
    made = make_environment(locate(root))
    assert made.installed == ("far-heap 1.2",)
    assert set(made.missing) == {"far_builder", "far_nowhere>=2", "far_heap @ https://example.org/x"}
    assert not (tmp_path / "built").exists()
    again = make_environment(locate(root))
    assert again.reused
    assert again.missing == made.missing


def test_a_python_that_is_not_there_is_listed(tmp_path, index):
    made = make_environment(locate(asking_for(tmp_path / "s", python=">=3.99")))
    assert made.environment is None
    assert list(made.missing) == ["Python >=3.99"]


def test_two_grades_at_once_share_one_environment(tmp_path, index):
    layout = locate(asking_for(tmp_path / "s", "far_heap"))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        made = list(pool.map(make_environment, [layout] * 4))
    assert len({one.environment for one in made}) == 1
    (environment,) = {one.environment for one in made if one.environment}
    folder = Path(environment.path[-1])
    assert (folder / "far_heap.py").is_file()
    assert [path.name for path in folder.parents[1].iterdir()] == [folder.parent.name]


INTRUDER = """
    import importlib.metadata, pathlib
    import far_heap

    importlib.metadata.version("cs336_basics")

    def run_silu(in_features):
        try:
            pathlib.Path(far_heap.__file__).write_text("def least(values): return 0")
        except OSError:
            return in_features * far_heap.least([2, 3])
"""


def test_an_environment_is_read_only_behind_every_wall(tmp_path, index):
    made = make_environment(locate(asking_for(tmp_path / "s", "far_heap", **{"adapters.py": INTRUDER})))
    layout = dataclasses.replace(locate(tmp_path / "s"), environment=made.environment)
    walls = [isolation for isolation in available(layout) if isolation.level in (Level.BUBBLEWRAP, Level.LANDLOCK)]
    if not walls:
        pytest.skip("no wall works here")
    for isolation in walls:
        assert isolation.files is not FileAccess.IN_PLACE
        with WalledSubmission(layout, isolation=isolation) as submission:
            compare(2 * X, submission.run_silu(in_features=X))


# ------------------------------------------------------------------------------------------------------------
# The stand-in for wandb

LOGS = """
    import wandb
    from wandb import Table

    run = wandb.init(project="lm", config={"lr": 1e-3}, mode="online")
    wandb.config.update({"steps": 3}, allow_val_change=True)
    assert wandb.config.lr == 1e-3 and wandb.config["steps"] == 3 and wandb.run is run
    wandb.define_metric("loss", step_metric="tokens")
    wandb.watch(object(), log="all")
    table = Table(columns=["text"])
    table.add_data("once")

    def run_silu(in_features):
        with wandb.init() as inner:
            inner.log({"loss": 1.0, "text": table, "image": wandb.Image(None)}, step=1)
            inner.summary["best"] = 1.0
        wandb.log({"loss": float(in_features.sum())})
        wandb.save("model.pt")
        wandb.finish()
        return in_features
"""


@pytest.mark.skipif("wandb" in sys.modules, reason="wandb is installed")
def test_wandb_is_stood_in_for_and_the_report_says_so(tmp_path):
    root = written(tmp_path, LOGS)
    with WalledSubmission(locate(root)) as submission:
        compare(X, submission.run_silu(in_features=X))
        assert submission.noticed == [{"kind": "stand_in", "evidence": "wandb", "where": ""}]
    report, shown = graded(root, "--problem", "softmax")
    assert report["environment"]["stand_ins"] == ["wandb"]
    assert report["integrity"]["verdict"] == "clean"
    assert "wandb is not installed here: a stand-in that does nothing took its place." in shown


def test_a_wandb_of_its_own_comes_first(tmp_path):
    root = written(tmp_path, {"wandb.py": "mine = True\n", "adapters.py": f"import wandb\nassert wandb.mine\n{SILU}"})
    with WalledSubmission(locate(root)) as submission:
        compare(X, submission.run_silu(in_features=X))
        assert submission.noticed == []


# ------------------------------------------------------------------------------------------------------------
# What calls need not import


def test_optimizers_and_checkpoints_do_not_import_the_compiler(tmp_path):
    root = public_layout(tmp_path / "solution")
    with (root / "tests" / "adapters.py").open("a", encoding="utf-8") as file:
        for name in ("get_adamw_cls", "run_save_checkpoint", "run_load_checkpoint"):
            file.write(
                f"\n\nits_{name} = {name}\n\n\ndef {name}(*arguments, **options):\n    import sys\n\n"
                f"    value = its_{name}(*arguments, **options)\n"
                "    assert 'torch._dynamo' not in sys.modules, 'a second or two on the clock'\n    return value\n"
            )
    report, _ = graded(root, "--problem", "adamw", "checkpointing")
    outcomes = {test["id"]: test["outcome"] for problem in report["problems"] for test in problem["tests"]}
    assert set(outcomes.values()) == {Result.PASS}
