"""How fast your BPE is, on this machine: `python -m pytest benchmarks`, with pytest-benchmark's table and options.

    python -m pytest benchmarks --benchmark-group-by=func     yours beside the reference, where that is at hand
    python -m pytest benchmarks --benchmark-save=before        keep a run, and compare with it later

Every round has a text of its own. Grades use the ratio to the reference, never seconds (see `grader/performance`).
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import tracemalloc
from pathlib import Path

import pytest

from grader.cases.assets import load
from grader.cases.fresh_text import shuffled_text, with_letters_exchanged

END = "<|endoftext|>"
MIB = 1 << 20
ROUNDS = 5
CONTESTANTS = {"yours": "adapters"}
if importlib.util.find_spec("grader.reference") is not None:
    CONTESTANTS["reference"] = "grader.reference.adapters"


@pytest.fixture(params=list(CONTESTANTS.values()), ids=list(CONTESTANTS))
def adapters(request):
    """The adapters of one contestant."""
    return importlib.import_module(request.param)


def measure(benchmark, job, inputs):
    """Time `job` on fresh inputs each round, and note how much memory one more call takes at its peak."""
    try:
        job(*next(inputs))
    except NotImplementedError as error:
        pytest.skip(str(error))
    benchmark.pedantic(job, setup=lambda: (next(inputs), {}), rounds=ROUNDS)
    arguments = next(inputs)
    tracemalloc.start()
    job(*arguments)
    benchmark.extra_info["peak_mib"] = round(tracemalloc.get_traced_memory()[1] / MIB, 1)
    tracemalloc.stop()


@pytest.mark.parametrize(("kilobytes", "vocab_size"), [(130, 500), (250, 2_000)])
def test_train_bpe(benchmark, adapters, tmp_path: Path, kilobytes, vocab_size):
    """Train on English-like text whose letters are other ones in each round."""

    def inputs():
        for seed in itertools.count():
            path = tmp_path / f"{seed}.txt"
            path.write_text(with_letters_exchanged(shuffled_text(seed, 1000 * kilobytes), seed), "utf-8")
            yield path, vocab_size, [END]

    measure(benchmark, lambda *given: adapters.run_train_bpe(*given), inputs())


def test_encode(benchmark, adapters):
    """Encode 200 kB of English with GPT-2's vocabulary."""
    try:
        tokenizer = adapters.get_tokenizer(load("gpt2/vocab"), load("gpt2/merges"), [END])
    except NotImplementedError as error:
        pytest.skip(str(error))
    texts = ((shuffled_text(seed, 200_000),) for seed in itertools.count())
    measure(benchmark, lambda text: tokenizer.encode(text), texts)
