"""The cost of a model of any configuration: parameters, FLOPs, the cache of keys and values, and bytes that are moved.

Every quantity is defined in the docstrings of `architecture/costs.py`. Where one is put together from others, what
follows from your own is right as well, so that one mistake costs once.
"""

import pytest

from grader.checks.counts import check_account, check_counts, describe

pytestmark = pytest.mark.own_adapter


def check(case, found, exact=False):
    """Compare with what is right."""
    check_counts(case.expected, found, describe(case), exact)


def active_of(case, component_parameters):
    """All but the experts that are not chosen."""
    config = case.inputs["config"]
    count, top_k = config.get("num_experts", 0), config.get("top_k", 0)
    idle = component_parameters["ffn"] * (count - top_k) // max(count, 1)
    return sum(component_parameters.values()) - idle


def traffic_of(case, component_parameters, kv_cache_bytes):
    """Weights that are read, and the cache."""
    config, options = case.inputs["config"], case.inputs["options"]
    count = config.get("num_experts", 0)
    chosen = options["batch_size"] * options["new_tokens"] * config.get("top_k", 0)
    idle = component_parameters["ffn"] * max(count - chosen, 0) // max(count, 1)
    unread = 0 if config.get("tie_embeddings") else component_parameters["token_embeddings"]
    weights = sum(component_parameters.values()) - component_parameters["position_embeddings"] - unread - idle
    return options["bytes_per_number"] * weights + kv_cache_bytes


@pytest.mark.cases("parameters")
def test_parameters(submission, case):
    """Attention has four matrices, and a feed-forward network three with a gate, else two.

    Asked: problem architecture_accounting, component_parameters.
    """
    check(case, submission.run_component_parameters(**case.inputs))


@pytest.mark.cases("heads")
def test_parameters_of_heads(submission, case):
    """The projections have as many rows as there are heads of queries, keys and values, times the features of a head.

    Asked: problem architecture_accounting, component_parameters, with num_kv_heads and head_dim.
    """
    check(case, submission.run_component_parameters(**case.inputs))


@pytest.mark.cases("norms")
def test_parameters_of_norms(submission, case):
    """A norm has a gain for each feature, and a LayerNorm a bias, too, unless it is without.

    Asked: problem architecture_accounting, component_parameters, with norm.
    """
    check(case, submission.run_component_parameters(**case.inputs))


@pytest.mark.cases("more_norms")
def test_number_of_norms(submission, case):
    """Double norm has four norms in a block, a shared one is one, and queries and keys have one each of head_dim gains.

    Asked: problem architecture_accounting, component_parameters, with norm_placement, shared_norm and qk_norm.
    """
    check(case, submission.run_component_parameters(**case.inputs))


