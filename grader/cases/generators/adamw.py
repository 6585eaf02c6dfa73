"""Cases for AdamW: parameters after each step, for given gradients.

Two details have two right readings: weight decay comes before the gradient step (PyTorch) or after it (the
assignment's algorithm), and eps is added to the root of the corrected second moment (PyTorch) or of the uncorrected
one (the algorithm, which folds the corrections into alpha_t). Where they matter, PyTorch's own optimizer is a peer of
the reference. No case lets both matter at once, so that mixtures of the readings pass as well.

Weights decay in every case, as the assignment's own optimizer has them do, but in cases about something else by so
little that it does not show. What nobody is promised to be asked, no decay and no momentum, has a group of its own.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any

import torch

from ...submission.in_process import InProcess
from ..case import Case, Draw, Oracle
from ..compare import Tolerance

_LR = 0.05
_UNSEEN = 1e-7
"""A weight decay that changes no digit which is compared."""
# A running mean written as lerp(g^2, v, beta2) loses three digits of float32 in the first steps, and is right.
_TOLERANCE = Tolerance(5e-5)
_SHAPES = ((3, 4), (7,), (4, 3), (), (2, 3, 2), (3, 4))


def generate(draw: Draw) -> Iterator[Case]:
    # With an eps as small as this its place does not show, so that only the claim about eps speaks of it.
    def options(
        lr: float = _LR, betas=(0.9, 0.999), eps: float = 1e-12, weight_decay: float = _UNSEEN
    ) -> dict[str, Any]:
        return {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}

    def case(name: str, group: str, shapes, steps: int = 6, both_readings: bool = False, **inputs: Any) -> Case:
        arguments = {
            "parameters": [draw.normal(*shape) for shape in shapes],
            "gradients": [[draw.normal(*shape) for shape in shapes] for _ in range(steps)],
            "options": options(),
            **inputs,
        }
        peers = (_pytorch(),) if both_readings else ()
        return Case(name, "adamw_trajectory", arguments, group, _TOLERANCE, peers=peers)

    yield case("one_matrix", "reference", [(3, 5)])
    yield case("fifty_steps", "reference", [(6,)], steps=50)
    yield case("other_betas", "reference", [(8,)], options=options(betas=(0.75, 0.9)))
    # Adam's step hardly depends on the size of the gradients, only on their course.
    yield case("large_gradients", "reference", [(8,)], gradients=[[draw.normal(8, scale=1e4)] for _ in range(4)])
    yield case("sparse_gradients", "reference", [(4, 3)], gradients=_rows_in_turn(draw, rows=4, width=3, steps=6))

    # With gradients of zero, or far below eps, decay is all that moves a parameter.
    for name, shape, lr, weight_decay, size in (
        ("decays", (4, 4), _LR, 0.4, 0.0),
        ("decays_fast", (5,), 0.3, 0.9, 1e-20),
    ):
        gradients = [[torch.full(shape, size)]] * 4
        yield case(name, "decay", [shape], gradients=gradients, options=options(lr=lr, weight_decay=weight_decay))

    yield case("generator", "generator", [(4,)], steps=3, as_generator=True)

    yield case("shapes", "several", _SHAPES, steps=4)
    yield case("same_shapes", "several", [(5,), (5,), (5,)])

    # Gradients about as large as eps: its place decides every digit.
    for name, eps, scale in (("eps_like_gradients", 0.1, 0.1), ("eps_above_gradients", 1e-3, 1e-4)):
        gradients = [[draw.normal(8, scale=scale)] for _ in range(5)]
        yield case(name, "eps", [(8,)], gradients=gradients, options=options(eps=eps), both_readings=True)

    yield case(
        "frozen",
        "frozen",
        [(4,), (3, 3), (5,)],
        gradients=[[draw.normal(4), None, draw.normal(5)] for _ in range(4)],
    )

    # Each parameter sees another number of steps; without decay, and with betas for which the count matters long.
    yield case(
        "some_steps_without",
        "own_steps",
        [(4,), (4,), (3,)],
        gradients=[
            [None if (step + i) % (i + 2) else draw.normal(4 if i < 2 else 3) for i in range(3)] for step in range(8)
        ],
    )

    two = [(4,), (3, 2), (5,)]
    rates = [{"members": [0, 2], "lr": 0.02}, {"members": [1], "lr": 0.15}]
    decays = [{"members": [1], "weight_decay": 0.9}, {"members": [0, 2], "weight_decay": 0.05}]
    other = [{"members": [0], "betas": (0.5, 0.9)}, {"members": [1, 2], "lr": 0.1}]
    yield case("learning_rates", "groups", two, groups=rates)
    yield case("weight_decays", "groups", two, groups=decays, both_readings=True)
    yield case("betas", "groups", two, groups=other)
    # What decays depends on the rate, and on the one that holds now.
    both = [{"members": [0, 2], "lr": 0.05, "weight_decay": 0.9}, {"members": [1], "lr": 0.3, "weight_decay": 0.4}]
    yield case("rates_and_decays", "groups", two, groups=both, both_readings=True)

    yield case("warm_up", "scheduled", [(6,)], learning_rates={i: [0.02 * (i + 1)] for i in range(6)})
    decaying = options(weight_decay=0.8)
    rates_in_turn = {0: [0.02], 1: [0.3], 3: [0.1]}
    still = [[torch.zeros(6)]] * 6
    yield case("decay", "decay_scheduled", [(6,)], gradients=still, options=decaying, learning_rates=rates_in_turn)
    yield case("zero_for_a_while", "scheduled", [(5,)], learning_rates={0: [0.2], 2: [0.0], 4: [0.05]})
    yield case(
        "each_group",
        "scheduled",
        two,
        groups=rates,
        learning_rates={1: [0.3, 0.01], 3: [0.05, 0.0]},
    )

    yield case("after_three_steps", "resumed", [(3, 4), (5,)], reload_after=3)
    yield case("with_groups", "resumed", two, groups=rates, reload_after=2, learning_rates={1: [0.1, 0.3]})

    yield case("no_decay", "corners", [(3, 5)], options=options(weight_decay=0.0))
    yield case("no_momentum", "corners", [(8,)], options=options(betas=(0.0, 0.95)))

    yield Case(
        "gradients",
        "adamw_gradients_after_step",
        {
            "parameters": [draw.normal(3, 4)],
            "gradients": [draw.normal(3, 4)],
            "options": options(eps=1e-8, weight_decay=0.4),
        },
        "left_alone",
        _TOLERANCE,
        peers=(_pytorch(),),
    )

    for name in ("one", "another"):
        arguments = {"parameter": draw.normal(6), "gradient": draw.normal(6), "options": options()}
        yield Case(name, "adamw_step_with_closure", arguments, "closure", _TOLERANCE)


def _rows_in_turn(draw: Draw, rows: int, width: int, steps: int) -> list[list[torch.Tensor]]:
    """Gradients of an embedding: each step only one row has any, and the last row never."""
    gradients = []
    for step in range(steps):
        gradient = torch.zeros(rows, width)
        gradient[step % (rows - 1)] = draw.normal(width)
        gradients.append([gradient])
    return gradients


@functools.cache
def _pytorch() -> Oracle:
    """PyTorch's own AdamW, run by the same driver."""
    adapters = types.ModuleType("pytorch")
    vars(adapters)["get_adamw_cls"] = lambda: torch.optim.AdamW
    return InProcess(adapters).perform
