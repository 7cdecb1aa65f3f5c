"""Page tables and the walker, against each other and against hand-made entries."""

import pytest
from dumptruth.emu.machine.paging import PageNotPresent, PageTables, PagingError, Translation
from dumptruth.emu.machine.ram import PAGE_SIZE, Ram
from hypothesis import given, settings
from hypothesis import strategies as st

VA = 0x7FF6_0000_1000
RW = {"write": True, "user": True, "execute": False}
RX = {"write": False, "user": True, "execute": True}


@pytest.fixture
def ram() -> Ram:
    return Ram(16 << 20)


@pytest.fixture
def tables(ram: Ram) -> PageTables:
    return PageTables(ram)


def test_translation_is_exact_to_the_byte_and_carries_rights(ram: Ram, tables: PageTables) -> None:
    pa = ram.allocate_pages(2)
    tables.map(VA, pa, 1, **RW)
    tables.map(VA + PAGE_SIZE, pa + PAGE_SIZE, 1, write=False, user=False, execute=True)
    assert tables.translate(VA + 0x123) == Translation(pa + 0x123, True, True, False, PAGE_SIZE)
    assert tables.translate(VA + 0x1FFF) == Translation(pa + 0x1FFF, False, False, True, PAGE_SIZE)
    assert tables.translate(VA - 1) is None
    assert tables.translate(VA + 0x2000) is None


def test_entries_are_what_the_architecture_says(ram: Ram, tables: PageTables) -> None:
    pa = ram.allocate_page()
    tables.map(VA, pa, 1, **RW)
    table = tables.root
    for shift in (39, 30, 21):
        entry = ram.read_u64(table + 8 * (VA >> shift & 511))
        assert entry & 0xFFF == 0b111  # present, writable, user: the leaf decides
        table = entry & 0xFFFFFFFFFF000
    assert ram.read_u64(table + 8 * (VA >> 12 & 511)) == 1 << 63 | pa | 0b111


def test_a_run_over_several_tables_maps_every_page_in_order(ram: Ram, tables: PageTables) -> None:
    va, count = 0x3F_F000, 1030  # starts at the last entry of a table, ends in the third one after
    pa = ram.allocate_pages(count)
    tables.map(va, pa, count, **RW)
    assert [tables.translate(va + n * PAGE_SIZE).pa for n in range(count)] == [pa + n * PAGE_SIZE for n in range(count)]  # type: ignore[union-attr]
    assert list(tables.runs(0, 1 << 47)) == [(va, pa, count * PAGE_SIZE)]


def test_kernel_half_is_mapped_and_found(ram: Ram, tables: PageTables) -> None:
    va = 0xFFFFF800_00001000
    pa = ram.allocate_page()
    tables.map(va, pa, 1, write=True, user=False, execute=True)
    assert tables.translate(va + 5) == Translation(pa + 5, True, False, True, PAGE_SIZE)
    assert list(tables.runs(0, 1 << 64)) == [(va, pa, PAGE_SIZE)]


@pytest.mark.parametrize("va", [1 << 47, 0x8000_0000_0000_0000, 0xFFFF_7FFF_FFFF_F000, 0x4141_4141_4141_4141])
def test_non_canonical_addresses_translate_to_nothing_and_cannot_be_mapped(tables: PageTables, va: int) -> None:
    assert tables.translate(va) is None
    with pytest.raises(PagingError):
        tables.map(va & ~0xFFF, 0x2000, 1, **RW)


def test_mapping_twice_is_refused_and_changes_nothing(ram: Ram, tables: PageTables) -> None:
    pa = ram.allocate_pages(3)
    tables.map(VA + PAGE_SIZE, pa, 1, **RW)
    with pytest.raises(PagingError, match=r"0x7ff600002000: mapped already"):
        tables.map(VA, pa, 3, **RW)
    assert list(tables.runs(VA, 3 * PAGE_SIZE)) == [(VA + PAGE_SIZE, pa, PAGE_SIZE)]


