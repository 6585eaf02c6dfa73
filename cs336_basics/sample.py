"""Text from a trained model, written by the model in a run's folder.

python -m cs336_basics.sample runs/tiny --prompt "Once upon a time"
"""

import os
import sys
from collections.abc import Sequence

from .architecture.language_model import LanguageModel
from .prepare import END_OF_TEXT
from .tokenizer import Tokenizer
from .transformer import TransformerLM


def load_run(folder: str | os.PathLike[str]) -> tuple[TransformerLM | LanguageModel, Tokenizer]:
    """Load the model and the tokenizer of a finished training run, from config.toml, model.safetensors, vocab.json and
    merges.txt in its folder.

    Problem: generate
    """
    raise NotImplementedError("generate: write load_run in cs336_basics/sample.py")


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
    raise NotImplementedError("generate: write write_sample in cs336_basics/sample.py")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0, or 2 if the input must be corrected.

    Problem: generate
    """
    raise NotImplementedError("generate: write main in cs336_basics/sample.py")


if __name__ == "__main__":
    sys.exit(main())
