"""Writes user minidumps for ``dumptruth conform``, from docs/truth-format.md and docs/conform-protocol.md alone.

Without options its dumps are correct. ``--fault NAME`` adds one fault that real writers had:

memory64-shift     BaseRva is 8 bytes too low: every page of a full dump is read 8 bytes off
last-page-missing  the last page of the last range is left out
teb-leaked         the TEBs are in the dump without a request for process and thread data
flags-by-identity  the header's Flags are the DEBUG_FORMAT_* bits, not the MINIDUMP_TYPE bits that they mean
"""

import json
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Range = tuple[int, int]
Placed = tuple[int, int, int]  # start, end, RVA

SMALL, DEFAULT = 1024, 1025
# DEBUG_FORMAT_USER_SMALL_* (DbgEng.h) -> MINIDUMP_TYPE (minidumpapiset.h)
FULL_MEMORY, HANDLE_DATA, UNLOADED, MEMORY_INFO, THREAD_INFO = 0x1, 0x2, 0x4, 0x400, 0x800
MINIDUMP_TYPE = {FULL_MEMORY: 0x2, HANDLE_DATA: 0x4, UNLOADED: 0x20, MEMORY_INFO: 0x800, THREAD_INFO: 0x1000}
IGNORE_INACCESSIBLE = 0x20000  # MINIDUMP_TYPE: some memory may be missing
CAB = 0x70000000  # DEBUG_FORMAT_WRITE_CAB and the two flags for secondary files
PAGE = 0x1000
EPOCH = 116_444_736_000_000_000  # 1970 as FILETIME
SEGMENTS = ("SegCs", "SegDs", "SegEs", "SegFs", "SegGs", "SegSs")
INTEGERS = (
    *("Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7", "Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp", "Rsi", "Rdi"),
    *("R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15", "Rip"),
)


class SkippedError(Exception):
    """A request that this writer does not support."""


class RefusedError(Exception):
    """A request that must be refused, with its HRESULT and the reason."""


def number(text: str) -> int:
    return int(text, 16)


class File:
    """The bytes of the dump so far. ``put`` returns the RVA of what it adds."""

    def __init__(self) -> None:
        self.data = bytearray()

    def put(self, data: bytes) -> int:
        at = len(self.data)
        self.data += data
        return at

    def string(self, text: str) -> int:
        units = text.encode("utf-16-le")
        self.data += bytes(-len(self.data) % 4)
        return self.put(struct.pack("<I", len(units)) + units + b"\0\0")


class Memory:
    def __init__(self, folder: Path, truth: Json) -> None:
        self.bytes = (folder / "memory.bin").read_bytes()
        self.runs = [(number(run["start"]), number(run["size"]), number(run["offset"])) for run in truth["memory"]]

    def readable(self, start: int, end: int) -> Iterator[Range]:
        for base, size, _ in self.runs:
            if max(start, base) < min(end, base + size):
                yield max(start, base), min(end, base + size)

    def read(self, start: int, end: int) -> bytes:
        if start == end:
            return b""
        for base, size, offset in self.runs:
            if base <= start and end <= base + size:
                return self.bytes[offset + start - base : offset + end - base]
        raise RefusedError("0x8007001e", f"memory {start:#x}..{end:#x} cannot be read")


def context(truth: Json) -> bytes:
    registers = {name: number(value) for name, value in truth["registers"].items()}
    data = bytearray(1232)
    struct.pack_into("<II", data, 0x30, truth["context_flags"], registers["MxCsr"])
    struct.pack_into("<6HI", data, 0x38, *(registers[name] for name in SEGMENTS), registers["EFlags"])
    struct.pack_into("<23Q", data, 0x48, *(registers[name] for name in INTEGERS))
    data[0x100:0x300] = bytes.fromhex(truth["fxsave"])
    return bytes(data)


def stack(thread: Json) -> Range:
    low, high = number(thread["stack_limit"]), number(thread["stack_base"])
    pointer = number(thread["context"]["registers"]["Rsp"])
    return (pointer if low <= pointer < high else low), high


def merged(ranges: Iterable[Range]) -> list[Range]:
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def whole_regions(truth: Json, memory: Memory) -> list[Range]:
    """All memory. Of a region with a page that cannot be read an entry of size 0 stays, as by engine 29507."""
    holes = [(number(hole["start"]), number(hole["start"]) + number(hole["size"])) for hole in truth["unreadable"]]
    found: list[Range] = []
    for region in truth["regions"]:
        start, end = number(region["base"]), number(region["base"]) + number(region["size"])
        if any(start < high and low < end for low, high in holes):
            found.append((start, start))
        else:
            found += memory.readable(start, end)
    return found


