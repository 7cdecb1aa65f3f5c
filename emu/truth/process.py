"""Defines the members of a user-mode truth (docs/truth-format.md#truthjson-mode-user)."""

from __future__ import annotations

import re
from typing import Any

from ..snapshot.process import (
    CodeView,
    Context,
    ExceptionEvent,
    FunctionEntry,
    FunctionTable,
    Handle,
    HandleOperation,
    LuidAndAttributes,
    Module,
    ProcessInformation,
    Region,
    Section,
    SidAndAttributes,
    SystemInformation,
    Thread,
    Token,
    UnloadedModule,
    VmCounters,
    X86CpuInformation,
    XstateConfiguration,
    XstateFeature,
)
from .members import BOOL, BYTES, HEX, NUMBER, TEXT, Kind, Later, Where, list_of, object_of, optional, pair_of


def _named(kind: Kind, name_of: Kind) -> Kind:
    """Return an object with any members, (name, value) pairs in the snapshot. ``name_of`` is the kind of the names."""

    def read(value: Any, where: Where) -> tuple[tuple[Any, Any], ...]:
        if not isinstance(value, dict):
            raise where.error("expected an object")
        return tuple((name_of.read(name, where / name), kind.read(item, where / name)) for name, item in value.items())

    return Kind(lambda pairs: {name_of.write(name): kind.write(value) for name, value in pairs}, read)


def _read_decimal(value: Any, where: Where) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"0|[1-9][0-9]?", value):
        raise where.error("expected the number of an XSAVE component")
    return int(value)


_EMPTY_OR_BYTES = Kind(
    lambda value: value.hex() or None, lambda value, where: b"" if value is None else BYTES.read(value, where)
)
REGISTERS = _named(HEX, TEXT)
CONTEXT = object_of(
    Context,
    {
        "context_flags": NUMBER,
        "registers": REGISTERS,
        "fxsave": _EMPTY_OR_BYTES,
    },
    {
        "xstate": Later(_named(BYTES, Kind(str, _read_decimal))),
        "float_save": Later(BYTES, b""),
        "v": Later(BYTES, b""),
    },
)
_XSTATE = object_of(
    XstateConfiguration,
    {"enabled_features": HEX, "features": list_of(object_of(XstateFeature, {"offset": NUMBER, "size": NUMBER}))},
)
_X86_CPU = object_of(
    X86CpuInformation,
    {
        "vendor_id": TEXT,
        "version_information": NUMBER,
        "feature_information": NUMBER,
        "amd_extended_cpu_features": NUMBER,
    },
)
_SYSTEM = object_of(
    SystemInformation,
    {
        "architecture": TEXT,
        "processor_level": NUMBER,
        "processor_revision": NUMBER,
        "number_of_processors": NUMBER,
        "product_type": NUMBER,
        "major_version": NUMBER,
        "minor_version": NUMBER,
        "build_number": NUMBER,
        "csd_version": TEXT,
        "suite_mask": NUMBER,
        "processor_features": optional(list_of(HEX, 2)),
        "build_string": TEXT,
        "time_zone_id": NUMBER,
        "time_zone_bias": NUMBER,
        "standard_name": TEXT,
        "daylight_name": TEXT,
        "processor_max_mhz": NUMBER,
        "processor_current_mhz": NUMBER,
        "number_of_physical_pages": HEX,
        "lowest_physical_page_number": HEX,
        "highest_physical_page_number": HEX,
        "allocation_granularity": NUMBER,
        "minimum_user_mode_address": HEX,
        "maximum_user_mode_address": HEX,
        "timer_resolution": NUMBER,
        "available_pages": HEX,
        "committed_pages": HEX,
        "commit_limit": HEX,
        "peak_commitment": HEX,
    },
    {"xstate": Later(_XSTATE), "x86_cpu": Later(_X86_CPU)},
)
_VM = object_of(
    VmCounters,
    {
        "page_fault_count": NUMBER,
        "peak_working_set_size": HEX,
        "working_set_size": HEX,
        "quota_peak_paged_pool_usage": HEX,
        "quota_paged_pool_usage": HEX,
        "quota_peak_non_paged_pool_usage": HEX,
        "quota_non_paged_pool_usage": HEX,
        "pagefile_usage": HEX,
        "peak_pagefile_usage": HEX,
        "peak_virtual_size": HEX,
        "virtual_size": HEX,
        "private_usage": HEX,
        "private_working_set_size": HEX,
        "shared_commit_usage": HEX,
    },
)
_PROCESS = object_of(
    ProcessInformation,
    {
        "process_id": NUMBER,
        "create_time": HEX,
        "user_time": HEX,
        "kernel_time": HEX,
        "peb": HEX,
        "integrity_level": NUMBER,
        "execute_flags": NUMBER,
        "protected": NUMBER,
        "cookie": NUMBER,
        "command_line": TEXT,
        "vm": _VM,
    },
)
_THREAD = object_of(
    Thread,
    {
        "thread_id": NUMBER,
        "suspend_count": NUMBER,
        "priority_class": NUMBER,
        "priority": NUMBER,
        "teb": HEX,
        "stack_base": HEX,
        "stack_limit": HEX,
        "name": optional(TEXT),
        "create_time": HEX,
        "exit_time": HEX,
        "exit_status": NUMBER,
        "kernel_time": HEX,
        "user_time": HEX,
        "start_address": HEX,
        "affinity": HEX,
        "state": TEXT,
        "context": CONTEXT,
    },
)
_SECTION = object_of(
    Section, {"name": TEXT, "virtual_address": NUMBER, "virtual_size": NUMBER, "characteristics": NUMBER}
)
_CODE_VIEW = Kind(lambda value: value.record.hex(), lambda value, where: CodeView(BYTES.read(value, where)))
_MODULE = object_of(
    Module,
    {
        "base": HEX,
        "size": NUMBER,
        "checksum": NUMBER,
        "time_date_stamp": NUMBER,
        "name": TEXT,
        "version_info": optional(list_of(NUMBER, 13)),
        "code_view": optional(_CODE_VIEW),
        "dll_characteristics": NUMBER,
        "size_of_headers": NUMBER,
        "sections": list_of(_SECTION),
    },
)
_UNLOADED = object_of(
    UnloadedModule,
    {"base": HEX, "size": NUMBER, "checksum": NUMBER, "time_date_stamp": NUMBER, "name": TEXT},
)
_REGION = object_of(
    Region,
    {
        "base": HEX,
        "size": HEX,
        "allocation_base": HEX,
        "allocation_protect": NUMBER,
        "state": NUMBER,
        "protect": NUMBER,
        "type": NUMBER,
    },
)
_HANDLE = object_of(
    Handle,
    {
        "value": NUMBER,
        "type_name": TEXT,
        "object_name": optional(TEXT),
        "attributes": NUMBER,
        "granted_access": NUMBER,
        "handle_count": NUMBER,
        "pointer_count": NUMBER,
    },
)
_EXCEPTION = object_of(
    ExceptionEvent,
    {
        "thread_id": NUMBER,
        "code": NUMBER,
        "flags": NUMBER,
        "record": HEX,
        "address": HEX,
        "information": list_of(HEX),
        "first_chance": BOOL,
        "context": CONTEXT,
    },
)


