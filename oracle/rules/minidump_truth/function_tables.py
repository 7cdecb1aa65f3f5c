"""Judges function tables, handle operations and the caller's streams against truth and request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

from ...case import Case
from ...decode import Record
from ...model import Fault, Grade, Level, Source, Span
from ...readers.container import stream_name
from ...readers.facts import FunctionTableFact
from ...rule import Checks, bad, ok, rule
from ..asserts import asked, one_of, same, same_bytes, stream_span, zero

if TYPE_CHECKING:
    from ...truth.objects import FunctionTableTruth

_TABLES = Source(
    "docs/format/minidump-function-tables.md#function-table-stream", Grade.WITNESSED, versions=("15063", "29507")
)
_NATIVE_15063 = 112
"""Bytes of the system's own descriptor that engine 15063 stores; it knows the form of older systems
(docs/format/minidump-function-tables.md#native-descriptor)."""
_ENTRY_SIZE = 12
"""winnt.h sizeof(RUNTIME_FUNCTION) of amd64."""


def _same_rows(kind: str, held: Iterable[Hashable], found: Iterable[tuple[Hashable, Span]], where: Span) -> Checks:
    """Check that the dump has each row as often as the target, in any order, and no other."""
    missing = Counter(held)
    for row, span in found:
        if missing[row] > 0:
            missing[row] -= 1
            yield ok(f"{kind} {_shown(row)}")
        else:
            yield bad(f"{kind} {_shown(row)}", "no entry: the target has none", "an entry", span, fault=Fault.FORBIDDEN)
    for row in missing.elements():
        yield bad(f"{kind} {_shown(row)}", "an entry", "none", where, fault=Fault.MISSING)


def _shown(row: Hashable) -> str:
    values = row if isinstance(row, tuple) else (row,)
    return " ".join(f"{value:#x}" for value in values if isinstance(value, int))


@rule(
    "TRUE-FUNCTIONTABLE-001",
    "FunctionTable lists the target's dynamic function tables",
    Level.MUST,
    _TABLES,
    Source("docs/format/minidump-function-tables.md#function-table-descriptor", Grade.WITNESSED, versions=("29507",)),
    needs=("function_tables",),
    applies=lambda case: case.truth is not None and case.truth.function_tables is not None,
)
def function_tables(case: Case) -> Checks:
    """Each table has its address range, base and number of entries. The header declares the sizes of the system's own
    descriptor and of an entry. Readers step through the tables by these sizes.
    """
    assert case.truth is not None
    tables = case.truth.function_tables or ()
    head = case.dump.headers[13]
    expected = {"SizeOfFunctionEntry": _ENTRY_SIZE}
    yield from same(head, "FunctionTable", expected)
    if tables:
        yield from one_of(head, "FunctionTable", "SizeOfNativeDescriptor", _native_sizes(case, len(tables[0].native)))
    held = [(*_key(table), len(table.entries)) for table in tables]
    found = [(_row(fact.record), fact.record.span) for fact in case.dump.function_tables]
    yield from _same_rows("function table", held, found, stream_span(case, 13))


def _native_sizes(case: Case, size: int) -> set[int]:
    """The sizes that the system's own descriptor may have. ``size`` is that of the truth."""
    contract = "documented" if case.request is None else case.request.contract
    older = min(size, _NATIVE_15063)
    return {size} if contract == "e29507" else {older} if contract == "e15063" else {size, older}


def _key(table: FunctionTableTruth) -> tuple[int, int, int]:
    return table.minimum_address, table.maximum_address, table.base_address


def _row(record: Record) -> tuple[int, ...]:
    return tuple(record[name] for name in ("MinimumAddress", "MaximumAddress", "BaseAddress", "EntryCount"))


def _entries(table: FunctionTableTruth) -> bytes:
    return b"".join(
        value.to_bytes(4, "little")
        for entry in table.entries
        for value in (entry.begin_address, entry.end_address, entry.unwind_data)
    )


@rule(
    "TRUE-FUNCTIONTABLE-002",
    "Each function table has its entries and the system's descriptor",
    Level.MUST,
    _TABLES,
    needs=("function_tables",),
    applies=lambda case: case.truth is not None and case.truth.function_tables is not None,
)
def function_entries(case: Case) -> Checks:
    """The entries are the RUNTIME_FUNCTIONs that the program registered; the descriptor is the system's own record of
    the table. With a wrong entry a debugger unwinds generated code by another function's codes.
    """
    assert case.truth is not None
    tables: dict[tuple[int, ...], list[FunctionTableTruth]] = {}
    for table in case.truth.function_tables or ():
        tables.setdefault((*_key(table), len(table.entries)), []).append(table)
    for fact in case.dump.function_tables:
        alike = tables.get(_row(fact.record))
        if not alike:
            continue
        held = {(table.native, _entries(table)): index for index, table in enumerate(alike)}
        table = alike.pop(held.get(_contents(case, fact), 0))
        subject, read = f"function table {table.base_address:#x}", case.dump.source.read
        native = read(fact.native.start, len(fact.native))
        known = table.native[: len(native)] if len(native) in _native_sizes(case, len(table.native)) else table.native
        yield from same_bytes(f"{subject}, native descriptor", known, native, fact.native)
        entries = read(fact.entries.start, len(fact.entries))
        yield from same_bytes(f"{subject}, entries", _entries(table), entries, fact.entries)


def _contents(case: Case, fact: FunctionTableFact) -> tuple[bytes, bytes]:
    read = case.dump.source.read
    return read(fact.native.start, len(fact.native)), read(fact.entries.start, len(fact.entries))


@rule(
    "TRUE-HANDLEOPERATION-001",
    "HandleOperationList holds the operations that handle tracing recorded",
    Level.MUST,
    Source("docs/format/minidump-handles.md#handle-operations", Grade.DOCUMENTED),
    needs=("handle_operations",),
    applies=lambda case: case.truth is not None and bool(case.truth.handle_operations),
)
def handle_operations(case: Case) -> Checks:
    """Each operation has its handle, process, thread, type, index and stack. They show who closed a handle that was
    used later.
    """
    assert case.truth is not None
    held = [
        (item.handle, item.process_id, item.thread_id, item.operation_type, item.index, *item.return_addresses)
        for item in case.truth.handle_operations or ()
    ]
    found = []
    for record in case.dump.handle_operations:
        fixed = (record[name] for name in ("Handle", "ProcessId", "ThreadId", "OperationType"))
        depth, addresses = record["BackTraceInformation.Depth"], "BackTraceInformation.ReturnAddresses"
        row = (*fixed, record["BackTraceInformation.Index"], *record.array(addresses)[:depth])
        found.append((row, record.span))
    yield from _same_rows("handle operation", held, found, stream_span(case, 18))


@rule(
    "TRUE-HANDLEOPERATION-002",
    "Unused parts of a handle operation are zero",
    Level.MUST,
    Source("docs/format/minidump-handles.md#handle-operations", Grade.INFERRED),
    needs=("handle_operations",),
    applies=lambda case: case.truth is not None,
)
def unused_addresses(case: Case) -> Checks:
    """The unused parts are the reserved fields and the return addresses from Depth on. Other values than zero are
    addresses of another stack.
    """
    yield from zero(case.dump.headers[18], "HandleOperationList", ("Reserved",), "reserved")
    for record in case.dump.handle_operations:
        yield from zero(record, record.path, ("Spare0",), "reserved")
        name = "BackTraceInformation.ReturnAddresses"
        depth, span = record["BackTraceInformation.Depth"], record.span_of(name)
        rest = record.array(name)[depth:]
        if any(rest):
            shown = " ".join(f"{value:#x}" for value in rest if value)
            yield bad(f"{record.path}, {name}", f"zeros from [{depth}] on", shown, span, fault=Fault.FORBIDDEN)
        else:
            yield ok(f"{record.path}, {name}")


@rule(
    "TRUE-USERSTREAM-001",
    "Each stream of the caller has the caller's bytes",
    Level.MUST,
    Source("docs/format/minidump-user-streams.md#streams-of-the-caller", Grade.DOCUMENTED),
    needs=("directory",),
    applies=lambda case: asked(case) and case.request is not None and bool(case.request.user_streams),
)
def user_streams(case: Case) -> Checks:
    """A writer stores the bytes unchanged. Only the caller's own reader knows their meaning."""
    assert case.request is not None
    for given in case.request.user_streams:
        stream = case.dump.streams.get(given.type)
        if stream is not None:
            actual = case.dump.source.read(stream.rva, stream.size)
            yield from same_bytes(stream.name, given.data, actual, stream.span)


@rule(
    "TRUE-USERSTREAM-002",
    "The directory lists the caller's streams in the caller's order",
    Level.SHOULD,
    Source("docs/format/minidump-user-streams.md#streams-of-the-caller", Grade.INFERRED),
    needs=("directory",),
    applies=lambda case: asked(case) and case.request is not None and len(case.request.user_streams) > 1,
)
def user_stream_order(case: Case) -> Checks:
    """Readers find a stream by its type. The order serves people who list the directory."""
    assert case.request is not None
    given = [stream.type for stream in case.request.user_streams]
    found = [entry["StreamType"] for entry in case.dump.directory if entry["StreamType"] in given]
    if sorted(found) != sorted(given):
        return
    if found == given:
        yield ok("user streams", count=len(given))
    else:
        shown = ", ".join(stream_name(number) for number in given)
        actual = ", ".join(stream_name(number) for number in found)
        yield bad("user streams", shown, actual, case.dump.directory[0].span)
