"""Cabinets: header, folders, blocks, members, and whose bytes are whose. The dump inside is judged by its own rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ...case import CabinetCase
from ...model import Fault, Grade, Level, Source
from ...readers.cab_facts import Cabinet, Member
from ...rule import Checks, bad, cab_rule, ok
from ..overlaps import overlaps

_METHODS: Final = {0: "none", 1: "MSZIP", 2: "Quantum", 3: "LZX"}
_READABLE: Final = (0, 1)
_PREVIOUS, _NEXT, _RESERVE = 1, 2, 4
_ATTRIBUTES: Final = 0x01 | 0x02 | 0x04 | 0x20 | 0x40 | 0x80
"""[MS-CAB] 2.3: read-only, hidden, system, archive, execute, name is UTF-8."""
_UTF8: Final = 0x80


def _ms_cab(where: str) -> Source:
    return Source(f"[MS-CAB] {where}; spec user-mode 1.8", Grade.DOCUMENTED)


@cab_rule(
    "CAB-HEADER-001",
    "The file holds a whole header, with all that its flags add",
    Level.MUST,
    _ms_cab("2.1"),
    reports=("cab.header",),
)
def whole_header(case: CabinetCase) -> Checks:
    """36 bytes, then a reserved area and the names of other cabinets where the flags say so."""
    if case.dump.header is not None and not case.dump.defects_of("cab.header"):
        yield ok("header")


@cab_rule(
    "CAB-HEADER-002",
    "The version is 1.3, and reserved fields and flags are 0",
    Level.MUST,
    _ms_cab("2.1"),
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
        yield bad("header, flags", "no bit but 1, 2 and 4", f"bits {unknown:#x}", header.span_of("flags"))
    else:
        yield ok("header, flags")


@cab_rule("CAB-HEADER-003", "cbCabinet is the size of the file", Level.MUST, _ms_cab("2.1"), needs=("header",))
def size(case: CabinetCase) -> Checks:
    """A file that is shorter was cut off; what lies behind the end of the cabinet no extractor ever sees."""
    header = case.dump.header
    assert header is not None
    if header["cbCabinet"] == case.dump.source.size:
        yield ok("header, cbCabinet")
    else:
        actual = f"{header['cbCabinet']:#x}"
        yield bad("header, cbCabinet", f"{case.dump.source.size:#x}", actual, header.span_of("cbCabinet"))


@cab_rule(
    "CAB-HEADER-004",
    "The cabinet stands alone",
    Level.MUST,
    _ms_cab("2.1"),
    needs=("header",),
)
def alone(case: CabinetCase) -> Checks:
    """One of a set of cabinets holds only a piece of the dump. No cabinet comes before it or follows it, and it is
    number 0 of its set.
    """
    header = case.dump.header
    assert header is not None
    if header["flags"] & (_PREVIOUS | _NEXT):
        yield bad("header, flags", "no other cabinet", f"{header['flags']:#x}", header.span_of("flags"))
    else:
        yield ok("header, flags")
    if header["iCabinet"]:
        yield bad("header, iCabinet", "0", f"{header['iCabinet']}", header.span_of("iCabinet"))
    else:
        yield ok("header, iCabinet")


@cab_rule(
    "CAB-FOLDER-001",
    "The folders lie in the file, and there is one",
    Level.MUST,
    _ms_cab("2.2"),
    needs=("header",),
    reports=("cab.folders",),
)
def folders(case: CabinetCase) -> Checks:
    """cFolders entries directly behind the header."""
    header = case.dump.header
    assert header is not None
    if case.dump.folders:
        yield ok("folders", len(case.dump.folders))
    elif not header["cFolders"]:
        yield bad("header, cFolders", "at least 1", "0", header.span_of("cFolders"), fault=Fault.MISSING)


@cab_rule(
    "CAB-FOLDER-002",
    "Every folder is stored, or compressed by MSZIP",
    Level.MUST,
    _ms_cab("2.2"),
    Source("learn.microsoft.com .dumpcab; spec user-mode 1.8: stored and MSZIP", Grade.INFERRED),
    needs=("folders",),
    foreign_level=Level.SHOULD,
)
def methods(case: CabinetCase) -> Checks:
    """Quantum and LZX are legal in a cabinet. The judge does not expand them, and many other tools do not. The bits
    above the method have a meaning for those two only.
    """
    for folder in case.dump.folders:
        if folder.record["typeCompress"] in _READABLE:
            yield ok(folder.record.path)
        else:
            span = folder.record.span_of("typeCompress")
            actual = f"{folder.record['typeCompress']:#x}, {_METHODS.get(folder.method, 'unknown')}"
            yield bad(f"{folder.record.path}, typeCompress", ("0, none", "1, MSZIP"), actual, span)


@cab_rule(
    "CAB-DATA-001",
    "Every block lies in the file",
    Level.MUST,
    _ms_cab("2.4"),
    needs=("folders",),
    reports=("cab.data",),
)
def blocks(case: CabinetCase) -> Checks:
    """cCFData blocks, each directly behind the other."""
    count = sum(folder.blocks for folder in case.dump.folders)
    if count:
        yield ok("blocks", count)


@cab_rule(
    "CAB-DATA-002",
    "Every checksum is right, or 0 for none",
    Level.MUST,
    _ms_cab("2.4, 3.1"),
    needs=("folders",),
    reports=("cab.checksum",),
)
def checksums(case: CabinetCase) -> Checks:
    """Over the block's bytes and its two sizes. Extractors refuse a block with a wrong one."""
    count = sum(folder.blocks for folder in case.dump.folders) - case.dump.defects_of("cab.checksum")
    if count:
        yield ok("blocks", count)


