"""Driver for accounting: a result together with the results that it can be put together from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..exceptions import NotProvided

if TYPE_CHECKING:
    from ..operations import Operations


def accounted(
    operations: Operations,
    config: dict[str, int],
    wanted: str,
    options: dict[str, Any],
    parts: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """One quantity of `accounting.py`, and others that it follows from, as far as they are written.

    Args:
        wanted: the name of the quantity; options: its arguments beside `config`.
        parts: {name of another quantity: its arguments}.

    Returns:
        wanted: what was asked for; parts: {name: result, or None where it is not written or not provided}.
    """
    result = operations.adapter(f"run_{wanted}", config=config, **options)
    return {"wanted": result, "parts": {name: _part(operations, name, config, more) for name, more in parts.items()}}


def _part(operations: Operations, name: str, config: dict[str, int], options: dict[str, Any]) -> Any:
    try:
        return operations.adapter(f"run_{name}", config=config, **options)
    except (NotImplementedError, NotProvided):
        return None


DRIVERS = (accounted,)
