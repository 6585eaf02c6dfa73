"""A cache of keys and values: written in place, and attention with it is attention to the whole sequence."""

from typing import Any

import pytest

from grader.cases.case import Case, Draw
from grader.cases.compare import compare
from grader.checks.refusals import check_refused
from grader.checks.untouched import inputs_after

pytestmark = pytest.mark.own_adapter


def check_real(case: Case, outputs: Any) -> None:
    """Compare what real tokens give; outputs of padding mean nothing."""
    expected, counts = case.expected, case.inputs["counts"]
    if (
        counts is None
        or not isinstance(outputs, list)
        or [getattr(y, "shape", None) for y in outputs] != [y.shape for y in expected]
    ):
        case.check(outputs)  # says what it is instead
        return
    for piece, (right, output, count) in enumerate(zip(expected, outputs, counts, strict=True)):
        for sequence, length in enumerate(count.tolist()):
            where = f"output for piece {piece}, sequence {sequence}, without padding"
            compare(right[sequence, :length], output[sequence, :length], case.tolerance, where)


def check_contents(case: Case, found: dict[str, Any]) -> None:
    """Compare what the cache holds, as far as it holds something."""
    expected = case.expected
    compare(expected["lengths"], found["lengths"], where="lengths after each call of append")
    for name in ("keys", "values"):
        shape, right = expected[name].shape, getattr(found[name], "shape", None)
        assert right == shape, f"{name} have the shape {tuple(right or ())}, and should have {tuple(shape)}"
        for sequence, length in enumerate(expected["lengths"][-1]):
            held = (x[name][sequence, :, :length] for x in (expected, found))
            compare(*held, where=f"{name} of sequence {sequence}, as far as it goes")


@pytest.mark.cases("append")
def test_append(submission, case):
    """New keys and values are written behind those that are there.

    Asked: problem kv_cache, KVCache.append.
    """
    check_contents(case, submission.cache_contents(**case.inputs))


@pytest.mark.cases("in_place")
def test_in_place(submission, case):
    """Keys and values have all their memory from the start, and stay where they are.

    Asked: problem kv_cache: memory that is allocated once.
    """
    found = submission.cache_contents(**case.inputs)
    sizes = case.inputs["sizes"]
    shape = tuple(sizes[name] for name in ("batch_size", "num_kv_heads", "max_seq_len", "d_k"))
    assert tuple(found["keys"].shape) == shape, (
        f"keys have the shape {tuple(found['keys'].shape)}, and should have {shape}"
    )
    assert found["in_place"], "after a call of append, keys or values are in another place in memory, or have grown"


@pytest.mark.cases("counts")
def test_append_different_lengths(submission, case):
    """Each sequence goes on at its own length, and padding is not written.

    Asked: problem kv_cache, the argument counts.
    """
    check_contents(case, submission.cache_contents(**case.inputs))


@pytest.mark.cases("prefill")
def test_prefill(submission, case):
    """In one piece, it is causal attention.

    Asked: problem kv_cache, CachedAttention.extend.
    """
    case.check(submission.run_cached_attention(**case.inputs))


@pytest.mark.cases("steps")
def test_steps(submission, case):
    """After the prompt, token by token, each output is that of attention to all so far.

    Asked: problem kv_cache, CachedAttention.extend.
    """
    case.check(submission.run_cached_attention(**case.inputs))


@pytest.mark.cases("pieces")
def test_pieces(submission, case):
    """A piece of several tokens sees the cache, and of itself what is not later.

    Asked: problem kv_cache, CachedAttention.extend: steps of one token, or of several.
    """
    case.check(submission.run_cached_attention(**case.inputs))


@pytest.mark.cases("rope")
def test_rope(submission, case):
    """A new token stands behind those in the cache, and keys that are there are not rotated again.

    Asked: problem kv_cache, CachedAttention.extend: the position of new tokens.
    """
    case.check(submission.run_cached_attention(**case.inputs))


@pytest.mark.cases("gqa")
def test_groups(submission, case):
    """Query heads that are neighbours share a head of the cache.

    Asked: problem kv_cache: CachedAttention is grouped-query attention.
    """
    case.check(submission.run_cached_attention(**case.inputs))


@pytest.mark.cases("window")
def test_window(submission, case):
    """With a window of w, a new token sees w keys, its own among them.

    Asked: problem kv_cache, the argument window.
    """
    case.check(submission.run_cached_attention(**case.inputs))


@pytest.mark.cases("lengths")
def test_different_lengths(submission, case):
    """Sequences of a batch that go on at different times give what each would give alone.

    Asked: problem kv_cache, the argument counts.
    """
    check_real(case, submission.run_cached_attention(**case.inputs))


