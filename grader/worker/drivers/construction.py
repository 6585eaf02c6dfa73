"""Drivers that look at the modules behind an adapter: what they are when new, what learns, and in which types.

They work on submissions in the public layout, whose only door is an adapter like `run_linear`, and need no names: the
parameters are called as their author likes. What cannot be seen this way ends in `NothingSeen`, which nobody is
charged for.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..construction_monitor import Built, Call, ConstructionMonitor
from ..exceptions import ContractBroken, NothingSeen, NotProvided

if TYPE_CHECKING:
    from ..operations import Operations


def new_parameters(operations: Operations, adapter: str, inputs: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """What is registered in the modules that an adapter builds, before the given weights are in them.

    Memory that the code took unwritten (`torch.empty`) is full of NaN.

    Returns:
        one description for each moment at which the parameters may have had their first values: when the constructor
        returned, and after each method of the module's own that was called then. Each is
        parameters: {name: value}; trainable: {name: requires_grad}; saved: the shapes in the state dict;
        whole: whether it is one module that does it all, and not an adapter that puts several together.

    Raises:
        NothingSeen: when no module was built, or with the given weights from the start.
    """
    given = list(_floating(copy.deepcopy(inputs)).values())
    watch = watching(operations, adapter)
    torch.manual_seed(seed)
    result: Any = None
    failed = False
    try:
        with watch.watching():
            result = operations.adapter(adapter, **inputs)
    except (NotProvided, NotImplementedError):
        raise
    except Exception:
        if not watch.built:
            raise
        failed = True
        # Weights that do not fit fail here; what was built is still what is asked about.
    subjects = [built for built in watch.subjects() if built.states]
    first = [value for built in subjects for value in built.states[0].parameters.values()]
    if not subjects:
        raise NothingSeen(f"{adapter} builds no torch.nn.Module")
    if not first and not _gives(subjects, watch.behind(result)):
        raise NothingSeen(f"{adapter} builds no module with parameters")
    if any(_same(value, one) for value in first for one in given):
        raise NothingSeen(f"{adapter} builds its module from the weights that it is given")
    several = len(subjects) > 1
    whole = not several and (failed or _gives(subjects, watch.behind(result)))
    moments = []
    for moment in range(max(len(built.states) for built in subjects)):
        parameters: dict[str, Tensor] = {}
        trainable: dict[str, bool] = {}
        saved: list[list[int]] = []
        for number, built in enumerate(subjects):
            state = built.states[min(moment, len(built.states) - 1)]
            prefix = f"{type(built.module).__name__}[{number}]." if several else ""
            parameters |= {prefix + name: value for name, value in state.parameters.items()}
            trainable |= {prefix + name: value for name, value in state.trainable.items()}
            saved += [list(shape) for shape in state.saved]
        moments.append({"parameters": parameters, "trainable": trainable, "saved": saved, "whole": whole})
    return moments


def parameter_gradients(
    operations: Operations, adapter: str, inputs: dict[str, Any], cotangent: Tensor
) -> dict[str, Tensor]:
    """Gradients of sum(output * cotangent) with respect to the weights that an adapter is given.

    The adapter copies them into its module, where their way back ends; so the module that it called is called once
    more, with gradients on, and its parameters are known by the values that they hold.

    Returns:
        {name of the given weight: gradient}, of those that are some parameter's value, transposed or not.

    Raises:
        NothingSeen: when the adapter's result is not a module's, or none of the weights is a parameter's value.
        ContractBroken: when parameters are cut off from the output.
    """
    given = _floating(copy.deepcopy(inputs))
    call = _call_behind(operations, adapter, inputs)
    parameters: dict[str, Tensor] = dict(call.module.named_parameters())
    holding = dict(_holding(given, parameters))
    if not holding:
        raise NothingSeen(f"{adapter} calls a module none of whose parameters is a weight that was given")
    for value in parameters.values():
        value.requires_grad_(True)
    output = call.again({})
    held = {name: parameters[parameter] for name, (parameter, _) in holding.items()}
    if not isinstance(output, Tensor) or not output.requires_grad:
        raise ContractBroken(
            f"the output of {type(call.module).__name__} is cut off from its parameters: something on the way detaches "
            "it (.data, .detach(), torch.no_grad)"
        )
    found = torch.autograd.grad((output * cotangent).sum(), list(held.values()), allow_unused=True)
    if idle := [name for name, gradient in zip(held, found, strict=True) if gradient is None]:
        raise ContractBroken(f"no gradient arrives at the parameters that hold {', '.join(idle)}")
    turned = {name: is_turned for name, (_, is_turned) in holding.items()}
    return {
        name: gradient.T if turned[name] else gradient
        for name, gradient in zip(held, found, strict=True)
        if gradient is not None
    }


def in_dtype(operations: Operations, adapter: str, inputs: dict[str, Any]) -> Any:
    """The output of an adapter for inputs whose floating-point tensors all have the type that is asked about.

    Where the adapter makes its module in the default type, whatever the type of the weights, the module that it calls
    with float32 is converted instead, as `module.to(dtype)` does, and called again.
    """
    kind = next(iter(_floating(inputs).values())).dtype
    narrow = _converted(inputs, torch.float32)
    output: Any = None
    failed: Exception | None = None
    try:
        output = operations.adapter(adapter, **inputs)
    except (NotProvided, NotImplementedError):
        raise
    except Exception as error:
        failed = error
    if isinstance(output, Tensor) and output.dtype == kind:
        return output
    try:
        call = _call_behind(operations, adapter, narrow)
    except NothingSeen:
        if failed is not None:
            raise failed from None
        return output
    call.module.to(kind)
    return call.again({id(value): value.to(kind) for value in call.tensors() if value.is_floating_point()})


def watching(operations: Operations, adapter: str) -> ConstructionMonitor:
    """A watch for one call of an adapter."""
    return ConstructionMonitor(
        getattr(operations.adapters, adapter, None), getattr(operations.adapters, "__file__", None) or ""
    )


def _call_behind(operations: Operations, adapter: str, inputs: dict[str, Any]) -> Call:
    """Call an adapter; gives the call of a module whose output it returned."""
    watch = watching(operations, adapter)
    with watch.watching():
        result = operations.adapter(adapter, **inputs)
    call = watch.behind(result)
    if call is None:
        raise NothingSeen(f"{adapter} does not return what a torch.nn.Module gives")
    return call


def _gives(subjects: list[Built], call: Call | None) -> bool:
    """Whether the adapter's result is that of one of these modules."""
    return call is not None and any(built.module is call.module for built in subjects)