def wanted_memory(truth: Json, memory: Memory, flags: int, fault: str) -> list[Range]:
    if flags & FULL_MEMORY:
        ranges = whole_regions(truth, memory)
    else:
        parts = [stack(thread) for thread in truth["threads"]]
        contexts = [thread["context"] for thread in truth["threads"]]
        if truth["exception"]:
            contexts.append(truth["exception"]["context"])
        for item in contexts:
            pointer = number(item["registers"]["Rip"])
            parts += memory.readable(max(pointer - 0x80, 0), pointer + 0x80)
        if fault == "teb-leaked":
            parts += [(number(thread["teb"]), number(thread["teb"]) + PAGE) for thread in truth["threads"]]
        ranges = merged(part for part in parts if part[0] < part[1])
    if fault == "last-page-missing":
        start, end = ranges.pop()
        if end - PAGE > start:
            ranges.append((start, end - PAGE))
    return ranges


def system_info(file: File, truth: Json) -> bytes:
    system = truth["system"]
    version = [system[name] for name in ("major_version", "minor_version", "build_number")]
    features = [number(value) for value in system["processor_features"]]
    head = [9, system["processor_level"], system["processor_revision"]]
    machine = (system["number_of_processors"], system["product_type"])
    csd = file.string(system["csd_version"])
    return struct.pack("<3H2B3III2H2Q8x", *head, *machine, *version, 2, csd, system["suite_mask"], 0, *features)


