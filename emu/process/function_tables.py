"""Reads the dynamic function tables of ntdll from the process's memory, as a debugger does.

Their list begins at ntdll's ``RtlpDynamicFunctionTable``, whose address ``RtlGetFunctionTableListHead`` returns.
The program may have overwritten the list, so an invalid entry ends the walk.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

LIST_HEAD = "RtlpDynamicFunctionTable"
NATIVE_SIZE = 136
"""Size of DYNAMIC_FUNCTION_TABLE since build 18362 (docs/format/minidump-function-tables.md#native-descriptor)."""
RUNTIME_FUNCTION_SIZE = 12
_MAXIMUM_TABLES = 0x1000
_MAXIMUM_ENTRIES = 0x10000
_MAXIMUM_ENTRIES_OF_ALL = 4 * _MAXIMUM_ENTRIES
"""Several tables of a hostile program may name the same entries."""
_RF_CALLBACK = 2  # a callback supplies the entries, so the table has none

Read = Callable[[int, int], bytes | None]
"""Reads (address, size); None if a byte cannot be read."""


@dataclass(frozen=True, slots=True)
class DynamicFunctionTable:
    """DYNAMIC_FUNCTION_TABLE (learn.microsoft.com "DYNAMIC_FUNCTION_TABLE"), amd64."""

    native: bytes
    minimum_address: int
    maximum_address: int
    base_address: int
    entries: tuple[tuple[int, int, int], ...]
    """RUNTIME_FUNCTION: begin, end, unwind data, as offsets from ``base_address``."""


def dynamic_function_tables(read: Read, head: int) -> Iterator[DynamicFunctionTable]:
    """The tables of the list at ``head``, in its order. A table of type RF_CALLBACK has no entries."""
    seen, left = {head}, _MAXIMUM_ENTRIES_OF_ALL
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
        left -= count if count <= _MAXIMUM_ENTRIES else 0
        if left < 0:
            return
        data = read(entries_at, count * RUNTIME_FUNCTION_SIZE) if 0 < count <= _MAXIMUM_ENTRIES else b""
        if data is not None:
            yield DynamicFunctionTable(native, low, high, base, tuple(struct.iter_unpack("<3I", data)))
        link = native[:8]
