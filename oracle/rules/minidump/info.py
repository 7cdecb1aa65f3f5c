"""Judges thread times, thread names, handles, handle operations and tokens, each stream by itself."""

from __future__ import annotations

from typing import Final

from ...case import Case
from ...decode import decode, structure
from ...model import Fault, Grade, Level, Source, Span
from ...rule import Checks, bad, ok, rule
from .threads import unpadded

TOKEN_PARTS: Final = ("Type", "User", "Groups", "Pair3", "Privileges", "Statistics", "Pair6")
_ELEMENT: Final = structure("TOKEN_INFO_ELEMENT").size
_MAX_TRACES: Final = 32
"""avrfsdk.h AVRF_MAX_TRACES."""


@rule(
    "MDMP-THREADINFO-001",
    "DataSize of the thread info list matches its header",
    Level.MUST,
    Source("docs/format/minidump-threads.md#size-of-the-thread-info-list", Grade.DOCUMENTED),
    needs=("stream.17",),
    reports=("list.header.17", "list.size.17"),
)
def thread_info_size(case: Case) -> Checks:
    """DataSize is SizeOfHeader + SizeOfEntry * NumberOfEntries. SizeOfHeader is 12 and SizeOfEntry 64; a newer writer
    may store more, because the sizes are stored so that both can grow.
    """
    if "thread_info" in case.dump.facts:
        yield ok("stream 17")


@rule(
    "MDMP-THREADNAMES-001",
    "DataSize of the thread name list matches its count",
    Level.MUST,
    Source("docs/format/minidump-threads.md#thread-names", Grade.DOCUMENTED),
    needs=("stream.24",),
    reports=("list.size.24",),
)
def thread_names_size(case: Case) -> Checks:
    """DataSize is 4 + 12 * NumberOfThreadNames. The entries are packed, so the 64-bit RVA in them lies at a multiple of
    4.
    """
    if not case.dump.defects_of("list.size.24"):
        yield from unpadded(case, case.dump.streams[24], len(case.dump.thread_names), "MINIDUMP_THREAD_NAME")


@rule(
    "MDMP-THREADNAMES-002",
    "Every thread name is a string inside the file",
    Level.MUST,
    Source("docs/format/minidump-threads.md#thread-names", Grade.DOCUMENTED),
    needs=("thread_names",),
    reports=("thread-name.string",),
)
def thread_names(case: Case) -> Checks:
    """The RVA has 64 bits. A reader that uses 32 of them finds the name only below 4 GiB."""
    count = sum(item.name is not None for item in case.dump.thread_names)
    if count:
        yield ok("thread names", count)


@rule(
    "MDMP-HANDLE-001",
    "DataSize of the handle list matches its header",
    Level.MUST,
    Source("docs/format/minidump-handles.md#size-of-handle-data", Grade.DOCUMENTED),
    needs=("stream.12",),
    reports=("list.header.12", "list.size.12"),
)
def handle_list_size(case: Case) -> Checks:
    """DataSize is SizeOfHeader + SizeOfDescriptor * NumberOfDescriptors. SizeOfHeader is 16 and SizeOfDescriptor 32 or
    40; a newer writer may store more. A process without handles may have the header alone.
    """
    if "handles" in case.dump.facts:
        yield ok("stream 12")


@rule(
    "MDMP-HANDLE-002",
    "Every name of a handle is absent or a string inside the file",
    Level.MUST,
    Source("docs/format/minidump-handles.md#names-of-handles", Grade.DOCUMENTED),
    needs=("handles",),
    reports=("handle.name",),
)
def handle_names(case: Case) -> Checks:
    """An RVA of 0 means no name. Unnamed objects and unused handle values have none."""
    count = 2 * len(case.dump.handles) - case.dump.defects_of("handle.name")
    if count:
        yield ok("handle names", count)


@rule(
    "MDMP-HANDLE-003",
    "Handle values are unique, not 0 and multiples of 4",
    Level.MUST,
    Source("docs/format/minidump-handles.md#handle-values", Grade.OBSERVED),
    needs=("handles",),
    foreign_level=Level.SHOULD,
)
def handle_values(case: Case) -> Checks:
    """A handle is an index into the process's handle table. Its two low bits are free for the program."""
    seen: set[int] = set()
    right = 0
    for handle in case.dump.handles:
        value = handle.value
        if value == 0 or value % 4 or value in seen:
            actual = f"{value:#x}" + (" again" if value in seen else "")
            yield bad(
                handle.record.path,
                "a multiple of 4, not 0, that no earlier entry has",
                actual,
                handle.record.span_of("Handle"),
            )
        else:
            right += 1
        seen.add(value)
    if right:
        yield ok("handles", right)


