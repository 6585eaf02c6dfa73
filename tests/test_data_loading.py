"""Batch sampling: windows of the dataset at random starts, and the same windows one token later.

The tests read a window's start off its content, so their datasets have no token twice. Limits on counts are so wide
that a right sampler misses one less than once in ten million runs.
"""

import numpy as np
import pytest
import torch

TOKENS = np.random.default_rng(336).permutation(5000)
MANY = np.random.default_rng(337).permutation(60_000)
"""So many that the first and the last start, which have claims of their own, are hardly ever drawn."""

SHAPES = [(32, 7), (1, 8), (3, 64), (64, 4), (5, 5)]


def check_pair(batch, shape):
    """A batch is a pair of tensors, the first of shape [batch, context]; gives the two."""
    assert isinstance(batch, (tuple, list)), f"expected the pair (x, y), got {type(batch).__name__}"
    assert len(batch) == 2, f"expected the pair (x, y), got {len(batch)} items"
    for name, part in zip("xy", batch, strict=True):
        assert isinstance(part, torch.Tensor), f"{name} is {type(part).__name__}, not a torch.Tensor"
    check_shape("x", batch[0], shape)
    return batch


def check_shape(name, part, shape):
    assert tuple(part.shape) == shape, f"{name} has shape {tuple(part.shape)}, not (batch, context) = {shape}"


def draw_batches(submission, dataset, batch_size, context_length, calls=1):
    """The batches of several calls, as pairs of int64 tensors."""
    result = submission.batches(dataset=dataset, batch_size=batch_size, context_length=context_length, calls=calls)
    return [check_pair(batch, (batch_size, context_length)) for batch in result["batches"]]


def starts_of(x, dataset):
    """Where each row begins in a dataset without repetitions; every row has to be a window with a token after it."""
    context_length = x.shape[1]
    place = {int(token): i for i, token in enumerate(dataset)}
    starts = [place.get(token) for token in x[:, 0].tolist()]
    last = len(dataset) - context_length - 1
    for row, start in enumerate(starts):
        assert start is not None, f"row {row} of x begins with {int(x[row, 0])}, which is not in the dataset"
        assert start <= last, f"row {row} begins at {start}; the last start that leaves a next token is {last}"
        window = torch.from_numpy(dataset[start : start + context_length].astype(np.int64))
        assert torch.equal(x[row], window), (
            f"row {row} of x begins with token {start} of the dataset and is not the window that begins there"
        )
    return np.array(starts)


def check_targets(x, y, dataset):
    """Every row of y is the window of x moved on by one token."""
    check_shape("y", y, tuple(x.shape))
    for row, start in enumerate(starts_of(x, dataset)):
        targets = torch.from_numpy(dataset[start + 1 : start + 1 + x.shape[1]].astype(np.int64))
        assert torch.equal(y[row], targets), f"row {row} of y is not the window of x moved on by one token"


@pytest.mark.decisive
@pytest.mark.parametrize(("batch_size", "context_length"), SHAPES)
def test_inputs_are_windows(submission, batch_size, context_length):
    """x holds windows of consecutive tokens, of shape [batch, context].

    Asked: problem data_loading: sampled sequences of context_length tokens.
    """
    for x, _ in draw_batches(submission, MANY, batch_size, context_length):
        starts_of(x, MANY)


@pytest.mark.decisive
@pytest.mark.parametrize(("batch_size", "context_length"), SHAPES)
def test_targets_are_inputs_one_later(submission, batch_size, context_length):
    """y holds the windows of x, shifted by one token.

    Asked: problem data_loading: for each sampled sequence the next-token targets.
    """
    for x, y in draw_batches(submission, MANY, batch_size, context_length):
        check_targets(x, y, MANY)


def test_every_start_is_equally_likely(submission):
    """Every start position for which x and y fit is equally likely: the first, the last, and no other.

    Asked: problem data_loading: sequences are sampled, from anywhere in the data.
    """
    context_length, calls, batch_size = 10, 100, 16
    dataset = TOKENS[:30]
    counts = np.zeros(len(dataset) - context_length, int)
    for x, _ in draw_batches(submission, dataset, batch_size, context_length, calls):
        np.add.at(counts, starts_of(x, dataset), 1)
    expected = calls * batch_size / len(counts)
    allowed = 6.5 * np.sqrt(expected)
    odd = np.flatnonzero(abs(counts - expected) > allowed)
    assert not len(odd), (
        f"{calls * batch_size} windows of {context_length} out of {len(dataset)} tokens can begin at 0 to "
        f"{len(counts) - 1}, each about {expected:g} times; start {odd[0]} came {counts[odd[0]]} times"
    )


def test_windows_are_drawn_independently(submission):
    """Every call draws new windows, and the rows of a batch are independent of each other.

    Asked: problem data_loading: every sequence of every batch is sampled.
    """
    batches = [starts_of(x, TOKENS) for x, _ in draw_batches(submission, TOKENS, 16, 20, calls=4)]
    for i, one in enumerate(batches):
        assert len(set(np.diff(one))) > 3, f"the rows of a batch begin at regular distances: {one.tolist()}"
        for other in batches[:i]:
            assert sorted(one) != sorted(other), f"two calls gave the same batch, with rows from {one.tolist()}"


