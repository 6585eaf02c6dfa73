"""Who handed in what: folders and archives as they are collected, Gradescope's and Canvas' exports, rosters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grader.errors import Refused
from grader.staff.collection import METADATA, MISSING, collect, folder_name, read_submitters
from grader.staff.roster import Student, read_roster

CANVAS_GRADEBOOK = """\
Student,ID,SIS User ID,SIS Login ID,Section
    Points Possible,,,,
"Lovelace, Ada",12345,s-1,ada,A
"Hopper, Grace",12346,s-2,grace,A
"Turing, Alan",12347,s-3,alan,B
"""


@pytest.fixture
def handed_in(tmp_path):
    """A function that makes folders and files in the folder of submissions: what ends with a slash is a folder."""
    folder = tmp_path / "handed in"
    folder.mkdir()

    def make(*names: str) -> Path:
        for name in names:
            if name.endswith("/"):
                (folder / name).mkdir()
            else:
                (folder / name).write_text("something")
        return folder

    return make


def roster(tmp_path: Path, text: str):
    path = tmp_path / "class.csv"
    path.write_text(text, "utf-8")
    return read_roster(path)


def ids(submissions) -> list[str]:
    return [one.id for one in submissions]


def test_folders_and_archives_are_submissions_and_hidden_entries_are_not(handed_in):
    found = collect(handed_in("ada/", "grace.zip", "alan.tar.gz", ".git/", ".DS_Store", "__MACOSX/"))
    assert ids(found) == ["ada", "alan", "grace"]
    assert [one.source and one.source.name for one in found] == ["ada", "alan.tar.gz", "grace.zip"]
    assert not any(one.fault or one.notes for one in found)


def test_a_file_is_no_submission_and_its_row_says_so(handed_in):
    ada, model = collect(handed_in("ada/", "model.py"))
    assert ada.source
    assert model.source is None
    assert model.fault.startswith("model.py is a file, neither a folder nor an archive")


def test_a_link_to_nothing_is_called_so(handed_in):
    folder = handed_in("ada/")
    (folder / "grace").symlink_to(folder / "gone")
    _, grace = collect(folder)
    assert grace.source is None
    assert grace.fault == "grace is a link that leads nowhere"


@pytest.mark.parametrize("names", [("ada/", "ada.zip"), ("ada/", "Ada/"), ("ada.zip", "ada.tar")])
def test_two_for_one_student_are_left_to_a_person(handed_in, names):
    folder = handed_in(*names, "grace/")
    if len(os.listdir(folder)) < 3:
        pytest.skip("this file system takes both names for one")
    ada, grace = collect(folder)
    assert ada.source is None
    assert "handed in 2 times" in ada.fault
    assert grace.source


@pytest.mark.parametrize(
    "name", ["José Núñez", "a b", "line\nbreak", "=cmd|' /C calc'!A0", "x" * 200, "..", "学生", "\udcff"]
)
def test_the_folder_of_a_report_is_safe_whatever_a_student_is_called(name):
    made = folder_name(name)
    assert "/" not in made
    assert made not in ("", ".", "..")
    assert len(os.fsencode(made)) < 255
    assert not any(c.isspace() for c in made)
    assert folder_name(name + " ") != made


def test_names_of_any_kind_are_found(handed_in):
    folder = handed_in("José Núñez/", "new\nline/", "学生.zip")
    found = collect(folder)
    assert {one.source for one in found} == set(folder.iterdir())
    assert len(set(ids(found))) == 3


def test_canvas_names_are_understood_also_of_those_who_were_late(handed_in, tmp_path):
    names = (
        "lovelaceada_12345_678_code.zip",
        "hoppergrace_LATE_12346_679_my_code-1.zip",
        "lovelaceada_12345_680_log.pdf",
    )
    grace, ada = collect(handed_in(*names))
    assert (grace.id, ada.id) == ("hoppergrace-12346", "lovelaceada-12345")
    assert ada.source
    assert ada.source.name == names[0]
    assert ada.notes == (f"not graded: the file {names[2]}",)
    known = collect(tmp_path / "handed in", roster(tmp_path, CANVAS_GRADEBOOK))
    assert [(one.id, one.students[0].name) for one in known] == [
        ("s-1", "Lovelace, Ada"),
        ("s-2", "Hopper, Grace"),
        ("s-3", "Turing, Alan"),
    ]
    assert known[2].is_missing


METADATA_TEXT = """\
---
submission_100:
  :submitters:
  - :name: Ada Lovelace
    :sid: '0042'
    :email: ada@example.edu
  :created_at: 2026-11-26 10:00:00.000000000 -08:00
  :results:
    :tests:
    - :name: "  - :name: Nobody"
      :output: |
        submission_666:
          :submitters:
          - :name: Mallory
