"""The leaderboard: what is measured of weights and what only believed, whatever a file holds, and who is first."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import pickle
import re
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from rich.console import Console

from grader.cases import assets
from grader.errors import Refused
from grader.kit.paths import FIXTURES, KIT
from grader.reference.bpe import train_bpe
from grader.reference.config import make_config
from grader.reference.prepare import save_tokenizer
from grader.reference.tokenizer import Tokenizer
from grader.reference.train import train
from grader.reference.transformer import TransformerLM
from grader.scoring.rubric import load_rubric
from grader.selftest.test_cluster import cluster
from grader.staff.class_run import ClassRun
from grader.staff.leaderboard import BoardEntry, BoardState, board_csv, board_lines, read_entry
from grader.staff.leaderboard_order import BoardOrder, board_of, read_text
from grader.staff.leaderboard_page import render_board
from grader.staff.leaderboard_run import BoardPiece, measure_one
from grader.staff.leaderboard_unit import measure
from grader.staff.unit import Options
from grader.staff.unit_process import Units

END = "<|endoftext|>"
MODEL: dict[str, Any] = {
    "vocab_size": 300,
    "context_length": 32,
    "d_model": 32,
    "num_layers": 2,
    "num_heads": 4,
    "d_ff": 96,
}
TEXT = assets.text("stories_valid.txt")[:6000]
RUN = Path("runs", "leaderboard")


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> Path:
    """A submission with a small model of the reference's, trained for a second."""
    root = tmp_path_factory.mktemp("honest") / "ada"
    run = root / RUN
    run.mkdir(parents=True)
    (root / "adapters.py").touch()
    text = FIXTURES / "text" / "stories.txt"
    vocab, merges = train_bpe(text, MODEL["vocab_size"], [END])
    save_tokenizer(vocab, merges, [END], root / "runs")
    tokenizer = Tokenizer(vocab, merges, [END])
    for name in ("stories", "stories_valid"):
        np.save(root / f"{name}.npy", np.array(tokenizer.encode(assets.text(f"{name}.txt")[:200_000]), dtype=np.uint16))
    (root / "runs" / "data.toml").write_text('train_text = "stories.txt"\nvalid_text = "stories_valid.txt"\n')
    how: dict[str, Any] = {
        "batch_size": 16,
        "steps": 60,
        "max_lr": 2e-2,
        "min_lr": 2e-3,
        "warmup_steps": 10,
        "eval_every": 30,
    }
    how |= {"eval_batches": 5, "checkpoint_every": 1000, "device": "cpu", "out": str(run)}
    data = {"train_data": str(root / "stories.npy"), "valid_data": str(root / "stories_valid.npy")}
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        train(make_config({**MODEL, **how, **data}))
    (run / "checkpoint.pt").unlink()
    for path in root.glob("*.npy"):
        path.unlink()
    return root


@pytest.fixture
def copy(honest, tmp_path) -> Path:
    """Another student's copy of it, to be changed."""
    return Path(shutil.copytree(honest, tmp_path / "class" / "grace"))


def weights_of(root: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(root / RUN / "model.safetensors")


def save_weights(root: Path, weights: dict[str, torch.Tensor]) -> None:
    safetensors.torch.save_file(weights, root / RUN / "model.safetensors")


def change_config(root: Path, **values: object) -> None:
    path = root / RUN / "config.toml"
    text = path.read_text()
    for key, value in values.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {json.dumps(value)}", text, flags=re.MULTILINE)
    path.write_text(text)


def loss_by_hand(root: Path) -> tuple[float, int]:
    """(nats per token, tokens) of the weights on `TEXT`, one window at a time."""
    model = TransformerLM(**{**MODEL, "context_length": 512}, rope_theta=10_000.0)
    model.load_state_dict(weights_of(root))
    ids = Tokenizer.from_files(root / "runs" / "vocab.json", root / "runs" / "merges.txt", [END]).encode(TEXT)
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(ids) - 1, 512):
            window = torch.tensor(ids[start : start + 513])
            logits = model(window[None, :-1])[0].double()
            total -= float(logits.log_softmax(-1)[torch.arange(len(window) - 1), window[1:]].sum())
    return total / (len(ids) - 1), len(ids) - 1


