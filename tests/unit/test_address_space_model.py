"""The region table against a naive model that keeps one record for every page."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from dumptruth.emu.constants import (
    MEM_COMMIT,
    MEM_FREE,
    MEM_RESERVE,
    PAGE_EXECUTE_READ,
    PAGE_GUARD,
    PAGE_NOACCESS,
    PAGE_READWRITE,
)
from dumptruth.emu.process.address_space import USER_END, AddressSpace
from dumptruth.emu.process.winnt import MEM_DECOMMIT, MEM_RELEASE, StatusError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

LOW = 0x1000_0000
PAGES = 64
PROTECTIONS = (PAGE_NOACCESS, PAGE_READWRITE, PAGE_EXECUTE_READ, PAGE_READWRITE | PAGE_GUARD)

page_numbers = st.integers(0, PAGES - 1)
page_counts = st.integers(1, 24)
odd_bytes = st.integers(0, 0xFFF)
protections = st.sampled_from(PROTECTIONS)


@dataclass
class Page:
    base: int
    allocation_protect: int
    protect: int  # 0 reserved


class Sink:
    def __init__(self) -> None:
        self.pages: dict[int, int] = {}

    def commit(self, start: int, count: int, protect: int) -> None:
        for n in range(count):
            assert start + n * 0x1000 not in self.pages
            self.pages[start + n * 0x1000] = protect

    def decommit(self, start: int, count: int) -> None:
        for n in range(count):
            del self.pages[start + n * 0x1000]

    def protect(self, start: int, count: int, protect: int) -> None:
        for n in range(count):
            assert start + n * 0x1000 in self.pages
            self.pages[start + n * 0x1000] = protect


class AddressSpaceMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.sink = Sink()
        self.space = AddressSpace(self.sink)
        self.pages: dict[int, Page] = {}

    def touched(self, number: int, count: int, odd: int) -> tuple[int, int, range]:
        start = LOW + number * 0x1000 + odd
        size = count * 0x1000 - odd
        return start, size, range(LOW + number * 0x1000, LOW + (number + count) * 0x1000, 0x1000)

    def attempt(self, possible: bool, call: object, *arguments: int) -> bool:
        try:
            call(*arguments)  # type: ignore[operator]
        except StatusError:
            assert not possible
            return False
        assert possible
        return True

    def one_allocation(self, pages: range) -> bool:
        bases = {self.pages[page].base if page in self.pages else None for page in pages}
        return len(bases) == 1 and None not in bases

    @rule(number=page_numbers, count=page_counts, odd=odd_bytes, protect=protections, commit=st.booleans())
    def reserve(self, number: int, count: int, odd: int, protect: int, commit: bool) -> None:
        start, size, pages = self.touched(number, count, odd)
        base = start & ~0xFFFF
        pages = range(base, pages.stop, 0x1000)
        possible = not any(page in self.pages for page in pages)
        kind = MEM_RESERVE | (MEM_COMMIT if commit else 0)
        if self.attempt(possible, self.space.allocate, start, size, kind, protect):
            for page in pages:
                self.pages[page] = Page(base, protect, protect if commit else 0)

    @rule(number=page_numbers, count=page_counts, odd=odd_bytes, protect=protections)
    def commit(self, number: int, count: int, odd: int, protect: int) -> None:
        start, size, pages = self.touched(number, count, odd)
        if self.attempt(self.one_allocation(pages), self.space.allocate, start, size, MEM_COMMIT, protect):
            for page in pages:
                self.pages[page].protect = protect

    @rule(number=page_numbers, count=page_counts, odd=odd_bytes, protect=protections)
    def protect(self, number: int, count: int, odd: int, protect: int) -> None:
        start, size, pages = self.touched(number, count, odd)
        possible = self.one_allocation(pages) and all(self.pages[page].protect for page in pages)
        if self.attempt(possible, self.space.protect, start, size, protect):
            for page in pages:
                self.pages[page].protect = protect

    @rule(number=page_numbers, count=page_counts, odd=odd_bytes)
    def decommit(self, number: int, count: int, odd: int) -> None:
        start, size, pages = self.touched(number, count, odd)
        if self.attempt(self.one_allocation(pages), self.space.free, start, size, MEM_DECOMMIT):
            for page in pages:
                self.pages[page].protect = 0

    @rule(number=page_numbers)
    def release(self, number: int) -> None:
        start = LOW + number * 0x1000
        possible = start in self.pages and self.pages[start].base == start
        if self.attempt(possible, self.space.free, start, 0, MEM_RELEASE):
            self.pages = {page: found for page, found in self.pages.items() if found.base != start}

    @rule(number=page_numbers, count=page_counts)
    def release_part(self, number: int, count: int) -> None:
        start, size, pages = self.touched(number, count, 0)
        if self.attempt(self.one_allocation(pages), self.space.free, start, size, MEM_RELEASE):
            base = self.pages[start].base
            for page in pages:
                del self.pages[page]
            for page, found in self.pages.items():
                if found.base == base and page >= pages.stop:
                    found.base = pages.stop

    @invariant()
    def the_walk_is_gapless_and_rows_are_as_long_as_they_can_be(self) -> None:
        rows = list(self.space.walk())
        assert rows[0].base == 0
        assert rows[-1].end == USER_END
        for before, after in itertools.pairwise(rows):
            assert before.end == after.base
            assert (before.allocation_base, before.state, before.protect) != (
                after.allocation_base,
                after.state,
                after.protect,
            )
        for row in rows:
            assert self.space.query(row.base) == row

    @invariant()
    def every_page_is_as_the_naive_model_has_it(self) -> None:
        for number in range(PAGES + 24):
            address = LOW + number * 0x1000
            row = self.space.query(address)
            page = self.pages.get(address)
            if page is None:
                assert (row.state, row.allocation_base, row.protect) == (MEM_FREE, 0, PAGE_NOACCESS)
            else:
                state = MEM_COMMIT if page.protect else MEM_RESERVE
                assert (row.state, row.allocation_base) == (state, page.base)
                assert (row.protect, row.allocation_protect) == (page.protect, page.allocation_protect)
        assert self.sink.pages == {at: page.protect for at, page in self.pages.items() if page.protect}


TestAddressSpaceAgainstTheNaiveModel = AddressSpaceMachine.TestCase
TestAddressSpaceAgainstTheNaiveModel.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
