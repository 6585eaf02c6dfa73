"""A language model of which every choice of the lab is a setting.

The pieces are those of the base model and of this package; what is here puts them together. With its defaults, the
model is the base model, under the same names of weights.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .activations import ACTIVATIONS
from .feed_forward import GATES

NORMS = ("rmsnorm", "layernorm", "layernorm_without_bias")
POSITIONS = ("rope", "alibi", "learned", "sinusoidal", "none")
GATED = (*GATES, "geglu_tanh")
FEED_FORWARDS = (*GATED, *ACTIVATIONS)


@dataclass(frozen=True)
class ArchitectureConfig:
    """What a language model is made of. The defaults are the base model's choices.

    Sizes
        vocab_size: number of token ids.
        context_length: length of the longest sequence that the model takes.
        d_model: size of the vectors between layers.
        num_layers: number of blocks.
        num_heads: query heads per block.
        d_ff: size of the feed-forward networks' hidden dimension; with experts, of each expert's.
    Attention
        num_kv_heads: heads of keys and values, which groups of neighbouring query heads share; None means num_heads.
        head_dim: features of a head; None means d_model / num_heads. Scores are divided by its root.
        qk_norm: whether queries and keys go through an RMSNorm over the features of a head, before RoPE.
        attention_softcap: a score s becomes cap * tanh(s / cap), before bias and mask; None means that it stays.
        window: keys that a query sees, its own among them; None means all up to its own.
        full_every: with a window, every full_every-th layer has none; None means that all have it. With 4, those are
            layers 3, 7, 11, ..., counted from 0.
    Positions
        position: one of POSITIONS; "learned" and "sinusoidal" are added to token embeddings.
        rope_theta: base of RoPE's wavelengths.
        rope_layout: "interleaved" or "halves": which features RoPE rotates as a pair.
        rotary_dim: features of a head that RoPE rotates; None means all.
        rope_scaling: one of SCALINGS, for sequences longer than in training; None means none.
        rope_factor, rope_original_length: its factor, and original_max_seq_len; see RopeScaling.
        rope_in_full_layers: whether layers without a window have RoPE, too, where others have one.
    Norms and blocks
        norm: one of NORMS.
        norm_eps: of all norms.
        norm_placement: "pre", "post", "branch" or "double", as for NormPlacementBlock. All have a final norm.
        parallel_block: whether attention and feed-forward network stand side by side. Asks for "pre".
        shared_norm: with parallel_block, whether both read the output of one norm.
    Feed-forward network
        ffn: one of FEED_FORWARDS: a gate, with three matrices, or an activation (with beta and alpha at 1), with two.
        ffn_bias: whether the two matrices of a network without a gate have biases.
        num_experts: feed-forward networks per block, among which a router chooses; 0 means one, and no router.
        top_k: experts that a token goes through, weighed by the softmax of their top_k scores.
    Embedding and head
        scale_embeddings: whether token embeddings are multiplied by the root of d_model.
        tie_embeddings: whether the head's weight is that of the embedding.
        head_bias: whether the head has a bias; a tied one has none.
        logit_scale: a factor of all logits.
        logit_softcap: a logit z becomes cap * tanh(z / cap); None means that it stays.

    Problem: architecture_accounting
    """

    vocab_size: int
    context_length: int
    d_model: int
    num_layers: int
    num_heads: int
    d_ff: int

    num_kv_heads: int | None = None
    head_dim: int | None = None
    qk_norm: bool = False
    attention_softcap: float | None = None
    window: int | None = None
    full_every: int | None = None

    position: str = "rope"
    rope_theta: float = 10_000.0
    rope_layout: str = "interleaved"
    rotary_dim: int | None = None
    rope_scaling: str | None = None
    rope_factor: float = 1.0
    rope_original_length: int = 8192
    rope_in_full_layers: bool = True

    norm: str = "rmsnorm"
    norm_eps: float = 1e-5
    norm_placement: str = "pre"
    parallel_block: bool = False
    shared_norm: bool = False

    ffn: str = "swiglu"
    ffn_bias: bool = False
    num_experts: int = 0
    top_k: int = 0

    scale_embeddings: bool = False
    tie_embeddings: bool = False
    head_bias: bool = False
    logit_scale: float = 1.0
    logit_softcap: float | None = None


def check_config(config: ArchitectureConfig) -> None:
    """Refuse what cannot be.

    Raises:
        ValueError: num_kv_heads does not divide num_heads, num_heads does not divide d_model and there is no head_dim,
            RoPE would rotate an odd number of features or more than a head has, a size or window is below 1, top_k is
            above num_experts, there is no such norm, placement, position, layout or ffn, or a setting asks for another
            one that is not there. The message is one sentence, and has the values that clash.

    Problem: model_families
    """
    raise NotImplementedError("model_families: write check_config in cs336_basics/architecture/language_model.py")


class LanguageModel(nn.Module):
    """A decoder-only Transformer language model as its configuration says: token ids in, logits out.

    Its weights have the names of the base model's, and where a setting asks for more:

        token_embeddings.weight, layers.{i}.*, ln_final.weight, lm_head.weight
        position_embeddings.weight                         with learned positions
        *.bias                           of norms with a bias; of w1 and w2 with ffn_bias; lm_head.bias with head_bias
        attn.q_norm.weight, attn.k_norm.weight             with qk_norm
        ln1_out.weight, ln2_out.weight                     with norm_placement "double"
        ffn.router.weight                                  with experts, [num_experts, d_model]
        ffn.experts.{j}.w1.weight, .w2.weight, ...         with experts, in the place of ffn.w1.weight, ...

    There is no `ln2` with a shared norm, no `ffn.w3` without a gate, and no `lm_head.weight` with tied embeddings.

    Args:
        config: the choices.
        device: where the parameters live; None means torch's default.
        dtype: type of the parameters; None means torch's default.

    Raises:
        ValueError: the configuration cannot be; see `check_config`.

    Problem: model_families
    """

    def __init__(
        self, config: ArchitectureConfig, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> None:
        raise NotImplementedError(
            "model_families: write LanguageModel.__init__ in cs336_basics/architecture/language_model.py"
        )

    def forward(self, token_ids: Int[Tensor, " ... seq"]) -> Float[Tensor, " ... seq vocab_size"]:
        """Score every next token at every position. A sequence longer than context_length raises ValueError."""
        raise NotImplementedError(
            "model_families: write LanguageModel.forward in cs336_basics/architecture/language_model.py"
        )


def is_windowed(config: ArchitectureConfig, layer: int) -> bool:
    """Whether a layer, counted from 0, has the window.

    Problem: architecture_accounting
    """
    raise NotImplementedError(
        "architecture_accounting: write is_windowed in cs336_basics/architecture/language_model.py"
    )
