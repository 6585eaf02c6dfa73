"""The cost of a Transformer language model: parameters, memory and floating-point operations, before it is built.

Everything here is arithmetic on whole numbers: no model is built, and nothing is measured. The model is
`TransformerLM`: no biases, a feed-forward network of three matrices (SwiGLU), and a head that is not tied to the token
embedding.
"""

from dataclasses import dataclass

FLOAT32_BYTES = 4


@dataclass(frozen=True)
class ModelConfig:
    """The sizes of a Transformer language model, named as in `TransformerLM`.

    GPT-2's models have a vocabulary of 50,257, a context of 1,024 and d_ff = 4 d_model; "XL" has 48 layers, 25 heads
    and d_model = 1,600.

    Attributes:
        vocab_size: number of token ids.
        context_length: tokens per sequence; here, every sequence has this length.
        num_layers: number of blocks.
        d_model: size of the vectors between layers.
        num_heads: number of attention heads per block; divides d_model.
        d_ff: size of the feed-forward networks' hidden dimension.

    Problem: transformer_accounting
    """

    vocab_size: int
    context_length: int
    num_layers: int
    d_model: int
    num_heads: int
    d_ff: int


def parameter_counts(config: ModelConfig) -> dict[str, int]:
    """The number of parameters of each kind of component, summed over all layers.

    The keys, in this order:
        token_embeddings    the embedding table
        attention           q_proj, k_proj, v_proj and output_proj of all blocks
        ffn                 w1, w2 and w3 of all blocks
        norms               the gains of all RMSNorms: two in a block, and the final one
        lm_head             the output projection, which has its own weight

    RoPE has no parameters.

    Problem: transformer_accounting
    """
    raise NotImplementedError("transformer_accounting: write parameter_counts in cs336_basics/accounting.py")


def num_parameters(config: ModelConfig) -> int:
    """The number of trainable parameters of the whole model.

    Problem: transformer_accounting
    """
    raise NotImplementedError("transformer_accounting: write num_parameters in cs336_basics/accounting.py")


def parameter_memory(config: ModelConfig, bytes_per_parameter: int = FLOAT32_BYTES) -> int:
    """The number of bytes that the model's parameters take, in float32 by default.

    Problem: transformer_accounting
    """
    raise NotImplementedError("transformer_accounting: write parameter_memory in cs336_basics/accounting.py")


def matmul_flops(config: ModelConfig) -> dict[str, int]:
    """FLOPs of every kind of matrix multiply in the forward pass of one sequence of context_length tokens.

    The product of an m x n and an n x p matrix takes 2 m n p FLOPs: a multiplication and an addition for each of its
    m p sums of n products. Each entry is the sum over all layers, and in attention over all heads.

    The keys, in this order:
        q_proj, k_proj, v_proj      x W^T for each of the three projections
        attention_scores            Q K^T
        weighted_values             softmax(Q K^T / sqrt(d_k)) V
        output_proj                 the projection of the concatenated heads
        w1, w2, w3                  the three matrices of SwiGLU
        lm_head                     the scores of all tokens, at every position

    The causal mask saves nothing: all context_length^2 scores of a head are computed. Only matrix multiplies count. The
    embedding is a lookup, not a multiply; norms, RoPE, softmax, SiLU and residual connections are small in comparison.

    Problem: transformer_accounting
    """
    raise NotImplementedError("transformer_accounting: write matmul_flops in cs336_basics/accounting.py")


def forward_flops(config: ModelConfig, batch_size: int = 1) -> int:
    """FLOPs of all matrix multiplies in the forward pass of `batch_size` sequences of context_length tokens.

    Problem: transformer_accounting
    """
    raise NotImplementedError("transformer_accounting: write forward_flops in cs336_basics/accounting.py")


def flops_shares(config: ModelConfig) -> dict[str, float]:
    """The fraction of the forward pass's FLOPs that each component takes; the fractions add up to 1.

    The keys, in this order:
        attention_projections       q_proj, k_proj, v_proj and output_proj
        attention_products          attention_scores and weighted_values, which grow with the square of the context
        ffn                         w1, w2 and w3
        lm_head                     the output projection

    Problem: transformer_accounting
    """
    raise NotImplementedError("transformer_accounting: write flops_shares in cs336_basics/accounting.py")


