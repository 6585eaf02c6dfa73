"""Whether code and tables are still what they were: by identity, down to code objects, defaults, closures and entries.

Taken before a submission is imported and compared after every request, of which a grade makes thousands, so comparing
has to take well below a millisecond: all that is looked at is gathered once, in flat lists. Whatever is remembered is
also kept alive, as otherwise something new could come to lie where it was.
"""

from __future__ import annotations

import operator
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_TABLES = (dict, list, set, frozenset, tuple)


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
        self._kept = self._look()

    def _look(self) -> list[list[Any]]:
        """All that counts, in an order that does not change."""
        return [
            [f.__code__ for _, f in self._functions],
            [f.__defaults__ for _, f in self._functions],
            [f.__kwdefaults__ for _, f in self._functions],
            [_inside(cell) for _, cell in self._cells],
            *([*table, *table.values()] if type(table) is dict else [*table] for _, table in self._tables),
            *([*space.values()] for space in self._namespaces.values()),
        ]

    def differences(self, single: Mapping[str, Any] = {}) -> list[str]:
        """The names of what is no longer what it was; `single` as it is now. What has come anew is no difference."""
        changed = [name for name, value in self._single.items() if single.get(name) is not value]
        for name, (instance, kind) in self._instances.items():
            if type(instance) is not kind:
                changed.append(name)
            changed += [f"{name}.{attribute}" for attribute in vars(instance) if hasattr(kind, attribute)]
        now = self._look()
        if not all(map(_is_same, self._kept, now)):
            changed += self._find(now)
        return list(dict.fromkeys(changed))

    def _find(self, now: list[list[Any]]) -> Iterator[str]:
        """What differs, by name; slow, and done only when something does."""
        for name, space in self._namespaces.items():
            for attribute, value in self._contents[name].items():
                if space.get(attribute) is not value:
                    yield f"{name}.{attribute}"
        same = [list(map(operator.is_, old, new)) for old, new in zip(self._kept, now, strict=True)]
        whole = list(map(_is_same, self._kept, now))
        for parts in same[:3]:
            yield from (name for (name, _), is_same in zip(self._functions, parts, strict=True) if not is_same)
        yield from (name for (name, _), is_same in zip(self._cells, same[3], strict=True) if not is_same)
        tables = whole[4 : 4 + len(self._tables)]
        yield from (name for (name, _), is_same in zip(self._tables, tables, strict=True) if not is_same)


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


def _is_same(old: Sequence[Any], new: Sequence[Any]) -> bool:
    """Whether both hold the same objects. Nothing is asked for its `id`, which Python tells every audit hook of: with
    the worker's own hooks that takes twenty times as long as the comparison."""
    return len(old) == len(new) and all(map(operator.is_, old, new))


def _inside(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None
