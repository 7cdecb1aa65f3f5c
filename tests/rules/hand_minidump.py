"""Hand-made minidumps of the target: no byte comes from the project's writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from struct import pack
from typing import Any

from dumptruth.oracle.truth.load import ProcessTruth, RequestTruth, parse_request

from ..hand_documents import REGISTERS, VM_COUNTERS, request_document
from .hand_target import (
    CODE_VIEW,
    FULL_RANGES,
    MAIN,
    NOW,
    REGIONS,
    SMALL_RANGES,
    VERSION,
    WORKER,
    memory,
)


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
    return bytes(data + xstate + pack("<I", process["cookie"]))


def counters(truth: dict[str, Any]) -> tuple[bytes, bytes]:
    basic = pack("<HH6I3QI", 1, 2, 156250, 4096, 0x1000, 1, 0x1001, 65536, 0x10000, 0x7FFEFFFF, 0xF, 4)
    memory_info = basic + bytes(60) + pack("<4Q", 0x10, 0x20, 0x30, 0x40) + bytes(344)
    vm = [int(truth["process"]["vm"][name], 16) for name in VM_COUNTERS]
    return memory_info, pack("<HHI18Q", 2, 0xF, 77, *vm, *[0] * 5)


@dataclass(frozen=True)
class More:
    """Additions and changes to a small dump."""

    machine: tuple[int, bytes] = (9, pack("<QQQ", 0x123456789, 0x55, 0))
    """ProcessorArchitecture and the processor union."""
    below: int = 0
    """Bytes below the stack pointer at which a stack begins."""
    windows: tuple[tuple[int, int], ...] = SMALL_RANGES[2:]
    ranges: tuple[tuple[int, int], ...] = ()
    """Ranges after those of every small dump."""
    tails: tuple[bytes, bytes, bytes] = (b"", b"", b"")
    """Bytes after the contexts of the two threads and of the exception."""
    xstate: bytes = bytes(528)
    """MiscInfo.XStateData."""
    streams: Mapping[int, bytes | Callable[[Layout], bytes]] = field(default_factory=dict)
    """Streams by number. A function makes a stream that needs the offsets of earlier pieces."""
    align: Mapping[int, int] = field(default_factory=dict)
    """For a stream that must be aligned: its offset modulo 8. Zeros in front of it fill the gap."""


def dump(truth: dict[str, Any], flags: int, comment: str | None, more: More = More()) -> Layout:
    """A minidump of the target with the streams of ``flags`` (MINIDUMP_TYPE)."""
    full = bool(flags & 2)
    stacks = tuple((start - more.below, end) for start, end in SMALL_RANGES[:2])
    small_ranges = stacks + more.windows + more.ranges
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
    """A dump, the offsets of its pieces, its truth and its request."""

    data: bytes
    at: dict[str, int]
    truth: ProcessTruth
    request: RequestTruth


def request(
    qualifier: int, flags: int, comment: str | None, user_streams: tuple[dict[str, Any], ...] = ()
) -> RequestTruth:
    name = "DEBUG_DUMP_SMALL" if qualifier == 1024 else "DEBUG_DUMP_DEFAULT"
    more = {"format_flags_value": flags, "comment": comment, "user_streams": list(user_streams)}
    return parse_request(request_document(name, qualifier, **more))
