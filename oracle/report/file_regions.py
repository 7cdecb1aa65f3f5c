"""Divides a file into regions by the kind of their bytes. Each byte is in exactly one region.

The maps of the file are drawn from these regions. A region has the name that the reader gave it, as in findings.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from operator import itemgetter
from typing import NamedTuple

from ..model import Span
from ..readers.facts import Dump, StringFact
from ..readers.reading import Claim, Owner, Reading
from ..readers.userdump_facts import UserDump


class Part(StrEnum):
    """The kind of a region."""

    HEADER = "header"
    """The header of the file, and the tables that lead to its other parts."""
    STREAM = "stream"
    """A stream of a minidump."""
    CONTEXT = "context"
    """The registers of a thread."""
    STRING = "string"
    RECORD = "record"
    """Any other structure."""
    MEMORY = "memory"
    """Bytes of the target."""
    PADDING = "padding"
    OVERLAP = "overlap"
    """Bytes that two or more structures claim."""
    UNCLAIMED = "unclaimed"
    """Bytes that no structure claims."""


class FileRegion(NamedTuple):
    span: Span
    part: Part
    label: str
    """The reader's name of the region; empty for unclaimed bytes."""


def file_regions(dump: Reading) -> Iterator[FileRegion]:
    """The regions in file order; together they cover the file once. Takes O(n log n) of n claims."""
    parts = _parts(dump)
    at = 0
    active: dict[int, Claim] = {}
    claims = _distinct(dump)
    for boundary, index, begins in _events(claims, dump.source.size):
        if boundary > at:
            yield _region(Span(at, boundary), active, parts)
            at = boundary
        if begins:
            active[index] = claims[index]
        else:
            del active[index]
    if at < dump.source.size:
        yield FileRegion(Span(at, dump.source.size), Part.UNCLAIMED, "")


def _distinct(dump: Reading) -> list[Claim]:
    """The claims in file order. Of shared claims with the same span only one is kept."""
    found: list[Claim] = []
    for claim in sorted(dump.claims, key=itemgetter(0, 1)):
        if found and claim.shared and found[-1].shared and claim[:2] == found[-1][:2]:
            continue
        found.append(claim)
    return found


def _events(claims: list[Claim], size: int) -> list[tuple[int, int, bool]]:
    """(offset, claim, whether it begins there) in file order. At the same offset, ends come before beginnings."""
    events = []
    for index, claim in enumerate(claims):
        start, end = min(claim.start, size), min(claim.end, size)
        if start < end:
            events += [(start, index, True), (end, index, False)]
    return sorted(events, key=lambda event: (event[0], event[2], event[1]))


def _region(span: Span, active: dict[int, Claim], parts: dict[Span, Part]) -> FileRegion:
    if not active:
        return FileRegion(span, Part.UNCLAIMED, "")
    labels = iter(active.values())
    first = next(labels)
    if len(active) > 1:
        more = f" and {len(active) - 2} more" if len(active) > 2 else ""
        return FileRegion(span, Part.OVERLAP, f"{first.label}, {next(labels).label}{more}")
    if first.owner is Owner.MEMORY:
        part = Part.MEMORY
    elif first.owner is Owner.PADDING:
        part = Part.PADDING
    else:
        part = parts.get(first.span, Part.RECORD)
    return FileRegion(span, part, first.label)


_TABLES = frozenset({"header", "directory", "bitmap header", "bitmap", "RDMP header", "runs", "triage header"})
"""The readers' labels of a file's header and of the tables that lead to its other parts."""


def _parts(dump: Reading) -> dict[Span, Part]:
    """The part of each claim that belongs to a fact, by its span."""
    parts = {claim.span: Part.HEADER for claim in dump.claims if claim.label in _TABLES}
    if isinstance(dump, UserDump):
        parts |= {context.span: Part.CONTEXT for context in dump.contexts}
        return parts | {module.name: Part.STRING for module in dump.modules}
    if not isinstance(dump, Dump):
        return parts
    parts |= {stream.span: Part.STREAM for stream in (*dump.streams.values(), *dump.duplicates)}
    contexts = [thread.context for thread in dump.threads]
    if dump.exception is not None:
        contexts.append(dump.exception.context)
    parts |= {context.span: Part.CONTEXT for context in contexts if context is not None}
    return parts | {string.span: Part.STRING for string in _strings(dump) if string is not None}


def _strings(dump: Dump) -> Iterator[StringFact | None]:
    yield dump.csd_version
    yield from (thread.name for thread in dump.thread_names)
    yield from (module.name for module in dump.modules)
    yield from (module.name for module in dump.unloaded_modules)
    for handle in dump.handles:
        yield handle.type_name
        yield handle.object_name
