"""Writes TokenStream: the documented headers, and contents as the engine writes them.

Format: docs/format/minidump-handles.md#token-list, docs/format/minidump-handles.md#token-contents.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence

from ..snapshot.process import LuidAndAttributes, ProcessSnapshot, SidAndAttributes, Token
from .encode import add_struct
from .layout import LayoutError, Section
from .structs import MINIDUMP_TOKEN_INFO_LIST, TOKEN_ELEMENT_HEADER

_ALIGNMENT = 8
_STATISTICS_SIZE = 56  # winnt.h TOKEN_STATISTICS
_ENTRY = 8
"""Bytes of SID_AND_ATTRIBUTES: a reference of 4 bytes, for a 64-bit target too, and 4 bytes of attributes.

The reference is the offset of the SID from the start of the part
(docs/format/minidump-handles.md#token-contents).
"""


def add_tokens(snapshot: ProcessSnapshot) -> Section:
    """Return Token with one element for each token. Raises LayoutError when TOKEN_STATISTICS has a wrong size."""
    elements = [_element(f"Token.Elements[{index}]", token) for index, token in enumerate(snapshot.tokens)]
    header = ctypes.sizeof(MINIDUMP_TOKEN_INFO_LIST)
    section = Section("Token")
    add_struct(section, "Token", MINIDUMP_TOKEN_INFO_LIST, {
        "TokenListSize": header + sum(size for _, size, _ in elements),
        "TokenListEntries": len(snapshot.tokens),
        "ListHeaderSize": header,
        "ElementHeaderSize": ctypes.sizeof(TOKEN_ELEMENT_HEADER),
    })  # fmt: skip
    for index, (token, (places, size, parts)) in enumerate(zip(snapshot.tokens, elements, strict=True)):
        path = f"Token.Elements[{index}]"
        add_struct(section, path, TOKEN_ELEMENT_HEADER, {
            "Header": {"TokenSize": size, "TokenId": token.token_id, "TokenHandle": token.handle},
            "Parts": [{"Offset": offset, "Size": length} for offset, length in places],
        })  # fmt: skip
        for number, part in enumerate(parts):
            if part:
                section.add(f"{path}.Part[{number}]", "token", part)
                if -len(part) % _ALIGNMENT:
                    section.add(f"{path}.PartPadding[{number}]", "padding", bytes(-len(part) % _ALIGNMENT))
    return section


def _element(path: str, token: Token) -> tuple[list[tuple[int, int]], int, tuple[bytes, ...]]:
    """Return offset and size of each part, the size of the element, and the parts. Parts start at multiples of 8.

    Part 3, TOKEN_PRIMARY_GROUP, is left out: the snapshot does not hold the primary group. Engine 15063 leaves out
    part 6. A part that is left out has offset and size 0.
    """
    if len(token.statistics) != _STATISTICS_SIZE:
        raise LayoutError(f"{path}: TOKEN_STATISTICS of {len(token.statistics)} bytes, expected {_STATISTICS_SIZE}")
    parts = (
        struct.pack("<I", token.token_type),
        _user(token.user),
        _groups(token.groups),
        b"",
        _privileges(token.privileges),
        token.statistics,
        b"",
    )
    places = []
    end = ctypes.sizeof(TOKEN_ELEMENT_HEADER)
    for part in parts:
        places.append((end, len(part)) if part else (0, 0))
        end += -(-len(part) // _ALIGNMENT) * _ALIGNMENT
    return places, end, parts


def _user(user: SidAndAttributes) -> bytes:
    """Return TOKEN_USER: a reference, the attributes, and the SID."""
    return struct.pack("<II", _ENTRY, user.attributes) + user.sid


def _groups(groups: Sequence[SidAndAttributes]) -> bytes:
    """Return TOKEN_GROUPS: the count, the entries, the SIDs at a multiple of 8, and 8 zeros for each entry."""
    first = _ALIGNMENT + _ENTRY * len(groups)
    array, sids = struct.pack("<I", len(groups)), b""
    for group in groups:
        array += struct.pack("<II", first + len(sids), group.attributes)
        sids += group.sid
    return array.ljust(first, b"\0") + sids + bytes(_ENTRY * len(groups))


def _privileges(privileges: Sequence[LuidAndAttributes]) -> bytes:
    """Return TOKEN_PRIVILEGES (winnt.h): the count, then LUID_AND_ATTRIBUTES of 12 bytes each."""
    entries = b"".join(struct.pack("<QI", item.luid, item.attributes) for item in privileges)
    return struct.pack("<I", len(privileges)) + entries
