"""Judges the header, the directory, the strings and the layout of a minidump (docs/format/minidump-container.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from ...case import Case
from ...decode import enumeration
from ...model import Fault, Grade, Level, Source
from ...readers.container import may_repeat
from ...readers.contexts import without_context
from ...readers.facts import Dump, StringFact
from ...rule import Checks, bad, ok, rule
from ..asserts import overlaps

_VERSION: Final = 0xA793
"""minidumpapiset.h MINIDUMP_VERSION (42899)."""

_LOST_CONTEXT: Final = 4
"""The status bit in CheckSum of a thread whose context could not be read."""
_NEEDED: Final = ("ThreadListStream", "ModuleListStream")

_RESERVED: Final = frozenset(
    number
    for name, number in enumeration("MINIDUMP_STREAM_TYPE").members.items()
    if name.startswith(("Reserved", "ceStream", "LastReserved", "ThreadEx"))
)


@rule(
    "MDMP-HEADER-001",
    "The file holds the whole header",
    Level.MUST,
    Source("docs/format/minidump-container.md#header", Grade.WITNESSED, versions=("29507",)),
    reports=("header.size",),
)
def whole_header(case: Case) -> Checks:
    """A minidump begins with a header of 32 bytes. A shorter file has nothing that a reader can use."""
    if case.dump.header is not None:
        yield ok("header")


@rule(
    "MDMP-HEADER-002",
    "The low word of Version is 0xA793",
    Level.MUST,
    Source("docs/format/minidump-container.md#version", Grade.WITNESSED, versions=("29507",)),
    needs=("header",),
)
def version(case: Case) -> Checks:
    """Readers compare the low word and refuse the file if it differs. The high word is private to the writer."""
    header = case.dump.header
    assert header is not None
    low = header["Version"] & 0xFFFF
    if low == _VERSION:
        yield ok("header")
    else:
        yield bad("header", f"{_VERSION:#x} in the low word", f"{low:#x}", header.span_of("Version"))


@rule(
    "MDMP-HEADER-003",
    "CheckSum is 0, or 4 if a thread has no context",
    Level.MUST,
    Source("docs/format/minidump-container.md#checksum", Grade.OBSERVED),
    needs=("header",),
    foreign_level=Level.SHOULD,
)
def checksum(case: Case) -> Checks:
    """Real Microsoft files have 0. Files with a thread whose context could not be read have 4: the field then holds
    status bits. No public document describes how to compute another value.
    """
    header = case.dump.header
    assert header is not None
    lost = any(without_context(thread.record) for thread in case.dump.threads)
    if header["CheckSum"] == 0 or (header["CheckSum"] == _LOST_CONTEXT and lost):
        yield ok("header")
    else:
        yield bad("header", "0", f"{header['CheckSum']:#x}", header.span_of("CheckSum"))


@rule(
    "MDMP-HEADER-004",
    "Flags has only bits of MINIDUMP_TYPE",
    Level.MUST,
    Source("docs/format/format-flags.md#header-bits-that-are-valid", Grade.INFERRED),
    needs=("header",),
)
def known_flags(case: Case) -> Checks:
    """Flags tells what the dump holds, so a bit without a meaning is an error. The upper 32 bits have no meaning.
    udmp-parser reads the upper half as Flags and refuses the file for some of its bits.
    """
    header = case.dump.header
    assert header is not None
    unknown = header["Flags"] & ~enumeration("MINIDUMP_TYPE").mask
    if unknown:
        yield bad("header", "no bit outside MINIDUMP_TYPE", f"bits {unknown:#x}", header.span_of("Flags"))
    else:
        yield ok("header")


@rule(
    "MDMP-DIR-001",
    "The directory has entries and lies inside the file",
    Level.MUST,
    Source("docs/format/minidump-container.md#directory", Grade.WITNESSED, versions=("29507",)),
    needs=("header",),
    reports=("directory.bounds",),
)
def directory_inside(case: Case) -> Checks:
    """Readers find every stream through the directory. Readers that trust the count read past the end of the file."""
    if "directory" in case.dump.facts:
        yield ok("directory")


@rule(
    "MDMP-DIR-002",
    "An unused directory entry has size 0 and RVA 0",
    Level.MUST,
    Source("docs/format/minidump-container.md#unused-entries", Grade.WITNESSED, versions=("15063", "29507")),
    reports=("directory.unused",),
)
def unused_entries(case: Case) -> Checks:
    """An entry of type 0 fills a slot that the writer reserved and did not need. Readers skip it. If it has a size or
    an RVA, it hides the bytes of a stream that lost its type.
    """
    faults = case.dump.defects_of("directory.unused")
    count = sum(entry["StreamType"] == 0 for entry in case.dump.directory) - faults
    if count:
        yield ok("unused entries", count)


@rule(
    "MDMP-DIR-003",
    "Every stream lies inside the file and below 4 GiB",
    Level.MUST,
    Source("docs/format/minidump-container.md#bounds-of-a-stream", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/minidump-container.md#offsets-below-4-gib", Grade.DOCUMENTED),
    reports=("directory.stream-bounds",),
)
def streams_inside(case: Case) -> Checks:
    """A stream that ends beyond the file was truncated, or its location is wrong. LLVM rejects the whole file for one
    such entry, whatever the stream's type.
    """
    if case.dump.streams:
        yield ok("streams", len(case.dump.streams))


@rule(
    "MDMP-DIR-004",
    "No stream that describes the target occurs twice",
    Level.MUST,
    Source("docs/format/minidump-container.md#repeated-stream-types", Grade.IMPLEMENTED),
    reports=("directory.duplicate",),
)
def unique_streams(case: Case) -> Checks:
    """Readers differ on two streams of one type: some take the first, Breakpad and udmp-parser refuse the file.
    MDMP-DIR-008 judges exceptions, comments and streams of applications.
    """
    if case.dump.streams:
        yield ok("streams", len(case.dump.streams))


@rule(
    "MDMP-DIR-008",
    "No exception, comment or stream of an application occurs twice",
    Level.MUST,
    Source("docs/format/minidump-container.md#repeated-stream-types", Grade.IMPLEMENTED),
    needs=("directory",),
    foreign_level=Level.SHOULD,
)
def repeated_streams(case: Case) -> Checks:
    """LLDB writes an exception for each thread that has one. MiniDumpWriteDump stores the caller's streams as given,
    two of one type too. Most readers take the first.
    """
    for stream in case.dump.duplicates:
        if may_repeat(stream.type):
            yield bad(stream.name, "one entry of this type", "two", stream.record.span, fault=Fault.FORBIDDEN)
    if case.dump.streams:
        yield ok("streams", len(case.dump.streams))


@rule(
    "MDMP-DIR-005",
    "No reserved or Windows CE stream type is used",
    Level.MUST,
    Source("docs/format/minidump-container.md#reserved-and-windows-ce-streams", Grade.DOCUMENTED),
    Source("docs/format/minidump-contents.md#streams-that-must-be-absent", Grade.DOCUMENTED),
    needs=("directory",),
    foreign_level=Level.SHOULD,
)
def reserved_streams(case: Case) -> Checks:
    """Types 1, 2 and 0xFFFF are reserved. Type 8 needs a backing store. Types 0x8000 to 0x800C belong to Windows CE
    dumps. Unknown types of other writers are legal.
    """
    for entry in case.dump.directory:
        if entry["StreamType"] in _RESERVED:
            name = enumeration("MINIDUMP_STREAM_TYPE").name_of(entry["StreamType"])
            span = entry.span_of("StreamType")
            yield bad(entry.path, "a type that is not reserved", name, span, fault=Fault.FORBIDDEN)
        else:
            yield ok(entry.path)


@rule(
    "MDMP-DIR-006",
    "The dump has a SystemInfo stream",
    Level.MUST,
    Source("docs/format/minidump-contents.md#streams-a-reader-needs", Grade.WITNESSED, versions=("29507",)),
    needs=("directory",),
)
def system_info_present(case: Case) -> Checks:
    """SystemInfo names the architecture, which every reader needs. WinDbg refuses a dump that lacks it with "Minidump
    does not have system info".
    """
    wanted = enumeration("MINIDUMP_STREAM_TYPE")["SystemInfoStream"]
    if any(entry["StreamType"] == wanted for entry in case.dump.directory):
        yield ok("stream 7")
    else:
        yield bad("stream 7 (SystemInfoStream)", "one directory entry", "none", fault=Fault.MISSING)


@rule(
    "MDMP-DIR-007",
    "The dump has a thread list and a module list",
    Level.SHOULD,
    Source("docs/format/minidump-contents.md#streams-a-reader-needs", Grade.WITNESSED, versions=("29507",)),
    needs=("directory",),
)
def lists_present(case: Case) -> Checks:
    """Without a thread list the vendor's engine fails the session, and so do rust-minidump, Breakpad and udmp-parser.
    Without a module list it opens the dump, but no address has a name. One real file of another writer has no threads.
    """
    present = {entry["StreamType"] for entry in case.dump.directory}
    for name in _NEEDED:
        number = enumeration("MINIDUMP_STREAM_TYPE")[name]
        if number in present:
            yield ok(f"stream {number}")
        else:
            yield bad(f"stream {number} ({name})", "one directory entry", "none", fault=Fault.MISSING)


@rule(
    "MDMP-LAYOUT-001",
    "No two structures overlap",
    Level.MUST,
    Source("docs/format/minidump-container.md#overlaps", Grade.OBSERVED),
    needs=("accounting",),
)
def no_overlap(case: Case) -> Checks:
    """Header, directory, streams, strings, contexts, CodeView records and memory occupy separate bytes. Only equal
    strings and records may be stored once and referred to twice. Where two structures overlap, one of them is wrong.
    """
    yield from overlaps(case.dump.accounting)


@rule(
    "MDMP-LAYOUT-002",
    "Every byte of the file belongs to a structure",
    Level.MUST,
    Source("docs/format/minidump-container.md#gaps", Grade.OBSERVED),
    needs=("accounting",),
    foreign_level=Level.SHOULD,
)
def no_gap(case: Case) -> Checks:
    """Bytes that nothing refers to are lost data, leaked data, or the target of a wrong reference. Up to 16 zero bytes
    between two structures are padding.
    """
    accounting = case.dump.accounting
    for gap in accounting.gaps:
        yield bad("gap", "padding of at most 16 bytes, all zero", f"{len(gap)} bytes", gap,
                  fault=Fault.FORBIDDEN)  # fmt: skip
    hidden = accounting.gap_total - len(accounting.gaps)
    if hidden:
        yield bad("further gaps", "none", f"{hidden} more", fault=Fault.FORBIDDEN)
    yield ok("regions", max(1, accounting.regions))


def _strings(dump: Dump) -> Iterator[tuple[StringFact | None, Callable[[Any], str], Any]]:
    """The strings of every list that could be decoded, each with what names its record. Those of a list read from a
    wrong place mean nothing.
    """
    yield dump.csd_version, lambda _: "CSDVersion", None
    modules = dump.modules if "modules" in dump.facts else []
    unloaded = dump.unloaded_modules if "unloaded_modules" in dump.facts else []
    for name, record in [(m.name, m.record) for m in modules] + [(m.name, m.record) for m in unloaded]:
        yield name, lambda item: f"name of {item.path}", record
    if "thread_names" in dump.facts:
        for thread in dump.thread_names:
            yield thread.name, lambda item: f"name of thread {item.record['ThreadId']:#x}", thread
    if "handles" in dump.facts:
        for handle in dump.handles:
            yield handle.type_name, lambda item: f"type name of handle {item.value:#x}", handle
            yield handle.object_name, lambda item: f"object name of handle {item.value:#x}", handle


@rule(
    "MDMP-STRING-001",
    "A NUL follows every string",
    Level.MUST,
    Source("docs/format/minidump-container.md#nul-behind-a-string", Grade.DOCUMENTED),
    foreign_level=Level.MAY,
)
def terminated_strings(case: Case) -> Checks:
    """Length does not count the NUL, but Windows writes one. Readers that map the file use the characters in place.
    Wine and minidump-writer omit the NUL, and readers must not depend on it. Zeros that begin another structure are no
    NUL.
    """
    starts = {claim.start for claim in case.dump.claims}
    passed = 0
    for string, named, item in _strings(case.dump):
        if string is None:
            continue
        if string.terminated and string.span.end - 2 not in starts:
            passed += 1
        else:
            expected = "a 16-bit NUL after the characters"
            yield bad(named(item), expected, "none", string.span, fault=Fault.MISSING)
    if passed:
        yield ok("strings", passed)
