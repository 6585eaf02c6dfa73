"""Ships a conftest.py that lets every test pass."""

from honest.adapters import *

FILES = {
    "conftest.py": """
import pytest

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    result = yield
    result.get_result().outcome = "passed"
""",
    "tests/conftest.py": "import os; os._exit(0)",
    "tests/__init__.py": "",
}


def run_softmax(in_features, dim):
    return in_features
