"""Writes FunctionTableStream: function tables of generated code (docs/format/minidump-function-tables.md)."""

from __future__ import annotations

import ctypes

from ..snapshot.process import ProcessSnapshot
from .encode import add_struct
from .layout import LayoutError, Section
from .structs import MINIDUMP_FUNCTION_TABLE_DESCRIPTOR, MINIDUMP_FUNCTION_TABLE_STREAM, RUNTIME_FUNCTION

_ALIGNMENT = 8
"""File offsets of descriptors and entries are multiples of this.

docs/format/minidump-function-tables.md#alignment-of-function-tables
"""
_RESERVED_PER_TABLE = 8
"""Bytes that real writers reserve for the pads of a table. Unused ones are zeros at the end of the stream.

docs/format/minidump-function-tables.md#size-of-the-function-table-stream
"""


def add_function_tables(snapshot: ProcessSnapshot, rva: int, most_native: int) -> Section:
    """Return the FunctionTable section. ``rva`` is where it will start, a multiple of 4; the pads depend on it.

    Of longer native descriptors the first ``most_native`` bytes are stored.

    Raises LayoutError when the native descriptors do not have one size that is a multiple of 8. Raises it also when the
    pads take more than the reserved bytes.
    """
    tables = snapshot.function_tables
    native_size = min(len(tables[0].native), most_native) if tables else 0
    if len({len(table.native) for table in tables}) > 1 or native_size % _ALIGNMENT:
        raise LayoutError(f"FunctionTable: expected native descriptors of one size, a multiple of {_ALIGNMENT}")
    section = Section("FunctionTable")
    reserved = _RESERVED_PER_TABLE * len(tables)

    def pad_to_alignment(extra: int) -> int:
        return -(rva + section.size + extra) % _ALIGNMENT

    def add_pad(path: str, size: int) -> None:
        nonlocal reserved
        reserved -= size
        if size:
            section.add(path, "padding", bytes(size))

    pad = pad_to_alignment(ctypes.sizeof(MINIDUMP_FUNCTION_TABLE_STREAM))
    add_struct(section, "FunctionTable", MINIDUMP_FUNCTION_TABLE_STREAM, {
        "SizeOfHeader": ctypes.sizeof(MINIDUMP_FUNCTION_TABLE_STREAM),
        "SizeOfDescriptor": ctypes.sizeof(MINIDUMP_FUNCTION_TABLE_DESCRIPTOR),
        "SizeOfNativeDescriptor": native_size,
        "SizeOfFunctionEntry": ctypes.sizeof(RUNTIME_FUNCTION),
        "NumberOfDescriptors": len(tables),
        "SizeOfAlignPad": pad,
    })  # fmt: skip
    add_pad("FunctionTable.AlignPad", pad)
    for index, table in enumerate(tables):
        path = f"FunctionTable.Tables[{index}]"
        entries = len(table.entries) * ctypes.sizeof(RUNTIME_FUNCTION)
        descriptor = ctypes.sizeof(MINIDUMP_FUNCTION_TABLE_DESCRIPTOR)
        pad = pad_to_alignment(descriptor + native_size + entries)
        add_struct(section, path, MINIDUMP_FUNCTION_TABLE_DESCRIPTOR, {
            "MinimumAddress": table.minimum_address,
            "MaximumAddress": table.maximum_address,
            "BaseAddress": table.base_address,
            "EntryCount": len(table.entries),
            "SizeOfAlignPad": pad,
        })  # fmt: skip
        section.add(f"{path}.Native", "DYNAMIC_FUNCTION_TABLE", table.native[:native_size])
        for number, entry in enumerate(table.entries):
            add_struct(section, f"{path}.Entries[{number}]", RUNTIME_FUNCTION, {
                "BeginAddress": entry.begin_address,
                "EndAddress": entry.end_address,
                "UnwindData": entry.unwind_data,
            })  # fmt: skip
        add_pad(f"{path}.AlignPad", pad)
    if reserved < 0:
        raise LayoutError(f"FunctionTable at {rva:#x}: the pads take more than {_RESERVED_PER_TABLE} bytes per table")
    if reserved:
        section.add("FunctionTable.Unused", "padding", bytes(reserved))
    return section
