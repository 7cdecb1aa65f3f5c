"""Defines the members of a kernel-mode truth (docs/truth-format.md#truthjson-mode-kernel)."""

from __future__ import annotations

from typing import Any

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
from .members import BYTES, HEX, NUMBER, TEXT, Kind, Where, list_of, members_of, object_of, optional, pair_of
from .process import CONTEXT, REGISTERS

_SYSTEM = object_of(
    KernelSystem,
    {
        "architecture": TEXT,
        "build_number": NUMBER,
        "major_version": NUMBER,
        "product_type": NUMBER,
        "suite_mask": NUMBER,
        "nt_build_lab": TEXT,
    },
)
_PROCESSOR = object_of(
    Processor,
    {
        "number": NUMBER,
        "kpcr": HEX,
        "kprcb": HEX,
        "current_thread": HEX,
        "stack_limit": HEX,
        "stack_base": HEX,
        "context": CONTEXT,
        "special_registers": REGISTERS,
    },
)
_THREAD = object_of(
    KernelThread, {"thread": HEX, "thread_id": NUMBER, "teb": HEX, "stack_limit": HEX, "stack_base": HEX}
)
_PROCESS = object_of(
    KernelProcess,
    {
        "process": HEX,
        "process_id": NUMBER,
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
        "size": NUMBER,
        "entry_point": HEX,
        "checksum": NUMBER,
        "time_date_stamp": NUMBER,
        "full_name": TEXT,
        "base_name": TEXT,
        "flags": NUMBER,
        "load_count": NUMBER,
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


def _read_exception(value: Any, where: Where) -> tuple[int, int, int]:
    found = members_of(value, where, ("code", "flags", "address"))
    return (
        NUMBER.read(found["code"], where / "code"),
        NUMBER.read(found["flags"], where / "flags"),
        HEX.read(found["address"], where / "address"),
    )


_EXCEPTION = Kind(
    lambda value: {"code": value[0], "flags": value[1], "address": hex(value[2])},
    _read_exception,
)
_PAGES = list_of(pair_of("base_page", "page_count"))

KERNEL_SNAPSHOT = {
    "system": _SYSTEM,
    "time": HEX,
    "up_time": HEX,
    "processors": list_of(_PROCESSOR),
    "crashing_processor": NUMBER,
    "directory_table_base": HEX,
    "system_directory_table_base": HEX,
    "bug_check": object_of(BugCheck, {"code": NUMBER, "parameters": list_of(HEX, 4)}),
    "exception": optional(_EXCEPTION),
    "symbols": _SYMBOLS,
    "processes": list_of(_PROCESS),
    "drivers": list_of(_DRIVER),
    "unloaded_drivers": list_of(object_of(UnloadedDriver, {"name": TEXT, "start": HEX, "end": HEX})),
    "physical_runs": _PAGES,
    "memory": list_of(object_of(dict, {"base_page": HEX, "page_count": HEX, "offset": HEX})),
    "free_pages": _PAGES,
    "standby_pages": _PAGES,
    "unreadable_pages": _PAGES,
    "added_pages": _PAGES,
    "triage_data": list_of(pair_of("address", "size")),
    "blobs": list_of(object_of(DataBlob, {"tag": BYTES, "data": BYTES})),
}
