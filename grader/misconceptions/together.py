"""Several bugs at once: what stands in the reference when more than one variant is planted.

Two variants that replace different things are planted one after the other. Where both replace the same thing, the
second would hide the first; so builders of variants remember which of their parts are wrong (`assembled`), and one
thing is built anew with the wrong parts of both.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .catalogue import Variant

Builder = TypeVar("Builder", bound=Callable[..., Any])

_RECIPE = "assembled_from"


class Exclusive(Exception):
    """Variants that no one program can have all at once."""


def assembled(build: Builder) -> Builder:
    """For functions that build a function of parts, given by name: the result remembers them."""
    signature = inspect.signature(build)

    @functools.wraps(build)
    def remembering(*arguments: Any, **options: Any) -> Any:
        built = build(*arguments, **options)
        parts = signature.bind(*arguments, **options).arguments
        named = {k: v for k, v in parts.items() if signature.parameters[k].kind is not inspect.Parameter.VAR_KEYWORD}
        setattr(built, _RECIPE, (remembering, {**named, **{k: v for k, v in options.items() if k not in named}}))
        return built

    return remembering  # type: ignore[return-value]


def together(variants: Sequence[Variant]) -> Variant:
    """One variant with the bugs of all.

    Raises:
        Exclusive: two of them replace the same thing as a whole, or the same part of it.
    """
    replaces: dict[str, Any] = {}
    for variant in variants:
        for name, replacement in variant.replaces.items():
            for other in replaces:
                if other.startswith(f"{name}.") or name.startswith(f"{other}."):
                    raise Exclusive(f"{variant.id} replaces {name}, and another one {other}")
            replaces[name] = _both(replaces[name], replacement) if name in replaces else replacement
    return _Together("+".join(v.id for v in variants), variants[0].problem, replaces, tuple(variants))


class _Together(Variant):
    def __init__(self, id: str, problem: str, replaces: dict[str, Any], variants: tuple[Variant, ...]) -> None:
        super().__init__(id, problem, replaces)
        object.__setattr__(self, "variants", variants)

    @property
    def address(self) -> str:
        return " ".join(variant.address for variant in self.__dict__["variants"])


def _both(one: Any, other: Any) -> Any:
    """One thing that is wrong where either of two is."""
    if one is other:
        return one
    if isinstance(one, type) and isinstance(other, type):
        return _class_of_both(one, other)
    (build, parts), (other_build, other_parts) = getattr(one, _RECIPE, (one, {})), getattr(other, _RECIPE, (other, {}))
    if build is not other_build:
        raise Exclusive("two programs of their own")
    shared = {name: _both(parts[name], other_parts[name]) for name in parts.keys() & other_parts.keys()}
    return build(**{**parts, **other_parts, **shared})


def _class_of_both(one: type, other: type) -> type:
    """A class with what either overrides of the class that both derive from."""
    base = next(ancestor for ancestor in one.__mro__ if ancestor in other.__mro__)
    if base in (object, one, other) or _overrides(one, base) & _overrides(other, base):
        raise Exclusive(f"{one.__name__} and {other.__name__} override the same")
    return type(f"{one.__name__}And{other.__name__}", (one, other), {})


def _overrides(one: type, base: type) -> set[str]:
    above = (ancestor for ancestor in one.__mro__ if ancestor not in base.__mro__)
    return {name for ancestor in above for name in vars(ancestor) if name not in ("__module__", "__doc__")}
