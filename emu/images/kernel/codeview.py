"""Removes type records from an object file that stop volatility3's converter of PDBs.

clang writes an LF_NESTTYPE without a name into the field list of every structure with an unnamed member type
(`union { ... } u;`). Microsoft's compiler writes no such record for C, and the converter stops at the first one
(docs/format/images.md#symbols).
Formats: PE/COFF specification 3 and 4; cvinfo.h lfFieldList, lfNestType, lfClass, lfUnion.
"""

from __future__ import annotations

import struct

_DEBUG_T = b".debug$T"
_SIGNATURE = 4  # CV_SIGNATURE_C13
_LF_FIELDLIST, _LF_NESTTYPE, _LF_CLASS, _LF_STRUCTURE, _LF_UNION = 0x1203, 0x1510, 0x1504, 0x1505, 0x1506
_CONTAINS_NESTED = 0x10  # CV_prop_t.cnested
_FIRST_INDEX = 0x1000
# An LF_NESTTYPE without a name: leaf, 2 bytes of padding, type index, an empty name, padding to 12 bytes.
_UNNAMED = struct.Struct("<HHI4s")
_UNNAMED_TAIL = b"\0\xf3\xf2\xf1"


def drop_unnamed_nested_types(data: bytes) -> bytes:
    """The COFF object `data` without those records. Type indices do not change."""
    image = bytearray(data)
    (sections,) = struct.unpack_from("<H", data, 2)
    for number in range(sections):
        header = 20 + 40 * number
        if data[header : header + 8] != _DEBUG_T:
            continue
        size, start = struct.unpack_from("<II", data, header + 16)
        types = _rewritten(data[start : start + size])
        image[start : start + size] = types + bytes(size - len(types))  # the rest belongs to no section
        struct.pack_into("<I", image, header + 16, len(types))
    return bytes(image)


def _rewritten(section: bytes) -> bytes:
    """A type section without those records. A record is `length, leaf, ...`; a structure follows its field list."""
    if struct.unpack_from("<I", section)[0] != _SIGNATURE:
        raise ValueError("type section: expected the signature CV_SIGNATURE_C13")
    out = bytearray(section[:4])
    dropped: dict[int, int] = {}
    at, index = 4, _FIRST_INDEX
    while at < len(section):
        length, leaf = struct.unpack_from("<HH", section, at)
        record = bytearray(section[at + 2 : at + 2 + length])
        if leaf == _LF_FIELDLIST:
            record, dropped[index] = _without_unnamed(record)
        elif leaf in (_LF_CLASS, _LF_STRUCTURE, _LF_UNION):
            count, options, fields = struct.unpack_from("<HHI", record, 2)
            if dropped.get(fields):
                struct.pack_into("<HH", record, 2, count - dropped[fields], options & ~_CONTAINS_NESTED)
        out += struct.pack("<H", len(record)) + record
        at += 2 + length
        index += 1
    return bytes(out)


def _without_unnamed(fields: bytearray) -> tuple[bytearray, int]:
    """(field list without its unnamed nested types, which are at its end; the number of them)."""
    count = 0
    while len(fields) > _UNNAMED.size:
        leaf, padding, _, tail = _UNNAMED.unpack_from(fields, len(fields) - _UNNAMED.size)
        if (leaf, padding, tail) != (_LF_NESTTYPE, 0, _UNNAMED_TAIL):
            break
        del fields[-_UNNAMED.size :]
        count += 1
    return fields, count
