"""Finds that captured memory stands at another file offset than the dump says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ..case import Case, UserdumpCase
from ..decode import Record, decode, structure
from ..memory.edited import Edit
from ..memory.page_compare import differing, first_difference
from ..memory.source import ByteSource
from ..model import Shift, Span
from ..readers.facts import Dump, MemoryRange
from .proposal import REACH, Proposal, amount_text, field_edit, moved, without_overlap

_CANDIDATES: Final = 16
"""Shifts that are tried for a sample, the shortest first."""
_SAMPLE: Final = 64
"""Bytes that are looked for."""
_SEARCHED: Final = 0x40000
"""Bytes. How much of the memory is searched for samples. They are farther and farther apart: the first may be lost."""
_DISTINCT: Final = 6
"""Different values that a sample needs. Zeros are found anywhere."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Memory of the target: where the dump places it, and where the truth has it."""

    place: int
    """File offset."""
    there: int
    """Offset in the truth's memory."""
    size: int
    address: int


def shifted_memory(case: Case) -> Iterator[Proposal]:
    """Memory of a minidump, from one range on."""
    ranges = sorted(case.dump.memory, key=lambda item: item.offset)
    if case.truth is None:
        yield from _past_the_end(case.dump, ranges)
        return
    placed = [
        Placed(item.offset + address - item.start, there, size, address)
        for item in ranges
        for address, size, there in case.truth.readable_runs(item.start, item.end)
    ]
    for run, amount in wrong_place(case.dump.source, case.truth.contents, placed):
        pointers = tuple(_pointers(case.dump, ranges, run.place, amount))
        subject, shift = f"memory {run.address:#x} and all that follows in the file", Shift(amount)
        expected, actual, where = _told(run, amount)
        if pointers:
            yield Proposal(subject, expected, actual, shift, where, without_overlap(pointers))
        yield Proposal(subject, expected, actual, shift, where, moved(run.place, amount))
    yield from _past_the_end(case.dump, ranges)


def _past_the_end(dump: Dump, ranges: Sequence[MemoryRange]) -> Iterator[Proposal]:
    """All memory of a dump, if its last byte is not the last one of the file. It needs no truth."""
    number = 5 if dump.memory64_base is None else 9
    if number not in dump.streams:
        return
    records = _descriptors(dump, number)
    if dump.memory64_base is not None:
        first, end = dump.memory64_base, dump.memory64_base + sum(record["DataSize"] for record in records)
        span = dump.headers[9].span_of("BaseRva")
        edits = [field_edit(span, first + dump.source.size - end)]
    else:
        held = [record for record in records if record["Memory.DataSize"]]
        if not held:
            return
        first = min(record["Memory.Rva"] for record in held)
        end = max(record["Memory.Rva"] + record["Memory.DataSize"] for record in held)
        span = held[0].span_of("Memory.Rva")
        amount = dump.source.size - end
        edits = [field_edit(record.span_of("Memory.Rva"), record["Memory.Rva"] + amount) for record in held]
        stacks = {thread.stack_rva for thread in dump.threads} & {record["Memory.Rva"] for record in held}
        if stacks:
            edits = list(_pointers(dump, ranges, first, amount)) + edits
    amount = dump.source.size - end
    if 0 < abs(amount) <= REACH:
        yield Proposal(
            "the memory of the dump",
            f"it ends at {dump.source.size:#x}, as the file does",
            f"it ends at {end:#x}: all of it stands {amount_text(amount)} too {'late' if amount > 0 else 'early'}",
            Shift(amount),
            (span,),
            without_overlap(edits),
        )


