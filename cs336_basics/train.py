"""The training loop: everything of this assignment together, from a configuration file to a trained model.

    python -m cs336_basics.train configs/tiny.toml                            train
    python -m cs336_basics.train configs/tiny.toml out=runs/fast max_lr=1e-2  the same with two values changed
    python -m cs336_basics.train --help                                       what a configuration may say

A run that was interrupted goes on from its last checkpoint when the same command is given again.
"""

import sys
from collections.abc import Sequence

from .config import TrainConfig


def train(config: TrainConfig) -> float:
    """Train a model as the configuration says, or go on with a run that was interrupted.

    A step draws a batch from train_data (`get_batch`), computes the cross-entropy of the model's logits, clips the
    gradients, and lets AdamW make one update with the learning rate of the schedule. The run's folder then holds:

        config.toml        the configuration, all keys of it
        metrics.jsonl      one JSON object a line for each step: `step` (from 1), `tokens` (seen up to then), `seconds`
                           (of training up to then), `lr` (that the step was made with), `train_loss` (of its batch,
                           before the update), and `val_loss` where it was measured, after the update
        checkpoint.pt      the latest checkpoint. Whenever the process ends, even by a power cut, there is a complete
                           one: it is replaced in one step, by its finished successor
        model.safetensors  at the end: the weights in float32, under the names that `run_transformer_lm` lists
        curve.svg          the learning curve: both losses over the steps (a .png is as good)
        vocab.json, merges.txt, data.toml
                           copies of those beside train_data, if there are any: the folder then says what its token ids
                           mean, and what text it was trained on

    If the folder has a checkpoint of the same configuration, the run goes on after it, and ends with the very weights
    and metrics (but for `seconds`) that it would have had without the interruption: no step is missing, and none is
    there twice. `out` and `device` may have changed. A run that is complete stays as it is.

    Everything that can be wrong is found before anything is written.

    Returns:
        The last validation loss.

    Raises:
        ValueError: data that cannot be read, has fewer than context_length + 1 tokens, or has ids of vocab_size or
            more; a device that is not there; a folder whose run has another configuration, or whose checkpoint is
            damaged. One sentence; what is in the folder stays as it was.
        FloatingPointError: the loss is not finite any more; the metrics up to then are kept.

    Problem: training_together
    """
    raise NotImplementedError("training_together: write train in cs336_basics/train.py")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: `CONFIG.toml key=value ...`; gives the exit status, 2 when there is something to correct.

    Problem: training_together
    """
    raise NotImplementedError("training_together: write main in cs336_basics/train.py")


if __name__ == "__main__":
    sys.exit(main())
