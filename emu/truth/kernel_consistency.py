"""Checks that the parts of a machine's truth agree (docs/truth-format.md#truthjson-mode-kernel)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from ..snapshot.kernel import KernelSnapshot
from ..snapshot.process import PAGE_SIZE
from .consistency import check_images, check_offset, check_registers
from .members import BadValue
from .stacks import check_kernel_stacks

Runs = Sequence[tuple[int, int]]
_PAGES = 1 << 40
"""Page frame numbers of 52 bits of physical address."""


def check_machine(snapshot: KernelSnapshot, index: Sequence[tuple[int, int, int]], image_files: Iterable[int]) -> None:
    """Raise BadValue, with its place, if parts of the snapshot contradict each other.

    ``index`` has first PFN, number of pages and offset of each run of memory.
    """
    ram = snapshot.physical_runs
    _check_runs("physical_runs", ram)
    if not ram:
        raise BadValue("at least one run", "none", "physical_runs")
    runs = [(base, count) for base, count, _ in index]
    _check_runs("memory", runs)
    filled = 0
    for number, (_, count, offset) in enumerate(index):
        check_offset(number, offset, filled)
        filled += count * PAGE_SIZE
    _check_inside("memory", runs, ram)
    for name in ("free_pages", "standby_pages", "unreadable_pages"):
        _check_runs(name, getattr(snapshot, name))
        _check_inside(name, getattr(snapshot, name), ram)
    _check_runs("added_pages", snapshot.added_pages)
    if snapshot.crashing_processor >= len(snapshot.processors):
        expected = f"an index into {len(snapshot.processors)} processors"
        raise BadValue(expected, str(snapshot.crashing_processor), "crashing_processor")
    for number, processor in enumerate(snapshot.processors):
        try:
            check_registers(processor.context, snapshot.system.architecture)
        except BadValue as bad:
            raise bad.inside("processors", number, "context") from None
        if processor.number != number:
            raise BadValue(str(number), str(processor.number), "processors", number, "number")
    for name in ("directory_table_base", "system_directory_table_base"):
        root: int = getattr(snapshot, name)
        if root % PAGE_SIZE or not _holds(ram, root // PAGE_SIZE, 1):
            raise BadValue("the address of a page of RAM", hex(root), name)
    check_images(image_files, {driver.base for driver in snapshot.drivers}, "driver")
    if not snapshot.drivers:
        raise BadValue("the kernel at least", "none", "drivers")
    check_kernel_stacks(snapshot.stacks, len(snapshot.processors))


def _check_runs(member: str, runs: Runs) -> None:
    before = -1
    for number, (base, count) in enumerate(runs):
        if not count or base <= before or base + count > _PAGES:
            expected = "runs of pages below 2^52 bytes, sorted, none empty or adjacent"
            raise BadValue(expected, f"{base:#x}, {count:#x} pages", member, number)
        before = base + count


def _check_inside(member: str, runs: Runs, ram: Runs) -> None:
    for number, (base, count) in enumerate(runs):
        if not _holds(ram, base, count):
            raise BadValue("pages of physical_runs", f"{base:#x}, {count:#x} pages", member, number)


def _holds(ram: Runs, base: int, count: int) -> bool:
    """Whether one run of RAM has all these pages. The runs are sorted, and no two are adjacent."""
    at = bisect_right(ram, base, key=lambda run: run[0]) - 1
    return at >= 0 and base + count <= sum(ram[at])
