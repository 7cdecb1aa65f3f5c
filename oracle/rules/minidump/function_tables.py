"""Judges the stream of dynamic function tables (docs/format/minidump-function-tables.md)."""

from __future__ import annotations

from typing import Final

from ...case import Case
from ...model import Grade, Level, Source, Span
from ...rule import Checks, bad, ok, rule

_ALIGNMENT: Final = 8
_PADDING_PER_TABLE: Final = 8


@rule(
    "MDMP-FUNCTIONTABLE-001",
    "The function tables fill their stream",
    Level.MUST,
    Source("docs/format/minidump-function-tables.md#size-of-the-function-table-stream", Grade.OBSERVED),
    needs=("stream.13",),
    reports=("function-tables",),
)
def function_tables(case: Case) -> Checks:
    """The header declares sizes 24 and 32. Each table has a descriptor, the system's own descriptor, the entries and
    padding. Only zeros follow the last table, and MDMP-FUNCTIONTABLE-003 counts them. A debugger needs the tables to
    walk a stack with generated code.
    """
    if "function_tables" in case.dump.facts:
        yield ok("function tables", max(1, len(case.dump.function_tables)))


@rule(
    "MDMP-FUNCTIONTABLE-002",
    "Descriptors and entries of function tables are aligned to 8 bytes, and padding is zero",
    Level.MUST,
    Source("docs/format/minidump-function-tables.md#alignment-of-function-tables", Grade.DOCUMENTED),
    needs=("function_tables",),
    foreign_level=Level.SHOULD,
)
def aligned_tables(case: Case) -> Checks:
    """A debugger that maps the file uses the entries in place. Padding follows the header and each odd number of
    entries, after the last table too.
    """
    dump, head = case.dump, case.dump.headers[13]
    pads = [("header", Span(head.span.end, head.span.end + head["SizeOfAlignPad"]))]
    for table in dump.function_tables:
        pads.append((table.record.path, table.pad))
        for what, start in (("descriptor", table.record.span.start), ("entries", table.entries.start)):
            if start % _ALIGNMENT == 0:
                yield ok(f"{table.record.path}, {what}")
            else:
                expected = f"a file offset that is a multiple of {_ALIGNMENT}"
                yield bad(f"{table.record.path}, {what}", expected, f"{start:#x}", Span(start, start + 1))
    for subject, pad in pads:
        if any(dump.source.view(pad.start, len(pad))) or len(pad) >= _ALIGNMENT:
            actual = dump.source.read(pad.start, min(len(pad), 16)).hex()
            yield bad(f"padding after {subject}", f"fewer than {_ALIGNMENT} bytes, all zero", actual, pad)
        elif pad.end % _ALIGNMENT:
            expected = f"an end at a multiple of {_ALIGNMENT}"
            yield bad(f"padding after {subject}", expected, f"{len(pad)} bytes to {pad.end:#x}", pad)
        else:
            yield ok(f"padding after {subject}")


@rule(
    "MDMP-FUNCTIONTABLE-003",
    "The function table stream reserves 8 bytes of padding for each table",
    Level.MUST,
    Source("docs/format/minidump-function-tables.md#size-of-the-function-table-stream", Grade.OBSERVED),
    needs=("function_tables",),
    foreign_level=Level.SHOULD,
)
def padded_tables(case: Case) -> Checks:
    """The writer reserves 8 bytes per table for padding. The bytes that it does not need are zeros at the end of the
    stream.
    """
    head, stream = case.dump.headers[13], case.dump.streams[13]
    tables = case.dump.function_tables
    each = head["SizeOfDescriptor"] + head["SizeOfNativeDescriptor"] + _PADDING_PER_TABLE
    entries = sum(table.record["EntryCount"] for table in tables)
    expected = head["SizeOfHeader"] + len(tables) * each + entries * head["SizeOfFunctionEntry"]
    if stream.size == expected:
        yield ok(stream.name)
    else:
        span = stream.record.span_of("Location.DataSize")
        yield bad(stream.name, f"DataSize {expected} for {len(tables)} tables", f"DataSize {stream.size}", span)