def test_the_loss_is_that_of_the_weights_at_512_tokens_and_not_what_is_claimed(honest):
    entry = measure(honest, TEXT)
    loss, tokens = loss_by_hand(honest)
    assert entry.state is BoardState.MEASURED
    assert entry.loss == pytest.approx(loss, abs=1e-4)
    assert entry.bits_per_byte == pytest.approx(loss * tokens / len(TEXT.encode()) / math.log(2), rel=1e-2)
    metrics = [json.loads(line) for line in (honest / RUN / "metrics.jsonl").read_text().splitlines()]
    assert entry.claimed == metrics[-1]["val_loss"]
    assert entry.vocab_size == 300
    assert entry.parameters == sum(weight.numel() for weight in weights_of(honest).values())
    assert entry.note == "trained and claimed at 32 tokens of context"


def test_a_claim_changes_no_measurement(copy):
    before = measure(copy, TEXT)
    path = copy / RUN / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], json.dumps({**json.loads(lines[-1]), "val_loss": 0.5})]))
    after = measure(copy, TEXT)
    assert (after.loss, after.claimed) == (before.loss, 0.5)
    assert "far from the claim" in after.says


def test_a_text_as_a_special_token_gains_nothing(copy):
    """Whoever chooses tokens could make one of the text itself; then nothing of it would be left to predict."""
    before = measure(copy, TEXT)
    path = copy / "runs" / "vocab.json"
    vocab = json.loads(path.read_text("utf-8"))
    vocab |= {f"<{TEXT[:2000]}>": 300, TEXT[2000:4000]: 301}
    path.write_text(json.dumps(vocab, ensure_ascii=False), "utf-8")
    assert measure(copy, TEXT).loss == before.loss


def test_tied_embeddings_are_measured(copy):
    weights = weights_of(copy)
    weights["lm_head.weight"] = weights["token_embeddings.weight"].clone()
    save_weights(copy, weights)
    untied = measure(copy, TEXT)
    save_weights(copy, {name: weight for name, weight in weights.items() if name != "lm_head.weight"})
    tied = measure(copy, TEXT)
    assert tied.loss == untied.loss
    assert "tied embeddings" in tied.note


