"""Divides a file into regions by the kind of their bytes. Each byte is in exactly one region.

The maps of the file are drawn from these regions. A region has the name that the reader gave it, as in findings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from ..model import Span
from ..readers.facts import Dump, StringFact
from ..readers.reading import Claim, Owner, Reading
from ..readers.userdump_facts import UserDump


class Part(StrEnum):
    """The kind of a region."""

    __hash__ = str.__hash__
    """Enum's own is written in Python, and each region is counted by its part."""

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
    """``[start, end)`` of the file."""

    start: int
    end: int
    part: Part
    label: str
    """The reader's name of the region; empty for unclaimed bytes."""

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)


def file_regions(dump: Reading) -> Iterator[FileRegion]:
    """The regions in file order; together they cover the file once. Takes O(n log n) of n claims."""
    parts, size = _parts(dump), dump.source.size
    at = 0
    for first, others in _groups(dump):
        if min(first.start, size) > at:
            yield FileRegion(at, min(first.start, size), Part.UNCLAIMED, "")
        at = first.start
        if at >= size:
            return
        if not others:
            at = min(first.end, size)
            yield FileRegion(first.start, at, _part(first, parts), first.label)
            continue
        for region in _overlapping([first, *others], size, parts):
            yield region
            at = region.end
    if at < size:
        yield FileRegion(at, size, Part.UNCLAIMED, "")


def _groups(dump: Reading) -> Iterator[tuple[Claim, list[Claim]]]:
    """The claims in file order: each with those that overlap it, or that overlap one of these.

    Of shared claims with the same span only one is kept.
    """
    claims = iter(sorted(dump.claims, key=itemgetter(0, 1)))
    first = previous = next(claims, None)
    if first is None or previous is None:
        return
    others: list[Claim] = []
    top = first.end
    for claim in claims:
        if claim[0] >= top:
            yield first, others
            first, others = claim, []
            top = claim[1]
        elif not (claim.shared and previous.shared and claim[:2] == previous[:2]):
            others.append(claim)
            top = max(top, claim[1])
        previous = claim
    yield first, others


def _events(claims: list[Claim], size: int) -> list[tuple[int, int, bool]]:
    """(offset, claim, whether it begins there) in file order. At the same offset, ends come before beginnings."""
    events = []
    for index, claim in enumerate(claims):
        start, end = min(claim.start, size), min(claim.end, size)
        if start < end:
            events += [(start, index, True), (end, index, False)]
    return sorted(events, key=itemgetter(0, 2, 1))


def _overlapping(claims: list[Claim], size: int, parts: _Parts) -> Iterator[FileRegion]:
    """The regions of claims that overlap one another, without a gap. Bytes of two or more claims are one region."""
    active: dict[int, Claim] = {}
    at, low, owners, begun = claims[0].start, -1, 0, 0
    label = ""
    for boundary, index, begins in _events(claims, size):
        if boundary > at:
            if len(active) > 1 and low < 0:
                low, owners = at, len(active)
                label = ", ".join(claim.label for claim in islice(active.values(), 2))
            elif len(active) > 1:
                owners += begun
            else:
                if low >= 0:
                    yield _overlap(low, at, owners, label)
                    low = -1
                (claim,) = active.values()
                yield FileRegion(at, boundary, _part(claim, parts), claim.label)
            at, begun = boundary, 0
        if begins:
            active[index] = claims[index]
            begun += 1
        else:
            del active[index]
    if low >= 0:
        yield _overlap(low, at, owners, label)


def _overlap(start: int, end: int, owners: int, label: str) -> FileRegion:
    return FileRegion(start, end, Part.OVERLAP, f"{label} and {owners - 2} more" if owners > 2 else label)


def _part(claim: Claim, parts: _Parts) -> Part:
    if claim.owner is Owner.MEMORY:
        return Part.MEMORY
    if claim.owner is Owner.PADDING:
        return Part.PADDING
    return parts.get(claim[:2], Part.RECORD)


_TABLES = frozenset({"header", "directory", "bitmap header", "bitmap", "RDMP header", "runs", "triage header"})
"""The readers' labels of a file's header and of the tables that lead to its other parts."""


_Parts = dict[tuple[int, int], Part]
"""The part of each claim that belongs to a fact, by its start and end."""


def _parts(dump: Reading) -> _Parts:
    parts = {claim[:2]: Part.HEADER for claim in dump.claims if claim.label in _TABLES}

    def add(part: Part, spans: Iterable[Span]) -> None:
        parts.update(((span.start, span.end), part) for span in spans)

    if isinstance(dump, UserDump):
        add(Part.CONTEXT, (context.span for context in dump.contexts))
        add(Part.STRING, (module.name for module in dump.modules))
    if isinstance(dump, Dump):
        add(Part.STREAM, (stream.span for stream in (*dump.streams.values(), *dump.duplicates)))
        contexts = [thread.context for thread in dump.threads]
        if dump.exception is not None:
            contexts.append(dump.exception.context)
        add(Part.CONTEXT, (context.span for context in contexts if context is not None))
        add(Part.STRING, (string.span for string in _strings(dump) if string is not None))
    return parts


def _strings(dump: Dump) -> Iterator[StringFact | None]:
    yield dump.csd_version
    yield from (thread.name for thread in dump.thread_names)
    yield from (module.name for module in dump.modules)
    yield from (module.name for module in dump.unloaded_modules)
    for handle in dump.handles:
        yield handle.type_name
        yield handle.object_name
