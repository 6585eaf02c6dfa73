"""JUnit XML as Jenkins, GitLab and others read it. Pure.

Its elements and attributes are those of Jenkins' schema (`junit-10.xsd` of the xUnit plugin); pytest keeps to it, too.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from ...escape import visible
from ...scoring.outcome import Result, Tier

_SKIPPED = (Result.TODO, Result.SKIP, Result.ABSENT, Result.NOT_RUN)
_ELEMENTS = {Result.FAIL: "failure", **dict.fromkeys((Result.ERROR, Result.TIMEOUT, Result.CRASH), "error")}
_LONGEST = 200  # characters of an attribute


def as_junit(report: Mapping[str, Any]) -> str:
    """The report as an XML document: a suite for each problem, a case for each test.

    A test that costs nothing (advice, an adapter that a public solution lacks, a bug that is carried forward) is never
    a failure: it counts as skipped, and says why.
    """
    root = ET.Element("testsuites", name="grader")
    for problem in report["problems"]:
        _suite(root, problem)
    totals = {key: sum(int(suite.get(key, "0")) for suite in root) for key in ("tests", "failures", "errors")}
    root.attrib.update({key: str(total) for key, total in totals.items()})
    root.set("time", f"{report['environment']['seconds']:.3f}")
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _suite(root: ET.Element, problem: Mapping[str, Any]) -> None:
    suite = ET.SubElement(root, "testsuite", name=problem["id"])
    counts = dict.fromkeys(("failure", "error", "skipped"), 0)
    for test in problem["tests"]:
        case = ET.SubElement(
            suite, "testcase", classname=problem["id"], name=visible(test["id"].partition("::")[2]),
            time=f"{test['seconds']:.3f}",
        )  # fmt: skip
        if test["outcome"] == Result.PASS:
            continue
        reason = _why_it_costs_nothing(test)
        kind = "skipped" if reason or test["outcome"] in _SKIPPED else _ELEMENTS[test["outcome"]]
        counts[kind] += 1
        bug = test["misconception"]["diagnosis"] if test["misconception"] else ""
        headline = visible(reason or bug or test["message"] or test["title"]).replace("\n", " ")[:_LONGEST]
        child = ET.SubElement(case, kind, message=headline, type=str(test["outcome"]))
        child.text = visible("\n".join(filter(None, (test["title"], bug, test["message"], test["detail"]))))
    suite.attrib.update(
        tests=str(len(problem["tests"])), failures=str(counts["failure"]), errors=str(counts["error"]),
        skipped=str(counts["skipped"]), time=f"{sum(test['seconds'] for test in problem['tests']):.3f}",
    )  # fmt: skip


def _why_it_costs_nothing(test: Mapping[str, Any]) -> str:
    if test["kind"] == Tier.ADVICE:
        return "advice, which costs nothing"
    if test["carried_forward"]:
        return "carried forward: the bug is in a problem that this one builds on"
    return "" if test["charged"] else "not asked of this submission"
