"""The fixtures are what their README says, and fit for the tests that use them."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tiktoken
import torch
from safetensors.torch import load_file

from grader.artifacts.held_out import bigram_loss
from grader.cases import assets
from grader.fixtures.__main__ import STORIES
from grader.fixtures.fixture_list import GENERATED, SIZE_LIMIT, render, shipped_files
from grader.fixtures.small_lm import load_small_lm, model_loss
from grader.fixtures.stories import END_OF_TEXT, PLOTS, tell_stories
from grader.kit.paths import FIXTURES
from grader.reference.pretokenization import PRETOKEN_PATTERN
from grader.reference.tokenizer import Tokenizer

TEXTS = ("english", "english_small", "technical", "multilingual", "stories", "stories_valid")


def read(name: str) -> str:
    return (FIXTURES / name).read_bytes().decode()


# ------------------------------------------------------------------------------------------------------------
# The folder


def test_readme_is_what_the_code_writes() -> None:
    assert read("README.md") == render(FIXTURES), "run `python -m grader.fixtures readme`"


def test_readme_lists_every_file_with_its_size_and_hash() -> None:
    rows = re.findall(r"^\| `(.+?)` \| (\d+) \| `([0-9a-f]{64})` \|$", read("README.md"), flags=re.MULTILINE)
    listed = {name: (int(size), digest) for name, size, digest in rows}
    found = {}
    for name in shipped_files(FIXTURES):
        if name != "README.md" and not name.startswith(GENERATED):
            content = (FIXTURES / name).read_bytes()
            found[name] = (len(content), hashlib.sha256(content).hexdigest())
    assert listed == found


def test_every_notice_that_the_readme_links_is_there() -> None:
    links = set(re.findall(r"\]\((.+?)\)", read("README.md")))
    assert links == {name for name in shipped_files(FIXTURES) if name.startswith("LICENSES/")}


def test_a_file_without_a_described_origin_is_refused(tmp_path: Path) -> None:
    (tmp_path / "found_somewhere.txt").write_text("?")
    with pytest.raises(assets.FixtureError, match=r"found_somewhere\.txt: say in grader/fixtures/fixture_list\.py"):
        render(tmp_path)


def test_folder_is_small() -> None:
    assert sum((FIXTURES / name).stat().st_size for name in shipped_files(FIXTURES)) < SIZE_LIMIT


# ------------------------------------------------------------------------------------------------------------
# Texts


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_utf_8_with_unix_line_ends(name: str) -> None:
    text = read(f"text/{name}.txt")
    assert text.endswith("\n")
    assert "\r" not in text


def test_only_stories_contain_the_special_token() -> None:
    assert {name for name in TEXTS if END_OF_TEXT in read(f"text/{name}.txt")} == {"stories", "stories_valid"}


def test_multilingual_text_has_many_scripts_and_both_normal_forms() -> None:
    letters = [c for c in read("text/multilingual.txt") if c.isalpha()]
    scripts = Counter(unicodedata.name(c, "?").split()[0] for c in letters)
    wanted = "LATIN GREEK CYRILLIC ARABIC HEBREW DEVANAGARI THAI TIBETAN GEORGIAN ETHIOPIC CJK HIRAGANA HANGUL ADLAM"
    assert not {script for script in wanted.split() if scripts[script] < 50}

    text = read("text/multilingual.txt")
    assert text not in (unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))
    assert "\u200d" in text, "emoji joined by U+200D"


@pytest.mark.parametrize("name", STORIES)
def test_stories_are_told_again_byte_for_byte(name: str) -> None:
    seed, size = STORIES[name]
    assert tell_stories(seed, size) == read(f"text/{name}")


def test_no_story_is_told_twice() -> None:
    stories = (read("text/stories.txt") + read("text/stories_valid.txt")).split(f"{END_OF_TEXT}\n")[:-1]
    assert len(stories) == len(set(stories))


@pytest.mark.parametrize("plot", dict.fromkeys(PLOTS), ids=lambda plot: plot.__name__)
def test_plots_are_well_formed(plot) -> None:
    """No slot is left open, articles fit, no word or space is doubled, sentences and speech are closed."""
    from grader.fixtures.cast import Dice

    for seed in range(300):
        for paragraph in plot(Dice(seed)):
            assert not re.search(r"[{}]|  |\ba [aeiou]|\ban [^aeiou]|\b(\w+) \1 (?!\1)|\.\.|,,| [.,!?]", paragraph)
            assert paragraph[0].isupper() or paragraph[0] == '"'
            assert re.search(r'[.!?]"?$', paragraph)
            assert paragraph.count('"') % 2 == 0
            assert paragraph.isascii()


# ------------------------------------------------------------------------------------------------------------
# Tokenizers


def encoding(folder: str) -> tiktoken.Encoding:
    """tiktoken built from the files of a folder, as an oracle that is not ours."""
    vocab, merges = assets.load(f"{folder}/vocab"), assets.load(f"{folder}/merges")
    ids = {token: index for index, token in vocab.items() if token != END_OF_TEXT.encode()}
    # Its ranks are its ids, so merges have to be numbered like the vocabulary; single bytes come before them.
    assert [left + right for left, right in merges] == [
        token for token in sorted(ids, key=ids.__getitem__) if len(token) > 1
    ]
    special = next(index for index, token in vocab.items() if token == END_OF_TEXT.encode())
    return tiktoken.Encoding(
        folder, pat_str=PRETOKEN_PATTERN, mergeable_ranks=ids, special_tokens={END_OF_TEXT: special}
    )


def test_gpt2_files_give_the_published_ids() -> None:
    assert len(assets.load("gpt2/vocab")) == 50_257
    assert len(assets.load("gpt2/merges")) == 50_000
    gpt2 = encoding("gpt2")
    assert gpt2.encode("hello world") == [31373, 995]
    assert gpt2.encode(END_OF_TEXT, allowed_special="all") == [50256]


@pytest.mark.parametrize("folder", ["gpt2", "small_lm"])
def test_reference_tokenizer_agrees_with_tiktoken_on_the_texts(folder: str) -> None:
    tokenizer = Tokenizer(assets.load(f"{folder}/vocab"), assets.load(f"{folder}/merges"), [END_OF_TEXT])
    oracle = encoding(folder)
    for name in ("english_small", "technical", "multilingual", "stories_valid"):
        text = read(f"text/{name}.txt")
        assert tokenizer.encode(text) == oracle.encode(text, allowed_special="all"), name


# ------------------------------------------------------------------------------------------------------------
# The small language model


def test_small_lm_weights_have_the_keys_and_shapes_of_its_config() -> None:
    config = json.loads(read("small_lm/config.json"))["model"]
    vocab_size, d_model, d_ff = config["vocab_size"], config["d_model"], config["d_ff"]
    shapes = {
        "token_embeddings.weight": (vocab_size, d_model),
        "ln_final.weight": (d_model,),
        "lm_head.weight": (vocab_size, d_model),
    }
    for layer in range(config["num_layers"]):
        for name in ("q_proj", "k_proj", "v_proj", "output_proj"):
            shapes[f"layers.{layer}.attn.{name}.weight"] = (d_model, d_model)
        for name, shape in {"w1": (d_ff, d_model), "w2": (d_model, d_ff), "w3": (d_ff, d_model)}.items():
            shapes[f"layers.{layer}.ffn.{name}.weight"] = shape
        for name in ("ln1", "ln2"):
            shapes[f"layers.{layer}.{name}.weight"] = (d_model,)
    weights = load_file(FIXTURES / "small_lm" / "weights.safetensors")
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == shapes
    assert all(weight.dtype == torch.bfloat16 for weight in weights.values())
    assert all(weight.isfinite().all() for weight in weights.values())
    assert not any(weight.float().std() < 1e-3 for weight in weights.values()), "not trained"


def test_small_lm_has_learned_far_more_than_a_bigram_model_can() -> None:
    tokenizer = Tokenizer(assets.load("small_lm/vocab"), assets.load("small_lm/merges"), [END_OF_TEXT])
    tokens = {name: np.array(tokenizer.encode(read(f"text/{name}"))) for name in STORIES}
    lm = load_small_lm(FIXTURES / "small_lm")
    bigram = bigram_loss(tokens["stories.txt"], tokens["stories_valid.txt"], len(assets.load("small_lm/vocab")))
    assert model_loss(lm, tokens["stories_valid.txt"]) < 0.5 * bigram
