"""Compares two dumps by content: facts that differ, and memory that only one dump has or that differs.

The layout of the files does not matter. The time is linear in the size of the files: a budget limits the facts and the
memory that are compared, and the comparison names what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from typing import Any, Final, NamedTuple

from ..budget import MAX_EXPANSION, Budget, Work
from ..memory.intervals import Range, joined, minus
from ..memory.page import PAGE_SIZE
from ..memory.page_compare import differing
from ..memory.source import ByteSource
from ..model import Unjudged
from ..readers.dump import forget
from ..readers.facts import Dump
from ..readers.identify import identify
from ..readers.kernel_dump import KernelDump
from ..report.subjects import subjects
from .listing import Key, Listed, Value, lists_of, names_in

Piece = tuple[int, int, int]
"""Start and end in the target's memory, and the file offset of its first byte. Sorted pieces never overlap."""

MAX_LISTED: Final = 10_000
"""Facts that differ, and ranges of memory, that are kept. ``Comparison`` counts all."""
_RECORDS: Final = 65_536
"""Items of lists that are compared in each dump, beyond one for each 2 KiB of its file."""
_SMALL: Final = 1 << 16
"""Bytes that are compared at once, without regard to the holes of a sparse file."""


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
    """At most the first 10,000."""
    memory: tuple[MemoryDifference, ...]
    """At most the first 10,000."""
    different: int
    """How many facts differ."""
    ranges: int
    """How many ranges of memory differ."""
    unjudged: tuple[Unjudged, ...]
    """What was not compared, because the work is limited."""

    @property
    def same(self) -> bool:
        """Whether nothing differs, as far as it was compared."""
        return not self.different and not self.ranges


def compare(first: ByteSource, second: ByteSource, max_expansion: int = MAX_EXPANSION) -> Comparison:
    """Compare two dumps of one kind, in cabinets the first dump inside. Raises NotComparableError.

    ``max_expansion``: bytes that a cabinet may expand to.
    """
    dumps = _read(first, max_expansion), _read(second, max_expansion)
    if dumps[0].kind != dumps[1].kind:
        kinds = f"{first.name} is a {dumps[0].kind}, {second.name} a {dumps[1].kind}"
        raise NotComparableError(f"{kinds}: expected dumps of one kind")
    work = tuple(Budget(dump.source.size, _RECORDS) for dump in dumps)
    facts = _Facts(dumps, work)
    for listed in lists_of(dumps[0]):
        facts.compare(listed)
    pieces = _pieces(dumps[0], work[0]), _pieces(dumps[1], work[1])
    shared = _Shared(dumps[0].source, dumps[1].source, *pieces, work[0])
    memory: list[MemoryDifference] = []
    ranges = 0
    for start, end, where in merge(
        ((*part, "only in the first") for part in _without(pieces[0], pieces[1])),
        ((*part, "only in the second") for part in _without(pieces[1], pieces[0])),
        ((*part, "differs") for part in joined(shared.differing())),
    ):
        ranges += 1
        if len(memory) < MAX_LISTED:
            memory.append(MemoryDifference(start, end, where))
    budgets = (dumps[0].budget, dumps[1].budget, *work)
    return Comparison(
        dumps[0].kind, facts.total, shared.size, tuple(facts.listed), tuple(memory), facts.different, ranges,
        tuple(dict.fromkeys(item for budget in budgets for item in budget.unjudged)),
    )  # fmt: skip


def _read(source: ByteSource, max_expansion: int) -> Dump | KernelDump:
    for subject in reversed(subjects(source, max_expansion)):
        if isinstance(subject.reading, Dump | KernelDump):
            # The claims of two large files would need more memory than all that is compared.
            forget(subject.reading.source)
            subject.reading.claims.clear()
            return subject.reading
    raise NotComparableError(f"{source.name} is {identify(source).description}: expected a minidump or a kernel dump")


# -- facts -------------------------------------------------------------------------------------------------------------


