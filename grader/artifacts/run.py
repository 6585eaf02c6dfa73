"""A run folder: what one training run leaves behind.

    config.toml              the configuration, all keys of it
    metrics.jsonl            one JSON object a line: step, tokens, seconds, lr, train_loss, and val_loss where measured
    model.safetensors        the weights
    vocab.json, merges.txt   the tokenizer that made its data, here or in a folder above, up to `runs`
    data.toml                valid_text: the text that its validation data was made of; here or above, too

An experiment is such a folder, `runs/<problem>/`, or several in it. Everything in it is somebody's claim; what can be
recomputed from the configuration is, in `consistency.py`; what needs the reference model is in `measurement.py`.
"""

from __future__ import annotations

import contextlib
import functools
import math
from dataclasses import dataclass, fields
from typing import Any

import safetensors
import safetensors.torch
import torch

from ..kit.paths import FIXTURES
from ..submission.faults import NothingToAssess, WrongResult
from ..submission.files import Files
from .parsing import parse_json, parse_toml, shown
from .vocabulary import Vocabulary, read_vocabulary

MIB = 1 << 20
_CONFIG_LIMIT, _METRICS_LIMIT, _WEIGHTS_LIMIT, _SAMPLE_LIMIT = 1 << 16, 32 * MIB, 768 * MIB, 1 << 18
_MOST_RUNS, _MOST_RECORDS, _MOST_IDS = 100, 300_000, 8192
_LARGEST = 1 << 40
_WEIGHTS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
"""What can be computed with; torch has no more than storage for the floats of eight bits."""
_CHOICES = {"norm": ("pre", "post", "none"), "position": ("rope", "none"), "ffn": ("swiglu", "silu")}


@dataclass(frozen=True)
class Config:
    """What of a run's configuration is needed to judge it; the keys are those of TrainConfig."""

    vocab_size: int
    context_length: int
    d_model: int
    num_layers: int
    num_heads: int
    d_ff: int
    rope_theta: float
    norm: str
    position: str
    ffn: str
    batch_size: int
    accumulation_steps: int
    steps: int
    max_lr: float
    min_lr: float
    warmup_steps: int
    eval_every: int
    eval_batches: int
    dtype: str = "float32"


@dataclass(frozen=True)
class Record:
    """One line of metrics. A loss that is not finite is `math.inf`, one that was not measured None."""

    step: int
    tokens: int
    seconds: float
    lr: float
    train_loss: float
    val_loss: float | None


