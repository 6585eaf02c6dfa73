"""The only glue between the tests and your code: tests call only the functions in this file.

As handed out, each function builds the skeleton's class or calls the skeleton's function in `cs336_basics/`, passes the
test's weights and returns the output. If you follow the skeleton, you need not change this file. If you name or arrange
things differently, change the bodies, but keep the functions' names, parameters and results.

Imports are inside the functions, so that a mistake in one file fails only the tests of that file. In shapes, "..."
stands for any number of leading dimensions, including none. Modules are created with the dtype and on the device of the
given weights.
"""

import os
from collections.abc import Iterable
from typing import IO, Any, BinaryIO

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

# ------------------------------------------------------------------------------------------------------------
# Tokenizer


def run_train_bpe(
    input_path: str | os.PathLike[str], vocab_size: int, special_tokens: list[str], **kwargs: Any
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """Train a byte-level BPE tokenizer on a UTF-8 text file.

    Returns the vocabulary (id to bytes, at most `vocab_size` entries including special tokens) and the merges in the
    order in which they were made. `kwargs` are passed on, for your own options such as a number of processes.
    """
    from .bpe import train_bpe

    return train_bpe(input_path, vocab_size, special_tokens, **kwargs)


def get_tokenizer(
    vocab: dict[int, bytes], merges: list[tuple[bytes, bytes]], special_tokens: list[str] | None = None
) -> Any:
    """Make a tokenizer with the methods `encode`, `encode_iterable` and `decode`."""
    from .tokenizer import Tokenizer

    return Tokenizer(vocab, merges, special_tokens)


def get_tokenizer_from_files(
    vocab_filepath: str | os.PathLike[str],
    merges_filepath: str | os.PathLike[str],
    special_tokens: list[str] | None = None,
) -> Any:
    """Make the same kind of tokenizer from files in the format that your code saves."""
    from .tokenizer import Tokenizer

    return Tokenizer.from_files(vocab_filepath, merges_filepath, special_tokens)


# ------------------------------------------------------------------------------------------------------------
# Layers


def run_linear(
    d_in: int,
    d_out: int,
    weights: Float[Tensor, "d_out d_in"],
    in_features: Float[Tensor, " ... d_in"],
) -> Float[Tensor, " ... d_out"]:
    """Apply a Linear layer with the given weights."""
    from .layers import Linear

    linear = Linear(d_in, d_out, weights.device, weights.dtype)
    linear.load_state_dict({"weight": weights})
    return linear(in_features)


def run_embedding(
    vocab_size: int,
    d_model: int,
    weights: Float[Tensor, "vocab_size d_model"],
    token_ids: Int[Tensor, " ..."],
) -> Float[Tensor, " ... d_model"]:
    """Look up token ids in an Embedding with the given weights."""
    from .layers import Embedding

    embedding = Embedding(vocab_size, d_model, weights.device, weights.dtype)
    embedding.load_state_dict({"weight": weights})
    return embedding(token_ids)


def run_rmsnorm(
    d_model: int,
    eps: float,
    weights: Float[Tensor, " d_model"],
    in_features: Float[Tensor, " ... d_model"],
) -> Float[Tensor, " ... d_model"]:
    """Apply an RMSNorm with the given gain."""
    from .layers import RMSNorm

    rmsnorm = RMSNorm(d_model, eps, weights.device, weights.dtype)
    rmsnorm.load_state_dict({"weight": weights})
    return rmsnorm(in_features)


def run_silu(in_features: Float[Tensor, " ..."]) -> Float[Tensor, " ..."]:
    """Apply SiLU to every element."""
    from .layers import silu

    return silu(in_features)


def run_swiglu(
    d_model: int,
    d_ff: int,
    w1_weight: Float[Tensor, "d_ff d_model"],
    w2_weight: Float[Tensor, "d_model d_ff"],
    w3_weight: Float[Tensor, "d_ff d_model"],
    in_features: Float[Tensor, " ... d_model"],
) -> Float[Tensor, " ... d_model"]:
    """Apply a SwiGLU feed-forward network with the given weights."""
    from .layers import SwiGLU

    swiglu = SwiGLU(d_model, d_ff, w1_weight.device, w1_weight.dtype)
    swiglu.load_state_dict({"w1.weight": w1_weight, "w2.weight": w2_weight, "w3.weight": w3_weight})
    return swiglu(in_features)


# ------------------------------------------------------------------------------------------------------------
# Attention


def run_rope(
    d_k: int,
    theta: float,
    max_seq_len: int,
    in_query_or_key: Float[Tensor, " ... seq d_k"],
    token_positions: Int[Tensor, " ... seq"],
) -> Float[Tensor, " ... seq d_k"]:
    """Rotate queries or keys by their positions."""
    from .rope import RotaryPositionalEmbedding

    rope = RotaryPositionalEmbedding(theta, d_k, max_seq_len, in_query_or_key.device)
    return rope(in_query_or_key, token_positions)


def run_softmax(in_features: Float[Tensor, " ..."], dim: int) -> Float[Tensor, " ..."]:
    """Apply softmax along dimension `dim`."""
    from .attention import softmax

    return softmax(in_features, dim)


def run_scaled_dot_product_attention(
    Q: Float[Tensor, " ... queries d_k"],
    K: Float[Tensor, " ... keys d_k"],
    V: Float[Tensor, " ... keys d_v"],
    mask: Bool[Tensor, " ... queries keys"] | None = None,
) -> Float[Tensor, " ... queries d_v"]:
    """Apply attention; `mask` is True where a query may attend to a key, and None if all may attend to all."""
    from .attention import scaled_dot_product_attention

    return scaled_dot_product_attention(Q, K, V, mask)


def run_multihead_self_attention(
    d_model: int,
    num_heads: int,
    q_proj_weight: Float[Tensor, "d_model d_model"],
    k_proj_weight: Float[Tensor, "d_model d_model"],
    v_proj_weight: Float[Tensor, "d_model d_model"],
    o_proj_weight: Float[Tensor, "d_model d_model"],
    in_features: Float[Tensor, " ... seq d_model"],
) -> Float[Tensor, " ... seq d_model"]:
    """Apply causal multi-head self-attention without RoPE, with the given weights."""
    from .attention import CausalMultiHeadSelfAttention

    attention = CausalMultiHeadSelfAttention(d_model, num_heads, device=q_proj_weight.device, dtype=q_proj_weight.dtype)
    attention.load_state_dict(
        {
            "q_proj.weight": q_proj_weight,
            "k_proj.weight": k_proj_weight,
            "v_proj.weight": v_proj_weight,
            "output_proj.weight": o_proj_weight,
        }
    )
    return attention(in_features)


def run_multihead_self_attention_with_rope(
    d_model: int,
    num_heads: int,
    max_seq_len: int,
    theta: float,
    q_proj_weight: Float[Tensor, "d_model d_model"],
    k_proj_weight: Float[Tensor, "d_model d_model"],
    v_proj_weight: Float[Tensor, "d_model d_model"],
    o_proj_weight: Float[Tensor, "d_model d_model"],
    in_features: Float[Tensor, " ... seq d_model"],
    token_positions: Int[Tensor, " ... seq"] | None = None,
) -> Float[Tensor, " ... seq d_model"]:
    """Apply causal multi-head self-attention with RoPE; `token_positions` of None means 0, 1, 2, ..."""
    from .attention import CausalMultiHeadSelfAttention

    attention = CausalMultiHeadSelfAttention(
        d_model, num_heads, max_seq_len, theta, q_proj_weight.device, q_proj_weight.dtype
    )
    attention.load_state_dict(
        {
            "q_proj.weight": q_proj_weight,
            "k_proj.weight": k_proj_weight,
            "v_proj.weight": v_proj_weight,
            "output_proj.weight": o_proj_weight,
        }
    )
    return attention(in_features, token_positions)


# ------------------------------------------------------------------------------------------------------------
# Transformer


def run_transformer_block(
    d_model: int,
    num_heads: int,
    d_ff: int,
    max_seq_len: int,
    theta: float,
    weights: dict[str, Tensor],
    in_features: Float[Tensor, "batch seq d_model"],
) -> Float[Tensor, "batch seq d_model"]:
    """Apply a pre-norm Transformer block with RoPE, at positions 0, 1, 2, ...

    The keys of `weights` and their shapes:
        attn.q_proj.weight  attn.k_proj.weight  attn.v_proj.weight  attn.output_proj.weight [d_model, d_model]
        ffn.w1.weight  ffn.w3.weight                                                        [d_ff, d_model]
        ffn.w2.weight                                                                       [d_model, d_ff]
        ln1.weight  ln2.weight                                                              [d_model]
    """
    from .transformer import TransformerBlock

    like = weights["ln1.weight"]
    block = TransformerBlock(d_model, num_heads, d_ff, max_seq_len, theta, like.device, like.dtype)
    block.load_state_dict(weights)
    return block(in_features)


def run_transformer_lm(
    vocab_size: int,
    context_length: int,
    d_model: int,
    num_layers: int,
    num_heads: int,
    d_ff: int,
    rope_theta: float,
    weights: dict[str, Tensor],
    in_indices: Int[Tensor, "batch seq"],
) -> Float[Tensor, "batch seq vocab_size"]:
    """Run a Transformer language model on token ids and return its logits.

    The keys of `weights` and their shapes:
        token_embeddings.weight    [vocab_size, d_model]
        layers.{i}.<key>           the keys of `run_transformer_block`, for i = 0 .. num_layers - 1
        ln_final.weight            [d_model]
        lm_head.weight             [vocab_size, d_model]
    """
    from .transformer import TransformerLM

    like = weights["lm_head.weight"]
    model = TransformerLM(
        vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, like.device, like.dtype
    )
    model.load_state_dict(weights)
    return model(in_indices)


# ------------------------------------------------------------------------------------------------------------
# Training


def run_cross_entropy(inputs: Float[Tensor, " ... vocab_size"], targets: Int[Tensor, " ..."]) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of logits against the target classes, a scalar."""
    from .loss import cross_entropy

    return cross_entropy(inputs, targets)


def get_adamw_cls() -> type[torch.optim.Optimizer]:
    """Return the class of your AdamW optimizer, not an instance."""
    from .optimizer import AdamW

    return AdamW


def run_get_lr_cosine_schedule(
    it: int, max_learning_rate: float, min_learning_rate: float, warmup_iters: int, cosine_cycle_iters: int
) -> float:
    """Return the learning rate at iteration `it` of a cosine schedule with linear warm-up."""
    from .optimizer import get_lr_cosine_schedule

    return get_lr_cosine_schedule(it, max_learning_rate, min_learning_rate, warmup_iters, cosine_cycle_iters)


def run_gradient_clipping(parameters: Iterable[nn.Parameter], max_l2_norm: float) -> None:
    """Clip the gradients of all parameters together to an l2 norm of `max_l2_norm`, in place."""
    from .optimizer import gradient_clipping

    gradient_clipping(parameters, max_l2_norm)


def run_get_batch(
    dataset: Int[np.ndarray, " tokens"], batch_size: int, context_length: int, device: str
) -> tuple[Int[Tensor, "batch_size context_length"], Int[Tensor, "batch_size context_length"]]:
    """Draw a random batch from a one-dimensional array of token ids: inputs, and targets one token later."""
    from .data import get_batch

    return get_batch(dataset, batch_size, context_length, device)


def run_save_checkpoint(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    iteration: int,
    out: str | os.PathLike[str] | BinaryIO | IO[bytes],
) -> None:
    """Save model, optimizer and iteration to a path or a binary file."""
    from .checkpoint import save_checkpoint

    save_checkpoint(model, optimizer, iteration, out)


def run_load_checkpoint(
    src: str | os.PathLike[str] | BinaryIO | IO[bytes], model: nn.Module, optimizer: torch.optim.Optimizer
) -> int:
    """Restore model and optimizer from a checkpoint, in place, and return its iteration."""
    from .checkpoint import load_checkpoint

    return load_checkpoint(src, model, optimizer)


# ------------------------------------------------------------------------------------------------------------
# Freshly initialised modules. The tests check their parameters: names, shapes, and initial distribution.


def get_linear_module(
    in_features: int, out_features: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> nn.Module:
    """Make a Linear layer; its parameter is `weight`."""
    from .layers import Linear

    return Linear(in_features, out_features, device, dtype)


def get_embedding_module(
    num_embeddings: int, embedding_dim: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> nn.Module:
    """Make an Embedding; its parameter is `weight`."""
    from .layers import Embedding

    return Embedding(num_embeddings, embedding_dim, device, dtype)


def get_rmsnorm_module(
    d_model: int, eps: float = 1e-5, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> nn.Module:
    """Make an RMSNorm; its parameter is `weight`."""
    from .layers import RMSNorm

    return RMSNorm(d_model, eps, device, dtype)


def get_swiglu_module(
    d_model: int, d_ff: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> nn.Module:
    """Make a SwiGLU; its parameters are `w1.weight`, `w2.weight` and `w3.weight`."""
    from .layers import SwiGLU

    return SwiGLU(d_model, d_ff, device, dtype)


def get_rope_module(d_k: int, theta: float, max_seq_len: int) -> nn.Module:
    """Make a RotaryPositionalEmbedding, which is called with vectors and their positions."""
    from .rope import RotaryPositionalEmbedding

    return RotaryPositionalEmbedding(theta, d_k, max_seq_len)


def get_transformer_lm_module(
    vocab_size: int,
    context_length: int,
    d_model: int,
    num_layers: int,
    num_heads: int,
    d_ff: int,
    rope_theta: float,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """Make a Transformer language model; its parameters have the names that `run_transformer_lm` lists."""
    from .transformer import TransformerLM

    return TransformerLM(vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, device, dtype)


# ------------------------------------------------------------------------------------------------------------
# The training loop, and the architectures of the ablations


def run_train(config: dict[str, Any]) -> None:
    """Train as a configuration says; the result is the run's folder, `config["out"]`.

    `config` has the keys of TrainConfig; some tests pass too many or too few.
    """
    from .config import make_config
    from .train import train

    train(make_config(config))


def run_transformer_lm_variant(
    vocab_size: int,
    context_length: int,
    d_model: int,
    num_layers: int,
    num_heads: int,
    d_ff: int,
    rope_theta: float,
    norm: str,
    position: str,
    ffn: str,
    weights: dict[str, Tensor],
    in_indices: Int[Tensor, "batch seq"],
) -> Float[Tensor, "batch seq vocab_size"]:
    """Like `run_transformer_lm`, but with the parts that an ablation removes or replaces.

    The weights lack what the model lacks: `ln1`, `ln2` and `ln_final` with norm "none", `ffn.w3` with ffn "silu".
    """
    from .transformer import TransformerLM

    like = weights["lm_head.weight"]
    model = TransformerLM(
        vocab_size,
        context_length,
        d_model,
        num_layers,
        num_heads,
        d_ff,
        rope_theta,
        like.device,
        like.dtype,
        norm=norm,  # type: ignore[arg-type]
        position=position,  # type: ignore[arg-type]
        ffn=ffn,  # type: ignore[arg-type]
    )
    model.load_state_dict(weights)
    return model(in_indices)


# ------------------------------------------------------------------------------------------------------------
# Decoding


def run_next_token_probabilities(
    logits: Float[Tensor, " ... vocab_size"], temperature: float, top_p: float
) -> Float[Tensor, " ... vocab_size"]:
    """Return the distribution from which the next token is drawn: temperature first, then nucleus sampling."""
    from .decoding import next_token_probabilities

    return next_token_probabilities(logits, temperature, top_p)


def run_generate(
    model: nn.Module,
    prompts: list[list[int]],
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    stop_token: int | None,
    context_length: int | None,
    generator: torch.Generator | None,
) -> list[list[int]]:
    """Continue every prompt and return the new tokens, without the prompts.

    `model` maps token ids [batch, seq] to logits [batch, seq, vocab_size] and is causal.
    """
    from .decoding import generate

    return generate(model, prompts, max_new_tokens, temperature, top_p, stop_token, context_length, generator)


# ------------------------------------------------------------------------------------------------------------
# Accounting. `config` holds vocab_size, context_length, num_layers, d_model, num_heads and d_ff.


def run_parameter_counts(config: dict[str, int]) -> dict[str, int]:
    """Count the parameters of each kind of component."""
    from .accounting import ModelConfig, parameter_counts

    return parameter_counts(ModelConfig(**config))


def run_num_parameters(config: dict[str, int]) -> int:
    """Count all parameters."""
    from .accounting import ModelConfig, num_parameters

    return num_parameters(ModelConfig(**config))


def run_parameter_memory(config: dict[str, int], bytes_per_parameter: int) -> int:
    """Return the bytes that the parameters take."""
    from .accounting import ModelConfig, parameter_memory

    return parameter_memory(ModelConfig(**config), bytes_per_parameter)


def run_matmul_flops(config: dict[str, int]) -> dict[str, int]:
    """Return the FLOPs of every kind of matrix multiply in the forward pass of one sequence."""
    from .accounting import ModelConfig, matmul_flops

    return matmul_flops(ModelConfig(**config))


def run_forward_flops(config: dict[str, int], batch_size: int) -> int:
    """Return the FLOPs of the forward pass."""
    from .accounting import ModelConfig, forward_flops

    return forward_flops(ModelConfig(**config), batch_size)


def run_flops_shares(config: dict[str, int]) -> dict[str, float]:
    """Return the fraction of the forward pass's FLOPs that each component takes."""
    from .accounting import ModelConfig, flops_shares

    return flops_shares(ModelConfig(**config))


def run_activation_counts(config: dict[str, int], batch_size: int) -> dict[str, int]:
    """Count the values that a training step keeps for the backward pass, by component."""
    from .accounting import ModelConfig, activation_counts

    return activation_counts(ModelConfig(**config), batch_size)


def run_training_memory(config: dict[str, int], batch_size: int) -> dict[str, int]:
    """Return the bytes that training with AdamW takes at its peak, by purpose."""
    from .accounting import ModelConfig, training_memory

    return training_memory(ModelConfig(**config), batch_size)


def run_max_batch_size(config: dict[str, int], memory_bytes: int) -> int:
    """Return the largest batch size that fits into the memory."""
    from .accounting import ModelConfig, max_batch_size

    return max_batch_size(ModelConfig(**config), memory_bytes)


def run_adamw_flops(config: dict[str, int]) -> int:
    """Return the FLOPs of one step of AdamW."""
    from .accounting import ModelConfig, adamw_flops

    return adamw_flops(ModelConfig(**config))


def run_training_flops(config: dict[str, int], batch_size: int) -> int:
    """Return the FLOPs of forward and backward pass in one training step."""
    from .accounting import ModelConfig, training_flops

    return training_flops(ModelConfig(**config), batch_size)


def run_training_days(
    config: dict[str, int], steps: int, batch_size: int, peak_flops_per_second: float, mfu: float
) -> float:
    """Return the days that a training run takes."""
    from .accounting import ModelConfig, training_days

    return training_days(ModelConfig(**config), steps, batch_size, peak_flops_per_second, mfu)


# ------------------------------------------------------------------------------------------------------------
# Kernels (optional), under the names of the public systems assignment


def get_flashattention_autograd_function_pytorch() -> type[torch.autograd.Function]:
    """Return the class of your FlashAttention in PyTorch; the tests call `.apply(Q, K, V, is_causal)`."""
    from .kernels import FlashAttentionPyTorch

    return FlashAttentionPyTorch


def get_flashattention_autograd_function_triton() -> type[torch.autograd.Function]:
    """Return the class of your FlashAttention in Triton; the tests call `.apply(Q, K, V, is_causal)`."""
    from .kernels import FlashAttentionTriton

    return FlashAttentionTriton


def get_rmsnorm_autograd_function_triton() -> type[torch.autograd.Function]:
    """Return the class of your RMSNorm in Triton; the tests call `.apply(x, weight)`, with eps at 1e-5."""
    from .kernels import FusedRMSNorm

    return FusedRMSNorm


# ------------------------------------------------------------------------------------------------------------
# The architecture lab (optional). Settings that cannot be raise a ValueError, which names what does not fit.


def run_layernorm(
    d_model: int,
    eps: float,
    weight: Float[Tensor, " d_model"] | None,
    bias: Float[Tensor, " d_model"] | None,
    in_features: Float[Tensor, " ... d_model"],
) -> Float[Tensor, " ... d_model"]:
    """Apply a LayerNorm with the given gain and bias; None means that it has none."""
    from .architecture.norms import LayerNorm

    like = in_features
    layernorm = LayerNorm(d_model, eps, weight is not None, bias is not None, like.device, like.dtype)
    layernorm.load_state_dict({k: v for k, v in {"weight": weight, "bias": bias}.items() if v is not None})
    return layernorm(in_features)


def run_activation(
    function: str, in_features: Float[Tensor, " ..."], beta: float = 1.0, alpha: float = 1.0
) -> Float[Tensor, " ..."]:
    """Apply the activation function of this name to every element; `beta` is for "swish", `alpha` for "elu"."""
    from .architecture.activations import activation

    return activation(function, beta, alpha)(in_features)


def run_gated_ffn(
    d_model: int,
    d_ff: int,
    gate: str,
    w1_weight: Float[Tensor, "d_ff d_model"],
    w2_weight: Float[Tensor, "d_model d_ff"],
    w3_weight: Float[Tensor, "d_ff d_model"],
    in_features: Float[Tensor, " ... d_model"],
) -> Float[Tensor, " ... d_model"]:
    """Apply a gated feed-forward network with the given weights; `gate` is its name, such as "geglu"."""
    from .architecture.feed_forward import GatedFeedForward

    network = GatedFeedForward(d_model, d_ff, gate, w1_weight.device, w1_weight.dtype)
    network.load_state_dict({"w1.weight": w1_weight, "w2.weight": w2_weight, "w3.weight": w3_weight})
    return network(in_features)


def run_gated_d_ff(plain_d_ff: int, multiple_of: int) -> int:
    """Return the hidden size of a gated network with the parameters of a plain one, as a multiple."""
    from .architecture.feed_forward import gated_d_ff

    return gated_d_ff(plain_d_ff, multiple_of)


def run_norm_placement_block(
    d_model: int,
    num_heads: int,
    d_ff: int,
    max_seq_len: int,
    theta: float,
    placement: str,
    weights: dict[str, Tensor],
    in_features: Float[Tensor, "batch seq d_model"],
) -> Float[Tensor, "batch seq d_model"]:
    """Apply a block with RoPE whose norms stand where `placement` says, at positions 0, 1, 2, ...

    `weights` has the keys of `run_transformer_block`; with "double" also `ln1_out.weight` and `ln2_out.weight`.
    """
    from .architecture.blocks import NormPlacementBlock

    like = weights["ln1.weight"]
    block = NormPlacementBlock(d_model, num_heads, d_ff, max_seq_len, theta, placement, like.device, like.dtype)
    block.load_state_dict(weights)
    return block(in_features)


def run_parallel_block(
    d_model: int,
    num_heads: int,
    d_ff: int,
    max_seq_len: int,
    theta: float,
    shared_norm: bool,
    weights: dict[str, Tensor],
    in_features: Float[Tensor, "batch seq d_model"],
) -> Float[Tensor, "batch seq d_model"]:
    """Apply a block with RoPE whose branches stand side by side, at positions 0, 1, 2, ...

    `weights` has the keys of `run_transformer_block`; with a shared norm there is no `ln2.weight`.
    """
    from .architecture.blocks import ParallelBlock

    like = weights["ln1.weight"]
    block = ParallelBlock(d_model, num_heads, d_ff, max_seq_len, theta, shared_norm, like.device, like.dtype)
    block.load_state_dict(weights)
    return block(in_features)


def run_qk_norm_attention(
    d_model: int,
    num_heads: int,
    max_seq_len: int,
    theta: float | None,
    eps: float,
    q_proj_weight: Float[Tensor, "d_model d_model"],
    k_proj_weight: Float[Tensor, "d_model d_model"],
    v_proj_weight: Float[Tensor, "d_model d_model"],
    o_proj_weight: Float[Tensor, "d_model d_model"],
    q_norm_weight: Float[Tensor, " d_k"],
    k_norm_weight: Float[Tensor, " d_k"],
    in_features: Float[Tensor, " ... seq d_model"],
    token_positions: Int[Tensor, " ... seq"] | None = None,
) -> Float[Tensor, " ... seq d_model"]:
    """Apply causal attention with normalised queries and keys; `theta` of None means no RoPE."""
    from .architecture.attention_variants import QKNormAttention

    like = q_proj_weight
    attention = QKNormAttention(d_model, num_heads, max_seq_len, theta, eps, like.device, like.dtype)
    attention.load_state_dict(
        {
            "q_proj.weight": q_proj_weight,
            "k_proj.weight": k_proj_weight,
            "v_proj.weight": v_proj_weight,
            "output_proj.weight": o_proj_weight,
            "q_norm.weight": q_norm_weight,
            "k_norm.weight": k_norm_weight,
        }
    )
    return attention(in_features, token_positions)


def run_grouped_query_attention(
    d_model: int,
    num_heads: int,
    num_kv_heads: int,
    max_seq_len: int,
    theta: float | None,
    q_proj_weight: Float[Tensor, "d_model d_model"],
    k_proj_weight: Float[Tensor, "d_kv d_model"],
    v_proj_weight: Float[Tensor, "d_kv d_model"],
    o_proj_weight: Float[Tensor, "d_model d_model"],
    in_features: Float[Tensor, " ... seq d_model"],
    token_positions: Int[Tensor, " ... seq"] | None = None,
) -> Float[Tensor, " ... seq d_model"]:
    """Apply causal attention with num_kv_heads heads of keys and values; `theta` of None means no RoPE."""
    from .architecture.attention_variants import GroupedQueryAttention

    like = q_proj_weight
    attention = GroupedQueryAttention(d_model, num_heads, num_kv_heads, max_seq_len, theta, like.device, like.dtype)
    attention.load_state_dict(
        {
            "q_proj.weight": q_proj_weight,
            "k_proj.weight": k_proj_weight,
            "v_proj.weight": v_proj_weight,
            "output_proj.weight": o_proj_weight,
        }
    )
    return attention(in_features, token_positions)


def run_window_mask(
    seq_len: int, window: int, stride: int | None = None, global_tokens: int = 0
) -> Bool[Tensor, "seq seq"]:
    """Return the causal mask of a window, with strides and tokens that all see; True where a query sees a key."""
    from .architecture.masks import window_mask

    return window_mask(seq_len, window, stride, global_tokens)


def run_sink_attention(
    Q: Float[Tensor, " ... heads queries d_k"],
    K: Float[Tensor, " ... heads keys d_k"],
    V: Float[Tensor, " ... heads keys d_v"],
    mask: Bool[Tensor, " ... queries keys"] | None,
    sinks: Float[Tensor, " heads"],
) -> Float[Tensor, " ... heads queries d_v"]:
    """Apply attention with one more score per head, whose weight is dropped after the softmax."""
    from .architecture.attention_variants import sink_attention

    return sink_attention(Q, K, V, mask, sinks)


def run_layer_kinds(num_layers: int, every: int) -> list[str]:
    """Return "window" or "full" for each layer."""
    from .architecture.interleaved import layer_kinds

    return layer_kinds(num_layers, every)


def run_windowed_self_attention(
    d_model: int,
    num_heads: int,
    max_seq_len: int,
    theta: float | None,
    window: int | None,
    q_proj_weight: Float[Tensor, "d_model d_model"],
    k_proj_weight: Float[Tensor, "d_model d_model"],
    v_proj_weight: Float[Tensor, "d_model d_model"],
    o_proj_weight: Float[Tensor, "d_model d_model"],
    in_features: Float[Tensor, " ... seq d_model"],
) -> Float[Tensor, " ... seq d_model"]:
    """Apply causal attention; `theta` of None means no positions, `window` of None all keys."""
    from .architecture.interleaved import WindowedSelfAttention

    like = q_proj_weight
    attention = WindowedSelfAttention(d_model, num_heads, max_seq_len, theta, window, like.device, like.dtype)
    attention.load_state_dict(
        {
            "q_proj.weight": q_proj_weight,
            "k_proj.weight": k_proj_weight,
            "v_proj.weight": v_proj_weight,
            "output_proj.weight": o_proj_weight,
        }
    )
    return attention(in_features)


def run_interleaved_stack(
    num_layers: int,
    d_model: int,
    num_heads: int,
    d_ff: int,
    max_seq_len: int,
    theta: float,
    window: int,
    every: int,
    weights: dict[str, Tensor],
    in_features: Float[Tensor, "batch seq d_model"],
) -> Float[Tensor, "batch seq d_model"]:
    """Apply a stack of blocks, of which every `every`-th is full, and the others are windowed.

    `weights` has the keys of `run_transformer_block` behind `layers.0.`, `layers.1.`, ...
    """
    from .architecture.interleaved import InterleavedStack

    like = next(iter(weights.values()))
    sizes = (num_layers, d_model, num_heads, d_ff, max_seq_len, theta, window, every)
    stack = InterleavedStack(*sizes, like.device, like.dtype)
    stack.load_state_dict(weights)
    return stack(in_features)


def run_online_attention(
    Q: Float[Tensor, " ... queries d_k"],
    K: Float[Tensor, " ... keys d_k"],
    V: Float[Tensor, " ... keys d_v"],
    chunk_size: int,
    causal: bool = False,
) -> Float[Tensor, " ... queries d_v"]:
    """Apply attention by chunks of keys; causal queries are the last of the keys' positions."""
    from .architecture.online_attention import online_attention

    return online_attention(Q, K, V, chunk_size, causal)


def get_kv_cache(
    batch_size: int, num_kv_heads: int, max_seq_len: int, d_k: int, dtype: torch.dtype | None = None
) -> Any:
    """Return an empty cache of keys and values; a dtype of None means torch's default."""
    from .architecture.kv_cache import KVCache

    return KVCache(batch_size, num_kv_heads, max_seq_len, d_k, dtype=dtype)


def run_cached_attention(
    d_model: int,
    num_heads: int,
    num_kv_heads: int,
    max_seq_len: int,
    theta: float | None,
    window: int | None,
    q_proj_weight: Float[Tensor, "d_model d_model"],
    k_proj_weight: Float[Tensor, "d_kv d_model"],
    v_proj_weight: Float[Tensor, "d_kv d_model"],
    o_proj_weight: Float[Tensor, "d_model d_model"],
    pieces: list[Float[Tensor, "batch new d_model"]],
    counts: list[Int[Tensor, " batch"]] | None = None,
) -> list[Float[Tensor, "batch new d_model"]]:
    """Feed pieces of a batch of sequences to attention with one new cache, and return the output for each piece.

    `counts` says how many tokens of each piece every sequence has; what is behind them is padding. None: all of them.
    """
    from .architecture.kv_cache import CachedAttention, KVCache

    like = q_proj_weight
    attention = CachedAttention(d_model, num_heads, num_kv_heads, max_seq_len, theta, window, like.device, like.dtype)
    attention.load_state_dict(
        {
            "q_proj.weight": q_proj_weight,
            "k_proj.weight": k_proj_weight,
            "v_proj.weight": v_proj_weight,
            "output_proj.weight": o_proj_weight,
        }
    )
    cache = KVCache(len(pieces[0]), num_kv_heads, max_seq_len, d_model // num_heads, like.device, like.dtype)
    each = [None] * len(pieces) if counts is None else counts
    return [attention.extend(piece, cache, count) for piece, count in zip(pieces, each, strict=True)]


def run_sinusoidal_table(
    num_positions: int, d_model: int, layout: str, base: float
) -> Float[Tensor, "num_positions d_model"]:
    """Return the sines and cosines of positions 0, 1, 2, ..., in float32; the layout is "interleaved" or "halves"."""
    from .architecture.absolute_positions import sinusoidal_table

    return sinusoidal_table(num_positions, d_model, layout, base)


def run_sinusoidal_positions(
    max_seq_len: int,
    d_model: int,
    layout: str,
    base: float,
    in_features: Float[Tensor, " ... seq d_model"],
    token_positions: Int[Tensor, " ... seq"] | None = None,
) -> Float[Tensor, " ... seq d_model"]:
    """Add sines and cosines to embeddings, at the given positions, or at 0, 1, 2, ..."""
    from .architecture.absolute_positions import SinusoidalPositions

    positions = SinusoidalPositions(max_seq_len, d_model, layout, base, in_features.device)
    return positions(in_features, token_positions)


def run_learned_positions(
    max_seq_len: int,
    d_model: int,
    weight: Float[Tensor, "max_seq_len d_model"],
    in_features: Float[Tensor, " ... seq d_model"],
    token_positions: Int[Tensor, " ... seq"] | None = None,
) -> Float[Tensor, " ... seq d_model"]:
    """Add the row of its position in `weight` to every vector, at the given positions, or at 0, 1, 2, ..."""
    from .architecture.absolute_positions import LearnedPositions

    positions = LearnedPositions(max_seq_len, d_model, weight.device, weight.dtype)
    positions.load_state_dict({"weight": weight})
    return positions(in_features, token_positions)


def run_relative_attention(
    Q: Float[Tensor, " ... seq d_k"],
    K: Float[Tensor, " ... seq d_k"],
    V: Float[Tensor, " ... seq d_v"],
    key_vectors: Float[Tensor, "distances d_k"],
    value_vectors: Float[Tensor, "distances d_v"] | None = None,
    causal: bool = False,
) -> Float[Tensor, " ... seq d_v"]:
    """Apply attention with a vector for each distance -m .. m between keys and queries, and values if given."""
    from .architecture.relative_positions import relative_attention

    return relative_attention(Q, K, V, key_vectors, value_vectors, causal)


def run_t5_buckets(
    ahead: Int[Tensor, " ..."], num_buckets: int, max_distance: int, bidirectional: bool
) -> Int[Tensor, " ..."]:
    """Return the bucket of each distance, which is the key's position minus the query's."""
    from .architecture.relative_positions import t5_buckets

    return t5_buckets(ahead, num_buckets, max_distance, bidirectional)


def run_t5_bias(
    table: Float[Tensor, "num_buckets heads"],
    query_positions: Int[Tensor, " queries"],
    key_positions: Int[Tensor, " keys"],
    max_distance: int,
    bidirectional: bool,
) -> Float[Tensor, "heads queries keys"]:
    """Return each head's bias between queries and keys at these positions."""
    from .architecture.relative_positions import t5_bias

    return t5_bias(table, query_positions, key_positions, max_distance, bidirectional)


def run_t5_attention(
    Q: Float[Tensor, " ... heads queries d_k"],
    K: Float[Tensor, " ... heads keys d_k"],
    V: Float[Tensor, " ... heads keys d_v"],
    bias: Float[Tensor, "heads queries keys"],
    mask: Bool[Tensor, " ... queries keys"] | None = None,
) -> Float[Tensor, " ... heads queries d_v"]:
    """Apply attention with a bias, and without a scale."""
    from .architecture.relative_positions import t5_attention

    return t5_attention(Q, K, V, bias, mask)


def run_alibi_slopes(num_heads: int) -> Float[Tensor, " heads"]:
    """Return the slopes of ALiBi, in float32."""
    from .architecture.positions import alibi_slopes

    return alibi_slopes(num_heads)


def run_alibi_attention(
    Q: Float[Tensor, " ... heads seq d_k"],
    K: Float[Tensor, " ... heads seq d_k"],
    V: Float[Tensor, " ... heads seq d_v"],
) -> Float[Tensor, " ... heads seq d_v"]:
    """Apply causal attention with linear biases."""
    from .architecture.positions import alibi_attention

    return alibi_attention(Q, K, V)


def run_rope_variant(
    d_k: int,
    theta: float,
    max_seq_len: int,
    layout: str,
    rotary_dim: int | None,
    in_query_or_key: Float[Tensor, " ... seq d_k"],
    token_positions: Int[Tensor, " ... seq"],
) -> Float[Tensor, " ... seq d_k"]:
    """Rotate the first `rotary_dim` features (all of them if None), "interleaved" or in "halves"."""
    from .architecture.positions import PartialRotaryEmbedding

    rope = PartialRotaryEmbedding(theta, d_k, max_seq_len, layout, rotary_dim, in_query_or_key.device)
    return rope(in_query_or_key, token_positions)


def run_permute_for_halves(
    weight: Float[Tensor, "features d_model"], num_heads: int
) -> Float[Tensor, "features d_model"]:
    """Return W_Q or W_K for interleaved RoPE with its rows in the order that RoPE in halves needs."""
    from .architecture.positions import permute_for_halves

    return permute_for_halves(weight, num_heads)


def run_scaled_frequencies(
    d_k: int,
    theta: float,
    kind: str,
    factor: float,
    original_max_seq_len: int,
    beta_fast: float = 32.0,
    beta_slow: float = 1.0,
    low_freq_factor: float = 1.0,
    high_freq_factor: float = 4.0,
) -> Float[Tensor, " pairs"]:
    """Return the angle per position of each pair; the kind is "linear", "ntk", "yarn" or "llama3"."""
    from .architecture.rope_scaling import RopeScaling, scaled_frequencies

    betas = {"beta_fast": beta_fast, "beta_slow": beta_slow}
    factors = {"low_freq_factor": low_freq_factor, "high_freq_factor": high_freq_factor}
    return scaled_frequencies(theta, d_k, RopeScaling(kind, factor, original_max_seq_len, **betas, **factors))


def run_scaled_rope(
    d_k: int,
    theta: float,
    max_seq_len: int,
    kind: str,
    factor: float,
    original_max_seq_len: int,
    in_query_or_key: Float[Tensor, " ... seq d_k"],
    token_positions: Int[Tensor, " ... seq"],
) -> Float[Tensor, " ... seq d_k"]:
    """Rotate with scaled frequencies, and multiply by the attention factor; other settings have their defaults."""
    from .architecture.rope_scaling import RopeScaling, ScaledRotaryEmbedding

    scaling = RopeScaling(kind, factor, original_max_seq_len)
    rope = ScaledRotaryEmbedding(theta, d_k, max_seq_len, scaling, in_query_or_key.device)
    return rope(in_query_or_key, token_positions)


def run_soft_cap(in_features: Float[Tensor, " ..."], cap: float) -> Float[Tensor, " ..."]:
    """Squeeze every element smoothly into (-cap, cap)."""
    from .architecture.stability import soft_cap

    return soft_cap(in_features, cap)


def run_soft_cap_attention(
    Q: Float[Tensor, " ... queries d_k"],
    K: Float[Tensor, " ... keys d_k"],
    V: Float[Tensor, " ... keys d_v"],
    mask: Bool[Tensor, " ... queries keys"] | None,
    cap: float,
) -> Float[Tensor, " ... queries d_v"]:
    """Apply attention with capped scores; the mask is True where a query sees a key."""
    from .architecture.stability import soft_cap_attention

    return soft_cap_attention(Q, K, V, mask, cap)


def run_z_loss(logits: Float[Tensor, " ... vocab_size"], coefficient: float) -> Float[Tensor, ""]:
    """Return the z-loss of the logits, times its coefficient."""
    from .architecture.stability import z_loss

    return z_loss(logits, coefficient)


def run_smoothed_cross_entropy(
    logits: Float[Tensor, " ... vocab_size"], targets: Int[Tensor, " ..."], smoothing: float
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy with smoothed labels."""
    from .architecture.stability import smoothed_cross_entropy

    return smoothed_cross_entropy(logits, targets, smoothing)


def run_tied_embedding(
    vocab_size: int,
    d_model: int,
    scaled: bool,
    weight: Float[Tensor, "vocab_size d_model"],
    token_ids: Int[Tensor, " ..."],
) -> Float[Tensor, " ... d_model"]:
    """Look up token ids in a tied embedding with the given weight."""
    from .architecture.stability import TiedEmbedding

    embedding = TiedEmbedding(vocab_size, d_model, scaled, weight.device, weight.dtype)
    embedding.load_state_dict({"weight": weight})
    return embedding(token_ids)


def run_tied_logits(
    vocab_size: int,
    d_model: int,
    scaled: bool,
    weight: Float[Tensor, "vocab_size d_model"],
    in_features: Float[Tensor, " ... d_model"],
) -> Float[Tensor, " ... vocab_size"]:
    """Score all tokens by a tied embedding with the given weight."""
    from .architecture.stability import TiedEmbedding

    embedding = TiedEmbedding(vocab_size, d_model, scaled, weight.device, weight.dtype)
    embedding.load_state_dict({"weight": weight})
    return embedding.logits(in_features)


def run_tied_gradient(
    vocab_size: int,
    d_model: int,
    scaled: bool,
    weight: Float[Tensor, "vocab_size d_model"],
    token_ids: Int[Tensor, " ..."],
    targets: Int[Tensor, " ..."],
) -> Float[Tensor, "vocab_size d_model"]:
    """Return the gradient of the weight in a model that is nothing but a tied embedding: cross_entropy of the logits
    of the embedded token ids.
    """
    from .architecture.stability import TiedEmbedding
    from .loss import cross_entropy

    embedding = TiedEmbedding(vocab_size, d_model, scaled, weight.device, weight.dtype)
    embedding.load_state_dict({"weight": weight})
    with torch.enable_grad():
        loss = cross_entropy(embedding.logits(embedding(token_ids)), targets)
        return torch.autograd.grad(loss, list(embedding.parameters()))[0]


def run_top_k_gates(
    logits: Float[Tensor, " ... tokens experts"], top_k: int, renormalise: bool
) -> Float[Tensor, " ... tokens experts"]:
    """Return the gates of the top_k experts of each token, and 0 for the others."""
    from .architecture.routing import top_k_gates

    return top_k_gates(logits, top_k, renormalise)


def run_biased_gates(
    logits: Float[Tensor, " ... tokens experts"], bias: Float[Tensor, " experts"], top_k: int
) -> Float[Tensor, " ... tokens experts"]:
    """Return the gates of experts that are chosen with a bias and weighed without."""
    from .architecture.routing import biased_gates

    return biased_gates(logits, bias, top_k)


def run_hash_gates(
    logits: Float[Tensor, " ... tokens experts"],
    token_ids: Int[Tensor, " ... tokens"],
    table: Int[Tensor, "vocab_size top_k"],
) -> Float[Tensor, " ... tokens experts"]:
    """Return the gates of the experts that the table has for each token."""
    from .architecture.routing import hash_gates

    return hash_gates(logits, token_ids, table)


def run_expert_capacity(tokens: int, num_experts: int, top_k: int, capacity_factor: float) -> int:
    """Return how many tokens of a sequence one expert may take."""
    from .architecture.routing import expert_capacity

    return expert_capacity(tokens, num_experts, top_k, capacity_factor)


def run_drop_over_capacity(
    gates: Float[Tensor, " ... tokens experts"], capacity: int
) -> Float[Tensor, " ... tokens experts"]:
    """Return the gates with 0 where an expert has no room."""
    from .architecture.routing import drop_over_capacity

    return drop_over_capacity(gates, capacity)


def run_mixture_of_experts(
    d_model: int,
    d_ff: int,
    num_experts: int,
    top_k: int,
    renormalise: bool,
    shared_d_ff: int,
    capacity_factor: float | None,
    weights: dict[str, Tensor],
    in_features: Float[Tensor, "batch seq d_model"],
) -> Float[Tensor, "batch seq d_model"]:
    """Apply a mixture of experts with the given weights.

    `weights` has the keys `router.weight`, and `experts.0.w1.weight`, `experts.0.w2.weight`, `experts.0.w3.weight`, and
    so on for each expert; with shared_d_ff above 0 also `shared.w1.weight`, `shared.w2.weight`, `shared.w3.weight`.
    """
    from .architecture.mixture import MixtureOfExperts

    like = weights["router.weight"]
    layer = MixtureOfExperts(
        d_model, d_ff, num_experts, top_k, renormalise, shared_d_ff, capacity_factor, like.device, like.dtype
    )
    layer.load_state_dict(weights)
    return layer(in_features)


def run_load_balance_loss(logits: Float[Tensor, " ... tokens experts"], top_k: int) -> Float[Tensor, ""]:
    """Return the load-balance loss of a router's logits."""
    from .architecture.mixture import load_balance_loss

    return load_balance_loss(logits, top_k)


def run_router_z_loss(logits: Float[Tensor, " ... tokens experts"]) -> Float[Tensor, ""]:
    """Return the z-loss of a router's logits."""
    from .architecture.mixture import router_z_loss

    return router_z_loss(logits)


def run_round_to_format(
    in_features: Float[Tensor, " ..."], exponent_bits: int, mantissa_bits: int
) -> Float[Tensor, " ..."]:
    """Round every element to a floating-point format with so many bits."""
    from .architecture.precision import round_to_format

    return round_to_format(in_features, exponent_bits, mantissa_bits)


def run_rounded_matmul(
    a: Float[Tensor, "n k"],
    b: Float[Tensor, "k m"],
    exponent_bits: int,
    mantissa_bits: int,
    wide_accumulator: bool,
) -> Float[Tensor, "n m"]:
    """Multiply two matrices in a format, with sums in float32 or in the format itself."""
    from .architecture.precision import rounded_matmul

    return rounded_matmul(a, b, exponent_bits, mantissa_bits, wide_accumulator)


def run_loss_scaler(
    scale: float, growth_interval: int, gradients: list[list[Tensor]]
) -> dict[str, list[float] | list[list[Tensor] | None]]:
    """Give a new scaler the gradients of one step after the other.

    Returns the `scales` after each step, and what `unscale` gave at each: `gradients`, or None.
    """
    from .architecture.precision import LossScaler

    scaler: Any = LossScaler(scale, growth_interval)
    scales: list[float] = []
    unscaled: list[list[Tensor] | None] = []
    for step in gradients:
        unscaled.append(scaler.unscale(step))
        scales.append(float(scaler.scale))
    return {"scales": scales, "gradients": unscaled}


def run_master_weights(
    weights: list[Tensor],
    gradients: list[list[Tensor]],
    learning_rate: float,
    exponent_bits: int,
    mantissa_bits: int,
) -> list[list[Tensor]]:
    """Return the rounded weights before the first step, and after each step with the gradients of one."""
    from .architecture.precision import MasterWeights

    master = MasterWeights(weights, exponent_bits, mantissa_bits)
    rounded = [[weight.clone() for weight in master.rounded()]]
    for step in gradients:
        master.step(step, learning_rate)
        rounded.append([weight.clone() for weight in master.rounded()])
    return rounded


def run_mixed_precision_steps(
    gradients: list[list[Tensor]],
    weights: list[Tensor],
    learning_rate: float,
    exponent_bits: int,
    mantissa_bits: int,
    scale: float,
    growth_interval: int,
) -> dict[str, list[bool] | list[Tensor]]:
    """Make one step after the other with gradients of the scaled loss.

    Returns whether each step was `made`, and the rounded `weights` at the end.
    """
    from .architecture.precision import LossScaler, MasterWeights, mixed_precision_step

    master, scaler = MasterWeights(weights, exponent_bits, mantissa_bits), LossScaler(scale, growth_interval)
    made = [bool(mixed_precision_step(master, scaler, step, learning_rate)) for step in gradients]
    return {"made": made, "weights": list(master.rounded())}


def run_to_small_format(in_features: Float[Tensor, " ..."], format: str) -> Float[Tensor, " ..."]:
    """Round every element to the format of this name: "e4m3", "e5m2" or "e2m1"."""
    from .architecture.fp8 import to_small_format

    return to_small_format(in_features, format)


def run_quantise(in_features: Float[Tensor, " ... n"], format: str, per_row: bool) -> tuple[Tensor, Tensor]:
    """Return values of a small format, and their scale: a scalar, or one for each row of shape [... 1]."""
    from .architecture.fp8 import quantise

    values, scale = quantise(in_features, format, per_row)
    return values, scale


def run_small_matmul(
    a: Float[Tensor, "n k"], b: Float[Tensor, "k m"], format: str, per_row: bool
) -> Float[Tensor, "n m"]:
    """Multiply two matrices in a small format, with scales for rows and columns or for whole matrices."""
    from .architecture.fp8 import small_matmul

    return small_matmul(a, b, format, per_row)


# The accounting of any configuration. `config` holds the fields of `architecture.language_model.ArchitectureConfig`,
# where they differ from its defaults.


def run_component_parameters(config: dict[str, Any]) -> dict[str, int]:
    """Count the parameters of each kind of component."""
    from .architecture.costs import component_parameters
    from .architecture.language_model import ArchitectureConfig

    return component_parameters(ArchitectureConfig(**config))


def run_total_parameters(config: dict[str, Any]) -> int:
    """Count all parameters."""
    from .architecture.costs import total_parameters
    from .architecture.language_model import ArchitectureConfig

    return total_parameters(ArchitectureConfig(**config))


def run_active_parameters(config: dict[str, Any]) -> int:
    """Count the parameters that one token meets."""
    from .architecture.costs import active_parameters
    from .architecture.language_model import ArchitectureConfig

    return active_parameters(ArchitectureConfig(**config))


def run_component_flops(config: dict[str, Any], batch_size: int, new_tokens: int, cached_tokens: int) -> dict[str, int]:
    """Return the FLOPs of each kind of product in a forward pass after tokens that are in the cache."""
    from .architecture.costs import component_flops
    from .architecture.language_model import ArchitectureConfig

    return component_flops(ArchitectureConfig(**config), batch_size, new_tokens, cached_tokens)


def run_kv_cache_bytes(config: dict[str, Any], batch_size: int, tokens: int, bytes_per_number: int) -> int:
    """Return the bytes of the keys and values that are kept."""
    from .architecture.costs import kv_cache_bytes
    from .architecture.language_model import ArchitectureConfig

    return kv_cache_bytes(ArchitectureConfig(**config), batch_size, tokens, bytes_per_number)


def run_memory_traffic(
    config: dict[str, Any], batch_size: int, new_tokens: int, cached_tokens: int, bytes_per_number: int
) -> int:
    """Return the bytes that a forward pass moves at the least."""
    from .architecture.costs import memory_traffic
    from .architecture.language_model import ArchitectureConfig

    return memory_traffic(ArchitectureConfig(**config), batch_size, new_tokens, cached_tokens, bytes_per_number)


def run_arithmetic_intensity(
    config: dict[str, Any], batch_size: int, new_tokens: int, cached_tokens: int, bytes_per_number: int
) -> float:
    """Return the FLOPs of a forward pass for each byte that it moves."""
    from .architecture.costs import arithmetic_intensity
    from .architecture.language_model import ArchitectureConfig

    return arithmetic_intensity(ArchitectureConfig(**config), batch_size, new_tokens, cached_tokens, bytes_per_number)


def run_language_model(
    config: dict[str, Any], weights: dict[str, Tensor], token_ids: Int[Tensor, "batch seq"]
) -> Float[Tensor, "batch seq vocab_size"]:
    """Apply the model of this configuration with these weights, whose names the docstring of `LanguageModel` lists."""
    from .architecture.language_model import ArchitectureConfig, LanguageModel

    like = weights["token_embeddings.weight"]
    model = LanguageModel(ArchitectureConfig(**config), like.device, like.dtype)
    model.load_state_dict(weights)
    return model(token_ids)
