"""What the reference's training loop reaches on real text, beside the best that a bigram model can do there.

    python -m benchmarks.training        (a minute or two)

Shakespeare and other English, byte by byte; every tenth paragraph is held out. The loss is measured on those from the
weights that the run leaves, as the grader does it.
"""

from __future__ import annotations

import importlib
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from grader.artifacts.held_out import bigram_loss, english, held_out_loss
from grader.artifacts.run import Run
from grader.reference.config import make_config
from grader.reference.train import train
from grader.submission.files import Files
from grader.submission.in_process import InProcess

CONFIG = {
    "vocab_size": 256,
    "context_length": 64,
    "d_model": 96,
    "num_layers": 3,
    "num_heads": 4,
    "d_ff": 256,
    "batch_size": 16,
    "steps": 800,
    "max_lr": 6e-3,
    "min_lr": 6e-4,
    "warmup_steps": 50,
    "beta2": 0.98,
    "eval_every": 100,
    "eval_batches": 8,
    "device": "cpu",
}


def main() -> None:
    """Train, measure and print."""
    train_tokens, valid_tokens = english()
    with tempfile.TemporaryDirectory() as name:
        paths = {key: str(Path(name, f"{key}.npy")) for key in ("train_data", "valid_data")}
        np.save(paths["train_data"], train_tokens)
        np.save(paths["valid_data"], valid_tokens)
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
        train(make_config({**CONFIG, **paths, "out": str(Path(name, "run"))}))
        seconds = time.perf_counter() - start
        cpu_seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
        run = Run(Files(name), "run")
        reference = InProcess(importlib.import_module("grader.reference.adapters"))
        loss = held_out_loss(reference.perform, run.config, run.weights, valid_tokens)
    bigram = bigram_loss(train_tokens, valid_tokens, run.config.vocab_size)
    print(f"training        {seconds:.0f} s, {cpu_seconds:.0f} s of them of a core's time")
    print(f"held-out text   {loss:.3f} nats per byte")
    print(f"bigram model    {bigram:.3f} nats per byte")


if __name__ == "__main__":
    main()
