"""Thread times, thread names, handles, handle operations and tokens, each by itself."""

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
"""AVRF_MAX_TRACES, avrfsdk.h."""


@rule(
    "MDMP-THREADINFO-001",
    "The thread info list is as long as its header says",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_THREAD_INFO_LIST; spec user-mode 3.5, 4 V10", Grade.DOCUMENTED),
    needs=("stream.17",),
    reports=("list.header.17", "list.size.17"),
)
def thread_info_size(case: Case) -> Checks:
    """SizeOfHeader 12, SizeOfEntry 64, DataSize 12 + 64 n; public readers refuse other sizes."""
    if "thread_info" in case.dump.facts:
        yield ok("stream 17")


@rule(
    "MDMP-THREADNAMES-001",
    "The list of thread names is as long as its count says",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_THREAD_NAME_LIST; spec user-mode 3.5, 4 V09", Grade.DOCUMENTED),
    needs=("stream.24",),
    reports=("list.size.24",),
)
def thread_names_size(case: Case) -> Checks:
    """DataSize is 4 + 12 n: the entries are packed, the 64-bit RVA in them lies at a multiple of 4."""
    if not case.dump.defects_of("list.size.24"):
        yield from unpadded(case, case.dump.streams[24], len(case.dump.thread_names), "MINIDUMP_THREAD_NAME")


@rule(
    "MDMP-THREADNAMES-002",
    "Every thread name is a string inside the file",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_THREAD_NAME, MINIDUMP_STRING; spec user-mode 3.5", Grade.DOCUMENTED),
    needs=("thread_names",),
    reports=("thread-name.string",),
)
def thread_names(case: Case) -> Checks:
    """The RVA has 64 bits. A reader that takes 32 of them finds the same name only below 4 GiB."""
    count = sum(item.name is not None for item in case.dump.thread_names)
    if count:
        yield ok("thread names", count)


@rule(
    "MDMP-HANDLE-001",
    "The handle list is as long as its header says",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_HANDLE_DATA_STREAM; spec user-mode 3.12, 4 V10", Grade.DOCUMENTED),
    needs=("stream.12",),
    reports=("list.header.12", "list.size.12"),
)
def handle_list_size(case: Case) -> Checks:
    """SizeOfHeader 16, SizeOfDescriptor 32 or 40, DataSize 16 + n descriptors. No handles is legal: a bare header."""
    if "handles" in case.dump.facts:
        yield ok("stream 12")


@rule(
    "MDMP-HANDLE-002",
    "Every name of a handle is a string inside the file, or absent",
    Level.MUST,
    Source(
        "minidumpapiset.h MINIDUMP_HANDLE_DESCRIPTOR, MINIDUMP_STRING; spec user-mode 3.12, 4 V44", Grade.DOCUMENTED
    ),
    needs=("handles",),
    reports=("handle.name",),
)
def handle_names(case: Case) -> Checks:
    """An RVA of 0 means no name: unnamed objects, and values of the table that are not in use."""
    count = 2 * len(case.dump.handles) - case.dump.defects_of("handle.name")
    if count:
        yield ok("handle names", count)


@rule(
    "MDMP-HANDLE-003",
    "Handle values are unique, not 0 and multiples of 4",
    Level.MUST,
    Source("spec user-mode 3.12, 4 V44: 3 of 3 files", Grade.OBSERVED),
    needs=("handles",),
    foreign_level=Level.SHOULD,
)
def handle_values(case: Case) -> Checks:
    """A handle is an index in the process's table, its two low bits free for the program's use."""
    seen: set[int] = set()
    for handle in case.dump.handles:
        value = handle.record["Handle"]
        if value == 0 or value % 4 or value in seen:
            actual = f"{value:#x}" + (" again" if value in seen else "")
            yield bad(handle.record.path, "a new multiple of 4, not 0", actual, handle.record.span_of("Handle"))
        else:
            yield ok(handle.record.path)
        seen.add(value)