@rule(
    "MDMP-HANDLE-004",
    "The object information of a handle is a chain inside the file",
    Level.MUST,
    Source("docs/format/minidump-handles.md#object-information", Grade.DOCUMENTED),
    needs=("handles",),
    reports=("handle.info",),
)
def handle_infos(case: Case) -> Checks:
    """The records of raw data form a linked list. A loop hangs a reader that does not check for it."""
    count = sum(len(handle.info_places) for handle in case.dump.handles)
    if count:
        yield ok("object information", count)


@rule(
    "MDMP-HANDLEOPERATION-001",
    "DataSize of the handle operation list matches its header",
    Level.MUST,
    Source("docs/format/minidump-handles.md#size-of-handle-operations", Grade.WITNESSED, versions=("29507",)),
    needs=("stream.18",),
    reports=("list.header.18", "list.size.18"),
)
def handle_operations(case: Case) -> Checks:
    """DataSize is SizeOfHeader + SizeOfEntry * NumberOfEntries. SizeOfHeader is 16 and SizeOfEntry 288; a newer writer
    may store more.
    """
    if "handle_operations" in case.dump.facts:
        yield ok("stream 18")


@rule(
    "MDMP-HANDLEOPERATION-002",
    "Every handle operation has a known type and at most 32 return addresses",
    Level.MUST,
    Source("docs/format/minidump-handles.md#handle-operations", Grade.DOCUMENTED),
    needs=("handle_operations",),
    foreign_level=Level.SHOULD,
)
def handle_operation_kinds(case: Case) -> Checks:
    """Type 1 opens a handle, 2 closes it, 3 refers to a handle that is not open. A reader that trusts a larger Depth
    takes the next operation for return addresses.
    """
    operations, right = case.dump.handle_operations, 0
    rows = operations.rows("OperationType", "BackTraceInformation.Depth")
    for index, (kind, depth) in enumerate(rows):
        if kind in {1, 2, 3} and depth <= _MAX_TRACES:
            right += 1
            continue
        record = operations[index]
        spans = (record.span_of("OperationType"), record.span_of("BackTraceInformation.Depth"))
        expected = f"OperationType 1 to 3, Depth up to {_MAX_TRACES}"
        yield bad(record.path, expected, f"OperationType {kind}, Depth {depth}", *spans)
    if right:
        yield ok("handle operations", right)


@rule(
    "MDMP-TOKEN-001",
    "The tokens fill their stream",
    Level.MUST,
    Source("docs/format/minidump-handles.md#token-list", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("stream.19",),
    reports=("token",),
)
def tokens(case: Case) -> Checks:
    """TokenListSize is DataSize. Each element declares its own size, and the sizes add up to the stream."""
    if "token" in case.dump.facts:
        yield ok("stream 19", max(1, len(case.dump.tokens)))


@rule(
    "MDMP-TOKEN-002",
    "The parts of a token lie inside the token and do not overlap",
    Level.MUST,
    Source("docs/format/minidump-handles.md#token-contents", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("token",),
    applies=lambda case: 19 in case.dump.headers and case.dump.headers[19]["ElementHeaderSize"] >= _ELEMENT,
    foreign_level=Level.SHOULD,
)
def token_parts(case: Case) -> Checks:
    """After the 16 documented bytes of an element, pairs of offset and size locate its parts: type, user, groups,
    privileges, statistics. Offsets count from the start of the element. An absent part has offset 0 and size 0.
    """
    for token in case.dump.tokens:
        element = decode(case.dump.source, token.span.start, "TOKEN_INFO_ELEMENT", token.path)
        end = case.dump.headers[19]["ElementHeaderSize"]
        parts = sorted((element[f"{name}.Offset"], element[f"{name}.Size"], name) for name in TOKEN_PARTS)
        for offset, size, name in parts:
            if offset == size == 0:
                yield ok(f"{token.path}, {name}")
                continue
            if size and end <= offset and offset + size <= token["TokenSize"]:
                yield ok(f"{token.path}, {name}")
            else:
                expected = f"bytes from {end} to {token['TokenSize']}, or offset 0 and size 0"
                span = Span(element.span_of(f"{name}.Offset").start, element.span_of(f"{name}.Size").end)
                yield bad(f"{token.path}, {name}", expected, f"{size} bytes at {offset}", span)
            end = max(end, offset + size)


@rule(
    "MDMP-THREADINFO-002",
    "No thread has two thread infos",
    Level.MUST,
    Source("docs/format/minidump-threads.md#threads-of-the-info-list", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("thread_info",),
    foreign_level=Level.SHOULD,
)
def thread_info_ids(case: Case) -> Checks:
    """An entry holds the times of one thread. With two entries of a thread, readers differ on which they show."""
    seen: set[int] = set()
    for index, number in enumerate(case.dump.thread_infos.column("ThreadId")):
        if number in seen:
            record = case.dump.thread_infos[index]
            span = record.span_of("ThreadId")
            yield bad(record.path, "a thread id that no earlier entry has", f"{number:#x}", span, fault=Fault.FORBIDDEN)
        seen.add(number)
    if seen:
        yield ok("thread infos", len(seen))
