"""Physical memory with holes: the map, allocation, and that only touched pages take host memory."""

from __future__ import annotations

import itertools
import time

import pytest
from dumptruth.emu.kernel.physical_memory import (
    LARGEST_RAM,
    SMALLEST_RAM,
    WINDOW_PAGES,
    PhysicalMemory,
    RamSizeError,
    memory_map,
    parse_size,
)
from dumptruth.emu.machine.cpu import Cpu
from dumptruth.emu.machine.paging import PageTables
from dumptruth.emu.machine.ram import RamExhausted
from dumptruth.emu.machine.traps import BadMemory, Halted

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "size"),
    [("1M", 1 << 20), ("16m", 16 << 20), ("8G", 8 << 30), ("512K", 512 << 10), ("4096", 4096), ("0x2000", 0x2000),
     (" 64 MiB".replace(" ", ""), 64 << 20), ("0G", 0)],
)  # fmt: skip
def test_a_size_is_a_number_with_a_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "1.5G", "-1M", "1T", "1M2", "0x", "16 M", "9" * 40 + "M"])
def test_an_invalid_size_is_refused(text: str) -> None:
    with pytest.raises(RamSizeError, match="expected a number with K, M or G"):
        parse_size(text)


@pytest.mark.parametrize(
    "size", [1 << 20, (1 << 20) + 4096, 2 << 20, 16 << 20, 26 << 20, 64 << 20, GIB, 3 * GIB, 4 * GIB, 8 * GIB, 64 * GIB]
)
def test_the_runs_add_up_and_leave_the_holes_of_a_pc(size: int) -> None:
    runs = memory_map(size)
    assert sum(count for _, count in runs) * 4096 == size
    assert all(first + count < following for (first, count), (following, _) in itertools.pairwise(runs))
    assert runs[:1] == ((1, 0x9F),)
    assert runs[1][0] == 0x100
    assert (runs[-1][0] >= 1 << 20) == (size > 3 * GIB - (1 << 21))


@pytest.mark.parametrize("size", [0, SMALLEST_RAM - 4096, SMALLEST_RAM + 1, LARGEST_RAM + 4096, -4096])
def test_a_machine_of_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(RamSizeError, match="expected a multiple of 0x1000 from 0x100000 to"):
        memory_map(size)


def test_pages_come_from_ram_and_never_from_a_hole() -> None:
    memory = PhysicalMemory(((1, 3), (8, 4)))
    pages = [memory.allocate_page() >> 12 for _ in range(7)]
    assert pages == [1, 2, 3, 8, 9, 10, 11]
    with pytest.raises(RamExhausted, match="no 1 contiguous free pages"):
        memory.allocate_page()
    assert [memory.is_ram(page) for page in (0, 1, 3, 4, 7, 8, 11, 12)] == [0, 1, 1, 0, 0, 1, 1, 0]


def test_a_run_of_pages_is_found_where_it_is_asked_for() -> None:
    memory = PhysicalMemory(((1, 3), (8, 0x1000)))
    assert memory.allocate_within(4, first=0, end=0x1000) == 0x8000
    assert memory.allocate_within(512, first=0, end=0x1000, alignment=512) == 0x200000
    assert memory.allocate_within(1, first=0x123, end=0x124) == 0x123000
    with pytest.raises(RamExhausted, match="PFNs 0x123 to 0x124"):
        memory.allocate_within(1, first=0x123, end=0x124)
    with pytest.raises(RamExhausted):
        memory.allocate_within(1, first=4, end=8)
    assert memory.free_runs() == ((1, 3), (12, 0x123 - 12), (0x124, 0x200 - 0x124), (0x400, 0x1008 - 0x400))


def test_a_page_that_comes_back_is_zeroed() -> None:
    memory = PhysicalMemory(((1, 3), (8, 8)))
    page = memory.allocate_within(1, first=9, end=10)
    memory.write(page, b"secret")
    memory.free_page(page)
    assert memory.touched() == ((9, 1),)
    assert memory.allocate_within(2, first=9, end=11) == page
    assert memory.touched() == ()


def test_touched_pages_are_merged_into_runs_across_windows_and_split_at_holes() -> None:
    memory = PhysicalMemory(((1, 0x1FF), (0x202, 0x1000)))
    for page in (1, 2, 0x1FE, 0x1FF, 0x202, 0x203, 0x3FF, 0x400, 0x800):
        memory.allocate_within(1, first=page, end=page + 1)
        memory.write(page * 4096 + 4095, b"\1")
    assert memory.touched() == ((1, 2), (0x1FE, 2), (0x202, 2), (0x3FF, 2), (0x800, 1))


def test_a_large_machine_allocates_touched_pages_only() -> None:
    start = time.process_time()
    memory = PhysicalMemory(memory_map(64 * GIB))
    high = memory.allocate_within(WINDOW_PAGES, first=1 << 20, end=1 << 24, alignment=WINDOW_PAGES)
    memory.write(high + 0x5000, b"here")
    last = memory.runs[-1][0] + memory.runs[-1][1] - 1
    memory.write(memory.allocate_within(1, first=last, end=last + 1), b"end")
    assert memory.touched() == ((high // 4096 + 5, 1), (last, 1))
    assert time.process_time() - start < 10  # takes hundredths of a second; an endless loop does not end


def run_with(memory: PhysicalMemory, target: int, code: bytes) -> object:
    """Runs ``code`` in ring 0 with the page at 0x7000 mapped onto physical address ``target``."""
    tables = PageTables(memory)
    place = memory.allocate_page()
    memory.write(place, code)
    tables.map(0x5000, place, 1, write=False, user=False, execute=True)
    tables.map(0x7000, target, 1, write=True, user=False, execute=True)
    cpu = Cpu(memory, tables.root, tables=tables)
    cpu.set_privilege(0)
    cpu.load({"Rip": 0x5000, "Rax": 0x1122334455667788})
    return cpu.run()


STORE = bytes.fromhex("48890425f87f0000f4")  # mov [0x7FF8], rax; hlt


def test_a_guest_access_allocates_ram_and_its_page_is_found() -> None:
    memory = PhysicalMemory(memory_map(8 * GIB))
    target = 7 * GIB + 0x3000
    assert isinstance(run_with(memory, target, STORE), Halted)
    assert memory.read_u64(target + 0xFF8) == 0x1122334455667788
    assert (target >> 12, 1) in memory.touched()


def test_a_guest_store_into_a_hole_is_bad_memory() -> None:
    memory = PhysicalMemory(memory_map(8 * GIB))
    event = run_with(memory, 0xA0000, STORE)
    assert isinstance(event, BadMemory)
    assert event.physical_address == 0xA0FF8


def test_two_processors_see_the_window_that_one_of_them_opened() -> None:
    memory = PhysicalMemory(memory_map(16 << 20))
    tables = PageTables(memory)
    code = memory.allocate_page()
    memory.write(code, STORE + bytes.fromhex("488b1c25f87f0000f4"))  # ...; mov rbx, [0x7FF8]; hlt
    target = 12 << 20
    tables.map(0x5000, code, 1, write=False, user=False, execute=True)
    tables.map(0x7000, target, 1, write=True, user=False, execute=False)
    first, second = Cpu(memory, tables.root), Cpu(memory, tables.root)
    for cpu, start in ((first, 0x5000), (second, 0x5000 + len(STORE))):
        cpu.set_privilege(0)
        cpu.load({"Rip": start, "Rax": 0xABCD})
        assert isinstance(cpu.run(), Halted)
    assert second.get("Rbx") == 0xABCD
