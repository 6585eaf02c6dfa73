"""Naming a bug: fingerprints tell outputs apart, the rule is strict, relations are true."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import msgpack
import pytest
import torch

from grader.cases.relations import relations
from grader.diagnosis.fingerprint import fingerprint, fingerprint_error, fingerprint_transcript
from grader.diagnosis.known_bugs import (
    Form,
    KnownBug,
    diagnose,
    load_known_bugs,
    same,
    stored_records,
    without_wrong_values,
    write_records,
)
from grader.submission.faults import WrongResult
from grader.submission.transcript import TIMED
from grader.trials.evidence import dependents

A, B, C = [[fingerprint(torch.randn(8, generator=torch.Generator().manual_seed(seed)))] for seed in (1, 2, 3)]
ERROR = [fingerprint_error(ValueError())]


def bug(name: str, **evidence) -> KnownBug:
    return KnownBug(name, "rope", "diagnosis", "hint", "common", {"rope": evidence})


def test_rounding_does_not_change_a_fingerprint():
    x = torch.randn(1000, dtype=torch.float64)
    noise = 1 + 1e-6 * torch.randn(1000, dtype=torch.float64)
    assert same(fingerprint(x.float()), fingerprint((x * noise).float()))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x * 1.001,
        lambda x: -x,
        lambda x: x.flip(0),
        lambda x: x.roll(1),
        lambda x: x.double(),
        lambda x: x.reshape(2, -1),
        lambda x: torch.cat([x[:-1], x[-1:] + 1]),
        lambda x: x.index_fill(0, torch.tensor([3]), float("nan")),
        lambda x: [x],
        lambda x: torch.zeros_like(x),
    ],
)
def test_another_output_has_another_fingerprint(change):
    x = torch.randn(1000)
    assert not same(fingerprint(x), fingerprint(change(x)))


def test_discrete_outputs_must_agree_exactly():
    assert same(fingerprint({1: b"a", 0: b"b"}), fingerprint({0: b"b", 1: b"a"}))
    assert not same(fingerprint([(b"a", b"b")]), fingerprint([(b"b", b"a")]))
    assert not same(fingerprint([1, 2]), fingerprint((1, 2)))
    assert not same(fingerprint(1), fingerprint(True))


def test_exceptions_are_the_same_by_type_and_by_what_they_say():
    size, none = (fingerprint_error(RuntimeError(text)) for text in ("size of tensor a (7)", "NoneType has no"))
    assert same(size, fingerprint_error(RuntimeError("size of tensor a (8)")))
    assert not same(size, none)
    assert not same(size, fingerprint_error(RuntimeError()))


def test_a_bug_is_named_when_all_its_evidence_is_there():
    known = bug("x", t1=A, t2=B)
    assert diagnose("rope", {"t1": A, "t2": B}, ["t1", "t2", "t3"], [known]) == {"t1": known, "t2": known}


@pytest.mark.parametrize(
    "failing",
    [{"t1": A}, {"t1": A, "t2": C}, {"t2": B}, {}],
    ids=["one test passes", "one output differs", "the other passes", "nothing fails"],
)
def test_a_bug_is_not_named_when_some_evidence_is_missing(failing):
    assert diagnose("rope", failing, ["t1", "t2"], [bug("x", t1=A, t2=B)]) == {}


def test_a_corner_may_differ():
    known = bug("x", t1=A, t2=B, t3=C, t4=A)
    failing = {"t1": A, "t2": B, "t3": B, "t4": A}
    assert diagnose("rope", failing, list(failing), [known]) == dict.fromkeys(["t1", "t2", "t4"], known)


def test_a_small_bug_is_not_named_within_a_larger_failure():
    failing = {"t1": A, "t2": C, "t3": C}
    assert diagnose("rope", failing, list(failing), [bug("x", t1=A)]) == {}


def test_of_two_bugs_that_look_the_same_neither_is_named():
    assert diagnose("rope", {"t1": A}, ["t1"], [bug("x", t1=A), bug("y", t1=A)]) == {}


def test_evidence_of_tests_that_did_not_run_is_not_asked_for():
    known = bug("x", t1=A, t2=B)
    assert diagnose("rope", {"t1": A}, ["t1"], [known]) == {"t1": known}


def test_the_bug_that_explains_more_comes_first():
    small, large = bug("small", t1=A), bug("large", t1=A, t2=B)
    named = diagnose("rope", {"t1": A, "t2": B}, ["t1", "t2"], [small, large])
    assert {found.id for found in named.values()} == {"large"}


def test_two_bugs_at_once_are_both_named():
    one, two = bug("one", t1=A), bug("two", t2=B)
    assert diagnose("rope", {"t1": A, "t2": B}, ["t1", "t2"], [one, two]) == {"t1": one, "t2": two}


def test_an_exception_alone_names_a_bug_only_where_nothing_else_fails():
    known = bug("x", t1=ERROR)
    assert diagnose("rope", {"t1": ERROR}, ["t1", "t2"], [known]) == {"t1": known}
    assert diagnose("rope", {"t1": ERROR, "t2": A}, ["t1", "t2"], [known]) == {}


OF_ANOTHER_TYPE, NO_SUCH_NAME = ([fingerprint_error(error)] for error in (RuntimeError(), KeyError()))


def test_exceptions_are_alike_by_what_they_say():
    known = bug("x", t1=A, t2=ERROR, t3=ERROR)
    ran = ["t1", "t2", "t3", "t4"]
    assert diagnose("rope", {"t1": A, "t2": OF_ANOTHER_TYPE, "t3": OF_ANOTHER_TYPE}, ran, [known])
    assert diagnose("rope", {"t1": A, "t2": NO_SUCH_NAME, "t3": NO_SUCH_NAME}, ran, [known]) == {}
    assert diagnose("rope", {"t1": OF_ANOTHER_TYPE}, ran, [bug("x", t1=ERROR)])
    assert diagnose("rope", {"t1": NO_SUCH_NAME}, ran, [bug("x", t1=ERROR)]) == {}


def test_right_values_are_no_evidence():
    """A test that compares two calls keeps a right value of the one, whatever is wrong with the other."""
    compared, plain = {"t1[a]": [*A, *ERROR]}, {"t2": B}
    assert without_wrong_values(compared | plain, {"t1[a]": [*A, *C], "t2": C}) == ["t1[a]"]
    assert without_wrong_values({"t1": [*A, *B]}, {"t1": A}) == []
    assert without_wrong_values({"t1": ERROR}, {"t1": A}) == []
    known = replace(bug("x", **compared), right=["t1[a]"])
    failing = {"t1[a]": [*A, *ERROR], "t1[b]": C}
    assert diagnose("rope", failing, [*failing, "t2"], [known]) == {}  # the other test of the claim has no exception
    del failing["t1[b]"]
    assert diagnose("rope", failing, ["t1[a]", "t1[b]"], [known]) == {"t1[a]": known}


def test_time_alone_names_nothing():
    """A program is too slow for many reasons."""
    timed = fingerprint_transcript([TIMED])
    assert diagnose("rope", {"t1": timed}, ["t1", "t2"], [bug("x", t1=timed)]) == {}
    assert diagnose("rope", {"t1": timed, "t3": A}, ["t1", "t2", "t3"], [bug("x", t1=timed, t3=A)])


def test_what_is_stored_says_in_which_tests_all_values_are_right():
    for known in BUGS:
        tests = {test for evidence in known.evidence.values() for test in evidence}
        assert set(known.right) <= tests, known.id
    twice = next(known for known in BUGS if known.id == "adamw-reads-parameters-twice")
    assert list(twice.right) == list(twice.evidence["adamw"])  # from a list it is right, and the generator raises


def test_where_every_test_raises_nothing_is_named():
    """Whatever fails in `load_state_dict` looks so."""
    assert diagnose("rope", {"t1": ERROR, "t2": ERROR}, ["t1", "t2"], [bug("x", t1=ERROR, t2=ERROR)]) == {}


def test_exceptions_of_whole_claims_name_a_bug_beside_another():
    raises, differs = bug("raises", **{"t1[a]": ERROR, "t1[b]": ERROR}), bug("differs", t2=A)
    failing = {"t1[a]": ERROR, "t1[b]": ERROR, "t2": A}
    named = diagnose("rope", failing, [*failing, "t3"], [raises, differs])
    assert named == {"t1[a]": raises, "t1[b]": raises, "t2": differs}
    failing["t1[c]"] = A
    assert raises not in diagnose("rope", failing, [*failing, "t3"], [raises, differs]).values()


def values(count: int, seed: int = 0) -> list:
    """So many transcripts of different values."""
    return [
        [fingerprint(torch.randn(8, generator=torch.Generator().manual_seed(100 * seed + i)))] for i in range(count)
    ]


def numbered(name: str, transcripts: list) -> dict:
    return {f"{name}[{i}]": transcript for i, transcript in enumerate(transcripts)}


def test_beside_what_is_unknown_a_bug_is_named_by_whole_claims():
    """The state of every unfinished solution: this bug, and something else."""
    known = bug("x", **numbered("claim", values(4)))
    failing = numbered("claim", values(4)) | numbered("other", values(6, seed=1))
    assert diagnose("rope", failing, [*failing, "passes"], [known]) == dict.fromkeys(
        numbered("claim", values(4)), known
    )
    assert diagnose("rope", failing | {"claim[more]": A}, [*failing, "claim[more]"], [known]) == {}
    failing["claim[0]"] = C
    assert diagnose("rope", failing, [*failing, "passes"], [known]) == {}


def test_beside_what_is_unknown_little_evidence_names_nothing():
    """A part of what a larger bug does may look like a small one."""
    failing = numbered("claim", values(2)) | numbered("other", values(6, seed=1))
    assert diagnose("rope", failing, [*failing, "passes"], [bug("x", **numbered("claim", values(2)))]) == {}
    zero = [fingerprint(torch.zeros(3))]
    failing = numbered("claim", [zero] * 5) | numbered("other", values(6, seed=1))
    assert diagnose("rope", failing, [*failing, "passes"], [bug("x", **numbered("claim", [zero] * 5))]) == {}


def test_a_claim_that_passes_speaks_against_a_bug():
    evidence = numbered("claim", values(19)) | {"small": A}
    failing = numbered("claim", values(19))
    assert diagnose("rope", failing, list(evidence), [bug("x", **evidence)]) == {}


def test_a_bug_may_be_in_one_operation_alone():
    """Such as attention that masks nothing where it has no RoPE, and is right where it has."""
    plain, with_rope = numbered("plain", values(5)), numbered("rope", values(5, seed=1))
    known = bug("x", **plain, **with_rope)
    ran = dict.fromkeys(plain, "run_plain") | dict.fromkeys(with_rope, "run_with_rope")
    assert diagnose("rope", plain, ran, [known]) == dict.fromkeys(plain, known)
    assert diagnose("rope", plain, list(ran), [known]) == {}


def test_a_bug_is_named_in_any_of_its_forms():
    known = replace(bug("x", t1=A), forms=(Form({"rope": {"t1": C, "t2": B}}),))
    assert set(diagnose("rope", {"t1": C, "t2": B}, ["t1", "t2"], [known])) == {"t1", "t2"}
    assert set(diagnose("rope", {"t1": A}, ["t1", "t2"], [known])) == {"t1"}
    assert diagnose("rope", {"t1": C}, ["t1", "t2"], [known]) == {}


def test_where_one_bug_has_a_hand_another_may_look_otherwise():
    one = bug("one", **numbered("first", values(8)), **numbered("both", values(2, seed=1)))
    two = bug("two", **numbered("second", values(5, seed=2)), **numbered("both", values(2, seed=3)))
    failing = numbered("first", values(8)) | numbered("second", values(5, seed=2)) | numbered("both", values(2, seed=4))
    assert {found.id for found in diagnose("rope", failing, list(failing), [one, two]).values()} == {"one", "two"}
    assert {found.id for found in diagnose("rope", failing, list(failing), [two]).values()} == set()


def test_an_exception_of_another_bug_does_not_hide_this_one():
    """An `encode_iterable` that is not written raises also where its author's other bug would show."""
    known = bug("x", **numbered("claim", values(4)), **{"stream[0]": A})
    unwritten = [fingerprint_error(WrongResult("returned None"))]
    failing = numbered("claim", values(4)) | {"stream[0]": unwritten, "lines[0]": unwritten, "memory": unwritten}
    named = diagnose("rope", failing, [*failing, *"abcdefgh"], [known])
    assert named == dict.fromkeys(numbered("claim", values(4)), known)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TypeError("'NoneType' object is not iterable"), AttributeError("'NoneType' object has no attribute 'bool'")),
        (RuntimeError("The size of tensor a (7) must match"), IndexError("The shape of the mask [5, 5] at index 0")),
        (TypeError("bad operand type for unary ~"), UnboundLocalError("local variable 'mask' referenced")),
    ],
)
def test_one_fault_has_exceptions_of_several_types(one, other):
    known = bug("x", t1=[fingerprint_error(one)])
    assert diagnose("rope", {"t1": [fingerprint_error(other)]}, ["t1", "t2"], [known]) == {"t1": known}


