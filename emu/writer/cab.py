"""Writes a cabinet around a dump in one pass: one folder, MSZIP or stored (docs/format/cabinet.md).

The package cabarchive is not used. It keeps dump, blocks and cabinet in memory at once. Beyond 65535 blocks it
truncates the count and writes a cabinet without the rest of the data.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from ctypes import c_uint8, c_uint16, c_uint32, sizeof
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..constants import Hresult
from ..request import DumpRefused
from .encode import add_struct, fields_of
from .layout import Buffer, Entry, Layout, LayoutError, LayoutMap, Section, Sink
from .structs import Packed

BLOCK = 0x8000
"""Uncompressed bytes of a CFDATA block. The last block may hold fewer."""
MAXIMUM_BLOCKS = 0xFFFF
MAXIMUM_NAME = 256
_SIGNATURE = b"MSCF"
_STORED, _MSZIP = 0, 1
_ARCHIVE, _NAME_IS_UTF = 0x20, 0x80
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_FIRST_YEAR, _LAST_YEAR = 1980, 2107  # the year field has seven bits


class CFHEADER(Packed):
    """docs/format/cabinet.md#cabinet-header"""

    _fields_ = (
        ("signature", c_uint8 * 4),
        ("reserved1", c_uint32),
        ("cbCabinet", c_uint32),
        ("reserved2", c_uint32),
        ("coffFiles", c_uint32),
        ("reserved3", c_uint32),
        ("versionMinor", c_uint8),
        ("versionMajor", c_uint8),
        ("cFolders", c_uint16),
        ("cFiles", c_uint16),
        ("flags", c_uint16),
        ("setID", c_uint16),
        ("iCabinet", c_uint16),
    )


class CFFOLDER(Packed):
    """docs/format/cabinet.md#folders"""

    _fields_ = (("coffCabStart", c_uint32), ("cCFData", c_uint16), ("typeCompress", c_uint16))


class CFFILE(Packed):
    """docs/format/cabinet.md#members"""

    _fields_ = (
        ("cbFile", c_uint32),
        ("uoffFolderStart", c_uint32),
        ("iFolder", c_uint16),
        ("date", c_uint16),
        ("time", c_uint16),
        ("attribs", c_uint16),
    )


