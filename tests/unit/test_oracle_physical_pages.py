"""Page sets, the page maps of a dump and the page walker, each against a naive version."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from struct import pack_into

import pytest
from dumptruth.oracle import ByteSource
from dumptruth.oracle.memory.page_compare import differing, differing_pages, first_difference, nonzero_pages
from dumptruth.oracle.memory.page_set import PageSet
from dumptruth.oracle.memory.walk import AddressSpace, mapped
from dumptruth.oracle.readers.kernel_pages import PageBitmap, PageRuns
from hypothesis import given
from hypothesis import strategies as st

P = 0x1000
runs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda run: (run[0], sum(run))), max_size=8)


def members(of: PageSet) -> set[int]:
    return {pfn for start, end in of.runs for pfn in range(start, end)}


@given(runs, runs)
def test_page_sets_are_sets(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    one, two = PageSet(first), PageSet(second)
    naive = [{pfn for start, end in part for pfn in range(start, end)} for part in (first, second)]
    assert members(one) == naive[0]
    assert members(one | two) == naive[0] | naive[1]
    assert members(one & two) == naive[0] & naive[1]
    assert members(one - two) == naive[0] - naive[1]
    assert one.total == len(naive[0])
    assert [pfn in one for pfn in range(80)] == [pfn in naive[0] for pfn in range(80)]
    for found in (one, one | two, one & two, one - two):
        assert all(a[1] < b[0] for a, b in zip(found.runs, found.runs[1:], strict=False))


@given(st.sets(st.integers(0, 20_000), max_size=300), st.integers(0, 20_050), st.integers(0, 9_000))
def test_a_bitmap_maps_each_set_bit_to_the_next_page(pfns: set[int], start: int, length: int) -> None:
    bits = 20_001
    field = bytearray(b"\xff" * 8 + bytes(-(-bits // 8)))
    for pfn in pfns:
        field[8 + pfn // 8] |= 1 << pfn % 8
    field[-1] |= 0x80  # after the last bit
    pages = PageBitmap(ByteSource(bytes(field)), 8, bits, 0x7000)
    order = sorted(pfns)
    assert pages.total == len(order)
    for index, pfn in enumerate(order):
        assert pages.offset_of(pfn) == 0x7000 + index * P
    assert pages.offset_of(next(pfn for pfn in range(bits) if pfn not in pfns)) is None
    inside = [pfn for pfn in order if start <= pfn < start + length]
    assert pages.count(start, start + length) == len(inside)
    found = list(pages.runs(start, start + length))
    assert [pfn for base, count, _ in found for pfn in range(base, base + count)] == inside
    assert all(offset == pages.offset_of(base) for base, _, offset in found)


lists = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 20)), max_size=10)


@given(lists, st.integers(0, 200), st.integers(0, 99))
def test_runs_map_each_page_to_its_place_in_the_order_of_the_runs(
    listed: list[tuple[int, int]], start: int, length: int
) -> None:
    pages = PageRuns(listed, 0x2000)
    offsets: dict[int, set[int]] = {}
    at = 0x2000
    for base, count in listed:
        for pfn in range(base, base + count):
            offsets.setdefault(pfn, set()).add(at)
            at += P
    assert pages.end == at
    assert pages.distinct == len(offsets)
    for pfn in range(230):
        assert pages.offset_of(pfn) in offsets.get(pfn, {None})
    inside = sorted(pfn for pfn in offsets if start <= pfn < start + length)
    assert pages.count(start, start + length) == len(inside)
    found = [pfn for base, count, _ in pages.runs(start, start + length) for pfn in range(base, base + count)]
    assert found == inside


def test_a_bitmap_that_the_file_cuts_has_no_bits_behind_the_end() -> None:
    pages = PageBitmap(ByteSource(b"\xff" * 4), 2, 1 << 40, 0x1000)
    assert (pages.bits, pages.total, pages.offset_of(1 << 30)) == (16, 16, None)


class Tables:
    """Hand-made physical memory of an amd64 machine."""

    def __init__(self) -> None:
        self.pages: dict[int, bytearray] = {}

    def page(self, pfn: int) -> memoryview | None:
        return memoryview(self.pages[pfn]) if pfn in self.pages else None

    def put(self, pfn: int, index: int, value: int, size: int = 8) -> None:
        pack_into("<Q" if size == 8 else "<I", self.pages.setdefault(pfn, bytearray(P)), index * size, value)


def test_pages_of_4_kib_2_mib_and_1_gib_translate() -> None:
    memory = Tables()
    memory.put(1, 256, 2 << 12 | 1)
    memory.put(2, 0, 3 << 12 | 1)
    memory.put(2, 1, (5 << 30) | 0x81)
    memory.put(3, 0, 4 << 12 | 1)
    memory.put(3, 1, (7 << 21) | 0x81 | 1 << 63)
    memory.put(4, 5, 0x1234 << 12 | 1)
    space = AddressSpace(memory, 0x1000 | 0x2)
    base = 0xFFFF_8000_0000_0000
    assert space.translate(base + 0x5678) == 0x1234678
    assert space.translate(base + (1 << 21) + 0x12345) == (7 << 21) + 0x12345
    assert space.translate(base + (1 << 30) + 0x1234567) == (5 << 30) + 0x1234567
    assert space.translate(base + 0x6000) is None
    assert space.translate(base - 1) is None
    assert space.translate(0x0000_8000_0000_5678) is None
    found = mapped(memory, (0x1000,), kernel=True)
    assert found.tables == {2, 3, 4}
    assert set(found.leaves) == {(0x1234, 0x1235), (7 << 9, 8 << 9)}
    assert set(found.gigantic) == {(5 << 18, 6 << 18)}
    assert mapped(memory, (0x1000,), kernel=False) == mapped(memory, (), kernel=True)


def test_tables_that_point_at_each_other_end() -> None:
    memory = Tables()
    for pfn in (1, 2, 3):
        for index in range(512):
            memory.put(pfn, index, (pfn % 3 + 1) << 12 | 7)
    found = mapped(memory, (0x1000,), kernel=True)
    assert found.tables <= {1, 2, 3}
    assert {pfn for start, end in found.leaves for pfn in range(start, end)} <= {1, 2, 3}


def test_the_entry_that_maps_the_tables_themselves_is_left_out() -> None:
    memory = Tables()
    memory.put(1, 0x1ED, 1 << 12 | 3)
    memory.put(1, 0, 9 << 12 | 7)
    assert mapped(memory, (0x1000,), kernel=True).tables == frozenset()
    assert AddressSpace(memory, 0x1000).translate(0xFFFF_F6FB_7DBE_D000) == 0x1000


def test_the_two_paging_modes_of_x86_translate() -> None:
    memory = Tables()
    memory.put(1, 0x200, 2 << 12 | 1, 4)
    memory.put(2, 3, 0x77 << 12 | 1, 4)
    memory.put(1, 0x201, (9 << 22) | 0x81, 4)
    flat = AddressSpace(memory, 0x1000, "x86")
    assert flat.translate(0x8000_3123) == 0x77123
    assert flat.translate(0x8040_1234) == (9 << 22) + 0x1234
    assert flat.translate(1 << 32) is None
    memory.put(5, 4 + 2, 6 << 12 | 1)  # the table of four entries is at 0x5020
    memory.put(6, 0, 7 << 12 | 1)
    memory.put(7, 3, 0x88 << 12 | 1)
    memory.put(6, 1, (3 << 21) | 0x81)
    pae = AddressSpace(memory, 0x5020, "x86-pae")
    assert pae.translate(0x8000_3123) == 0x88123
    assert pae.translate(0x8020_0456) == (3 << 21) + 0x456


def test_reads_cross_pages_and_need_every_byte() -> None:
    memory = Tables()
    memory.put(1, 256, 2 << 12 | 1)
    memory.put(2, 0, 3 << 12 | 1)
    memory.put(3, 0, 4 << 12 | 1)
    memory.put(4, 0, 9 << 12 | 1)
    memory.put(4, 1, 8 << 12 | 1)
    memory.pages[9] = bytearray(b"a" * P)
    memory.pages[8] = bytearray(b"b" * P)
    space = AddressSpace(memory, 0x1000)
    base = 0xFFFF_8000_0000_0000
    assert space.read(base + P - 2, 4) == b"aabb"
    assert space.read(base + 2 * P - 1, 2) is None
    assert space.read((1 << 64) - 1, 2) is None
    assert space.read(base, 1 << 40) is None


@given(st.binary(min_size=1, max_size=40), st.sets(st.integers(0, 39)), st.integers(0, 3))
def test_differing_and_nonzero_pages_are_found(kinds: bytes, spoilt: set[int], before: int) -> None:
    expected = b"".join(bytes([kind & 1]) * P for kind in kinds)
    actual = bytearray(bytes(before) + expected)
    wrong = {index for index in spoilt if index < len(kinds)}
    for index in wrong:
        actual[before + index * P + 17] ^= 0xFF
    source = ByteSource(bytes(actual))
    assert set(differing_pages(source, before, ByteSource(expected), 0, len(expected))) == wrong
    nonzero = {index for index, kind in enumerate(kinds) if kind & 1} | wrong
    assert set(nonzero_pages(source, before, len(kinds))) == nonzero


def test_large_areas_are_compared_in_chunks() -> None:
    size = 3 << 20
    expected = bytes(size)
    actual = bytearray(expected)
    for at in (0, (1 << 18) - 1, 1 << 20, size - 1):
        actual[at] = 1
    source = ByteSource(bytes(actual))
    pages = [0, 63, 256, size // P - 1]
    assert list(differing_pages(source, 0, ByteSource(expected), 0, size)) == pages
    assert list(nonzero_pages(source, 0, size // P)) == pages
    chunks = list(differing(source, 0, ByteSource(expected), 0, size))
    assert chunks == [(0, 1 << 18), (1 << 20, (1 << 20) + (1 << 18)), (size - (1 << 18), size)]


class Sparse(ByteSource):
    """Bytes that report their zero blocks of 16 and record the reads."""

    def __init__(self, data: bytes | bytearray) -> None:
        super().__init__(data)
        self.asked: list[tuple[int, int]] = []

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        for low in range(start - start % 16, min(end, self.size), 16):
            if any(super().view(low, 16)):
                yield max(low, start), min(low + 16, end, self.size)

    def view(self, offset: int, length: int) -> memoryview:
        self.asked.append((offset, offset + length))
        return super().view(offset, length)


def test_what_is_a_hole_in_both_files_is_not_read() -> None:
    first, second = bytearray(1 << 16), bytearray(1 << 16)
    first[64] = second[64] = first[0x2005] = second[0x8000] = 1
    one, other = Sparse(first), Sparse(second)
    assert list(differing(one, 0, other, 0, 1 << 16)) == [(0x2000, 0x2010), (0x8000, 0x8010)]
    assert one.asked == other.asked == [(64, 80), (0x2000, 0x2010), (0x8000, 0x8010)]


blocks = st.lists(st.sampled_from([b"", b"", b"", b"a", b"b", b"\0\0c"]), max_size=12).map(
    lambda kinds: b"".join(kind.ljust(16, b"\0") for kind in kinds)
)


@given(blocks, blocks, st.integers(0, 40), st.integers(0, 40), st.integers(0, 200))
def test_files_with_holes_differ_where_their_bytes_do(
    first: bytes, second: bytes, at: int, beside: int, size: int
) -> None:
    one, other = Sparse(first), Sparse(second)
    found = list(differing(one, at, other, beside, size))
    mine, theirs = first[at : at + size], second[beside : beside + size]
    # Bytes past the end of a file differ from zeros.
    wrong = {index for index in range(size) if mine[index : index + 1] != theirs[index : index + 1]}
    assert wrong <= {index for low, high in found for index in range(low, high)}
    for low, high in found:
        assert wrong & set(range(low, high))
        assert low + first_difference(mine[low:high], theirs[low:high]) == min(wrong & set(range(low, high)))


@pytest.mark.skipif(not hasattr(os, "SEEK_DATA"), reason="the system has no SEEK_DATA")
def test_holes_of_a_sparse_file_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 36)
        for at in (5 << 30, 40 << 30):
            file.seek(at)
            file.write(b"x")
    with ByteSource.open(path) as source:
        found = list(nonzero_pages(source, 0, (1 << 36) // P))
        read = sum(end - start for start, end in source.data(0, 1 << 36))
    if read > 1 << 24:
        pytest.skip("the file system of the test's folder has no holes")
    assert found == [(5 << 30) // P, (40 << 30) // P]


def test_pages_in_transition_are_listed_apart_and_prototype_entries_are_not() -> None:
    entries = [0x1234_F000 | 0x800, 0x1235_F000 | 0xC00, 0x1236_F000 | 0x801, 0]
    memory = _Pages({1: [(256, 2)], 2: [(0, 3)], 3: [(0, 4), (511, 5)]})
    memory.raw[4] = b"".join(entry.to_bytes(8, "little") for entry in entries).ljust(0x1000, b"\0")
    memory.raw[5] = (0x777_F000 | 0x800).to_bytes(8, "little").ljust(0x1000, b"\0")
    found = mapped(memory, (0x1000,), kernel=True)
    assert set(found.transition) == {(0x1234F, 0x12350), (0x777F, 0x7780)}
    assert set(found.leaves) == {(0x1236F, 0x12370)}
    taken = mapped(memory, (0x1000,), kernel=True, last_entries=False)
    assert set(taken.transition) == {(0x1234F, 0x12350)}
    assert taken.tables == {2, 3, 4}


def test_five_levels_translate() -> None:
    memory = _Pages({1: [(511, 6)], 6: [(0, 2)], 2: [(0, 3)], 3: [(0, 4)], 4: [(5, 0x99)]})
    space = AddressSpace(memory, 0x1000, "amd64-la57")
    assert space.translate(0xFFFF_0000_0000_0000 + (5 << 12) + 7) == 0x99007
    assert space.translate(0x0080_0000_0000_0000 << 1) is None


class _Pages:
    """Page tables by PFN: (index, PFN) of their entries."""

    def __init__(self, tables: dict[int, list[tuple[int, int]]]) -> None:
        self.raw: dict[int, bytes] = {}
        for pfn, entries in tables.items():
            page = bytearray(0x1000)
            for index, below in entries:
                page[8 * index : 8 * index + 8] = (below << 12 | 1).to_bytes(8, "little")
            self.raw[pfn] = bytes(page)

    def page(self, pfn: int) -> bytes | None:
        return self.raw.get(pfn)
