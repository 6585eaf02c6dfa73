"""How the cost of BPE training grows with text and vocabulary, as a picture: benchmarks/pictures/bpe_cost.svg.

    python -m benchmarks.scaling                    texts of 2, 5, 20 and 50 MB, vocabularies of 500 to 32,000
    python -m benchmarks.scaling --megabytes 2 5 20 50 200

Costs are seconds of the processor, with one process; texts are made (see `benchmarks.corpus`). The exponent of a power
law that fits the points best (least squares of the logarithms) is printed: 1 is linear.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from grader.kit.paths import KIT
from grader.reference.bpe import _learn_merges
from grader.reference.pretokenization import _count_pretokens

from .corpus import END_OF_TEXT, write_corpus

PICTURE = KIT / "benchmarks" / "pictures" / "bpe_cost.svg"
VOCAB_SIZES = (500, 2_000, 8_000, 32_000)
_SMALLEST = 257  # the bytes and one special token


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The b of the power law a x^b that fits best."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def cost(path: Path, vocab_sizes: Sequence[int]) -> tuple[float, list[float]]:
    """CPU seconds of counting pre-tokens, and of learning each vocabulary from the counts."""
    start = time.process_time()
    counts = _count_pretokens(path, [END_OF_TEXT], 1)
    counting = time.process_time() - start
    learning = []
    for vocab_size in vocab_sizes:
        start = time.process_time()
        _learn_merges(counts, vocab_size - _SMALLEST)
        learning.append(time.process_time() - start)
    return counting, learning


def draw(megabytes: Sequence[float], costs: Sequence[Sequence[float]], picture: Path) -> None:
    """Total cost over size, a line for each vocabulary, both axes logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4))
    axes = figure.add_axes((0.1, 0.13, 0.87, 0.78))
    for vocab_size, column in zip(VOCAB_SIZES, zip(*costs, strict=True), strict=True):
        axes.plot(megabytes, column, marker="o", label=f"{vocab_size:,} ids: size^{exponent(megabytes, column):.2f}")
    linear = [costs[0][0] * size / megabytes[0] for size in megabytes]
    axes.plot(megabytes, linear, linestyle=":", color="gray", label="linear")
    axes.set(
        xlabel="text (MB)", ylabel="processor time (s)", xscale="log", yscale="log", title="BPE training, one process"
    )
    axes.set_xticks(megabytes, [f"{size:g}" for size in megabytes])
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, format="svg", metadata={"Date": None})


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser("python -m benchmarks.scaling", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[2, 5, 20, 50])
    parser.add_argument("--out", type=Path, default=PICTURE)
    options = parser.parse_args()
    countings, totals = [], []
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "corpus.txt")
            write_corpus(path, "English", megabytes)
            counting, learning = cost(path, VOCAB_SIZES)
        countings.append(counting)
        totals.append([counting + one for one in learning])
        merges = ", ".join(f"{one:.2f} s for {size:,}" for size, one in zip(VOCAB_SIZES, learning, strict=True))
        print(f"{megabytes:g} MB: counting {counting:.2f} s; merges: {merges}", flush=True)
    print(f"counting grows with size^{exponent(options.megabytes, countings):.2f}")
    for vocab_size, column in zip(VOCAB_SIZES, zip(*totals, strict=True), strict=True):
        print(f"training {vocab_size:,} ids grows with size^{exponent(options.megabytes, column):.2f}")
    draw(options.megabytes, totals, options.out)


if __name__ == "__main__":
    main()
