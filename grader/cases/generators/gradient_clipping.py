"""Cases for gradient clipping: gradients and parameters after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from ..case import Case, Draw


def generate(draw: Draw) -> Iterator[Case]:
    def case(
        name: str,
        norms: Sequence[float | None],
        limit: float,
        group: str = "reference",
        shapes: Sequence[tuple[int, ...]] = ((4, 3), (5,), (2, 3, 2), (6,)),
        parameter_scale: float = 1.0,
        **inputs,
    ) -> Case:
        """One parameter per norm, with a gradient of that norm, or none."""
        gradients = [
            None if norm is None else _of_norm(draw.normal(*shape), norm)
            for shape, norm in zip(shapes, norms, strict=False)
        ]
        # Parameters that are as large as their gradients: whoever takes the one for the other is told so elsewhere.
        parameters = [
            draw.normal(*shape) if gradient is None else parameter_scale * gradient
            for shape, gradient in zip(shapes, gradients, strict=False)
        ]
        arguments = {
            "parameters": parameters,
            "gradients": gradients,
            "max_l2_norm": limit,
            **inputs,
        }
        return Case(name, "clip", arguments, group)

    yield case("one_parameter", [10.0], 1.0)
    yield case("far_beyond", [1e6], 0.01)
    yield case("just_beyond", [1.1], 1.0)
    yield case("limit_above_one", [80.0], 25.0)
    yield case("at_the_limit", [5.0], 5.0)  # scaled or not: eps changes less than the tolerance

    yield case("each_within", [0.8, 0.9, 0.7, 0.6], 1.0, "joint")
    yield case("one_beyond", [0.1, 6.0, 0.2], 2.0, "joint")
    yield case("all_beyond", [3.0, 40.0, 5.0, 2.0], 1.0, "joint")
    yield case("sum_beyond_but_norm_within", [0.6, 0.5, 0.5], 1.0, "joint")

    yield case("some", [2.0, None, 3.0, None], 1.0, "none_among")
    yield case("the_first", [None, 4.0], 0.5, "none_among")
    yield case("the_last", [4.0, None], 0.5, "none_among")

    # Clipping the parameters, or by their norm, does something here; what is asked for does nothing, and conversely.
    yield case("large_parameters_small_gradients", [0.3, 0.2], 1.0, "parameters", parameter_scale=100.0)
    yield case("small_parameters_large_gradients", [30.0, 20.0], 1.0, "parameters", parameter_scale=0.01)

    yield case("generator", [3.0, 4.0], 1.0, "generator", as_generator=True)
    yield case("generator_of_many", [1.0, 12.0, 5.0, 2.0], 6.0, "generator", as_generator=True)

    # max / (norm + eps) with eps = 1e-6: next to a norm of this size it shows.
    # One element, whose size is its norm, of whatever kind.
    yield case("tiny_norm", [1e-5], 5e-6, "eps", shapes=((1,),))
    yield case("about_eps", [2e-6], 1e-6, "eps", shapes=((1,),))
    # Added to the squares under the root, eps is a thousand times as much.
    yield case("small_norm", [1e-3], 5e-4, "eps", shapes=((1,),))

    columns = case("transposed", [7.0], 2.0, "strided", shapes=((5, 3),))
    columns.inputs["parameters"] = [tensor.T for tensor in columns.inputs["parameters"]]
    columns.inputs["gradients"] = [tensor.T for tensor in columns.inputs["gradients"]]
    yield columns


def _of_norm(direction: torch.Tensor, norm: float) -> torch.Tensor:
    wide = direction.double()
    return (wide / wide.norm() * norm).float()