def test_unmap_leaves_a_hole_and_ignores_holes(ram: Ram, tables: PageTables) -> None:
    pa = ram.allocate_pages(4)
    tables.map(VA, pa, 4, **RW)
    tables.unmap(VA + PAGE_SIZE, 2)
    tables.unmap(VA + PAGE_SIZE, 2)
    tables.unmap(0x10000, 600)
    assert list(tables.runs(VA, 4 * PAGE_SIZE)) == [(VA, pa, PAGE_SIZE), (VA + 0x3000, pa + 0x3000, PAGE_SIZE)]


def test_protect_changes_rights_only_and_skips_holes(ram: Ram, tables: PageTables) -> None:
    pa = ram.allocate_pages(3)
    tables.map(VA, pa, 3, **RW)
    tables.unmap(VA + PAGE_SIZE, 1)
    tables.protect(VA, 3, **RX)
    assert tables.translate(VA) == Translation(pa, False, True, True, PAGE_SIZE)
    assert tables.translate(VA + PAGE_SIZE) is None
    assert tables.translate(VA + 2 * PAGE_SIZE) == Translation(pa + 2 * PAGE_SIZE, False, True, True, PAGE_SIZE)


def test_large_pages_are_mapped_and_walked(ram: Ram, tables: PageTables) -> None:
    va = 0xFFFFF800_00200000
    tables.map_large(va, 0x20_0000, 2, write=True, user=False, execute=True)
    assert tables.translate(va + 0x21_2345) == Translation(0x41_2345, True, False, True, 0x20_0000)
    assert list(tables.runs(va + 0x10, 0x30_0000)) == [(va + 0x10, 0x20_0010, 0x30_0000)]
    with pytest.raises(PagingError, match="mapped already"):
        tables.map(va + PAGE_SIZE, ram.allocate_page(), 1, **RW)
    with pytest.raises(PagingError, match="large page"):
        tables.unmap(va, 1)


def test_a_gigabyte_page_laid_by_hand_is_walked(ram: Ram, tables: PageTables) -> None:
    directory = ram.allocate_page()
    ram.write_u64(tables.root, directory | 0b111)
    ram.write_u64(directory + 8, 0x4000_0000 | 0x80 | 0b101)
    assert tables.translate(0x4123_4567) == Translation(0x4123_4567, False, True, True, 1 << 30)


def test_upper_levels_restrict_what_the_leaf_allows(ram: Ram, tables: PageTables) -> None:
    pa = ram.allocate_page()
    tables.map(VA, pa, 1, write=True, user=True, execute=True)
    slot = tables.root + 8 * (VA >> 39 & 511)
    ram.write_u64(slot, (ram.read_u64(slot) & ~0b110) | 1 << 63)
    assert tables.translate(VA) == Translation(pa, False, False, False, PAGE_SIZE)


def test_a_table_that_lies_outside_ram_translates_to_nothing(ram: Ram, tables: PageTables) -> None:
    ram.write_u64(tables.root, 0x7_0000_0000 | 0b111)
    assert tables.translate(0x1000) is None
    assert list(tables.runs(0, 0x10000)) == []


def test_self_map_shows_the_top_table_at_its_own_address(ram: Ram, tables: PageTables) -> None:
    tables.set_self_map(0x1ED)
    found = tables.translate(0xFFFFF6FB_7DBED000)  # PXE_BASE of 0x1ED
    assert found == Translation(tables.root, True, False, False, PAGE_SIZE)


def test_host_reads_and_writes_cross_pages_that_are_apart_in_ram(ram: Ram, tables: PageTables) -> None:
    low, high = ram.allocate_page(), ram.allocate_page()
    tables.map(VA, high, 1, **RW)
    tables.map(VA + PAGE_SIZE, low, 1, **RX)
    data = bytes(range(200))
    tables.write(VA + 0xFA0, data)
    assert tables.read(VA + 0xFA0, 200) == data
    assert ram.read(high + 0xFA0, 96) + ram.read(low, 104) == data