def test_nothing_computed_twice(submission):
    """Queries, keys and values of each token are computed once.

    Asked: problem kv_cache: CachedAttention.extend computes those of the new tokens only.
    """
    draw, d, kv, steps, prompt = Draw(0, "nothing computed twice"), 16, 8, 12, 4
    weights = {f"{name}_proj_weight": draw.normal(d, d, scale=0.3) for name in "qo"}
    weights |= {f"{name}_proj_weight": draw.normal(kv, d, scale=0.3) for name in "kv"}
    pieces = [draw.normal(1, prompt, d), *(draw.normal(1, 1, d) for _ in range(steps))]
    sizes = {"d_model": d, "num_heads": 4, "num_kv_heads": 2, "max_seq_len": 16, "theta": None, "window": None}
    given = {**sizes, **weights, "pieces": pieces, "counts": None}
    seen = submission.matmul_work(adapter="run_cached_attention", inputs=given)
    assert len(seen["output"]) == 1 + steps, f"there are {len(seen['output'])} outputs for {1 + steps} pieces"
    tokens = prompt + steps
    # Attention may look at the whole memory of the cache, and hide what is not in use.
    needed = 2 * tokens * (2 * d * d + 2 * d * kv) + 4 * tokens * 16 * d
    assert seen["flops"] <= 1.5 * needed, (
        f"for a prompt of {prompt} tokens and {steps} steps, matrix products took {seen['flops']:,} FLOPs; if each "
        f"token goes through the weights once, they take at most {needed:,}"
    )


@pytest.mark.edge
@pytest.mark.cases("padded")
def test_padded_prompts(submission, case):
    """Prompts that are padded on the right give what each would give without padding, and so do steps after them.

    Asked: problem kv_cache, the argument counts.
    """
    check_real(case, submission.run_cached_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("everything")
def test_everything_together(submission, case):
    """Groups, a window, RoPE and different lengths go together.

    Asked: problem kv_cache: each of them alone.
    """
    check_real(case, submission.run_cached_attention(**case.inputs))


@pytest.mark.edge
@pytest.mark.cases("half")
def test_half_precision(submission, case):
    """bfloat16 weights and inputs give bfloat16 outputs.

    Asked: problem kv_cache, the argument dtype of KVCache.
    """
    outputs = submission.run_cached_attention(**case.inputs)
    case.check(outputs)


@pytest.mark.edge
@pytest.mark.cases("untouched")
def test_inputs_unchanged(submission, case):
    """Pieces, counts and weights are afterwards what they were.

    Asked: plain safety: inputs belong to the caller.
    """
    case.check(inputs_after(submission, case))


@pytest.mark.edge
def test_no_room(submission):
    """A sequence that does not fit raises ValueError, whose message has its length and the size of the cache.

    Asked: the documentation of KVCache.append.
    """
    draw = Draw(0, "no room in the cache")
    sizes = {"d_model": 4, "num_heads": 2, "num_kv_heads": 2, "max_seq_len": 6, "theta": None, "window": None}
    weights = {f"{name}_proj_weight": draw.normal(4, 4) for name in "qkvo"}
    pieces = [draw.normal(1, 4, 4), draw.normal(1, 2, 4)]
    outputs = submission.run_cached_attention(**sizes, **weights, pieces=pieces, counts=None)
    assert [tuple(y.shape) for y in outputs] == [(1, 4, 4), (1, 2, 4)]
    given = {**sizes, **weights, "pieces": [pieces[0], draw.normal(1, 3, 4)], "counts": None}
    check_refused(submission, "run_cached_attention", given, "7 tokens with a cache for 6", 7, 6)


@pytest.mark.edge
def test_impossible_settings(submission):
    """A window below 1, and heads that cannot be shared, raise ValueError, whose message has the numbers.

    Asked: the documentation of CachedAttention.
    """
    draw = Draw(0, "impossible settings of a cache")
    sizes = {"d_model": 8, "num_heads": 4, "num_kv_heads": 2, "max_seq_len": 6, "theta": None, "window": 3}
    given: dict[str, Any] = {**sizes, "pieces": [draw.normal(1, 2, 8)], "counts": None}
    given |= {f"{name}_proj_weight": draw.normal(8, 8) for name in "qo"}
    given |= {f"{name}_proj_weight": draw.normal(4, 8) for name in "kv"}
    assert submission.run_cached_attention(**given)[0].shape == (1, 2, 8)
    check_refused(submission, "run_cached_attention", given | {"window": 0}, "a window of 0", 0)
    three = given | {"num_kv_heads": 3, **{f"{name}_proj_weight": draw.normal(6, 8) for name in "kv"}}
    check_refused(submission, "run_cached_attention", three, "4 query heads for 3 heads of keys", 4, 3)
