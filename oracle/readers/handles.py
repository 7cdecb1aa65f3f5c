"""Reads streams 12, 18 and 19 of a minidump: handles, handle operations, access tokens."""

from __future__ import annotations

from ..decode import Record, decode
from ..model import Span
from .container import STREAM, read_headed, read_string, settle
from .facts import Dump, HandleFact, Stream, StringFact


def read_handles(dump: Dump) -> None:
    """Read stream 12 and fill ``dump.handles`` (docs/format/minidump-handles.md#handle-data)."""
    stream = dump.streams.get(STREAM["HandleDataStream"])
    if stream is None:
        return
    records = read_headed(
        dump,
        stream,
        "MINIDUMP_HANDLE_DATA_STREAM",
        ("MINIDUMP_HANDLE_DESCRIPTOR_2", "MINIDUMP_HANDLE_DESCRIPTOR"),
        "handle entry",
    )
    seen: dict[int, Record] = {}
    for record in records:
        dump.handles.append(
            HandleFact(
                record,
                _name(dump, record, "TypeNameRva", "type name"),
                _name(dump, record, "ObjectNameRva", "object name"),
                _object_infos(dump, record, seen),
            )
        )
    settle(dump, stream.type)


def _name(dump: Dump, record: Record, member: str, label: str) -> StringFact | None:
    rva = record[member]
    if rva == 0:
        return None
    return read_string(dump, rva, "handle.name", ("handles.names",), f"{label} of handle {record['Handle']:#x}")


def _object_infos(dump: Dump, record: Record, seen: dict[int, Record]) -> tuple[Record, ...]:
    """The chain of object information of a handle. A record that is in a chain already ends it, as a loop would."""
    infos: list[Record] = []
    rva = record["ObjectInfoRva"] if "ObjectInfoRva" in record.structure.fields else 0
    while rva and rva not in seen and dump.grant(1, "object information of handles", "handles.infos"):
        info = decode(dump.source, rva, "MINIDUMP_HANDLE_OBJECT_INFORMATION", f"object information of {record.path}")
        end = info.span.end + info["SizeOfInfo"]
        if not info.complete or end > dump.source.size:
            break
        seen[rva] = info
        infos.append(info)
        dump.claim(Span(rva, end), info.path)
        rva = info["NextInfoRva"]
    else:
        if not rva:
            return tuple(infos)
    dump.defect(
        "handle.info",
        f"object information of handle {record['Handle']:#x}",
        "a chain of records inside the file that shares no record with another chain",
        f"a link to {rva:#x}",
        record.span,
        loses=("handles.infos",),
    )
    return tuple(infos)


def read_handle_operations(dump: Dump) -> None:
    """Read stream 18 and fill ``dump.handle_operations`` (docs/format/minidump-handles.md#handle-operations)."""
    stream = dump.streams.get(STREAM["HandleOperationListStream"])
    if stream is None:
        return
    dump.handle_operations = read_headed(
        dump, stream, "MINIDUMP_HANDLE_OPERATION_LIST", ("AVRF_HANDLE_OPERATION",), "handle operation"
    )
    settle(dump, stream.type)


def read_tokens(dump: Dump) -> None:
    """Read stream 19 and fill ``dump.tokens`` (docs/format/minidump-handles.md#token-list)."""
    stream = dump.streams.get(STREAM["TokenStream"])
    if stream is None:
        return
    head = decode(dump.source, stream.rva, "MINIDUMP_TOKEN_INFO_LIST", stream.name)
    element = head["ElementHeaderSize"]
    first = head["ListHeaderSize"]
    if not 16 <= first <= stream.size == head["TokenListSize"] or element < 16:
        _bad_tokens(dump, stream, "TokenListSize = DataSize, ListHeaderSize and ElementHeaderSize 16 or more")
        return
    dump.headers[stream.type] = head
    at = stream.rva + first
    fits = (stream.size - first) // element
    for index in range(dump.grant(min(head["TokenListEntries"], fits + 1), stream.name, "token")):
        record = decode(dump.source, at, "MINIDUMP_TOKEN_INFO_HEADER", f"token {index}")
        if not record.complete or record["TokenSize"] < element or at + record["TokenSize"] > stream.span.end:
            _bad_tokens(dump, stream, f"{head['TokenListEntries']} tokens inside the stream")
            return
        dump.tokens.append(record)
        at += record["TokenSize"]
    if at != stream.span.end:
        _bad_tokens(dump, stream, f"the last token ends with the stream at {stream.span.end:#x}")
    settle(dump, stream.type)


def _bad_tokens(dump: Dump, stream: Stream, expected: str) -> None:
    head = dump.source.read(stream.rva, 16).hex()
    dump.defect(
        "token",
        stream.name,
        expected,
        f"header {head}, DataSize {stream.size}",
        stream.span,
        loses=("token",),
    )