def test_a_host_write_over_a_hole_writes_nothing_and_names_the_hole(ram: Ram, tables: PageTables) -> None:
    tables.map(VA, ram.allocate_page(), 1, **RW)
    with pytest.raises(PageNotPresent) as caught:
        tables.write(VA + 0xFFE, b"abcd")
    assert caught.value.va == VA + PAGE_SIZE
    assert tables.read(VA + 0xFFE, 2) == b"\0\0"
    with pytest.raises(PageNotPresent) as caught:
        tables.read(VA - 1, 2)
    assert caught.value.va == VA - 1


def test_generations_change_when_a_processor_must_flush(ram: Ram, tables: PageTables) -> None:
    pa = ram.allocate_pages(2)
    tables.map(VA, pa, 1, **RW)
    mappings, code = tables.generation, tables.code_generation
    tables.write(VA, b"data")
    assert (tables.generation, tables.code_generation) == (mappings, code)
    tables.protect(VA, 1, **RX)
    assert tables.generation > mappings
    code = tables.code_generation
    tables.write(VA, b"code")
    assert tables.code_generation > code
    code = tables.code_generation
    tables.unmap(VA, 1)
    assert tables.code_generation > code


def test_take_dirty_reports_and_clears_the_bits_of_written_pages(ram: Ram, tables: PageTables) -> None:
    pa = ram.allocate_pages(3)
    tables.map(VA, pa, 3, **RW)
    table = tables.root
    for shift in (39, 30, 21):
        table = ram.read_u64(table + 8 * (VA >> shift & 511)) & 0xFFFFFFFFFF000
    for page in (0, 2):
        slot = table + 8 * ((VA >> 12) + page & 511)
        ram.write_u64(slot, ram.read_u64(slot) | 0x60)
    assert tables.take_dirty(VA - PAGE_SIZE, 5) == [VA, VA + 2 * PAGE_SIZE]
    assert tables.take_dirty(VA - PAGE_SIZE, 5) == []
    assert ram.read_u64(table + 8 * (VA >> 12 & 511)) & 0x60 == 0x20


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["map", "unmap", "protect"]), st.integers(0, 40), st.integers(1, 12), st.booleans()),
        max_size=25,
    )
)
def test_any_sequence_of_changes_agrees_with_a_dictionary(steps: list[tuple[str, int, int, bool]]) -> None:
    """A model: page number -> (frame, writable). `runs` and `translate` always agree with it."""
    ram = Ram(1 << 20)
    tables = PageTables(ram)
    base = 0x1F_0000  # the 40 pages lie across a leaf-table boundary
    model: dict[int, tuple[int, bool]] = {}
    for action, first, count, write in steps:
        va, pages = base + first * PAGE_SIZE, range(first, first + count)
        if action == "map":
            pa = 0x4000_0000 + first * 0x3000
            if any(page in model for page in pages):
                with pytest.raises(PagingError):
                    tables.map(va, pa, count, write=write, user=True, execute=False)
            else:
                tables.map(va, pa, count, write=write, user=True, execute=False)
                model.update({page: (pa + n * PAGE_SIZE, write) for n, page in enumerate(pages)})
        elif action == "unmap":
            tables.unmap(va, count)
            model = {page: value for page, value in model.items() if page not in pages}
        else:
            tables.protect(va, count, write=write, user=True, execute=False)
            model.update({page: (model[page][0], write) for page in pages if page in model})
    found = {page: tables.translate(base + page * PAGE_SIZE) for page in range(60)}
    assert {page: (t.pa, t.write) for page, t in found.items() if t} == model
    listed = {
        (va - base) // PAGE_SIZE + n: pa + n * PAGE_SIZE
        for va, pa, length in tables.runs(base, 60 * PAGE_SIZE)
        for n in range(length // PAGE_SIZE)
    }
    assert listed == {page: frame for page, (frame, _) in model.items()}
