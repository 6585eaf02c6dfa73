"""What every test here shares. Start with any `test_<problem>.py`; `uv run pytest tests/test_rope.py` runs one."""

import sys

from grader.kit.systems import why_not_in, why_not_on

if sentence := why_not_on(sys.platform) or why_not_in(sys.version_info[:2]):  # before what cannot be imported there
    print(sentence, file=sys.stderr)
    raise SystemExit(4)  # as pytest does where it is called wrongly

from grader.worker.lean_imports import without_collections

with without_collections():  # PyTorch above all, which is there a fifth of a second sooner
    from hypothesis import Phase, settings

    from grader.examination.pytest_plugin import (  # noqa: F401  (pytest finds fixtures and hooks here by name)
        answers,
        chance,
        chance_of_file,
        draw_alike_everywhere,
        for_staff,
        own_parts,
        pytest_addoption,
        pytest_collection_modifyitems,
        pytest_generate_tests,
        pytest_pyfunc_call,
        pytest_report_teststatus,
        pytest_runtest_makereport,
        reference,
        remarks,
        runs,
        submission,
    )
    from grader.guide.pytest_summary import pytest_configure  # noqa: F401

# The same examples on every run, in pytest as in a grade: a test that fails today fails tomorrow.
# Without hypothesis' own explanation, which lists lines of code between the test's sentence and the student.
settings.register_profile(
    "kit",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=25,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
settings.load_profile("kit")
draw_alike_everywhere()
