"""What is known of every operation that a test may ask of a submission: the one table for both sides of the wall.

An operation is an adapter of the submission (`run_*`, `get_*`), or a driver, a small program of the kit's that runs
beside it (`drivers/`). Who reads the table: `Operations` how to call one, the judge whether to ask again, the from-
scratch rule where a problem begins and what may be probed, the transcript what to keep. What is not in it is no
operation, and a test that asks for it is refused before the submission is.

Pure, and without torch: source is read before torch is loaded.
"""

from __future__ import annotations

import enum
import types
from dataclasses import dataclass


class Again(enum.Enum):
    """How the judge may ask an operation once more, to see whether it depends on anything but its arguments.

    AS_IT_IS: with the same arguments; AFTER_A_DECOY: and sometimes after other values in the same tensors.
    """

    NEVER = enum.auto()
    AS_IT_IS = enum.auto()
    AFTER_A_DECOY = enum.auto()


class Kept(enum.Enum):
    """What a transcript keeps of an answer, so that it can be compared with that of a known bug.

    NOTHING: it is made for several tests, so that chance decides which of them asks; or it is measured or drawn.
    WITHOUT_CHANCE: what is the same for every generator and seed.
    """

    WHOLE = enum.auto()
    WITHOUT_CHANCE = enum.auto()
    NOTHING = enum.auto()


@dataclass(frozen=True)
class Operation:
    """One operation.

    name: what a test calls; problem: the problem that it belongs to, "" when it serves several; own: an adapter that
    this kit adds to those of the public assignment; by_position: the public assignment's tests pass the arguments by
    position, so that a submission may name its parameters as it likes; again: how it may be asked once more; probed:
    it begins anew each time, in a problem that asks for a piece, so that it may be called with what ready-made code
    gives changed a little; kept: what a transcript keeps; may_show_nothing: it may find nothing to look at, which from
    any other operation would be a way out of a claim.
    """

    name: str
    problem: str = ""
    own: bool = False
    by_position: bool = False
    again: Again = Again.NEVER
    probed: bool = False
    kept: Kept = Kept.WHOLE
    may_show_nothing: bool = False

    @property
    def is_adapter(self) -> bool:
        return self.name.startswith(("run_", "get_"))


def _function(name: str, problem: str, by_position: bool = False) -> Operation:
    """An adapter that computes one answer from tensors, and nothing else."""
    return Operation(name, problem, by_position=by_position, again=Again.AFTER_A_DECOY, probed=True)


def _own(name: str, problem: str) -> Operation:
    return Operation(name, problem, own=True)


def _own_function(name: str, problem: str) -> Operation:
    """As `_function`, of those that this kit adds."""
    return Operation(name, problem, own=True, again=Again.AFTER_A_DECOY, probed=True)