submission_101:
  :submitters:
  - :name: "Grace \\"Amazing\\" Hopper"
    :sid: '7'
  - :name: Alan O''Turing
    :email: 'o''turing@example.edu'
  :status: processed
"""


def test_gradescope_says_who_handed_in_what(handed_in, tmp_path):
    folder = handed_in("submission_100/", "submission_101/", "submission_102/")
    (folder / METADATA).write_text(METADATA_TEXT)
    people = read_submitters(folder / METADATA)
    assert people == {
        "submission_100": (Student("0042", "Ada Lovelace", "ada@example.edu"),),
        "submission_101": (
            Student("7", 'Grace "Amazing" Hopper'),
            Student("o'turing@example.edu", "Alan O''Turing", "o'turing@example.edu"),
        ),
    }
    ada, group, unknown = collect(folder)
    assert (ada.id, group.id, unknown.id) == ("0042", "submission_101", "submission_102")
    assert len(group.students) == 2


@pytest.mark.parametrize(
    "text",
    [
        "name;email;sid\nAda Lovelace;ada@example.edu;1\nGrace Hopper;grace@example.edu;2\n",
        "\ufeffFirst Name,Last Name,SID,Email Address\nAda,Lovelace,1,ada@example.edu\nGrace,Hopper,2,g@example.edu\n",
        "identifier\tgithub_username\tname\n1\tada\tAda Lovelace\n2\tghopper\tGrace Hopper\n",
    ],
)
def test_a_roster_knows_students_by_whatever_names_one_of_them(handed_in, tmp_path, text):
    found = collect(handed_in("ada/", "mallory/"), roster(tmp_path, text))
    assert [(one.id, one.fault, one.notes) for one in found] == [
        ("1", "", ()),
        ("mallory", "", ("not on the roster",)),
        ("2", MISSING, ()),
    ]


def test_a_name_that_two_students_share_names_neither(handed_in, tmp_path):
    found = collect(handed_in("ada lovelace/"), roster(tmp_path, "id,name\n1,Ada Lovelace\n2,Ada Lovelace\n"))
    assert found[0].notes == ("not on the roster",)
    assert [one.id for one in found if one.is_missing] == ["1", "2"]


def test_two_folders_that_the_roster_takes_for_one_student_are_left_to_a_person(handed_in, tmp_path):
    (ada,) = collect(handed_in("ada/", "1.zip"), roster(tmp_path, "id,login\n1,ada\n"))
    assert "handed in 2 times: 1.zip, ada" in ada.fault


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("colour,shape\nred,round\n", "has no column with ids"),
        ("id,name\n1,Ada\n1,Grace\n", "row 3: 1 is in it twice"),
    ],
)
def test_a_roster_that_makes_no_sense_is_refused(tmp_path, text, says):
    with pytest.raises(Refused, match=says):
        roster(tmp_path, text)


def test_a_folder_that_makes_no_sense_is_refused(tmp_path):
    with pytest.raises(Refused, match="holds no submissions"):
        collect(tmp_path)
    with pytest.raises(Refused, match="is not there"):
        collect(tmp_path / "nowhere")
    (tmp_path / "class.zip").touch()
    with pytest.raises(Refused, match="is a file"):
        collect(tmp_path / "class.zip")
