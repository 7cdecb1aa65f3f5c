"""Legacy full user dumps: header and counts, and whose bytes are whose. Judged without truth.

The 64-bit structures are published; what is in them is inferred, and so are the 32-bit ones (spec user-mode 2.6).
"""

from __future__ import annotations

from typing import Final

from ...case import UserdumpCase
from ...model import Fault, Grade, Level, Source
from ...rule import Checks, bad, ok, userdump_rule
from ..overlaps import overlaps

LAYOUT: Final = Source("Singularity RDK base/Windows/Inc/Dump.h, 64-bit; spec user-mode 2.6", Grade.DOCUMENTED)
MEANING: Final = Source("spec user-mode 2.6", Grade.INFERRED)


@userdump_rule("UDMP-HEADER-001", "The file holds a whole header", Level.MUST, LAYOUT, reports=("userdump.header",))
def whole_header(case: UserdumpCase) -> Checks:
    """64 bytes for a 32-bit target, 96 for a 64-bit one. Everything is found through it."""
    if case.dump.header is not None:
        yield ok("header")


@userdump_rule(
    "UDMP-HEADER-002",
    "The machine is one whose pointers have the width that ValidDump says",
    Level.MUST,
    LAYOUT,
    needs=("header",),
    reports=("userdump.machine",),
)
def machine(case: UserdumpCase) -> Checks:
    """'DUMP' is a dump of a 32-bit target, 'DU64' of a 64-bit one: the width of every offset and address. The machine
    tells how long a CONTEXT is: nothing else in the file does.
    """
    if (architecture := case.dump.architecture) is not None:
        yield ok(f"header, MachineImageType: {architecture}")


@userdump_rule("UDMP-HEADER-003", "Spare1 is 0", Level.MUST, MEANING, needs=("header",), foreign_level=Level.SHOULD)
def spare(case: UserdumpCase) -> Checks:
    """No reader knows a use for it."""
    header = case.dump.header
    assert header is not None
    if header["Spare1"]:
        yield bad("header, Spare1", "0", f"{header['Spare1']:#x}", header.span_of("Spare1"))
    else:
        yield ok("header, Spare1")


@userdump_rule(
    "UDMP-VERSION-001",
    "The version information lies in the file",
    Level.MUST,
    LAYOUT,
    needs=("header",),
    reports=("userdump.version_info",),
)
def version_inside(case: UserdumpCase) -> Checks:
    """Offset 0 is a dump without any; the older ones have none."""
    if case.dump.version_info is not None:
        yield ok("version information")


@userdump_rule(
    "UDMP-VERSION-002",
    "The version information is a truth value and the width of a pointer",
    Level.MUST,
    LAYOUT,
    needs=("version_info",),
    applies=lambda case: case.dump.version_info is not None,
)
def version_values(case: UserdumpCase) -> Checks:
    """IgnoreGuardPages is 0 or 1. PointerSize is in bits, 32 or 64, and has to be that of ValidDump: a reader that
    believes it would take every address apart wrongly.
    """
    record = case.dump.version_info
    assert record is not None
    for name, values in (("IgnoreGuardPages", (0, 1)), ("PointerSize", (case.dump.bits,))):
        if record[name] in values:
            yield ok(f"version information, {name}")
        else:
            expected = tuple(str(value) for value in values)
            yield bad(f"version information, {name}", expected, str(record[name]), record.span_of(name))


@userdump_rule(
    "UDMP-LAYOUT-001",
    "No two things of the file want the same bytes",
    Level.MUST,
    MEANING,
    needs=("accounting",),
)
def no_overlap(case: UserdumpCase) -> Checks:
    """Header, records, contexts, names and memory have bytes of their own. Where two overlap, one of them is wrong."""
    yield from overlaps(case.dump.accounting)


@userdump_rule(
    "UDMP-LAYOUT-002",
    "Every byte of the file belongs to something",
    Level.MUST,
    MEANING,
    needs=("accounting",),
    foreign_level=Level.SHOULD,
)
def no_gap(case: UserdumpCase) -> Checks:
    """Bytes that nothing refers to are lost data, leaked data, or a count or an offset that is wrong. Runs of up to 16
    zero bytes are padding.
    """
    accounting = case.dump.accounting
    for gap in accounting.gaps:
        yield bad("gap", "at most 16 bytes, all zero, that nothing refers to", f"{len(gap)} bytes", gap,
                  fault=Fault.FORBIDDEN)  # fmt: skip
    hidden = accounting.gap_total - len(accounting.gaps)
    if hidden:
        yield bad("further gaps", "none", f"{hidden} more", fault=Fault.FORBIDDEN)
    yield ok("regions", max(1, accounting.regions))


@userdump_rule(
    "UDMP-CEILING-001",
    "The file names no more than the judge can examine",
    Level.MUST,
    Source("google/breakpad src/processor/minidump.cc and rust-minidump have ceilings of their own", Grade.IMPLEMENTED),
    reports=("userdump.ceiling",),
)
def within_ceiling(case: UserdumpCase) -> Checks:
    """Records may share bytes, so that a small file asks for much work. What lies beyond the ceiling was not examined,
    so it cannot be called conformant.
    """
    if not case.dump.defects_of("userdump.ceiling"):
        yield ok("file")
