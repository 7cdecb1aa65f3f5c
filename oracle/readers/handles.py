"""Reads streams 12, 18 and 19 of a minidump: handles, handle operations, access tokens."""

from __future__ import annotations

import struct
from itertools import repeat
from typing import Final

from ..budget import Work
from ..decode import decode
from .container import STREAM, read_headed, read_string, settle
from .facts import Dump, HandleFact, Stream, StringFact
from .reading import Claim
from .table import Table

_INFO: Final = struct.Struct("<III")
"""NextInfoRva, InfoType and SizeOfInfo of a MINIDUMP_HANDLE_OBJECT_INFORMATION."""
_LONGEST: Final = 4096
"""Records of one chain that are read. Writers store a few of different types."""


def read_handles(dump: Dump) -> None:
    """Read stream 12 and fill ``dump.handles`` (docs/format/minidump-handles.md#handle-data)."""
    stream = dump.streams.get(STREAM["HandleDataStream"])
    if stream is None:
        return
    table = read_headed(
        dump,
        stream,
        "MINIDUMP_HANDLE_DATA_STREAM",
        ("MINIDUMP_HANDLE_DESCRIPTOR_2", "MINIDUMP_HANDLE_DESCRIPTOR"),
        "handle entry",
    )
    second = bool(table) and table[0].type == "MINIDUMP_HANDLE_DESCRIPTOR_2"
    seen: set[int] = set()
    places = iter(table.column("ObjectInfoRva")) if second else repeat(0)
    rows = zip(table.rows("Handle", "TypeNameRva", "ObjectNameRva"), places, strict=False)
    for index, ((value, type_rva, name_rva), at) in enumerate(rows):
        dump.handles.append(
            HandleFact(
                value,
                table,
                index,
                _name(dump, value, type_rva, "type name") if type_rva else None,
                _name(dump, value, name_rva, "object name") if name_rva else None,
                _object_infos(dump, table, index, at, seen) if at else (),
            )
        )
    settle(dump, stream.type)


def _name(dump: Dump, handle: int, rva: int, label: str) -> StringFact | None:
    known = dump.strings.get(rva)
    if known is not None:
        return known
    return read_string(dump, rva, "handle.name", ("handles.names",), f"{label} of handle {handle:#x}")


def _object_infos(dump: Dump, table: Table, index: int, first: int, seen: set[int]) -> tuple[int, ...]:
    """The places of the object information of a handle, a chain that begins at ``first``.

    A record that is in a chain already ends it, as a loop would.
    """
    if first in seen and dump.again("handle.info"):
        return ()
    places: list[int] = []
    rva, label = first, f"object information of handle entry {index}"
    source, claims, file_size = dump.source, dump.claims, dump.source.size
    left = min(dump.budget.left(Work.ROWS), _LONGEST)
    while rva and rva not in seen:
        if rva + _INFO.size > file_size:
            break
        following, _, size = _INFO.unpack(source.view(rva, _INFO.size))
        end = rva + _INFO.size + size
        if end > file_size or len(places) == left:
            break
        seen.add(rva)
        places.append(rva)
        claims.append(Claim(rva, end, label))
        rva = following
    dump.grant(len(places), label, work=Work.ROWS)
    if len(places) == left:
        limit = f"at most {_LONGEST} records of a chain" if left == _LONGEST else f"at most {len(seen)} records in all"
        dump.leave("object information of handles", limit, len(seen), None, "handles.infos")
        return tuple(places)
    if not rva:
        return tuple(places)
    if dump.again("handle.info"):
        return tuple(places)
    record = table[index]
    dump.defect(
        "handle.info",
        f"object information of handle {record['Handle']:#x}",
        "a chain of records inside the file that shares no record with another chain",
        f"a link to {rva:#x}",
        record.span,
        loses=("handles.infos",),
    )
    return tuple(places)


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
    count = min(head["TokenListEntries"], fits + 1)
    granted = dump.grant(count, stream.name, "token")
    for index in range(granted):
        record = decode(dump.source, at, "MINIDUMP_TOKEN_INFO_HEADER", f"token {index}")
        if not record.complete or record["TokenSize"] < element or at + record["TokenSize"] > stream.span.end:
            _bad_tokens(dump, stream, f"{head['TokenListEntries']} tokens inside the stream")
            return
        dump.tokens.append(record)
        at += record["TokenSize"]
    if granted == count and at != stream.span.end:
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
