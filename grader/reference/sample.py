"""Text from a trained model, written by the model in a run's folder.

python -m cs336_basics.sample runs/tiny --prompt "Once upon a time"
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch

from .architecture.language_model import LanguageModel
from .config import load_config
from .decoding import generate
from .prepare import END_OF_TEXT
from .tokenizer import Tokenizer
from .train import _make_model
from .transformer import TransformerLM


def load_run(folder: str | os.PathLike[str]) -> tuple[TransformerLM | LanguageModel, Tokenizer]:
    """Load the model and the tokenizer of a finished training run, from config.toml, model.safetensors, vocab.json and
    merges.txt in its folder.

    Problem: generate
    """
    folder = Path(folder)
    model = _make_model(load_config(folder / "config.toml"))
    model.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
    return model, Tokenizer.from_files(folder / "vocab.json", folder / "merges.txt", [END_OF_TEXT])


def write_sample(
    folder: str | os.PathLike[str],
    prompt: str = END_OF_TEXT,
    max_new_tokens: int = 256,
    temperature: float = 0.8,
    top_p: float = 0.95,
    seed: int = 0,
) -> str:
    """Let a run's model continue a prompt until the text ends or has `max_new_tokens` new tokens.

    The folder then holds sample.txt (the generated text without the prompt) and sample.json (the list of its token
    ids).

    Returns:
        The text.

    Problem: generate
    """
    model, tokenizer = load_run(folder)
    [ids] = generate(
        model,
        [tokenizer.encode(prompt)],
        max_new_tokens,
        temperature,
        top_p,
        stop_token=tokenizer.encode(END_OF_TEXT)[0],
        context_length=model.context_length,
        generator=torch.Generator().manual_seed(seed),
    )
    text = tokenizer.decode(ids)
    Path(folder, "sample.json").write_text(json.dumps(ids) + "\n", "utf-8")
    Path(folder, "sample.txt").write_text(text, "utf-8")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0, or 2 if the input must be corrected.

    Problem: generate
    """
    parser = argparse.ArgumentParser(
        prog="python -m cs336_basics.sample",
        description="Let a trained model write text; it is also left in the run's folder (sample.txt, sample.json).",
    )
    parser.add_argument("run", metavar="FOLDER", help="the folder of a finished run, such as runs/tiny")
    parser.add_argument("--prompt", default=END_OF_TEXT, help="what to go on from (default: the end of another text)")
    parser.add_argument("--max-tokens", type=int, default=256, help="at most so many new tokens (default: 256)")
    parser.add_argument("--temperature", type=float, default=0.8, help="0 is greedy, 1 the model's own (default: 0.8)")
    parser.add_argument("--top-p", type=float, default=0.95, help="mass of the nucleus (default: 0.95)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another text")
    options = parser.parse_args(arguments)
    try:
        text = write_sample(
            options.run, options.prompt, options.max_tokens, options.temperature, options.top_p, options.seed
        )
    except FileNotFoundError as error:
        print(f"{error.filename} is not there; is the run finished, and its tokenizer beside it?", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.prompt}{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
