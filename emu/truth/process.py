"""Defines the members of a user-mode truth (docs/truth-format.md#truthjson-mode-user)."""

from __future__ import annotations

import re

from ..constants import MEM_COMMIT, MEM_FREE, MEM_IMAGE, MEM_MAPPED, MEM_PRIVATE, MEM_RESERVE
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
from .members import (
    BOOL,
    BYTES,
    HEX,
    I32,
    REGISTERS,
    TEXT,
    U8,
    U16,
    U32,
    BadValue,
    Kind,
    Later,
    Named,
    Optional,
    Scalar,
    bytes_of,
    code,
    excerpt,
    list_of,
    named,
    object_of,
    optional,
    pair_of,
    tuple_of,
    word,
)
from .stacks import THREAD_STACKS


def _read_component(name: str) -> int:
    if not re.fullmatch("[2-9]|[1-9][0-9]", name):
        raise BadValue("the number of an XSAVE component from 2 on", excerpt(name))
    return int(name)


_COMPONENTS = named(BYTES, Kind(str, _read_component))
_XSTATE_PARTS = Named(_COMPONENTS.write, lambda value: tuple(sorted(_COMPONENTS.read(value))), BYTES)
_FXSAVE = bytes_of(512)
_EMPTY_OR_FXSAVE = Optional(
    lambda value: value.hex() or None, lambda value: b"" if value is None else _FXSAVE.read(value), _FXSAVE, b""
)
KERNEL_CONTEXT = object_of(Context, {"context_flags": U32, "registers": REGISTERS, "fxsave": _FXSAVE})
CONTEXT = object_of(
    Context,
    {"context_flags": U32, "registers": REGISTERS, "fxsave": _EMPTY_OR_FXSAVE},
    {
        "xstate": Later(_XSTATE_PARTS),
        "float_save": Later(bytes_of(112), b""),
        "v": Later(bytes_of(512), b""),
    },
)
_XSTATE = object_of(
    XstateConfiguration,
    {"enabled_features": HEX, "features": list_of(object_of(XstateFeature, {"offset": U32, "size": U32}))},
)
_X86_CPU = object_of(
    X86CpuInformation,
    {
        "vendor_id": TEXT,
        "version_information": U32,
        "feature_information": U32,
        "amd_extended_cpu_features": U32,
    },
)
_SYSTEM = object_of(
    SystemInformation,
    {
        "architecture": word("amd64", "x86", "arm64"),
        "processor_level": U16,
        "processor_revision": U16,
        "number_of_processors": U32,
        "product_type": U8,
        "major_version": U32,
        "minor_version": U32,
        "build_number": U32,
        "csd_version": TEXT,
        "suite_mask": U16,
        "processor_features": optional(list_of(HEX, 2)),
        "build_string": TEXT,
        "time_zone_id": U32,
        "time_zone_bias": I32,
        "standard_name": TEXT,
        "daylight_name": TEXT,
        "processor_max_mhz": U32,
        "processor_current_mhz": U32,
        "number_of_physical_pages": HEX,
        "lowest_physical_page_number": HEX,
        "highest_physical_page_number": HEX,
        "allocation_granularity": U32,
        "minimum_user_mode_address": HEX,
        "maximum_user_mode_address": HEX,
        "timer_resolution": U32,
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
        "page_fault_count": U32,
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
        "process_id": U32,
        "create_time": HEX,
        "user_time": HEX,
        "kernel_time": HEX,
        "peb": HEX,
        "integrity_level": U32,
        "execute_flags": U32,
        "protected": U32,
        "cookie": U32,
        "command_line": TEXT,
        "vm": _VM,
    },
)
_THREAD = object_of(
    Thread,
    {
        "thread_id": U32,
        "suspend_count": U32,
        "priority_class": U32,
        "priority": I32,
        "teb": HEX,
        "stack_base": HEX,
        "stack_limit": HEX,
        "name": optional(TEXT),
        "create_time": HEX,
        "exit_time": HEX,
        "exit_status": U32,
        "kernel_time": HEX,
        "user_time": HEX,
        "start_address": HEX,
        "affinity": HEX,
        "state": TEXT,
        "context": CONTEXT,
    },
)
_SECTION = object_of(Section, {"name": TEXT, "virtual_address": U32, "virtual_size": U32, "characteristics": U32})
_CODE_VIEW = Scalar(
    lambda value: value.record.hex(),
    lambda value: CodeView(BYTES.read(value)),
    BYTES.pattern,
    lambda texts: list(map(CodeView, BYTES.convert(texts))),
)
_MODULE = object_of(
    Module,
    {
        "base": HEX,
        "size": U32,
        "checksum": U32,
        "time_date_stamp": U32,
        "name": TEXT,
        "version_info": optional(list_of(U32, 13)),
        "code_view": optional(_CODE_VIEW),
        "dll_characteristics": U16,
        "size_of_headers": U32,
        "sections": list_of(_SECTION),
    },
)
_UNLOADED = object_of(
    UnloadedModule,
    {"base": HEX, "size": U32, "checksum": U32, "time_date_stamp": U32, "name": TEXT},
)
_REGION = object_of(
    Region,
    {
        "base": HEX,
        "size": HEX,
        "allocation_base": HEX,
        "allocation_protect": U32,
        "state": code(MEM_COMMIT, MEM_RESERVE, MEM_FREE),
        "protect": U32,
        "type": code(0, MEM_PRIVATE, MEM_MAPPED, MEM_IMAGE),
    },
)
_HANDLE = object_of(
    Handle,
    {
        "value": U32,
        "type_name": TEXT,
        "object_name": optional(TEXT),
        "attributes": U32,
        "granted_access": U32,
        "handle_count": U32,
        "pointer_count": U32,
    },
)
_EXCEPTION = object_of(
    ExceptionEvent,
    {
        "thread_id": U32,
        "code": U32,
        "flags": U32,
        "record": HEX,
        "address": HEX,
        "information": list_of(HEX, most=15),
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
        "entries": list_of(object_of(FunctionEntry, {"begin_address": U32, "end_address": U32, "unwind_data": U32})),
    },
)
_HANDLE_OPERATION = object_of(
    HandleOperation,
    {
        "handle": HEX,
        "process_id": U32,
        "thread_id": U32,
        "operation_type": code(1, 2, 3),
        "index": U32,
        "return_addresses": list_of(HEX, most=32),
    },
)
_SID = object_of(SidAndAttributes, {"sid": BYTES, "attributes": U32})
_TOKEN = object_of(
    Token,
    {
        "token_id": U32,
        "handle": HEX,
        "token_type": code(1, 2),
        "user": _SID,
        "groups": list_of(_SID),
        "privileges": list_of(object_of(LuidAndAttributes, {"luid": HEX, "attributes": U32})),
        "statistics": bytes_of(56),
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
    "memory": list_of(tuple_of({"start": HEX, "size": HEX, "offset": HEX})),
    "unreadable": list_of(pair_of("start", "size")),
    "handles": list_of(_HANDLE),
    "exception": optional(_EXCEPTION),
}
SNAPSHOT_LATER = {
    "function_tables": Later(list_of(_FUNCTION_TABLE), (), always=True),
    "handle_operations": Later(list_of(_HANDLE_OPERATION), ()),
    "tokens": Later(list_of(_TOKEN), ()),
    "stacks": THREAD_STACKS,
}
