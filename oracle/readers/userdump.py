"""Reads legacy full user dumps, 64-bit and 32-bit, into a ``UserDump``."""

from __future__ import annotations

from typing import Final

from ..decode import Record, decode, structure
from ..memory.source import ByteSource
from ..model import Span
from .accounting import account
from .architectures import ARCHITECTURES
from .contexts import read_context
from .reading import Owner
from .userdump_facts import OLD_MACHINES, CapturedRegion, CrashModule, UserDump

__all__ = ["UserDump", "read_userdump"]

_FIRST_LETTER: Final = 0x20
"""The texts of version information begin with a letter, the record with a number below this."""
_MAX_TEXTS: Final = 1 << 16
"""How many bytes of version information are read."""
_FACTS = ("version_info", "threads", "contexts", "modules", "regions", "memory", "debug_event")


def read_userdump(source: ByteSource) -> UserDump:
    """Read a legacy full user dump. Never raises on content. The time is linear in the size of the file."""
    dump = UserDump(source, bits=32 if source.read(4, 4) == b"DUMP" else 64)
    header = decode(source, 0, f"USERMODE_CRASHDUMP_HEADER{dump.bits}", "header")
    dump.claim(Span(0, min(header.structure.size, source.size)), "header")
    if header.complete:
        dump.header = header
        dump.found("header")
        dump.dont_care(
            Span(header.span_of("MajorVersion").start, header.span_of("MinorVersion").end),
            "MajorVersion and MinorVersion: writers differ (docs/format/user-dump.md#header)",
        )
        for read in (_version_info, _threads, _contexts, _modules, _regions, _debug_event):
            read(dump, header)
        for fact in _FACTS:
            dump.found(fact)
        if dump.architecture is None:
            dump.facts.discard("contexts")
    else:
        expected, actual = f"{header.structure.size} bytes", f"{source.size} bytes"
        dump.defect("userdump.header", "header", expected, actual, Span(0, source.size), loses=("header", *_FACTS))
    dump.accounting = account(dump)
    dump.found("accounting")
    return dump


# Topic -> the header fields with the offset and the count of such records.
_PLACES: Final = {
    "threads": ("ThreadStateOffset", "ThreadCount"),
    "contexts": ("ThreadOffset", "ThreadCount"),
    "modules": ("ModuleOffset", "ModuleCount"),
    "regions": ("MemoryRegionOffset", "MemoryRegionCount"),
}


def _listed(dump: UserDump, header: Record, topic: str, size: int) -> tuple[int, int]:
    """The offset of the records of ``size`` bytes, and how many to read: all of them, or none.

    If the count is 0, the offset means nothing.
    """
    offset, count = _PLACES[topic]
    at, wanted = header[offset], header[count]
    if not wanted:
        dump.dont_care(header.span_of(offset), f"{offset}: there are no records")
        return at, 0
    room = max(dump.source.size - at, 0) // size
    if wanted > room:
        expected = f"at most {room} of {size} bytes from {at:#x} to the end at {dump.source.size:#x}"
        spans = (header.span_of(count), header.span_of(offset))
        dump.defect(f"userdump.{topic}", f"header, {count}", expected, f"{wanted}", *spans, loses=(topic,))
        return at, 0
    if dump.grant(wanted, topic, topic) < wanted:
        return at, 0
    return at, wanted


def _version_info(dump: UserDump, header: Record) -> None:
    at = header["VersionInfoOffset"]
    if not at:
        return
    record = decode(dump.source, at, "CRASHDUMP_VERSION_INFO", "version information")
    if int.from_bytes(dump.source.read(at, 2), "little") >= _FIRST_LETTER:
        _version_texts(dump, header, at)
    elif record.complete:
        dump.version_info = record
        dump.claim(record.span, record.path)
    else:
        _behind_the_end(dump, header, "VersionInfoOffset", "version_info", record)


def _version_texts(dump: UserDump, header: Record, at: int) -> None:
    """Read texts in UTF-16, each with a NUL, up to an empty one (docs/format/user-dump.md#version-information)."""
    data = dump.source.read(at, _MAX_TEXTS)
    units = memoryview(data[: len(data) & ~1]).cast("H")
    texts: list[str] = []
    start = 0
    for index, unit in enumerate(units):
        if unit:
            continue
        if index == start:
            dump.version_texts = tuple(texts)
            dump.claim(Span(at, at + 2 * index + 2), "version information")
            return
        texts.append(data[2 * start : 2 * index].decode("utf-16-le", "replace"))
        start = index + 1
    expected = f"texts in UTF-16 with a NUL, and an empty one within {_MAX_TEXTS} bytes"
    span = header.span_of("VersionInfoOffset")
    dump.defect("userdump.version_info", "version information", expected, "no end", span, loses=("version_info",))


