"""Driver for modules as the student constructs them: what is registered, and how it is initialised."""

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
    torch.manual_seed(seed)
    module = bench.adapter(factory, **config)
    if not isinstance(module, torch.nn.Module):
        raise ContractBroken(f"{factory} returned {type(module).__name__}, not a torch.nn.Module")
    return {
        "parameters": {name: value.detach().clone() for name, value in module.named_parameters()},
        "requires_grad": {name: value.requires_grad for name, value in module.named_parameters()},
        "state_dict": {name: value.detach().clone() for name, value in module.state_dict().items()},
    }


DRIVERS = (module_state,)
