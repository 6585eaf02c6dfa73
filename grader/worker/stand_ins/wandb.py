"""Stands in for Weights & Biases where that is not installed: accepts every call, and logs nothing anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__version__ = "0.0.0"


class Nothing:
    """Can be called, entered, iterated over and asked for anything, and gives itself, or nothing at all."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *arguments: Any, **_: Any) -> Any:
        """As a decorator it gives back what it decorates."""
        return arguments[0] if len(arguments) == 1 and callable(arguments[0]) else self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        pass

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return False

    def __getitem__(self, _: Any) -> Any:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __str__(self) -> str:
        return ""


class Settings(dict[str, Any]):
    """`wandb.config`: what a program set is there again, as an item and as an attribute."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self:
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def update(self, *given: Any, **more: Any) -> None:
        """As of a dict; `allow_val_change` is none of the settings."""
        more.pop("allow_val_change", None)
        super().update(*(_as_dict(one) for one in given), **more)

    setdefaults = update


def _as_dict(config: Any) -> dict[str, Any]:
    """A configuration as wandb takes it: a mapping, or an object with attributes such as argparse gives."""
    return dict(config) if hasattr(config, "keys") else dict(vars(config)) if hasattr(config, "__dict__") else {}


class Run(Nothing):
    """What `wandb.init` gives."""

    id = name = "offline"
    project = entity = notes = url = ""
    dir = "."
    step = 0

    @property
    def config(self) -> Settings:
        return config

    @property
    def summary(self) -> dict[str, Any]:
        return {}


config = Settings()
run: Run | None = None
summary: dict[str, Any] = {}


def init(*_: Any, config: Any = None, **__: Any) -> Run:
    """Begin a run that is recorded nowhere."""
    global run
    globals()["config"].update(config or {})
    run = Run()
    return run


def finish(*_: Any, **__: Any) -> None:
    """End it."""
    global run
    run = None


def log(*_: Any, **__: Any) -> None:
    """Accept metrics and forget them."""


def login(*_: Any, **__: Any) -> bool:
    return False


class Error(Exception):
    """Never raised."""


UsageError = CommError = Error


class Table(Nothing):
    """As all media of wandb: keeps nothing."""


class Image(Table):
    pass


class Histogram(Table):
    pass


class Html(Table):
    pass


class Artifact(Table):
    pass


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return Nothing()
