"""Finds the function of an address as a debugger does. Inside the process RtlLookupFunctionEntry does the same."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from .function_tables import LIST_HEAD, RUNTIME_FUNCTION_SIZE, DynamicFunctionTable, dynamic_function_tables
from .loader import Loader
from .memory import GuestMemory
from .stack_trace import Function

_EXCEPTION_DIRECTORY = 3  # winnt.h IMAGE_DIRECTORY_ENTRY_EXCEPTION


class FunctionLookup:
    """Searches the loaded images and the dynamic function tables of ntdll, in their state at each call."""

    def __init__(self, memory: GuestMemory, loader: Loader) -> None:
        self._memory = memory
        self._loader = loader

    def tables(self) -> Iterator[DynamicFunctionTable]:
        """The dynamic function tables; none if the process's ntdll has no list of them."""
        ntdll = self._loader.find("ntdll.dll")
        export = ntdll.image.export(LIST_HEAD) if ntdll is not None else None
        if ntdll is not None and export is not None:
            yield from dynamic_function_tables(self._memory.readable_bytes, ntdll.base + export.rva)

    def covers(self, address: int) -> bool:
        """Whether the address lies in an image or in the range of a dynamic function table."""
        return self._loader.covering(address) is not None or self._table_at(address) is not None

    def function_at(self, address: int) -> Function | None:
        """The RUNTIME_FUNCTION that covers the address; None for a leaf function."""
        module = self._loader.covering(address)
        if module is not None:
            rva, size = module.image.directories[_EXCEPTION_DIRECTORY]
            data = self._memory.readable_bytes(module.base + rva, size - size % RUNTIME_FUNCTION_SIZE) if rva else b""
            return _entry(module.base, tuple(struct.iter_unpack("<3I", data or b"")), address)
        table = self._table_at(address)
        return None if table is None else _entry(table.base_address, table.entries, address)

    def _table_at(self, address: int) -> DynamicFunctionTable | None:
        for table in self.tables():
            if table.minimum_address <= address < table.maximum_address:
                return table
        return None


def _entry(base: int, entries: tuple[tuple[int, ...], ...], address: int) -> Function | None:
    for begin, end, unwind_data in entries:
        if begin <= address - base < end:
            return Function(base, begin, unwind_data)
    return None
