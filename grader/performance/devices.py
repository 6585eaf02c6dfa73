"""What a race needs of a machine: caches to flush, work to wait for, ceilings, and words for the report.

Two implementations of one protocol. `CudaDevice` is the one that points are given on. `CpuDevice` is its stand-in: the
same races run on it, over the same kind of shared memory, so that the whole path from judge to worker and back is
tested where there is no GPU, attacks included.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from ..wall.walled import WalledSubmission

MIB = 1 << 20
_PROBES = 20
_QUIET_WITHIN_S = 2.0
_BUSY_FACTOR = 1.5
"""A probe that takes so many times as long as it should has shared the device."""


class DeviceBusy(Exception):
    """Something else keeps the device busy; the message says so to a person."""


@dataclass(frozen=True)
class Ceilings:
    """What the device can do at most, as measured: bytes/s of a copy (read and written), FLOP/s of a matrix product."""

    bandwidth: float
    product_rates: dict[str, float]

    def least_seconds(self, least_bytes: int, least_flops: int, dtype: str) -> float:
        """The shortest time in which so many bytes can be moved and so many operations done."""
        return max(least_bytes / self.bandwidth, least_flops / self.product_rates[dtype])


class Device(Protocol):
    """Where races are run."""

    name: str
    """As torch calls it: "cpu" or "cuda"."""
    batch_s: float
    """Seconds that the reference should take for one turn, so that what a turn costs beside it is small."""
    memory_bytes: int
    """Most bytes of a race's tensors."""

    def settle(self, submission: WalledSubmission) -> None:
        """See to it that a worker that has just been started runs where the others do."""

    def begin(self, submission: WalledSubmission) -> float:
        """The reading of the clock before a turn, when the submission is still stopped."""

    def seconds_since(self, reading: float, submission: WalledSubmission, answered: float) -> float:
        """How long a turn took, once the submission is stopped again. answered: the host's clock at its answer."""

    def synchronize(self) -> None:
        """Wait for everything that this process has asked of the device."""

    def flush(self) -> None:
        """Sweep the caches, by reading: lines that were written would be flushed on the next one's account."""

    def wait_until_quiet(self) -> None:
        """Wait until nobody else's work is on the device.

        Raises:
            DeviceBusy: when that does not happen.
        """

    def ceilings(self) -> Ceilings:
        """Measure what the device can do."""

    def used_bytes(self) -> int:
        """Bytes of the device's memory that are in use, by whomever."""

    def describe(self) -> dict[str, Any]:
        """The device, its state and versions, for the report."""