_FUNCTION_TABLE = object_of(
    FunctionTable,
    {
        "minimum_address": HEX,
        "maximum_address": HEX,
        "base_address": HEX,
        "native": BYTES,
        "entries": list_of(
            object_of(FunctionEntry, {"begin_address": NUMBER, "end_address": NUMBER, "unwind_data": NUMBER})
        ),
    },
)
_HANDLE_OPERATION = object_of(
    HandleOperation,
    {
        "handle": HEX,
        "process_id": NUMBER,
        "thread_id": NUMBER,
        "operation_type": NUMBER,
        "index": NUMBER,
        "return_addresses": list_of(HEX),
    },
)
_SID = object_of(SidAndAttributes, {"sid": BYTES, "attributes": NUMBER})
_TOKEN = object_of(
    Token,
    {
        "token_id": NUMBER,
        "handle": HEX,
        "token_type": NUMBER,
        "user": _SID,
        "groups": list_of(_SID),
        "privileges": list_of(object_of(LuidAndAttributes, {"luid": HEX, "attributes": NUMBER})),
        "statistics": BYTES,
    },
)

SNAPSHOT = {
    "system": _SYSTEM,
    "process": _PROCESS,
    "time": HEX,
    "start_directory": TEXT,
    "threads": list_of(_THREAD),
    "modules": list_of(_MODULE),
    "unloaded_modules": list_of(_UNLOADED),
    "regions": list_of(_REGION),
    "memory": list_of(object_of(dict, {"start": HEX, "size": HEX, "offset": HEX})),
    "unreadable": list_of(pair_of("start", "size")),
    "handles": list_of(_HANDLE),
    "exception": optional(_EXCEPTION),
}
SNAPSHOT_LATER = {
    "function_tables": Later(list_of(_FUNCTION_TABLE), (), always=True),
    "handle_operations": Later(list_of(_HANDLE_OPERATION), ()),
    "tokens": Later(list_of(_TOKEN), ()),
}