@dataclass(frozen=True)
class Run:
    """One run folder; what lies in it is read when it is first asked for."""

    files: Files
    folder: str

    @functools.cached_property
    def config(self) -> Config:
        """Raises: NothingToAssess, WrongResult: no such file, or not a configuration."""
        return _config(self.all_of_config, f"{self.folder}/config.toml")

    @functools.cached_property
    def all_of_config(self) -> dict[str, Any]:
        """What config.toml says, unchecked. Raises: as `config`."""
        name = f"{self.folder}/config.toml"
        return parse_toml(self.files.read_text(name, _CONFIG_LIMIT), name)

    @functools.cached_property
    def records(self) -> tuple[Record, ...]:
        """Raises: NothingToAssess, WrongResult: no such file, or a line that is no record."""
        name = f"{self.folder}/metrics.jsonl"
        lines = self.files.read_text(name, _METRICS_LIMIT).split("\n")
        if lines and not lines[-1]:
            lines.pop()
        if not 0 < len(lines) <= _MOST_RECORDS:
            raise WrongResult(
                f"{name} has {len(lines):,} lines; one for each step is expected, at most {_MOST_RECORDS:,}."
            )
        return tuple(_record(line, f"{name}, line {number}") for number, line in enumerate(lines, start=1))

    @functools.cached_property
    def weights(self) -> dict[str, torch.Tensor]:
        """Raises: NothingToAssess, WrongResult: no such file, not safetensors, or weights that are not finite."""
        name = f"{self.folder}/model.safetensors"
        data = self.files.read(name, _WEIGHTS_LIMIT)
        try:
            weights = safetensors.torch.load(data)
        except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError, TypeError) as error:
            raise WrongResult(f"{name} is damaged, or not in the safetensors format: {str(error)[:200]}.") from error
        for key, weight in weights.items():
            if weight.dtype not in _WEIGHTS:
                raise WrongResult(
                    f"{name}: {shown(key)} has dtype {weight.dtype}; weights are float32, float16 or bfloat16."
                )
            if not bool(torch.isfinite(weight).all()):
                raise WrongResult(f"{name}: {shown(key)} has values that are not finite.")
        return weights

    @property
    def has_weights(self) -> bool:
        """Whether the weights were handed in, too."""
        return self.files.has(f"{self.folder}/model.safetensors")

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """Raises: NothingToAssess, WrongResult: no tokenizer here or above, or files that are none."""
        folder = self._above("vocab.json")
        if folder is None:
            raise NothingToAssess(f"no vocab.json and merges.txt in {self.folder} or above it")
        return read_vocabulary(self.files, folder)

    @functools.cached_property
    def valid_text(self) -> str:
        """The text that the validation data was made of, where the kit has it.

        Raises:
            NothingToAssess: it is not named, or the kit does not have it.
        """
        folder = self._above("data.toml")
        if folder is None:
            raise NothingToAssess(f"no data.toml in {self.folder} or above it says which text was validated on")
        name = f"{folder}/data.toml"
        named = parse_toml(self.files.read_text(name, _CONFIG_LIMIT), name).get("valid_text")
        if (text := kit_text(named)) is None:
            raise NothingToAssess(f"the validation text of {self.folder}, {shown(named)}, does not come with the kit")
        return text

    @functools.cached_property
    def train_text(self) -> str | None:
        """The text that the training data was made of, where that is known and the kit has it."""
        folder = self._above("data.toml")
        if folder is None:
            return None
        name = f"{folder}/data.toml"
        return kit_text(parse_toml(self.files.read_text(name, _CONFIG_LIMIT), name).get("train_text"))

    def _above(self, name: str) -> str | None:
        """The nearest folder that has a file of this name, from the run's own up to `runs`."""
        folder = self.folder
        while folder:
            if self.files.has(f"{folder}/{name}"):
                return folder
            folder = folder.rpartition("/")[0]
        return None

    @property
    def final_loss(self) -> float:
        """The validation loss of the last step, infinite for a run that did not get there."""
        last = self.records[-1]
        return math.inf if last.step < self.config.steps or last.val_loss is None else last.val_loss

    @functools.cached_property
    def sample(self) -> tuple[list[int], str]:
        """The generated token ids and the text that they are said to be.

        Raises:
            NothingToAssess, WrongResult: no such files, or something else in them.
        """
        name = f"{self.folder}/sample.json"
        ids = parse_json(self.files.read_text(name, _SAMPLE_LIMIT), name)
        if isinstance(ids, dict):
            ids = ids.get("ids")
        if not isinstance(ids, list) or not all(type(id) is int and 0 <= id < _LARGEST for id in ids):
            raise WrongResult(f"{name} must be a list of token ids, or an object with such a list under 'ids'.")
        if len(ids) > _MOST_IDS:
            raise WrongResult(
                f"{name} has {len(ids):,} ids; at most {_MOST_IDS:,} are looked at, and 256 are asked for."
            )
        return ids, self.files.read(f"{self.folder}/sample.txt", _SAMPLE_LIMIT).decode("utf-8", "replace")


def runs_of(problem: str, files: Files) -> list[Run]:
    """The runs of an experiment, in the order of their names: `runs/<problem>/` itself, or the run folders in it.

    Raises:
        NothingToAssess: there is no such folder; WrongResult: there is no run in it.
    """
    folder = f"runs/{problem}"
    names = files.names(folder)
    if "config.toml" in names:
        return [Run(files, folder)]
    runs = [Run(files, f"{folder}/{name}") for name in names if files.has(f"{folder}/{name}/config.toml")]
    if not runs:
        raise WrongResult(
            f"{folder} has no config.toml, and none of the folders in it has one; a run is such a folder."
        )
    if len(runs) > _MOST_RUNS:
        raise WrongResult(f"{folder} holds {len(runs)} runs; at most {_MOST_RUNS} are looked at.")
    return runs


def all_runs(files: Files) -> list[Run]:
    """The training runs of all experiments.

    Raises:
        NothingToAssess: there is no folder `runs`.
    """
    found = []
    for name in files.names("runs"):
        folders = [f"runs/{name}"]
        if not files.has(f"runs/{name}/config.toml"):
            with contextlib.suppress(NothingToAssess, WrongResult):
                folders = [f"runs/{name}/{inner}" for inner in files.names(f"runs/{name}")]
        found += [Run(files, folder) for folder in folders if files.has(f"{folder}/metrics.jsonl")]
        if len(found) > _MOST_RUNS:
            raise WrongResult(f"runs holds more than {_MOST_RUNS} runs; at most that many are looked at.")
    return found


