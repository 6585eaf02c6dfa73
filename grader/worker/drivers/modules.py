"""Drivers for modules that an adapter of the kit's own (`get_*_module`) constructs as it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..exceptions import ContractBroken

if TYPE_CHECKING:
    from ..operations import Operations


def module_placement(
    operations: Operations, factory: str, config: dict[str, Any], device: str | None, dtype: str | None
) -> dict[str, list[str]] | None:
    """Construct a module on a device ("meta" has no numbers, and is everywhere) and with a dtype ("float64").

    Returns:
        {name: [device, dtype]} of every parameter; None where the code looks at the numbers of a device without any,
        as drawing again what lies too far out does.

    Raises:
        ContractBroken: when the adapter does not return a torch.nn.Module.
    """
    given = {"device": device, "dtype": None if dtype is None else getattr(torch, dtype)}
    try:
        module = operations.adapter(factory, **config, **given)
    except (RuntimeError, NotImplementedError) as error:
        if device == "meta" and "meta" in str(error):
            return None
        raise
    if not isinstance(module, torch.nn.Module):
        raise ContractBroken(f"{factory} returned {type(module).__name__}, not a torch.nn.Module")
    return {
        name: [value.device.type, str(value.dtype).removeprefix("torch.")] for name, value in module.named_parameters()
    }


DRIVERS = (module_placement,)
