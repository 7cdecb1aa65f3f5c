"""Hand-made kernel dumps of every kind: no byte comes from the project's writer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from struct import pack, pack_into
from typing import Any

import pytest
from dumptruth.oracle import KernelTruth, RequestTruth
from dumptruth.oracle.truth.load import parse_kernel, parse_request

from ...hand_documents import request_document
from .hand_machine import (
    BLOBS,
    CONTEXTS,
    CRASH,
    DRIVERS,
    ENTRIES,
    GONE,
    KDBG,
    KERNEL,
    LIST_HEAD,
    NOW,
    PFN_DATABASE,
    PFN_VARIABLE,
    POOL,
    PRCBS,
    PROCESS_HEAD,
    PROCESSOR_BLOCK,
    RIP,
    ROOT,
    RSP,
    RUNS,
    SIZES,
    STACK_BASE,
    STANDBY,
    SYSTEM,
    THREADS,
    UP,
    USER_PAGES,
    Memory,
    P,
    context_record,
    machine,
    runs_of,
    truth_document,
)

QUALIFIERS = {"small": 1024, "kernel": 1025, "complete": 1026, "active": 1030}


def request_for(kind: str, profile: str, comment: str | None = None) -> RequestTruth:
    more = {"comment": comment, "profile": profile, "file": "hand.dmp"}
    return parse_request(request_document(f"DEBUG_{kind}", QUALIFIERS[kind], **more))


@dataclass(frozen=True)
class Made:
    """A dump, the offsets of its parts, its truth and its request."""

    data: bytes
    at: dict[str, int]
    truth: KernelTruth
    request: RequestTruth
    document: dict[str, Any]
    contents: bytes

    def patched(self, *patches: tuple[str, int, bytes]) -> bytes:
        """``patches``: (part, offset in it, bytes)."""
        data = bytearray(self.data)
        for part, offset, new in patches:
            start = self.at[part] + offset
            data[start : start + len(new)] = new
        return bytes(data)

    def with_truth(self, change: Callable[[dict[str, Any]], None]) -> Made:
        document = copy.deepcopy(self.document)
        change(document)
        return replace(self, truth=parse_kernel(document, self.contents), document=document)


def header(kind: int, space: int, *, build: int, layout: str = "", runs: bytes = b"") -> bytearray:
    """DUMP_HEADER64: the fill, and the fields over it."""
    block = bytearray(b"PAGE" * (0x2000 // 4))

    def put(at: int, form: str, *values: Any) -> None:
        pack_into("<" + form, block, at, *values)

    put(0, "4s4sII", b"PAGE", b"DU64", 15, build)
    put(0x10, "4Q", ROOT * P, PFN_DATABASE if layout == "B" else PFN_VARIABLE, LIST_HEAD, PROCESS_HEAD)
    put(0x30, "III", 0x8664, 2, 0xD1)
    put(0x40, "4Q", 0x10, 2, 0, RIP)
    put(0x80, "Q", KDBG)
    block[0x88 : 0x88 + len(runs)] = runs
    record = context_record(CRASH)
    block[0x348 : 0x348 + len(record)] = record
    if layout != "B":
        block[0x348 + len(record) : 0xF00] = bytes(3000 - len(record))
    put(0xF00, "IIQQI", 0x80000003, 1, 0, RIP, 0)
    put(0xF98, "I", kind)
    put(0xFA0, "QQ", space, NOW)
    put(0x1030, "Q", UP)
    put(0x1038, "I", {"A": 0xCFF, "B": 0xDFF}.get(layout, 0))
    put(0x1040, "II", 1, 0x110)
    if layout != "B":
        put(0x1048, "I", 0)
    block[0x104D] = {"A": 0, "B": 0x41}.get(layout, 2)
    if layout == "B":
        block[0x60:0x80] = bytes(32)
        put(0x103C, "I", 0)
        put(0x104E, "H", 0x4504)
    if layout != "A":
        put(0x1050, "II", 0xC if layout == "B" else 0, 7)
    return block


def descriptor(runs: Iterable[tuple[int, int]], pad: bytes = bytes(4)) -> bytes:
    runs = list(runs)
    head = pack("<I", len(runs)) + pad + pack("<Q", sum(count for _, count in runs))
    return head + b"".join(pack("<QQ", *run) for run in runs)


def blob_region(build: int, padded: bool) -> bytes:
    region = b"DumpBlob" + pack("<II", 0x10, 0xF0000000 + build)
    for tag, data in BLOBS:
        pad = -len(data) % 8 if padded else 0
        region += pack("<I16sIII", 0x20, tag, len(data), 0, pad) + data + bytes(pad)
    return region


class Maker:
    """Dumps of the machine. ``change`` edits its memory before anything is made from it."""

    def __init__(self, change: Callable[[Memory], None] = lambda _memory: None) -> None:
        self.memory = machine()
        change(self.memory)
        self.ram = [pfn for base, count in RUNS for pfn in range(base, base + count)]
        self.truths = {build: truth_document(self.memory, build) for build in (9600, 19041, 26100)}

    def pages(self, pfns: Iterable[int]) -> bytes:
        return b"".join(bytes(self.memory.pages.get(pfn, bytes(P))) for pfn in pfns)

    def kernel_pfns(self) -> list[int]:
        """The pages of a kernel dump: tables and leaves of the kernel half, and the added page."""
        return [0x40, *range(0x42, 0x48), *range(0x50, 0x60), *range(0x62, 0x6B), 0x6E]

    def active_pfns(self) -> list[int]:
        return sorted({*self.kernel_pfns(), *USER_PAGES, 0x41, *range(0x48, 0x4D), STANDBY})

    def made(self, parts: list[tuple[str, bytes]], kind: str, profile: str, build: int = 19041) -> Made:
        at, data = {}, b""
        for name, part in parts:
            at[name] = len(data)
            data += part
        document, contents = self.truths[build]
        return Made(data, at, parse_kernel(document, contents), request_for(kind, profile), document, contents)

    def full(self, runs: Iterable[tuple[int, int]] = RUNS) -> Made:
        runs = list(runs)
        pfns = [pfn for base, count in runs for pfn in range(base, base + count)]
        head = header(1, 0x2000 + P * len(pfns), build=19041, runs=descriptor(runs))
        parts = [("header", bytes(head)), ("pages", self.pages(pfns)), ("blobs", blob_region(19041, padded=True))]
        return self.made(parts, "complete", "portable")

    def pfns(self, kind: str) -> list[int]:
        return {"complete": self.ram, "kernel": self.kernel_pfns(), "active": self.active_pfns()}[kind]

    def bitmap(
        self, number: int, kind: str, profile: str, signature: bytes = b"SDMP", *, pfns: list[int] | None = None
    ) -> Made:
        pfns = self.pfns(kind) if pfns is None else sorted(pfns)
        bits = 128
        field = bytearray(bits // 8)
        for pfn in pfns:
            field[pfn // 8] |= 1 << pfn % 8
        first = 0x3000
        if number == 2:
            sub = pack("<4s4sIIIII4sQ", signature, b"DUMP", 1, first, bits, len(pfns), bits, b"PAGE", 0)
        else:
            sub = pack("<4s4s", signature, b"DUMP") + b"PAGE" * 6 + pack("<QQQ", first, len(pfns), bits)
        room = bytes(first - 0x2000 - len(sub) - len(field))
        blobs = blob_region(19041, padded=True)
        head = header(number, first + P * len(pfns) + len(blobs), build=19041)
        parts = [("header", bytes(head)), ("sub", sub), ("bitmap", bytes(field)), ("room", room)]
        parts += [("pages", self.pages(pfns)), ("blobs", blobs)]
        return self.made(parts, kind, profile)

    def ranges(
        self, number: int, kind: str, *, terminator: bool = False, runs: list[tuple[int, int]] | None = None
    ) -> Made:
        runs = runs_of(self.pfns(kind)) if runs is None else runs
        pfns = [pfn for base, count in runs for pfn in range(base, base + count)]
        listed = descriptor(runs) + bytes(16 * terminator)
        sub = pack("<I4s4sIQQ", 0x40, b"RDMP", b"DUMP", 0, len(listed), 0x2020 + len(listed))
        head = header(number, 0x2020 + len(listed) + P * len(pfns), build=19041)
        parts = [("header", bytes(head)), ("sub", sub), ("runs", listed), ("pages", self.pages(pfns))]
        return self.made([*parts, ("blobs", blob_region(19041, padded=True))], kind, "ranges")

    def header_only(self) -> Made:
        return self.made([("header", bytes(header(3, 0x2000, build=19041)))], "kernel", "header")

    def virtual(self, address: int, size: int) -> bytes:
        """Bytes of the kernel image or of the pool."""
        base, pfn = (POOL, 0x62) if address >= POOL else (KERNEL, 0x50)
        first, at = divmod(address - base, P)
        many = -(-(at + size) // P)
        return self.pages(range(pfn + first, pfn + first + many))[at : at + size]

    def triage(self, build: int) -> Made:
        """A small dump by docs/format/kernel-small-layouts.md#recipe-of-a-small-dump."""
        layout = "B" if build == 26100 else "A"
        stack = self.virtual(RSP, STACK_BASE - RSP)
        names = [base if layout == "B" else full for full, base, _, _ in DRIVERS]
        records = [pack("<I", len(name)) + name.encode("utf-16-le") + b"\0\0" for name in names]
        pool = b"".join(record.ljust(-(-len(record) // 8) * 8, b"\0") for record in records)
        if layout == "B":
            pool = pool.ljust(-(-sum(2 * len(name) + 15 for name in names) // 8) * 8, b"\0")
        wanted = [
            (PROCESSOR_BLOCK, 16), (PRCBS[0], 0x400), (PRCBS[1], 0x400), (CONTEXTS[0], 0x4D0), (CONTEXTS[1], 0x4D0),
            (SYSTEM, 0x100), (THREADS[0], 0x100), (RIP - 0x80, 0x101), (POOL + 0x7F80, 0x40), (RSP + 8, 0x13),
        ]  # fmt: skip
        gone = pack("<Q", len(GONE))
        for name, start, end in GONE:
            units = name.encode("utf-16-le")[:24]
            gone += pack("<HHIQ24sQQ", len(units), 24, 0, 0, units, start, end)
        if layout == "B":
            gone = gone.ljust(8 + 50 * 0x38, b"\0")
        order = ["mm", "unloaded", "prcb", "process", "thread", "stack", "kdbg", "drivers", "pool", "table"]
        if layout == "B":
            order = ["mm", "prcb", "process", "thread", "stack", "kdbg", "unloaded", "drivers", "pool", "table"]
        counts = [1 << 32, 5, 1 << 32, 6, 7, 8, 9] if layout == "B" else [0] * 7
        parts = {
            "mm": pack("<6I7Q", 1, 0x50, 0, 0, 0, 0, *counts),
            "unloaded": gone, "prcb": self.virtual(PRCBS[0], 0x400), "process": self.virtual(SYSTEM, 0x100),
            "thread": self.virtual(THREADS[0], 0x100), "stack": stack, "kdbg": self.virtual(KDBG, SIZES["kdbg"]),
            "drivers": bytes(0x90 * len(DRIVERS)), "pool": pool, "table": bytes(16 * len(wanted)),
        }  # fmt: skip
        at, end = {}, 0x2080
        for name in order:
            at[name] = end
            end += len(parts[name])
        name_at = at["pool"]
        parts["drivers"] = b""
        for index, record in enumerate(records):
            live = self.virtual(ENTRIES[index], 0xA0)
            stamp, checksum = pack("<II", 0x60000000 + index, 0), pack("<I", 0x1000 + index)
            if layout == "B":
                entry = live[:0x78] + checksum + bytes(4) + stamp
            else:
                entry = bytes(0x30) + live[0x30:0x38] + bytes(8) + live[0x40:0x44] + bytes(0x34) + checksum
                entry += bytes(4) + stamp
            parts["drivers"] += pack("<II", name_at, 0) + entry
            name_at += -(-len(record) // 8) * 8
        data, parts["table"] = b"", b""
        for address, size in wanted:
            parts["table"] += pack("<QII", address, end + len(data), size)
            data += self.virtual(address, size)
        room = sum(-size % 8 for _, size in wanted)
        tail = bytes(room) + b"TRGD"
        if layout == "B":
            size = -(-(end + len(data) + len(tail)) // 512) * 512
            tail = tail.ljust(size - end - len(data) - 4, b"\0") + b"TRGD"
        elif build == 9600:
            tail = bytes(0x40000 - end - len(data) - 4) + b"TRGD"
        size = end + len(data) + len(tail)
        sub = pack(
            "<18IQIIQQIIIIII", 0, size, size - 4, 0x348, 0xF00, at["mm"], at["unloaded"], at["prcb"], at["process"],
            at["thread"], at["stack"], len(stack), at["drivers"], len(DRIVERS), at["pool"], len(pool), 0,
            0x41 if layout == "B" else 0xFFFFFFFF, RSP, 0, 0, 0, 0, 0, 0, at["kdbg"], SIZES["kdbg"], at["table"],
            len(wanted),
        )  # fmt: skip
        region = blob_region(build, padded=layout == "A")
        extra = b"" if layout == "A" else bytes(-(size + len(region)) % 512 + 512)
        runs = descriptor(RUNS, b"PAGE") if layout == "B" else b""
        head = header(4, size + len(region) + len(extra), build=build, layout=layout, runs=runs)
        listed = [("header", bytes(head)), ("sub", sub), *((name, parts[name]) for name in order), ("data", data)]
        return self.made([*listed, ("tail", tail), ("blobs", region), ("extra", extra)], "small", "portable", build)


@pytest.fixture(scope="session")
def maker() -> Maker:
    return Maker()


@pytest.fixture(scope="session")
def dumps(maker: Maker) -> dict[str, Made]:
    """Conformant dumps of every kind."""
    return {
        "full": maker.full(),
        "summary": maker.bitmap(2, "kernel", "classic"),
        "header only": maker.header_only(),
        "small A": maker.triage(19041),
        "small B": maker.triage(26100),
        "small 9600": maker.triage(9600),
        "bitmap full": maker.bitmap(5, "complete", "bitmap", b"FDMP"),
        "bitmap kernel": maker.bitmap(6, "kernel", "bitmap"),
        "bitmap active": maker.bitmap(6, "active", "bitmap"),
        "ranges kernel": maker.ranges(8, "kernel", terminator=True),
        "ranges active": maker.ranges(9, "active"),
        "ranges complete": maker.ranges(10, "complete"),
    }
