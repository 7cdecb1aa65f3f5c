"""A target and its dumps, laid out by hand: no byte of them comes from the project's own writer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from struct import pack
from types import SimpleNamespace
from typing import Any

import pytest
from dumptruth.oracle.truth import ProcessTruth, RequestTruth, parse_request, parse_truth

EPOCH = 116_444_736_000_000_000
NOW = EPOCH + 1_700_000_000 * 10_000_000 + 1234567
_REGISTERS = (
    "SegCs SegDs SegEs SegFs SegGs SegSs EFlags Dr0 Dr1 Dr2 Dr3 Dr6 Dr7 Rax Rcx Rdx Rbx Rsp Rbp Rsi Rdi "
    "R8 R9 R10 R11 R12 R13 R14 R15 Rip MxCsr"
)
REGISTERS = _REGISTERS.split()
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


_VM = (
    "peak_working_set_size working_set_size quota_peak_paged_pool_usage quota_paged_pool_usage "
    "quota_peak_non_paged_pool_usage quota_non_paged_pool_usage pagefile_usage peak_pagefile_usage peak_virtual_size "
    "virtual_size private_usage private_working_set_size shared_commit_usage"
)
VM = _VM.split()
REGIONS = (
    # base, size, allocation base, allocation protection, state, protection, type
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
        "architecture": "amd64",
        "processor_level": 6,
        "processor_revision": 24067,
        "number_of_processors": 4,
        "product_type": 1,
        "major_version": 10,
        "minor_version": 0,
        "build_number": 19045,
        "csd_version": "SP 1",
        "suite_mask": 256,
        "processor_features": ["0x123456789", "0x55"],
        "build_string": "19041.1.amd64fre",
        "time_zone_id": 1,
        "time_zone_bias": -60,
        "standard_name": "W. Europe",
        "daylight_name": "W. Europe DST",
        "processor_max_mhz": 3000,
        "processor_current_mhz": 2000,
        "number_of_physical_pages": "0x1000",
        "lowest_physical_page_number": "0x1",
        "highest_physical_page_number": "0x1001",
        "allocation_granularity": 65536,
        "minimum_user_mode_address": "0x10000",
        "maximum_user_mode_address": "0x7ffeffff",
        "timer_resolution": 156250,
        "available_pages": "0x10",
        "committed_pages": "0x20",
        "commit_limit": "0x30",
        "peak_commitment": "0x40",
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
        "vm": {"page_fault_count": 77, **{name: hex(0x1000 * (index + 1)) for index, name in enumerate(VM)}},
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
    "regions": [
        {
            "base": hex(base),
            "size": hex(size),
            "allocation_base": hex(allocation),
            "allocation_protect": allocation_protect,
            "state": state,
            "protect": protect,
            "type": kind,
        }
        for base, size, allocation, allocation_protect, state, protect, kind in REGIONS
    ],
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


class Layout:
    """Bytes in file order, each piece under a name."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.at: dict[str, int] = {}

    def add(self, name: str, data: bytes) -> int:
        self.at[name] = len(self.data)
        self.data += data
        return self.at[name]

    def string(self, name: str, text: str) -> int:
        units = text.encode("utf-16-le")
        return self.add(name, pack("<I", len(units)) + units + b"\0\0")


def context_record(source: dict[str, Any]) -> bytes:
    """winnt.h CONTEXT: amd64 1232 bytes, x86 716, arm64 912."""
    value = {name: int(text, 16) for name, text in source["registers"].items()}
    flags = source["context_flags"]
    if "Eip" in value:
        numbers = list(value.values())
        head = pack("<7I", flags, *numbers[:6]) + bytes.fromhex(source["float_save"])
        return head + pack("<16I", *numbers[6:]) + bytes.fromhex(source["fxsave"])
    if "X0" in value:
        numbers = list(value.values())
        head = pack("<II33Q", flags, *numbers[:34]) + bytes.fromhex(source["v"])
        return head + pack("<2I8I8Q2I2Q", *numbers[34:])
    names = REGISTERS
    head = bytes(0x30) + pack("<II", source["context_flags"], value["MxCsr"])
    head += pack("<6HI", *(value[name] for name in names[:7]))
    head += pack("<23Q", *(value[name] for name in names[7:30]))
    assert len(head) == 0x100
    return head + bytes.fromhex(source["fxsave"]) + bytes(0x4D0 - 0x300)


def misc_info(truth: dict[str, Any], xstate: bytes = bytes(528)) -> bytes:
    system, process = truth["system"], truth["process"]
    data = pack("<II", 1364, 0x3F7)
    data += pack("<4I", process["process_id"], 1_700_000_000 - 5, 2, 1)
    data += pack("<5I", system["processor_max_mhz"], system["processor_current_mhz"], 3000, 0, 0)
    data += pack("<3I", process["integrity_level"], process["execute_flags"], process["protected"])
    data += pack("<Ii", system["time_zone_id"], system["time_zone_bias"])
    data += system["standard_name"].encode("utf-16-le").ljust(64, b"\0") + bytes(20)
    data += system["daylight_name"].encode("utf-16-le").ljust(64, b"\0") + bytes(20)
    data += system["build_string"].encode("utf-16-le").ljust(520, b"\0")
    data += "hand.amd64,1.0".encode("utf-16-le").ljust(80, b"\0")
    return data + xstate + pack("<I", process["cookie"])


