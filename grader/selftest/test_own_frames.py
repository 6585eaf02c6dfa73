"""Which frames of a traceback are the submission's."""

from __future__ import annotations

import pytest

from grader.kit.paths import KIT, REFERENCE
from grader.worker.own_frames import passes_through, traceback_in


def raised_through(*files: str) -> Exception:
    """An exception that the last of these files raises, when each is called by the one before it."""
    names: dict[str, object] = {}
    code = "def call(): raise ValueError('no')"
    for file in reversed(files):
        names = {"inner": names.get("call")}
        exec(compile(code, file, "exec"), names)
        code = "def call(): inner()"
    with pytest.raises(ValueError, match="no") as caught:
        names["call"]()  # type: ignore[operator]
    return caught.value


def test_in_a_students_copy_neither_the_grader_nor_the_tests_are_his_code():
    """There, all of it lies in one folder."""
    asked = [f"{KIT}/tests/test_linear.py", f"{KIT}/grader/submission/in_process.py"]
    error = raised_through(*asked, f"{KIT}/adapters.py", f"{KIT}/cs336_basics/layers.py")
    said = traceback_in(str(KIT), error)
    assert said.startswith('  File "adapters.py", line 1, in call')
    assert "in_process" not in said
    assert passes_through(str(KIT), error)
    assert not passes_through(str(KIT), raised_through(*asked))


def test_a_submission_may_lie_within_the_grader_and_have_its_adapters_among_tests(tmp_path):
    inside = raised_through(f"{KIT}/grader/submission/in_process.py", f"{REFERENCE}/layers.py")
    assert traceback_in(str(REFERENCE), inside).startswith('  File "layers.py"')
    public = raised_through(f"{KIT}/tests/test_linear.py", f"{tmp_path}/tests/adapters.py")
    assert traceback_in(str(tmp_path), public).startswith('  File "tests/adapters.py"')


def test_where_python_itself_raises_the_place_is_that_of_the_cause():
    """RuntimeError, "generator raised StopIteration", has no frame of the generator's."""
    names: dict[str, object] = {}
    exec(compile("def call(chunks):\n    yield next(iter(chunks))\n", f"{REFERENCE}/stream.py", "exec"), names)
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        list(names["call"]([]))  # type: ignore[operator]
    assert traceback_in(str(REFERENCE), caught.value) == (
        '  File "stream.py", line 2, in call\n    \nRuntimeError: generator raised StopIteration'
    )
    assert traceback_in("", caught.value).endswith("RuntimeError: generator raised StopIteration")
