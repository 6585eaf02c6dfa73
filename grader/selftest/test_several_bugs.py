"""Several bugs in one program: planted together they all show, they end, and each gets its name."""

from __future__ import annotations

import time
import types

import pytest
import torch

from grader.diagnosis.attribution import Attribution
from grader.diagnosis.fingerprint import fingerprint_transcript
from grader.diagnosis.known_bugs import load_known_bugs
from grader.diagnosis.planting import can_be_together, planted
from grader.diagnosis.time_limit import OutOfTime, TimeLimit
from grader.diagnosis.trying import Trying, Wrong
from grader.misconceptions.catalogue import Misconception, load_catalogue
from grader.misconceptions.together import together
from grader.reference import adapters
from grader.scoring.outcome import Explanation
from grader.selftest import diagnosis
from grader.trials.trial import try_variant


def misconceptions(*ids: str) -> list[Misconception]:
    catalogue = {known.id: known for known in load_catalogue()}
    return [catalogue[id] for id in ids]


def test_two_wrong_parts_of_one_function_are_both_wrong():
    """Each replaces attention as a whole; one after the other, the second would hide the first."""
    scale, fill = misconceptions("attention-without-scale", "attention-mask-fills-too-little")
    Q, K, V = torch.randn(3, 2, 5, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    expected = torch.softmax((Q @ K.mT).masked_fill(~mask, -10.0), -1) @ V
    with planted([scale, fill]):
        torch.testing.assert_close(adapters.run_scaled_dot_product_attention(Q, K, V, mask), expected)


def test_two_wrong_methods_of_one_class_are_both_wrong(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"ab ab\r\nab cd")
    with planted(misconceptions("bpe-text-mode", "bpe-special-tokens-not-in-vocabulary")):
        vocab, merges = adapters.run_train_bpe(path, 260, ["<|x|>"])
    assert len(vocab) == 256 + len(merges)
    assert not any(b"\r" in left + right for left, right in merges)


def test_what_one_program_cannot_have_at_once_is_told():
    assert not can_be_together(misconceptions("cross-entropy-sum", "cross-entropy-bits"))
    assert not can_be_together(misconceptions("tokenizer-longest-match", "tokenizer-first-merge-found"))
    assert can_be_together(misconceptions("tokenizer-longest-match", "tokenizer-decodes-strictly"))


def test_a_fresh_process_finds_all_that_is_planted():
    both = together(misconceptions("bpe-text-mode", "bpe-ties-by-ids"))
    assert both.address.split() == ["train_bpe:bpe-text-mode", "train_bpe:bpe-ties-by-ids"]
    form = misconceptions("bpe-ties-to-first-seen")[0].every_form[1]
    assert form.address == "train_bpe:bpe-ties-to-first-seen#1"


@pytest.mark.parametrize("known", [known for known in load_catalogue() if known.forms], ids=lambda known: known.id)
def test_every_form_replaces_something_else(known):
    forms = [form.replaces for form in known.every_form]
    assert all(one != other for i, one in enumerate(forms) for other in forms[:i])
    with known.every_form[-1].planted():
        pass


def test_a_planted_bug_that_loops_is_interrupted():
    def loops(*_, **__):
        while True:
            try:
                while True:
                    pass
            except Exception:  # as wrong code may
                continue

    looping = Misconception("x", "softmax", {"attention.softmax": loops}, "", "", "rare")
    x = torch.zeros(2, 3)
    asked = (("run_softmax", {"in_features": x, "dim": -1}),)
    began = time.monotonic()
    trying = Trying((), TimeLimit(0.3))
    assert not trying._gives([looping], Wrong("t", False, asked, fingerprint_transcript([x])))
    assert time.monotonic() - began < 5
    with pytest.raises(OutOfTime), TimeLimit(0.0).within(1):
        pass


def explained(problem: str, *ids: str) -> dict[str, Explanation]:
    """What a grade says of the tests of a problem, on stored cases, to whoever has these bugs."""
    attribution = Attribution({problem: ()})
    try_variant(together(misconceptions(*ids)), problem, attribution=attribution)
    return attribution.explain()


@pytest.mark.parametrize(
    ("problem", "ids"),
    [
        ("rmsnorm", ("rmsnorm-eps-outside-root", "rmsnorm-gain-starts-at-zero")),
        ("learning_rate_schedule", ("learning-rate-schedule-no-warmup", "learning-rate-schedule-whole-cosine")),
        ("scaled_dot_product_attention", ("attention-without-scale", "attention-mask-must-not-broadcast")),
    ],
)
def test_two_bugs_of_one_problem_are_both_named(problem, ids):
    """The second and third pair fail most tests together, so that neither leaves its trace there."""
    assert {explanation.bug for explanation in explained(problem, *ids).values()} == set(ids)


def test_few_unforeseen_bugs_get_a_wrong_name():
    """Each misconception left out in turn, by the stored evidence."""
    problems = list(dict.fromkeys(bug.problem for bug in load_known_bugs()))
    tests = {
        problem: dict.fromkeys((t for bug in load_known_bugs() for t in bug.evidence.get(problem, ())), "")
        for problem in problems
    }
    looks = diagnosis.left_out(problems, tests)
    guessed = [look for look in looks if look.unforeseen]
    assert len(guessed) <= diagnosis.MISNAMED * len(looks), guessed
    assert sum(look.named == {look.bug} for look in looks) >= 0.95 * len(looks)


def test_pairs_are_drawn_alike_and_fit():
    drawn = diagnosis.draw_pairs(["rope", "softmax", "tokenizer"], 8)
    assert drawn == diagnosis.draw_pairs(["rope", "softmax", "tokenizer"], 8)
    assert len(drawn) == len(set(drawn)) == 8
    assert {problem for problem, _, _ in drawn} == {"rope", "tokenizer"}  # softmax is one function as a whole


def test_pairs_of_a_sample_get_their_names():
    tried = [diagnosis.try_pair(*pair) for pair in diagnosis.draw_pairs(["rmsnorm", "learning_rate_schedule"], 10)]
    shown = [pair for pair in tried if not pair.hidden]
    assert sum(pair.are_both_named for pair in shown) >= diagnosis.BOTH_NAMED * len(shown), shown
    assert not [pair for pair in shown if pair.wrong]


def test_judgements_are_of_entries_and_known_bugs():
    names = {entry.name for entry in diagnosis.entries()}
    bugs = {bug.id for bug in load_known_bugs()}
    for entry, verdicts in diagnosis.judged().items():
        assert entry in names
        assert verdicts.keys() <= bugs, entry


@pytest.mark.parametrize("name", ["softmax_01", "cross_entropy_02", "rope_05"])
def test_a_new_name_in_the_bank_is_a_change(name):
    """Whoever makes an entry get another name has to judge it: `python -m grader.selftest.diagnosis --bank`."""
    (entry,) = diagnosis.entries(names=[name])
    told = diagnosis.tell(entry)
    assert told.caught
    assert dict.fromkeys(told.names, True) == diagnosis.judged().get(name, {})


def test_an_entry_has_its_own_adapters_and_those_of_the_reference(tmp_path):
    (entry,) = diagnosis.entries(names=["softmax_01"])
    text = (diagnosis.submission_of(entry, tmp_path) / "adapters.py").read_text("utf-8")
    assert "from softmax_01 import run_softmax" in text
    assert isinstance(adapters, types.ModuleType)
