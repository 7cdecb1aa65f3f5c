"""Implements the system services for the process's access token."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ..snapshot.process import SidAndAttributes
from .services import Call, own_process, service, u32
from .tokens import TokenObject, token_of
from .winnt import Status, StatusError

TOKEN_QUERY = 0x8  # winnt.h


@service
def NtOpenProcessToken(call: Call) -> int:
    process_handle, access, handle_at = call.arguments
    own_process(call, process_handle)
    process = call.process
    process.memory.probe_write(handle_at, 8)
    token = process.token
    process.memory.put_u64(handle_at, process.handles.insert(token, token.grant(u32(access))))
    return Status.SUCCESS


@service
def NtQueryInformationToken(call: Call) -> int:
    handle, information_class, buffer, length, returned_at = call.arguments
    process = call.process
    process.handles.get(handle, TokenObject, TOKEN_QUERY)
    token = token_of(process.process_id, handle)
    match u32(information_class):  # winnt.h TOKEN_INFORMATION_CLASS
        case 1:  # TokenUser
            data = _with_sids(b"", [token.user], buffer)
        case 2:  # TokenGroups
            data = _with_sids(struct.pack("<I4x", len(token.groups)), token.groups, buffer)
        case 3:  # TokenPrivileges
            rows = (struct.pack("<QI", row.luid, row.attributes) for row in token.privileges)
            data = struct.pack("<I", len(token.privileges)) + b"".join(rows)
        case 8:  # TokenType
            data = struct.pack("<I", token.token_type)
        case 10:  # TokenStatistics
            data = token.statistics
        case _:
            raise StatusError(Status.INVALID_INFO_CLASS)
    process.memory.put_u32(returned_at, len(data))
    if u32(length) < len(data):
        raise StatusError(Status.BUFFER_TOO_SMALL)
    process.memory.write(buffer, data)
    return Status.SUCCESS


def _with_sids(head: bytes, sids: Sequence[SidAndAttributes], buffer: int) -> bytes:
    """SID_AND_ATTRIBUTES[] and the SIDs after it. The pointers assume that ``buffer`` is the address of the result."""
    array, data = head, b""
    first = buffer + len(head) + 16 * len(sids)
    for item in sids:
        array += struct.pack("<QI4x", first + len(data), item.attributes)
        data += item.sid
    return array + data
