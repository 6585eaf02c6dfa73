"""Drivers for the optimizer and gradient clipping, which work in place on parameters, and for the schedule."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from ..exceptions import ContractBroken

if TYPE_CHECKING:
    from ..operations import Operations

Gradients = list[torch.Tensor | None]


def adamw_trajectory(
    operations: Operations,
    parameters: list[torch.Tensor],
    gradients: list[Gradients],
    options: dict[str, Any] | None = None,
    groups: list[dict[str, Any]] | None = None,
    learning_rates: dict[int, list[float]] | None = None,
    reload_after: int | None = None,
    as_generator: bool = False,
) -> dict[str, dict[str, torch.Tensor]]:
    """Run the student's AdamW for `len(gradients)` steps and return the parameters after each of them.

    Args:
        parameters: initial values.
        gradients: for each step, one gradient per parameter; None leaves `.grad` unset for that step.
        options: constructor arguments besides the parameters (lr, betas, eps, weight_decay).
        groups: parameter groups as {"members": [indices], **options of the group}; one group of all when None.
        learning_rates: {step: one learning rate per group}, written to `param_groups` before that step, as a
            schedule does.
        reload_after: after this many steps, save the optimizer's state_dict through torch.save, build a new
            optimizer on the same parameters and load the state into it.
        as_generator: pass the parameters as a generator, as `model.parameters()` does.

    Returns:
        {"after step 1": {"parameter 0": value, ...}, ...}
    """
    leaves = [torch.nn.Parameter(value.clone()) for value in parameters]
    optimizer = _build(operations, leaves, options, groups, as_generator)
    trajectory = {}
    for step, step_gradients in enumerate(gradients):
        if step == reload_after:
            optimizer = _reloaded(optimizer, _build(operations, leaves, options, groups, as_generator))
        for group, rate in zip(optimizer.param_groups, (learning_rates or {}).get(step, []), strict=False):
            group["lr"] = rate
        for leaf, gradient in zip(leaves, step_gradients, strict=True):
            leaf.grad = None if gradient is None else gradient.clone()
        optimizer.step()
        trajectory[f"after step {step + 1}"] = {
            f"parameter {i}": leaf.detach().clone() for i, leaf in enumerate(leaves)
        }
    return trajectory


def _build(
    operations: Operations,
    leaves: list[torch.nn.Parameter],
    options: dict[str, Any] | None,
    groups: list[dict[str, Any]] | None,
    as_generator: bool,
) -> torch.optim.Optimizer:
    optimizer_class = operations.adapter("get_adamw_cls")
    if groups is not None:
        described: list[dict[str, Any]] = []
        for group in groups:
            rest = {key: value for key, value in group.items() if key != "members"}
            described.append({"params": [leaves[i] for i in group["members"]], **rest})
        return optimizer_class(described, **(options or {}))
    return optimizer_class((leaf for leaf in leaves) if as_generator else leaves, **(options or {}))


def _reloaded(old: torch.optim.Optimizer, new: torch.optim.Optimizer) -> torch.optim.Optimizer:
    buffer = io.BytesIO()
    torch.save(old.state_dict(), buffer)
    buffer.seek(0)
    new.load_state_dict(torch.load(buffer, weights_only=True))
    return new


def adamw_gradients_after_step(
    operations: Operations, parameters: list[torch.Tensor], gradients: list[torch.Tensor], options: dict[str, Any]
) -> dict[str, list[torch.Tensor | None]]:
    """Make two steps with the same gradients, which are set once; gives gradients and parameters after them."""
    leaves = [torch.nn.Parameter(value.clone()) for value in parameters]
    for leaf, gradient in zip(leaves, gradients, strict=True):
        leaf.grad = gradient.clone()
    optimizer = _build(operations, leaves, options, None, False)
    optimizer.step()
    optimizer.step()
    return {
        "gradients": [None if leaf.grad is None else leaf.grad.detach().clone() for leaf in leaves],
        "parameters": [leaf.detach().clone() for leaf in leaves],
    }


def adamw_step_with_closure(
    operations: Operations, parameter: torch.Tensor, gradient: torch.Tensor, options: dict[str, Any]
) -> dict[str, Any]:
    """One step with a closure that computes a loss and its gradient; says what `step` returned."""
    leaf = torch.nn.Parameter(parameter.clone())
    optimizer = _build(operations, [leaf], options, None, False)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (leaf * gradient).sum()
        loss.backward()
        return loss

    returned = optimizer.step(closure)
    return {
        "loss returned by step": None if returned is None else torch.as_tensor(returned).detach(),
        "parameter": leaf.detach().clone(),
    }


def adamw_is_optimizer(operations: Operations) -> bool:
    """Whether the class derives from torch.optim.Optimizer, as schedulers and checkpoints need."""
    return issubclass(operations.adapter("get_adamw_cls"), torch.optim.Optimizer)


def learning_rates(operations: Operations, iterations: list[int], schedule: dict[str, Any]) -> dict[int, Any]:
    """Ask the cosine schedule for the rates at several iterations: {iteration: rate}."""
    return {it: operations.adapter("run_get_lr_cosine_schedule", it=it, **schedule) for it in iterations}


def clip(
    operations: Operations,
    parameters: list[torch.Tensor],
    gradients: Gradients,
    max_l2_norm: float,
    as_generator: bool = False,
) -> dict[str, Any]:
    """Clip gradients in place and return gradients and parameters as they are afterwards.

    Raises:
        ContractBroken: when a gradient appears where there was none, or disappears.
    """
    leaves = [torch.nn.Parameter(value.clone()) for value in parameters]
    for leaf, gradient in zip(leaves, gradients, strict=True):
        leaf.grad = None if gradient is None else gradient.clone()
    held = [leaf.grad for leaf in leaves]
    given: Iterable[torch.nn.Parameter] = (leaf for leaf in leaves) if as_generator else leaves
    operations.adapter("run_gradient_clipping", parameters=given, max_l2_norm=max_l2_norm)
    for i, (leaf, before) in enumerate(zip(leaves, held, strict=True)):
        if (leaf.grad is None) != (before is None):
            raise ContractBroken(
                f"parameter {i} had {'no' if before is None else 'a'} gradient before clipping and "
                f"{'none' if leaf.grad is None else 'one'} after it"
            )
    return {
        "gradients": [None if leaf.grad is None else leaf.grad.detach().clone() for leaf in leaves],
        "parameters": [leaf.detach().clone() for leaf in leaves],
    }


DRIVERS = (
    adamw_trajectory,
    adamw_gradients_after_step,
    adamw_step_with_closure,
    adamw_is_optimizer,
    learning_rates,
    clip,
)
