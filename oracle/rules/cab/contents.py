"""Judges what a cabinet holds against the request: one dump, its name, times and attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from ...case import CabinetCase
from ...model import Fault, Grade, Level, Source
from ...readers.cab_facts import DUMPS, UNREAD, Member
from ...rule import Checks, bad, cab_rule, ok

_ARCHIVE: Final = 0x20


def _asked(case: CabinetCase) -> bool:
    return case.truth is not None and case.request is not None


def _by_the_clock_of_the_target(case: CabinetCase) -> bool:
    """An engine stores the time at which it wrote the file (W15063, W29507)."""
    return _asked(case) and case.request is not None and case.request.contract == "documented"


@cab_rule(
    "CAB-DUMP-001",
    "Exactly one member is a dump",
    Level.MUST,
    Source("docs/format/cabinet.md#dump-in-the-cabinet", Grade.DOCUMENTED),
    needs=("members", "data"),
    foreign_level=Level.SHOULD,
)
def one_dump(case: CabinetCase) -> Checks:
    """The judge recognises a dump by its first bytes and ignores members that it cannot expand. With two dumps, a
    debugger may open either. Cabinets of other tools may hold several.
    """
    found = case.dump.dumps()
    if not found and UNREAD not in case.dump.kinds:
        kinds = ", ".join(f"{member.name}: {kind}" for member, kind in _with_kinds(case)) or "no member"
        yield bad("cabinet", "a minidump, a full user dump or a kernel dump", kinds, fault=Fault.MISSING)
    for member, kind in found[1:]:
        yield bad(member.name, f"no second dump besides {found[0][0].name}", kind, member.record.span,
                  fault=Fault.FORBIDDEN)  # fmt: skip
    if len(found) == 1:
        yield ok(found[0][0].name)


def _with_kinds(case: CabinetCase) -> Iterator[tuple[Member, str]]:
    return zip(case.dump.members, case.dump.kinds, strict=True)


@cab_rule(
    "CAB-DUMP-002",
    "The name of the dump ends in .dmp, and no other name does",
    Level.MUST,
    Source("docs/format/cabinet.md#dump-in-the-cabinet", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/cabinet.md#dump-in-the-cabinet", Grade.INFERRED),
    needs=("members", "data"),
    foreign_level=Level.SHOULD,
)
def dump_name(case: CabinetCase) -> Checks:
    """WinDbg looks for the member whose name ends in .dmp. The name of the dump has no folder."""
    for member, kind in _with_kinds(case):
        named, is_dump = member.name.lower().endswith(".dmp"), kind in DUMPS
        if kind == UNREAD:
            continue
        if is_dump and (not named or re.search(r"[\\/]", member.name)):
            yield bad("name of the dump", "NAME.dmp", member.name, member.name_span)
        elif named and not is_dump:
            yield bad(member.name, "a dump, because the name ends in .dmp", kind, member.record.span)
        else:
            yield ok(member.name)


@cab_rule(
    "CAB-DUMP-003",
    "The dump has the base name of the file that the request names",
    Level.SHOULD,
    Source("docs/format/cabinet.md#dump-in-the-cabinet", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/cabinet.md#dump-in-the-cabinet", Grade.INFERRED),
    needs=("members", "data"),
    applies=lambda case: _asked(case) and bool(case.request and case.request.file) and bool(case.dump.dumps()),
)
def named_after_the_file(case: CabinetCase) -> Checks:
    """The dumps of several cabinets can then be extracted into one folder. The engines name the member of NAME.cab
    NAME.cab.dmp. Under another contract it may be NAME.dmp. The rule does not apply if the request names no file.
    """
    assert case.request is not None
    file = re.split(r"[\\/]", case.request.file)[-1]
    wanted = [file + ".dmp"]
    if case.request.contract == "documented":
        wanted.append(re.sub(r"\.[^.]*\Z", "", file) + ".dmp")
    member = case.dump.dumps()[0][0]
    if member.name.casefold() in {name.casefold() for name in wanted}:
        yield ok(member.name)
    else:
        yield bad("name of the dump", tuple(wanted), member.name, member.name_span)


@cab_rule(
    "CAB-TIME-001",
    "Every member has the date and time of the dump",
    Level.SHOULD,
    Source("docs/format/cabinet.md#members", Grade.DOCUMENTED),
    Source("docs/format/cabinet.md#dump-in-the-cabinet", Grade.INFERRED),
    needs=("members",),
    applies=_by_the_clock_of_the_target,
)
def times(case: CabinetCase) -> Checks:
    """The date counts years from 1980, the time counts seconds by two. Both come from the target's clock, in UTC. With
    the writer's own clock, the same dump would give another cabinet each time. The engine uses its own clock.
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
    """Date and time words of a FILETIME in UTC, limited to 1980-01-01 to 2107-12-31."""
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
    "The attributes are the archive bit, and the UTF-8 bit for a name that is not ASCII",
    Level.MUST,
    Source("docs/format/cabinet.md#dump-in-the-cabinet", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/cabinet.md#members", Grade.DOCUMENTED),
    needs=("members",),
    applies=_asked,
)
def archive(case: CabinetCase) -> Checks:
    """A new file has the archive attribute, 0x20. The mark 0x80 is for names in UTF-8; an ASCII name has none."""
    for member in case.dump.members:
        wanted = _ARCHIVE | (0 if member.raw_name.isascii() else 0x80)
        actual = member.record["attribs"]
        if actual == wanted:
            yield ok(member.name)
        else:
            yield bad(f"{member.name}, attribs", f"{wanted:#x}", f"{actual:#x}", member.record.span_of("attribs"))