def test_exceptions_of_one_type_are_told_apart_by_what_they_say():
    size, truth = RuntimeError("The size of tensor a (7) must match"), RuntimeError("Boolean value of Tensor with more")
    known = bug("x", t1=[fingerprint_error(size)])
    assert diagnose("rope", {"t1": [fingerprint_error(truth)]}, ["t1", "t2"], [known]) == {}


X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("actual", "said"),
    [
        (X * 3, "Every value is 3 times what was expected."),
        (-X, "The sign of every value is flipped."),
        (X + 0.5, "Every value is off by the same amount, 0.5."),
        (X.flip(0), "The right values are there, in other places."),
        (X.T, "The values are right with the last two dimensions swapped."),
        (X.reshape(2, 12), "The values are right, in a different shape."),
        (torch.zeros(4, 6), "Every value is zero."),
        (torch.cat([X[:1], X[1:] ** 2]), "Along the first dimension (of size 4), only index 0 is right."),
    ],
)
def test_simple_relations_are_said(actual, said):
    assert relations(X, actual) == [said]


@pytest.mark.parametrize("actual", [X**3, X + 1e-5, torch.full((4, 6), float("nan")), [1, 2], X[:2]])
def test_where_nothing_simple_holds_nothing_is_said(actual):
    assert relations(X, actual) == []


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (64, ["Every value is 64 times what was expected."]),
        (1 / 64, ["Every value is 0.01562 times what was expected."]),
        (1.286, []),
        (0.3, []),
        (-1, ["The sign of every value is flipped."]),
    ],
)
def test_a_single_number_has_no_relation_but_a_whole_one(factor, said):
    """Any two numbers have a ratio and a difference. A sum instead of a mean is so many times as large."""
    loss = torch.tensor(2.77846)
    assert relations(loss, factor * loss) == said