@cab_rule(
    "CAB-DATA-003",
    "Every block expands to the bytes that it says",
    Level.MUST,
    _ms_cab("2.4"),
    Source("[MS-MCI] MSZIP: 'CK', then deflate; kyz/libmspack mszipd.c", Grade.IMPLEMENTED),
    needs=("folders",),
    reports=("cab.block",),
)
def expansion(case: CabinetCase) -> Checks:
    """1 to 32768 bytes a block. A stored one has as many as it expands to. A block of MSZIP is deflate whose history is
    what the blocks before expanded to: with that forgotten, the first block comes out right and no other.
    """
    count = sum(folder.blocks for folder in case.dump.folders) - case.dump.defects_of("cab.block")
    if count:
        yield ok("blocks", count)


@cab_rule(
    "CAB-FILE-001",
    "The members' entries lie in the file, and there is one",
    Level.MUST,
    _ms_cab("2.3"),
    needs=("header",),
    reports=("cab.members",),
)
def members(case: CabinetCase) -> Checks:
    """cFiles entries from coffFiles on, each with a name that a NUL ends within 256 bytes."""
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
    _ms_cab("2.3"),
    needs=("folders", "members", "data"),
)
def member_places(case: CabinetCase) -> Checks:
    """iFolder names a folder, and ``[uoffFolderStart, + cbFile)`` is a piece of what that expands to."""
    for member in case.dump.members:
        record = member.record
        if member.folder is None:
            expected = f"below {len(case.dump.folders)}"
            actual = f"{record['iFolder']:#x}"
            yield bad(f"{member.name}, iFolder", expected, actual, record.span_of("iFolder"))
        elif member.folder.data is not None and member.end > member.folder.size:
            expected = f"an end at most {member.folder.size:#x}"
            spans = (record.span_of("uoffFolderStart"), record.span_of("cbFile"))
            yield bad(member.name, expected, f"{member.end:#x}", *spans)
        else:
            yield ok(member.name)


