"""The wire format: the only thing that crosses the wall between the judge and a submission.

A message is eight bytes of length (big-endian) and a MessagePack body. Beside MessagePack's own types (None, bool,
int, float, str, bytes, list, dict) it carries tuples, tensors and NumPy arrays, each as plain data: a tensor is its
dtype, its shape and its bytes. Nothing is pickled, and decoding never runs code that the sender chose.

`encode` refuses what is not plain data (`NotPlainData` says what was found and where), reads containers through
their base class' own methods, and looks at exact types, so that a subclass cannot show one value to a test and
another to the judge. That is a service to honest code: `encode` runs beside the submission, which may replace it or
write to the channel itself. The judge relies on `decode` alone. It takes any bytes, gives plain data of exact types or
`WireError`, and needs memory in proportion to the message: a length counts only when what it promises is there.
"""

from __future__ import annotations

import collections
import enum
import math
import struct
from collections.abc import Callable, Iterable
from typing import Any

import msgpack
import numpy as np
import torch

MAX_MESSAGE_BYTES = 1 << 30
"""A message above this size (1 GiB) is refused by both sides."""

LENGTH = struct.Struct(">Q")

_MAX_DEPTH = 32
_MAX_TUPLE_DEPTH = 16  # each level of them is a copy of what is inside
_MAX_ELEMENTS = 1 << 23
"""Items of all containers of a message together; in memory an item takes up to a hundred bytes more than in transit."""
_MAX_COST_BYTES = 1 << 30
_MAX_COST_RATIO = 4
_ITEM_COST, _ARRAY_COST, _TENSOR_COST = 100, 1 << 10, 1 << 12
"""Bytes that an item of a container, an array and a tensor take in memory beside their contents, at most; all of a
message together may take 1 GiB, or four times what the message is long."""
_MAX_DIMENSIONS = 64
_MAX_HEADER_BYTES = 4096
_MAX_STRETCH = 64
"""A tensor with gaps between its elements keeps them if it covers at most so many times its own size."""

TENSOR_DTYPES: dict[str, torch.dtype] = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool, torch.uint8, torch.uint16, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
    )
}  # fmt: skip
_ARRAY_DTYPES = {
    np.dtype(code).newbyteorder("<").str: np.dtype(code).newbyteorder("<")
    for code in ("?", "b", "B", "h", "H", "i", "I", "q", "Q", "e", "f", "d", "F", "D")
}
_KEY_TYPES = frozenset({int, str, bytes, bool})
_CONTAINERS = {list, tuple, dict}
_DECODED = {
    *(type(None), bool, int, float, str, bytes, torch.Tensor, np.ndarray),
    *_CONTAINERS,
    *(dtype.type for dtype in _ARRAY_DTYPES.values()),
}
_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_DICT_TYPES = (dict, collections.OrderedDict, collections.defaultdict, collections.Counter)


class _Extension(enum.IntEnum):
    """What the format has beyond MessagePack's own types."""

    TUPLE, TENSOR, ARRAY, SCALAR = 1, 2, 3, 4


class WireError(Exception):
    """The other side sent something that is not a well-formed message."""


class TooLarge(WireError):
    """A message that is, or would become, larger than is accepted: no offence, if honest code gave a huge result."""


class NotPlainData(Exception):
    """A value cannot cross the wall; the message names its type and where in the result it was found."""


def encode(value: Any) -> bytes:
    """Turn plain data into one message body.

    Raises:
        NotPlainData: for any type that the format does not carry, cyclic or absurdly deep containers,
            integers beyond 64 bits, and results above `MAX_MESSAGE_BYTES`.
    """
    try:
        body = msgpack.packb(_plain(value, "result", 0), use_bin_type=True, unicode_errors="surrogatepass")
    except (OverflowError, ValueError) as error:
        raise NotPlainData(f"the result cannot be sent: {error}") from error
    if len(body) > MAX_MESSAGE_BYTES:
        raise NotPlainData(f"the result takes {len(body):,} bytes; at most {MAX_MESSAGE_BYTES:,} are accepted")
    return body