BUGS = load_known_bugs()


def test_every_bug_was_tried_with_all_problems_that_build_on_its_own():
    """Also with those that came later: what is not known of a bug there costs points there a second time."""
    above = dependents()
    stale = {bug.id: list(bug.tried_on) for bug in BUGS if list(bug.tried_on) != [bug.problem, *above[bug.problem]]}
    assert not stale, "run: python -m grader.fixtures misconceptions --problem <theirs>"


CARRIED = [(bug, problem) for bug in BUGS for problem in bug.evidence if problem != bug.problem]


@pytest.mark.parametrize(("bug", "problem"), [pytest.param(*pair, id=f"{pair[0].id}-{pair[1]}") for pair in CARRIED])
def test_a_bug_below_explains_what_it_does_above(bug, problem):
    """Also where a bug of the problem itself would look the same: a block whose RoPE is wrong is not wrong, too."""
    ran = {test for other in BUGS for test in other.evidence.get(problem, {})}
    candidates = [bug, *(other for other in BUGS if other.problem == problem)]
    failing = bug.evidence[problem]
    assert diagnose(problem, failing, ran, candidates) == dict.fromkeys(failing, bug)


# ------------------------------------------------------------------------------------------------------------
# What is stored

RECORD: dict[str, Any] = {
    **dict.fromkeys(("id", "diagnosis", "hint", "frequency"), "one"),
    "problem": "rope",
    "tried_on": ["rope", "transformer_lm"],
    "evidence": {"rope": {"test_rope.py::t": A}, "transformer_lm": {"test_transformer_lm.py::t": [*B, *A]}},
    "right": ["test_rope.py::t"],
    "wrong": {"test_rope.py::t": [], "test_transformer_lm.py::t": [1]},
    "forms": [{"evidence": {"rope": {"test_rope.py::u": C}}, "right": [], "wrong": {"test_rope.py::u": [0]}}],
}


