"""A hand-made target: its truth.json and its memory."""

from __future__ import annotations

from struct import pack
from typing import Any

from ..hand_documents import REGISTERS, SYSTEM, VM_COUNTERS, Region, region

EPOCH = 116_444_736_000_000_000
NOW = EPOCH + 1_700_000_000 * 10_000_000 + 1234567
FXSAVE = bytes([0x7F, 2]) + bytes(22) + b"\x80\x1f\0\0\xff\xff\0\0" + bytes(128) + b"\x11" * 256 + bytes(96)
CODE_VIEW = b"RSDS" + bytes(range(16)) + pack("<I", 1) + b"a.pdb\0"
VERSION = (0xFEEF04BD, 0x10000, *range(1, 12))
MAIN, WORKER = 0x1238, 0x1240
CONTEXT_FLAGS = 0x10001F


def context(rip: int, rsp: int, seed: int) -> dict[str, Any]:
    registers = {name: hex(seed + index) for index, name in enumerate(REGISTERS)}
    return {
        "context_flags": CONTEXT_FLAGS,
        "registers": registers | {"Rip": hex(rip), "Rsp": hex(rsp), "MxCsr": "0x1f80"},
        "fxsave": FXSAVE.hex(),
    }


def thread(number: int, base: int, name: str | None, at: dict[str, Any]) -> dict[str, Any]:
    return {
        "thread_id": number,
        "suspend_count": 1,
        "priority_class": 32,
        "priority": -2,
        "teb": hex(0x30000 + number),
        "stack_base": hex(base),
        "stack_limit": hex(base - 0x2000),
        "name": name,
        "create_time": hex(NOW - 1000),
        "exit_time": "0x0",
        "exit_status": 259,
        "kernel_time": "0x2710",
        "user_time": "0x4e20",
        "start_address": "0x401000",
        "affinity": "0xf",
        "state": "running",
        "context": at,
    }


REGIONS: tuple[Region, ...] = (
    (0x0, 0x10000, 0, 0, 0x10000, 1, 0),
    (0x10000, 0x1000, 0x10000, 4, 0x2000, 0, 0x20000),
    (0x11000, 0x1000, 0x10000, 4, 0x1000, 0x104, 0x20000),
    (0x12000, 0x2000, 0x10000, 4, 0x1000, 4, 0x20000),
    (0x14000, 0xC000, 0, 0, 0x10000, 1, 0),
    (0x20000, 0x2000, 0x20000, 4, 0x1000, 4, 0x20000),
    (0x22000, 0x3DE000, 0, 0, 0x10000, 1, 0),
    (0x400000, 0x1000, 0x400000, 0x80, 0x1000, 2, 0x1000000),
    (0x401000, 0x1000, 0x400000, 0x80, 0x1000, 0x20, 0x1000000),
    (0x402000, 0x1000, 0x400000, 0x80, 0x1000, 4, 0x1000000),
    (0x403000, 0xFD000, 0, 0, 0x10000, 1, 0),
    (0x500000, 0x1000, 0x500000, 0x80, 0x1000, 0x20, 0x1000000),
    (0x501000, 0x7FAEF000, 0, 0, 0x10000, 1, 0),
)
RUNS = ((0x12000, 0x2000), (0x20000, 0x2000), (0x400000, 0x3000), (0x500000, 0x1000))
SMALL_RANGES = ((0x13F00, 0x14000), (0x21E00, 0x22000), (0x400FC0, 0x4010C0), (0x401180, 0x401380))
FULL_RANGES = tuple(
    (base, base + size)
    for base, size, _, _, state, protect, _ in REGIONS
    if (state, protect) in {(0x1000, 2), (0x1000, 4), (0x1000, 0x20)}
)


def memory(start: int, end: int) -> bytes:
    return bytes((address * 7 + (address >> 8)) & 0xFF for address in range(start, end))


TRUTH: dict[str, Any] = {
    "format": "dumptruth-truth",
    "version": 1,
    "mode": "user",
    "source": "by hand",
    "system": {
        **SYSTEM,
        "csd_version": "SP 1",
        "processor_features": ["0x123456789", "0x55"],
        "time_zone_id": 1,
        "standard_name": "W. Europe",
        "daylight_name": "W. Europe DST",
        "processor_current_mhz": 2000,
        "highest_physical_page_number": "0x1001",
        "maximum_user_mode_address": "0x7ffeffff",
    },
    "process": {
        "process_id": 0x1234,
        "create_time": hex(NOW - 50_000_000),
        "user_time": hex(29_999_999),
        "kernel_time": hex(10_000_000),
        "peb": "0x30000",
        "integrity_level": 8192,
        "execute_flags": 13,
        "protected": 1,
        "cookie": 0xC00C1E,
        "command_line": "a.exe",
        "vm": {"page_fault_count": 77, **{name: hex(0x1000 * (index + 1)) for index, name in enumerate(VM_COUNTERS)}},
    },
    "time": hex(NOW),
    "start_directory": "C:\\work",
    "threads": [
        thread(MAIN, 0x14000, "main", context(0x401040, 0x13F00, 0x100)),
        thread(WORKER, 0x22000, None, context(0x401300, 0x21E00, 0x200)),
    ],
    "modules": [
        {
            "base": "0x400000",
            "size": 0x3000,
            "checksum": 0x1234,
            "time_date_stamp": 0x5678,
            "name": "C:\\dir\\a.exe",
            "version_info": list(VERSION),
            "code_view": CODE_VIEW.hex(),
            "dll_characteristics": 0x8160,
            "size_of_headers": 1024,
            "sections": [
                {"name": ".text", "virtual_address": 4096, "virtual_size": 0x900, "characteristics": 0x60000020}
            ],
        },
        {
            "base": "0x500000",
            "size": 0x1000,
            "checksum": 0,
            "time_date_stamp": 9,
            "name": "C:\\dir\\b.dll",
            "version_info": None,
            "code_view": None,
            "dll_characteristics": 0,
            "size_of_headers": 1024,
            "sections": [],
        },
    ],
    "unloaded_modules": [
        {"base": "0x600000", "size": 0x2000, "checksum": 1, "time_date_stamp": 2, "name": "old.dll"},
        {"base": "0x600000", "size": 0x1000, "checksum": 3, "time_date_stamp": 4, "name": "older.dll"},
    ],
    "regions": [region(row) for row in REGIONS],
    "memory": [
        {"start": hex(start), "size": hex(size), "offset": hex(sum(size for _, size in RUNS[:index]))}
        for index, (start, size) in enumerate(RUNS)
    ],
    "unreadable": [],
    "handles": [
        {
            "value": value,
            "type_name": kind,
            "object_name": name,
            "attributes": 2,
            "granted_access": 0x1F0003,
            "handle_count": 1,
            "pointer_count": 3,
        }
        for value, kind, name in ((4, "Event", None), (8, "Mutant", "\\BaseNamedObjects\\m"))
    ],
    "exception": {
        "thread_id": MAIN,
        "code": 0xC0000005,
        "flags": 0,
        "record": "0x0",
        "address": "0x401200",
        "information": ["0x1", "0x10"],
        "first_chance": True,
        "context": context(0x401200, 0x13F80, 0x300),
    },
}
MEMORY = b"".join(memory(start, start + size) for start, size in RUNS)
