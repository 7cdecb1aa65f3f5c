"""Defines the members of a kernel-mode truth (docs/truth-format.md#truthjson-mode-kernel)."""

from __future__ import annotations

from ..snapshot.kernel import (
    BugCheck,
    DataBlob,
    Driver,
    KernelProcess,
    KernelSystem,
    KernelThread,
    Processor,
    Symbols,
    UnloadedDriver,
)
from .members import (
    BYTES,
    HEX,
    REGISTERS,
    TEXT,
    U16,
    U32,
    bytes_of,
    list_of,
    object_of,
    optional,
    pair_of,
    tuple_of,
    word,
)
from .process import KERNEL_CONTEXT
from .stacks import KERNEL_STACKS

_SYSTEM = object_of(
    KernelSystem,
    {
        "architecture": word("amd64"),
        "build_number": U32,
        "major_version": U32,
        "product_type": U32,
        "suite_mask": U32,
        "nt_build_lab": TEXT,
    },
)
_PROCESSOR = object_of(
    Processor,
    {
        "number": U32,
        "kpcr": HEX,
        "kprcb": HEX,
        "current_thread": HEX,
        "stack_limit": HEX,
        "stack_base": HEX,
        "context": KERNEL_CONTEXT,
        "special_registers": REGISTERS,
    },
)
_THREAD = object_of(KernelThread, {"thread": HEX, "thread_id": U32, "teb": HEX, "stack_limit": HEX, "stack_base": HEX})
_PROCESS = object_of(
    KernelProcess,
    {
        "process": HEX,
        "process_id": U32,
        "image_file_name": TEXT,
        "directory_table_base": HEX,
        "peb": HEX,
        "threads": list_of(_THREAD),
    },
)
_DRIVER = object_of(
    Driver,
    {
        "entry": HEX,
        "base": HEX,
        "size": U32,
        "entry_point": HEX,
        "checksum": U32,
        "time_date_stamp": U32,
        "full_name": TEXT,
        "base_name": TEXT,
        "flags": U32,
        "load_count": U16,
        "read_only_sections": list_of(pair_of("address", "size")),
    },
)
_SYMBOLS = object_of(
    Symbols,
    dict.fromkeys(
        (
            "kernel_base", "kd_debugger_data_block", "kd_version_block", "ps_loaded_module_list",
            "ps_active_process_head", "mm_pfn_database", "ki_bugcheck_data", "ki_processor_block",
            "mm_unloaded_drivers", "mm_physical_memory_block",
        ),
        HEX,
    ),
)  # fmt: skip


_EXCEPTION = tuple_of({"code": U32, "flags": U32, "address": HEX})
_PAGES = list_of(pair_of("base_page", "page_count"))

KERNEL_SNAPSHOT = {
    "system": _SYSTEM,
    "time": HEX,
    "up_time": HEX,
    "processors": list_of(_PROCESSOR),
    "crashing_processor": U32,
    "directory_table_base": HEX,
    "system_directory_table_base": HEX,
    "bug_check": object_of(BugCheck, {"code": U32, "parameters": list_of(HEX, 4)}),
    "exception": optional(_EXCEPTION),
    "symbols": _SYMBOLS,
    "processes": list_of(_PROCESS),
    "drivers": list_of(_DRIVER),
    "unloaded_drivers": list_of(object_of(UnloadedDriver, {"name": TEXT, "start": HEX, "end": HEX})),
    "physical_runs": _PAGES,
    "memory": list_of(tuple_of({"base_page": HEX, "page_count": HEX, "offset": HEX})),
    "free_pages": _PAGES,
    "standby_pages": _PAGES,
    "unreadable_pages": _PAGES,
    "added_pages": _PAGES,
    "triage_data": list_of(pair_of("address", "size")),
    "blobs": list_of(object_of(DataBlob, {"tag": bytes_of(16), "data": BYTES})),
}
KERNEL_SNAPSHOT_LATER = {"stacks": KERNEL_STACKS}
