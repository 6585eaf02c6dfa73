"""How long a large class takes on many machines: a simulation with measured times.

python -m benchmarks.large_class [--submissions 10000] [--machines 100] [--threads 2]

Dask gives the next submission to whichever thread is free; an array job has a fixed part for each. What it leaves
out: starting jobs, machines of different speed, and a file system that is slow.
"""

from __future__ import annotations

import argparse
import heapq
import random

SECONDS = (45, 47, 49, 52, 72, 105, 112, 117, 122, 126, 147, 173, 176, 200, 208, 217, 226, 240, 251, 251, 329)
"""Whole grades of 45 solutions on two busy cores: quantiles from the fastest to the slowest, in twentieths."""


def times(count: int, draw: random.Random) -> list[float]:
    """So many times in seconds, drawn between the measured ones."""
    return [_between(draw.random() * (len(SECONDS) - 1)) for _ in range(count)]


def _between(place: float) -> float:
    at = min(int(place), len(SECONDS) - 2)
    return SECONDS[at] + (place - at) * (SECONDS[at + 1] - SECONDS[at])


def by_whoever_is_free(work: list[float], threads: int) -> float:
    """Seconds until all is done when each thread takes the next piece."""
    free = [0.0] * threads
    for seconds in work:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def in_fixed_parts(work: list[float], threads: int) -> float:
    """Seconds until all is done when the k-th of n threads has each n-th piece."""
    return max(sum(work[part::threads]) for part in range(threads))


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser("python -m benchmarks.large_class", description=__doc__)
    parser.add_argument("--submissions", type=int, default=10_000)
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2, help="of each machine, one submission at a time each")
    options = parser.parse_args()
    work, threads = times(options.submissions, random.Random(7)), options.machines * options.threads
    for name, took in (("Dask", by_whoever_is_free(work, threads)), ("array job", in_fixed_parts(work, threads))):
        busy = sum(work) / threads / took
        print(f"{name:10} {took / 3600:5.2f} h, threads busy for {100 * busy:.0f} % of it")


if __name__ == "__main__":
    main()
