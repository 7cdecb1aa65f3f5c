"""Judges SystemInfo, MiscInfo, SystemMemoryInfo, ProcessVmCounters and the comment, each stream by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...case import Case
from ...decode import Record, enumeration, structure
from ...model import Fault, Grade, Level, Source
from ...rule import Checks, bad, ok, rule
from ..asserts import of_a_dump

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
"""Flags1 bit -> the last field that it makes valid (docs/format/minidump-system.md#misc-info)."""

# Size of a stream -> its revision.
_SYSTEM_MEMORY: Final = {492: 1, 524: 2}
_VM_COUNTERS: Final = {80: 1, 152: 2}
_BLANK_LIMIT: Final = 4096
"""How many bytes of such a stream are searched for values. No revision has so many."""

_MISC_SIZES: Final = tuple(
    structure(name).size for name in ("MINIDUMP_MISC_INFO", *(f"MINIDUMP_MISC_INFO_{n}" for n in range(2, 6)))
)


@rule(
    "MDMP-SYSTEM-001",
    "SystemInfo has 56 bytes",
    Level.MUST,
    Source("docs/format/minidump-system.md#system-info", Grade.WITNESSED, versions=("29507",)),
    needs=("stream.7",),
    reports=("system.size",),
)
def system_size(case: Case) -> Checks:
    """Breakpad and the vendor's engine refuse another size. Without SystemInfo no reader can decode a context."""
    if case.dump.system_info is not None:
        yield ok("stream 7")


@rule(
    "MDMP-SYSTEM-002",
    "CSDVersionRva is 0 or refers to a string",
    Level.MUST,
    Source("docs/format/minidump-system.md#service-pack-string", Grade.DOCUMENTED),
    needs=("system_info",),
    reports=("system.csd",),
)
def csd_version(case: Case) -> Checks:
    """The string is the service pack, or empty."""
    if case.dump.csd_version is not None:
        yield ok("CSDVersion")


@rule(
    "MDMP-SYSTEM-003",
    "SystemInfo names a service pack",
    Level.MUST,
    Source("docs/format/minidump-system.md#service-pack-string", Grade.OBSERVED),
    needs=("system_info",),
    foreign_level=Level.SHOULD,
)
def csd_version_present(case: Case) -> Checks:
    """Without a service pack the string is empty, and the RVA is not 0. Some writers of their own store 0. The vendor's
    engine opens such a file; a reader that takes 0 for a place reads the header as a string.
    """
    assert case.dump.system_info is not None
    if case.dump.system_info["CSDVersionRva"]:
        yield ok("CSDVersion")
    else:
        span = case.dump.system_info.span_of("CSDVersionRva")
        yield bad("CSDVersion", "the RVA of a string", "0", span, fault=Fault.MISSING)


@rule(
    "MDMP-MISC-001",
    "SizeOfInfo of MiscInfo is the size of the stream",
    Level.MUST,
    Source("docs/format/minidump-system.md#size-of-misc-info", Grade.WITNESSED, versions=("29507",)),
    needs=("stream.15",),
    reports=("misc.size",),
)
def misc_size(case: Case) -> Checks:
    """The structure grew four times, and SizeOfInfo tells which fields exist. The vendor's engine drops a stream of
    another size.
    """
    if case.dump.misc_info is not None:
        yield ok("stream 15")


@rule(
    "MDMP-MISC-002",
    "MiscInfo has the size of one of its five versions",
    Level.MUST,
    Source("docs/format/minidump-system.md#size-of-misc-info", Grade.DOCUMENTED),
    needs=("misc_info",),
    foreign_level=Level.SHOULD,
)
def misc_version(case: Case) -> Checks:
    """The versions have 24, 44, 232, 832 and 1364 bytes. Breakpad on macOS writes 1368; readers ignore the last 4."""
    assert case.dump.misc_info is not None
    size = case.dump.misc_info["SizeOfInfo"]
    if size in _MISC_SIZES:
        yield ok("stream 15")
    else:
        span = case.dump.misc_info.span_of("SizeOfInfo")
        yield bad("stream 15", tuple(str(known) for known in _MISC_SIZES), str(size), span)


@rule(
    "MDMP-MISC-003",
    "Flags1 of MiscInfo has only bits of fields that lie inside SizeOfInfo",
    Level.MUST,
    Source("docs/format/minidump-system.md#flags-of-misc-info", Grade.DOCUMENTED),
    needs=("misc_info",),
    foreign_level=Level.SHOULD,
)
def misc_flags(case: Case) -> Checks:
    """A field is valid only if its bit is set and it lies inside SizeOfInfo. If the bit of a field past the end is set,
    a reader reads other bytes as the field.
    """
    record = case.dump.misc_info
    assert record is not None
    flags, size = record["Flags1"], record["SizeOfInfo"]
    bits = enumeration("MISC1_FLAGS")
    span = record.span_of("Flags1")
    if flags & ~bits.mask:
        yield bad("Flags1", f"only bits of {bits.mask:#x}", f"also {flags & ~bits.mask:#x}", span)
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
    "SystemMemoryInfo has the size of its revision, or is all zero",
    Level.MUST,
    Source("docs/format/minidump-system.md#system-memory-info", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("stream.21",),
    reports=("system-memory.size",),
)
def system_memory_size(case: Case) -> Checks:
    """Revision 1 has 492 bytes, revision 2 has 524. A later revision has more. The vendor's engine stores nothing but
    zeros if its target is a dump.
    """
    if case.dump.system_memory_info is not None:
        yield from _revision(case, 21, case.dump.system_memory_info, _SYSTEM_MEMORY)


def _revision(case: Case, number: int, record: Record, sizes: Mapping[int, int]) -> Checks:
    """Check that a stream has the size of its revision (``sizes``), a newer revision and more bytes, or only zeros."""
    stream, revision, subject = case.dump.streams[number], record["Revision"], f"stream {number}"
    newer = stream.size > max(sizes) and revision > max(sizes.values())
    if newer or sizes.get(stream.size) == revision or is_blank(case, number):
        yield ok(subject)
        return
    expected = f"Revision {sizes[stream.size]}" if stream.size in sizes else f"a revision above {max(sizes.values())}"
    wanted = (f"{expected} in {stream.size} bytes", "only zeros")
    yield bad(subject, wanted, f"Revision {revision}", record.span_of("Revision"))


def is_blank(case: Case, number: int) -> bool:
    """Whether the bytes of a stream are all zero."""
    stream = case.dump.streams[number]
    return not any(case.dump.source.view(stream.rva, min(stream.size, _BLANK_LIMIT)))


@rule(
    "MDMP-SYSTEMMEMORY-002",
    "SystemMemoryInfo holds values",
    Level.SHOULD,
    Source("docs/format/minidump-system.md#system-memory-info", Grade.OBSERVED),
    needs=("system_memory_info",),
    applies=lambda case: not of_a_dump(case),
)
def system_memory_filled(case: Case) -> Checks:
    """A stream of zeros tells nothing. It is sound: the vendor's engine writes it if its target is a dump. All 17 real
    files have values.
    """
    if is_blank(case, 21):
        yield bad("stream 21", "values", "only zeros", case.dump.streams[21].span, fault=Fault.MISSING)
    else:
        yield ok("stream 21")


@rule(
    "MDMP-VMCOUNTERS-001",
    "ProcessVmCounters has the size of its revision, or is all zero",
    Level.MUST,
    Source("docs/format/minidump-system.md#process-memory-counters", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("stream.22",),
    reports=("vm-counters.size",),
)
def vm_counters_size(case: Case) -> Checks:
    """Revision 1 has 80 bytes, revision 2 has 152. Their fields differ from offset 0x48 on. A later revision has more
    bytes. The vendor's engine stores nothing but zeros if its target is a dump.
    """
    if case.dump.vm_counters is not None:
        yield from _revision(case, 22, case.dump.vm_counters, _VM_COUNTERS)


@rule(
    "MDMP-VMCOUNTERS-002",
    "ProcessVmCounters holds values",
    Level.SHOULD,
    Source("docs/format/minidump-system.md#process-memory-counters", Grade.OBSERVED),
    needs=("vm_counters",),
    applies=lambda case: not of_a_dump(case),
)
def vm_counters_filled(case: Case) -> Checks:
    """A stream of zeros tells nothing. It is sound: the vendor's engine writes it if its target is a dump. All 17 real
    files have values.
    """
    if is_blank(case, 22):
        yield bad("stream 22", "values", "only zeros", case.dump.streams[22].span, fault=Fault.MISSING)
    else:
        yield ok("stream 22")


@rule(
    "MDMP-COMMENT-001",
    "The comment is one text whose only NUL is at the end",
    Level.MUST,
    Source("docs/format/minidump-user-streams.md#comment-streams", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("comment",),
    foreign_level=Level.SHOULD,
)
def comment_text(case: Case) -> Checks:
    """The stream is the text alone, without a length. A debugger prints it up to the NUL when it opens the dump."""
    comment = case.dump.comment
    assert comment is not None
    if comment.text is not None:
        yield ok(comment.stream.name)
    else:
        actual = f"{comment.stream.size} bytes of another form"
        yield bad(comment.stream.name, "text whose only NUL is the last character", actual, comment.stream.span)