@cab_rule(
    "CAB-FILE-003",
    "The members fill their folders",
    Level.MUST,
    _ms_cab("2.3"),
    Source("no cabinet has bytes that belong to no member, or to two; spec user-mode 1.8", Grade.INFERRED),
    needs=("folders", "members", "data"),
    foreign_level=Level.SHOULD,
)
def filled(case: CabinetCase) -> Checks:
    """Members stand in their folder one behind the other. Bytes of no member are lost or leaked, those of two the
    wrong ones for one of them.
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
            expected = f"members up to {folder.size:#x}, the end of {folder.record.path}"
            yield bad(folder.record.path, expected, f"{at:#x}", folder.record.span)


@cab_rule(
    "CAB-FILE-004",
    "Every member has a name of its own, that leads to no other place",
    Level.MUST,
    _ms_cab("2.3: _A_NAME_IS_UTF"),
    Source("kyz/libmspack cabextract.c strips leading slashes and ../", Grade.INFERRED),
    needs=("members",),
    foreign_level=Level.SHOULD,
)
def names(case: CabinetCase) -> Checks:
    """Not empty; in UTF-8 and marked as such where it is not ASCII; relative, without drive and without a step
    upwards; and, since Windows does not tell upper from lower case, unlike every other name in every letter.
    """
    seen: set[str] = set()
    for member in case.dump.members:
        wrong = list(_name_faults(member))
        if member.name.casefold() in seen:
            wrong.append("the name of another member, too")
        seen.add(member.name.casefold())
        if wrong:
            yield bad(f"name of {member.record.path}", "a relative name of its own", "; ".join(wrong), member.name_span)
        else:
            yield ok(member.name)


def _name_faults(member: Member) -> Iterator[str]:
    if not member.raw_name:
        yield "empty"
    if "\ufffd" in member.name and member.utf8:
        yield "not UTF-8"
    if not member.raw_name.isascii() and not member.utf8:
        yield "not ASCII, and not marked as UTF-8"
    parts = re.split(r"[\\/]", member.name)
    if ":" in member.name or (parts[0] == "" and len(parts) > 1) or ".." in parts:
        yield f"leads out of the folder: {member.name!r}"


@cab_rule(
    "CAB-FILE-005",
    "A member's attributes are those that a cabinet has",
    Level.MUST,
    _ms_cab("2.3"),
    needs=("members",),
    foreign_level=Level.SHOULD,
)
def attributes(case: CabinetCase) -> Checks:
    """Read-only, hidden, system, archive, execute, and the mark of a name in UTF-8."""
    for member in case.dump.members:
        unknown = member.record["attribs"] & ~_ATTRIBUTES
        if unknown:
            span = member.record.span_of("attribs")
            yield bad(f"{member.name}, attribs", f"no bit outside {_ATTRIBUTES:#x}", f"bits {unknown:#x}", span)
        else:
            yield ok(member.name)


@cab_rule(
    "CAB-LAYOUT-001",
    "No two things of the cabinet want the same bytes",
    Level.MUST,
    Source("[MS-CAB] 2: header, folders, files, then the data of each folder", Grade.INFERRED),
    needs=("accounting",),
)
def no_overlap(case: CabinetCase) -> Checks:
    """Entries and blocks have bytes of their own. Folders that share blocks are how a small file expands without
    end.
    """
    yield from overlaps(case.dump.accounting)


@cab_rule(
    "CAB-LAYOUT-002",
    "Every byte of the cabinet belongs to something",
    Level.MUST,
    Source("[MS-CAB] 2: header, folders, files, then the data of each folder", Grade.INFERRED),
    needs=("accounting",),
    foreign_level=Level.SHOULD,
)
def no_gap(case: CabinetCase) -> Checks:
    """No alignment is called for anywhere, so there is no padding either."""
    accounting = case.dump.accounting
    for gap in accounting.gaps:
        yield bad("gap", "bytes that something owns", f"{len(gap)} bytes", gap, fault=Fault.FORBIDDEN)
    hidden = accounting.gap_total - len(accounting.gaps)
    if hidden:
        yield bad("further gaps", "none", f"{hidden} more", fault=Fault.FORBIDDEN)
    yield ok("regions", max(1, accounting.regions))


@cab_rule(
    "CAB-CEILING-001",
    "The cabinet expands to no more than the judge can examine",
    Level.MUST,
    Source("ceilings of their own: kyz/libmspack cab.h, Cisco-Talos/clamav clamd.conf", Grade.IMPLEMENTED),
    reports=(Cabinet.ceiling_topic,),
)
def within_ceiling(case: CabinetCase) -> Checks:
    """What lies beyond the ceiling was not examined, so it cannot be called conformant."""
    if not case.dump.defects_of(Cabinet.ceiling_topic):
        yield ok("file")
