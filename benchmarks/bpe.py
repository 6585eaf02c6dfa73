"""Compare BPE training and encoding with other implementations, on this machine and a text of yours.

    python -m benchmarks.bpe --corpus corpus.txt --vocab-size 32000

Every implementation runs in a fresh process on one thread, and the runs take turns, so that a busy machine is
busy for all of them. What counts is the ratio of CPU seconds within a round; its median over the rounds is
printed, with the range. Those of rustbpe, tokenizers and tiktoken that are not installed are left out.
`python -m benchmarks` does this with texts that it makes.
"""

import argparse
import importlib.util
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from grader.kit.paths import FIXTURES, KIT

END_OF_TEXT = "<|endoftext|>"
GPT2 = FIXTURES / "gpt2"
ONE_THREAD = {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}

Job = Callable[[], object]


def read(corpus: str) -> str:
    return Path(corpus).read_bytes().decode("utf-8", "replace")


# --- training: each function prepares a job, which is then timed with the reading of the file ---------------


def train_with_reference(corpus: str, vocab_size: int, num_processes: int) -> Job:
    from grader.reference.bpe import train_bpe

    return lambda: train_bpe(corpus, vocab_size, [END_OF_TEXT], num_processes=num_processes)


def train_with_rustbpe(corpus: str, vocab_size: int) -> Job:
    import rustbpe

    from grader.reference.pretokenization import PRETOKEN_PATTERN

    def job() -> None:
        documents = iter(read(corpus).split(END_OF_TEXT))
        rustbpe.Tokenizer().train_from_iterator(documents, vocab_size - 1, pattern=PRETOKEN_PATTERN)

    return job


def train_with_tokenizers(corpus: str, vocab_size: int) -> Job:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return lambda: tokenizer.train_from_iterator(iter(read(corpus).split(END_OF_TEXT)), trainer)


# --- encoding with GPT-2's vocabulary, of a text that is in memory ------------------------------------------


def encode_with_reference(corpus: str, warm: bool) -> Job:
    from grader.reference.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_files(GPT2 / "vocab.json", GPT2 / "merges.txt", [END_OF_TEXT])
    text = read(corpus)
    if warm:
        tokenizer.encode(text)
    return lambda: tokenizer.encode(text)


def encode_with_tiktoken(corpus: str) -> Job:
    import tiktoken

    from grader.reference.pretokenization import PRETOKEN_PATTERN
    from grader.reference.tokenizer import Tokenizer

    vocab = Tokenizer.from_files(GPT2 / "vocab.json", GPT2 / "merges.txt").vocab
    end_of_text = max(vocab)
    ranks = {token: token_id for token_id, token in vocab.items() if token_id != end_of_text}
    encoding = tiktoken.Encoding(
        name="gpt2",
        pat_str=PRETOKEN_PATTERN,
        mergeable_ranks=ranks,
        special_tokens={END_OF_TEXT: end_of_text},
    )
    text = read(corpus)
    return lambda: encoding.encode(text, allowed_special="all")


def encode_with_tokenizers(corpus: str) -> Job:
    from tokenizers import Tokenizer, models, pre_tokenizers

    model = models.BPE.from_file(str(GPT2 / "vocab.json"), str(GPT2 / "merges.txt"))
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    documents = read(corpus).split(END_OF_TEXT)
    return lambda: [tokenizer.encode(document).ids for document in documents]


TRAINING, ENCODING = "training", "encoding"


def contenders(corpus: str, vocab_size: int) -> dict[str, dict[str, Callable[[], Job]]]:
    """Name the contenders of each contest; the first of a contest is what the others are compared with."""
    return {
        TRAINING: {
            "reference": lambda: train_with_reference(corpus, vocab_size, 1),
            "reference, 2 processes": lambda: train_with_reference(corpus, vocab_size, 2),
            "rustbpe": lambda: train_with_rustbpe(corpus, vocab_size),
            "tokenizers": lambda: train_with_tokenizers(corpus, vocab_size),
        },
        ENCODING: {
            "reference": lambda: encode_with_reference(corpus, warm=False),
            "reference, warm cache": lambda: encode_with_reference(corpus, warm=True),
            "tiktoken": lambda: encode_with_tiktoken(corpus),
            "tokenizers": lambda: encode_with_tokenizers(corpus),
        },
    }


def cpu_seconds() -> float:
    """The CPU time of this process and of those it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(prepare: Callable[[], Job]) -> dict[str, float]:
    job = prepare()
    cpu, wall = cpu_seconds(), time.perf_counter()
    job()
    return {
        "cpu": cpu_seconds() - cpu,
        "wall": time.perf_counter() - wall,
        "peak_mb": peak_kib() / 1024,
    }


def peak_kib() -> int:
    """Peak resident memory of this process. Linux's getrusage would count the process that started it, too."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1])  # type: ignore[index]  # it is always there
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)


def measure_in_fresh_process(corpus: str, vocab_size: int, contest: str, name: str) -> dict[str, float]:
    """Run one contender by itself: {"cpu": s, "wall": s, "peak_mb": MB}."""
    command = [sys.executable, "-m", "benchmarks.bpe", "--corpus", corpus]
    command += ["--vocab-size", str(vocab_size), "--only", contest, name]
    done = subprocess.run(command, cwd=KIT, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed in {contest}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def is_installed(name: str) -> bool:
    return name.startswith("reference") or importlib.util.find_spec(name) is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--corpus", required=True, help=f"a UTF-8 text file, with {END_OF_TEXT} between documents")
    parser.add_argument("--vocab-size", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)  # one run, for measure_in_fresh_process
    arguments = parser.parse_args()
    contests = contenders(arguments.corpus, arguments.vocab_size)
    if arguments.only:
        contest, name = arguments.only
        print(json.dumps(measure(contests[contest][name])))
        return

    megabytes = Path(arguments.corpus).stat().st_size / 1e6
    for contest, prepares in contests.items():
        names = [name for name in prepares if is_installed(name)]
        rounds = [
            {
                name: measure_in_fresh_process(os.path.abspath(arguments.corpus), arguments.vocab_size, contest, name)
                for name in names
            }
            for _ in range(arguments.rounds)
        ]
        with_vocabulary = {
            TRAINING: f"training, vocabulary of {arguments.vocab_size:,}",
            ENCODING: "encoding with GPT-2's vocabulary",
        }
        print(f"\n{with_vocabulary[contest]}, {megabytes:.1f} MB, median of {len(rounds)} rounds")
        print(f"{'':24}{'CPU s':>8}{'wall s':>8}{'MB/s':>8}{'peak MB':>9}   reference / this (CPU)")
        for name in names:
            runs = [each[name] for each in rounds]
            cpu, wall, peak = (statistics.median(run[key] for run in runs) for key in ("cpu", "wall", "peak_mb"))
            ratios = [each["reference"]["cpu"] / each[name]["cpu"] for each in rounds]
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"{name:24}{cpu:8.2f}{wall:8.2f}{megabytes / cpu:8.1f}{peak:9.0f}   {spread}")


if __name__ == "__main__":
    main()
