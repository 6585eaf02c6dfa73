"""The configuration of a training run: its keys, read from a TOML file and checked."""

import dataclasses
import difflib
import inspect
import json
import math
import os
import tomllib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .architecture.language_model import ArchitectureConfig, check_config
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
    known = {field.name: field for field in dataclasses.fields(TrainConfig)}
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            meant = f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(known)}."
            raise ValueError(f"The configuration has an unknown key {key!r}; {meant}")
    missing = [key for key, field in known.items() if _is_required(field) and key not in values]
    if missing:
        raise ValueError(f"The configuration lacks {', '.join(missing)}.")
    types = typing.get_type_hints(TrainConfig)
    config = TrainConfig(**{key: _typed(key, value, types[key]) for key, value in values.items()})
    _check_values(config)
    return config


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
    try:
        values = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}.") from error
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ValueError(f"{override!r} should be of the form key=value, such as max_lr=3e-4.")
        table, dot, setting = key.strip().rpartition(".")
        place = values.setdefault(table, {}) if dot else values
        if not isinstance(place, dict):
            raise ValueError(f"{override!r} is a setting of {table}, which is {place!r} and no table.")
        place[setting] = _parsed(text.strip())
    return make_config(values)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _typed(key: str, value: Any, kind: Any) -> Any:
    """The value as the type of its field, if it may be."""
    if typing.get_origin(kind) is dict:
        kind = dict
    allowed = typing.get_args(kind)
    if allowed:
        if value not in allowed or not isinstance(value, str):
            raise ValueError(f"{key} is {value!r}; it must be {' or '.join(map(repr, allowed))}.")
        return value
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        named = {int: "a whole number", float: "a number", str: "text", dict: "a table of settings"}[kind]
        raise ValueError(f"{key} is {value!r} ({type(value).__name__}); it must be {named}.")
    return value


def _check_values(config: TrainConfig) -> None:
    for key, value in dataclasses.asdict(config).items():
        if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{key} is {value}; it must be a finite number of 0 or more.")
        if isinstance(value, int) and value < (key not in ("seed", "warmup_steps")):
            raise ValueError(f"{key} is {value}; it must be {int(key not in ('seed', 'warmup_steps'))} or more.")
    for key in ("beta1", "beta2"):
        if getattr(config, key) >= 1:
            raise ValueError(f"{key} is {getattr(config, key)}; it must be below 1.")
    if config.architecture:
        check_config(_architecture_of(config))
    elif config.d_model % config.num_heads:
        raise ValueError(f"num_heads is {config.num_heads}, which does not divide d_model = {config.d_model}.")
    elif config.position == "rope" and config.d_model // config.num_heads % 2:
        raise ValueError(
            f"RoPE needs an even number of features per head, but d_model / num_heads is "
            f"{config.d_model // config.num_heads}."
        )
    if config.batch_size % config.accumulation_steps:
        raise ValueError(
            f"accumulation_steps is {config.accumulation_steps}, which does not divide "
            f"batch_size = {config.batch_size}."
        )
    if config.warmup_steps > config.steps:
        raise ValueError(f"warmup_steps is {config.warmup_steps}, but the run has only {config.steps} steps.")
    if config.min_lr > config.max_lr:
        raise ValueError(f"min_lr is {config.min_lr}, which is more than max_lr = {config.max_lr}.")


def _architecture_of(config: TrainConfig) -> ArchitectureConfig:
    """The lab's configuration of a run that has one."""
    for key, usual in (("norm", "pre"), ("position", "rope"), ("ffn", "swiglu")):
        if getattr(config, key) != usual:
            raise ValueError(
                f"{key} is {getattr(config, key)!r}, but architecture has settings, too, and says that itself; leave "
                f"{key} out."
            )
    sizes = ("vocab_size", "context_length", "d_model", "num_layers", "num_heads", "d_ff", "rope_theta")
    known = [field.name for field in dataclasses.fields(ArchitectureConfig) if field.name not in sizes]
    for key in config.architecture:
        if key not in known:
            raise ValueError(f"architecture has an unknown setting {key!r}; the settings are {', '.join(known)}.")
    return ArchitectureConfig(**{size: getattr(config, size) for size in sizes}, **config.architecture)


def _parsed(text: str) -> Any:
    """A value from the command line: a TOML value if it is one, else text as it is."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _as_toml(config: TrainConfig) -> str:
    """Every key in a line of its own; JSON's strings, numbers and truth values are TOML's too. Tables come last."""
    values = dataclasses.asdict(config)
    architecture = values.pop("architecture")
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items()]
    if architecture:
        lines += ["\n[architecture]\n", *(f"{key} = {json.dumps(value)}\n" for key, value in architecture.items())]
    return "".join(lines)


def _describe_keys() -> str:
    """TrainConfig's documentation with the defaults below, for --help."""
    text = inspect.cleandoc(TrainConfig.__doc__ or "").rpartition("\n\nProblem:")[0]
    defaults = (f for f in dataclasses.fields(TrainConfig) if f.default is not dataclasses.MISSING)
    return f"{text}\n\nDefaults\n" + "".join(f"    {f.name} = {json.dumps(f.default)}\n" for f in defaults)
