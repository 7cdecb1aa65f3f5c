"""Finds that the streams of a minidump stand at other file offsets than the directory says.

The size of a stream in the directory tells which bytes it must begin with: the count of a list, the sizes of its
header and entries. These bytes are looked for near the place that the directory names. One distance that holds for
several streams is a shift: of the whole file from there on, or of the RVAs in the directory.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from typing import Final

from ..case import Case
from ..decode import Record, enumeration, structure
from ..memory.source import ByteSource
from ..model import Shift
from ..readers.facts import Dump
from .lists import LISTS
from .proposal import REACH, Proposal, amount_text, field_edit, moved, without_overlap

_STREAM: Final = enumeration("MINIDUMP_STREAM_TYPE")
_SIZES: Final = {
    number: tuple((header, structure(entry).size) for entry in entries)
    for number, (header, entries, _) in LISTS.items()
}
"""Type -> bytes of header and entry."""
_COUNTED: Final = {number: sizes[0] for number, sizes in _SIZES.items() if sizes[0][0] == 4}
"""Lists whose header is a 32-bit count."""
_HEADED: Final = {number: sizes for number, sizes in _SIZES.items() if number not in _COUNTED}
"""Lists that tell the sizes of header and entry themselves."""
_LAST: Final = 24
"""The highest type that a public header names."""
_OWN: Final = _STREAM["LastReservedStream"]
"""Applications number their own streams from here on."""
_TELLING: Final = 8
"""Bytes at the start of a stream that tell its place alone. A count of 4 bytes is found in many places."""
_NEAR: Final = 4096
"""Bytes. How far such a stream may be from its place; only together with all that follows."""
_SPLITS: Final = 5
"""Places that are tried for the start of a shift."""
_MAX_ENTRIES: Final = 512
"""Directory entries that are looked at."""


def shifted_streams(case: Case) -> Iterator[Proposal]:
    """Streams, and with them the file, from one place on; or the RVAs of the directory alone."""
    dump = case.dump
    if dump.header is None:
        return
    rva, count = dump.header["StreamDirectoryRva"], dump.header["NumberOfStreams"]
    if not 0 < count <= _MAX_ENTRIES:
        return
    if not _is_directory(dump.source, rva, count):
        for at in _directories(dump.source, count):
            if at != rva:
                yield from _directory_off(dump, rva, at)
        return
    yield from _streams_off(dump)


def _directory_off(dump: Dump, rva: int, at: int) -> Iterator[Proposal]:
    """The directory stands at ``at``. If all other RVAs are off by as much, the file is shifted."""
    assert dump.header is not None
    amount, end = at - rva, structure("MINIDUMP_HEADER").size
    span = dump.header.span_of("StreamDirectoryRva")
    said = (f"the directory at {rva:#x}", f"it stands {_later(amount)}, at {at:#x}", Shift(amount), (span,))
    yield Proposal("all RVAs of the file", *said, moved(end, amount))
    yield Proposal("StreamDirectoryRva", *said, (field_edit(span, at),))


def _streams_off(dump: Dump) -> Iterator[Proposal]:
    found = {
        record: deltas
        for record in dump.directory[:_MAX_ENTRIES]
        if (marks := _marks(record)) and (deltas := _distances(dump.source, record["Location.Rva"], marks))
    }
    wrong = [record for record, deltas in found.items() if 0 not in deltas]
    right = [record for record, deltas in found.items() if 0 in deltas]
    votes = Counter(delta for record in wrong for delta in found[record])
    for amount, _ in sorted(votes.items(), key=lambda item: (-item[1], abs(item[0])))[:2]:
        off = [record for record in wrong if amount in found[record]]
        telling = len(off) > 1 or any(len(mark) >= _TELLING for mark in _marks(off[0]))
        if not telling and abs(amount) > _NEAR:
            continue
        first = min(record["Location.Rva"] for record in off)
        everything = not right
        which = "all streams of the file" if everything else f"{_name(off, first)} and all that follows in the file"
        span = next(record for record in off if record["Location.Rva"] == first).span_of("Location.Rva")
        said = (f"{_name(off, first)} at {first:#x}", f"it stands {_later(amount)}", Shift(amount), (span,))
        for at in _splits(dump, right, first):
            yield Proposal(which, *said, moved(at, amount))
        if not telling:
            continue
        # Streams whose content tells no place are off if they lie behind the first one that is.
        behind = 0 if everything else first
        listed = [
            item
            for item in dump.directory
            if item in off or (item not in found and item["Location.DataSize"] and item["Location.Rva"] >= behind)
        ]
        edits = without_overlap(
            field_edit(item.span_of("Location.Rva"), item["Location.Rva"] + amount) for item in listed
        )
        whole = "the RVAs of the directory" if everything else f"the RVAs of the directory from {first:#x} on"
        label = whole if len(off) > 1 else f"the RVA of {_name(off, first)}"
        high = f"too {'low' if amount > 0 else 'high'} by {amount_text(amount)}"
        yield Proposal(
            label, f"{_name(off, first)} at {first + amount:#x}", f"{first:#x}: {high}", Shift(-amount), (span,), edits
        )


def _name(records: list[Record], rva: int) -> str:
    return next(_STREAM.name_of(record["StreamType"]) for record in records if record["Location.Rva"] == rva)


def _later(amount: int) -> str:
    return f"{amount_text(amount)} {'later' if amount > 0 else 'earlier'}"


def _splits(dump: Dump, right: list[Record], first: int) -> list[int]:
    """Where the shift may begin: after the last stream that is in its place, before the first that is not."""
    assert dump.header is not None
    start = dump.header["StreamDirectoryRva"] + structure("MINIDUMP_DIRECTORY").size * len(dump.directory)
    ends = [record["Location.Rva"] + record["Location.DataSize"] for record in right]
    start = max([start, *(end for end in ends if end <= first)])
    bounds = {edge for claim in dump.claims for edge in (claim.start, claim.end) if start < edge < first}
    between = sorted(bounds)
    step = max(1, -(-len(between) // (_SPLITS - 2)))
    return list(dict.fromkeys([start, first, *between[::step]]))


def _marks(record: Record) -> list[bytes]:
    """What the stream of a directory entry may begin with. Empty if its size does not tell."""
    number, size = record["StreamType"], record["Location.DataSize"]
    if number in _COUNTED:
        header, entry = _COUNTED[number]
        count = (size - header) // entry
        return [struct.pack("<I", count)] if count and (size - header) % entry in (0, 4) else []
    if number in _HEADED:
        sizes = [pair for pair in _HEADED[number] if size > pair[0] and (size - pair[0]) % pair[1] == 0]
        form = "<IIQ" if number == _STREAM["MemoryInfoListStream"] else "<III"
        return [struct.pack(form, header, entry, (size - header) // entry) for header, entry in sizes]
    if number == _STREAM["MiscInfoStream"]:
        return [struct.pack("<I", size)] if size >= 24 else []
    if number == _STREAM["Memory64ListStream"]:
        return [struct.pack("<Q", (size - 16) // 16)] if size > 16 and size % 16 == 0 else []
    return []


def _distances(source: ByteSource, rva: int, marks: list[bytes]) -> set[int]:
    """How far from ``rva`` one of the marks stands, for each place near it."""
    low = max(rva - REACH, 0)
    near = source.read(low, min(rva + REACH + 16, source.size) - low)
    found = set()
    for mark in marks:
        at = near.find(mark)
        while at >= 0:
            found.add(low + at - rva)
            at = near.find(mark, at + 1)
    return found


def _directories(source: ByteSource, count: int) -> Iterator[int]:
    """Where a directory of so many entries may stand, the place of most writers first."""
    usual = structure("MINIDUMP_HEADER").size
    if _is_directory(source, usual, count):
        yield usual
        return
    near = source.read(0, REACH)
    seen = 0
    for number in (3, 4, 7, 5, 9):
        at = near.find(struct.pack("<I", number))
        while at >= 0 and seen < 4:
            if at > usual and _is_directory(source, at, count):
                seen += 1
                yield at
            at = near.find(struct.pack("<I", number), at + 1)


def _is_directory(source: ByteSource, at: int, count: int) -> bool:
    """Whether ``count`` entries stand at ``at``: known types, and at least as many of the system's as of others."""
    size = structure("MINIDUMP_DIRECTORY").size
    data = source.read(at, size * count)
    if len(data) < size * count:
        return False
    found: list[tuple[int, int, int]] = list(struct.iter_unpack("<III", data))
    unused = sum(number == 0 for number, _, _ in found)
    named = sum(2 < number <= _LAST for number, _, _ in found)
    others = sum(number > _OWN and rva + length <= source.size + REACH for number, length, rva in found)
    return named + unused + others == count and named > 0 and named >= others
