"""On which systems the kit runs, and with which Python; sentences for where it does not."""

from __future__ import annotations

OLDEST_PYTHON = (3, 11)
"""As `requires-python` in pyproject.toml, which a Python that is older cannot read."""

INTEL_MAC = (
    "PyTorch has had no packages for Intel Macs since version 2.2, and the kit needs 2.6. On a Mac with Apple silicon, "
    "install a Python that is built for arm64; on an Intel Mac, use another machine, or Linux in a virtual one."
)
MAC = (
    "On macOS the code is isolated at the level `process` only, memory is not limited, and there is neither Triton nor "
    "CUDA: kernels in Triton and races on a GPU are not assessed."
)


def why_not_on(platform: str) -> str | None:
    """A sentence on why no submission can be tested on a system, and what to do; None where it can.

    Args:
        platform: its name as `sys.platform` has it.
    """
    if platform != "win32":
        return None
    return (
        "Windows lacks the process groups, signals and inherited sockets that the wall around a submission is made of; "
        "run the same command in WSL (`wsl --install`), with the kit in a folder there."
    )


def why_not_in(version: tuple[int, ...]) -> str | None:
    """A sentence on why the kit does not run in a Python, and what to do; None where it does.

    Args:
        version: as `sys.version_info` has it.
    """
    if tuple(version[:2]) >= OLDEST_PYTHON:
        return None
    found, oldest = (".".join(map(str, numbers)) for numbers in (version[:2], OLDEST_PYTHON))
    return (
        f"this is Python {found}, and the kit needs {oldest} or later: `make setup PYTHON=python3.12` makes an "
        "environment with another one, and .venv/bin/python is then the one to use."
    )


def without(package: str, python: str, platform: str, machine: str) -> str:
    """A sentence for whoever starts the kit with a Python that lacks one of its packages.

    Args:
        package: its name; python: path of the interpreter; platform, machine: as `sys.platform` and
            `platform.machine()` have them.
    """
    if sentence := why_not_on(platform):
        return sentence
    if is_intel_mac(platform, machine) and package == "torch":
        return INTEL_MAC
    return (
        f"{python} lacks the package {package}, which the kit needs: `make setup` installs it in .venv, and "
        "`.venv/bin/python -m grader` uses it, as does `uv run python -m grader`."
    )


def is_intel_mac(platform: str, machine: str) -> bool:
    """Whether Python is built for an Intel Mac, be it that it runs on one or not."""
    return platform == "darwin" and machine == "x86_64"
