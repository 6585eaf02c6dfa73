"""Cases for cross-entropy."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..case import Case, Draw
from ..compare import Tolerance


def generate(draw: Draw) -> Iterator[Case]:
    def case(name: str, logits: torch.Tensor, group: str = "reference", **options) -> Case:
        targets = options.pop("targets", None)
        if targets is None:
            targets = draw.integers(0, logits.shape[-1], *logits.shape[:-1])
        return Case(name, "run_cross_entropy", {"inputs": logits, "targets": targets}, group, **options)

    yield case("batch", draw.normal(8, 5))
    yield case("one_row", draw.normal(1, 12))
    yield case("two_classes", draw.normal(6, 2, scale=2))
    yield case("batch_as_large_as_vocabulary", draw.normal(7, 7))
    yield case("many_rows", draw.normal(96, 30))
    yield case("transposed", draw.normal(9, 6).T)
    # Every row has the same right class, so a loss that looks at the wrong rows or columns sees another number.
    yield case("one_class_only", draw.normal(10, 6), targets=torch.full((10,), draw.integer(0, 6)))
    yield case("first_and_last_class", draw.normal(4, 9), targets=torch.tensor([0, 8, 8, 0]))

    # Logarithm and maximum of numbers near 1e4 are rounded to 1e-3 in float32: that much is granted. What overflows
    # or underflows gives inf or nan instead.
    def large(name: str, logits: torch.Tensor, **options) -> Case:
        return case(name, logits, group="large", tolerance=Tolerance(2e-5, absolute=2e-3), **options)

    yield large("times_1000", 1000 * draw.uniform(8, 5))
    yield large("all_near_10000", draw.normal(6, 8) + 1e4)
    yield large("all_near_minus_10000", draw.normal(6, 8) - 1e4)
    yield large("rows_at_different_levels", draw.normal(7, 5) + draw.normal(7, 1, scale=800))
    yield large("from_minus_10000_to_10000", draw.uniform(12, 16, low=-1e4, high=1e4))
    # Half of the rows are all but certain and right (their loss is about 0), the others as certain and wrong.
    certain = draw.normal(8, 6)
    certain[:, 2] += 120
    yield large("one_class_dominates", certain, targets=torch.tensor([2, 2, 2, 2, 0, 1, 3, 5]))

    # As many as a batch of long sequences has, and one number comes back: the last third of the rows is as wrong as it
    # can be, so that their loss is missed. The vocabulary leaves room for those who make an identity matrix of it.
    def many(name: str, rows: int, classes: int, **options) -> Case:
        targets = draw.integers(0, classes, rows)
        targets[0] = classes - 1
        logits = draw.recipe(rows, classes, scale=3)
        targets[-(rows // 3) :] = logits.tensor()[-(rows // 3) :].argmin(-1)
        return Case(name, "run_cross_entropy", {"inputs": logits, "targets": targets}, "many", **options)

    yield many("many_rows", 7000, 5)
    yield many("many_classes", 3, 6000)
    yield many("much_larger", 1500, 2000, stored=False)

    for name, dtype in (("float64", torch.float64), ("float16", torch.float16), ("bfloat16", torch.bfloat16)):
        tolerance = Tolerance({"float64": 2e-5, "float16": 3e-3, "bfloat16": 2e-2}[name])
        yield case(name, draw.normal(6, 8, scale=2, dtype=dtype), group="dtypes", tolerance=tolerance)

    yield case("two_batch_dimensions", draw.normal(3, 5, 11), group="batched")
    yield case("batch_of_one_sequence", draw.normal(1, 6, 4), group="batched")
    yield case("square_everywhere", draw.normal(4, 4, 4), group="batched")
    # What comes before batch and sequence may as well be taken for several batches, each with a mean of its own.
    yield case("three_batch_dimensions", draw.normal(2, 3, 4, 7), group="further_dimensions")

    for name, scale in (("ordinary", 1.0), ("decided", 1.2)):
        arguments = {
            "adapter": "run_cross_entropy",
            "inputs": {"inputs": draw.normal(6, 9, scale=scale), "targets": draw.integers(0, 9, 6)},
            "wrt": ["inputs"],
            "cotangent": draw.uniform(low=0.5, high=2.0),
        }
        # A factor of p / (p + 1e-6) is another claim's.
        yield Case(name, "gradients", arguments, "gradient", Tolerance(2e-4))

    for name, logits in (("ordinary", draw.normal(5, 7)), ("offset", draw.normal(5, 7) + 50)):
        inputs = {"inputs": logits, "targets": draw.integers(0, 7, 5)}
        yield Case(name, "inputs_after", {"adapter": "run_cross_entropy", "inputs": inputs}, "aliasing")