def best_of(runs: list[Run]) -> Run:
    """The run with the lowest final validation loss.

    Raises:
        WrongResult: when none of them reached its last step.
    """
    best = min(runs, key=lambda run: run.final_loss)
    if not math.isfinite(best.final_loss):
        raise WrongResult(
            f"no run here reached its last step with a finite val_loss, {best.folder} no more than others."
        )
    return best


def kit_text(name: Any) -> str | None:
    """One of the kit's texts, by the last part of its path; None when there is no such text."""
    base = name.replace("\\", "/").rpartition("/")[2] if isinstance(name, str) else ""
    known = {path.name: path for path in (FIXTURES / "text").glob("*.txt")}
    return known[base].read_bytes().decode("utf-8") if base in known else None


# ---------------------------------------------------------------------------------------------------------------
# Reading


def _config(table: dict[str, Any], name: str) -> Config:
    values: dict[str, Any] = {}
    for field in fields(Config):
        value: Any = table.get(field.name, "float32" if field.name == "dtype" else None)
        kind: type = {"int": int, "float": float, "str": str}[str(field.type)]
        if kind is float and type(value) is int:
            value = float(value) if abs(value) < _LARGEST else math.inf
        if type(value) is not kind:
            what = {int: "a whole number", float: "a number", str: "text"}[kind]
            raise WrongResult(f"{name}: {field.name} is {shown(value)}; it must be {what}.")
        if isinstance(value, float) and not (math.isfinite(value) and 0 <= value < _LARGEST):
            raise WrongResult(f"{name}: {field.name} is {shown(value)}; it must be a finite number of 0 or more.")
        least = int(field.name != "warmup_steps")
        if isinstance(value, int) and not least <= value < _LARGEST:
            bound = f"{least} or more" if value < least else f"below {_LARGEST:,}"
            raise WrongResult(f"{name}: {field.name} is {shown(value)}; it must be {bound}.")
        if value not in _CHOICES.get(field.name, (value,)):
            raise WrongResult(f"{name}: {field.name} is {shown(value)}; it must be one of {_CHOICES[field.name]}.")
        values[field.name] = value
    config = Config(**values)
    if config.d_model % config.num_heads:
        raise WrongResult(f"{name}: num_heads = {config.num_heads} does not divide d_model = {config.d_model}.")
    if config.warmup_steps > config.steps:
        raise WrongResult(f"{name}: warmup_steps = {config.warmup_steps} is more than steps = {config.steps}.")
    return config


def _record(line: str, where: str) -> Record:
    table = parse_json(line, where)
    if not isinstance(table, dict):
        raise WrongResult(f"{where} is {shown(table)}; every line must be a JSON object.")
    step, tokens = (_whole(table, key, where) for key in ("step", "tokens"))
    seconds, lr = (_finite(table, key, where) for key in ("seconds", "lr"))
    val_loss = None if "val_loss" not in table else _loss(table, "val_loss", where)
    return Record(step, tokens, seconds, lr, _loss(table, "train_loss", where), val_loss)


def _whole(table: dict[str, Any], key: str, where: str) -> int:
    value = table.get(key)
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise WrongResult(f"{where}: {key} is {shown(value)}; it must be a whole number of 0 or more.")
    return value


def _finite(table: dict[str, Any], key: str, where: str) -> float:
    value = table.get(key)
    if type(value) not in (int, float) or not 0 <= value < _LARGEST:  # type: ignore[operator]
        raise WrongResult(f"{where}: {key} is {shown(value)}; it must be a finite number of 0 or more.")
    return float(value)  # type: ignore[arg-type]


def _loss(table: dict[str, Any], key: str, where: str) -> float:
    """A loss; one that is not finite, in whatever way it is written, or beyond all bounds, is infinite."""
    value = table.get(key)
    if value is None and key in table:
        return math.inf
    if type(value) not in (int, float):
        raise WrongResult(f"{where}: {key} is {shown(value)}; it must be a number.")
    if isinstance(value, float) and not math.isfinite(value):
        return math.inf
    if value < 0:  # type: ignore[operator]
        raise WrongResult(f"{where}: {key} is {shown(value)}; a cross-entropy is 0 or more.")
    return float(value) if value < _LARGEST else math.inf  # type: ignore[arg-type, operator]