@pytest.mark.cases("tied")
def test_parameters_of_a_tied_head(submission, case):
    """A head that is tied to the embedding has no parameters of its own.

    Asked: problem architecture_accounting, component_parameters, with tie_embeddings.
    """
    check(case, submission.run_component_parameters(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("learned_positions")
def test_parameters_of_positions(submission, case):
    """Learned positions have a vector for each place of the context; all others have no parameters.

    Asked: problem architecture_accounting, component_parameters, with position.
    """
    check(case, submission.run_component_parameters(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("biases")
def test_parameters_of_biases(submission, case):
    """Biases count where a network or the head has them.

    Asked: problem architecture_accounting, component_parameters, with ffn_bias and head_bias.
    """
    check(case, submission.run_component_parameters(**case.inputs))


@pytest.mark.cases("experts")
def test_parameters_of_experts(submission, case):
    """All experts of a layer count, and so does its router.

    Asked: problem architecture_accounting, component_parameters, with num_experts.
    """
    check(case, submission.run_component_parameters(**case.inputs))


@pytest.mark.cases("total")
def test_total_parameters(submission, case):
    """The total is the sum over the components: 8.03 billion for Llama 3 8B, 46.7 billion for Mixtral 8x7B.

    Asked: problem architecture_accounting, total_parameters.
    """
    check_account(
        case, submission.accounted(**case.inputs), lambda component_parameters: sum(component_parameters.values())
    )


@pytest.mark.cases("active")
def test_active_parameters(submission, case):
    """Experts that are not chosen for a token do not count as active.

    Asked: problem architecture_accounting, active_parameters.
    """
    check_account(case, submission.accounted(**case.inputs), lambda **parts: active_of(case, **parts))


@pytest.mark.edge
@pytest.mark.cases("active_of_all")
def test_active_without_experts(submission, case):
    """In a model without experts, all parameters are active.

    Asked: problem architecture_accounting, active_parameters.
    """
    check_account(case, submission.accounted(**case.inputs), lambda **parts: active_of(case, **parts))


@pytest.mark.cases("prefill")
def test_prefill(submission, case):
    """Reading a prompt takes 2 m n p FLOPs for each product, with a score for each pair of its tokens.

    Asked: problem architecture_accounting, component_flops.
    """
    check(case, submission.run_component_flops(**case.inputs))


@pytest.mark.cases("decode")
def test_decode(submission, case):
    """One more token goes through the matrices alone, and its query meets the keys of all tokens so far and its own.

    Asked: problem architecture_accounting, component_flops, with cached_tokens.
    """
    check(case, submission.run_component_flops(**case.inputs))


@pytest.mark.cases("flops_of_heads")
def test_flops_of_heads(submission, case):
    """Shared keys save FLOPs in the projections, and none in the scores: every query head has its own.

    Asked: problem architecture_accounting, component_flops, with num_kv_heads and head_dim.
    """
    check(case, submission.run_component_flops(**case.inputs))


@pytest.mark.cases("flops_of_tied_head")
def test_flops_of_a_tied_head(submission, case):
    """A tied head multiplies by the whole vocabulary as any other does.

    Asked: problem architecture_accounting, component_flops, with tie_embeddings.
    """
    check(case, submission.run_component_flops(**case.inputs))


@pytest.mark.cases("flops_of_windows")
def test_flops_of_windows(submission, case):
    """In layers with a window, a new token meets the last window - 1 cached tokens and itself.

    Asked: problem architecture_accounting, component_flops, with window and full_every.
    """
    check(case, submission.run_component_flops(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("prefill_of_windows")
def test_a_window_saves_nothing_in_a_prompt(submission, case):
    """All scores of new tokens are computed before a mask is applied, that of a window, too.

    Asked: problem architecture_accounting, component_flops: no mask saves FLOPs.
    """
    check(case, submission.run_component_flops(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("flops_in_parts")
def test_flops_of_a_part(submission, case):
    """Several new tokens after cached ones meet these and each other.

    Asked: problem architecture_accounting, component_flops, with new_tokens and cached_tokens.
    """
    check(case, submission.run_component_flops(**case.inputs))


@pytest.mark.cases("flops_of_experts")
def test_flops_of_experts(submission, case):
    """A token goes through top_k experts, and its router scores all of them.

    Asked: problem architecture_accounting, component_flops, with num_experts and top_k.
    """
    check(case, submission.run_component_flops(**case.inputs))


@pytest.mark.cases("cache")
def test_cache(submission, case):
    """A key and a value are kept for each token, layer and head.

    Asked: problem architecture_accounting, kv_cache_bytes.
    """
    check(case, submission.run_kv_cache_bytes(**case.inputs))


@pytest.mark.cases("cache_of_heads")
def test_cache_of_heads(submission, case):
    """Heads that are shared are kept once, with head_dim numbers each.

    Asked: problem architecture_accounting, kv_cache_bytes, with num_kv_heads and head_dim.
    """
    check(case, submission.run_kv_cache_bytes(**case.inputs))


@pytest.mark.cases("cache_of_windows")
def test_cache_of_windows(submission, case):
    """Layers with a window keep no more tokens than that, and full ones all.

    Asked: problem architecture_accounting, kv_cache_bytes, with window and full_every.
    """
    check(case, submission.run_kv_cache_bytes(**case.inputs))


@pytest.mark.cases("traffic")
def test_traffic(submission, case):
    """A forward pass reads each weight once, without the embedding table, and moves the cache.

    Asked: problem architecture_accounting, memory_traffic.
    """
    check_account(case, submission.accounted(**case.inputs), lambda **parts: traffic_of(case, **parts))


@pytest.mark.edge
@pytest.mark.cases("traffic_of_tied_head")
def test_traffic_of_a_tied_head(submission, case):
    """An embedding table that is also the head is read as a whole.

    Asked: problem architecture_accounting, memory_traffic, with tie_embeddings.
    """
    check_account(case, submission.accounted(**case.inputs), lambda **parts: traffic_of(case, **parts))


@pytest.mark.cases("traffic_of_experts")
def test_traffic_of_experts(submission, case):
    """As many experts are read as the tokens of a batch can choose, and no more than there are.

    Asked: problem architecture_accounting, memory_traffic, with num_experts and top_k.
    """
    check_account(case, submission.accounted(**case.inputs), lambda **parts: traffic_of(case, **parts))


@pytest.mark.cases("intensity")
def test_intensity(submission, case):
    """Arithmetic intensity is FLOPs over bytes: hundreds in a prompt, about one where a single sequence is written.

    Asked: problem architecture_accounting, arithmetic_intensity.
    """
    check_account(
        case,
        submission.accounted(**case.inputs),
        lambda component_flops, memory_traffic: sum(component_flops.values()) / memory_traffic,
    )


@pytest.mark.edge
@pytest.mark.cases("exact")
def test_whole_parameters(submission, case):
    """A number of parameters is an int.

    Asked: plain safety: counts of things are whole numbers.
    """
    found = submission.accounted(**case.inputs)
    check_account(case, found, lambda component_parameters: sum(component_parameters.values()), exact=True)


@pytest.mark.edge
@pytest.mark.cases("exact_flops")
def test_whole_flops(submission, case):
    """FLOPs are ints, and exact even where floats cannot represent every whole number.

    Asked: plain safety: counts of things are whole numbers.
    """
    check(case, submission.run_component_flops(**case.inputs), exact=True)


@pytest.mark.edge
@pytest.mark.cases("exact_cache")
def test_whole_bytes(submission, case):
    """Bytes are ints, and exact even where floats cannot represent every whole number.

    Asked: plain safety: counts of things are whole numbers.
    """
    check(case, submission.run_kv_cache_bytes(**case.inputs), exact=True)