@rule(
    "MDMP-HANDLE-004",
    "The object informations of a handle are a chain inside the file",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_HANDLE_OBJECT_INFORMATION; spec user-mode 3.12", Grade.DOCUMENTED),
    needs=("handles",),
    reports=("handle.info",),
)
def handle_infos(case: Case) -> Checks:
    """A linked list of raw records. A loop hangs a reader that does not look for one."""
    count = sum(len(handle.object_infos) for handle in case.dump.handles)
    if count:
        yield ok("object informations", count)


@rule(
    "MDMP-HANDLEOPERATION-001",
    "The handle operation list is as long as its header says",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_HANDLE_OPERATION_LIST; avrfsdk.h; spec user-mode 3.12, 4 V10", Grade.DOCUMENTED),
    needs=("stream.18",),
    reports=("list.header.18", "list.size.18"),
)
def handle_operations(case: Case) -> Checks:
    """SizeOfHeader 16, SizeOfEntry 288, DataSize 16 + 288 n."""
    if "handle_operations" in case.dump.facts:
        yield ok("stream 18")


@rule(
    "MDMP-HANDLEOPERATION-002",
    "Every handle operation is of a known kind, with at most 32 return addresses",
    Level.MUST,
    Source("avrfsdk.h eHANDLE_TRACE_OPERATIONS, AVRF_MAX_TRACES; spec user-mode 3.12", Grade.DOCUMENTED),
    needs=("handle_operations",),
    foreign_level=Level.SHOULD,
)
def handle_operation_kinds(case: Case) -> Checks:
    """1 opens, 2 closes, 3 is a reference to a handle that is not open. A reader that trusts a larger Depth takes the
    next operation for return addresses.
    """
    for record in case.dump.handle_operations:
        kind, depth = record["OperationType"], record["BackTraceInformation.Depth"]
        if kind in {1, 2, 3} and depth <= _MAX_TRACES:
            yield ok(record.path)
            continue
        spans = (record.span_of("OperationType"), record.span_of("BackTraceInformation.Depth"))
        expected = f"OperationType 1 to 3, Depth up to {_MAX_TRACES}"
        yield bad(record.path, expected, f"OperationType {kind}, Depth {depth}", *spans)


@rule(
    "MDMP-TOKEN-001",
    "The tokens fill their stream",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_TOKEN_INFO_LIST; spec user-mode 3.15", Grade.OBSERVED),
    needs=("stream.19",),
    reports=("token",),
)
def tokens(case: Case) -> Checks:
    """TokenListSize is DataSize; each element tells its own size, and they add up to the stream."""
    if "token" in case.dump.facts:
        yield ok("stream 19", max(1, len(case.dump.tokens)))


@rule(
    "MDMP-TOKEN-002",
    "What a token's header locates lies inside the token, one thing behind the other",
    Level.MUST,
    Source("spec user-mode 3.15: the one real sample, by dbgeng 10.0.14321", Grade.OBSERVED),
    needs=("token",),
    applies=lambda case: 19 in case.dump.headers and case.dump.headers[19]["ElementHeaderSize"] >= _ELEMENT,
    foreign_level=Level.SHOULD,
)
def token_parts(case: Case) -> Checks:
    """Behind the 16 documented bytes stand pairs of offset and size, from the start of the element: type, user, groups,
    privileges, statistics. A part that is not there has neither.
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
    "No two thread infos are of the same thread",
    Level.MUST,
    Source("spec user-mode 3.5, 4 V42: 2 of 2 files", Grade.OBSERVED),
    needs=("thread_info",),
    foreign_level=Level.SHOULD,
)
def thread_info_ids(case: Case) -> Checks:
    """One entry tells a thread's times; with two a reader shows either."""
    seen: set[int] = set()
    for record in case.dump.thread_infos:
        number = record["ThreadId"]
        if number in seen:
            span = record.span_of("ThreadId")
            yield bad(record.path, "a thread that has no entry yet", f"{number:#x}", span, fault=Fault.FORBIDDEN)
        else:
            yield ok(record.path)
        seen.add(number)