class CFDATA(Packed):
    """docs/format/cabinet.md#blocks"""

    _fields_ = (("csum", c_uint32), ("cbData", c_uint16), ("cbUncomp", c_uint16))


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the cabinet. ``emit`` writes exactly ``size`` bytes, in order, to a sink that takes no patch."""

    name: str
    size: int
    emit: Callable[[Sink], object]


def bytes_member(name: str, data: bytes) -> Member:
    """Return a member whose contents are in memory."""
    return Member(name, len(data), lambda sink: sink.write(data))


class Cabinet:
    """A cabinet that is laid out; no byte is written yet.

    ``time`` is the FILETIME, in UTC, that every member is dated with. The same members and time give the same bytes
    with the same version of zlib.

    Raises DumpRefused with ERROR_FILE_TOO_LARGE for more than 65535 blocks, with E_INVALIDARG for a bad name.
    """

    def __init__(self, members: Sequence[Member], *, time: int, compress: bool = True) -> None:
        total = sum(member.size for member in members)
        blocks = -(-total // BLOCK)
        if blocks > MAXIMUM_BLOCKS:
            raise DumpRefused(
                Hresult.ERROR_FILE_TOO_LARGE,
                f"cabinet: {total} bytes of files, a folder holds at most {MAXIMUM_BLOCKS * BLOCK}",
            )
        for member in members:
            if not member.name or "\0" in member.name or len(_name(member.name)) > MAXIMUM_NAME:
                raise DumpRefused(
                    Hresult.E_INVALIDARG,
                    f"cabinet: name {member.name!r}, expected 1 to {MAXIMUM_NAME} bytes of UTF-8 without NUL",
                )
        self.names = tuple(member.name for member in members)
        self._members = tuple(members)
        self._compress = compress
        self._head = _head(members, blocks, time, _MSZIP if compress else _STORED)

    def emit(self, sink: Sink) -> LayoutMap:
        """Write the cabinet and return its map. The signature is written last: a truncated file is no cabinet.

        Raises what the sink or a member raises, and LayoutError when a member does not write ``size`` bytes.
        """
        head = self._head.freeze()
        self._head.emit(sink)
        blocks = _Blocks(sink, head.size, compress=self._compress)
        expected = 0
        for member in self._members:
            expected += member.size
            member.emit(blocks)
            if blocks.taken != expected:
                raise LayoutError(
                    f"{member.name}: wrote {member.size + blocks.taken - expected} bytes, expected {member.size}"
                )
        blocks.close()
        sink.patch(0, _SIGNATURE + bytes(4) + blocks.end.to_bytes(4, "little"))
        sections = (*head.sections, Entry("CFDATA", "section", head.size, blocks.end - head.size))
        return LayoutMap((*head.entries, *blocks.entries), sections)


def _head(members: Sequence[Member], blocks: int, time: int, compression: int) -> Layout:
    """The headers in front of the data. ``emit`` writes signature and cbCabinet at the end."""
    header, folder, files, data = Section("CFHEADER"), Section("CFFOLDER"), Section("CFFILE"), Section("Blocks")
    later = ["signature", "cbCabinet"]
    add_struct(header, "CFHEADER", CFHEADER, {
        "coffFiles": files.start,
        "versionMinor": 3,
        "versionMajor": 1,
        "cFolders": 1,
        "cFiles": len(members),
    }, zero=[*later, "reserved1", "reserved2", "reserved3", "flags", "setID", "iCabinet"])  # fmt: skip
    add_struct(folder, "CFFOLDER", CFFOLDER, {
        "coffCabStart": data.start,
        "cCFData": blocks,
        "typeCompress": compression,
    })  # fmt: skip
    date, clock = _dos_time(time)
    start = 0
    for index, member in enumerate(members):
        add_struct(files, f"CFFILE[{index}]", CFFILE, {
            "cbFile": member.size,
            "uoffFolderStart": start,
            "date": date,
            "time": clock,
            "attribs": _ARCHIVE if member.name.isascii() else _ARCHIVE | _NAME_IS_UTF,
        }, zero=["iFolder"])  # fmt: skip
        files.add(f"CFFILE[{index}].szName", "name", _name(member.name) + b"\0")
        start += member.size
    layout = Layout()
    for section in (header, folder, files, data):
        layout.place(section)
    return layout


class _Blocks:
    """A sink that cuts its input into CFDATA blocks. The block before is the dictionary of the compression."""

    def __init__(self, sink: Sink, start: int, *, compress: bool) -> None:
        self._sink = sink
        self._compress = compress
        self._pending = bytearray()
        self._history = b""
        self._packed = b""
        self._steady = False
        self._count = 0
        self.taken = 0
        self.end = start
        self.entries: list[Entry] = []

    def write(self, data: Buffer) -> None:
        view = memoryview(data)
        self.taken += view.nbytes
        while view.nbytes:
            room = BLOCK - len(self._pending)
            self._pending += view[:room]
            view = view[room:]
            if len(self._pending) == BLOCK:
                self._block()

    def write_zeros(self, size: int) -> None:
        for at in range(0, size, BLOCK):
            self.write(bytes(min(BLOCK, size - at)))

    def patch(self, offset: int, data: bytes) -> None:
        raise LayoutError(
            f"cabinet: a member patches {len(data)} bytes at {offset:#x}, but its bytes are written once and in order"
        )

    def close(self) -> None:
        if self._pending:
            self._block()

    def _block(self) -> None:
        data = bytes(self._pending)
        self._pending.clear()
        # Of equal blocks in a row, all but the first have the same dictionary and so pack to the same bytes.
        if not (self._steady and data == self._history):
            self._packed = _mszip(data, self._history) if self._compress else data
            self._steady = data == self._history
        packed = self._packed
        self._history = data
        sizes = len(packed).to_bytes(2, "little") + len(data).to_bytes(2, "little")
        csum = checksum(packed) ^ int.from_bytes(sizes, "little")
        self._sink.write(csum.to_bytes(4, "little") + sizes + packed)
        path, head = f"CFDATA[{self._count}]", sizeof(CFDATA)
        self.entries.append(Entry(path, "CFDATA", self.end, head, fields_of(CFDATA)))
        self.entries.append(Entry(f"{path}.ab", "data", self.end + head, len(packed)))
        self.end += head + len(packed)
        self._count += 1


def _mszip(data: bytes, history: bytes) -> bytes:
    """Return 'CK' and one deflate stream, at most 12 bytes longer than ``data`` (docs/format/cabinet.md#mszip)."""
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS, zdict=history)
    packed = deflate.compress(data) + deflate.flush()
    if len(packed) > len(data) + 5:  # RFC 1951 3.2.4: one final block, not compressed
        size = len(data).to_bytes(2, "little")
        packed = b"\x01" + size + bytes(byte ^ 0xFF for byte in size) + data
    return b"CK" + packed


def checksum(data: bytes) -> int:
    """Return the XOR of the little-endian dwords; 1 to 3 bytes left over count as one big-endian number.

    docs/format/cabinet.md#checksum-of-a-block
    """
    whole = len(data) & ~3
    value, width = int.from_bytes(data[:whole], "little"), 8 * whole
    while width > 32:  # XOR the upper half onto the lower, at a dword boundary
        half = (width // 2 + 31) & ~31
        value = (value & (1 << half) - 1) ^ (value >> half)
        width = half
    return value ^ int.from_bytes(data[whole:], "big")


def _name(name: str) -> bytes:
    return name.encode("utf-8", "replace")


def _dos_time(filetime: int) -> tuple[int, int]:
    """Return date and time of CFFILE, in steps of two seconds. A time outside 1980 to 2107 becomes the nearest one."""
    try:
        moment = _EPOCH + timedelta(microseconds=filetime // 10)
    except OverflowError:
        moment = datetime(_LAST_YEAR + 1, 1, 1, tzinfo=UTC)
    if moment.year < _FIRST_YEAR:
        moment = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC)
    elif moment.year > _LAST_YEAR:
        moment = datetime(_LAST_YEAR, 12, 31, 23, 59, 58, tzinfo=UTC)
    return (
        (moment.year - _FIRST_YEAR) << 9 | moment.month << 5 | moment.day,
        moment.hour << 11 | moment.minute << 5 | moment.second // 2,
    )