_ALL = (
    Operation("run_train_bpe", "train_bpe"),
    Operation("train_bpe", "train_bpe", again=Again.AS_IT_IS, probed=True),
    #
    Operation("get_tokenizer", "tokenizer", by_position=True),
    _own("get_tokenizer_from_files", "tokenizer"),
    Operation("open_tokenizer", "tokenizer", kept=Kept.NOTHING),
    Operation("open_tokenizer_from_files", "tokenizer", kept=Kept.NOTHING),
    Operation("tokenizer_encode", "tokenizer", again=Again.AS_IT_IS, probed=True),
    Operation("tokenizer_decode", "tokenizer", again=Again.AS_IT_IS, probed=True),
    Operation("tokenizer_encode_iterable", "tokenizer", again=Again.AS_IT_IS),
    Operation("tokenizer_encode_file", "tokenizer"),
    Operation("tokenizer_chunks_read_before_first_id", "tokenizer"),
    Operation("tokenizer_stream", "tokenizer", kept=Kept.NOTHING),
    Operation("encode_texts", "tokenizer", again=Again.AS_IT_IS, probed=True),
    Operation("encode_streams", "tokenizer"),
    Operation("decode_ids", "tokenizer", again=Again.AS_IT_IS, probed=True),
    Operation("decode_unknown", "tokenizer"),
    #
    _function("run_linear", "linear"),
    _own("get_linear_module", "linear"),
    _function("run_embedding", "embedding"),
    _own("get_embedding_module", "embedding"),
    _function("run_rmsnorm", "rmsnorm"),
    _own("get_rmsnorm_module", "rmsnorm"),
    _function("run_silu", "positionwise_feedforward", by_position=True),
    _function("run_swiglu", "positionwise_feedforward"),
    _own("get_swiglu_module", "positionwise_feedforward"),
    _function("run_rope", "rope"),
    _own("get_rope_module", "rope"),
    _function("run_softmax", "softmax", by_position=True),
    _function("run_scaled_dot_product_attention", "scaled_dot_product_attention"),
    _function("run_multihead_self_attention", "multihead_self_attention"),
    _function("run_multihead_self_attention_with_rope", "multihead_self_attention"),
    _function("run_transformer_block", "transformer_block"),
    _function("run_transformer_lm", "transformer_lm"),
    _own("get_transformer_lm_module", "transformer_lm"),
    #
    _function("run_cross_entropy", "cross_entropy", by_position=True),
    Operation("get_adamw_cls", "adamw"),
    Operation("adamw_trajectory", "adamw", probed=True),
    Operation("adamw_gradients_after_step", "adamw"),
    Operation("adamw_step_with_closure", "adamw", probed=True),
    Operation("adamw_is_optimizer", "adamw"),
    Operation("run_get_lr_cosine_schedule", "learning_rate_schedule", again=Again.AS_IT_IS, probed=True),
    Operation("learning_rates", "learning_rate_schedule", again=Again.AS_IT_IS, probed=True),
    Operation("run_gradient_clipping", "gradient_clipping", by_position=True),
    Operation("clip", "gradient_clipping", probed=True),
    #
    Operation("run_get_batch", "data_loading"),
    Operation("batches", "data_loading", kept=Kept.WITHOUT_CHANCE),
    Operation("batch_from_memory_map", "data_loading"),
    Operation("batch_is_refused", "data_loading"),
    Operation("batch_devices", "data_loading"),
    Operation("after_a_batch", "data_loading", kept=Kept.NOTHING),
    Operation("run_save_checkpoint", "checkpointing"),
    Operation("run_load_checkpoint", "checkpointing"),
    Operation("checkpoint_round_trip", "checkpointing"),
    Operation("checkpoints_elsewhere", "checkpointing", kept=Kept.NOTHING),
    Operation("checkpoints_restored", "checkpointing"),
    Operation("checkpoint_of_another_model", "checkpointing"),
    _own("run_train", "training_together"),
    _own("run_transformer_lm_variant", "training_together"),
    Operation("training_run", "training_together"),
    Operation("training_interrupted", "training_together"),
    Operation("training_refused", "training_together"),
    _own("run_next_token_probabilities", "decoding"),
    _own("run_generate", "decoding"),
    Operation("generated", "decoding"),
    Operation("sampled", "decoding", kept=Kept.NOTHING),
    Operation("generation_traces", "decoding"),
    Operation("generation_is_refused", "decoding"),
    Operation("generated_by_own_model", "decoding"),
    #
    _own("run_parameter_counts", "transformer_accounting"),
    _own("run_num_parameters", "transformer_accounting"),
    _own("run_parameter_memory", "transformer_accounting"),
    _own("run_matmul_flops", "transformer_accounting"),
    _own("run_forward_flops", "transformer_accounting"),
    _own("run_flops_shares", "transformer_accounting"),
    _own("run_activation_counts", "adamw_accounting"),
    _own("run_training_memory", "adamw_accounting"),
    _own("run_max_batch_size", "adamw_accounting"),
    _own("run_adamw_flops", "adamw_accounting"),
    _own("run_training_flops", "adamw_accounting"),
    _own("run_training_days", "adamw_accounting"),
    Operation("accounted"),
    #
    _own("get_flashattention_autograd_function_pytorch", "flash_attention_pytorch"),
    _own("get_flashattention_autograd_function_triton", "flash_attention_triton"),
    _own("get_rmsnorm_autograd_function_triton", "fused_rmsnorm"),
    Operation("attention_output"),
    Operation("attention_log_sum_exp"),
    Operation("attention_gradients"),
    Operation("attention_largest_tensor"),
    Operation("fused_rmsnorm_output", "fused_rmsnorm"),
    Operation("fused_rmsnorm_gradients", "fused_rmsnorm"),
    Operation("kernel_launches"),
    #
    _own_function("run_layernorm", "layernorm"),
    _own_function("run_activation", "activations"),
    _own_function("run_gated_ffn", "gated_ffn"),
    _own("run_gated_d_ff", "gated_ffn"),
    _own_function("run_norm_placement_block", "norm_placement"),
    _own_function("run_qk_norm_attention", "qk_norm"),
    _own_function("run_parallel_block", "parallel_block"),
    _own_function("run_grouped_query_attention", "grouped_query_attention"),
    _own("run_window_mask", "windowed_attention"),
    _own("run_layer_kinds", "interleaved_attention"),
    _own_function("run_windowed_self_attention", "interleaved_attention"),
    _own_function("run_interleaved_stack", "interleaved_attention"),
    _own_function("run_online_attention", "online_attention"),
    _own("get_kv_cache", "kv_cache"),
    _own_function("run_cached_attention", "kv_cache"),
    Operation("cache_contents", "kv_cache"),
    _own("run_sinusoidal_table", "sinusoidal_embedding"),
    _own_function("run_sinusoidal_positions", "sinusoidal_embedding"),
    _own_function("run_learned_positions", "learned_positions"),
    _own_function("run_relative_attention", "relative_positions"),
    _own("run_t5_buckets", "relative_positions"),
    _own_function("run_t5_bias", "relative_positions"),
    _own_function("run_t5_attention", "relative_positions"),
    _own("run_alibi_slopes", "alibi"),
    _own_function("run_alibi_attention", "alibi"),
    _own_function("run_rope_variant", "rope_variants"),
    _own_function("run_permute_for_halves", "rope_variants"),
    _own("run_scaled_frequencies", "rope_scaling"),
    _own_function("run_scaled_rope", "rope_scaling"),
    _own_function("run_sink_attention", "windowed_attention"),
    _own_function("run_soft_cap", "stability"),
    _own_function("run_soft_cap_attention", "stability"),
    _own_function("run_z_loss", "stability"),
    _own_function("run_smoothed_cross_entropy", "stability"),
    _own_function("run_tied_embedding", "stability"),
    _own_function("run_tied_logits", "stability"),
    _own_function("run_tied_gradient", "stability"),
    _own_function("run_top_k_gates", "moe_routing"),
    _own_function("run_biased_gates", "moe_routing"),
    _own_function("run_hash_gates", "moe_routing"),
    _own("run_expert_capacity", "moe_routing"),
    _own_function("run_drop_over_capacity", "moe_routing"),
    _own_function("run_mixture_of_experts", "moe_layer"),
    _own_function("run_load_balance_loss", "moe_layer"),
    _own_function("run_router_z_loss", "moe_layer"),
    _own_function("run_round_to_format", "precision"),
    _own_function("run_rounded_matmul", "precision"),
    _own_function("run_loss_scaler", "precision"),
    _own_function("run_master_weights", "precision"),
    _own_function("run_mixed_precision_steps", "precision"),
    _own_function("run_to_small_format", "fp8"),
    _own_function("run_quantise", "fp8"),
    _own_function("run_small_matmul", "fp8"),
    _own("run_component_parameters", "architecture_accounting"),
    _own("run_total_parameters", "architecture_accounting"),
    _own("run_active_parameters", "architecture_accounting"),
    _own("run_component_flops", "architecture_accounting"),
    _own("run_kv_cache_bytes", "architecture_accounting"),
    _own("run_memory_traffic", "architecture_accounting"),
    _own("run_arithmetic_intensity", "architecture_accounting"),
    _own_function("run_language_model", "model_families"),
    #
    Operation("gradients", probed=True, may_show_nothing=True),
    Operation("inputs_after", probed=True),
    Operation("refusal"),
    Operation("numbers_held"),
    Operation("matmul_work"),
    Operation("in_dtype"),
    Operation("new_parameters", may_show_nothing=True),
    Operation("parameter_gradients", may_show_nothing=True),
    Operation("module_placement"),
    Operation("timed_open"),
    Operation("timed_prepare"),
    Operation("timed_run"),
    Operation("timed_release"),
)

OPERATIONS = {operation.name: operation for operation in _ALL}

OWN_ADAPTERS = frozenset(operation.name for operation in _ALL if operation.own)
"""A solution of the public assignment has none of them, and is not charged for what only they can show."""


def adapters_of(problem: str) -> tuple[str, ...]:
    """Where a problem begins in a submission's adapters module."""
    return tuple(operation.name for operation in _ALL if operation.is_adapter and operation.problem == problem)


def own_adapters_of(adapters: types.ModuleType) -> list[str]:
    """The kit's own adapters that an adapters module defines, in alphabetical order; nothing of it is called."""
    return sorted(OWN_ADAPTERS.intersection(getattr(adapters, "__dict__", ())))