def counters(truth: dict[str, Any]) -> tuple[bytes, bytes]:
    basic = pack("<HH6I3QI", 1, 2, 156250, 4096, 0x1000, 1, 0x1001, 65536, 0x10000, 0x7FFEFFFF, 0xF, 4)
    memory_info = basic + bytes(60) + pack("<4Q", 0x10, 0x20, 0x30, 0x40) + bytes(344)
    vm = [int(truth["process"]["vm"][name], 16) for name in VM]
    return memory_info, pack("<HHI18Q", 2, 0xF, 77, *vm, *[0] * 5)


@dataclass(frozen=True)
class More:
    """What a small dump has besides, or otherwise."""

    machine: tuple[int, bytes] = (9, pack("<QQQ", 0x123456789, 0x55, 0))
    """ProcessorArchitecture and the processor union."""
    below: int = 0
    """How far under the stack pointer a stack begins."""
    ranges: tuple[tuple[int, int], ...] = ()
    """Memory behind that of every small dump."""
    tails: tuple[bytes, bytes, bytes] = (b"", b"", b"")
    """What follows the contexts: of the two threads, and of the exception."""
    xstate: bytes = bytes(528)
    """MiscInfo.XStateData."""
    streams: Mapping[int, bytes | Callable[[Layout], bytes]] = field(default_factory=dict)
    """By number; what needs a place in the file is made when the places in front of it are known."""
    align: Mapping[int, int] = field(default_factory=dict)
    """Zeros in front of a stream, so that it lies where it has to: remainder by 8."""


def dump(truth: dict[str, Any], flags: int, comment: str | None, more: More = More()) -> Layout:
    """A minidump of the target with the streams of ``flags`` (MINIDUMP_TYPE)."""
    full = bool(flags & 2)
    stacks = tuple((start - more.below, end) for start, end in SMALL_RANGES[:2])
    small_ranges = stacks + SMALL_RANGES[2:] + more.ranges
    streams = [7, 15, 6, 3, 4, 21, 22, 24]
    streams += [11] if comment else []
    streams += more.streams
    streams += [14, 12, 16, 17, 9] if full else [5]
    out = Layout()
    out.add("header", pack("<4sIIIIIQ", b"MDMP", 0xA793, len(streams), 32, 0, 1_700_000_000, flags))
    out.add("directory", bytes(12 * len(streams)))
    body: dict[int, tuple[int, int]] = {}

    def stream(number: int, data: bytes) -> None:
        body[number] = (len(data), out.add(f"stream {number}", data))

    rva = out.string("csd", truth["system"]["csd_version"])
    names = [out.string(f"module name {index}", module["name"]) for index, module in enumerate(truth["modules"])]
    code_view = out.add("code view 0", CODE_VIEW)
    contexts = [
        out.add(f"context {index}", context_record(item["context"]) + tail)
        for index, (item, tail) in enumerate(zip(truth["threads"], more.tails, strict=False))
    ]
    context_size = len(context_record(truth["threads"][0]["context"]) + more.tails[0])
    exception_record = context_record(truth["exception"]["context"]) + more.tails[2]
    exception_context = out.add("exception context", exception_record)
    thread_name = out.string("thread name 0", "main")
    stream(
        7,
        pack("<HHHBBIIIIIHH", more.machine[0], 6, 24067, 4, 1, 10, 0, 19045, 2, rva, 256, 0) + more.machine[1],
    )
    stream(15, misc_info(truth, more.xstate))
    raised = (MAIN, 0, 0xC0000005, 0, 0, 0x401200, 2, 0, 1, 0x10, *[0] * 13)
    stream(6, pack("<IIIIQQII15QII", *raised, len(exception_record), exception_context))
    threads = pack("<I", 2)
    stack_fixups = []
    for number, (start, end), place in zip((MAIN, WORKER), stacks, contexts, strict=True):
        size = end - start
        stack_fixups.append(len(out.data) + len(threads) + 0x24)
        threads += pack("<IIIiQQIIII", number, 1, 32, -2, 0x30000 + number, start, size, 0, context_size, place)
    stream(3, threads)
    modules = pack("<I", 2)
    modules += pack("<QIIII", 0x400000, 0x3000, 0x1234, 0x5678, names[0]) + pack("<13I", *VERSION)
    modules += pack("<4IQQ", len(CODE_VIEW), code_view, 0, 0, 0x8160, 0)
    modules += pack("<QIIII", 0x500000, 0x1000, 0, 9, names[1]) + bytes(52) + bytes(32)
    stream(4, modules)
    memory_info, vm = counters(truth)
    stream(21, memory_info)
    stream(22, vm)
    stream(24, pack("<IIQ", 1, MAIN, thread_name))
    if comment:
        stream(11, comment.encode("utf-16-le") + b"\0\0")
    for number, data in more.streams.items():
        if number in more.align:
            out.add(f"pad {number}", bytes((more.align[number] - len(out.data)) % 8))
        stream(number, data if isinstance(data, bytes) else data(out))
    if full:
        full_streams(out, truth, stream)
    else:
        ranges = pack("<I", len(small_ranges))
        place = len(out.data) + 4 + 16 * len(small_ranges)
        for index, (start, end) in enumerate(small_ranges):
            ranges += pack("<QII", start, end - start, place)
            if index < 2:
                out.data[stack_fixups[index] : stack_fixups[index] + 4] = pack("<I", place)
            place += end - start
        stream(5, ranges)
        for start, end in small_ranges:
            out.add(f"memory {start:#x}", memory(start, end))
    for index, number in enumerate(streams):
        out.data[32 + 12 * index : 44 + 12 * index] = pack("<III", number, *body[number])
    return out


