"""The wire format: the only thing that crosses the wall between the judge and a submission.

A message is eight bytes of length (big-endian) and a MessagePack body. Beside MessagePack's own types (None, bool,
int, float, str, bytes, list, dict) it carries tuples, tensors and NumPy arrays, each as plain data: a tensor is its
dtype, its shape and its bytes. Nothing is pickled, and decoding never runs code that the sender chose.

`encode` refuses what is not plain data (`NotPlainData` says what was found and where), reads containers through
their base class' own methods, and looks at exact types, so that a subclass cannot show one value to a test and
another to the judge. `decode` checks every length before it allocates.
"""

from __future__ import annotations

import collections
import math
import struct
from typing import Any

import msgpack
import numpy as np
import torch

MAX_MESSAGE_BYTES = 1 << 30
"""A message above this size (1 GiB) is refused by both sides."""

LENGTH = struct.Struct(">Q")

_TUPLE, _TENSOR, _ARRAY, _SCALAR = 1, 2, 3, 4
_MAX_DEPTH = 32
_MAX_DIMENSIONS = 64

TENSOR_DTYPES: dict[str, torch.dtype] = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool, torch.uint8, torch.uint16, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
    )
}  # fmt: skip
_ARRAY_KINDS = "biufc"
_DICT_TYPES = (dict, collections.OrderedDict, collections.defaultdict, collections.Counter)


class WireError(Exception):
    """The other side sent something that is not a well-formed message."""


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
    """
    try:
        return msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=False,
            unicode_errors="surrogatepass",
            ext_hook=_from_ext,
            max_ext_len=MAX_MESSAGE_BYTES,
            max_bin_len=MAX_MESSAGE_BYTES,
            max_str_len=MAX_MESSAGE_BYTES,
        )
    except WireError:
        raise
    except Exception as error:  # msgpack raises a dozen unrelated types; each means the same thing here
        raise WireError(f"malformed message: {type(error).__name__}: {error}") from error


def _plain(value: Any, where: str, depth: int) -> Any:
    """Map `value` to what msgpack packs, or say why it cannot cross."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str, bytes):
        return value
    if depth > _MAX_DEPTH:
        raise NotPlainData(f"{where} is nested more than {_MAX_DEPTH} levels deep")
    if kind is bytearray:
        return bytes(value)
    if kind is list:
        return [_plain(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    if kind is tuple:
        items = [_plain(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
        return msgpack.ExtType(_TUPLE, msgpack.packb(items, use_bin_type=True, unicode_errors="surrogatepass"))
    if kind in _DICT_TYPES:
        return {_plain_key(key, where): _plain(item, f"{where}[{key!r}]", depth + 1) for key, item in dict.items(value)}
    if kind in (torch.Tensor, torch.nn.Parameter):
        return _pack_tensor(value, where)
    if kind is np.ndarray:
        return msgpack.ExtType(_ARRAY, _pack_array(value, where))
    if isinstance(value, np.generic) and kind.__module__ == "numpy":
        return msgpack.ExtType(_SCALAR, _pack_array(np.asarray(value), where))
    raise NotPlainData(
        f"{where} has type {describe_type(kind)}; only plain data is judged (torch.Tensor itself, NumPy arrays, "
        "numbers, strings, bytes, lists, tuples, dicts)"
    )


def _plain_key(key: Any, where: str) -> Any:
    if type(key) in (int, str, bytes, bool):
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
    dense = tensor.detach().resolve_conj().resolve_neg().cpu()
    header: dict[str, Any] = {"dtype": dtype, "shape": list(dense.shape)}
    if not dense.is_contiguous() and 0 not in dense.stride():
        header["strides"] = list(dense.stride())
    raw = dense.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if dense.numel() else b""
    return msgpack.ExtType(_TENSOR, _with_header(header, raw))


def _pack_array(array: np.ndarray, where: str) -> bytes:
    if array.dtype.kind not in _ARRAY_KINDS:
        raise NotPlainData(f"{where} is a NumPy array of dtype {array.dtype}")
    header = {"dtype": array.dtype.newbyteorder("<").str, "shape": list(array.shape)}
    return _with_header(header, np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())


def _with_header(header: dict[str, Any], raw: bytes) -> bytes:
    packed = msgpack.packb(header)
    return struct.pack(">I", len(packed)) + packed + raw


def _split_header(data: bytes) -> tuple[dict[str, Any], memoryview]:
    (length,) = struct.unpack_from(">I", data)
    header = msgpack.unpackb(data[4 : 4 + length])
    if not isinstance(header, dict) or not _is_shape(header.get("shape")):
        raise WireError("malformed tensor header")
    return header, memoryview(data)[4 + length :]


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, list)
        and len(shape) <= _MAX_DIMENSIONS
        and all(type(n) is int and 0 <= n < 1 << 48 for n in shape)
    )


def _from_ext(code: int, data: bytes) -> Any:
    if code == _TUPLE:
        items = decode(data)
        if type(items) is not list:
            raise WireError("malformed tuple")
        return tuple(items)
    if code == _TENSOR:
        return _unpack_tensor(data)
    if code in (_ARRAY, _SCALAR):
        header, raw = _split_header(data)
        dtype = np.dtype(header["dtype"])
        if dtype.kind not in _ARRAY_KINDS or math.prod(header["shape"]) * dtype.itemsize != len(raw):
            raise WireError("array bytes do not match dtype and shape")
        array = np.frombuffer(raw, dtype).reshape(header["shape"]).copy()
        return array[()] if code == _SCALAR else array
    raise WireError(f"unknown extension type {code}")


def _unpack_tensor(data: bytes) -> torch.Tensor:
    header, raw = _split_header(data)
    dtype, shape, strides = TENSOR_DTYPES.get(header["dtype"]), header["shape"], header.get("strides")
    if dtype is None or math.prod(shape) * dtype.itemsize != len(raw):
        raise WireError("tensor bytes do not match dtype and shape")
    if not len(raw):
        return torch.empty(shape, dtype=dtype)
    tensor = torch.frombuffer(bytearray(raw), dtype=dtype).reshape(shape)
    if strides is None:
        return tensor
    extent = 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if not _is_shape(strides) or extent > 64 * max(1, tensor.numel()):
        raise WireError("tensor strides do not fit its shape")
    return torch.empty_strided(shape, strides, dtype=dtype).copy_(tensor)
