"""Experiments: honest run folders have full marks, and each kind of forgery fails the claim that it offends."""

from __future__ import annotations

import importlib.util
import inspect
import json
import math
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from grader.artifacts import measurement
from grader.artifacts.measurement import Reference
from grader.artifacts.run import Run, runs_of
from grader.artifacts.vocabulary import read_training, read_vocabulary
from grader.cases import assets
from grader.examination.runner import run_tests
from grader.kit.paths import TESTS
from grader.reference.tokenizer import Tokenizer
from grader.report.model import build_report
from grader.scoring.points import Status
from grader.scoring.rubric import load_rubric
from grader.selftest.experiments import COPIES, RUNS, SIZE, make
from grader.submission.faults import Fault, NothingToAssess
from grader.submission.files import Files
from grader.submission.locate import locate
from grader.wall.isolation import choose

TOKENIZERS = ("train_bpe_tinystories", "train_bpe_expts_owt")
PROBLEMS = [*TOKENIZERS, *dict.fromkeys(name.partition("/")[0] for name in RUNS), *COPIES, "experiment_log"]
REFERENCE = Reference()
ONLY_SAID = [("no_pos_emb", "position", "rope"), ("pre_norm_ablation", "norm", "pre")]


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("honest"))


@pytest.fixture
def copy(honest, tmp_path) -> Path:
    """A copy of the honest submission, to be tampered with."""
    return Path(shutil.copytree(honest, tmp_path / "copy"))


def verdicts(problem: str, root: Path) -> dict[str, str]:
    """What each claim about an experiment says: "" where it holds, "absent: ..." or the complaint."""
    spec = importlib.util.spec_from_file_location("claims", TESTS / f"test_{problem}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    claims = {name: claim for name, claim in vars(module).items() if name.startswith("test_")}
    return {name: _verdict(claim, problem, Files(root)) for name, claim in claims.items()}


def _verdict(claim: Callable[..., None], problem: str, files: Files) -> str:
    class Submission:
        pass

    Submission.files = files  # type: ignore[attr-defined]
    give: dict[str, Callable[[], Any]] = {
        "runs": lambda: runs_of(problem, files),
        "reference": lambda: REFERENCE,
        "remarks": lambda: lambda key: None,
        "for_staff": lambda: lambda question, answer: None,
        "submission": lambda: Submission,
        "training": lambda: read_training(files, f"runs/{problem}"),
        "vocabulary": lambda: read_vocabulary(files, f"runs/{problem}"),
    }
    try:
        claim(**{name: give[name]() for name in inspect.signature(claim).parameters})
    except NothingToAssess as fault:
        return f"absent: {fault.message}"
    except (AssertionError, Fault) as error:
        return str(error) or "failed"
    return ""


def offended(problem: str, root: Path) -> dict[str, str]:
    """The claims that do not hold."""
    return {name: complaint for name, complaint in verdicts(problem, root).items() if complaint}


def test_honest_experiments_have_full_marks(honest):
    problems = load_rubric().select(PROBLEMS)
    layout = locate(honest)
    isolation = choose("process", layout)
    run = run_tests(layout, problems, seed=1, isolation=isolation)
    report = build_report(
        "honest", load_rubric(), problems, run.planned, run.outcomes, run.explanations,
        policy={}, seed=1, isolation=isolation.as_json(), environment={"seconds": 0.0},
        for_staff=run.for_staff, left_out=run.left_out,
    )  # fmt: skip
    assert [outcome for outcome in run.outcomes if outcome.result != "pass"] == []
    by_hand = {"experiment_log", "leaderboard"}
    for problem in report.problems:
        expected = Status.NOT_ASSESSED if problem.problem.id in by_hand else Status.PASS
        assert problem.score.status is expected, problem.problem.id
    assert report.earned == report.assessed == sum(p.points for p in problems if p.id not in by_hand)


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p != "experiment_log"])
def test_without_a_folder_nothing_is_assessed(tmp_path, problem):
    assert all(complaint.startswith("absent: no runs/") for complaint in verdicts(problem, tmp_path).values())


# ---------------------------------------------------------------------------------------------------------------
# Forgeries. Each returns the word that the complaint has to contain.


