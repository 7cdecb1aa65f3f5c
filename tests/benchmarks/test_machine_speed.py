"""Speed of the machine. Each bound is a tenth or less of the measured speed, so noise does not fail a test."""

import sys
import time
from collections.abc import Callable
from statistics import median

import pytest
from dumptruth.emu.machine.cpu import Cpu
from dumptruth.emu.machine.paging import PageTables
from dumptruth.emu.machine.ram import PAGE_SIZE, Ram
from dumptruth.emu.machine.traps import Syscall

CODE, DATA = 0x1000_0000, 0x2000_0000
RW = {"write": True, "user": True, "execute": False}


def machine() -> tuple[Cpu, PageTables]:
    ram = Ram(64 << 20)
    tables = PageTables(ram)
    tables.map(CODE, ram.allocate_page(), 1, write=False, user=True, execute=True)
    return Cpu(ram, tables.root, tables=tables), tables


def seconds(work: Callable[[], object], rounds: int = 5) -> float:
    """Median host time of one call."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


@pytest.mark.benchmark
def test_a_system_call_takes_under_a_millisecond() -> None:
    cpu, tables = machine()
    tables.write(CODE, bytes.fromhex("0f05ebfc"))
    cpu.set("Rip", CODE)

    def round_trips() -> None:
        for _ in range(500):
            assert isinstance(cpu.run(), Syscall)
            cpu.complete_syscall(0)

    rate = 500 / seconds(round_trips)
    print(f"system calls: {rate:,.0f}/s")
    assert rate > 1_500


@pytest.mark.benchmark
def test_a_second_runs_ten_million_blocks_free_or_200_000_counted() -> None:
    cpu, tables = machine()
    tables.write(CODE, bytes.fromhex("ffc9 75fc 0f05"))  # 1: dec ecx; jnz 1; syscall

    def loop(blocks: int) -> None:
        cpu.load({"Rip": CODE, "Rcx": blocks})
        assert isinstance(cpu.run(), Syscall)

    free = 1_000_000 / seconds(lambda: loop(1_000_000))
    cpu.quantum = 1 << 40
    counted = 100_000 / seconds(lambda: loop(100_000))
    print(f"blocks: {free:,.0f}/s free, {counted:,.0f}/s counted")
    assert free > 10_000_000
    assert counted > 200_000


@pytest.mark.benchmark
def test_mapping_listing_and_unmapping_8192_pages_takes_under_a_fifth_of_a_second() -> None:
    _, tables = machine()
    count = 8192

    def cycle() -> None:
        tables.map(DATA, 0x10_0000, count, **RW)
        assert list(tables.runs(0, 1 << 47))[-1] == (DATA, 0x10_0000, count * PAGE_SIZE)
        tables.unmap(DATA, count)

    took = seconds(cycle)
    print(f"map, list and unmap {count} pages: {took * 1000:.1f} ms")
    assert took < 0.2


def test_reading_untouched_memory_costs_no_memory() -> None:
    """With MAP_SHARED, the default of mmap on Linux, a read would allocate every page."""
    resource = pytest.importorskip("resource", reason="no resource usage on this system")
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): ru_maxrss is in bytes on macOS, in KiB elsewhere
    ram = Ram(512 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    chunk = 1 << 20
    assert not any(any(ram.view[at : at + chunk : PAGE_SIZE]) for at in range(0, ram.size, chunk))
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 100 << 20
