"""What a cabinet holds: where one is asked for, one dump, under the right name, with the right time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from ...case import CabinetCase, FileCase
from ...model import Fault, Grade, Level, Source
from ...readers.cab_facts import UNREAD, Member
from ...readers.identify import CABINET
from ...rule import Checks, bad, cab_rule, file_rule, ok

# DbgEng.h DEBUG_FORMAT_XXX; spec user-mode 1.5
_WRITE_CAB = 0x2000_0000
_FORMAT_FLAGS = Source("learn.microsoft.com DEBUG_FORMAT_XXX; spec user-mode 1.5", Grade.DOCUMENTED)
_NAMING = Source("spec user-mode 1.8: WinDbg finds the dump in the cabinet by its name", Grade.INFERRED)
_ARCHIVE: Final = 0x20


def _flags(case: CabinetCase | FileCase) -> int:
    assert case.request is not None
    return case.request.format_flags_value


def _asked(case: CabinetCase) -> bool:
    return case.truth is not None and case.request is not None


@file_rule(
    "CAB-REQUEST-001",
    "The dump is in a cabinet exactly where the request asks for one",
    Level.MUST,
    _FORMAT_FLAGS,
    applies=lambda case: case.request is not None,
)
def wrapped(case: FileCase) -> Checks:
    """With WRITE_CAB the name given is that of the cabinet, and the dump itself is deleted. Without it, whoever opens
    the file expects a dump.
    """
    wanted, found = bool(_flags(case) & _WRITE_CAB), case.dump.kind == CABINET
    if wanted == found:
        yield ok("file")
    elif wanted:
        yield bad("file", "a cabinet: WRITE_CAB was asked for", f"a bare {case.dump.kind}")
    else:
        yield bad("file", "a bare dump: no WRITE_CAB was asked for", "a cabinet")


@cab_rule(
    "CAB-DUMP-001",
    "Exactly one member is a dump",
    Level.MUST,
    _FORMAT_FLAGS,
    needs=("members", "data"),
    foreign_level=Level.SHOULD,
)
def one_dump(case: CabinetCase) -> Checks:
    """Told by its first bytes. With two, which one a debugger opens is left to chance; other tools pack several. What
    cannot be expanded says nothing.
    """
    found = case.dump.dumps()
    if not found and UNREAD not in case.dump.kinds:
        kinds = ", ".join(f"{member.name}: {kind}" for member, kind in _with_kinds(case)) or "no member"
        yield bad("cabinet", "a minidump, a full user dump or a kernel dump", kinds, fault=Fault.MISSING)
    for member, kind in found[1:]:
        yield bad(member.name, f"no second dump beside {found[0][0].name}", kind, member.record.span,
                  fault=Fault.FORBIDDEN)  # fmt: skip
    if len(found) == 1:
        yield ok(found[0][0].name)


def _with_kinds(case: CabinetCase) -> Iterator[tuple[Member, str]]:
    return zip(case.dump.members, case.dump.kinds, strict=True)


@cab_rule(
    "CAB-DUMP-002",
    "The dump's name ends in .dmp, and no other does",
    Level.MUST,
    _NAMING,
    needs=("members", "data"),
    foreign_level=Level.SHOULD,
)
def dump_name(case: CabinetCase) -> Checks:
    """WinDbg opens a cabinet and looks for the member that ends so. The dump stands in no sub-folder."""
    dumps = [member for member, _ in case.dump.dumps()]
    for member, kind in _with_kinds(case):
        named = member.name.lower().endswith(".dmp")
        if kind == UNREAD:
            continue
        if member in dumps and (not named or re.search(r"[\\/]", member.name)):
            yield bad("name of the dump", "NAME.dmp", member.name, member.name_span)
        elif named and member not in dumps:
            yield bad(member.name, "a dump, as its name says", kind, member.record.span)
        else:
            yield ok(member.name)


@cab_rule(
    "CAB-DUMP-003",
    "The dump has the name of the file that was asked for",
    Level.SHOULD,
    _NAMING,
    needs=("members", "data"),
    applies=lambda case: _asked(case) and bool(case.request and case.request.file) and bool(case.dump.dumps()),
)
def named_after_the_file(case: CabinetCase) -> Checks:
    """NAME.cab holds NAME.dmp, so that what is extracted from ten cabinets are ten files. Of an absent name nothing is
    asked.
    """
    assert case.request is not None
    file = re.split(r"[\\/]", case.request.file)[-1]
    wanted = re.sub(r"\.[^.]*\Z", "", file) + ".dmp"
    member = case.dump.dumps()[0][0]
    if member.name.casefold() == wanted.casefold():
        yield ok(member.name)
    else:
        yield bad("name of the dump", wanted, member.name, member.name_span)


@cab_rule(
    "CAB-TIME-001",
    "Every member has the date and time of the dump",
    Level.MUST,
    Source("[MS-CAB] 2.3: date, time; spec user-mode 1.8", Grade.DOCUMENTED),
    needs=("members",),
    applies=_asked,
)
def times(case: CabinetCase) -> Checks:
    """Year from 1980, month, day; hours, minutes, seconds by two: those of the target, in UTC. The clock of the machine
    that wrote the cabinet would make the same dump another file each time.
    """
    assert case.truth is not None
    wanted = dos_time(case.truth.time)
    for member in case.dump.members:
        actual = (member.record["date"], member.record["time"])
        if actual == wanted:
            yield ok(member.name)
        else:
            expected = f"date {wanted[0]:#06x}, time {wanted[1]:#06x}"
            spans = (member.record.span_of("date"), member.record.span_of("time"))
            yield bad(member.name, expected, f"date {actual[0]:#06x}, time {actual[1]:#06x}", *spans)


def dos_time(filetime: int) -> tuple[int, int]:
    """Date and time words of a FILETIME; the first or the last that there is for one that they cannot hold."""
    first, last = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)
    try:
        when = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=filetime // 10)
    except OverflowError:
        when = last
    when = min(max(when, first), last)
    date = (when.year - 1980) << 9 | when.month << 5 | when.day
    return date, when.hour << 11 | when.minute << 5 | when.second // 2


@cab_rule(
    "CAB-ATTRIBUTES-001",
    "Every member has the archive attribute, and no other but the mark of its name",
    Level.MUST,
    Source("[MS-CAB] 2.3; spec user-mode 1.8: 0x20, and 0x80 for a name in UTF-8", Grade.INFERRED),
    needs=("members",),
    applies=_asked,
)
def archive(case: CabinetCase) -> Checks:
    """A file that was just written. An ASCII name needs no mark."""
    for member in case.dump.members:
        wanted = _ARCHIVE | (0 if member.raw_name.isascii() else 0x80)
        actual = member.record["attribs"]
        if actual == wanted:
            yield ok(member.name)
        else:
            yield bad(f"{member.name}, attribs", f"{wanted:#x}", f"{actual:#x}", member.record.span_of("attribs"))
