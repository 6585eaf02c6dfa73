"""Whether code and tables are still what they were: by identity, down to code objects, defaults, closures and entries.

Taken before a submission is imported and compared after every request, of which a grade makes thousands, so comparing
has to take a small part of a millisecond. What all that matters refers to is asked of the garbage collector, in one
call: to read a function's code by its name takes ten times as long, as Python tells every audit hook of it. Whatever
is remembered is also kept alive, as otherwise something new could come to lie where it was.
"""

from __future__ import annotations

import operator
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from gc import get_referents
from itertools import chain
from typing import Any

_TABLES = (dict, list, set)
"""What changes and stays the same object. (What a tuple or a frozenset holds, it always holds.)"""


class IdentitySnapshot:
    """What some namespaces hold.

    Args:
        owners: {dotted name: a module or class, whose attributes count}.
        single: {dotted name: an object that counts by itself}.
        instances: {dotted name: an object whose own attributes must not hide those of its class}.
    """

    def __init__(
        self, owners: Mapping[str, Any], single: Mapping[str, Any] = {}, instances: Mapping[str, Any] = {}
    ) -> None:
        self._single = dict(single)
        self._namespaces = {name: vars(owner) for name, owner in owners.items()}
        self._contents = {name: dict(space) for name, space in self._namespaces.items()}
        self._instances = {name: (object_, type(object_)) for name, object_ in instances.items()}
        found = [*self._single.items(), *_named(self._contents)]
        self._functions = list(_functions(found))
        self._cells = [(name, cell) for name, f in self._functions for cell in f.__closure__ or ()]
        keywords = [(name, f.__kwdefaults__) for name, f in self._functions]
        self._tables = [(name, value) for name, value in (*found, *keywords) if type(value) in _TABLES]
        spaces = [_dictionary(space) for space in self._namespaces.values()]
        parts = [part for _, part in (*self._functions, *self._cells, *self._tables)]
        self._holders = list({id(holder): holder for holder in (*parts, *spaces)}.values())
        self._dictionaries = [holder for holder in self._holders if type(holder) is dict]
        self._parts = list(self._named_parts())
        self._kept = self._look()

    def _look(self) -> tuple[list[Any], list[Any]]:
        """All that counts, and more, in an order that changes only if something does. Values of dictionaries are among
        what these refer to, keys are not always."""
        return get_referents(*self._holders), list(chain.from_iterable(self._dictionaries))

    def differences(self, single: Mapping[str, Any] = {}) -> list[str]:
        """The names of what is no longer what it was; `single` as it is now. What has come anew is no difference."""
        changed = [name for name, value in self._single.items() if single.get(name) is not value]
        for name, (instance, kind) in self._instances.items():
            if type(instance) is not kind:
                changed.append(name)
            changed += [f"{name}.{attribute}" for attribute in vars(instance) if hasattr(kind, attribute)]
        now = self._look()
        if not all(map(_is_same, self._kept, now)):
            found = list(self._find())
            changed += found
            if not found:  # something has come anew, or a function has other annotations
                self._kept = now
        return list(dict.fromkeys(changed))

    def _find(self) -> Iterator[str]:
        """What differs, by name; slow, and done only when something does."""
        for name, space in self._namespaces.items():
            for attribute, value in self._contents[name].items():
                if space.get(attribute) is not value:
                    yield f"{name}.{attribute}"
        for (name, before), (_, now) in zip(self._parts, self._named_parts(), strict=True):
            if not _is_same(before, now):
                yield name

    def _named_parts(self) -> Iterator[tuple[str, list[Any]]]:
        """What counts of each function, cell and table."""
        for name, function in self._functions:
            yield name, [function.__code__, function.__defaults__, function.__kwdefaults__]
        for name, cell in self._cells:
            yield name, [_inside(cell)]
        for name, table in self._tables:
            yield name, [*table, *table.values()] if type(table) is dict else [*table]


def _named(contents: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, space in contents.items():
        for attribute, value in space.items():
            if attribute != "__builtins__":  # large, and everybody's
                yield f"{name}.{attribute}", value


def _functions(found: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, types.FunctionType]]:
    """The Python functions among some objects, and those within methods, properties and wrappers."""
    for name, value in found:
        for function in (value, *(getattr(value, part, None) for part in ("__func__", "fget", "fset", "__wrapped__"))):
            if isinstance(function, types.FunctionType):
                yield name, function


def _dictionary(space: Mapping[str, Any]) -> dict[str, Any]:
    """What a namespace is kept in: that of a class shows itself through a proxy only."""
    (dictionary,) = [space] if type(space) is dict else get_referents(space)
    return dictionary


def _is_same(old: Sequence[Any], new: Sequence[Any]) -> bool:
    """Whether both hold the same objects. Nothing is asked for its `id`, which Python tells every audit hook of: with
    the worker's own hooks that takes twenty times as long as the comparison."""
    return len(old) == len(new) and all(map(operator.is_, old, new))


def _inside(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None
