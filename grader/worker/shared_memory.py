"""Memory that judge and worker both see: the judge allocates it, writes inputs there, and reads outputs from there.

A shared memory is one block behind one file descriptor, which the worker inherits. On the CPU that is a memory file
(Linux) or an unlinked file; on a GPU it is physical device memory of the driver's virtual memory management, exported
as a descriptor (`cuMemExportToShareableHandle`, CUDA driver API, section "Virtual Memory Management"). Unlike the older
handles of cudaIpcGetMemHandle a descriptor needs no common process or IPC namespace, so that it works from inside a
sandbox, and goes nowhere but where it is handed. Either way both processes map the same bytes, and
`SharedMemory.tensor` is a view of them.

The GPU's half is written after the driver's documentation and has not run on a GPU yet.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import tempfile
from typing import Any

import torch

ALIGNMENT = 256
"""Bytes; tensors begin at multiples of it, as they do in PyTorch's own allocations."""


class SharedMemory:
    """A mapped block of `size` bytes. Close it when no tensor in it is used any more.

    descriptor: what the other process maps it by.
    """

    def __init__(self, memory: torch.Tensor, descriptor: int, keep: Any) -> None:
        self._memory = memory
        self.descriptor = descriptor
        self.size = memory.numel()
        self._keep = keep

    @property
    def device(self) -> torch.device:
        return self._memory.device

    def tensor(self, offset: int, dtype: str, shape: list[int]) -> torch.Tensor:
        """The tensor of this dtype and shape that begins `offset` bytes into the shared memory.

        Raises:
            ValueError: when it does not begin at a multiple of `ALIGNMENT`, or reaches beyond the shared memory.
        """
        kind = getattr(torch, dtype)
        size = math.prod(shape) * kind.itemsize
        if offset < 0 or offset % ALIGNMENT or offset + size > self.size:
            raise ValueError(f"{size} bytes at {offset} do not lie in a shared memory of {self.size}")
        return self._memory[offset : offset + size].view(kind).reshape(shape)

    def close(self) -> None:
        """Give up the descriptor; the memory goes with the last mapping of it."""
        os.close(self.descriptor)


def make_shared_memory(size: int, device: str) -> SharedMemory:
    """Allocate a shared memory on "cpu" or "cuda" (the current device)."""
    if device == "cpu":
        descriptor = _memory_file()
        os.ftruncate(descriptor, size)
        return map_shared_memory(descriptor, size, device)
    descriptor, size = _Driver().export(size)
    return map_shared_memory(descriptor, size, device)


def map_shared_memory(descriptor: int, size: int, device: str) -> SharedMemory:
    """Map the shared memory behind a descriptor into this process."""
    if device == "cpu":
        block = mmap.mmap(descriptor, size)
        return SharedMemory(torch.frombuffer(block, dtype=torch.uint8), descriptor, block)
    address = _Driver().map(descriptor, size)
    return SharedMemory(torch.as_tensor(_OnDevice(address, size), device="cuda"), descriptor, address)


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("shared_memory", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class _OnDevice:
    """Device memory in the form in which libraries hand it to each other (CUDA array interface, version 3)."""

    def __init__(self, address: int, size: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (address, False),
            "version": 3,
        }


class _Location(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_int)]


class _AllocationProperties(ctypes.Structure):
    """CUmemAllocationProp of cuda.h."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("handle_types", ctypes.c_int),
        ("location", _Location),
        ("win32_metadata", ctypes.c_void_p),
        ("flags", ctypes.c_ubyte * 8),
    ]


class _Access(ctypes.Structure):
    """CUmemAccessDesc of cuda.h."""

    _fields_ = [("location", _Location), ("flags", ctypes.c_int)]


class _Driver:
    """The few calls of libcuda that a shared memory needs, on the current device, whose context PyTorch has made."""

    _PINNED, _FILE_DESCRIPTOR, _ON_DEVICE, _READ_AND_WRITE, _MINIMUM = 1, 1, 1, 3, 0

    def __init__(self) -> None:
        torch.cuda.init()
        torch.cuda.synchronize()  # makes the context, if nothing has yet
        self._cuda = ctypes.CDLL("libcuda.so.1")
        self._location = _Location(self._ON_DEVICE, torch.cuda.current_device())

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._cuda, name)(*arguments)
        if code:
            raise RuntimeError(f"{name} failed with CUDA error {code}")

    def export(self, size: int) -> tuple[int, int]:
        """Allocate at least `size` bytes; gives a descriptor for them, and how many they are."""
        properties = _AllocationProperties(self._PINNED, self._FILE_DESCRIPTOR, self._location)
        unit = ctypes.c_size_t()
        self._call(
            "cuMemGetAllocationGranularity", ctypes.byref(unit), ctypes.byref(properties), ctypes.c_int(self._MINIMUM)
        )
        size = -(-size // unit.value) * unit.value
        handle = ctypes.c_ulonglong()
        self._call(
            "cuMemCreate", ctypes.byref(handle), ctypes.c_size_t(size), ctypes.byref(properties), ctypes.c_ulonglong(0)
        )
        descriptor = ctypes.c_int()
        self._call(
            "cuMemExportToShareableHandle",
            ctypes.byref(descriptor),
            handle,
            ctypes.c_int(self._FILE_DESCRIPTOR),
            ctypes.c_ulonglong(0),
        )
        self._call("cuMemRelease", handle)  # the descriptor holds the memory
        return descriptor.value, size

    def map(self, descriptor: int, size: int) -> int:
        """Map the memory behind a descriptor; gives its address in this process."""
        handle, address = ctypes.c_ulonglong(), ctypes.c_ulonglong()
        self._call(
            "cuMemImportFromShareableHandle",
            ctypes.byref(handle),
            ctypes.c_void_p(descriptor),
            ctypes.c_int(self._FILE_DESCRIPTOR),
        )
        self._call(
            "cuMemAddressReserve",
            ctypes.byref(address),
            ctypes.c_size_t(size),
            ctypes.c_size_t(0),
            ctypes.c_ulonglong(0),
            ctypes.c_ulonglong(0),
        )
        self._call("cuMemMap", address, ctypes.c_size_t(size), ctypes.c_size_t(0), handle, ctypes.c_ulonglong(0))
        access = _Access(self._location, self._READ_AND_WRITE)
        self._call("cuMemSetAccess", address, ctypes.c_size_t(size), ctypes.byref(access), ctypes.c_size_t(1))
        self._call("cuMemRelease", handle)  # the mapping holds the memory
        return address.value
