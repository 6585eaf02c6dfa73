"""Drivers for modules as the student constructs them: what is registered, how it is initialised, what learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..faults import ContractBroken

if TYPE_CHECKING:
    from ..bench import Bench


def module_state(bench: Bench, factory: str, config: dict[str, Any], seed: int) -> dict[str, Any]:
    """Construct a module through one of the `get_*_module` adapters and describe its state.

    Returns:
        parameters: {name: value} of everything that an optimizer would train; requires_grad: {name: bool};
        state_dict: {name: value} of what a checkpoint would keep.

    Raises:
        ContractBroken: when the adapter does not return a torch.nn.Module.
    """
    module = _build(bench, factory, config, seed)
    return {
        "parameters": {name: value.detach().clone() for name, value in module.named_parameters()},
        "requires_grad": {name: value.requires_grad for name, value in module.named_parameters()},
        "state_dict": {name: value.detach().clone() for name, value in module.state_dict().items()},
    }


def module_gradients(
    bench: Bench, factory: str, config: dict[str, Any], seed: int, example: torch.Tensor
) -> dict[str, torch.Tensor | None]:
    """Run a new module on `example` and differentiate a random projection of its output.

    Returns:
        {name: gradient} of every parameter; None where no gradient arrives.

    Raises:
        ContractBroken: when the output does not depend on any parameter as far as autograd can see.
    """
    module = _build(bench, factory, config, seed)
    output = module(example)
    if not isinstance(output, torch.Tensor) or not output.requires_grad:
        raise ContractBroken(
            f"the output of the module from {factory} is cut off from its parameters: something on the way detaches "
            "it (.data, .detach(), torch.no_grad), or nothing is registered as a torch.nn.Parameter"
        )
    (output * torch.randn_like(output)).sum().backward()
    return {
        name: None if value.grad is None else value.grad.detach().clone() for name, value in module.named_parameters()
    }


def module_placement(
    bench: Bench, factory: str, config: dict[str, Any], device: str | None, dtype: str | None
) -> dict[str, list[str]] | None:
    """Construct a module on a device ("meta" has no numbers, and is everywhere) and with a dtype ("float64").

    Returns:
        {name: [device, dtype]} of every parameter; None where the code looks at the numbers of a device without any,
        as drawing again what lies too far out does.
    """
    given = {"device": device, "dtype": None if dtype is None else getattr(torch, dtype)}
    try:
        module = _build(bench, factory, {**config, **given}, seed=0)
    except (RuntimeError, NotImplementedError) as error:
        if device == "meta" and "meta" in str(error):
            return None
        raise
    return {
        name: [value.device.type, str(value.dtype).removeprefix("torch.")] for name, value in module.named_parameters()
    }


def _build(bench: Bench, factory: str, config: dict[str, Any], seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    module = bench.adapter(factory, **config)
    if not isinstance(module, torch.nn.Module):
        raise ContractBroken(f"{factory} returned {type(module).__name__}, not a torch.nn.Module")
    return module


DRIVERS = (module_state, module_gradients, module_placement)
