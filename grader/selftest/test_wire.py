"""The wire format carries plain data exactly, and nothing else."""

from __future__ import annotations

import collections
import contextlib
import functools
import pickle
import struct
import subprocess
import sys
import tracemalloc
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grader.kit.paths import KIT
from grader.wall.answer import read_answer
from grader.worker import wire

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=()))
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.integers(-5, 5) | st.text(max_size=3) | st.binary(max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


def there_and_back(value):
    return wire.decode(wire.encode(value))


@given(PLAIN)
def test_plain_data_comes_back_as_it_was(value):
    back = there_and_back(value)
    assert back == value
    assert repr(back) == repr(value)  # 1, 1.0 and True are equal; their types must survive too


@pytest.mark.parametrize("dtype", wire.TENSOR_DTYPES.values(), ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)], ids=str)
def test_tensors_keep_dtype_shape_and_bits(dtype, shape):
    tensor = torch.randn(shape).to(dtype) if dtype.is_floating_point else torch.randint(0, 2, shape).to(dtype)
    back = there_and_back(tensor)
    assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
    assert torch.equal(back, tensor)


@pytest.mark.parametrize("view", [lambda t: t.T, lambda t: t[:, ::2], lambda t: t[1:, 2:]], ids=["T", "step", "slice"])
def test_a_tensor_keeps_its_layout_in_memory(view):
    tensor = view(torch.randn(6, 8))
    back = there_and_back(tensor)
    assert torch.equal(back, tensor)
    assert back.is_contiguous() == tensor.is_contiguous()


def test_an_expanded_tensor_is_sent_dense():
    tensor = torch.randn(1, 4).expand(3, 4)
    assert torch.equal(there_and_back(tensor), tensor)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.0])
def test_special_floats_survive(value):
    assert str(there_and_back(value)) == str(value)


def test_arrays_and_numpy_scalars_keep_their_type():
    array = np.arange(6, dtype=np.uint16).reshape(2, 3)
    back = there_and_back({"array": array, "scalar": np.float32(1.5)})
    assert back["array"].dtype == np.uint16
    assert (back["array"] == array).all()
    assert type(back["scalar"]) is np.float32


def test_a_parameter_arrives_as_its_values():
    back = there_and_back(torch.nn.Parameter(torch.ones(2)))
    assert type(back) is torch.Tensor
    assert not back.requires_grad


class Liar(torch.Tensor):
    def __eq__(self, other):
        return torch.ones(self.shape, dtype=torch.bool)


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (torch.ones(2).as_subclass(Liar), "Liar"),
        (Text("a"), "Text"),
        (object(), "object"),
        (lambda: None, "function"),
        ({1, 2}, "set"),
        ([1, {"a": object()}], r"result\[1\]\['a'\]"),
        ({(1, 2): 3}, "tuple"),
        (np.array([object()]), "object"),
        (torch.ones(2, device="meta"), "meta"),
        (2**70, "cannot be sent"),
    ],
)
def test_what_is_not_plain_data_is_refused_by_name(value, named):
    with pytest.raises(wire.NotPlainData, match=named):
        wire.encode(value)


def test_a_cyclic_list_is_refused():
    cycle: list = []
    cycle.append(cycle)
    with pytest.raises(wire.NotPlainData, match="nested"):
        wire.encode(cycle)


def test_a_dict_is_read_through_the_base_class():
    class Lying(collections.OrderedDict):
        def items(self):
            return [("verdict", "pass")]

    with pytest.raises(wire.NotPlainData):
        wire.encode(Lying(a=1))
    assert there_and_back(collections.defaultdict(int, a=1)) == {"a": 1}


TENSORS = st.sampled_from([torch.zeros(2), torch.tensor(7), torch.tensor([True, False]), torch.zeros(0)])
ARRAYS = st.sampled_from([np.arange(3), np.float32(1), np.array(True)])
ANYTHING = st.recursive(
    PLAIN | TENSORS | ARRAYS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner)
)
REMARKS = st.lists(st.dictionaries(st.text(max_size=9) | st.binary(max_size=3), st.text(max_size=400) | ANYTHING))
FIELDS: dict[Any, Any] = {
    "id": st.just(5) | st.just(True) | ANYTHING,
    "kind": st.sampled_from(["ok", "error", "todo", "?"]) | ANYTHING,
    "value": ANYTHING,
    **dict.fromkeys(("message", "traceback", "type"), st.text() | ANYTHING),
    **dict.fromkeys(("uses_seen", "noticed"), REMARKS | ANYTHING),
    b"id": ANYTHING,
}
FRAMES = st.fixed_dictionaries({}, optional=FIELDS)


def check_is_answer_or_refused(body):
    try:
        answer = read_answer(body, 5)
    except wire.WireError:
        return
    assert type(answer.kind) is type(answer.message) is type(answer.traceback) is type(answer.type_name) is str
    for remark in (*answer.uses_seen, *answer.noticed):
        assert all(type(text) is str and len(text) <= 300 for pair in remark.items() for text in pair)
    assert type(answer.value) in wire._DECODED


@given(FRAMES | ANYTHING)
def test_whatever_a_frame_says_is_an_answer_or_refused(frame):
    check_is_answer_or_refused(wire.encode(frame))


@given(st.binary(max_size=200))
def test_whatever_a_frame_is_made_of_is_an_answer_or_refused(body):
    check_is_answer_or_refused(body)


@given(FRAMES, st.integers(0, 2000), st.integers(0, 255))
def test_a_frame_with_another_byte_is_an_answer_or_refused(frame, place, byte):
    body = bytearray(wire.encode(frame))
    body[place % len(body)] = byte
    check_is_answer_or_refused(body)