def _behind_the_end(dump: UserDump, header: Record, offset: str, topic: str, record: Record) -> None:
    expected = f"at most {max(dump.source.size - record.structure.size, 0):#x}"
    dump.defect(
        f"userdump.{topic}",
        f"header, {offset}",
        expected,
        f"{header[offset]:#x}",
        header.span_of(offset),
        loses=(topic,),
    )


def _threads(dump: UserDump, header: Record) -> None:
    name = f"CRASH_THREAD{dump.bits}"
    size = structure(name).size
    start, count = _listed(dump, header, "threads", size)
    for index in range(count):
        record = decode(dump.source, start + index * size, name, f"thread {index}")
        dump.threads.append(record)
        dump.claim(record.span, record.path)


def _contexts(dump: UserDump, header: Record) -> None:
    if (header["MachineImageType"], dump.bits) in OLD_MACHINES:
        return
    if dump.architecture is None:
        machine = f"{header['MachineImageType']:#x}"
        expected = f"a {dump.bits}-bit machine: {'0x14c or 0x1c4' if dump.bits == 32 else '0x8664 or 0xaa64'}"
        span = header.span_of("MachineImageType")
        dump.defect("userdump.machine", "header, MachineImageType", expected, machine, span, loses=("contexts",))
        return
    size = structure(ARCHITECTURES[dump.architecture].structure).size
    start, count = _listed(dump, header, "contexts", size)
    for index in range(count):
        context = read_context(dump.source, dump.architecture, start + index * size, size, f"context {index}")
        assert context is not None
        dump.contexts.append(context)
        dump.claim(context.span, f"context {index}")


def _modules(dump: UserDump, header: Record) -> None:
    """Read the modules. Each record begins where the name of the one before it ends."""
    name = f"CRASH_MODULE{dump.bits}"
    at, count = _listed(dump, header, "modules", structure(name).size)
    for index in range(count):
        record = decode(dump.source, at, name, f"module {index}")
        end = record.span.end + record["ImageNameLength"]
        if not record.complete or end > dump.source.size:
            expected = f"an end at most {dump.source.size:#x}"
            dump.defect("userdump.modules", record.path, expected, f"{end:#x}", record.span, loses=("modules",))
            return
        raw = dump.source.read(record.span.end, record["ImageNameLength"])
        dump.modules.append(CrashModule(record, Span(record.span.end, end), raw.removesuffix(b"\0")))
        dump.claim(Span(at, end), record.path)
        at = end


def _regions(dump: UserDump, header: Record) -> None:
    """Read the descriptors. The bytes of the regions stand at DataOffset, in the order of the descriptors."""
    name = f"MEMORY_BASIC_INFORMATION{dump.bits}"
    size = structure(name).size
    start, count = _listed(dump, header, "regions", size)
    if "regions" in dump.broken:
        dump.breaks("memory", dump.broken["regions"])
    elif not count:
        dump.dont_care(header.span_of("DataOffset"), "DataOffset: there are no regions")
    at = header["DataOffset"]
    for index in range(count):
        record = decode(dump.source, start + index * size, name, f"region {index}")
        dump.regions.append(record)
        dump.claim(record.span, record.path)
        if "memory" in dump.broken:
            continue
        held = record["RegionSize"]
        end = at + held
        if end > dump.source.size:
            span = (header.span_of("DataOffset"), record.span_of("RegionSize"))
            expected = f"bytes that end at {dump.source.size:#x} or before"
            dump.defect("userdump.memory", record.path, expected, f"an end at {end:#x}", *span, loses=("memory",))
            continue
        region = CapturedRegion(record, record["BaseAddress"], held, at)
        dump.memory.append(region)
        dump.claim(Span(at, end), f"memory {region.start:#x}", Owner.MEMORY)
        at = end


def _debug_event(dump: UserDump, header: Record) -> None:
    at = header["DebugEventOffset"]
    if not at:
        return
    record = decode(dump.source, at, f"DEBUG_EVENT{dump.bits}", "debug event")
    if record.complete:
        dump.debug_event = record
        dump.claim(record.span, record.path)
    else:
        _behind_the_end(dump, header, "DebugEventOffset", "debug_event", record)
