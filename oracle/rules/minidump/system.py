"""SystemInfo, MiscInfo, SystemMemoryInfo, ProcessVmCounters and the comment, each by itself."""

from __future__ import annotations

from typing import Final

from ...case import Case
from ...decode import enumeration, structure
from ...model import Grade, Level, Source
from ...rule import Checks, bad, ok, rule

_MISC_FIELDS: Final = {
    "MINIDUMP_MISC1_PROCESS_ID": "ProcessId",
    "MINIDUMP_MISC1_PROCESS_TIMES": "ProcessKernelTime",
    "MINIDUMP_MISC1_PROCESSOR_POWER_INFO": "ProcessorCurrentIdleState",
    "MINIDUMP_MISC3_PROCESS_INTEGRITY": "ProcessIntegrityLevel",
    "MINIDUMP_MISC3_PROCESS_EXECUTE_FLAGS": "ProcessExecuteFlags",
    "MINIDUMP_MISC3_TIMEZONE": "TimeZone.DaylightBias",
    "MINIDUMP_MISC3_PROTECTED_PROCESS": "ProtectedProcess",
    "MINIDUMP_MISC4_BUILDSTRING": "DbgBldStr",
    "MINIDUMP_MISC5_PROCESS_COOKIE": "ProcessCookie",
}
"""Flags1 bit -> the last field that it makes valid. Source: minidumpapiset.h; spec user-mode 3.10."""

_MISC_SIZES: Final = tuple(
    structure(name).size for name in ("MINIDUMP_MISC_INFO", *(f"MINIDUMP_MISC_INFO_{n}" for n in range(2, 6)))
)


@rule(
    "MDMP-SYSTEM-001",
    "SystemInfo has 56 bytes",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_SYSTEM_INFO; spec user-mode 3.4, 4 V33", Grade.DOCUMENTED),
    needs=("stream.7",),
    reports=("system.size",),
)
def system_size(case: Case) -> Checks:
    """Breakpad wants exactly this size. Without SystemInfo no context can be decoded."""
    if case.dump.system_info is not None:
        yield ok("stream 7")


@rule(
    "MDMP-SYSTEM-002",
    "CSDVersionRva names a string",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_SYSTEM_INFO, MINIDUMP_STRING; spec user-mode 4 V33", Grade.DOCUMENTED),
    needs=("system_info",),
    reports=("system.csd",),
)
def csd_version(case: Case) -> Checks:
    """The service pack, or an empty string; the RVA is never 0 in real files."""
    if case.dump.csd_version is not None:
        yield ok("CSDVersion")


@rule(
    "MDMP-MISC-001",
    "MiscInfo's SizeOfInfo is the size of its stream",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_MISC_INFO; spec user-mode 3.10, 4 V34", Grade.DOCUMENTED),
    needs=("stream.15",),
    reports=("misc.size",),
)
def misc_size(case: Case) -> Checks:
    """The structure grew four times, and SizeOfInfo tells which fields are there; Breakpad refuses a stream of
    another size.
    """
    if case.dump.misc_info is not None:
        yield ok("stream 15")


@rule(
    "MDMP-MISC-002",
    "MiscInfo has the size of one of its five versions",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_MISC_INFO to _5; spec user-mode 3.10, 4 V34", Grade.DOCUMENTED),
    needs=("misc_info",),
    foreign_level=Level.SHOULD,
)
def misc_version(case: Case) -> Checks:
    """24, 44, 232, 832 or 1364 bytes. One writer makes it 1368; readers ignore such a tail."""
    assert case.dump.misc_info is not None
    size = case.dump.misc_info["SizeOfInfo"]
    if size in _MISC_SIZES:
        yield ok("stream 15")
    else:
        span = case.dump.misc_info.span_of("SizeOfInfo")
        yield bad("stream 15", tuple(str(known) for known in _MISC_SIZES), str(size), span)


@rule(
    "MDMP-MISC-003",
    "MiscInfo's Flags1 has known bits, of fields that are there",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_MISC1_* to MINIDUMP_MISC5_*; spec user-mode 3.10", Grade.DOCUMENTED),
    needs=("misc_info",),
    foreign_level=Level.SHOULD,
)
def misc_flags(case: Case) -> Checks:
    """A field counts only when its bit is set and it lies inside SizeOfInfo. A bit for a field behind the end makes a
    reader take other bytes for it."""
    record = case.dump.misc_info
    assert record is not None
    flags, size = record["Flags1"], record["SizeOfInfo"]
    bits = enumeration("MISC1_FLAGS")
    span = record.span_of("Flags1")
    if flags & ~bits.mask:
        yield bad("Flags1", f"bits of {bits.mask:#x}", f"{flags & ~bits.mask:#x} besides", span)
    for name, last in _MISC_FIELDS.items():
        if not flags & bits[name]:
            continue
        field = record.structure.fields[last]
        if field.offset + field.width <= size:
            yield ok(name)
        else:
            yield bad(name, f"SizeOfInfo of {field.offset + field.width} or more", str(size), span)


@rule(
    "MDMP-SYSTEMMEMORY-001",
    "SystemMemoryInfo has 492 or 524 bytes and revision 1",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_SYSTEM_MEMORY_INFO_1, _2; spec user-mode 3.13: 17 of 17 files", Grade.DOCUMENTED),
    needs=("stream.21",),
    reports=("system-memory.size",),
)
def system_memory_size(case: Case) -> Checks:
    """The first word is the revision of the layout that follows."""
    record = case.dump.system_memory_info
    if record is None:
        return
    if record["Revision"] == 1:
        yield ok("stream 21")
    else:
        yield bad("stream 21", "Revision 1", f"Revision {record['Revision']}", record.span_of("Revision"))


@rule(
    "MDMP-VMCOUNTERS-001",
    "ProcessVmCounters has the size of its revision",
    Level.MUST,
    Source(
        "minidumpapiset.h MINIDUMP_PROCESS_VM_COUNTERS_1, _2; spec user-mode 3.13: 17 of 17 files", Grade.DOCUMENTED
    ),
    needs=("stream.22",),
    reports=("vm-counters.size",),
)
def vm_counters_size(case: Case) -> Checks:
    """Revision 1 has 80 bytes, revision 2 has 152; their fields differ from offset 0x48 on."""
    record = case.dump.vm_counters
    if record is None:
        return
    expected = {80: 1, 152: 2}[record.structure.size]
    if record["Revision"] == expected:
        yield ok("stream 22")
    else:
        actual = f"Revision {record['Revision']}"
        yield bad(
            "stream 22", f"Revision {expected} in {record.structure.size} bytes", actual, record.span_of("Revision")
        )


@rule(
    "MDMP-COMMENT-001",
    "The comment is text with one NUL, at its end",
    Level.MUST,
    Source("minidumpapiset.h CommentStreamA, CommentStreamW; spec user-mode 3.2, 4 V46", Grade.DOCUMENTED),
    needs=("comment",),
)
def comment_text(case: Case) -> Checks:
    """The stream is the bare text, without a length. A debugger prints it when it opens the dump, up to the NUL."""
    comment = case.dump.comment
    assert comment is not None
    if comment.text is not None:
        yield ok(comment.stream.name)
    else:
        size = f"{comment.stream.size} bytes that are not"
        yield bad(comment.stream.name, "text whose only NUL is the last character", size, comment.stream.span)
