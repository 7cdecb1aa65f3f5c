"""Cells and blocks of a map cover all memory and the whole file in bounded number; windows and number formats."""

from __future__ import annotations

from itertools import pairwise

from dumptruth.fixtures.app.reporting.cells import ROWS, Grid, blocks, grid, to_scale
from dumptruth.fixtures.app.reporting.windows import AROUND, MAX_SPAN, ROW, window
from dumptruth.fixtures.app.reporting.words import address_text, number_text, size_text
from dumptruth.oracle import ByteSource, Span
from dumptruth.oracle.memory.page import PAGE_SIZE
from dumptruth.oracle.report.file_regions import FileRegion, Part
from dumptruth.oracle.report.memory_model import Landmark, MemoryMap, MemoryRegion, State
from hypothesis import given
from hypothesis import strategies as st

TOP = 1 << 64


def memory(*regions: tuple[int, int, State], space: str = "virtual", names: tuple[Landmark, ...] = ()) -> MemoryMap:
    made = [
        MemoryRegion(start, end, state, "a clause", start % 4096 if state.there else None)
        for start, end, state in regions
    ]
    return MemoryMap(space, tuple(made), names, True)


@st.composite
def maps(draw: st.DrawFn) -> MemoryMap:
    """Sorted, disjoint regions anywhere in 64 bits: single bytes, pages, terabytes."""
    edges = draw(st.lists(st.integers(0, TOP) | st.integers(0, 1 << 16), unique=True, max_size=60).map(sorted))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    return memory(*((start, end, draw(st.sampled_from(State))) for start, end in pairs))


@given(maps(), st.integers(1, 300), st.integers(1, 20))
def test_a_grid_covers_all_memory_within_its_bounds(drawn: MemoryMap, max_cells: int, max_bands: int) -> None:
    made = grid(drawn, max_cells, max_bands)
    cells = made.cells
    assert len(cells) <= max_cells
    assert len([band for band in made.bands if band.gap]) < max_bands
    assert made.unit >= PAGE_SIZE
    assert made.unit & (made.unit - 1) == 0
    assert all(cell.end - cell.start == made.unit and cell.start % made.unit == 0 for cell in cells)
    assert all(one.end <= two.start for one, two in pairwise(cells))
    for state in State:
        assert sum(cell.bytes.get(state, 0) for cell in cells) == drawn.total(state)
    for band, after in pairwise(made.bands):
        assert after.gap == after.start - band.end


@given(maps())
def test_a_cell_shows_the_worst_that_is_in_it(drawn: MemoryMap) -> None:
    for cell in grid(drawn).cells:
        inside = [region for region in drawn.regions if region.start < cell.end and cell.start < region.end]
        states = {region.state for region in inside}
        assert cell.state == next((state for state in State if state in states), None)
        assert (cell.offset is not None) == any(region.offset is not None for region in inside)
        assert 0 <= cell.there <= 1


def test_the_whole_of_a_sparse_address_space_is_a_few_bands() -> None:
    made = grid(memory(
        (0x7FFE0000, 0x7FFE1000, State.REQUIRED),
        (0x1D0_0000_0000, 0x1D0_0000_3000, State.REQUIRED),
        (0x7FF6_0000_0000, 0x7FF6_0000_8000, State.MISSING),
        (0x7FF6_0000_9000, 0x7FF6_0000_A000, State.REQUIRED),
        names=(Landmark(0x7FF6_0000_0000, 0x7FF6_0001_0000, "app.exe"),),
    ))  # fmt: skip
    assert made.unit == PAGE_SIZE
    assert [len(band.cells) for band in made.bands] == [1, 3, 10]
    assert [band.names for band in made.bands] == [(), (), ("app.exe",)]
    assert made.bands[2].cells[8].state is None


def test_rows_of_a_long_stretch_begin_at_round_addresses() -> None:
    made = grid(memory((0x5000, 0x5000 + 200 * PAGE_SIZE, State.PRESENT), space="physical"))
    size = ROWS["physical"] * made.unit
    assert [band.start % size for band in made.bands] == [0x5000, 0, 0, 0]
    assert [band.gap for band in made.bands] == [0] * 4


def test_an_empty_memory_makes_an_empty_grid() -> None:
    assert grid(memory()) == Grid(PAGE_SIZE, ())


regions = st.lists(st.tuples(st.integers(1, 5000), st.sampled_from(Part)), max_size=80)


def _file(sizes: list[tuple[int, Part]]) -> list[FileRegion]:
    found, at = [], 0
    for number, (size, part) in enumerate(sizes):
        found.append(FileRegion(at, at + size, part, "" if part is Part.UNCLAIMED else f"region {number}"))
        at += size
    return found


@given(regions, st.integers(1, 40))
def test_blocks_cover_the_file_in_bounded_number_and_hide_no_fault(sizes: list[tuple[int, Part]], limit: int) -> None:
    file = _file(sizes)
    made = blocks(file, limit)
    assert len(made) <= limit
    assert sum(block.regions for block in made) == len(file)
    assert all(one.end == two.start for one, two in pairwise(made))
    assert sum(block.size for block in made) == sum(size for size, _ in sizes)
    for region in file:
        if region.part in (Part.OVERLAP, Part.UNCLAIMED):
            holder = next(block for block in made if block.start <= region.start < block.end)
            assert holder.part in (Part.OVERLAP, Part.UNCLAIMED)


@given(regions, st.integers(1, 50))
def test_a_bar_to_scale_has_the_requested_length(sizes: list[tuple[int, Part]], bins: int) -> None:
    bar = to_scale(blocks(_file(sizes), 1000), bins)
    assert sum(length for _, _, length in bar) == (bins if sizes else 0)
    assert all(one[0] is not two[0] for one, two in pairwise(bar))
    faults = {part for _, part in sizes} & {Part.OVERLAP, Part.UNCLAIMED}
    assert bool(faults) == any(part in (Part.OVERLAP, Part.UNCLAIMED) for part, _, _ in bar)


@given(st.binary(max_size=400), st.integers(0, 500), st.integers(0, 500))
def test_a_window_shows_the_span_and_little_else(data: bytes, start: int, length: int) -> None:
    found = window(ByteSource(data), Span(start, start + length))
    if found is None:
        assert start - AROUND >= len(data) - ROW or not data
        return
    shown = b"".join(bytes.fromhex(digits) for row in found.rows for digits, _, _ in row.cells)
    first = found.rows[0].offset
    assert shown == data[first : first + len(shown)]
    assert len(shown) <= MAX_SPAN + 2 * AROUND + 2 * ROW
    marked = [row.offset + index for row in found.rows for index, (_, _, at_fault) in enumerate(row.cells) if at_fault]
    assert marked == [at for at in range(start, start + length) if first <= at < first + len(shown)]
    assert found.cut == (start + length > first + len(shown))
    assert all(len(character) == 1 and character.isprintable() for row in found.rows for _, character, _ in row.cells)


def test_sizes_addresses_and_numbers_are_formatted() -> None:
    assert [size_text(count) for count in (0, 1, 812, 4096, 36_250, 441_344, 1 << 47)] == [
        "0 bytes", "1 byte", "812 bytes", "4 KiB", "35.4 KiB", "431 KiB", "128 TiB",
    ]  # fmt: skip
    assert address_text(0x7FF60001000) == "000007ff`60001000"
    assert address_text(0x1AA000, "physical") == "0000001aa000"
    assert number_text(442685) == "442\N{NARROW NO-BREAK SPACE}685"
