"""Drivers for timed calls: the judge's memory is mapped, a subject is made ready, and then run on slots of it.

A slot is a set of inputs and the places of the outputs, both in the judge's shared memory. These drivers keep no time
and check nothing: they run beside the student's code, so the judge does both, on its side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ..exceptions import ContractBroken, NotProvided
from ..shared_memory import SharedMemory, map_shared_memory

if TYPE_CHECKING:
    from ..operations import Operations

Place = dict[str, Any]
"""Where a tensor lies in the shared memory: {"offset": bytes, "dtype": name, "shape": sizes}."""
Tensors = dict[str, torch.Tensor]
Call = Callable[[Tensors], Sequence[torch.Tensor]]


def timed_open(operations: Operations, descriptor: int, size: int, device: str) -> int:
    """Map the shared memory; gives its handle."""
    return operations.keep(map_shared_memory(descriptor, size, device))


def timed_prepare(
    operations: Operations,
    shared_memory: int,
    subjects: list[dict[str, Any]],
    state: dict[str, Place],
    slots: list[dict[str, Any]],
) -> int:
    """Make a subject ready to run on each slot; gives its handle.

    Args:
        subjects: ways of reaching the code that is timed: a "kind" (see `_KINDS`) and the arguments of the function
            that makes such calls; the first counts whose adapter the submission has.
        state: weights and the like, the same for all calls.
        slots: {"inputs": {name: place}, "outputs": [place, ...]} of each call.

    Raises:
        NotProvided: when the submission has none of the adapters.
    """
    where: SharedMemory = operations.objects[shared_memory]
    available = [subject for subject in subjects if hasattr(operations.adapters, subject["adapter"])]
    if not available:
        raise NotProvided(f"the submission has no adapter {' or '.join(subject['adapter'] for subject in subjects)}")
    weights = {name: where.tensor(**place) for name, place in state.items()}
    subject = dict(available[0])
    call = _KINDS[subject.pop("kind")](operations, weights, where.device, **subject)
    return operations.keep(
        (
            call,
            [
                (
                    {name: where.tensor(**place) for name, place in slot["inputs"].items()},
                    [where.tensor(**place) for place in slot["outputs"]],
                )
                for slot in slots
            ],
        )
    )


def timed_run(operations: Operations, subject: int, order: list[int]) -> None:
    """Run the subject on these slots, one after the other, and leave what it gives in their outputs."""
    call, slots = operations.objects[subject]
    for index in order:
        inputs, outputs = slots[index]
        results = call(inputs)
        if len(results) != len(outputs):
            raise ContractBroken(f"{len(results)} results came, where {len(outputs)} are due")
        with torch.no_grad():
            for place, result in zip(outputs, results, strict=True):
                if result.shape != place.shape or result.dtype != place.dtype:
                    raise ContractBroken(
                        f"a result has dtype {result.dtype} and shape {tuple(result.shape)}, "
                        f"where {place.dtype} and {tuple(place.shape)} are due"
                    )
                place.copy_(result)
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed_release(operations: Operations, subject: int) -> None:
    """Forget a subject, with all it keeps."""
    del operations.objects[subject]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _function(
    operations: Operations,
    weights: Tensors,
    device: torch.device,
    adapter: str,
    constants: dict[str, Any],
    modules: bool = False,
    rename: dict[str, str] | None = None,
    gather: str = "",
) -> Call:
    """An adapter of the form `run_*`.

    Args:
        modules: it builds a module at each call, which must land on the device.
        rename: {weight: the argument that takes it}; gather: the one argument that takes all weights, as a dict.
    """
    names = rename or {}
    given: dict[str, Any] = {names.get(name, name): value for name, value in weights.items()}
    given = {**constants, **({gather: given} if gather else given)}

    def call(inputs: Tensors) -> Sequence[torch.Tensor]:
        with torch.no_grad():
            return [operations.adapter(adapter, **inputs, **given)]

    def call_on_device(inputs: Tensors) -> Sequence[torch.Tensor]:
        with device:
            return call(inputs)

    return call_on_device if modules and device.type != "cpu" else call


def _module(
    operations: Operations,
    weights: Tensors,
    device: torch.device,
    adapter: str,
    config: dict[str, Any],
    positions: str = "",
) -> Call:
    """A module that an adapter of the form `get_*_module` makes, with the judge's weights.

    Args:
        positions: the weight, if any, that is no parameter but the second argument of each call.
    """
    module = operations.adapter(adapter, **config)
    further = [weights[positions]] if positions else []
    wanted = {name: value for name, value in weights.items() if name != positions}
    names = {name for name, _ in module.named_parameters()}
    if names != set(wanted):
        raise ContractBroken(f"the module of {adapter} has the parameters {sorted(names)}, not {sorted(wanted)}")
    module.to(device)
    for name, parameter in list(module.named_parameters()):
        parameter.data = wanted[name]

    def call(inputs: Tensors) -> Sequence[torch.Tensor]:
        with torch.no_grad():
            return [module(*inputs.values(), *further)]

    return call


def _autograd(
    operations: Operations, weights: Tensors, device: torch.device, adapter: str, constants: list[Any], wrt: list[str]
) -> Call:
    """An autograd function, forward and backward; the input named `cotangent` is the gradient of its output."""
    function = operations.adapter(adapter)

    def call(inputs: Tensors) -> Sequence[torch.Tensor]:
        leaves = {name: inputs[name].detach().requires_grad_() for name in wrt}
        output = function.apply(*leaves.values(), *weights.values(), *constants)
        return [output, *torch.autograd.grad(output, list(leaves.values()), inputs["cotangent"])]

    return call


def _optimizer(
    operations: Operations,
    weights: Tensors,
    device: torch.device,
    adapter: str,
    options: dict[str, Any],
    steps: int,
) -> Call:
    """Steps of an optimizer that starts anew with each call: of parameters p0, ..., with gradients g0_1, ..., g0_2, ...

    The parameters are copies: what a call is given stays as it was, for the check.
    """
    kind = operations.adapter(adapter)

    def call(inputs: Tensors) -> Sequence[torch.Tensor]:
        parameters = [torch.nn.Parameter(value.clone()) for name, value in inputs.items() if name.startswith("p")]
        optimizer = kind(parameters, **options)
        for step in range(1, steps + 1):
            for i, parameter in enumerate(parameters):
                parameter.grad = inputs[f"g{i}_{step}"]
            optimizer.step()
        return [parameter.detach() for parameter in parameters]

    return call


_KINDS: dict[str, Callable[..., Call]] = {
    "function": _function,
    "module": _module,
    "autograd": _autograd,
    "optimizer": _optimizer,
}

DRIVERS = (timed_open, timed_prepare, timed_run, timed_release)
