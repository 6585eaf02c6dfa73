"""The training loop: the whole assignment together, from a configuration file to a trained model.

    python -m cs336_basics.train configs/tiny.toml                            train
    python -m cs336_basics.train configs/tiny.toml out=runs/fast max_lr=1e-2  the same with two values changed
    python -m cs336_basics.train configs/tiny.toml out=runs/shared architecture.num_kv_heads=2   a variant of the lab
    python -m cs336_basics.train --help                                       all keys of a configuration

To resume an interrupted run from its last checkpoint, give the same command again.
"""

import sys
from collections.abc import Sequence

from .config import TrainConfig


def train(config: TrainConfig) -> float:
    """Train a model as the configuration says, or resume an interrupted run.

    A step draws a batch from train_data (`get_batch`), computes the cross-entropy of the model's logits, clips the
    gradients, and makes one AdamW update with the schedule's learning rate. The run's folder then holds:

        config.toml        the configuration, every key of it
        metrics.jsonl      one JSON object per line and step: `step` (from 1), `tokens` (seen so far), `seconds` (of
                           training so far), `lr` (used in this step), `train_loss` (of the step's batch, before the
                           update), and `val_loss` (after the update) if it was measured
        checkpoint.pt      the latest checkpoint. A finished new checkpoint replaces the old one in a single step, so a
                           complete one exists whenever the process ends, even by a power cut
        model.safetensors  at the end: the weights in float32, under the names that `run_transformer_lm` lists
        curve.svg          the learning curve: both losses over the steps (a .png is fine, too)
        vocab.json, merges.txt, data.toml
                           copies of the files next to train_data, if there are any: they say what the token ids mean
                           and what text the model was trained on

    If the folder has a checkpoint of the same configuration, the run resumes after it. It ends with exactly the same
    weights and metrics (except `seconds`) as without the interruption: no step is missing, and none appears twice.
    `out` and `device` may have changed. A complete run stays unchanged.

    Check everything that can be wrong before you write anything.

    Returns:
        The last validation loss.

    Raises:
        ValueError: the data cannot be read, has fewer than context_length + 1 tokens, or has ids of vocab_size or more;
            the device does not exist; the folder's run has another configuration, or its checkpoint is damaged. The
            message is one sentence; the folder stays unchanged.
        FloatingPointError: the loss is no longer finite; the metrics up to then are kept.

    Problem: training_together
    """
    raise NotImplementedError("training_together: write train in cs336_basics/train.py")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: `CONFIG.toml key=value ...`. Returns the exit status: 0, or 2 if the input must be corrected.

    Problem: training_together
    """
    raise NotImplementedError("training_together: write main in cs336_basics/train.py")


if __name__ == "__main__":
    sys.exit(main())