def full_streams(out: Layout, truth: dict[str, Any], stream: Any) -> None:
    unloaded = [
        out.string(f"unloaded name {index}", item["name"]) for index, item in enumerate(truth["unloaded_modules"])
    ]
    stream(
        14,
        pack("<III", 12, 24, 2)
        + pack("<QIIII", 0x600000, 0x2000, 1, 2, unloaded[0])
        + pack("<QIIII", 0x600000, 0x1000, 3, 4, unloaded[1]),
    )
    types = [out.string(f"type name {index}", item["type_name"]) for index, item in enumerate(truth["handles"])]
    name = out.string("object name 1", truth["handles"][1]["object_name"])
    rows = ((4, types[0], 0), (8, types[1], name))
    handles = b"".join(pack("<Q8I", value, kind, label, 2, 0x1F0003, 1, 3, 0, 0) for value, kind, label in rows)
    stream(12, pack("<IIII", 16, 40, 2, 0) + handles)
    infos = pack("<IIQ", 16, 48, len(REGIONS))
    for base, size, allocation, protect, state, now, kind in REGIONS:
        infos += pack("<QQIIQIIII", base, allocation, protect, 0, size, state, now, kind, 0)
    stream(16, infos)
    times = b"".join(
        pack("<IIIIQQQQQQ", number, 0, 0, 259, NOW - 1000, 0, 10000, 20000, 0x401000, 0xF) for number in (MAIN, WORKER)
    )
    stream(17, pack("<III", 12, 64, 2) + times)
    place = len(out.data) + 16 + 16 * len(FULL_RANGES)
    stream(
        9, pack("<QQ", len(FULL_RANGES), place) + b"".join(pack("<QQ", low, high - low) for low, high in FULL_RANGES)
    )
    for start, end in FULL_RANGES:
        out.add(f"memory {start:#x}", memory(start, end))


@dataclass(frozen=True)
class HandMade:
    """A dump, the truth it answers to, and where its pieces are."""

    data: bytes
    at: dict[str, int]
    truth: ProcessTruth
    request: RequestTruth


def request(
    qualifier: int, flags: int, comment: str | None, user_streams: tuple[dict[str, Any], ...] = ()
) -> RequestTruth:
    return parse_request(
        {
            "format": "dumptruth-request",
            "version": 1,
            "qualifier": "DEBUG_DUMP_SMALL" if qualifier == 1024 else "DEBUG_DUMP_DEFAULT",
            "qualifier_value": qualifier,
            "format_flags": [],
            "format_flags_value": flags,
            "comment": comment,
            "profile": "modern",
            "file": "a.dmp",
            "user_streams": list(user_streams),
        }
    )


@pytest.fixture(scope="session")
def workbench() -> SimpleNamespace:
    """What dumps are laid out with, for tests that make further ones."""
    return SimpleNamespace(
        dump=dump, More=More, HandMade=HandMade, request=request, memory=memory, TRUTH=TRUTH, MEMORY=MEMORY, MAIN=MAIN,
        WORKER=WORKER, parse_truth=parse_truth,
    )  # fmt: skip


@pytest.fixture(scope="session")
def small() -> HandMade:
    """DEBUG_DUMP_SMALL with a comment."""
    layout = dump(TRUTH, 0, "hello")
    return HandMade(bytes(layout.data), layout.at, parse_truth(copy.deepcopy(TRUTH), MEMORY), request(1024, 0, "hello"))


@pytest.fixture(scope="session")
def full() -> HandMade:
    """DEBUG_DUMP_DEFAULT under profile ``modern``."""
    layout = dump(TRUTH, 0x1826, None)
    return HandMade(bytes(layout.data), layout.at, parse_truth(copy.deepcopy(TRUTH), MEMORY), request(1025, 0, None))