@dataclass
class _Facts:
    """Compares lists item by item, and keeps the first differences."""

    dumps: Sequence[Dump | KernelDump]
    work: Sequence[Budget]
    total: int = 0
    different: int = 0
    listed: list[Difference] = field(default_factory=list)

    def compare(self, listed: Listed) -> None:
        alike = self._facts_of_a_row(listed)
        if alike and self._same_rows(listed, alike):
            return
        first, second = (self._items(listed, index) for index in (0, 1))
        for key, item in first.items():
            other = second.get(key)
            facts = 0
            if other is not None:
                facts = alike if alike and item == other else listed.same(item, other)
            self.total += facts
            if not facts:
                self._item(listed, key, (item, other))
        for key, item in second.items():
            if key not in first:
                self._item(listed, key, (None, item))

    def _facts_of_a_row(self, listed: Listed) -> int:
        """The number of facts of a row, if rows with the same bytes hold the same facts; else 0."""
        if listed.table is None:
            return 0
        one, two = (listed.table(dump) for dump in self.dumps)
        return len(names_in(one)) if one.entry and one.entry == two.entry else 0

    def _same_rows(self, listed: Listed, facts: int) -> bool:
        """Whether the rows are the same, byte for byte. Counts their facts: ``facts`` for each key."""
        assert listed.table is not None
        one, two = (listed.table(dump) for dump in self.dumps)
        if one.content() != two.content():
            return False
        rows = min(work.grant(Work.ROWS, len(one), "rows of lists") for work in self.work)
        self.total += facts * len({key for key, _ in islice(listed.items(self.dumps[0]), rows)})
        return True

    def _items(self, listed: Listed, index: int) -> dict[Key, Any]:
        dump, work, items = self.dumps[index], self.work[index], listed.items(self.dumps[index])
        if listed.table is not None:
            return dict(islice(items, work.grant(Work.ROWS, len(listed.table(dump)), "rows of lists")))
        found: dict[Key, Any] = {}
        for made, (key, item) in enumerate(items):
            if not work.grant(Work.RECORDS, 1, "items of lists", made):
                break
            found[key] = item
        return found

    def _item(self, listed: Listed, key: Key, items: tuple[Any, Any]) -> None:
        parts = tuple(
            () if item is None else tuple(listed.values(dump, item, work))
            for dump, item, work in zip(self.dumps, items, self.work, strict=True)
        )
        if len(parts[0]) == len(parts[1]) and all(
            one[0] == two[0] and one[1].names == two[1].names for one, two in zip(*parts, strict=True)
        ):
            for (suffix, one), (_, two) in zip(*parts, strict=True):
                self.total += len(one.names)
                if one.whole() != two.whole():
                    for name in one.names:
                        self._fact(listed, key, suffix, name, (one, two))
            return
        named = [{(suffix, name): value for suffix, value in part for name in value.names} for part in parts]
        for suffix, name in dict.fromkeys([*named[0], *named[1]]):
            self.total += 1
            pair = named[0].get((suffix, name)), named[1].get((suffix, name))
            self._fact(listed, key, suffix, name, pair)

    def _fact(self, listed: Listed, key: Key, suffix: str, name: str, pair: tuple[Value | None, Value | None]) -> None:
        one, two = pair
        if one is not None and two is not None and one.raw(name) == two.raw(name):
            return
        self.different += 1
        if len(self.listed) < MAX_LISTED:
            shown = [None if value is None else value.shown(name) for value in pair]
            self.listed.append(Difference(listed.subject(key) + suffix, name, *shown))


# -- memory ------------------------------------------------------------------------------------------------------------


def _pieces(dump: Dump | KernelDump, work: Budget) -> list[Piece]:
    """The captured memory without overlaps; of ranges that overlap, the first in the file is used.

    A damaged kernel dump can list pages past the end of the file; they are left out.
    """
    found: list[Piece] = []
    for made, (start, end, offset) in enumerate(_captured(dump)):
        if not work.grant(Work.RANGES, 1, "ranges of memory", made):
            break
        stop = min(end, start + max(dump.source.size - offset, 0))
        if start < stop:
            found.append((start, stop, offset))
    return found


def _captured(dump: Dump | KernelDump) -> Iterable[Piece]:
    if isinstance(dump, KernelDump) and dump.paged:
        runs = dump.pages.held_runs(dump.source.size)
        return ((pfn * PAGE_SIZE, (pfn + count) * PAGE_SIZE, offset) for pfn, count, offset in runs)
    return dump.pieces()


def _without(pieces: list[Piece], other: list[Piece]) -> Iterator[Range]:
    """The ranges of ``pieces`` that ``other`` lacks; adjacent ones are merged."""
    return joined(minus(((start, end) for start, end, _ in pieces), [(start, end) for start, end, _ in other]))


class _Both(NamedTuple):
    """Memory that both dumps have."""

    address: int
    size: int
    first: int
    second: int
    """``first`` and ``second`` are the file offsets in the two dumps."""


@dataclass
class _Shared:
    """Compares the memory that both dumps have."""

    first: ByteSource
    second: ByteSource
    mine: list[Piece]
    theirs: list[Piece]
    work: Budget
    size: int = 0
    """Bytes that were compared."""

    def differing(self) -> Iterator[Range]:
        """The pages of the target that differ, as far as both dumps have them, ascending."""
        for both in self._common():
            # Ranges of a hostile dump share their bytes.
            granted = self.work.grant(Work.BYTES, both.size, "memory that both dumps have", self.size)
            self.size += granted
            if not granted:
                return
            yield from self._pages(both._replace(size=granted))

    def _common(self) -> Iterator[_Both]:
        mine = theirs = 0
        while mine < len(self.mine) and theirs < len(self.theirs):
            start, end, at = self.mine[mine]
            low, high, other = self.theirs[theirs]
            begin, stop = max(start, low), min(end, high)
            if begin < stop:
                yield _Both(begin, stop - begin, at + begin - start, other + begin - low)
            if end <= high:
                mine += 1
            else:
                theirs += 1

    def _pages(self, both: _Both) -> Iterator[Range]:
        address, size, at, other = both
        parts = ((0, size),) if size <= _SMALL else differing(self.first, at, self.second, other, size)
        for low, high in parts:
            mine, theirs = self.first.read(at + low, high - low), self.second.read(other + low, high - low)
            if mine != theirs:
                yield from _pages(address + low, mine, theirs)


def _pages(address: int, mine: bytes, theirs: bytes) -> Iterator[Range]:
    start = 0
    while start < len(mine):
        stop = min(len(mine), start + PAGE_SIZE - (address + start) % PAGE_SIZE)
        if mine[start:stop] != theirs[start:stop]:
            yield address + start, address + stop
        start = stop