def activation_counts(config: ModelConfig, batch_size: int) -> dict[str, int]:
    """The number of values that a training step keeps from the forward pass for the backward pass, by component.

    This is a simple count: each component below keeps its output, one number per element, and nothing else counts (no
    residual stream, no RoPE, no mask). Each entry is the sum over all layers.

    The keys, in this order, with the shape of the output in one block:
        norms                 both RMSNorms                     2 of [batch, seq, d_model]
        qkv_projections       q_proj, k_proj and v_proj         3 of [batch, seq, d_model]
        attention_scores      Q K^T                             [batch, num_heads, seq, seq]
        softmax               the attention weights             [batch, num_heads, seq, seq]
        weighted_values       the weighted sum of the values    [batch, seq, d_model]
        output_proj                                             [batch, seq, d_model]
        w1                                                      [batch, seq, d_ff]
        silu                                                    [batch, seq, d_ff]
        w3                                                      [batch, seq, d_ff]
        gate                  SiLU's output times w3's          [batch, seq, d_ff]
        w2                                                      [batch, seq, d_model]
    and once in the model:
        final_norm                                              [batch, seq, d_model]
        lm_head               the logits                        [batch, seq, vocab_size]
        cross_entropy         the log-probabilities             [batch, seq, vocab_size]

    where seq is context_length. (The 2025 handout counts a feed-forward network without a gate, which keeps neither w3
    nor gate; an answer without these two keys also passes.)

    Problem: adamw_accounting
    """
    raise NotImplementedError("adamw_accounting: write activation_counts in cs336_basics/accounting.py")


def training_memory(config: ModelConfig, batch_size: int) -> dict[str, int]:
    """The number of bytes that training with AdamW takes at its peak, by purpose; everything is float32.

    At the peak, activations, gradients and optimizer state are all in memory, so the peak is the sum of the entries.

    The keys, in this order:
        parameters          all of `num_parameters`
        gradients           one number for each parameter
        optimizer_state     both running means of AdamW, m and v
        activations         all of `activation_counts`

    Problem: adamw_accounting
    """
    raise NotImplementedError("adamw_accounting: write training_memory in cs336_basics/accounting.py")


def max_batch_size(config: ModelConfig, memory_bytes: int) -> int:
    """The largest batch size whose `training_memory` is at most `memory_bytes` bytes; 0 if not even 1 fits.

    A device with "80 GB" has 80 * 10^9 bytes.

    Problem: adamw_accounting
    """
    raise NotImplementedError("adamw_accounting: write max_batch_size in cs336_basics/accounting.py")


def adamw_flops(config: ModelConfig) -> int:
    """FLOPs of one step of AdamW: what the optimizer itself computes, given the gradients.

    In the update as the docstring of `AdamW` writes it, each addition, subtraction, multiplication, division and square
    root on a parameter's own numbers counts 1. What is the same for all parameters (1 - beta1, alpha_t,
    lr weight_decay) does not count.

    You can write the update with an operation or two more or fewer per parameter; a result within 2 per parameter of
    the number that follows from the formulas passes.

    Problem: adamw_accounting
    """
    raise NotImplementedError("adamw_accounting: write adamw_flops in cs336_basics/accounting.py")


def training_flops(config: ModelConfig, batch_size: int) -> int:
    """FLOPs of the model in one training step: forward and backward pass of `batch_size` sequences.

    The backward pass takes twice the FLOPs of the forward pass (Kaplan et al., 2020): it computes a gradient with
    respect to both factors of every matrix multiply. AdamW's own FLOPs do not count, as in the definition of MFU.

    Problem: adamw_accounting
    """
    raise NotImplementedError("adamw_accounting: write training_flops in cs336_basics/accounting.py")


def training_days(config: ModelConfig, steps: int, batch_size: int, peak_flops_per_second: float, mfu: float) -> float:
    """The number of days (24 hours) that `steps` training steps of `batch_size` sequences take.

    Args:
        peak_flops_per_second: the hardware's theoretical peak in the number format used. NVIDIA's published figures: an
            H100 SXM5 does 494.7 * 10^12 in TF32, 989.4 * 10^12 in bfloat16 (both on its tensor cores, with dense
            matrices) and 66.9 * 10^12 in float32 without them; an A100 does 19.5 * 10^12 in float32.
        mfu: the model FLOPs utilization (Chowdhery et al., 2022), more than 0 and at most 1: the fraction of the peak
            that `training_flops` achieves.

    Problem: adamw_accounting
    """
    raise NotImplementedError("adamw_accounting: write training_days in cs336_basics/accounting.py")
