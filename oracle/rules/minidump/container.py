"""Header, directory, and whose bytes are whose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...case import Case
from ...decode import enumeration
from ...model import Fault, Grade, Level, Source
from ...readers.facts import StringFact
from ...rule import Checks, bad, ok, rule
from ..overlaps import overlaps

_VERSION: Final = 0xA793
"""MINIDUMP_VERSION (42899), minidumpapiset.h."""

_RESERVED: Final = frozenset(
    number
    for name, number in enumeration("MINIDUMP_STREAM_TYPE").members.items()
    if name.startswith(("Reserved", "ceStream", "LastReserved", "ThreadEx"))
)


@rule(
    "MDMP-HEADER-001",
    "The file holds a whole header",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_HEADER; spec user-mode 4 V01", Grade.DOCUMENTED),
    reports=("header.size",),
)
def whole_header(case: Case) -> Checks:
    """A minidump begins with 32 bytes of header. A file cut inside it has the signature and nothing a reader can
    use.
    """
    if case.dump.header is not None:
        yield ok("header")


@rule(
    "MDMP-HEADER-002",
    "The low word of Version is 0xA793",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_VERSION; spec user-mode 3.1", Grade.DOCUMENTED),
    needs=("header",),
)
def version(case: Case) -> Checks:
    """Readers compare the low word and refuse the file otherwise. The high word is private to the writing library."""
    header = case.dump.header
    assert header is not None
    low = header["Version"] & 0xFFFF
    if low == _VERSION:
        yield ok("header")
    else:
        yield bad("header", f"{_VERSION:#x} in the low word", f"{low:#x}", header.span_of("Version"))


@rule(
    "MDMP-HEADER-003",
    "CheckSum is 0",
    Level.MUST,
    Source("spec user-mode 3.1, 4 V05: 0 in 90 of 90 files", Grade.OBSERVED),
    needs=("header",),
    foreign_level=Level.SHOULD,
)
def checksum(case: Case) -> Checks:
    """The field may be 0, always is, and nobody documents how to compute another value."""
    header = case.dump.header
    assert header is not None
    if header["CheckSum"] == 0:
        yield ok("header")
    else:
        yield bad("header", "0", f"{header['CheckSum']:#x}", header.span_of("CheckSum"))


@rule(
    "MDMP-HEADER-004",
    "Flags has only bits of MINIDUMP_TYPE",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_TYPE; spec user-mode 2.1, 4 V06", Grade.INFERRED),
    needs=("header",),
)
def known_flags(case: Case) -> Checks:
    """Flags says what the dump holds. A bit without a meaning cannot; the upper 32 bits have none, and one public
    reader takes them for the lower ones and refuses the file.
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
    "The directory has an entry and lies inside the file",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_HEADER; spec user-mode 4 V02", Grade.DOCUMENTED),
    Source("llvm/lib/Object/Minidump.cpp; google/breakpad src/processor/minidump.cc", Grade.IMPLEMENTED),
    needs=("header",),
    reports=("directory.bounds",),
)
def directory_inside(case: Case) -> Checks:
    """Everything is found through the directory. Readers that trust the count read past the end of the file."""
    if "directory" in case.dump.facts:
        yield ok("directory")


@rule(
    "MDMP-DIR-002",
    "An unused directory entry has size 0 and RVA 0",
    Level.MUST,
    Source("minidumpapiset.h UnusedStream; spec user-mode 3.2, 4 V03", Grade.OBSERVED),
    reports=("directory.unused",),
)
def unused_entries(case: Case) -> Checks:
    """Type 0 fills slots that the writer reserved and did not need. Bytes behind such an entry are out of every
    reader's sight: a stream that lost its type.
    """
    faults = case.dump.defects_of("directory.unused")
    count = sum(entry["StreamType"] == 0 for entry in case.dump.directory) - faults
    if count:
        yield ok("unused entries", count)


@rule(
    "MDMP-DIR-003",
    "Every stream lies inside the file and below 4 GiB",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_LOCATION_DESCRIPTOR; spec user-mode 4 V03, V49", Grade.DOCUMENTED),
    reports=("directory.stream-bounds",),
)
def streams_inside(case: Case) -> Checks:
    """A stream that ends behind the file was cut off, or its location is wrong. Some readers reject the whole file
    for it, whatever the stream's type.
    """
    if case.dump.streams:
        yield ok("streams", len(case.dump.streams))


@rule(
    "MDMP-DIR-004",
    "No stream type occurs twice",
    Level.MUST,
    Source("google/breakpad src/processor/minidump.cc; 0vercl0k/udmp-parser udmp-parser.h; spec user-mode 4 V04",
           Grade.IMPLEMENTED),
    reports=("directory.duplicate",),
)  # fmt: skip
def unique_streams(case: Case) -> Checks:
    """With two streams of a type, which one counts depends on the reader: some take the first, some refuse the
    file.
    """
    if case.dump.streams:
        yield ok("streams", len(case.dump.streams))