def decode(body: bytes | bytearray | memoryview) -> Any:
    """Turn one message body back into plain data.

    Raises:
        WireError: when the body is malformed, in whatever way.
        TooLarge: when it would take too much memory, which is known before it does.
    """
    try:
        value = _Decoder(max(_MAX_COST_BYTES, _MAX_COST_RATIO * len(body))).unpack(body)
    except WireError:
        raise
    except MemoryError:
        raise TooLarge(f"a message of {len(body):,} bytes, for which there is not enough memory") from None
    except Exception as error:  # msgpack raises a dozen unrelated types; each means the same thing here
        raise WireError(f"malformed message: {type(error).__name__}: {error}") from error
    if type(value) not in _DECODED:
        raise WireError(f"a value of type {describe_type(type(value))}")
    return value


class _Decoder:
    """Decodes one message, and keeps count of what it becomes.

    Args:
        most_bytes: that it may become.
    """

    def __init__(self, most_bytes: int) -> None:
        self._elements = 0
        self._bytes_left = self._most_bytes = most_bytes
        self._tuple_depth = 0
        self._depths: dict[int, int] = {}
        """How deep the containers are that no other has taken up yet, by id."""

    def unpack(self, body: bytes | bytearray | memoryview) -> Any:
        _check_lengths(body)
        return msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=False,
            unicode_errors="surrogatepass",
            list_hook=self._list,
            object_pairs_hook=self._dict,
            ext_hook=self._extension,
            max_ext_len=MAX_MESSAGE_BYTES,
            max_bin_len=MAX_MESSAGE_BYTES,
            max_str_len=MAX_MESSAGE_BYTES,
            max_array_len=_MAX_ELEMENTS,
            max_map_len=_MAX_ELEMENTS,
        )

    def _charge(self, size: int) -> None:
        """Count bytes that are about to be allocated."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise TooLarge(f"a message that would take more than {self._most_bytes >> 20:,} MiB of memory")

    def _counted(self, container: Any, items: Iterable[Any]) -> Any:
        self._elements += 1 + len(container)
        self._charge(_ITEM_COST * (1 + len(container)))
        if self._elements > _MAX_ELEMENTS:
            raise WireError(f"more than {_MAX_ELEMENTS:,} items")
        kinds = set(map(type, items))
        if not kinds <= _DECODED:
            raise WireError(f"a value of type {describe_type((kinds - _DECODED).pop())}")
        depth = 1
        if not kinds.isdisjoint(_CONTAINERS):
            # There is but one empty tuple, however often it occurs, so it may be gone already.
            depth += max(self._depths.pop(id(item), 1) for item in items if type(item) in _CONTAINERS)
        if depth > _MAX_DEPTH + 1:
            raise WireError(f"containers nested more than {_MAX_DEPTH} levels deep")
        self._depths[id(container)] = depth
        return container

    def _list(self, items: list[Any]) -> list[Any]:
        return self._counted(items, items)

    def _dict(self, items: list[tuple[Any, Any]]) -> dict[Any, Any]:
        if any(type(key) not in _KEY_TYPES for key, _ in items):
            raise WireError("a key that is neither int, str nor bytes")
        values = dict(items)
        return self._counted(values, values.values())

    def _extension(self, code: int, data: bytes) -> Any:
        match code:
            case _Extension.TUPLE:
                return self._tuple(data)
            case _Extension.TENSOR:
                self._charge(_TENSOR_COST + len(data))
                return _unpack_tensor(data, self._charge)
            case _Extension.ARRAY:
                self._charge(_ARRAY_COST + len(data))
                return _unpack_array(data)
            case _Extension.SCALAR:
                self._charge(_ARRAY_COST + len(data))
                return _unpack_array(data)[()]
        raise WireError(f"unknown extension type {code}")

    def _tuple(self, data: bytes) -> tuple[Any, ...]:
        self._tuple_depth += 1
        if self._tuple_depth > _MAX_TUPLE_DEPTH:
            raise WireError(f"tuples nested more than {_MAX_TUPLE_DEPTH} levels deep")
        items = self.unpack(data)
        self._tuple_depth -= 1
        if type(items) is not list:
            raise WireError("malformed tuple")
        value = tuple(items)
        self._depths[id(value)] = self._depths.pop(id(items))
        return value


def _check_lengths(body: bytes | bytearray | memoryview) -> None:
    """Walk over a message without making anything of it: unpacking believes a length and allocates for it at once."""
    walker = msgpack.Unpacker(
        max_buffer_size=len(body) + 1,
        max_ext_len=MAX_MESSAGE_BYTES,
        max_bin_len=MAX_MESSAGE_BYTES,
        max_str_len=MAX_MESSAGE_BYTES,
        max_array_len=_MAX_ELEMENTS,
        max_map_len=_MAX_ELEMENTS,
    )
    walker.feed(body)
    walker.skip()
    if walker.tell() != len(body):
        raise WireError("more than one message")


def _plain(value: Any, where: str, depth: int) -> Any:
    """Map `value` to what msgpack packs, or say why it cannot cross."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if depth > _MAX_DEPTH:
        raise NotPlainData(f"{where} is nested more than {_MAX_DEPTH} levels deep")
    if kind is bytearray:
        return bytes(value)
    if kind is list:
        return _plain_items(value, where, depth)
    if kind is tuple:
        items = _plain_items(value, where, depth)
        return msgpack.ExtType(
            _Extension.TUPLE, msgpack.packb(items, use_bin_type=True, unicode_errors="surrogatepass")
        )
    if kind in _DICT_TYPES:
        entries = dict(dict.items(value))
        if _SCALARS.issuperset(map(type, entries.values())) and _KEY_TYPES.issuperset(map(type, entries)):
            return entries
        return {_plain_key(key, where): _plain(item, f"{where}[{key!r}]", depth + 1) for key, item in entries.items()}
    if kind in (torch.Tensor, torch.nn.Parameter):
        return _pack_tensor(value, where)
    if kind is np.ndarray:
        return msgpack.ExtType(_Extension.ARRAY, _pack_array(value, where))
    if isinstance(value, np.generic) and kind.__module__ == "numpy":
        return msgpack.ExtType(_Extension.SCALAR, _pack_array(np.asarray(value), where))
    raise NotPlainData(
        f"{where} has type {describe_type(kind)}; only plain data is judged (torch.Tensor itself, NumPy arrays, "
        "numbers, strings, bytes, lists, tuples, dicts)"
    )