class CpuDevice:
    """One core of the CPU, as a stand-in for a GPU.

    Its clock is the kernel's account of the processor time of all that a worker runs. The host's clock would measure
    what else the machine does: there are no other cores where the rest could go on meanwhile.
    """

    name = "cpu"
    batch_s = 8e-3
    memory_bytes = 64 * MIB

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self._cpu = max(os.sched_getaffinity(0))  # contestants share one, so that its neighbours disturb both alike
        self._sweep = torch.zeros(2 * _largest_cache() // 4, dtype=torch.int32)

    def settle(self, submission: WalledSubmission) -> None:
        submission.pin(self._cpu)

    def begin(self, submission: WalledSubmission) -> float:
        return submission.cpu_seconds()

    def seconds_since(self, reading: float, submission: WalledSubmission, answered: float) -> float:
        return submission.cpu_seconds() - reading

    def synchronize(self) -> None:
        """The CPU has done what it was asked."""

    def flush(self) -> None:
        self._sweep.max()

    def wait_until_quiet(self) -> None:
        """Nothing to wait for: whoever does not have the turn is stopped."""

    def ceilings(self) -> Ceilings:
        """Within the caches, where small tensors live: the machine can do no better."""
        source = torch.zeros(128 * 1024, dtype=torch.uint8)
        target = torch.empty_like(source)
        a = {dtype: torch.zeros(384, 384, dtype=getattr(torch, dtype)) for dtype in ("float32", "float64")}
        copying = _best_seconds(lambda: target.copy_(source))
        products = {dtype: 2 * 384**3 / _best_seconds(lambda m=m: m @ m) for dtype, m in a.items()}
        return Ceilings(2 * source.numel() / copying, products)

    def used_bytes(self) -> int:
        return 0

    def describe(self) -> dict[str, Any]:
        return {"device": "CPU, one core, as a stand-in", "torch": torch.__version__, "load": os.getloadavg()[0]}


class CudaDevice:
    """The current CUDA device. Its clock is the host's: an event is recorded by whoever is to be timed."""

    name = "cuda"
    batch_s = 25e-3
    memory_bytes = 20 << 30

    def __init__(self) -> None:
        properties = torch.cuda.get_device_properties("cuda")
        self.memory_bytes = min(self.memory_bytes, properties.total_memory // 4)
        self._sweep = torch.zeros(properties.L2_cache_size, device="cuda", dtype=torch.int32)  # four times the cache
        self._probe = torch.empty(2, 64 * MIB, device="cuda", dtype=torch.uint8)
        self._quiet_ms = min(self._probe_ms() for _ in range(_PROBES))

    def settle(self, submission: WalledSubmission) -> None:
        """There is one GPU."""

    def begin(self, submission: WalledSubmission) -> float:
        return time.perf_counter()

    def seconds_since(self, reading: float, submission: WalledSubmission, answered: float) -> float:
        return answered - reading

    def synchronize(self) -> None:
        torch.cuda.synchronize()

    def flush(self) -> None:
        self._sweep.max()
        torch.cuda.synchronize()

    def wait_until_quiet(self) -> None:
        """Copies of known duration: another process' kernels would share the GPU with them and make them slower."""
        deadline = time.monotonic() + _QUIET_WITHIN_S
        while (took := self._probe_ms()) > _BUSY_FACTOR * self._quiet_ms:
            if time.monotonic() > deadline:
                raise DeviceBusy(
                    "something else is running on the GPU: "
                    f"a copy that took {self._quiet_ms:.2f} ms takes {took:.2f} ms"
                )

    def _probe_ms(self) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        self._probe[1].copy_(self._probe[0])
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end)

    def ceilings(self) -> Ceilings:
        source = torch.empty(1 << 30, device="cuda", dtype=torch.uint8)
        target = torch.empty_like(source)
        bandwidth = 2 * source.numel() / self._best_seconds(lambda: target.copy_(source))
        rates = {}
        for dtype in ("float32", "bfloat16", "float16"):
            a = torch.randn(8192, 8192, device="cuda").to(getattr(torch, dtype))
            rates[dtype] = 2 * 8192**3 / self._best_seconds(lambda a=a: a @ a)
        return Ceilings(bandwidth, rates)

    def _best_seconds(self, work) -> float:
        best = float("inf")
        for _ in range(_PROBES):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            work()
            end.record()
            torch.cuda.synchronize()
            best = min(best, start.elapsed_time(end) * 1e-3)
        return best

    def used_bytes(self) -> int:
        free, total = torch.cuda.mem_get_info()
        return total - free

    def describe(self) -> dict[str, Any]:
        import triton

        return {
            "device": torch.cuda.get_device_name(),
            "torch": torch.__version__,
            "triton": triton.__version__,
            "cuda": torch.version.cuda,
            **_asked_of_nvidia_smi(torch.cuda.current_device()),
        }


def the_device(gpu: bool) -> Device:
    """The GPU, or the CPU in its place."""
    return CudaDevice() if gpu else CpuDevice()


def _best_seconds(work, repeats: int = 50) -> float:
    """The shortest of several runs: a ceiling, so what disturbed the others does not count."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def _largest_cache() -> int:
    """Bytes of the largest cache (Linux says), or a guess."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text("ascii").strip()
        sizes.append(int(text[:-1]) * {"K": 1 << 10, "M": MIB}.get(text[-1], 1))
    return min(max(sizes, default=16 * MIB), 32 * MIB)


_ASKED = {
    "driver_version": "driver",
    "clocks.sm": "clock_mhz",
    "clocks.max.sm": "highest_clock_mhz",
    "clocks.mem": "memory_clock_mhz",
    "clocks_throttle_reasons.active": "throttle_reasons",
    "temperature.gpu": "temperature_c",
    "power.draw": "power_w",
    "compute_mode": "compute_mode",
}


def _asked_of_nvidia_smi(index: int) -> dict[str, Any]:
    """Clocks, throttling and company, as far as nvidia-smi is there to tell."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    found = {}
    for query, name in _ASKED.items():  # one by one: a version that does not know one of them answers none
        found[name] = _first_line(program, f"--query-gpu={query}", f"--id={index}")
    others = _first_line(program, "--query-compute-apps=pid", f"--id={index}", lines=None)
    found["processes_on_gpu"] = str(len(others.split()))
    return {name: value for name, value in found.items() if value}


def _first_line(program: str, *options: str, lines: int | None = 1) -> str:
    command = [program, *options, "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return "\n".join(answer.strip().splitlines()[:lines])


def median_ms(seconds: list[float]) -> float:
    """The median of times in seconds, in ms."""
    return 1e3 * statistics.median(seconds)
