"""Batch sampling: windows of the dataset at random starts, and the same windows one token later.

The tests read a window's start off its content, so their datasets have no token twice. Limits on counts are so wide
that a right sampler misses one less than once in ten million runs.
"""

import numpy as np
import pytest
import torch

TOKENS = np.random.default_rng(336).permutation(5000)


def check_pair(batch, shape):
    """A batch is a pair of tensors of shape [batch, context]; gives the two."""
    assert isinstance(batch, (tuple, list)), f"expected the pair (x, y), got {type(batch).__name__}"
    assert len(batch) == 2, f"expected the pair (x, y), got {len(batch)} items"
    for name, part in zip("xy", batch, strict=True):
        assert isinstance(part, torch.Tensor), f"{name} is {type(part).__name__}, not a torch.Tensor"
        assert tuple(part.shape) == shape, f"{name} has shape {tuple(part.shape)}, not (batch, context) = {shape}"
    return batch


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
    for row, start in enumerate(starts_of(x, dataset)):
        targets = torch.from_numpy(dataset[start + 1 : start + 1 + x.shape[1]].astype(np.int64))
        assert torch.equal(y[row], targets), f"row {row} of y is not the window of x moved on by one token"


@pytest.mark.parametrize(("batch_size", "context_length"), [(32, 7), (1, 1), (3, 64), (64, 3), (5, 5)])
def test_targets_are_inputs_one_later(submission, batch_size, context_length):
    """x holds windows of consecutive tokens, and y the same windows one token later, both [batch, context]."""
    for dataset in (TOKENS, TOKENS[: context_length + 200]):
        for x, y in draw_batches(submission, dataset, batch_size, context_length):
            check_targets(x, y, dataset)


def test_every_start_is_equally_likely(submission):
    """Every start for which x and y fit is drawn equally often: the first, the last, and no other."""
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
    """Every call draws anew, and the rows of a batch do not follow from each other."""
    batches = [starts_of(x, TOKENS) for x, _ in draw_batches(submission, TOKENS, 16, 20, calls=4)]
    for i, one in enumerate(batches):
        assert len(set(np.diff(one))) > 3, f"the rows of a batch begin at regular distances: {one.tolist()}"
        for other in batches[:i]:
            assert sorted(one) != sorted(other), f"two calls gave the same batch, with rows from {one.tolist()}"


@pytest.mark.edge
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint16"])
def test_int64(submission, dtype):
    """x and y are int64, as embeddings and losses need them, whatever integers the dataset holds."""
    result = submission.batches(dataset=TOKENS.astype(dtype), batch_size=4, context_length=8)
    starts_of(check_pair(result["batches"][0], (4, 8))[0], TOKENS)
    found = result["dtypes"][0]
    assert found == ["torch.int64"] * 2, f"x is {found[0]} and y is {found[1]}; both should be torch.int64"


@pytest.mark.edge
def test_ids_above_32767(submission):
    """Token ids above 32767 in a uint16 dataset stay what they are."""
    dataset = np.arange(65536 - 300, 65536).astype(np.uint16)
    for batch in draw_batches(submission, dataset, 8, 12, calls=4):
        for part in batch:
            assert part.min() >= dataset[0], f"token {int(part.min())} is not in the dataset of {dataset[0]} to 65535"
            assert part.max() > part.min(), "all tokens of the batch are the same"


@pytest.mark.edge
@pytest.mark.parametrize("context_length", [1, 16])
def test_dataset_of_one_window(submission, context_length):
    """A dataset of context_length + 1 tokens holds one window, and every row is that one."""
    dataset = TOKENS[: context_length + 1]
    for x, y in draw_batches(submission, dataset, 4, context_length):
        check_targets(x, y, dataset)


@pytest.mark.edge
def test_memory_mapped(submission):
    """A memory-mapped dataset may be larger than memory: only the windows that are drawn are read."""
    tokens = np.arange(40_000, 42_000, dtype=np.uint16)
    shape = {"batch_size": 8, "context_length": 32}
    batch = submission.batch_from_memory_map(tokens=tokens, padding=0, headroom_mib=256, **shape)
    starts_of(check_pair(batch, (8, 32))[0], tokens)
    batch = submission.batch_from_memory_map(tokens=tokens, padding=1 << 29, headroom_mib=256, **shape)
    x, _ = check_pair(batch, (8, 32))
    assert not x.bool().all(), "of a file that is nearly all zeros, no window holds a zero"


@pytest.mark.edge
def test_dataset_stays_as_it_is(submission):
    """The dataset is not modified."""
    dataset = TOKENS[:200]
    result = submission.batches(dataset=dataset, batch_size=16, context_length=9)
    starts_of(check_pair(result["batches"][0], (16, 9))[0], dataset)
    assert np.array_equal(result["dataset"], dataset), "the dataset was changed by drawing a batch from it"


@pytest.mark.edge
def test_device(submission):
    """The device that is asked for is used: one that does not exist is PyTorch's error, not silently the CPU."""
    assert not submission.batch_is_refused(dataset=TOKENS, device="cpu"), "a batch for the device 'cpu' is refused"
    assert submission.batch_is_refused(dataset=TOKENS, device="cuda:99"), (
        "a batch for the device 'cuda:99' came back, and there is no such device here"
    )