def _plain_items(value: Iterable[Any], where: str, depth: int) -> list[Any]:
    items = list(value)
    if _SCALARS.issuperset(map(type, items)):  # as are most of long lists, which take ten times as long one by one
        return items
    return [_plain(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(items)]


def _plain_key(key: Any, where: str) -> Any:
    if type(key) in _KEY_TYPES:
        return key
    if isinstance(key, np.integer):
        return int(key)
    raise NotPlainData(f"{where} has a key of type {describe_type(type(key))}; keys must be int, str or bytes")


def describe_type(kind: type) -> str:
    """`torch.Tensor`, `mymodule.MyTensor`, `int`: a type's name as a student would write it."""
    module = getattr(kind, "__module__", "builtins")
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def _pack_tensor(tensor: torch.Tensor, where: str) -> msgpack.ExtType:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in TENSOR_DTYPES or tensor.layout is not torch.strided:
        raise NotPlainData(f"{where} is a tensor of dtype {tensor.dtype} and layout {tensor.layout}")
    if tensor.device.type == "meta":
        raise NotPlainData(f"{where} is a tensor on the 'meta' device: it has no values")
    try:
        dense = tensor.detach().resolve_conj().resolve_neg().cpu()
        raw = dense.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if dense.numel() else b""
    except (RuntimeError, TypeError) as error:  # a tensor of torch.func or the like: a recipe, not values
        raise NotPlainData(f"{where} is a tensor whose values cannot be read: {error}") from error
    header: dict[str, Any] = {"dtype": dtype, "shape": list(dense.shape)}
    strides = list(dense.stride())
    if not dense.is_contiguous() and _stretch(header["shape"], strides) is not None:
        header["strides"] = strides
    return msgpack.ExtType(_Extension.TENSOR, _with_header(header, raw))


def _pack_array(array: np.ndarray, where: str) -> bytes:
    name = array.dtype.newbyteorder("<").str
    if name not in _ARRAY_DTYPES:
        raise NotPlainData(f"{where} is a NumPy array of dtype {array.dtype}")
    header = {"dtype": name, "shape": list(array.shape)}
    return _with_header(header, np.ascontiguousarray(array, _ARRAY_DTYPES[name]).tobytes())


def _with_header(header: dict[str, Any], raw: bytes) -> bytes:
    packed = msgpack.packb(header)
    return struct.pack(">I", len(packed)) + packed + raw


def _split_header(data: bytes) -> tuple[dict[str, Any], memoryview]:
    (length,) = struct.unpack_from(">I", data)
    if length > _MAX_HEADER_BYTES:
        raise WireError(f"a tensor header of {length:,} bytes")
    header = msgpack.unpackb(data[4 : 4 + length])
    if not isinstance(header, dict) or not isinstance(header.get("dtype"), str) or not _is_shape(header.get("shape")):
        raise WireError("malformed tensor header")
    return header, memoryview(data)[4 + length :]


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, list)
        and len(shape) <= _MAX_DIMENSIONS
        and all(type(n) is int and 0 <= n < 1 << 48 for n in shape)
    )