@pytest.mark.parametrize("number", [torch.tensor([5, 5]), 5.0, True, [5], b"5"], ids=repr)
def test_an_answer_is_known_by_a_number_of_type_int(number):
    with pytest.raises(wire.WireError):
        read_answer(wire.encode({"id": number, "kind": "ok", "value": 1}), 5)


@given(st.binary(max_size=200))
def test_garbage_is_an_error_and_nothing_worse(body):
    with contextlib.suppress(wire.WireError):
        wire.decode(body)


def test_a_pickle_is_not_loaded():
    with pytest.raises(wire.WireError):
        wire.decode(pickle.dumps({"a": 1}))


def test_a_tensor_whose_bytes_do_not_fit_its_shape_is_refused():
    body = wire.encode(torch.zeros(4))
    with pytest.raises(wire.WireError):
        wire.decode(body.replace(b"shape\x91\x04", b"shape\x91\x7f"))


BOMBS = {
    "an array of 2^32 items": b"\xdd\xff\xff\xff\xff",
    "arrays of 2^23 items in one another": b"\xdd\x00\x7f\xff\xff" * 900,
    "maps of 2^23 items in one another": b"\xdf\x00\x7f\xff\xff" * 900,
    "text of 2^32 bytes": b"\xdb\xff\xff\xff\xff",
    "an extension of 2^32 bytes": b"\xc9\xff\xff\xff\xff\x02",
    "a list of nine million empty lists": b"\xdd\x00\x89\x54\x40" + b"\x90" * 9_000_000,
    "a list nested 500 deep": b"\x91" * 500 + b"\xc0",
    "a tuple nested 500 deep": functools.reduce(
        lambda body, _: msgpack.packb([msgpack.ExtType(1, body)]), range(500), b"\x90"
    ),
    "two messages": b"\x01\x02",
    "a time stamp": b"\xd6\xff\x00\x00\x00\x01",
    "a list as key": b"\x81\x90\x01",
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
def test_lengths_that_promise_more_than_there_is_cost_nothing(body):
    tracemalloc.start()
    try:
        with pytest.raises(wire.WireError):
            wire.decode(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000 + 80 * len(body)


def tensor_message(header: dict, raw: bytes) -> bytes:
    packed = msgpack.packb(header)
    return msgpack.packb(msgpack.ExtType(2, struct.pack(">I", len(packed)) + packed + raw))


@pytest.mark.parametrize(
    "header",
    [
        {"dtype": "float32", "shape": [2], "strides": [1 << 40]},
        {"dtype": "float32", "shape": [2], "strides": ["x" * 1000]},
        {"dtype": "float32", "shape": [2], "strides": [0]},
        {"dtype": "float32", "shape": [2], "strides": [-1]},
        {"dtype": "float32", "shape": [2], "strides": [1, 1]},
        {"dtype": "float32", "shape": [2.0]},
        {"dtype": "float32", "shape": [-2, -1]},
        {"dtype": "float32", "shape": [1 << 62, 0]},
        {"dtype": "float32", "shape": [1] * 70 + [2]},
        {"dtype": ["float32"], "shape": [2]},
        {"dtype": "float32"},
        {"dtype": "quint8", "shape": [8]},
    ],
    ids=str,
)
def test_a_tensor_that_its_bytes_do_not_support_is_refused(header):
    with pytest.raises(wire.WireError):
        wire.decode(tensor_message(header, b"\0" * 8))


def many_tensors(count: int) -> bytes:
    one = tensor_message({"dtype": "uint8", "shape": [1]}, b"\0")
    return b"\xdd" + struct.pack(">I", count) + one * count


def stretched(count: int) -> bytes:
    return tensor_message({"dtype": "uint8", "shape": [count], "strides": [64]}, bytes(count))


@pytest.mark.skipif(sys.platform != "linux", reason="measures with /proc")
@pytest.mark.parametrize(
    ("message", "is_accepted"),
    [("many_tensors(1_400_000)", False), ("stretched(60 << 20)", False), ("many_tensors(200_000)", True)],
)
def test_what_a_message_becomes_is_counted_before_it_does(message, is_accepted):
    code = f"""
import resource
from grader.selftest.test_wire import many_tensors, stretched
from grader.worker import wire
body = {message}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    kept = wire.decode(body)
    accepted = True
except wire.TooLarge:
    accepted = False
print(accepted, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=KIT)
    accepted, mib = result.stdout.split()
    assert accepted == str(is_accepted)
    assert int(mib) < 1300


def test_a_bool_is_true_or_false():
    assert wire.decode(tensor_message({"dtype": "bool", "shape": [3]}, b"\0\1\2")).tolist() == [False, True, True]


@pytest.mark.parametrize(
    "view",
    [lambda t: t.unfold(0, 3, 1), lambda t: t.as_strided((2, 4), (1, 1)), lambda t: t.expand(2, 6)],
    ids=["windows", "overlapping", "expanded"],
)
def test_overlapping_views_are_sent_dense(view):
    tensor = view(torch.arange(6.0))
    assert torch.equal(there_and_back(tensor), tensor)


def test_one_column_of_a_wide_matrix_is_sent_dense():
    column = torch.randn(4, 1000)[:, 3]
    assert torch.equal(there_and_back(column), column)


def test_a_tensor_without_values_is_refused_by_name():
    caught = []

    def function(x):
        with pytest.raises(wire.NotPlainData, match="result") as info:
            wire.encode(x)
        caught.append(info)
        return x.sum()

    torch.func.grad(function)(torch.ones(3))
    torch.func.vmap(function)(torch.ones(3, 2))
    assert len(caught) == 2