@rule(
    "MDMP-DIR-005",
    "No reserved or Windows CE stream type is used",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_STREAM_TYPE: reserved, do not use; spec user-mode 3.2, 4 V48", Grade.DOCUMENTED),
    needs=("directory",),
)
def reserved_streams(case: Case) -> Checks:
    """Types 1, 2 and 0xFFFF are reserved, 8 needs a backing store, 0x8000 to 0x800C belong to Windows CE dumps.
    Unknown types of other writers are legal.
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
    "There is a SystemInfo stream",
    Level.MUST,
    Source("microsoft/WinDbg-Feedback issue 325; spec user-mode 1.9, 2.3: 90 of 90 files", Grade.OBSERVED),
    needs=("directory",),
)
def system_info_present(case: Case) -> Checks:
    """Without SystemInfo no reader knows the architecture: WinDbg refuses with "Minidump does not have system
    info".
    """
    wanted = enumeration("MINIDUMP_STREAM_TYPE")["SystemInfoStream"]
    if any(entry["StreamType"] == wanted for entry in case.dump.directory):
        yield ok("stream 7")
    else:
        yield bad("stream 7 (SystemInfoStream)", "one directory entry", "none", fault=Fault.MISSING)


@rule(
    "MDMP-LAYOUT-001",
    "No two things of the file want the same bytes",
    Level.MUST,
    Source("spec user-mode 4 V17: 90 of 90 files", Grade.OBSERVED),
    needs=("accounting",),
)
def no_overlap(case: Case) -> Checks:
    """Header, directory, streams, strings, contexts, CodeView records and memory each have bytes of their own; only
    equal strings and records may be stored once and cited twice. Where two overlap, one of them is wrong."""
    yield from overlaps(case.dump.accounting)


@rule(
    "MDMP-LAYOUT-002",
    "Every byte of the file belongs to something",
    Level.MUST,
    Source("spec user-mode 3.2, 4 V18: gaps of up to 16 zero bytes in 44 of 44 Microsoft files", Grade.OBSERVED),
    needs=("accounting",),
    foreign_level=Level.SHOULD,
)
def no_gap(case: Case) -> Checks:
    """Bytes that nothing refers to are lost data, leaked data, or a reference that points elsewhere. Runs of up to 16
    zero bytes between two things are padding."""
    accounting = case.dump.accounting
    for gap in accounting.gaps:
        yield bad("gap", "at most 16 bytes, all zero, that nothing refers to", f"{len(gap)} bytes", gap,
                  fault=Fault.FORBIDDEN)  # fmt: skip
    hidden = accounting.gap_total - len(accounting.gaps)
    if hidden:
        yield bad("further gaps", "none", f"{hidden} more", fault=Fault.FORBIDDEN)
    yield ok("regions", max(1, accounting.regions))


@rule(
    "MDMP-LAYOUT-003",
    "The file names no more than the judge can examine",
    Level.MUST,
    Source("google/breakpad src/processor/minidump.cc and rust-minidump have ceilings of their own", Grade.IMPLEMENTED),
    reports=("ceiling",),
)
def within_ceiling(case: Case) -> Checks:
    """A file may name records and strings that overlap, and so ask for far more work than its size. What lies
    beyond the ceiling was not examined, so it cannot be called conformant. No known writer comes near.
    """
    if not case.dump.defects_of("ceiling"):
        yield ok("file")


def _strings(case: Case) -> Iterator[tuple[str, StringFact | None]]:
    """The strings of every list that can be relied on; of a list read from the wrong place they are anything."""
    dump = case.dump
    yield "CSDVersion", dump.csd_version
    if "modules" in dump.facts:
        for module in dump.modules:
            yield f"name of {module.record.path}", module.name
    if "unloaded_modules" in dump.facts:
        for unloaded in dump.unloaded_modules:
            yield f"name of {unloaded.record.path}", unloaded.name
    if "thread_names" in dump.facts:
        for thread in dump.thread_names:
            yield f"name of thread {thread.record['ThreadId']:#x}", thread.name
    if "handles" in dump.facts:
        for handle in dump.handles:
            yield f"type name of handle {handle.record['Handle']:#x}", handle.type_name
            yield f"object name of handle {handle.record['Handle']:#x}", handle.object_name


@rule(
    "MDMP-STRING-001",
    "Every string has a NUL behind it",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_STRING; spec user-mode 3.3: every Microsoft file", Grade.OBSERVED),
    foreign_level=Level.SHOULD,
)
def terminated_strings(case: Case) -> Checks:
    """Length does not count the NUL, but Windows writes one, and readers that map the file use the characters as they
    lie. Two other writers are known to omit it."""
    for subject, string in _strings(case):
        if string is None:
            continue
        if string.terminated:
            yield ok(subject)
        else:
            yield bad(subject, "a 16-bit NUL behind the characters", "none", string.span, fault=Fault.MISSING)
