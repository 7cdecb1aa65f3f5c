"""Compares two dumps by content: facts that differ, and memory that only one dump has or that differs.

The layout of the files does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ..memory.intervals import Range, joined, minus
from ..memory.page import PAGE_SIZE
from ..memory.page_compare import differing
from ..memory.source import ByteSource
from ..readers.facts import Dump
from ..readers.identify import KERNEL_DUMP, MINIDUMP, identify
from ..readers.kernel import read_kernel
from ..readers.kernel_dump import KernelDump
from ..readers.minidump import read_minidump
from .listing import listing

Piece = tuple[int, int, int]
"""Start and end in the target's memory, and the file offset of its first byte. Sorted pieces never overlap."""


class NotComparableError(ValueError):
    """A file is not a minidump or kernel dump, or the two are of different kinds. The text is one line."""


@dataclass(frozen=True, slots=True)
class Difference:
    subject: str
    name: str
    first: str | None
    """None if only the second dump has the fact; likewise ``second``."""
    second: str | None


@dataclass(frozen=True, slots=True)
class MemoryDifference:
    """``[start, end)`` of the target's memory. Addresses are physical for a kernel dump with pages, else virtual."""

    start: int
    end: int
    where: str
    """``only in the first``, ``only in the second`` or ``differs``. Ranges that differ are whole pages."""


@dataclass(frozen=True, slots=True)
class Comparison:
    kind: str
    facts: int
    """The number of different facts that the two have."""
    compared: int
    """Bytes of the target's memory that both dumps have."""
    differences: tuple[Difference, ...]
    memory: tuple[MemoryDifference, ...]

    @property
    def same(self) -> bool:
        return not self.differences and not self.memory


def compare(first: ByteSource, second: ByteSource) -> Comparison:
    """Compare two dumps of one kind. Raises NotComparableError."""
    dumps = _read(first), _read(second)
    if dumps[0].kind != dumps[1].kind:
        kinds = f"{first.name} is a {dumps[0].kind}, {second.name} a {dumps[1].kind}"
        raise NotComparableError(f"{kinds}: expected dumps of one kind")
    said = [{(fact.subject, fact.name): fact.value for fact in listing(dump)} for dump in dumps]
    keys = list(dict.fromkeys([*said[0], *said[1]]))
    differences = tuple(
        Difference(*key, said[0].get(key), said[1].get(key)) for key in keys if said[0].get(key) != said[1].get(key)
    )
    memory: list[MemoryDifference] = []
    compared = 0
    pieces = _pieces(dumps[0]), _pieces(dumps[1])
    for start, end in _without(pieces[0], pieces[1]):
        memory.append(MemoryDifference(start, end, "only in the first"))
    for start, end in _without(pieces[1], pieces[0]):
        memory.append(MemoryDifference(start, end, "only in the second"))
    differing: list[Range] = []
    for shared in _common(*pieces):
        compared += shared.size
        differing += _differing(first, second, shared)
    memory += [MemoryDifference(start, end, "differs") for start, end in joined(differing)]
    memory.sort(key=lambda item: item.start)
    return Comparison(dumps[0].kind, len(keys), compared, differences, tuple(memory))


def _read(source: ByteSource) -> Dump | KernelDump:
    identity = identify(source)
    if identity.kind == MINIDUMP:
        return read_minidump(source)
    if identity.kind == KERNEL_DUMP:
        return read_kernel(source)
    raise NotComparableError(f"{source.name} is {identity.description}: expected a minidump or a kernel dump")


def _pieces(dump: Dump | KernelDump) -> list[Piece]:
    """The captured memory without overlaps; of ranges that overlap, the first in the file is used."""
    if isinstance(dump, KernelDump) and dump.paged:
        return [(pfn * PAGE_SIZE, (pfn + count) * PAGE_SIZE, offset) for pfn, count, offset in dump.pages.runs()]
    return list(dump.pieces())


def _without(pieces: list[Piece], other: list[Piece]) -> Iterator[Range]:
    """The ranges of ``pieces`` that ``other`` lacks; adjacent ones are merged."""
    return joined(minus(((start, end) for start, end, _ in pieces), [(start, end) for start, end, _ in other]))


class _Shared(NamedTuple):
    """Memory that both dumps have."""

    address: int
    size: int
    first: int
    second: int
    """``first`` and ``second`` are the file offsets in the two dumps."""


def _common(first: list[Piece], second: list[Piece]) -> Iterator[_Shared]:
    mine = theirs = 0
    while mine < len(first) and theirs < len(second):
        start, end, at = first[mine]
        low, high, other = second[theirs]
        begin, stop = max(start, low), min(end, high)
        if begin < stop:
            yield _Shared(begin, stop - begin, at + begin - start, other + begin - low)
        if end <= high:
            mine += 1
        else:
            theirs += 1


def _differing(first: ByteSource, second: ByteSource, shared: _Shared) -> Iterator[Range]:
    """The pages of the target, as far as they are in ``shared``, that differ."""
    address, size, at, other = shared
    for low, high in differing(first, at, second, other, size):
        yield from _pages(address + low, first.read(at + low, high - low), second.read(other + low, high - low))


def _pages(address: int, mine: bytes, theirs: bytes) -> Iterator[Range]:
    start = 0
    while start < len(mine):
        stop = min(len(mine), start + PAGE_SIZE - (address + start) % PAGE_SIZE)
        if mine[start:stop] != theirs[start:stop]:
            yield address + start, address + stop
        start = stop
