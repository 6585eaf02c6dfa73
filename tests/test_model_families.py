"""One configuration for all models: it builds those that people use, and refuses what cannot be."""

from typing import Any

import pytest

from grader.cases.case import Draw
from grader.cases.weights import configured_shapes, draw_weights
from grader.checks.refusals import check_refused

pytestmark = pytest.mark.own_adapter

SIZES = {"vocab_size": 7, "context_length": 6, "d_model": 8, "num_layers": 1, "num_heads": 4, "d_ff": 12}


def drawn_model(draw: Draw, length: int = 3, **settings: Any) -> dict[str, Any]:
    """A model of a few numbers, as arguments of the adapter; settings that cannot be leave the weights as they are."""
    weights = draw_weights(draw, configured_shapes(SIZES))
    return {"config": {**SIZES, **settings}, "weights": weights, "token_ids": draw.integers(0, 7, 1, length)}


@pytest.mark.cases("defaults")
def test_the_defaults_are_the_base_model(submission, case):
    """With no setting but the sizes, it is the base model.

    Asked: problem model_families, the defaults of ArchitectureConfig.
    """
    case.check(submission.run_language_model(**case.inputs))


@pytest.mark.cases("llama")
def test_llama(submission, case):
    """Llama 3: grouped queries, and RoPE in halves.

    Asked: problem model_families, the table of families.
    """
    case.check(submission.run_language_model(**case.inputs))


@pytest.mark.cases("gemma_2")
def test_gemma_2(submission, case):
    """Gemma 2: four norms in a block, GEGLU, soft-caps, a window in every other layer, a tied and scaled embedding.

    Asked: problem model_families, the table of families.
    """
    case.check(submission.run_language_model(**case.inputs))


@pytest.mark.cases("gpt_j")
def test_gpt_j(submission, case):
    """GPT-J: branches side by side after one LayerNorm, RoPE on some features, GELU, and biases.

    Asked: problem model_families, the table of families.
    """
    case.check(submission.run_language_model(**case.inputs))


@pytest.mark.cases("cohere")
def test_cohere(submission, case):
    """Command R: branches side by side after one LayerNorm without bias, a tied head, scaled logits.

    Asked: problem model_families, the table of families.
    """
    case.check(submission.run_language_model(**case.inputs))


@pytest.mark.cases("cohere_2")
def test_cohere_2(submission, case):
    """Command R7B: every fourth layer is full and knows no position, the others have a window and RoPE.

    Asked: problem model_families, the table of families.
    """
    case.check(submission.run_language_model(**case.inputs))


@pytest.mark.cases("qwen_3")
def test_qwen_3(submission, case):
    """Qwen 3: normalised queries and keys, in heads whose size is not d_model / num_heads.

    Asked: problem model_families, the table of families.
    """
    case.check(submission.run_language_model(**case.inputs))


@pytest.mark.cases("mixtral")
def test_mixtral(submission, case):
    """Mixtral: a router sends each token to two experts, weighed by the softmax of their two scores.

    Asked: problem model_families, the table of families.
    """
    case.check(submission.run_language_model(**case.inputs))


@pytest.mark.cases("positions")
def test_positions(submission, case):
    """ALiBi, or no positions at all.

    Asked: problem model_families, the setting position.
    """
    case.check(submission.run_language_model(**case.inputs))


@pytest.mark.cases("added_positions")
def test_added_positions(submission, case):
    """Learned positions or sines are added to the token embeddings, after these are scaled.

    Asked: problem model_families, the setting position.
    """
    case.check(submission.run_language_model(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("scaled")
def test_scaled_rotations(submission, case):
    """RoPE takes other frequencies where rope_scaling asks for them.

    Asked: problem model_families, the settings rope_scaling, rope_factor and rope_original_length.
    """
    case.check(submission.run_language_model(**case.inputs))


@pytest.mark.cases("blocks")
def test_blocks(submission, case):
    """Norms on the sum, norms on the branch, and branches side by side with a norm each.

    Asked: problem model_families, the settings norm_placement, parallel_block and shared_norm.
    """
    case.check(submission.run_language_model(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("combined")
def test_cap_bias_and_window(submission, case):
    """A cap comes before ALiBi's bias, and the mask after both.

    Asked: problem model_families, the settings of attention.
    """
    case.check(submission.run_language_model(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("experts")
def test_other_experts(submission, case):
    """Experts may be networks without a gate, and a token may go through a single one.

    Asked: problem model_families, the settings num_experts, top_k and ffn.
    """
    case.check(submission.run_language_model(**case.inputs))


@pytest.mark.edge
def test_too_long(submission):
    """A sequence longer than context_length raises ValueError, whose message has both numbers.

    Asked: the documentation of LanguageModel.forward.
    """
    draw = Draw(0, "a sequence for any model")
    assert submission.run_language_model(**drawn_model(draw, 6)).shape == (1, 6, 7)
    check_refused(submission, "run_language_model", drawn_model(draw, 9), "9 tokens with a context_length of 6", 9, 6)


def check_impossible(submission, what: str, *values: object, **settings: Any) -> None:
    draw = Draw(0, "an impossible model")
    assert submission.run_language_model(**drawn_model(draw)).shape == (1, 3, 7)
    check_refused(submission, "run_language_model", drawn_model(draw, **settings), what, *values)


@pytest.mark.edge
def test_impossible_heads(submission):
    """Heads that cannot be shared equally raise ValueError, whose message has both numbers.

    Asked: the documentation of check_config.
    """
    check_impossible(submission, "4 query heads for 3 heads of keys", 3, 4, num_kv_heads=3)
    check_impossible(submission, "3 heads for d_model = 8", 3, 8, num_heads=3)


@pytest.mark.edge
def test_impossible_rotation(submission):
    """RoPE on an odd number of features, or on more than a head has, raises ValueError.

    Asked: the documentation of check_config.
    """
    check_impossible(submission, "RoPE on heads of 5 features", 5, head_dim=5)
    check_impossible(submission, "a rotary_dim of 4 for heads of 2 features", 4, 2, rotary_dim=4)


@pytest.mark.edge
def test_impossible_window(submission):
    """A window of no keys raises ValueError, and so does full_every without a window.

    Asked: the documentation of check_config.
    """
    check_impossible(submission, "a window of 0", "window", 0, window=0)
    check_impossible(submission, "full_every without a window", "full_every", "window", full_every=2)


@pytest.mark.edge
def test_impossible_experts(submission):
    """More experts for a token than there are raise ValueError, whose message has both numbers.

    Asked: the documentation of check_config.
    """
    check_impossible(submission, "a top_k of 3 with 2 experts", 3, 2, num_experts=2, top_k=3)


@pytest.mark.edge
def test_unknown_names(submission):
    """Names that there are not raise ValueError, whose message has the name.

    Asked: the documentation of check_config.
    """
    for setting in ("norm", "norm_placement", "position", "rope_layout", "ffn"):
        check_impossible(submission, f"{setting} = 'sideways'", "sideways", **{setting: "sideways"})


@pytest.mark.edge
def test_settings_that_clash(submission):
    """A shared norm without branches side by side raises ValueError, and so do branches side by side with post-norm.

    Asked: the documentation of check_config.
    """
    check_impossible(submission, "shared_norm alone", "shared_norm", "parallel_block", shared_norm=True)
    settings = {"parallel_block": True, "norm_placement": "post"}
    check_impossible(submission, "parallel_block with 'post'", "parallel_block", "post", **settings)