def metrics(folder: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Change the records of a run; what `change` returns, if anything, takes their place."""
    path = folder / "metrics.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records = change(records) or records
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def config(folder: Path, **changes: Any) -> None:
    path = folder / "config.toml"
    lines = path.read_text().splitlines()
    for key, value in changes.items():
        (index,) = (i for i, line in enumerate(lines) if line.startswith(f"{key} ="))
        lines[index] = f"{key} = {json.dumps(value)}"
    path.write_text("\n".join(lines))


def weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    path = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    path.unlink()
    safetensors.torch.save_file(tensors, path)


def a_better_loss(run: Path) -> str:
    metrics(run, lambda records: records[-1].update(val_loss=records[-1]["val_loss"] - 0.05))
    return "the weights in model.safetensors have"


def a_loss_that_is_nan(run: Path) -> str:
    metrics(run, lambda records: records[-1].update(val_loss=math.nan))
    return "no run here reached its last step"


def a_loss_below_zero(run: Path) -> str:
    metrics(run, lambda records: records[3].update(train_loss=-1.0))
    return "a cross-entropy is 0 or more"


def a_step_twice(run: Path) -> str:
    metrics(run, lambda records: [*records[:50], *records[49:]])
    return "step 50 comes after one that is not before it"


def more_tokens(run: Path) -> str:
    metrics(run, lambda records: [r | {"tokens": r["tokens"] * 2} for r in records])
    return "tokens at step 1"


def another_rate(run: Path) -> str:
    metrics(run, lambda records: [r | {"lr": r["lr"] * 1.01} for r in records])
    return "the schedule gives"


def more_steps(run: Path) -> str:
    config(run, steps=60)
    return "outside 1 to 60"


def time_goes_back(run: Path) -> str:
    metrics(run, lambda records: records[-1].update(seconds=0.0))
    return "the time goes back"


def a_string_for_a_loss(run: Path) -> str:
    metrics(run, lambda records: records[0].update(train_loss="3.0"))
    return "train_loss is '3.0'"


def a_line_that_is_cut(run: Path) -> str:
    path = run / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    return "not valid JSON"


def deep_nesting(run: Path) -> str:
    (run / "metrics.jsonl").write_text("[" * 100_000)
    return "nested too deeply"


def other_weights(run: Path) -> str:
    shutil.copy(run.parents[0] / "learning_rate" / "2e-3" / "model.safetensors", run)
    return "is no part of the model"


def a_layer_too_few(run: Path) -> str:
    config(run, num_layers=3)
    return "layers.2"


def ten_billion_layers(run: Path) -> str:
    config(run, num_layers=10_000_000_000)
    return "too few for 10000000000 layers"


def a_huge_model(run: Path) -> str:
    config(run, d_model=1 << 30, num_heads=1 << 20)
    return "the configuration makes it"


def weights_that_are_nan(run: Path) -> str:
    weights(run, lambda tensors: tensors["lm_head.weight"].fill_(math.nan))
    return "not finite"


def a_truncated_file(run: Path) -> str:
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    return "damaged"


def a_pickle(run: Path) -> str:
    torch.save({"model": 1}, run / "model.safetensors")
    return "damaged"


def a_header_of_four_gigabytes(run: Path) -> str:
    (run / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 32) + b"{}")
    return "damaged"


def a_link(run: Path) -> str:
    (run / "model.safetensors").rename(run / "elsewhere")
    (run / "model.safetensors").symlink_to(run / "elsewhere")
    return "model.safetensors is a link"


def the_usual_model(run: Path) -> str:
    """The ablation that never was: the folder of the usual model, relabelled."""
    usual = run.parent / "learning_rate" / "2e-2"
    for name in ("model.safetensors", "metrics.jsonl"):
        shutil.copy(usual / name, run)
    return "is no part of the model"


ON_A_RUN = [
    a_better_loss, a_loss_that_is_nan, a_loss_below_zero, a_step_twice, more_tokens, another_rate, more_steps,
    time_goes_back, a_string_for_a_loss, a_line_that_is_cut, deep_nesting, other_weights, a_layer_too_few,
    ten_billion_layers, a_huge_model, weights_that_are_nan, a_truncated_file, a_pickle, a_header_of_four_gigabytes,
    a_link, the_usual_model,
]  # fmt: skip


@pytest.mark.parametrize("forge", ON_A_RUN, ids=lambda forge: forge.__name__)
def test_a_forged_run_fails(copy, forge):
    expected = forge(copy / "runs" / "layer_norm_ablation")
    complaints = offended("layer_norm_ablation", copy)
    assert complaints
    assert any(expected in complaint for complaint in complaints.values()), complaints
    assert not any(complaint.startswith("absent") for complaint in complaints.values())


WITH_CURVES = [problem for problem in PROBLEMS if problem not in (*TOKENIZERS, "generate", "experiment_log")]


def invent(run: Path, start: float = math.log(SIZE)) -> None:
    """Metrics on a straight line from `start` to the loss that the weights really have."""
    name = run_name(run)
    loss = Reference().validation_loss(Run(Files(run.parents[name.count("/")]), name))

    def line(records):
        steps = records[-1]["step"]
        return [
            record
            | {key: start + (loss - start) * record["step"] / steps for key in record if key.endswith("_loss")}
            | {"train_loss": start + (loss - start) * record["step"] / steps + len(str(run)) * 1e-6}
            for record in records
        ]

    metrics(run, line)


def run_name(run: Path) -> str:
    return "/".join(run.parts[run.parts.index("runs") :])


def run_folders(root: Path, problem: str) -> list[Path]:
    return sorted(path.parent for path in (root / "runs" / problem).rglob("model.safetensors"))


@pytest.mark.parametrize("problem", WITH_CURVES)
@pytest.mark.parametrize("scale", [0.02, 1.0])
def test_weights_of_chance_with_an_invented_curve_fail(copy, problem, scale):
    """All figures are true of the weights, and nothing was learnt: where ln(vocab_size) is 6, a loss may well be 20."""
    generator = torch.Generator().manual_seed(0)

    def draw(tensors):
        for tensor in tensors.values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)

    for run in run_folders(copy, problem):
        weights(run, draw)
        invent(run)
    complaints = offended(problem, copy)
    judged = next(claim for claim in complaints if claim.startswith("test_the_final_loss"))
    # Some weights of chance have no finite loss at all.
    assert "this model has learnt less than that" in complaints[judged] or "a finite val_loss" in complaints[judged]


@pytest.mark.parametrize("problem", [problem for problem in WITH_CURVES if "/" not in problem])
def test_an_invented_curve_of_true_weights_fails(copy, problem):
    for run in run_folders(copy, problem):
        invent(run)
    assert "test_the_curve_begins_as_a_training_does" in offended(problem, copy)


def test_a_run_too_large_to_repeat_is_not_assessed_in_that(copy, monkeypatch):
    monkeypatch.setattr(measurement, "_REPEATED_FLOPS", 1e6)
    complaints = offended("no_pos_emb", copy)
    assert set(complaints) == {"test_the_curve_begins_as_a_training_does"}
    assert complaints["test_the_curve_begins_as_a_training_does"].startswith("absent: ")


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"warmup_steps": -1}, "it must be 0 or more"), ({"steps": 0}, "1 or more"), ({"steps": 1 << 40}, "below")],
)
def test_a_value_out_of_bounds_is_told_its_bound(copy, changes, says):
    config(copy / "runs" / "no_pos_emb", **changes)
    assert all(says in complaint for complaint in offended("no_pos_emb", copy).values())


@pytest.mark.parametrize(("problem", "key", "usual"), ONLY_SAID)
def test_an_ablation_that_was_only_said_to_be_one_fails(copy, problem, key, usual):
    """Weights of the usual model have the same names and shapes; only their loss gives them away."""
    run = copy / "runs" / problem
    for name in ("model.safetensors", "metrics.jsonl"):
        shutil.copy(copy / "runs" / "learning_rate" / "2e-2" / name, run)
    assert set(offended(problem, copy)) == {"test_the_final_loss_is_that_of_the_weights"}
    config(run, **{key: usual})
    assert set(offended(problem, copy)) == {
        "test_the_model_is_what_it_is_said_to_be",
        "test_the_weights_are_at_home_in_this_architecture",
    }


def test_a_copied_curve_fails(copy):
    sweep = copy / "runs" / "learning_rate"
    shutil.rmtree(sweep / "2e-3")
    shutil.copytree(sweep / "2e-2", sweep / "2e-3")
    config(sweep / "2e-3", max_lr=2e-3, min_lr=2e-4)
    assert "the schedule gives" in offended("learning_rate", copy)["test_the_curves_belong_to_the_configurations"]
    metrics(sweep / "2e-3", lambda records: [r | {"lr": r["lr"] / 10} for r in records])
    complaints = offended("learning_rate", copy)
    assert "have the same losses, step by step" in complaints["test_the_curves_belong_to_the_configurations"]


def test_two_rates_are_no_sweep(copy):
    shutil.rmtree(copy / "runs" / "learning_rate" / "2e-3")
    assert set(offended("learning_rate", copy)) == {"test_at_least_three_rates"}


def test_a_sweep_in_which_all_is_well_has_not_gone_far_enough(copy):
    sweep = copy / "runs" / "learning_rate"
    shutil.rmtree(sweep / "1")
    shutil.copytree(sweep / "2e-3", sweep / "1e-3")
    config(sweep / "1e-3", max_lr=1e-3, min_lr=1e-4)
    metrics(sweep / "1e-3", lambda rs: [r | {"lr": r["lr"] / 2, "train_loss": r["train_loss"] + 1e-3} for r in rs])
    assert set(offended("learning_rate", copy)) == {"test_the_highest_rate_is_too_high"}


def test_a_run_that_diverged_and_stopped_is_part_of_a_sweep(copy):
    highest = copy / "runs" / "learning_rate" / "1"
    metrics(highest, lambda records: records[:30])
    (highest / "model.safetensors").unlink()
    assert not offended("learning_rate", copy)


def test_a_loss_may_explode_on_the_way(copy):
    highest = copy / "runs" / "learning_rate" / "1"
    metrics(highest, lambda records: [r | ({"train_loss": 2.4e12} if r["step"] == 30 else {}) for r in records])
    assert not offended("learning_rate", copy)


def test_what_changes_beside_the_rate_is_named(copy):
    config(copy / "runs" / "learning_rate" / "2e-3", d_ff=128)
    assert "differs from runs/learning_rate/1 in d_ff" in offended("learning_rate", copy)["test_at_least_three_rates"]


def test_without_weights_only_the_loss_is_not_assessed(copy):
    (copy / "runs" / "no_pos_emb" / "model.safetensors").unlink()
    complaints = offended("no_pos_emb", copy)
    assert set(complaints.values()) == {"absent: no runs/no_pos_emb/model.safetensors"}
    assert "test_the_curves_belong_to_the_configurations" not in complaints


def test_validation_on_another_text_is_not_assessed(copy):
    (copy / "runs" / "main_experiment" / "data.toml").write_text('valid_text = "owt_valid.txt"')
    complaints = offended("main_experiment", copy)
    assert complaints == {
        "test_the_final_loss_is_that_of_the_weights": (
            "absent: the validation text of runs/main_experiment, 'owt_valid.txt', does not come with the kit"
        ),
        "test_the_curve_begins_as_a_training_does": (
            "absent: the training text of runs/main_experiment does not come with the kit"
        ),
    }


# ---------------------------------------------------------------------------------------------------------------
# Samples


def sample(folder: Path, ids: list[int], text: str | None = None) -> None:
    (folder / "sample.json").write_text(json.dumps(ids))
    if text is not None:
        (folder / "sample.txt").write_bytes(text.encode())


@pytest.fixture
def generated(copy) -> Path:
    return copy / "runs" / "generate"


def tokenizer_of(copy: Path) -> Tokenizer:
    vocabulary = read_vocabulary(Files(copy), "runs")
    return Tokenizer(dict(vocabulary.tokens), list(vocabulary.merges), vocabulary.special_tokens)


def decoded(copy: Path, ids: list[int]) -> str:
    return read_vocabulary(Files(copy), "runs").decode(ids)


def test_noise_is_not_the_models_text(copy, generated):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, SIZE, (300,), generator=generator).tolist()
    sample(generated, ids, decoded(copy, ids))
    assert "finds its text unlikely" in offended("generate", copy)["test_the_model_wrote_it"]


def test_a_text_in_circles_is_idle(copy, generated):
    ids = json.loads((generated / "sample.json").read_text())[:8] * 32
    sample(generated, ids, decoded(copy, ids))
    assert "goes round in circles" in offended("generate", copy)["test_the_model_wrote_it"]


def test_training_text_is_not_generated_text(copy, generated):
    ids = REFERENCE.token_ids(read_vocabulary(Files(copy), "runs"), assets.text("stories.txt")[5000:6500])
    sample(generated, ids, decoded(copy, ids))
    assert set(offended("generate", copy)) == {"test_it_is_not_copied"}


def test_a_text_too_short_or_beside_its_ids_fails(copy, generated):
    ids = json.loads((generated / "sample.json").read_text())
    sample(generated, ids, "Once upon a time.")
    assert "is not the text of the ids" in offended("generate", copy)["test_the_text_is_that_of_the_ids"]
    sample(generated, ids[:100], decoded(copy, ids[:100]))
    assert "100 ids; 256 are asked for" in offended("generate", copy)["test_the_text_is_that_of_the_ids"]
    sample(generated, [*ids[:100], 0], decoded(copy, [*ids[:100], 0]))
    assert not offended("generate", copy)
    sample(generated, [*ids, SIZE])
    assert f"the id {SIZE} is not in runs" in offended("generate", copy)["test_the_text_is_that_of_the_ids"]


@pytest.mark.parametrize("content", ["[1, -2]", "[true]", '{"ids": [1.5]}', "[" * 10_000, "null", "[1e400]", '["a"]'])
def test_what_are_no_ids_is_refused(copy, generated, content):
    (generated / "sample.json").write_text(content)
    complaints = offended("generate", copy)
    assert len(complaints) == 3
    assert not any(complaint.startswith("absent") for complaint in complaints.values())


# ---------------------------------------------------------------------------------------------------------------
# Tokenizers


def tables(folder: Path, vocab: dict[str, int] | None = None, merges: list[str] | None = None) -> None:
    if vocab is not None:
        (folder / "vocab.json").write_text(json.dumps(vocab))
    if merges is not None:
        (folder / "merges.txt").write_text("\n".join(merges) + "\n")


@pytest.fixture
def trained(copy) -> Path:
    return copy / "runs" / "train_bpe_tinystories"


def test_swapped_merges_are_no_training(copy, trained):
    lines = (trained / "merges.txt").read_text().splitlines()
    vocab = json.loads((trained / "vocab.json").read_text())
    a, b = (line.replace(" ", "") for line in lines[20:22])
    lines[20], lines[21] = lines[21], lines[20]
    vocab[a], vocab[b] = vocab[b], vocab[a]
    tables(trained, vocab, lines)
    complaints = offended("train_bpe_tinystories", copy)
    assert set(complaints) == {"test_the_merges_are_learnt_from_the_text"}
    assert "merge 20 is (" in complaints["test_the_merges_are_learnt_from_the_text"]


def test_tables_that_contradict_one_another_are_named(copy, trained):
    vocab = json.loads((trained / "vocab.json").read_text())
    lines = (trained / "merges.txt").read_text().splitlines()
    claim = "test_the_tables_are_those_of_a_training"

    tables(trained, {token: id + 1 for token, id in vocab.items()}, lines)
    assert "without a gap" in offended("train_bpe_tinystories", copy)[claim]
    tables(trained, {("q" * 9 if token == "a" else token): id for token, id in vocab.items()}, lines)
    assert "256 single bytes are missing" in offended("train_bpe_tinystories", copy)[claim]
    tables(trained, vocab, [lines[0], "qqq zzz", *lines[2:]])
    assert "none before makes b'qqq'" in offended("train_bpe_tinystories", copy)[claim]
    tables(trained, vocab, [*lines, "z z z"])
    assert "not two tokens" in offended("train_bpe_tinystories", copy)[claim]
    tables(trained, vocab | {"a": vocab["b"]}, lines)
    assert "the same id" in offended("train_bpe_tinystories", copy)[claim]
    (trained / "vocab.json").write_text('{"a": 0, "a": 1}')
    assert "the same key twice" in offended("train_bpe_tinystories", copy)[claim]


@pytest.mark.parametrize("id", [-1, 1 << 40, 10**400, 1.5, None, True])
def test_what_is_no_id_is_refused(copy, trained, id):
    (trained / "vocab.json").write_text(json.dumps({"a": id}))
    assert "whole numbers from 0 on" in offended("train_bpe_tinystories", copy)["test_the_longest_token"]


def test_a_hundred_thousand_special_tokens_are_refused(copy, trained):
    vocab = json.loads((trained / "vocab.json").read_text())
    tables(trained, vocab | {f"<|{number}|>": len(vocab) + number for number in range(100_000)})
    complaint = offended("train_bpe_tinystories", copy)["test_the_tables_are_those_of_a_training"]
    assert "100,001 tokens are neither bytes nor made by a merge" in complaint


def claimed(folder: Path, **changes: Any) -> None:
    config(folder, **changes)


def test_a_longest_token_that_is_not_there(copy, trained):
    claimed(trained, longest_token="incomprehensibility")
    assert set(offended("train_bpe_tinystories", copy)) == {"test_the_longest_token"}


def foreign(folder: Path, merges: list[tuple[bytes, bytes]], size: int, text: str) -> None:
    """A tokenizer that says that it was trained on a text which the kit does not have."""
    from grader.reference.prepare import save_tokenizer

    vocab = dict(enumerate([b"<|endoftext|>", *(bytes([b]) for b in range(256)), *(a + b for a, b in merges)]))
    save_tokenizer(vocab, merges, ["<|endoftext|>"], folder)
    longest = max((a + b for a, b in merges), key=len).decode("utf-8", "replace")
    claimed(folder, text=text, vocab_size=size, longest_token=longest)


@pytest.mark.parametrize(
    ("problem", "size", "says"),
    [
        ("train_bpe_tinystories", 10_000, "more at home in stories"),
        ("train_bpe_expts_owt", 32_000, "where GPT-2 has them"),
    ],
)
def test_the_merges_of_gpt2_are_not_ones_own(copy, problem, size, says):
    merges = assets.load("gpt2/merges")[: size - 257]
    foreign(copy / "runs" / problem, merges, size, "somewhere/TinyStories.txt")
    complaints = offended(problem, copy)
    assert set(complaints) == {"test_the_merges_are_learnt_from_the_text"}
    assert says in complaints["test_the_merges_are_learnt_from_the_text"]


def test_merges_of_chance_are_not_learnt(copy, trained):
    generator = torch.Generator().manual_seed(0)
    merges: list[tuple[bytes, bytes]] = []
    known = {bytes([byte]) for byte in range(97, 123)}
    while len(merges) < 10_000 - 257:
        pool = sorted(known)
        a, b = (pool[int(torch.randint(len(pool), (), generator=generator))] for _ in range(2))
        if a + b not in known and len(a + b) < 12:
            merges.append((a, b))
            known.add(a + b)
        if len(known) > 300:
            known = {bytes([byte]) for byte in range(97, 123)} | {a + b for a, b in merges[-1:]}
            break
    pairs = [(bytes([a]), bytes([b])) for a in range(128, 256) for b in range(128, 256)]
    have = {a + b for a, b in merges}
    merges += [(a, b) for a, b in pairs if a + b not in have][: 10_000 - 257 - len(merges)]
    foreign(trained, merges, 10_000, "TinyStories.txt")
    assert set(offended("train_bpe_tinystories", copy)) == {"test_the_merges_are_learnt_from_the_text"}


def test_a_foreign_tokenizer_has_the_size_that_is_asked_for(copy, trained):
    claimed(trained, text="TinyStoriesV2-GPT4-train.txt")
    complaints = offended("train_bpe_tinystories", copy)
    assert "the assignment asks for 10,000 tokens" in complaints["test_the_tables_are_those_of_a_training"]


def test_a_log_names_every_run(copy):
    (copy / "runs" / "experiment_log" / "log.md").write_text("nothing")
    complaint = offended("experiment_log", copy)["test_the_log_names_every_run"]
    assert "does not name runs/batch_size_experiment/16" in complaint
