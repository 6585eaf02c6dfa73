"""What holds for every test here."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest

from grader.report.model import ProblemReport, Report
from grader.selftest.report_contract import check


@pytest.fixture(scope="session", autouse=True)
def every_report_fulfils_the_schema() -> Iterator[None]:
    """Hold to the schema whatever report becomes JSON in this process, and each problem that is put into one."""
    if importlib.util.find_spec("jsonschema") is None:  # on a machine with a GPU and no development packages
        yield
        return
    whole, made = Report.as_json, ProblemReport.__init__

    def as_json(report: Report, /) -> dict[str, Any]:
        fields = whole(report)
        check(fields)
        return fields

    def initialised(itself: ProblemReport, /, *arguments: Any, **fields: Any) -> None:
        made(itself, *arguments, **fields)
        check(itself.as_json(), "problem")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Report, "as_json", as_json)
        patch.setattr(ProblemReport, "__init__", initialised)
        yield
