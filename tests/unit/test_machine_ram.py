"""Physical memory: allocation, zeroing, bounds."""

import pytest
from dumptruth.emu.machine.ram import PAGE_SIZE, Ram, RamExhausted


def test_pages_come_lowest_first_zeroed_and_never_page_zero() -> None:
    ram = Ram(8 * PAGE_SIZE)
    assert [ram.allocate_page() for _ in range(3)] == [0x1000, 0x2000, 0x3000]
    ram.write(0x2000, b"\xff" * PAGE_SIZE)
    ram.free_page(0x2000)
    assert ram.allocate_page() == 0x2000
    assert ram.read(0x2000, PAGE_SIZE) == bytes(PAGE_SIZE)


def test_a_run_is_contiguous_and_skips_holes_that_are_too_short() -> None:
    ram = Ram(8 * PAGE_SIZE)
    first = [ram.allocate_page() for _ in range(3)]
    ram.write(first[1], b"dirt")
    ram.free_page(first[1])
    assert ram.allocate_pages(2) == 0x4000
    assert ram.allocate_page() == first[1]
    assert ram.free_pages == 2


def test_a_recycled_run_is_zeroed_throughout() -> None:
    ram = Ram(4 * PAGE_SIZE)
    base = ram.allocate_pages(2)
    ram.write(base, b"\xaa" * (3 * PAGE_SIZE - 1))
    ram.free_page(base)
    ram.free_page(base + PAGE_SIZE)
    assert ram.allocate_pages(2) == base
    assert ram.read(base, 2 * PAGE_SIZE) == bytes(2 * PAGE_SIZE)


def test_exhaustion_is_a_named_error_and_says_how_much_was_wanted() -> None:
    ram = Ram(4 * PAGE_SIZE)
    with pytest.raises(RamExhausted, match="no 4 contiguous free pages"):
        ram.allocate_pages(4)
    ram.allocate_pages(3)
    with pytest.raises(RamExhausted):
        ram.allocate_page()


@pytest.mark.parametrize("pa", [0, 0x1800, 0x2000, 0x100000])
def test_freeing_what_is_not_an_allocated_page_is_refused(pa: int) -> None:
    ram = Ram(4 * PAGE_SIZE)
    ram.allocate_page()
    with pytest.raises(ValueError, match="not an allocated page"):
        ram.free_page(pa)


def test_access_outside_ram_is_refused_and_changes_nothing() -> None:
    ram = Ram(2 * PAGE_SIZE)
    with pytest.raises(IndexError, match="outside"):
        ram.write(2 * PAGE_SIZE - 2, b"abc")
    with pytest.raises(IndexError, match="outside"):
        ram.read_u64(2 * PAGE_SIZE - 4)
    assert ram.read(2 * PAGE_SIZE - 2, 2) == b"\0\0"


def test_view_and_words_show_the_same_bytes() -> None:
    ram = Ram(2 * PAGE_SIZE)
    ram.write_u64(0x1000, 0x1122334455667788)
    assert bytes(ram.view[0x1000:0x1008]) == bytes.fromhex("8877665544332211")
    ram.view[0x1000] = 0x99
    assert ram.read_u64(0x1000) == 0x1122334455667799


@pytest.mark.parametrize("size", [0, PAGE_SIZE, 3 * PAGE_SIZE + 1])
def test_an_invalid_size_of_ram_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="RAM size"):
        Ram(size)
