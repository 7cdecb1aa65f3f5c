"""Writes HandleDataStream and HandleOperationListStream (docs/format/minidump-handles.md)."""

from __future__ import annotations

import ctypes

from ..snapshot.process import ProcessSnapshot
from .encode import add_string, add_struct
from .layout import Section
from .structs import (
    AVRF_HANDLE_OPERATION,
    MINIDUMP_HANDLE_DATA_STREAM,
    MINIDUMP_HANDLE_DESCRIPTOR_2,
    MINIDUMP_HANDLE_OPERATION_LIST,
)


def add_handle_data(snapshot: ProcessSnapshot, strings: Section) -> Section:
    """Return HandleData with 40-byte descriptors, even without a handle. Type and object names go to ``strings``.

    A missing object name has RVA 0. Object information depends on the Windows version and is not written
    (docs/format/minidump-handles.md#object-information).
    """
    section = Section("HandleData")
    add_struct(section, "HandleData", MINIDUMP_HANDLE_DATA_STREAM, {
        "SizeOfHeader": ctypes.sizeof(MINIDUMP_HANDLE_DATA_STREAM),
        "SizeOfDescriptor": ctypes.sizeof(MINIDUMP_HANDLE_DESCRIPTOR_2),
        "NumberOfDescriptors": len(snapshot.handles),
    }, zero=["Reserved"])  # fmt: skip
    for index, handle in enumerate(snapshot.handles):
        path = f"HandleData.Descriptors[{index}]"
        type_name = add_string(strings, f"{path}.TypeName", handle.type_name)
        object_name = 0 if handle.object_name is None else add_string(strings, f"{path}.ObjectName", handle.object_name)
        add_struct(section, path, MINIDUMP_HANDLE_DESCRIPTOR_2, {
            "Handle": handle.value,
            "TypeNameRva": type_name,
            "ObjectNameRva": object_name,
            "Attributes": handle.attributes,
            "GrantedAccess": handle.granted_access,
            "HandleCount": handle.handle_count,
            "PointerCount": handle.pointer_count,
        }, zero=["ObjectInfoRva", "Reserved0"])  # fmt: skip
    return section


def add_handle_operations(snapshot: ProcessSnapshot) -> Section:
    """Return HandleOperationList, oldest entry first (docs/format/minidump-handles.md#handle-operations).

    Raises LayoutOverflow for more than 32 return addresses.
    """
    section = Section("HandleOperationList")
    add_struct(section, "HandleOperationList", MINIDUMP_HANDLE_OPERATION_LIST, {
        "SizeOfHeader": ctypes.sizeof(MINIDUMP_HANDLE_OPERATION_LIST),
        "SizeOfEntry": ctypes.sizeof(AVRF_HANDLE_OPERATION),
        "NumberOfEntries": len(snapshot.handle_operations),
    }, zero=["Reserved"])  # fmt: skip
    for index, operation in enumerate(snapshot.handle_operations):
        add_struct(section, f"HandleOperationList.Entries[{index}]", AVRF_HANDLE_OPERATION, {
            "Handle": operation.handle,
            "ProcessId": operation.process_id,
            "ThreadId": operation.thread_id,
            "OperationType": operation.operation_type,
            "BackTraceInformation": {
                "Depth": len(operation.return_addresses),
                "Index": operation.index,
                "ReturnAddresses": operation.return_addresses,
            },
        }, zero=["Spare0"])  # fmt: skip
    return section
