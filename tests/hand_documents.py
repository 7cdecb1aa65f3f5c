"""What truth.json and request.json of hand-made targets have in common: names of members, a system, a request."""

from __future__ import annotations

from typing import Any

REGISTERS = (
    *("SegCs", "SegDs", "SegEs", "SegFs", "SegGs", "SegSs", "EFlags", "Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7"),
    *("Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp", "Rsi", "Rdi", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"),
    *("Rip", "MxCsr"),
)
VM_COUNTERS = (
    *("peak_working_set_size", "working_set_size", "quota_peak_paged_pool_usage", "quota_paged_pool_usage"),
    *("quota_peak_non_paged_pool_usage", "quota_non_paged_pool_usage", "pagefile_usage", "peak_pagefile_usage"),
    *("peak_virtual_size", "virtual_size", "private_usage", "private_working_set_size", "shared_commit_usage"),
)
"""The 64-bit members of process.vm, in the order of MINIDUMP_PROCESS_VM_COUNTERS_2."""
SYSTEM: dict[str, Any] = {
    "architecture": "amd64",
    "processor_level": 6,
    "processor_revision": 24067,
    "number_of_processors": 4,
    "product_type": 1,
    "major_version": 10,
    "minor_version": 0,
    "build_number": 19045,
    "csd_version": "",
    "suite_mask": 256,
    "processor_features": ["0x1", "0x0"],
    "build_string": "19041.1.amd64fre",
    "time_zone_id": 0,
    "time_zone_bias": -60,
    "standard_name": "UTC",
    "daylight_name": "UTC",
    "processor_max_mhz": 3000,
    "processor_current_mhz": 3000,
    "number_of_physical_pages": "0x1000",
    "lowest_physical_page_number": "0x1",
    "highest_physical_page_number": "0x1000",
    "allocation_granularity": 65536,
    "minimum_user_mode_address": "0x10000",
    "maximum_user_mode_address": "0x7fffffff",
    "timer_resolution": 156250,
    "available_pages": "0x10",
    "committed_pages": "0x20",
    "commit_limit": "0x30",
    "peak_commitment": "0x40",
}

Region = tuple[int, int, int, int, int, int, int]
"""base, size, allocation base, allocation protection, state, protection, type"""


def region(row: Region) -> dict[str, Any]:
    base, size, allocation, allocation_protect, state, protect, kind = row
    return {
        "base": hex(base),
        "size": hex(size),
        "allocation_base": hex(allocation),
        "allocation_protect": allocation_protect,
        "state": state,
        "protect": protect,
        "type": kind,
    }


def request_document(qualifier: str = "DEBUG_DUMP_SMALL", number: int = 1024, **more: Any) -> dict[str, Any]:
    """request.json: a small dump without flags, and what ``more`` says otherwise."""
    return {
        "format": "dumptruth-request",
        "version": 1,
        "qualifier": qualifier,
        "qualifier_value": number,
        "format_flags": [],
        "format_flags_value": 0,
        "comment": None,
        "profile": "modern",
        "file": "a.dmp",
        **more,
    }
