"""The dynamic function tables that ntdll keeps in the process's memory, read as a debugger reads them.

Their list begins at ntdll's ``RtlpDynamicFunctionTable``, which ``RtlGetFunctionTableListHead`` returns the address of.
The program owns this memory and may have spoilt it: what makes no sense ends the walk.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

LIST_HEAD = "RtlpDynamicFunctionTable"
NATIVE_SIZE = 136
"""DYNAMIC_FUNCTION_TABLE of the builds since 18362 (spec user-mode 3.14)."""
RUNTIME_FUNCTION_SIZE = 12
_MAXIMUM_TABLES = 0x1000
_MAXIMUM_ENTRIES = 0x10000
_RF_CALLBACK = 2  # the entries are the callback's to tell

Read = Callable[[int, int], bytes | None]
"""Bytes at an address; None when they cannot be read."""


@dataclass(frozen=True, slots=True)
class DynamicFunctionTable:
    """DYNAMIC_FUNCTION_TABLE (learn.microsoft.com "DYNAMIC_FUNCTION_TABLE"), amd64."""

    native: bytes
    minimum_address: int
    maximum_address: int
    base_address: int
    entries: tuple[tuple[int, int, int], ...]
    """RUNTIME_FUNCTION: begin, end, unwind data, RVAs from ``base_address``."""


def dynamic_function_tables(read: Read, head: int) -> Iterator[DynamicFunctionTable]:
    """The tables in the list at ``head``, in its order. Those without a table of entries (RF_CALLBACK) have none."""
    seen = {head}
    link = read(head, 8)
    while link is not None and len(seen) <= _MAXIMUM_TABLES:
        address = int.from_bytes(link, "little")
        native = None if address in seen else read(address, NATIVE_SIZE)
        if native is None:
            return
        seen.add(address)
        entries_at, _, low, high, base = struct.unpack_from("<5Q", native, 0x10)
        kind, count = struct.unpack_from("<II", native, 0x50)
        if kind == _RF_CALLBACK:
            count = 0
        data = read(entries_at, count * RUNTIME_FUNCTION_SIZE) if 0 < count <= _MAXIMUM_ENTRIES else b""
        if data is not None:
            yield DynamicFunctionTable(native, low, high, base, tuple(struct.iter_unpack("<3I", data)))
        link = native[:8]