def _descriptors(dump: Dump, number: int) -> list[Record]:
    """The descriptors of a memory list, those of ranges outside the file included."""
    header, entry = {
        5: (4, structure("MINIDUMP_MEMORY_DESCRIPTOR")),
        9: (16, structure("MINIDUMP_MEMORY_DESCRIPTOR64")),
    }[number]
    stream = dump.streams[number]
    count = min(int.from_bytes(dump.source.read(stream.rva, 4), "little"), max(stream.size - header, 0) // entry.size)
    start = stream.span.end - count * entry.size
    return [decode(dump.source, start + index * entry.size, entry.name, "") for index in range(count)]


def _pointers(dump: Dump, ranges: Sequence[MemoryRange], place: int, amount: int) -> Iterator[Edit]:
    """Edits of the fields that locate the memory at ``place`` and after it; none if no field locates it alone."""
    if dump.memory64_base is not None:
        if dump.memory64_base == place:
            yield field_edit(dump.headers[9].span_of("BaseRva"), place + amount)
        return
    for item in ranges:
        if item.offset >= place:
            yield field_edit(item.record.span_of("Memory.Rva"), item.offset + amount)
    agreeing = {(item.start, item.offset) for item in ranges}
    for thread in dump.threads:
        if thread.stack_rva >= place and thread.stack_size and (thread.stack_start, thread.stack_rva) in agreeing:
            yield field_edit(thread.record.span_of("Stack.Memory.Rva"), thread.stack_rva + amount)


def shifted_userdump_memory(case: UserdumpCase) -> Iterator[Proposal]:
    """Memory of a full user dump, from one region on."""
    if case.truth is None:
        return
    placed = [
        Placed(region.span(address, size).start, there, size, address)
        for region in case.dump.memory
        for address, size, there in case.truth.readable_runs(region.start, region.end)
    ]
    for run, amount in wrong_place(case.dump.source, case.truth.contents, placed):
        subject = f"memory {run.address:#x} and all that follows in the file"
        expected, actual, where = _told(run, amount)
        yield Proposal(subject, expected, actual, Shift(amount), where, moved(run.place, amount))


def _told(run: Placed, amount: int) -> tuple[str, str, tuple[Span, ...]]:
    """What was expected, what is there, and where."""
    actual = (
        f"the target's bytes, shifted by {amount_text(amount)}: they stand too {'late' if amount > 0 else 'early'},"
        f" those of this address at {run.place + amount:#x}"
    )
    return f"its bytes at {run.place:#x}", actual, (Span(run.place, run.place + run.size),)


def wrong_place(
    source: ByteSource, contents: ByteSource, runs: Sequence[Placed], reach: int = REACH
) -> Iterator[tuple[Placed, int]]:
    """Where the first wrong byte is, and by how many bytes the memory from there on stands too late."""
    index = next((at for at, run in enumerate(runs) if _differ(source, contents, run)), None)
    if index is None:
        return
    later = [_from_first_difference(source, contents, runs[index]), *runs[index + 1 :]]
    tried: set[int] = set()
    after, gap = 0, _SAMPLE
    for place, sample in _samples(contents, later):
        if place < after:
            continue
        after, gap = place + gap, 8 * gap
        for amount in sorted(_shifts(source, place, sample, reach), key=abs)[:_CANDIDATES]:
            if amount not in tried and _all_shifted(source, contents, later, amount):
                yield later[0], amount
            tried.add(amount)


def _differ(source: ByteSource, contents: ByteSource, run: Placed) -> bool:
    return any(differing(contents, run.there, source, run.place, run.size))


def _from_first_difference(source: ByteSource, contents: ByteSource, run: Placed) -> Placed:
    """The part of a run from its first wrong byte on."""
    low, high = next(iter(differing(contents, run.there, source, run.place, run.size)))
    low += first_difference(contents.read(run.there + low, high - low), source.read(run.place + low, high - low))
    return Placed(run.place + low, run.there + low, run.size - low, run.address + low)


def _samples(contents: ByteSource, runs: Sequence[Placed]) -> Iterator[tuple[int, bytes]]:
    """Memory with enough different bytes that it is found in one place: where the dump places it, and its bytes."""
    left = _SEARCHED
    for run in runs:
        found = bytes(contents.read(run.there, min(run.size, left)))
        for at in range(0, len(found) - _SAMPLE + 1, _SAMPLE):
            if len(set(found[at : at + _SAMPLE])) >= _DISTINCT:
                yield run.place + at, found[at : at + _SAMPLE]
        left -= len(found)
        if not left:
            return


def _shifts(source: ByteSource, place: int, sample: bytes, reach: int) -> Iterator[int]:
    """How far from ``place`` the sample stands, for each place near it but this one."""
    low = max(place - reach, 0)
    near = source.read(low, min(place + reach + _SAMPLE, source.size) - low)
    found = near.find(sample)
    while found >= 0:
        if low + found != place:
            yield low + found - place
        found = near.find(sample, found + 1)


def _all_shifted(source: ByteSource, contents: ByteSource, runs: Sequence[Placed], shift: int) -> bool:
    """Whether every run stands there, as far as the file goes. What was lost at the start does not count."""
    least = runs[0].place if shift < 0 else 0
    for run in runs:
        start = max(run.place + shift, least)
        skipped = start - run.place - shift
        size = min(run.size - skipped, source.size - start)
        if size > 0 and any(differing(contents, run.there + skipped, source, start, size)):
            return False
    return True