def _holding(given: dict[str, Tensor], parameters: dict[str, Tensor]) -> Iterator[tuple[str, tuple[str, bool]]]:
    """(name of a given weight, (name of the parameter that holds it, whether transposed))."""
    for name, weight in given.items():
        for parameter, value in parameters.items():
            if _same(value, weight):
                yield name, (parameter, False)
                break
            if weight.ndim == 2 and _same(value, weight.T):
                yield name, (parameter, True)
                break


def _same(value: Tensor, other: Tensor) -> bool:
    return value.shape == other.shape and torch.equal(value.detach().to(other.dtype), other)


def _floating(inputs: Any, path: str = "") -> dict[str, Tensor]:
    """{name: tensor} of the floating-point tensors among an adapter's inputs; `weights.ln1.weight` in a dict."""
    found: dict[str, Tensor] = {}
    for name, value in inputs.items():
        place = f"{path}{name}"
        if isinstance(value, dict):
            found |= _floating(value, f"{place}.")
        elif isinstance(value, Tensor) and value.is_floating_point():
            found[place] = value
    return found


def _converted(value: Any, kind: torch.dtype) -> Any:
    """A copy in which every floating-point tensor has this type."""
    if isinstance(value, Tensor):
        return value.to(kind, copy=True) if value.is_floating_point() else value.clone()
    if isinstance(value, dict):
        return {name: _converted(item, kind) for name, item in value.items()}
    return value


DRIVERS = (new_parameters, parameter_gradients, in_dtype)