def misc_info(truth: Json) -> bytes:
    process = truth["process"]
    seconds = [number(process[name]) // 10_000_000 for name in ("user_time", "kernel_time")]
    created = (number(process["create_time"]) - EPOCH) // 10_000_000
    return struct.pack("<6I", 24, 3, process["process_id"], created & 0xFFFFFFFF, *seconds)


def exception(file: File, truth: Json) -> bytes:
    event = truth["exception"]
    information = [number(value) for value in event["information"]]
    at = file.put(context(event["context"]))
    record = (event["code"], event["flags"], number(event["record"]), number(event["address"]), len(information), 0)
    head = struct.pack("<IIIIQQII", event["thread_id"], 0, *record)
    return head + struct.pack("<15Q", *information, *[0] * (15 - len(information))) + struct.pack("<II", 1232, at)


def module(file: File, item: Json) -> bytes:
    name = file.string(item["name"])
    code_view = bytes.fromhex(item["code_view"] or "")
    at = file.put(code_view) if code_view else 0
    head = (number(item["base"]), item["size"], item["checksum"], item["time_date_stamp"], name)
    version = item["version_info"] or [0] * 13
    return struct.pack("<QIIII13I", *head, *version) + struct.pack("<IIIIQQ", len(code_view), at, 0, 0, 0, 0)


def handles(file: File, truth: Json) -> bytes:
    rows = []
    for item in truth["handles"]:
        names = [0 if text is None else file.string(text) for text in (item["type_name"], item["object_name"])]
        rest = [item[name] for name in ("attributes", "granted_access", "handle_count", "pointer_count")]
        rows.append(struct.pack("<Q6I", item["value"], *names, *rest))
    return struct.pack("<4I", 16, 32, len(rows), 0) + b"".join(rows)


def unloaded(file: File, truth: Json) -> bytes:
    rows = []
    for item in truth["unloaded_modules"]:
        head = (number(item["base"]), item["size"], item["checksum"], item["time_date_stamp"])
        rows.append(struct.pack("<QIIII", *head, file.string(item["name"])))
    return struct.pack("<3I", 12, 24, len(rows)) + b"".join(rows)


def memory_infos(truth: Json) -> bytes:
    rows = []
    for item in truth["regions"]:
        base, size, allocation = (number(item[name]) for name in ("base", "size", "allocation_base"))
        rest = (item["state"], item["protect"], item["type"], 0)
        rows.append(struct.pack("<QQIIQ4I", base, allocation, item["allocation_protect"], 0, size, *rest))
    return struct.pack("<IIQ", 16, 48, len(rows)) + b"".join(rows)


def thread_infos(truth: Json) -> bytes:
    rows = []
    for item in truth["threads"]:
        names = ("create_time", "exit_time", "kernel_time", "user_time", "start_address", "affinity")
        numbers = [number(item[name]) for name in names]
        rows.append(struct.pack("<4I6Q", item["thread_id"], 0, 0, item["exit_status"], *numbers))
    return struct.pack("<3I", 12, 64, len(rows)) + b"".join(rows)


def dump(truth: Json, memory: Memory, request: Json, flags: int, fault: str) -> bytes:
    kinds = [7, 15, 3, 4]
    kinds += [6] if truth["exception"] else []
    kinds += [11] if request["comment"] else []
    kinds += [12] if flags & HANDLE_DATA else []
    kinds += [14] if flags & UNLOADED and truth["unloaded_modules"] else []
    kinds += [16] if flags & MEMORY_INFO else []
    kinds += [17] if flags & THREAD_INFO else []
    kinds += [9 if flags & FULL_MEMORY else 5]
    streams = dict.fromkeys(kinds, (0, 0))  # DataSize and Rva, in the order of the directory
    file = File()
    file.put(bytes(32 + 12 * len(streams)))

    def stream(kind: int, data: bytes) -> None:
        streams[kind] = (len(data), file.put(data))

    stream(7, system_info(file, truth))
    stream(15, misc_info(truth))
    stream(4, struct.pack("<I", len(truth["modules"])) + b"".join(module(file, item) for item in truth["modules"]))
    if 6 in streams:
        stream(6, exception(file, truth))
    if 11 in streams:
        stream(11, request["comment"].encode("utf-16-le") + b"\0\0")
    if 12 in streams:
        stream(12, handles(file, truth))
    if 14 in streams:
        stream(14, unloaded(file, truth))
    if 16 in streams:
        stream(16, memory_infos(truth))
    if 17 in streams:
        stream(17, thread_infos(truth))
    contexts = [file.put(context(thread["context"])) for thread in truth["threads"]]
    # The memory is at the end, since the lengths of the lists before it are known.
    ranges = wanted_memory(truth, memory, flags, fault)
    full = bool(flags & FULL_MEMORY)
    size_of_threads = 4 + 48 * len(contexts)
    base = len(file.data) + size_of_threads + (16 + 16 * len(ranges) if full else 4 + 16 * len(ranges))
    places, at = [], base
    for start, end in ranges:
        places.append((start, end, at))
        at += end - start
    rows = [thread_row(thread, where, places, full) for thread, where in zip(truth["threads"], contexts, strict=True)]
    stream(3, struct.pack("<I", len(rows)) + b"".join(rows))
    if full:
        shift = 8 if fault == "memory64-shift" else 0
        listed = b"".join(struct.pack("<QQ", start, end - start) for start, end in ranges)
        stream(9, struct.pack("<QQ", len(ranges), base - shift) + listed)
    else:
        listed = b"".join(struct.pack("<QII", start, end - start, where) for start, end, where in places)
        stream(5, struct.pack("<I", len(ranges)) + listed)
    assert len(file.data) == base
    for start, end in ranges:
        file.put(memory.read(start, end))
    header_flags = sum(value for flag, value in MINIDUMP_TYPE.items() if flags & flag)
    if flags & FULL_MEMORY and truth["unreadable"]:
        header_flags |= IGNORE_INACCESSIBLE
    if fault == "flags-by-identity":
        header_flags = flags
    stamp = (number(truth["time"]) - EPOCH) // 10_000_000 & 0xFFFFFFFF
    struct.pack_into("<4sIIIIIQ", file.data, 0, b"MDMP", 0xA793, len(streams), 32, 0, stamp, header_flags)
    for index, (kind, (size, rva)) in enumerate(streams.items()):
        struct.pack_into("<III", file.data, 32 + 12 * index, kind, size, rva)
    return bytes(file.data)


def thread_row(thread: Json, where: int, places: list[Placed], full: bool) -> bytes:
    start, end = stack(thread)
    inside = [at + start - low for low, high, at in places if low <= start and end <= high]
    location = (end - start, inside[0]) if inside and not full else (end - start, 0) if full else (0, 0)
    head = [thread[name] for name in ("thread_id", "suspend_count", "priority_class", "priority")]
    return struct.pack("<IIIiQQIIII", *head, number(thread["teb"]), start, *location, 1232, where)


def answer(message: Json, fault: str) -> Json:
    if message["version"] != 1 or message["role"] != "writer":
        raise SkippedError("protocol version 1, role writer alone")
    request, folder = message["request"], Path(message["truth"])
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    if truth["mode"] != "user" or truth["system"]["architecture"] != "amd64":
        raise SkippedError("processes of amd64 alone")
    flags = request["format_flags_value"]
    if flags & CAB:
        raise SkippedError("no cabinets")
    if request["qualifier_value"] == DEFAULT:
        if request["profile"] == "refuse":
            raise RefusedError("0x80004001", "DEFAULT is not implemented")
        if request["profile"] != "modern":
            raise SkippedError("no legacy dumps")
        flags = sum(MINIDUMP_TYPE)
    elif request["qualifier_value"] != SMALL:
        raise RefusedError("0x80070057", "no such dump of a process")
    if flags & ~sum(MINIDUMP_TYPE) or request.get("user_streams"):
        raise SkippedError("five flags alone")
    if flags & FULL_MEMORY and truth["unreadable"] and request.get("contract") == "e15063":
        raise RefusedError("0x8007001e", "a page cannot be read")
    memory = Memory(folder, truth)
    Path(message["output"]).write_bytes(dump(truth, memory, request, flags, fault))
    return {"result": "written"}


def main() -> None:
    fault = sys.argv[2] if sys.argv[1:2] == ["--fault"] else ""
    for line in sys.stdin:
        message = json.loads(line)
        try:
            said = answer(message, fault)
        except SkippedError as why:
            said = {"result": "skipped", "reason": str(why)}
        except RefusedError as why:
            said = {"result": "refused", "hresult": why.args[0], "reason": why.args[1]}
        print(json.dumps({"case": message["case"], **said}), flush=True)


main()
