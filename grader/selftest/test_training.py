"""The reference's command lines: from a text to a trained model that writes, and what they say when one is wrong."""

from __future__ import annotations

import dataclasses
import json
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from grader.cases import assets
from grader.kit.paths import KIT
from grader.reference import _forecast, prepare, pretokenization, sample, train
from grader.reference import config as configuration
from grader.reference.pretokenization import _count_pretokens
from grader.reference.tokenizer import Tokenizer

SMALL = ["d_model=16", "d_ff=32", "num_layers=1", "num_heads=2", "context_length=16", "batch_size=4", "steps=8"]
SMALL += ["warmup_steps=2", "eval_every=5", "eval_batches=2", "checkpoint_every=3", "device=cpu"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of eight steps on text of its own, made by the commands that the README shows."""
    folder = tmp_path_factory.mktemp("new-user")
    text = assets.text("stories_valid.txt")
    (folder / "train.txt").write_text(text[:20_000], "utf-8", newline="")
    (folder / "valid.txt").write_text(text[20_000:30_000], "utf-8", newline="")
    texts = ["--train", str(folder / "train.txt"), "--valid", str(folder / "valid.txt")]
    assert prepare.main([str(folder / "data"), *texts, "--vocab-size", "300"]) == 0
    paths = [f"train_data={folder}/data/train.npy", f"valid_data={folder}/data/valid.npy", f"out={folder}/run"]
    assert train.main([str(KIT / "configs" / "tiny.toml"), "vocab_size=300", *SMALL, *paths]) == 0
    return folder / "run"


def test_prepared_data_is_the_text(run: Path) -> None:
    """The token ids in the .npy files are those of the text, whatever the size of the blocks that it is written in."""
    data = run.with_name("data")
    tokenizer = Tokenizer.from_files(data / "vocab.json", data / "merges.txt", [prepare.END_OF_TEXT])
    text = run.with_name("train.txt").read_bytes().decode()
    ids = np.load(data / "train.npy")
    assert ids.dtype == np.uint16
    assert ids.tolist() == tokenizer.encode(text)
    assert tokenizer.decode(ids.tolist()) == text


HARD_TEXT = "it's  a\r\n\t \u00a0é\u3000日本語 🙂🙂  x y<|endoftext|>  <|a|><|endoftext|><|a|> \n\n  '" + "ab" * 40


@pytest.mark.parametrize("processes", [1, 2])
def test_a_text_that_is_encoded_in_shares_has_the_ids_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    """Cuts that would fall into special tokens, runs of white space and characters change nothing."""
    monkeypatch.setattr(prepare, "_BLOCK", 7)
    monkeypatch.setattr(prepare, "_SHARE_BYTES", 50)
    monkeypatch.setattr(pretokenization, "_SHARE_BYTES", 50)
    monkeypatch.setattr(pretokenization, "_READ_BYTES", 200)
    vocab = {number: bytes([number]) for number in range(256)} | {256: b"ab", 257: b"  ", 258: b" x"}
    merges = [(b"a", b"b"), (b" ", b" "), (b" ", b"x")]
    chance = random.Random(0)
    for special_tokens in ([], [prepare.END_OF_TEXT], ["<|a|>", "<|endoftext|><|a|>", "x y", "  "]):
        tokenizer = Tokenizer(vocab, merges, special_tokens)
        text = "".join(HARD_TEXT[at : at + 9] for at in (chance.randrange(len(HARD_TEXT)) for _ in range(150)))
        (tmp_path / "text.txt").write_bytes(text.encode())
        count = prepare.encode_file(tokenizer, tmp_path / "text.txt", tmp_path / "ids.npy", num_processes=processes)
        ids = np.load(tmp_path / "ids.npy", mmap_mode="r")
        assert ids.dtype == np.uint16
        assert ids.tolist() == Tokenizer(vocab, merges, special_tokens).encode(text)
        assert count == len(ids)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ids.npy", "text.txt"]


def test_what_cannot_be_encoded_into_a_file_is_said_in_a_sentence(tmp_path: Path) -> None:
    """No file is left half written, and one that was there stays."""
    vocab = {number: bytes([number]) for number in range(256)}
    text, out = tmp_path / "text.txt", tmp_path / "ids.npy"
    out.write_bytes(b"before")
    text.write_bytes(b"caf\xc3\xa9 \xc3")
    with pytest.raises(ValueError, match=r"text\.txt is not UTF-8: byte 6 is 0xc3"):
        prepare.encode_file(Tokenizer(vocab, []), text, out)
    text.write_bytes(b"")
    with pytest.raises(ValueError, match="the id 65536, but uint16 has room for ids up to 65,535"):
        prepare.encode_file(Tokenizer(vocab | {65_536: b"ab"}, []), text, out)
    with pytest.raises(FileNotFoundError, match="missing"):
        prepare.encode_file(Tokenizer(vocab, []), tmp_path / "missing.txt", out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ids.npy", "text.txt"]
    assert out.read_bytes() == b"before"
    assert prepare.encode_file(Tokenizer(vocab, []), text, out) == 0
    assert np.load(out).shape == (0,)


def test_a_trained_model_writes(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run's folder is all that generating text needs; what was generated lies in it."""
    assert sample.main([str(run), "--prompt", "One day", "--max-tokens", "12"]) == 0
    ids = json.loads((run / "sample.json").read_text())
    assert 1 <= len(ids) <= 12
    text = (run / "sample.txt").read_text("utf-8")
    assert capsys.readouterr().out == f"One day{text}\n"


def test_a_finished_run_needs_no_checkpoint_any_more(run: Path, tmp_path: Path) -> None:
    """Whoever deletes the large file of a run that is complete still has a complete run."""
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    (folder / "checkpoint.pt").unlink()
    text = (folder / "config.toml").read_text("utf-8").replace(str(run), str(folder))
    (folder / "config.toml").write_text(text, "utf-8")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    loss = train.train(configuration.load_config(folder / "config.toml"))
    assert loss == json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["val_loss"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "metrics.jsonl").write_text("", "utf-8")
    with pytest.raises(ValueError, match="of a complete run is missing or damaged"):
        train.train(configuration.load_config(folder / "config.toml"))


def test_the_documentation_names_each_file_once() -> None:
    """Of a run's folder, in its list of files."""
    listed = re.findall(r"^        (\S+\.\w+) {2,}", train.train.__doc__ or "", re.MULTILINE)
    assert len(listed) > 3
    assert len(set(listed)) == len(listed)


def test_a_finished_run_stays_as_it_is(run: Path) -> None:
    """Asking for it again changes no file and gives the same loss."""
    config = configuration.load_config(run / "config.toml")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    loss = train.train(config)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    assert loss == json.loads(before["metrics.jsonl"].splitlines()[-1])["val_loss"]


def test_a_moved_run_goes_on(run: Path, tmp_path: Path) -> None:
    """A run's folder may be moved between two halves of a run; only another configuration is refused."""
    config = dataclasses.replace(configuration.load_config(run / "config.toml"), out=str(tmp_path / "here"))
    train.train(config)
    (tmp_path / "here" / "model.safetensors").unlink()
    (tmp_path / "here").rename(tmp_path / "there")
    train.train(dataclasses.replace(config, out=str(tmp_path / "there")))
    same = [(folder / "model.safetensors").read_bytes() for folder in (run, tmp_path / "there")]
    assert same[0] == same[1]


def test_a_loss_that_is_not_finite_ends_the_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends with a sentence, and the metrics and the curve up to then are kept."""
    right = train._loss
    calls: list[int] = []

    def loss(*arguments):
        calls.append(1)
        return right(*arguments) * (float("nan") if len(calls) > 3 else 1)

    monkeypatch.setattr(train, "_loss", loss)
    config = dataclasses.replace(
        configuration.load_config(run / "config.toml"), out=str(tmp_path / "run"), eval_every=100
    )
    with pytest.raises(FloatingPointError, match="smaller max_lr"):
        train.train(config)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3
    assert (tmp_path / "run" / "curve.svg").exists()
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_bfloat16(run: Path, tmp_path: Path) -> None:
    """Mixed precision trains, keeps its weights in float32, and stays near the loss in full precision."""
    config = dataclasses.replace(
        configuration.load_config(run / "config.toml"), out=str(tmp_path / "run"), dtype="bfloat16"
    )
    full = train.train(configuration.load_config(run / "config.toml"))
    assert train.train(config) == pytest.approx(full, rel=0.02)


def test_training_leaves_torchs_generator_alone(run: Path, tmp_path: Path) -> None:
    """Whoever calls `train` finds random numbers as they would have been."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    train.train(dataclasses.replace(configuration.load_config(run / "config.toml"), out=str(tmp_path / "run")))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["max_lrr=1"], "'max_lrr'; did you mean 'max_lr'"),
        (["steps=1.5"], "steps is 1.5 (float); it must be a whole number"),
        (["steps=true"], "steps is True (bool)"),
        (["norm=batch"], "norm is 'batch'; it must be 'pre' or 'post' or 'none'"),
        (["steps"], "of the form key=value"),
        (["device=tpu"], "device is 'tpu'"),
        (["accumulation_steps=3"], "does not divide batch_size = 16"),
        (["eps=-1"], "eps is -1.0; it must be a finite number of 0 or more"),
        (["train_data=nowhere.npy"], "nowhere.npy cannot be read"),
    ],
)
def test_wrong_configurations(overrides: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong is one sentence on standard error, and the exit code is 2."""
    assert train.main([str(KIT / "configs" / "tiny.toml"), *overrides]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_overrides(tmp_path: Path) -> None:
    """Values on the command line are TOML, or text without quotes."""
    config = configuration.load_config(
        KIT / "configs" / "tiny.toml", ["max_lr=1", "out=runs/x", 'valid_data="a b.npy"', "seed=7"]
    )
    assert (config.max_lr, config.out, config.valid_data, config.seed) == (1.0, "runs/x", "a b.npy", 7)
    (tmp_path / "again.toml").write_text(configuration._as_toml(config), "utf-8")
    assert configuration.load_config(tmp_path / "again.toml") == config


def test_help_explains_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    """--help says what each key of a configuration means, and its default."""
    with pytest.raises(SystemExit):
        train.main(["--help"])
    text = capsys.readouterr().out
    for field in dataclasses.fields(configuration.TrainConfig):
        assert text.count(field.name) >= 2 - (field.default is dataclasses.MISSING), field.name


@pytest.mark.parametrize("path", sorted((KIT / "configs").glob("*.toml")), ids=lambda path: path.name)
def test_configurations_are_valid(path: Path) -> None:
    """Every configuration that comes with the kit can be read."""
    configuration.load_config(path)


def test_a_training_says_once_what_is_to_come(run: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    """After a per cent of the steps, but at least three: the first one is not like the others."""
    monkeypatch.setattr(_forecast, "_WORTH_SAYING_S", 0.0)
    paths = [f"{kind}_data={run.with_name('data') / kind}.npy" for kind in ("train", "valid")]
    given = ["vocab_size=300", *SMALL, *paths, f"out={tmp_path / 'again'}"]
    assert train.main([str(KIT / "configs" / "tiny.toml"), *given]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "more steps" in line]
    assert len(said) == 1
    assert re.fullmatch(r"5 more steps take about 0 s, and [\d.]+ [MG]iB of memory\.", said[0])


def test_a_short_training_says_nothing_of_what_is_to_come(capsys, run: Path, tmp_path: Path) -> None:
    paths = [f"{kind}_data={run.with_name('data') / kind}.npy" for kind in ("train", "valid")]
    given = ["vocab_size=300", *SMALL, *paths, f"out={tmp_path / 'again'}"]
    assert train.main([str(KIT / "configs" / "tiny.toml"), *given]) == 0
    assert "more steps" not in capsys.readouterr().out


def test_steps_and_evaluations_to_come_are_counted() -> None:
    config = configuration.load_config(
        KIT / "configs" / "tiny.toml", ["steps=1000", "eval_every=100", "eval_batches=30"]
    )
    found = _forecast._of_training(config, done=10, step_s=0.1, memory=1 << 30)
    assert found.seconds == pytest.approx(0.1 * (990 + 10 * 10))
    assert str(found) == "about 2 min, and 1.0 GiB of memory"


def test_a_large_text_is_tried_before_a_tokenizer_is_trained_on_it(tmp_path: Path, monkeypatch, capsys) -> None:
    text = assets.text("stories.txt")
    (tmp_path / "train.txt").write_text(text, "utf-8", newline="")
    (tmp_path / "valid.txt").write_text(text[:2_000], "utf-8", newline="")
    arguments = [str(tmp_path / "data"), "--train", str(tmp_path / "train.txt"), "--valid", str(tmp_path / "valid.txt")]
    assert prepare.main([*arguments, "--vocab-size", "300"]) == 0
    assert "Training the tokenizer" not in capsys.readouterr().out
    monkeypatch.setattr(_forecast, "_WORTH_ITS_TIME", 1000)
    assert prepare.main([*arguments, "--vocab-size", "300"]) == 0
    assert re.search(r"Training the tokenizer takes at most about \d+ s, and .+ of memory\.", capsys.readouterr().out)


def test_what_a_text_would_take_is_not_less_than_it_takes(tmp_path: Path, monkeypatch) -> None:
    """As far as memory goes, which is not a matter of how busy the machine is."""
    path = tmp_path / "text.txt"
    path.write_text(assets.text("english.txt") + assets.text("technical.txt"), "utf-8", newline="")
    monkeypatch.setattr(_forecast, "_WORTH_ITS_TIME", 1000)
    monkeypatch.setattr(_forecast, "_peak_memory", lambda: 0)
    found = _forecast._of_bpe(path, 500, [])
    assert found is not None
    counts = _count_pretokens(path, [], 1)
    needed = _forecast._letters(counts) * _forecast._PLACE_BYTES + len(counts) * _forecast._PRETOKEN_BYTES
    assert needed < found.memory < 10 * needed