class Bomb:
    """Unpickled, it leaves a file: a pickle can run anything."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def not_a_number(root: Path) -> None:
    weights = weights_of(root)
    weights["ln_final.weight"][3] = math.nan
    save_weights(root, weights)


def too_large_for_a_loss(root: Path) -> None:
    weights = weights_of(root)
    weights["lm_head.weight"] = 3e38 * weights["lm_head.weight"].sign()
    save_weights(root, weights)


def another_architecture(root: Path) -> None:
    save_weights(root, weights_of(root) | {"layers.0.moe.router.weight": torch.zeros(4, 32)})


def other_names(root: Path) -> None:
    save_weights(root, {f"_orig_mod.{name}": weight for name, weight in weights_of(root).items()})


def giant_shapes(root: Path) -> None:
    change_config(root, d_model=1 << 38, d_ff=1 << 39, num_layers=2)


def giant_layers(root: Path) -> None:
    change_config(root, num_layers=1 << 39)


def a_header_that_lies(root: Path) -> None:
    header = json.dumps({"lm_head.weight": {"dtype": "F32", "shape": [1 << 40, 1 << 20], "data_offsets": [0, 64]}})
    content = len(header).to_bytes(8, "little") + header.encode() + bytes(64)
    (root / RUN / "model.safetensors").write_bytes(content)


def a_header_without_end(root: Path) -> None:
    (root / RUN / "model.safetensors").write_bytes((1 << 60).to_bytes(8, "little") + bytes(64))


def a_pickle_by_that_name(root: Path) -> None:
    (root / RUN / "model.safetensors").write_bytes(pickle.dumps(Bomb(root / "owned")))


def only_a_pickle(root: Path) -> None:
    (root / RUN / "model.safetensors").unlink()
    (root / RUN / "model.pt").write_bytes(pickle.dumps(Bomb(root / "owned")))


def floats_of_eight_bits(root: Path) -> None:
    save_weights(root, {name: weight.to(torch.float8_e4m3fn) for name, weight in weights_of(root).items()})


def a_link_out(root: Path) -> None:
    (root / RUN / "model.safetensors").unlink()
    (root / RUN / "model.safetensors").symlink_to("/dev/zero")


def another_vocabulary(root: Path) -> None:
    change_config(root, vocab_size=7)


def no_bytes(root: Path) -> None:
    (root / "runs" / "vocab.json").write_text('{"x": 0}')
    (root / "runs" / "merges.txt").write_text("")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (not_a_number, "has values that are not finite"),
        (too_large_for_a_loss, "is not a number"),
        (another_architecture, "'layers.0.moe.router.weight' is no part of the model that config.toml describes"),
        (other_names, "is no part of the model"),
        (giant_shapes, "has shape"),
        (giant_layers, "too few for"),
        (a_header_that_lies, "is damaged, or not in the safetensors format"),
        (a_header_without_end, "is damaged, or not in the safetensors format"),
        (a_pickle_by_that_name, "is damaged, or not in the safetensors format"),
        (only_a_pickle, "model.pt is a pickle, which is never opened; hand in model.safetensors"),
        (floats_of_eight_bits, "weights are float32, float16 or bfloat16"),
        (a_link_out, "there is no runs/leaderboard/model.safetensors"),
        (another_vocabulary, "has shape"),
        (no_bytes, "cannot be encoded"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_measured_is_a_claim_and_a_sentence(copy, make, says):
    make(copy)
    entry = measure(copy, TEXT)
    assert entry.state is BoardState.CLAIMED
    assert entry.loss is None
    assert entry.claimed is not None
    assert says in entry.note
    assert entry.says.startswith("claimed, not recomputed: ")
    assert not (copy / "owned").exists()


def test_who_has_no_run_is_not_on_the_board(copy):
    shutil.rmtree(copy / RUN)
    assert measure(copy, TEXT).state is BoardState.NOTHING
    assert list(board_lines([("grace", measure(copy, TEXT))])) == []


def test_an_archive_that_is_a_bomb_is_a_sentence(tmp_path):
    path = tmp_path / "mallory.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("adapters.py", "")
        archive.writestr("runs/leaderboard/model.safetensors", bytes(64 << 20))
    entry = measure(path, TEXT)
    assert entry.state is BoardState.CLAIMED
    assert "as in a zip bomb" in entry.note


def test_ranks_go_by_bits_per_byte_and_claims_come_last():
    entries = {
        "ada": BoardEntry(BoardState.MEASURED, loss=4.0, bits_per_byte=1.25, claimed=4.0, vocab_size=32_000),
        "grace": BoardEntry(BoardState.MEASURED, loss=1.0, bits_per_byte=1.44, claimed=1.0, vocab_size=257),
        "alan": BoardEntry(BoardState.MEASURED, loss=4.0, bits_per_byte=1.25, claimed=3.9, vocab_size=32_000),
        "mallory": BoardEntry(BoardState.CLAIMED, claimed=0.1, note="=its weights are none"),
        "kurt": BoardEntry(BoardState.NOTHING),
        "late": BoardEntry(BoardState.FAILED, note="it took longer than 60 minutes."),
    }
    lines = list(board_lines(entries.items(), lambda id: f"s-{len(id)}"))
    assert [(line.rank, line.id) for line in lines] == [
        (1, "ada"), (1, "alan"), (3, "grace"), (None, "mallory"), (None, "late"),
    ]  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(board_csv(lines, anonymous=True))))
    assert [(row["id"], row["alias"], row["loss"], row["difference"]) for row in rows[:2]] == [
        ("ada", "s-3", "4.0", "0.0"), ("alan", "s-4", "4.0", "0.1"),
    ]  # fmt: skip
    assert rows[3]["note"] == "claimed, not recomputed: =its weights are none"
    assert "alias" not in board_csv(lines, anonymous=False).partition("\n")[0]
    assert "Vocabularies differ" in render_board(lines, "valid.txt", 6000, anonymous=False)


def test_the_page_escapes_what_it_shows_and_without_names_shows_none():
    hostile = '<script>owned = "page"</script>'
    lines = list(
        board_lines([("grace", BoardEntry(BoardState.CLAIMED, run="runs/grace", note=f"grace.zip {hostile}"))])
    )
    page = render_board(lines, "valid.txt", 6000, anonymous=False)
    assert "&lt;script&gt;owned" in page
    assert "<script" not in page
    lines = list(board_lines([("grace", lines[0].entry)], lambda _: "s-1"))
    page = render_board(lines, "valid.txt", 6000, anonymous=True)
    assert "s-1" in page
    assert "grace" not in page


def test_a_class_is_measured_once_and_the_page_is_linked(honest, tmp_path):
    """With real processes: an honest submission, an archive of one with a bomb in it, and one that cannot be."""
    folder, out = tmp_path / "class", tmp_path / "out"
    shutil.copytree(honest, folder / "ada")
    bomb = Path(shutil.copytree(honest, tmp_path / "bomb"))
    a_pickle_by_that_name(bomb)
    shutil.make_archive(str(folder / "mallory"), "zip", bomb)
    (folder / "notes.txt").touch()
    text = tmp_path / "valid.txt"
    text.write_text(TEXT)
    board = board_of(text, anonymous=True)
    run = ClassRun(folder, out, Options(), load_rubric(), console=Console(quiet=True))
    run.measure(board, jobs=1, limit_s=120)
    lines = "\n".join(run.close(board))
    assert "1 of 2 runs were measured, at 512 tokens of context" in lines
    rows = list(csv.DictReader((out / "leaderboard.csv").open(newline="")))
    assert [(row["rank"], row["id"], row["state"]) for row in rows] == [
        ("1", "ada", "measured"), ("", "mallory", "claimed"),
    ]  # fmt: skip
    assert float(rows[0]["loss"]) == pytest.approx(loss_by_hand(honest)[0], abs=1e-4)
    assert not (bomb / "owned").exists()
    page = (out / "leaderboard.html").read_text()
    assert rows[0]["alias"] in page
    assert "mallory" not in page
    assert 'href="leaderboard.html"' in (out / "index.html").read_text()

    again = ClassRun(folder, out, Options(), load_rubric(), console=Console(quiet=True))
    again.measure(board, jobs=1, limit_s=120, unit=(sys.executable, "-c", "raise SystemExit('it was measured again')"))
    assert {row.name: read_entry(row).state for row in (out / "reports").iterdir()} == {  # type: ignore[union-attr]
        "ada": BoardState.MEASURED, "mallory": BoardState.CLAIMED,
    }  # fmt: skip


def test_a_class_is_measured_on_a_cluster(honest, tmp_path):
    """By workers that are processes of their own, one of which dies in the middle; each run is measured once."""
    folder, out = tmp_path / "class", tmp_path / "out"
    names = [f"student{number}" for number in range(3)]
    for name in names:
        shutil.copytree(honest, folder / name)
    text = tmp_path / "valid.txt"
    text.write_text(TEXT)
    board = board_of(text)
    run = ClassRun(folder, out, Options(), load_rubric(), console=Console(quiet=True))
    with cluster(tmp_path, 2) as (address, workers):

        def kill_in_the_middle(line: str) -> None:
            if line.startswith("[1/"):
                workers[0].kill()

        run._screen.say = kill_in_the_middle  # type: ignore[assignment]
        run.measure(board, jobs=1, limit_s=120, scheduler=address)
    entries = {name: read_entry(out / "reports" / name) for name in names}
    losses = {entry.loss for entry in entries.values() if entry and entry.state == BoardState.MEASURED}
    assert len(losses) == 1, entries
    assert all(entry and entry.loss in losses for entry in entries.values()), entries
    assert losses.pop() == pytest.approx(loss_by_hand(honest)[0], abs=1e-4)
    assert "3 of 3 runs were measured" in "\n".join(run.close(board))
    rows = list(csv.DictReader((out / "leaderboard.csv").open(newline="")))
    assert sorted((row["rank"], row["id"]) for row in rows) == [("1", name) for name in names]


def test_what_hangs_costs_its_own_line_and_parts_are_measured_apart(honest, tmp_path):
    folder, out = tmp_path / "class", tmp_path / "out"
    for name in ("ada", "grace"):
        (folder / name).mkdir(parents=True)
    text = tmp_path / "valid.txt"
    text.write_text(TEXT)
    board = board_of(text)
    hangs = (sys.executable, "-c", "import time; time.sleep(60)")
    for part in ((1, 2), (2, 2)):
        run = ClassRun(folder, out, Options(), load_rubric(), part=part, console=Console(quiet=True))
        run.measure(board, jobs=1, limit_s=0.3, unit=hangs)
        assert len(list((out / "reports").glob("*/leaderboard.json"))) == part[0]
    entry = read_entry(out / "reports" / "ada")
    assert entry is not None
    assert (entry.state, entry.note) == (BoardState.FAILED, "it took longer than 0.005 minutes.")
    assert not entry.is_final


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_weights_that_need_more_memory_than_there_is_are_a_sentence(honest, tmp_path):
    """In the process that measures, with a bound of its own: 128 MiB more than it has when the bound is set."""
    weights = weights_of(copy := Path(shutil.copytree(honest, tmp_path / "grace")))
    save_weights(copy, weights | {"more": torch.zeros(40 << 20)})
    text = tmp_path / "valid.txt"
    text.write_text(TEXT)
    order = BoardOrder(str(copy), str(tmp_path / "out" / "reports" / "grace"), "asked", str(text), 6000)
    bounded = (
        "import sys\nfrom grader.staff import leaderboard_unit as unit\n"
        "used = next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmData:'))\n"
        "unit._MEMORY_MIB = used // 1024 + 128\nsys.exit(unit.main())"
    )
    entry = measure_one(order, limit_s=60, units=Units((sys.executable, "-c", bounded)))
    assert (entry.state, entry.loss) == (BoardState.CLAIMED, None)
    assert "GiB of memory" in entry.note, entry.note


def test_a_piece_of_work_goes_to_another_machine_as_it_is(tmp_path):
    """As a scheduler sends it: pickled."""
    order = BoardOrder("ada", str(tmp_path / "reports" / "ada"), "asked", "valid.txt", 6000)
    leaves_nothing = Units((sys.executable, "-c", "import sys; sys.exit('nothing can be read here')"))
    piece = pickle.loads(pickle.dumps(BoardPiece("ada", order, 60.0, False, leaves_nothing)))
    id, entry = piece()
    assert (id, entry.state, entry.note) == ("ada", BoardState.FAILED, "nothing can be read here")
    assert piece.lost(OSError("gone"))[1].note == "what was to measure it was lost: OSError: gone"


def test_the_text_is_cut_between_characters_and_must_be_one(tmp_path):
    path = tmp_path / "valid.txt"
    path.write_text("aé" * 1000, "utf-8")
    assert read_text(path, 2) == "a"
    assert read_text(path, 3) == "aé"
    assert read_text(path, 10_000) == "aé" * 1000
    path.write_bytes(b"\xff" * 5000)
    with pytest.raises(Refused, match="is not UTF-8 text"):
        board_of(path)
    path.write_text("short")
    with pytest.raises(Refused, match="5 bytes"):
        board_of(path)
    with pytest.raises(Refused, match="cannot be read"):
        board_of(KIT / "no such text")
