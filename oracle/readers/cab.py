"""Reads cabinets into a ``Cabinet`` and expands their members: stored and MSZIP folders ([MS-CAB], [MS-MCI]).

Deflate can expand a block a thousandfold, so the data of all folders has a limit: a number of bytes that no property
of the file raises. A block counts with the size that it names, before it is expanded; so a broken block counts, too.
All blocks together may not take more bytes than the file has, so folders that share blocks are not read over and over.
Expanded data is kept in memory up to 32 MiB, then in a temporary file. It is expanded once for each open source.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

from ..budget import MAX_EXPANSION, Budget
from ..decode import Record, decode, structure
from ..memory.source import ByteSource
from ..model import Span
from .accounting import account
from .cab_facts import UNREAD, Cabinet, Folder, Member, member_name
from .identify import identify
from .reading import MOST_RECORDS
from .spool import Spool

__all__ = ["Cabinet", "read_cabinet"]

STORED, MSZIP = 0, 1
MAX_BLOCK: Final = 32_768
"""Bytes that a block may expand to: cbUncomp, [MS-CAB] 2.4."""
_WINDOW: Final = 32_768
"""Bytes of earlier output that an MSZIP block can refer to: [MS-MCI]."""
_MAX_NAME: Final = 256
"""Bytes of a name with its NUL: CB_MAX_FILENAME, [MS-CAB] 2.3."""
_PREVIOUS, _NEXT, _RESERVE = 1, 2, 4
"""[MS-CAB] 2.1: cfhdrPREV_CABINET, cfhdrNEXT_CABINET, cfhdrRESERVE_PRESENT."""


def read_cabinet(source: ByteSource, max_expansion: int = MAX_EXPANSION) -> Cabinet:
    """Read a cabinet and expand its members, to at most ``max_expansion`` bytes in all. Never raises on content."""
    read = source.kept.get(("cabinet", max_expansion))
    if not isinstance(read, Cabinet):
        read = source.kept["cabinet", max_expansion] = _read(source, max_expansion)
    return read.fresh()


def _read(source: ByteSource, max_expansion: int) -> Cabinet:
    cabinet = Cabinet(source)
    cabinet.budget = Budget(source.size, MOST_RECORDS + max_expansion // MAX_BLOCK)
    header = decode(source, 0, "CFHEADER", "header")
    cabinet.claim(Span(0, min(header.structure.size, source.size)), "header")
    if header.complete:
        cabinet.header = header
        cabinet.found("header")
        cabinet.dont_care(header.span_of("setID"), "setID: any number; the cabinets of a set share it ([MS-CAB] 2.1)")
        at = _behind_header(cabinet, header)
        if at is not None:
            _read_folders(cabinet, at, header["cFolders"])
        if "folders" not in cabinet.broken:
            _expand(cabinet, max_expansion)
        _read_members(cabinet, header["coffFiles"], header["cFiles"])
        for fact in ("folders", "data", "members"):
            cabinet.found(fact)
    else:
        whole, actual = f"{header.structure.size} bytes", f"{source.size} bytes"
        cabinet.defect("cab.header", "header", whole, actual, Span(0, source.size), loses=("header", "members"))
    cabinet.accounting = account(cabinet, max_padding=0)
    cabinet.found("accounting")
    return cabinet


def _behind_header(cabinet: Cabinet, header: Record) -> int | None:
    """The offset of the first CFFOLDER, after the reserved area and the names of the other cabinets; None if cut."""
    at = header.span.end
    if header["flags"] & _RESERVE:
        record = decode(cabinet.source, at, "CFHEADER_RESERVE", "reserved sizes")
        area = Span(record.span.end, record.span.end + record["cbCFHeader"])
        if not record.complete or area.end > cabinet.source.size:
            _cut(cabinet, "header", "reserved area of the header", area.end)
            return None
        cabinet.claim(Span(at, area.end), "reserved area of the header")
        _reserved(cabinet, area)
        cabinet.folder_reserve, cabinet.block_reserve = record["cbCFFolder"], record["cbCFData"]
        at = area.end
    for flag, names in ((_PREVIOUS, "previous"), (_NEXT, "next")):
        for what in ("cabinet", "disk") if header["flags"] & flag else ():
            name = cabinet.source.read(at, _MAX_NAME)
            end = name.find(b"\0") + 1
            if not end:
                _cut(cabinet, "header", f"name of the {names} {what}", at + _MAX_NAME)
                return None
            cabinet.claim(Span(at, at + end), f"name of the {names} {what}")
            at += end
    return at


def _cut(cabinet: Cabinet, topic: str, subject: str, end: int) -> None:
    size = cabinet.source.size
    loses = {"header": ("folders", "data", "members"), "folders": ("folders", "data", "members")}.get(topic, (topic,))
    cabinet.defect(
        f"cab.{topic}", subject, f"an end at most {size:#x}, where the file ends", f"{end:#x}",
        Span(min(end, size), size), loses=loses,
    )  # fmt: skip


def _read_folders(cabinet: Cabinet, at: int, count: int) -> None:
    size = structure("CFFOLDER").size + cabinet.folder_reserve
    end = at + count * size
    if end > cabinet.source.size:
        _cut(cabinet, "folders", f"{count} folders", end)
        return
    cabinet.claim(Span(at, end), "folders")
    for index in range(cabinet.grant(count, "folders", "folders", "data", "members")):
        record = decode(cabinet.source, at + index * size, "CFFOLDER", f"folder {index}")
        _reserved(cabinet, Span(record.span.end, record.span.start + size))
        cabinet.folders.append(Folder(index, record))


def _reserved(cabinet: Cabinet, area: Span) -> None:
    if len(area):
        cabinet.dont_care(area, "reserved area: belongs to the application ([MS-CAB] 2)")


def _expand(cabinet: Cabinet, limit: int) -> None:
    """Expand all folders into one spool, and give each folder its part."""
    room = _Room(limit, cabinet.source.size)
    spool = Spool()
    starts = []
    for folder in cabinet.folders:
        starts.append(spool.size)
        if "data" not in cabinet.unread:
            _expand_folder(cabinet, folder, spool, room)
    view = spool.view()
    for folder, start in zip(cabinet.folders, starts, strict=True):
        if folder.method in (STORED, MSZIP):
            folder.data = view[start : start + folder.size]


@dataclass(slots=True)
class _Room:
    """What blocks may still take."""

    limit: int
    """Bytes that all blocks together may expand to."""
    file: int
    """Bytes of the file that blocks may still take."""
    expanded: int = 0
    """Bytes that the blocks so far name as their expanded sizes."""

    def has(self, size: int, expanded: int) -> bool:
        """Take room for one more block; False if there is too little."""
        self.file -= size
        self.expanded += expanded
        return self.file >= 0 and self.expanded <= self.limit


def _expand_folder(cabinet: Cabinet, folder: Folder, spool: Spool, room: _Room) -> None:
    """Append the expanded blocks of a folder to ``spool``, up to the first bad block."""
    at, window = folder.record["coffCabStart"], b""
    wanted = folder.record["cCFData"]
    known = folder.method in (STORED, MSZIP)
    for index in range(cabinet.grant(wanted, "blocks of folders", "data")):
        record = decode(cabinet.source, at, "CFDATA", f"block {index} of folder {folder.index}")
        start = record.span.end + cabinet.block_reserve
        end = start + record["cbData"]
        if not record.complete or end > cabinet.source.size:
            _cut(cabinet, "data", record.path, end)
            return
        if not room.has(end - at, record["cbUncomp"] if known else 0):
            shared = "blocks that do not share bytes"
            limit = shared if room.file < 0 else f"at most {room.limit} bytes of expanded data (--max-expansion)"
            cabinet.leave(f"blocks of folder {folder.index}", limit, index, wanted, "data")
            return
        cabinet.claim(Span(at, end), record.path)
        _reserved(cabinet, Span(record.span.end, start))
        folder.blocks += 1
        data = cabinet.source.read(start, record["cbData"])
        _check_sum(cabinet, record, data)
        if known:
            piece = _expanded(cabinet, folder, record, data, window)
            if piece is None:
                return
            spool.write(piece)
            folder.size += len(piece)
            if folder.method == MSZIP:
                window = piece if len(piece) == _WINDOW else (window + piece)[-_WINDOW:]
        at = end
    folder.whole = folder.blocks == wanted


def _check_sum(cabinet: Cabinet, record: Record, data: bytes) -> None:
    """Report a wrong checksum. It loses no fact: the data is still read, and other rules judge it."""
    if not record["csum"]:
        return
    sizes = record.data()[4:]
    computed = checksum(data) ^ checksum(sizes)
    if computed != record["csum"]:
        expected = f"{computed:#x}, or 0 for none"
        cabinet.defect("cab.checksum", f"{record.path}, csum", expected, f"{record['csum']:#x}", record.span_of("csum"))


def checksum(data: bytes) -> int:
    """The checksum of [MS-CAB] 3.1: the XOR of the little-endian dwords, and of the last 1 to 3 bytes as big-endian.

    It folds one integer in half until a dword is left, because a loop over dwords takes seconds.
    """
    whole = len(data) & ~3
    value = int.from_bytes(data[:whole], "little")
    width = 32
    while width < 8 * whole:
        width *= 2
    while width > 32:
        width //= 2
        value = (value >> width) ^ (value & ((1 << width) - 1))
    return value ^ int.from_bytes(data[whole:], "big")


def _expanded(cabinet: Cabinet, folder: Folder, record: Record, data: bytes, window: bytes) -> bytes | None:
    """The expanded block; None, with a defect, if it does not expand to cbUncomp bytes."""
    size = record["cbUncomp"]
    if not 0 < size <= MAX_BLOCK:
        expected = f"1 to {MAX_BLOCK} bytes"
        cabinet.defect(
            "cab.block", f"{record.path}, cbUncomp", expected, f"{size}", record.span_of("cbUncomp"), loses=("data",)
        )
        return None
    if folder.method == STORED:
        why = None if len(data) == size else f"{len(data)} bytes stored"
        found = data
    else:
        found, why = _inflate(data, size, window)
    if why is None:
        return found
    span = Span(record.span.start, record.span.end + cabinet.block_reserve + len(data))
    cabinet.defect("cab.block", record.path, f"{size} bytes when expanded", why, span, loses=("data",))
    return None


def _inflate(data: bytes, size: int, window: bytes) -> tuple[bytes, str | None]:
    """The expanded MSZIP block, and what is wrong with it or None. ``window`` is the output before it."""
    if not data.startswith(b"CK"):
        return b"", f"not an MSZIP block: it begins with {data[:2].hex(' ') or 'nothing'}"
    inflater = zlib.decompressobj(-zlib.MAX_WBITS, zdict=window) if window else zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        found = inflater.decompress(data[2:], size + 1)
    except zlib.error as error:
        return b"", f"not deflate data: {error}"
    if len(found) > size:
        return b"", f"more than {size} bytes"
    if not inflater.eof:
        return b"", f"deflate data that does not end in its {len(data)} bytes"
    if inflater.unused_data:
        return b"", f"{len(inflater.unused_data)} bytes past the end of the deflate stream"
    return found, None if len(found) == size else f"{len(found)} bytes"


def _read_members(cabinet: Cabinet, at: int, count: int) -> None:
    kinds: dict[tuple[int, int, int], str] = {}
    for index in range(cabinet.grant(count, "members", "members")):
        record = decode(cabinet.source, at, "CFFILE", f"member {index}")
        raw = cabinet.source.read(record.span.end, _MAX_NAME)
        length = raw.find(b"\0")
        if not record.complete or length < 0:
            _cut(cabinet, "members", f"{record.path}, name", record.span.end + _MAX_NAME)
            return
        name_end = record.span.end + length + 1
        cabinet.claim(Span(at, name_end), record.path)
        at, number = name_end, record["iFolder"]
        name = Span(record.span.end, name_end)
        folder = cabinet.folders[number] if number < len(cabinet.folders) else None
        data = None if folder is None else folder.data
        start = record["uoffFolderStart"]
        end = start + record["cbFile"]
        if data is None or end > len(data):
            cabinet.members.append(Member(record, raw[:length], name, folder, None))
            cabinet.kinds.append(UNREAD)
            continue
        found = ByteSource(data[start:end], member_name(raw[:length], record))
        cabinet.members.append(Member(record, raw[:length], name, folder, found))
        place = (number, start, end)
        # Thousands of members may share their bytes.
        if place not in kinds:
            kinds[place] = identify(found).kind
        cabinet.kinds.append(kinds[place])
