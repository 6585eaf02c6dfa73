"""On which systems a submission can be graded."""

from __future__ import annotations


def why_not_on(platform: str) -> str | None:
    """A sentence on why no submission can be graded on a system, and what to do; None where it can.

    Args:
        platform: its name as `sys.platform` has it.
    """
    if platform != "win32":
        return None
    return (
        "Windows lacks the process groups, signals and inherited sockets that the wall around a submission is made of; "
        "run the same command in WSL (`wsl --install`), with the kit in a folder there."
    )