def _stretch(shape: list[int], strides: list[int]) -> int | None:
    """How many places these strides spread the elements over, if each gets one of its own and they are not absurd."""
    needed = 1
    for stride, length in sorted(zip(strides, shape, strict=True)):
        if length > 1:
            if stride < needed:
                return None
            needed = (length - 1) * stride + needed
    return needed if needed <= _MAX_STRETCH * max(1, math.prod(shape)) else None


def _unpack_array(data: bytes) -> np.ndarray:
    header, raw = _split_header(data)
    dtype, shape = _ARRAY_DTYPES.get(header["dtype"]), header["shape"]
    if dtype is None or math.prod(shape) * dtype.itemsize != len(raw):
        raise WireError("array bytes do not match dtype and shape")
    if dtype.kind == "b":
        return (np.frombuffer(raw, np.uint8) != 0).reshape(shape)  # a byte of 2 would be true and not equal to true
    return np.frombuffer(raw, dtype).reshape(shape).copy()


def _unpack_tensor(data: bytes, charge: Callable[[int], None]) -> torch.Tensor:
    header, raw = _split_header(data)
    dtype, shape, strides = TENSOR_DTYPES.get(header["dtype"]), header["shape"], header.get("strides")
    if dtype is None or math.prod(shape) * dtype.itemsize != len(raw):
        raise WireError("tensor bytes do not match dtype and shape")
    if not len(raw):
        return torch.empty(shape, dtype=dtype)
    flat = torch.frombuffer(bytearray(raw), dtype=torch.uint8 if dtype is torch.bool else dtype)
    tensor = (flat != 0 if dtype is torch.bool else flat).reshape(shape)
    if strides is None:
        return tensor
    places = _stretch(shape, strides) if _is_shape(strides) and len(strides) == len(shape) else None
    if places is None:
        raise WireError("tensor strides do not fit its shape")
    charge(places * dtype.itemsize)
    return torch.empty_strided(shape, strides, dtype=dtype).copy_(tensor)
