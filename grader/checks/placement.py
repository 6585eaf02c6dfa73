"""Is a new module where it should be, and of the right dtype?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..submission.interface import Submission


def check_placement(submission: Submission, factory: str, config: dict[str, Any], what: str) -> None:
    """Raise AssertionError unless every parameter of a new module has the device and the dtype that were asked for.

    The device is torch's "meta", which is on every machine: whatever is made there holds no numbers.

    Args:
        factory: one of the `get_*_module` adapters; config: its arguments besides device and dtype.
        what: a name for messages.
    """
    for device, dtype in (("meta", "float32"), ("cpu", "float64")):
        placed = submission.module_placement(factory=factory, config=config, device=device, dtype=dtype)
        if placed is None:
            continue
        assert placed, f"{what} has no parameters"
        for name, (found_device, found_dtype) in placed.items():
            assert found_device == device, f"{what} with device={device!r} has its {name} on {found_device!r}"
            assert found_dtype == dtype, f"{what} with dtype=torch.{dtype} has a {name} of torch.{found_dtype}"
