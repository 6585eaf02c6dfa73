"""The configuration of a training run: its keys, read from a TOML file and checked."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .transformer import FeedForward, Norm, Position


@dataclass(frozen=True)
class TrainConfig:
    """The configuration of a training run. A TOML file has the same keys, all at the top level.

    Data
        train_data, valid_data: .npy files with one long array of token ids (uint16). They may be far larger than
            memory: memory-map them, and read only the windows that you need.
        out: the run's folder; it is created if it does not exist.
    Model
        vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta: see TransformerLM.
        norm, position, ffn: the ablations; see TransformerBlock.
        architecture: settings of the architecture lab (optional), a table of their own; see ArchitectureConfig, whose
            sizes and rope_theta are those above. On the command line: architecture.window=16. Without any, the model
            is the base model.
    Optimization
        batch_size: windows of context_length tokens per step.
        accumulation_steps: number of equal parts of a batch. They are computed one after the other, and their gradients
            add up before the optimizer's single step. This saves memory and changes nothing else: whatever the number
            of parts, a batch has the same windows and the same mean gradient. Divides batch_size.
        steps: number of updates of the weights, counted from 1.
        max_lr, min_lr, warmup_steps: step n has the learning rate of iteration n of the cosine schedule, which ends at
            the last step.
        beta1, beta2, eps, weight_decay: see AdamW.
        max_grad_norm: gradients are clipped to this joint l2 norm before every step.
    Evaluation and files
        eval_every: the validation loss is measured every eval_every steps, and after the last.
        eval_batches: the validation loss is the mean over the first eval_batches * batch_size windows of valid_data (or
            all, if there are fewer). The first window starts at token 0, and each next one starts where the last ended.
        checkpoint_every: a checkpoint is saved every checkpoint_every steps, and after the last.
    Machine
        seed: seeds the weights and the batches. On a CPU the same configuration gives the same weights, bit for bit.
        device: "cpu", "cuda" or "mps"; "auto" takes a GPU if there is one.
        dtype: "float32", or "bfloat16" for mixed precision: weights, gradients and loss stay in float32; matrix
            products run in bfloat16 (torch.autocast).

    Problem: training_together
    """

    train_data: str
    valid_data: str
    out: str

    vocab_size: int = 10_000
    context_length: int = 256
    d_model: int = 512
    num_layers: int = 4
    num_heads: int = 16
    d_ff: int = 1344
    rope_theta: float = 10_000.0
    norm: Norm = "pre"
    position: Position = "rope"
    ffn: FeedForward = "swiglu"
    architecture: dict[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    batch_size: int = 32
    accumulation_steps: int = 1
    steps: int = 40_000
    max_lr: float = 1e-3
    min_lr: float = 1e-4
    warmup_steps: int = 1000
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    max_grad_norm: float = 1.0

    eval_every: int = 500
    eval_batches: int = 20
    checkpoint_every: int = 1000

    seed: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"


def make_config(values: Mapping[str, Any]) -> TrainConfig:
    """Make a configuration from keys and values, and check it.

    A whole number is fine where a float is expected; True and False are not numbers.

    Raises:
        ValueError: a key is unknown or missing, a value has the wrong type, or values are impossible: sizes below 1, a
            d_model that num_heads does not divide, a batch_size that accumulation_steps does not divide, a warm-up
            longer than the run, and the like. The message is one sentence that names the key, and for an unknown key
            suggests the one that may have been meant.

    Problem: training_together
    """
    raise NotImplementedError("training_together: write make_config in cs336_basics/config.py")


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a configuration from a TOML file and change some of its values.

    Args:
        path: the file.
        overrides: strings such as "max_lr=3e-4" or "out=runs/second", which override the file. Text needs no quotes.
            A dot leads into a table, as in "architecture.window=16".

    Raises:
        ValueError: the file cannot be read or is not TOML, an override is not of the form key=value, or `make_config`
            refuses the values. The message is one sentence that names the file or the key.

    Problem: training_together
    """
    raise NotImplementedError("training_together: write load_config in cs336_basics/config.py")
