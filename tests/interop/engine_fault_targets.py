"""Targets that show the faults of the engine as a writer."""

from __future__ import annotations

import struct
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final

from dumptruth.emu.scenarios.kernel import run_kernel_scenario
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.snapshot.process import PAGE_SIZE, ProcessSnapshot
from dumptruth.emu.synthetic.kernel_memory import touched_runs
from dumptruth.emu.synthetic.process import Pages, amd64_context, synthetic_process

_WRITABLE: Final = 3
_FRAME: Final = 0xF_FFFF_FFFF_F000
_KD_SECONDARY_VERSION: Final = 0x104D
"""File offset in a kernel dump (docs/format/kernel-header-fields.md#kdsecondaryversion)."""
LAST_ENTRIES: Final = (0x1FF << 21, 0x1FF << 30)
"""Bits of addresses below entry 511 of a page directory, and of a page-directory-pointer table."""


@cache
def crashed_machine() -> KernelSnapshot:
    return run_kernel_scenario("bugcheck-d1", ram="2M")


@cache
def crashed_process() -> ProcessSnapshot:
    """Its lowest range above KUSER_SHARED_DATA is longer than the part of that page which the engine captures."""
    return synthetic_process(threads=1, stack_used=0x1800)


def with_last_entries(machine: KernelSnapshot) -> KernelSnapshot:
    """The machine with a page more at each address of ``LAST_ENTRIES`` above the kernel."""
    frames = chain.from_iterable(range(first, first + count) for first, count in machine.free_pages)
    pages = {
        run.base_page + at: bytearray(run.data[at * PAGE_SIZE : (at + 1) * PAGE_SIZE])
        for run in machine.memory
        for at in range(run.page_count)
    }
    for bits in LAST_ENTRIES:
        address = machine.symbols.kernel_base | bits
        table = pages[machine.system_directory_table_base // PAGE_SIZE]
        for shift in (39, 30, 21, 12):
            at = (address >> shift & 0x1FF) * 8
            (entry,) = struct.unpack_from("<Q", table, at)
            if not entry:
                frame = next(frames)
                pages[frame] = bytearray(PAGE_SIZE)
                entry = frame * PAGE_SIZE | _WRITABLE
                struct.pack_into("<Q", table, at, entry)
            table = pages[(entry & _FRAME) // PAGE_SIZE]
        table[:] = struct.pack("<Q", address) * (PAGE_SIZE // 8)
    return replace(machine, memory=touched_runs(pages))


def with_kd_version(dump: Path, version: int) -> None:
    """Sets KdSecondaryVersion in the header of a kernel dump."""
    data = bytearray(dump.read_bytes())
    data[_KD_SECONDARY_VERSION] = version
    dump.write_bytes(data)


def low_process(pages: int) -> ProcessSnapshot:
    """A process with one thread, whose stack and code lie in the last of the first ``pages`` pages."""
    at = (pages - 1) * PAGE_SIZE
    process = synthetic_process(threads=1, modules=1, exception=False, extra=[Pages(at, PAGE_SIZE)])
    context = amd64_context(Rsp=at + 0xF00, Rip=at + 0x200)
    (thread,) = process.threads
    return replace(process, threads=(replace(thread, stack_base=at + PAGE_SIZE, stack_limit=at, context=context),))