def test_evidence_comes_back_as_it_was_written(tmp_path):
    write_records([RECORD, {**RECORD, "id": "two", "forms": []}], tmp_path / "evidence")
    assert stored_records(tmp_path / "evidence") == [RECORD, {**RECORD, "id": "two", "forms": []}]
    one, two = load_known_bugs(tmp_path / "evidence")
    assert [form.evidence for form in one.every_form] == [RECORD["evidence"], RECORD["forms"][0]["evidence"]]
    assert "test_rope.py::t" in one.right
    assert "test_rope.py::u" not in one.right
    assert [dict(form.wrong) for form in one.every_form] == [RECORD["wrong"], RECORD["forms"][0]["wrong"]]
    assert (two.id, two.forms) == ("two", ())


def test_evidence_of_other_problems_is_not_unpacked(tmp_path):
    """Each examiner needs that of a few, and the process that reports that of none."""
    path = tmp_path / "evidence"
    write_records([RECORD], path)
    content = msgpack.unpackb(zlib.decompress(path.read_bytes()))
    content["looks"]["transformer_lm"] = b"nothing that could be unpacked"
    path.write_bytes(zlib.compress(msgpack.packb(content)))
    (one,) = load_known_bugs(path)
    assert list(one.evidence) == ["rope", "transformer_lm"]
    assert one.evidence["rope"] == RECORD["evidence"]["rope"]
    assert one.wrong["test_rope.py::t"] == []
    assert diagnose("rope", {"test_rope.py::t": A}, ["test_rope.py::t"], [one]) == {}
