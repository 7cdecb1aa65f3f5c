"""Judges header and layout of a full user dump by themselves (docs/format/user-dump.md#header).

The 64-bit structures are published, the 32-bit ones inferred. Real files are known from engine 15063 only.
"""

from __future__ import annotations

from ...case import UserdumpCase
from ...model import Fault, Grade, Level, Source
from ...rule import Checks, bad, ok, userdump_rule
from ..asserts import overlaps


@userdump_rule(
    "UDMP-HEADER-001",
    "The file holds the whole header",
    Level.MUST,
    Source("docs/format/user-dump.md#how-the-engine-reads-it", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/user-dump.md#header", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/user-dump.md#header", Grade.DOCUMENTED),
    reports=("userdump.header",),
)
def whole_header(case: UserdumpCase) -> Checks:
    """The header has 64 bytes for a 32-bit target, 96 for a 64-bit one. Readers find everything else through it."""
    if case.dump.header is not None:
        yield ok("header")


@userdump_rule(
    "UDMP-HEADER-002",
    "MachineImageType is a machine with the pointer width of ValidDump",
    Level.MUST,
    Source("docs/format/user-dump.md#header", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/user-dump.md#header", Grade.DOCUMENTED),
    needs=("header",),
    reports=("userdump.machine",),
)
def machine(case: UserdumpCase) -> Checks:
    """ValidDump 'DUMP' marks a 32-bit target, 'DU64' a 64-bit one: the width of every offset and address. The size of a
    CONTEXT follows from the machine alone.
    """
    if (architecture := case.dump.architecture) is not None:
        yield ok(f"header, MachineImageType: {architecture}")


@userdump_rule(
    "UDMP-HEADER-003",
    "Spare1 is 0",
    Level.MUST,
    Source("docs/format/user-dump.md#header", Grade.WITNESSED, versions=("15063",)),
    needs=("header",),
    foreign_level=Level.SHOULD,
)
def spare(case: UserdumpCase) -> Checks:
    """No reader uses the field."""
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
    Source("docs/format/user-dump.md#version-information", Grade.DOCUMENTED),
    needs=("header",),
    reports=("userdump.version_info",),
)
def version_inside(case: UserdumpCase) -> Checks:
    """The version information is a record or a list of texts. VersionInfoOffset 0 means that the dump has none, like
    older dumps.
    """
    if case.dump.version_info is not None or case.dump.version_texts is not None:
        yield ok("version information")


@userdump_rule(
    "UDMP-VERSION-002",
    "IgnoreGuardPages is 0 or 1, and PointerSize is the width of ValidDump",
    Level.MUST,
    Source("docs/format/user-dump.md#version-information", Grade.DOCUMENTED),
    needs=("version_info",),
    applies=lambda case: case.dump.version_info is not None,
    foreign_level=Level.SHOULD,
)
def version_values(case: UserdumpCase) -> Checks:
    """PointerSize counts bits: 32 or 64. A reader that uses it would decode addresses with the wrong width."""
    record = case.dump.version_info
    assert record is not None
    for name, values in (("IgnoreGuardPages", (0, 1)), ("PointerSize", (case.dump.bits,))):
        if record[name] in values:
            yield ok(f"version information, {name}")
        else:
            expected = tuple(str(value) for value in values)
            yield bad(f"version information, {name}", expected, str(record[name]), record.span_of(name))


@userdump_rule(
    "UDMP-VERSION-003",
    "The texts of the version information are names and values in turn",
    Level.SHOULD,
    Source("docs/format/user-dump.md#version-information", Grade.WITNESSED, versions=("15063",)),
    needs=("version_info",),
    applies=lambda case: case.dump.version_texts is not None,
)
def version_texts(case: UserdumpCase) -> Checks:
    """Engine 15063 writes the name ``CRASH: OS SP`` with the service pack and ``CRASH: Hotfixes`` with ``none``. A name
    without a value shifts all the following texts.
    """
    texts = case.dump.version_texts or ()
    assert case.dump.header is not None
    span = case.dump.header.span_of("VersionInfoOffset")
    if len(texts) % 2:
        yield bad("version information", "a value for each name", f"{len(texts)} texts", span, fault=Fault.MISSING)
    else:
        yield ok("version information", max(1, len(texts) // 2))


@userdump_rule(
    "UDMP-LAYOUT-001",
    "No two structures overlap",
    Level.MUST,
    Source("docs/format/user-dump.md#order-of-the-file", Grade.INFERRED),
    needs=("accounting",),
)
def no_overlap(case: UserdumpCase) -> Checks:
    """The structures are header, records, contexts, names and memory. If two overlap, one of them is wrong."""
    yield from overlaps(case.dump.accounting)


@userdump_rule(
    "UDMP-LAYOUT-002",
    "Every byte of the file belongs to a structure",
    Level.MUST,
    Source("docs/format/user-dump.md#order-of-the-file", Grade.WITNESSED, versions=("15063",)),
    needs=("accounting",),
    foreign_level=Level.SHOULD,
)
def no_gap(case: UserdumpCase) -> Checks:
    """Bytes that nothing refers to are lost or leaked data, or a count or an offset is wrong. Up to 16 zero bytes in a
    row count as padding.
    """
    accounting = case.dump.accounting
    for gap in accounting.gaps:
        yield bad("gap", "bytes of a structure, or up to 16 zero bytes", f"{len(gap)} bytes", gap,
                  fault=Fault.FORBIDDEN)  # fmt: skip
    hidden = accounting.gap_total - len(accounting.gaps)
    if hidden:
        yield bad("further gaps", "none", f"{hidden} more", fault=Fault.FORBIDDEN)
    yield ok("regions", max(1, accounting.regions))
