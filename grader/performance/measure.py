"""Time the Triton kernels beside eager PyTorch, torch.compile and library kernels.

    python -m grader.performance.measure [--quick] [--only WORD] [--json FILE]
    python -m grader.performance.measure --method [--stand-in]

Two ceilings are measured in the same run, copying and a bf16 matrix product, and each kernel's least bytes or
FLOPs over its median time are given as a share of them. Contenders take turns (A B C, C B A, ...), so that
drifting clocks meet all alike. Before each timed call the L2 cache is swept by reading, and the GPU is kept
asleep until the host has queued the call: device time alone is measured.

With --method, the timing method itself is measured instead, the one of grades: the same code against itself, and
against a copy that does 5 % more, each behind the wall. With --stand-in this happens on the CPU.

With --json, results are written after each benchmark and benchmarks that the file already holds are not run
again. A contender that fails is reported with its error, and the rest go on.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import triton
from rich.console import Console
from rich.table import Table

from .devices import CpuDevice, CudaDevice, Device
from .kernel_benchmarks import COMPILED, DEVICE, EAGER, LIBRARY, OURS, Call, KernelBenchmark, all_benchmarks
from .method import examine

WARM_UPS = 3
ROUNDS, QUICK_ROUNDS = 15, 5  # each has every contender twice
SLEEP_CYCLES = 2_000_000  # about 1 ms, longer than a call takes to queue
COPY_ELEMENTS = 2**30  # bytes read, and as many written
MATRIX_SIDE = 8_192


@dataclass(frozen=True)
class BenchmarkResult:
    """Medians of one benchmark in ms, and what the fastest possible time is counted from."""

    kernel: str
    tensors: str
    least_bytes: int
    least_flops: int
    copy_bandwidth: float  # bytes/s
    matrix_rate: float  # FLOP/s
    milliseconds: dict[str, float]
    errors: dict[str, str]

    @property
    def rate(self) -> float | None:
        """What ours reaches, in bytes/s or FLOP/s of the least work."""
        ours = self.milliseconds.get(OURS)
        return None if ours is None else (self.least_bytes or self.least_flops) / (ours * 1e-3)

    @property
    def share(self) -> float | None:
        """The rate over its ceiling."""
        ceiling = self.copy_bandwidth if self.least_bytes else self.matrix_rate
        return None if self.rate is None else self.rate / ceiling

    def speed_up(self, contender: str) -> float | None:
        """How many times as long the contender takes as ours does."""
        theirs, ours = self.milliseconds.get(contender), self.milliseconds.get(OURS)
        return None if theirs is None or ours is None else theirs / ours


class Stopwatch:
    """Times calls on the device, each with a cold L2 cache."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        l2_bytes = torch.cuda.get_device_properties(DEVICE).L2_cache_size
        self.sweep = torch.zeros(4 * l2_bytes // 4, device=DEVICE, dtype=torch.int32)  # four times the cache

    def once(self, call: Call) -> float:
        """Milliseconds of one call. The sweep reads: written lines would be flushed on the call's account."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.sweep.max()
        torch.cuda._sleep(SLEEP_CYCLES)
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end)

    def medians(self, calls: Mapping[str, Call]) -> dict[str, float]:
        """The median of each call's times, taken in turns forth and back."""
        for call in calls.values():
            for _ in range(WARM_UPS):
                self.once(call)
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(self.rounds):
            for name in [*calls, *reversed(list(calls))]:
                times[name].append(self.once(calls[name]))
        return {name: statistics.median(values) for name, values in times.items()}


def measure_ceilings(stopwatch: Stopwatch) -> tuple[float, float]:
    """Bytes/s of a device-to-device copy, read and written, and FLOP/s of a bf16 matrix product."""
    source = torch.randint(256, (COPY_ELEMENTS,), device=DEVICE, dtype=torch.uint8)
    target = torch.empty_like(source)
    a, b = (torch.randn(MATRIX_SIDE, MATRIX_SIDE, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    medians = stopwatch.medians({"copy": lambda: target.copy_(source), "product": lambda: a @ b})
    return 2 * COPY_ELEMENTS / (medians["copy"] * 1e-3), 2 * MATRIX_SIDE**3 / (medians["product"] * 1e-3)


def hold(
    benchmark: KernelBenchmark, stopwatch: Stopwatch, copy_bandwidth: float, matrix_rate: float
) -> BenchmarkResult:
    """Time all contenders that run; those that do not are reported with their error."""
    calls: dict[str, Call] = {}
    errors: dict[str, str] = {}
    for name, prepare in benchmark.contenders().items():
        try:
            call = prepare()
            stopwatch.once(call)
        except Exception as error:  # whatever a contender raises is its result
            errors[name] = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        else:
            calls[name] = call
    medians = stopwatch.medians(calls)
    return BenchmarkResult(
        benchmark.kernel, benchmark.tensors, benchmark.least_bytes, benchmark.least_flops,
        copy_bandwidth, matrix_rate, medians, errors,
    )  # fmt: skip


def as_table(results: list[BenchmarkResult]) -> Table:
    """One row per benchmark; the last three columns say how many times as long the others take."""
    table = Table("kernel", "tensors", title="Triton kernels")
    for heading in ("ms", "rate", "of ceiling", "eager ×", "compile ×", "library ×"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        unit, scale = ("GB/s", 1e9) if result.least_bytes else ("TFLOP/s", 1e12)
        ours, rate, share = result.milliseconds.get(OURS), result.rate, result.share
        table.add_row(
            result.kernel,
            result.tensors,
            result.errors.get(OURS, "") if ours is None else f"{ours:.3f}",
            "" if rate is None else f"{rate / scale:,.0f} {unit}",
            "" if share is None else f"{share:.0%}",
            *(
                result.errors.get(name, "").partition(":")[0] if ratio is None else f"{ratio:.2f}"
                for name, ratio in ((name, result.speed_up(name)) for name in (EAGER, COMPILED, LIBRARY))
            ),
        )
    return table


def load(path: Path | None, environment: dict[str, str]) -> list[BenchmarkResult]:
    """What an earlier run on the same kind of machine left in the file, but for failures of ours."""
    if path is None or not path.exists():
        return []
    earlier = json.loads(path.read_text())
    if earlier["environment"] != environment:
        return []
    results = [BenchmarkResult(**result) for result in earlier["results"]]
    return [result for result in results if OURS not in result.errors]


def measure_method(device: Device) -> int:
    """Print what the timing method says about code of known speed; returns 1 if it is mistaken."""
    mistaken = 0
    for finding in examine(device):
        result, word = finding.result, "as it should" if finding.is_right else "NOT as it should"
        ratio = f"{result.ratio:.4f} [{result.low:.4f}, {result.high:.4f}] in {result.pairs} pairs"
        print(f"{finding.what}: {result.message or ratio}, {word}", flush=True)
        mistaken += not finding.is_right
    return int(mistaken > 0)


def main() -> int:
    """Measure, print a table, and return 1 if one of our kernels failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one or two shapes per kernel, fewer rounds")
    parser.add_argument("--only", default="", metavar="WORD", help="only kernels with this word in their name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write results here, and resume from it")
    parser.add_argument("--method", action="store_true", help="measure the timing method of grades instead")
    parser.add_argument("--stand-in", action="store_true", help="with --method: on the CPU, in the place of a GPU")
    options = parser.parse_args()
    if options.method and options.stand_in:
        return measure_method(CpuDevice())
    if not torch.cuda.is_available():
        print("measure: needs a CUDA GPU, and this machine has none that torch can see.", file=sys.stderr)
        return 2

    if options.method:
        return measure_method(CudaDevice())
    console = Console(width=None if sys.stdout.isatty() else 160)
    environment = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "triton": triton.__version__,
    }
    stopwatch = Stopwatch(QUICK_ROUNDS if options.quick else ROUNDS)
    copy_bandwidth, matrix_rate = measure_ceilings(stopwatch)
    console.print(
        f"{environment['device']}, torch {environment['torch']}, triton {environment['triton']}: "
        f"copy {copy_bandwidth / 1e12:.2f} TB/s, bf16 product {matrix_rate / 1e12:.0f} TFLOP/s"
    )

    results = load(options.json, environment)
    done = {(result.kernel, result.tensors) for result in results}
    for benchmark in all_benchmarks(options.quick):
        if (benchmark.kernel, benchmark.tensors) in done or options.only.lower() not in benchmark.kernel.lower():
            continue
        result = hold(benchmark, stopwatch, copy_bandwidth, matrix_rate)
        results.append(result)
        shown = ", ".join(f"{name} {ms:.3f} ms" for name, ms in result.milliseconds.items())
        console.print(f"{benchmark.kernel}, {benchmark.tensors}: {shown}", highlight=False)
        for name, error in result.errors.items():
            console.print(f"  {name} failed: {error}", highlight=False, markup=False)
        if options.json:
            content = {"environment": environment, "results": [asdict(result) for result in results]}
            options.json.write_text(json.dumps(content, indent=1))
        torch.compiler.reset()
        gc.collect()
        torch.cuda.empty_cache()

    console.print(as_table(results))
    return 1 if any(OURS in result.errors for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
