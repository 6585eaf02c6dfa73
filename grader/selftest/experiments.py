"""A submission with experiments: small models, trained by the reference in a second or two each, with their folders."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from grader.cases import assets
from grader.kit.paths import FIXTURES
from grader.reference.bpe import train_bpe
from grader.reference.config import make_config
from grader.reference.prepare import save_tokenizer
from grader.reference.tokenizer import Tokenizer
from grader.reference.train import train
from grader.reference.transformer import TransformerLM

END = "<|endoftext|>"
SIZE = 400
MODEL = {"vocab_size": SIZE, "context_length": 32, "d_model": 32, "num_layers": 2, "num_heads": 4, "d_ff": 96}
"""In the order of TransformerLM's arguments."""
TRAINING = {
    "batch_size": 16,
    "steps": 240,
    "max_lr": 2e-2,
    "min_lr": 2e-3,
    "warmup_steps": 10,
    "eval_every": 40,
    "eval_batches": 5,
    "checkpoint_every": 1000,
    "device": "cpu",
}
RUNS: dict[str, dict[str, Any]] = {
    "learning_rate/2e-2": {},
    "learning_rate/2e-3": {"max_lr": 2e-3, "min_lr": 2e-4},
    "learning_rate/1": {"max_lr": 1.0, "min_lr": 1e-1},
    "batch_size_experiment/2": {"batch_size": 2, "eval_batches": 40},
    "batch_size_experiment/4": {"batch_size": 4, "eval_batches": 20},
    "batch_size_experiment/16": {"accumulation_steps": 2},
    "layer_norm_ablation": {"norm": "none"},
    "pre_norm_ablation": {"norm": "post"},
    "no_pos_emb": {"position": "none"},
    "swiglu_ablation": {"ffn": "silu", "d_ff": 128},
}
COPIED = "learning_rate/2e-2"
COPIES = ("generate", "main_experiment", "leaderboard")
"""Experiments whose run is that one, with a text drawn from its model."""


def make(root: Path) -> Path:
    """Write `runs/` with every experiment below `root`, and adapters that offer nothing."""
    (root / "adapters.py").write_text("", "utf-8")
    runs = root / "runs"
    runs.mkdir()
    tokenizer = _tokenizer(runs, "stories.txt", SIZE)
    for text in ("stories", "stories_valid"):
        np.save(root / f"{text}.npy", np.array(tokenizer.encode(assets.text(f"{text}.txt")), dtype=np.uint16))
    (runs / "data.toml").write_text('train_text = "stories.txt"\nvalid_text = "stories_valid.txt"\n', "utf-8")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the models are tiny
    data = {"train_data": str(root / "stories.npy"), "valid_data": str(root / "stories_valid.npy")}
    for name, changes in RUNS.items():
        (runs / name).mkdir(parents=True)
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            train(make_config({**MODEL, **TRAINING, **data, **changes, "out": str(runs / name)}))
        (runs / name / "checkpoint.pt").unlink()
    torch.set_num_threads(threads)
    first, *others = COPIES
    shutil.copytree(runs / COPIED, runs / first)
    write_sample(runs / first, tokenizer)
    for name in others:
        shutil.copytree(runs / first, runs / name)
    for name, text, size in (
        ("train_bpe_tinystories", "stories.txt", SIZE),
        ("train_bpe_expts_owt", "english.txt", 500),
    ):
        (runs / name).mkdir()
        _tokenizer(runs / name, text, size)
    log = runs / "experiment_log"
    log.mkdir()
    (log / "log.md").write_text("\n".join(f"- {name}: as expected" for name in [*RUNS, *COPIES]), "utf-8")
    return root


def write_sample(folder: Path, tokenizer: Tokenizer, temperature: float = 1.0) -> None:
    """Draw 256 tokens from a run's model, one at a time, and write `sample.json` and `sample.txt`."""
    import safetensors.torch

    vocab_size, context_length, d_model, num_layers, num_heads, d_ff = MODEL.values()
    model = TransformerLM(vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta=10_000.0)
    model.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
    generator = torch.Generator().manual_seed(0)
    ids = tokenizer.encode("Once")
    with torch.no_grad():
        while len(ids) < 256:
            logits = model(torch.tensor([ids[-MODEL["context_length"] :]]))[0, -1]
            ids.append(int(torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=generator)))
    (folder / "sample.json").write_text(json.dumps(ids), "utf-8")
    (folder / "sample.txt").write_bytes(tokenizer.decode(ids).encode())


def _tokenizer(folder: Path, text: str, size: int) -> Tokenizer:
    """Train a tokenizer and write its files, with the configuration that goes with them."""
    vocab, merges = _trained(text, size)
    save_tokenizer(vocab, merges, [END], folder)
    longest = max((token for token in vocab.values() if token != END.encode()), key=len).decode()
    if folder.name != "runs":
        (folder / "config.toml").write_text(
            f'text = "{text}"\nvocab_size = {size}\nspecial_tokens = ["{END}"]\n'
            f"longest_token = {json.dumps(longest)}\nseconds = 1.5\npeak_memory_mib = 90\n",
            "utf-8",
        )
    return Tokenizer(vocab, merges, [END])


@functools.cache
def _trained(text: str, size: int) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    return train_bpe(FIXTURES / "text" / text, size, [END])