@pytest.mark.advice
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint16"])
def test_int64(submission, dtype):
    """x and y are int64, as embeddings and losses need, whatever the dataset's integer type.

    Asked: the annotation of run_get_batch names LongTensors; ids of another type work in most places.
    """
    result = submission.batches(dataset=TOKENS.astype(dtype), batch_size=4, context_length=8)
    starts_of(check_pair(result["batches"][0], (4, 8))[0], TOKENS)
    found = result["dtypes"][0]
    assert found == ["torch.int64"] * 2, f"x is {found[0]} and y is {found[1]}; both should be torch.int64"


@pytest.mark.edge
def test_integers(submission):
    """x and y have an integer type that an embedding can use.

    Asked: the annotation of run_get_batch, a pair of tensors of token ids.
    """
    result = submission.batches(dataset=TOKENS, batch_size=4, context_length=8)
    check_pair(result["batches"][0], (4, 8))
    for name, dtype in zip("xy", result["dtypes"][0], strict=True):
        assert "int" in dtype, f"{name} is {dtype}; token ids are integers"


@pytest.mark.edge
def test_ids_above_32767(submission):
    """Token ids above 32767 in a uint16 dataset keep their values.

    Asked: the handout stores token ids as uint16, which goes up to 65535.
    """
    dataset = np.arange(65536 - 300, 65536).astype(np.uint16)
    for batch in draw_batches(submission, dataset, 8, 12, calls=4):
        for part in batch:
            assert part.min() >= dataset[0], f"token {int(part.min())} is not in the dataset of {dataset[0]} to 65535"
            assert part.max() > part.min(), "all tokens of the batch are the same"


@pytest.mark.advice
@pytest.mark.parametrize("context_length", [1, 16])
def test_dataset_of_one_window(submission, context_length):
    """A dataset of context_length + 1 tokens holds one window, and every row is that window.

    Asked: nowhere; the assignment's data is far longer than a batch, so rows may as well be drawn without repetition.
    """
    dataset = TOKENS[: context_length + 1]
    for x, y in draw_batches(submission, dataset, 4, context_length):
        check_targets(x, y, dataset)


@pytest.mark.edge
def test_memory_mapped(submission):
    """A memory-mapped dataset may be larger than memory: only the drawn windows are read.

    Asked: problem data_loading and the handout's paragraph on np.memmap, for data larger than memory.
    """
    tokens = np.arange(40_000, 42_000, dtype=np.uint16)
    shape = {"batch_size": 8, "context_length": 32}
    batch = submission.batch_from_memory_map(tokens=tokens, padding=0, headroom_mib=256, **shape)
    starts_of(check_pair(batch, (8, 32))[0], tokens)
    batch = submission.batch_from_memory_map(tokens=tokens, padding=1 << 29, headroom_mib=256, **shape)
    x, _ = check_pair(batch, (8, 32))
    assert not x.bool().all(), "of a file that is nearly all zeros, no window holds a zero"


@pytest.mark.edge
def test_dataset_stays_as_it_is(submission):
    """The dataset is not modified.

    Asked: plain safety: the dataset belongs to the caller.
    """
    dataset = TOKENS[:200]
    result = submission.batches(dataset=dataset, batch_size=16, context_length=9)
    starts_of(check_pair(result["batches"][0], (16, 9))[0], dataset)
    assert np.array_equal(result["dataset"], dataset), "the dataset was changed by drawing a batch from it"


@pytest.mark.edge
def test_device(submission):
    """x and y are on the requested device; a device that does not exist is an error, not silently the CPU.

    Asked: problem data_loading: both tensors are placed on the requested device.
    """
    assert not submission.batch_is_refused(dataset=TOKENS, device="cpu"), "a batch for the device 'cpu' is refused"
    assert submission.batch_is_refused(dataset=TOKENS, device="cuda:99"), (
        "a batch for the device 'cuda:99' came back, and there is no such device here"
    )
    # The device "meta" is there on every machine. Who cannot sample for it says so, which is no fault.
    for name, device in zip("xy", submission.batch_devices(dataset=TOKENS, device="meta") or (), strict=False):
        assert device == "meta", f"{name} is on the device {device!r}, where 'meta' was asked for"


@pytest.mark.edge
def test_generators_keep_their_seed(submission):
    """Drawing a batch does not reseed the random generators.

    Asked: plain safety: whoever seeds a run, as every experiment does, expects all that comes after it to follow.
    """
    (first, again, other) = (submission.after_a_batch(dataset=TOKENS, seed=seed) for seed in (1, 1, 2))
    for generator, numbers in first.items():
        assert numbers == again[generator], (
            f"after {generator} was seeded and a batch was drawn, {generator} gives other numbers each time: it was "
            "seeded anew"
        )
        assert numbers != other[generator], (
            f"after a batch was drawn, {generator} gives the same numbers whatever it was seeded with before"
        )


@pytest.mark.advice
def test_seeded(submission):
    """Seeding torch, numpy and random gives the same batch again.

    Asked: nowhere; a generator of your own that nobody can seed makes runs that cannot be repeated.
    """
    shape = {"dataset": TOKENS, "batch_size": 16, "context_length": 20}
    one, again, other = (
        starts_of(submission.batches(**shape, seed=seed)["batches"][0][0], TOKENS) for seed in (1, 1, 2)
    )
    assert one.tolist() == again.tolist(), "with the same seed, the batch was another one"
    assert one.tolist() != other.tolist(), "with another seed, the batch was the same"
