"""Judges the fields of a kernel dump's main header that its writer does not use."""

from __future__ import annotations

from struct import pack
from typing import Final

from ...case import KernelCase
from ...entitlement.kernel_writers import E15063, engine_of
from ...model import Fault, Grade, Level, Source, Span
from ...readers.kernel_dump import FULL, HEADER, TRIAGE, is_fill
from ...rule import Checks, bad, kernel_rule, ok, own
from ..asserts import same, same_bytes
from .asserts import blank_area, blank_fields, header_of, truth_of
from .header_truth import own_amd64


@kernel_rule(
    "KHDR-FILL-001",
    "Unused fields of the header are zero or fill",
    Level.MUST,
    Source("docs/format/kernel-header.md#fill", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-header-fields.md#diagnostics-in-the-reserved-area", Grade.OBSERVED),
    needs=("header",),
    applies=own_amd64,
)
def nothing_else(case: KernelCase) -> Checks:
    """The unused fields are version text, states, unused and reserved bytes. Bytes other than zero and fill are leaked
    memory of the writer. Build 26100 stores a diagnostics block in its small dumps.
    """
    dump, header = case.dump, header_of(case.dump)
    names = ["VersionUser", "SecondaryDataState", "WriterStatus", "Unused1"]
    if dump.type != TRIAGE:
        names.append("MiniDumpFields")
    yield from blank_fields(header, "header", names)
    yield from blank_fields(header, "header", ("Unused",))
    windows = dump.type == TRIAGE and dump.build >= 26100
    area = header.span_of("_reserved0")
    if windows and dump.source.read(area.start, 4) == pack("<I", 0x298):
        yield from _diagnostics(case, area)
    else:
        yield from blank_area(dump, "header, _reserved0", area)


_LEFT: Final = ("VersionUser", "SecondaryDataState", "Unused1", "PagingLevels", "Unused", "Attributes", "_reserved0")
_LIVE: Final = 0x10
"""LiveDumpGeneratedDump (docs/format/kernel-header-fields.md#attributes)."""
_PADDING: Final = ("_padding03C", "_padding344", "_paddingF9C")


@kernel_rule(
    "KHDR-FILL-002",
    "Fields that an engine never stores keep the fill",
    Level.MUST,
    Source("docs/format/kernel-header.md#fill", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("header", "context"),
    applies=lambda case: own_amd64(case) and engine_of(case.request) is not None,
)
def left_as_fill(case: KernelCase) -> Checks:
    """The rule applies under the contract of an engine. Its header begins as fill; fields that it does not know stay
    so. It stores 0 in WriterStatus, and zeros after the CONTEXT. In a small dump 15063 may store bit 4 of Attributes.
    """
    dump, header = case.dump, header_of(case.dump)
    names = [*_LEFT, *_PADDING]
    if dump.type == TRIAGE and engine_of(case.request) is E15063 and header["Attributes"] == _LIVE:
        names.remove("Attributes")
    if dump.type != TRIAGE:
        names.append("MiniDumpFields")
    if dump.type != FULL:
        names.append("PhysicalMemoryBlock")
    if case.request is not None and not case.request.comment:
        names.append("Comment")
    for name in names:
        if is_fill(header, name):
            yield ok(f"header, {name}")
        else:
            shown = header.raw(name)[:8].hex()
            yield bad(f"header, {name}", "fill, which the engine leaves", shown, header.span_of(name))
    yield from same(header, "header", {"WriterStatus": 0})
    assert dump.context is not None
    rest = Span(dump.context.span.end, header.span_of("ContextRecord").end)
    yield from blank_area(dump, "context record, rest of the field", rest, only_zero=True)


def _diagnostics(case: KernelCase, area: Span) -> Checks:
    """The block that build 26100 stores (docs/format/kernel-header-fields.md#diagnostics-in-the-reserved-area)."""
    dump = case.dump
    build = f"{truth_of(case).system.build_number}\0".encode("utf-16-le")
    expected = pack("<II", 0x298, 0x298) + bytes(0x190) + b"Dump completed successfully.".ljust(0x100, b"\0") + build
    span = Span(area.start, area.start + len(expected))
    yield from same_bytes("header, diagnostics", expected, dump.source.read(span.start, len(expected)), span)
    yield from blank_area(dump, "header, diagnostics, padding", Span(span.end, 0x1300))
    update = Span(0x1300, 0x1304)
    dump.dont_care(update, "update build revision: the truth does not hold it")
    version = Span(0x1304, 0x130C)
    yield from same_bytes("header, diagnostics, version", pack("<II", 10, 0), dump.source.read(0x1304, 8), version)
    yield from blank_area(dump, "header, _reserved0", Span(0x130C, area.end))


@kernel_rule(
    "KHDR-ALONE-001",
    "A dump of type 3 is the main header alone",
    Level.MUST,
    Source("docs/format/kernel-kinds.md#header-without-memory", Grade.INFERRED),
    needs=("header",),
    applies=lambda case: own(case) and case.dump.type == HEADER,
)
def header_alone(case: KernelCase) -> Checks:
    """A dump of type 3 holds the bug check, registers and addresses. It holds no pages and no data of callbacks."""
    size, extra = case.dump.header_size, case.dump.source.size
    if extra == size:
        yield ok("file")
    else:
        yield bad("file", f"{size:#x} bytes", f"{extra:#x}", Span(size, extra), fault=Fault.FORBIDDEN)
