"""Judges the structure of a cabinet (docs/format/cabinet.md#cabinet-header).

These rules check header, folders, blocks, members and layout. The dump inside is judged by the rules of its format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ...case import CabinetCase
from ...model import Fault, Grade, Level, Source
from ...readers.cab_facts import Member
from ...rule import Checks, bad, cab_rule, ok
from ..asserts import overlaps

_METHODS: Final = {0: "none", 1: "MSZIP", 2: "Quantum", 3: "LZX"}
_PLAIN: Final = (0, 1)
_LZX: Final = 3
_LZX_WINDOWS: Final = range(15, 22)
"""Exponents of the sizes of an LZX window ([MS-CAB] 2.2: bits 8 to 12 of typeCompress)."""
_PREVIOUS, _NEXT, _RESERVE = 1, 2, 4
_ATTRIBUTES: Final = 0x01 | 0x02 | 0x04 | 0x20 | 0x40 | 0x80
"""Read-only, hidden, system, archive, execute, name in UTF-8 (docs/format/cabinet.md#members)."""


@cab_rule(
    "CAB-HEADER-001",
    "The file holds the whole header, including the parts that its flags announce",
    Level.MUST,
    Source("docs/format/cabinet.md#cabinet-header", Grade.DOCUMENTED),
    reports=("cab.header",),
)
def whole_header(case: CabinetCase) -> Checks:
    """The header has 36 bytes. Flags add a reserved area and the names of other cabinets."""
    if case.dump.header is not None and not case.dump.defects_of("cab.header"):
        yield ok("header")


@cab_rule(
    "CAB-HEADER-002",
    "The version is 1.3; reserved fields and unknown flags are 0",
    Level.MUST,
    Source("docs/format/cabinet.md#cabinet-header", Grade.DOCUMENTED),
    needs=("header",),
)
def version(case: CabinetCase) -> Checks:
    """Extractors refuse another version; cabextract only warns."""
    header = case.dump.header
    assert header is not None
    for name, value in (
        ("versionMajor", 1), ("versionMinor", 3), ("reserved1", 0), ("reserved2", 0), ("reserved3", 0),
    ):  # fmt: skip
        if header[name] == value:
            yield ok(f"header, {name}")
        else:
            yield bad(f"header, {name}", f"{value}", f"{header[name]:#x}", header.span_of(name))
    unknown = header["flags"] & ~(_PREVIOUS | _NEXT | _RESERVE)
    if unknown:
        yield bad("header, flags", "only bits 1, 2 and 4", f"also bits {unknown:#x}", header.span_of("flags"))
    else:
        yield ok("header, flags")


@cab_rule(
    "CAB-HEADER-003",
    "cbCabinet is the size of the file",
    Level.MUST,
    Source("docs/format/cabinet.md#cabinet-header", Grade.DOCUMENTED),
    needs=("header",),
)
def size(case: CabinetCase) -> Checks:
    """A shorter file is truncated. Extractors ignore bytes past the end of the cabinet."""
    header = case.dump.header
    assert header is not None
    if header["cbCabinet"] == case.dump.source.size:
        yield ok("header, cbCabinet")
    else:
        actual = f"{header['cbCabinet']:#x}"
        yield bad("header, cbCabinet", f"{case.dump.source.size:#x}", actual, header.span_of("cbCabinet"))


@cab_rule(
    "CAB-HEADER-004",
    "The cabinet is not part of a set",
    Level.MUST,
    Source("docs/format/cabinet.md#dump-in-the-cabinet", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/cabinet.md#cabinet-header", Grade.DOCUMENTED),
    needs=("header",),
)
def alone(case: CabinetCase) -> Checks:
    """A cabinet of a set holds only a piece of the dump. So no cabinet comes before or after this one, and iCabinet is
    0.
    """
    header = case.dump.header
    assert header is not None
    if header["flags"] & (_PREVIOUS | _NEXT):
        yield bad("header, flags", "bits 1 and 2 clear", f"{header['flags']:#x}", header.span_of("flags"))
    else:
        yield ok("header, flags")
    if header["iCabinet"]:
        yield bad("header, iCabinet", "0", f"{header['iCabinet']}", header.span_of("iCabinet"))
    else:
        yield ok("header, iCabinet")


@cab_rule(
    "CAB-FOLDER-001",
    "The cabinet has at least one folder, and all folder entries lie in the file",
    Level.MUST,
    Source("docs/format/cabinet.md#folders", Grade.DOCUMENTED),
    needs=("header",),
    reports=("cab.folders",),
)
def folders(case: CabinetCase) -> Checks:
    """cFolders entries follow directly after the header."""
    header = case.dump.header
    assert header is not None
    if case.dump.folders:
        yield ok("folders", len(case.dump.folders))
    elif not header["cFolders"]:
        yield bad("header, cFolders", "at least 1", "0", header.span_of("cFolders"), fault=Fault.MISSING)


@cab_rule(
    "CAB-FOLDER-002",
    "Every folder is stored, or compressed with MSZIP or LZX",
    Level.MUST,
    Source("docs/format/cabinet.md#dump-in-the-cabinet", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/cabinet.md#folders", Grade.INFERRED),
    needs=("folders",),
    foreign_level=Level.SHOULD,
)
def methods(case: CabinetCase) -> Checks:
    """The engines compress with LZX and a window of 2 MiB; the judge does not expand it. Quantum is legal in a cabinet,
    but hardly any tool expands it. Only those two use the bits above the method.
    """
    for folder in case.dump.folders:
        value = folder.record["typeCompress"]
        lzx = value & 0xFF == _LZX and value >> 8 in _LZX_WINDOWS
        if value in _PLAIN or lzx:
            yield ok(folder.record.path)
        else:
            span = folder.record.span_of("typeCompress")
            actual = f"{value:#x}, {_METHODS.get(folder.method, 'unknown')}"
            expected = ("0, none", "1, MSZIP", "3, LZX with a window of 15 to 21 bits")
            yield bad(f"{folder.record.path}, typeCompress", expected, actual, span)


@cab_rule(
    "CAB-DATA-001",
    "Every block lies in the file",
    Level.MUST,
    Source("docs/format/cabinet.md#blocks", Grade.DOCUMENTED),
    needs=("folders",),
    reports=("cab.data",),
)
def blocks(case: CabinetCase) -> Checks:
    """The cCFData blocks of a folder follow each other directly."""
    count = sum(folder.blocks for folder in case.dump.folders)
    if count:
        yield ok("blocks", count)


@cab_rule(
    "CAB-DATA-002",
    "Every checksum is correct or 0",
    Level.MUST,
    Source("docs/format/cabinet.md#checksum-of-a-block", Grade.DOCUMENTED),
    needs=("folders",),
    reports=("cab.checksum",),
)
def checksums(case: CabinetCase) -> Checks:
    """The checksum covers the bytes of a block and its two sizes. 0 means that the block has no checksum. Extractors
    refuse a block with a wrong checksum.
    """
    count = sum(folder.blocks for folder in case.dump.folders) - case.dump.defects_of("cab.checksum")
    if count:
        yield ok("blocks", count)


@cab_rule(
    "CAB-DATA-003",
    "Every block expands to cbUncomp bytes",
    Level.MUST,
    Source("docs/format/cabinet.md#blocks", Grade.DOCUMENTED),
    Source("docs/format/cabinet.md#mszip", Grade.DOCUMENTED),
    needs=("folders",),
    reports=("cab.block",),
)
def expansion(case: CabinetCase) -> Checks:
    """A block expands to 1 to 32768 bytes; a stored block has equal sizes. An MSZIP block is deflate with the output of
    the previous blocks as history. A writer that drops the history produces one right block and wrong ones after it.
    """
    count = sum(folder.blocks for folder in case.dump.folders) - case.dump.defects_of("cab.block")
    if count:
        yield ok("blocks", count)


@cab_rule(
    "CAB-FILE-001",
    "The cabinet has at least one member, and all member entries lie in the file",
    Level.MUST,
    Source("docs/format/cabinet.md#members", Grade.DOCUMENTED),
    needs=("header",),
    reports=("cab.members",),
)
def members(case: CabinetCase) -> Checks:
    """cFiles entries begin at coffFiles. Each has a name that ends with a NUL within 256 bytes."""
    header = case.dump.header
    assert header is not None
    if case.dump.members:
        yield ok("members", len(case.dump.members))
    elif not header["cFiles"]:
        yield bad("header, cFiles", "at least 1", "0", header.span_of("cFiles"), fault=Fault.MISSING)


@cab_rule(
    "CAB-FILE-002",
    "Every member lies in its folder",
    Level.MUST,
    Source("docs/format/cabinet.md#members", Grade.DOCUMENTED),
    needs=("folders", "members", "data"),
)
def member_places(case: CabinetCase) -> Checks:
    """iFolder names a folder, and ``[uoffFolderStart, uoffFolderStart + cbFile)`` lies in its expanded data."""
    for member in case.dump.members:
        record = member.record
        if member.folder is None:
            expected = f"below {len(case.dump.folders)}, the number of folders"
            actual = f"{record['iFolder']:#x}"
            yield bad(f"{member.name}, iFolder", expected, actual, record.span_of("iFolder"))
        elif member.folder.data is not None and member.end > member.folder.size:
            expected = f"an end of at most {member.folder.size:#x}"
            spans = (record.span_of("uoffFolderStart"), record.span_of("cbFile"))
            yield bad(member.name, expected, f"{member.end:#x}", *spans)
        else:
            yield ok(member.name)


@cab_rule(
    "CAB-FILE-003",
    "The members fill their folders without gap or overlap",
    Level.MUST,
    Source("docs/format/cabinet.md#members", Grade.INFERRED),
    needs=("folders", "members", "data"),
    foreign_level=Level.SHOULD,
)
def filled(case: CabinetCase) -> Checks:
    """Members follow each other in their folder. A gap is lost or leaked data. In an overlap, the bytes are wrong for
    one of the members.
    """
    inside: dict[int, list[Member]] = {folder.index: [] for folder in case.dump.folders}
    for member in case.dump.members:
        if member.folder is not None:
            inside[member.folder.index].append(member)
    for folder in case.dump.folders:
        if folder.data is None:
            continue
        at = 0
        for member in sorted(inside[folder.index], key=lambda member: member.start):
            span = member.record.span_of("uoffFolderStart")
            if member.start == at:
                yield ok(member.name)
            else:
                yield bad(f"{member.name}, uoffFolderStart", f"{at:#x}", f"{member.start:#x}", span)
            at = member.end
        if at == folder.size:
            yield ok(folder.record.path)
        else:
            expected = f"members up to the folder's end, {folder.size:#x}"
            yield bad(folder.record.path, expected, f"{at:#x}", folder.record.span)


@cab_rule(
    "CAB-FILE-004",
    "Member names are relative, unique and correctly encoded",
    Level.MUST,
    Source("docs/format/cabinet.md#members", Grade.DOCUMENTED),
    Source("docs/format/cabinet.md#members", Grade.IMPLEMENTED),
    Source("docs/format/cabinet.md#members", Grade.INFERRED),
    needs=("members",),
    foreign_level=Level.SHOULD,
)
def names(case: CabinetCase) -> Checks:
    """A name is not empty. A name that is not ASCII is UTF-8 and has the UTF-8 attribute. It has no drive, no leading
    slash and no step upwards. Windows ignores case, so two names must not differ in case alone.
    """
    seen: set[str] = set()
    for member in case.dump.members:
        wrong = list(_name_faults(member))
        if member.name.casefold() in seen:
            wrong.append("also the name of another member")
        seen.add(member.name.casefold())
        if wrong:
            yield bad(f"name of {member.record.path}", "a unique relative name", "; ".join(wrong), member.name_span)
        else:
            yield ok(member.name)


def _name_faults(member: Member) -> Iterator[str]:
    if not member.raw_name:
        yield "empty"
    if "\ufffd" in member.name and member.utf8:
        yield "not UTF-8"
    if not member.raw_name.isascii() and not member.utf8:
        yield "not ASCII, but without the UTF-8 attribute"
    parts = re.split(r"[\\/]", member.name)
    if ":" in member.name or (parts[0] == "" and len(parts) > 1) or ".." in parts:
        yield f"leads out of the folder: {member.name!r}"


@cab_rule(
    "CAB-FILE-005",
    "Member attributes have only defined bits",
    Level.MUST,
    Source("docs/format/cabinet.md#members", Grade.DOCUMENTED),
    needs=("members",),
    foreign_level=Level.SHOULD,
)
def attributes(case: CabinetCase) -> Checks:
    """The bits are read-only, hidden, system, archive, execute, and name in UTF-8."""
    for member in case.dump.members:
        unknown = member.record["attribs"] & ~_ATTRIBUTES
        if unknown:
            span = member.record.span_of("attribs")
            yield bad(f"{member.name}, attribs", f"only bits of {_ATTRIBUTES:#x}", f"also bits {unknown:#x}", span)
        else:
            yield ok(member.name)


@cab_rule(
    "CAB-LAYOUT-001",
    "No two structures overlap",
    Level.MUST,
    Source("docs/format/cabinet.md#order-of-a-cabinet", Grade.INFERRED),
    needs=("accounting",),
)
def no_overlap(case: CabinetCase) -> Checks:
    """The structures are header, entries and blocks. With folders that share blocks, a small file can expand without
    limit.
    """
    yield from overlaps(case.dump.accounting)


@cab_rule(
    "CAB-LAYOUT-002",
    "Every byte of the cabinet belongs to a structure",
    Level.MUST,
    Source("docs/format/cabinet.md#order-of-a-cabinet", Grade.INFERRED),
    needs=("accounting",),
    foreign_level=Level.SHOULD,
)
def no_gap(case: CabinetCase) -> Checks:
    """The format asks for no alignment, so there is no padding."""
    accounting = case.dump.accounting
    for gap in accounting.gaps:
        yield bad("gap", "bytes of a structure", f"{len(gap)} bytes", gap, fault=Fault.FORBIDDEN)
    hidden = accounting.gap_total - len(accounting.gaps)
    if hidden:
        yield bad("further gaps", "none", f"{hidden} more", fault=Fault.FORBIDDEN)
    yield ok("regions", max(1, accounting.regions))
