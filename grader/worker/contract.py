"""Which adapters this kit adds to those of the public assignment, and which of them a submission defines."""

from __future__ import annotations

import types

OWN_ADAPTERS = frozenset(
    {
        *("get_tokenizer_from_files", "get_linear_module", "get_embedding_module", "get_rmsnorm_module"),
        *("get_swiglu_module", "get_rope_module", "get_transformer_lm_module"),
        *("run_train", "run_transformer_lm_variant", "run_next_token_probabilities", "run_generate"),
        *("run_parameter_counts", "run_num_parameters", "run_parameter_memory", "run_matmul_flops"),
        *("run_forward_flops", "run_flops_shares", "run_activation_counts", "run_training_memory"),
        *("run_max_batch_size", "run_adamw_flops", "run_training_flops", "run_training_days"),
        *("get_flashattention_autograd_function_pytorch", "get_flashattention_autograd_function_triton"),
        "get_rmsnorm_autograd_function_triton",
    }
)
"""A solution of the public assignment has none of them, and is not charged for what only they can show."""


MAY_SHOW_NOTHING = frozenset({"gradients", "new_parameters", "parameter_gradients"})
"""The drivers that may find nothing to look at. From anything else such an answer would be a way out of a claim."""


def own_adapters_of(adapters: types.ModuleType) -> list[str]:
    """The kit's own adapters that an adapters module defines, in alphabetical order; nothing of it is called."""
    return sorted(OWN_ADAPTERS.intersection(getattr(adapters, "__dict__", ())))
