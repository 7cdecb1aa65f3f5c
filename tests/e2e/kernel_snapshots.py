"""The snapshots of the kernel-mode scenarios, and reads of their virtual memory through their page tables."""

from __future__ import annotations

import struct
from functools import cache

from dumptruth.emu.scenarios.kernel import run_kernel_scenario
from dumptruth.emu.snapshot.kernel import Driver, KernelProcess, KernelSnapshot

PRESENT, LARGE = 1, 0x80
FRAME = 0xFFFFFFFFFF000


@cache
def snapshot_of(name: str) -> KernelSnapshot:
    return run_kernel_scenario(name)


def physical(snapshot: KernelSnapshot, va: int, root: int) -> int | None:
    table = root
    for shift in (39, 30, 21, 12):
        page = snapshot.page(table >> 12)
        assert page is not None
        (entry,) = struct.unpack_from("<Q", page, (va >> shift & 511) * 8)
        if not entry & PRESENT:
            return None
        size = 1 << shift
        if shift == 12 or (shift < 39 and entry & LARGE):
            return int(entry & FRAME & ~(size - 1)) + va % size
        table = entry & FRAME
    return None


def read(snapshot: KernelSnapshot, va: int, size: int, root: int | None = None) -> bytes:
    data = b""
    while len(data) < size:
        pa = physical(snapshot, va + len(data), root or snapshot.directory_table_base)
        assert pa is not None, hex(va + len(data))
        page = snapshot.page(pa >> 12)
        assert page is not None
        data += bytes(page[pa & 0xFFF : min(0x1000, (pa & 0xFFF) + size - len(data))])
    return data


def u64(snapshot: KernelSnapshot, va: int) -> int:
    return int.from_bytes(read(snapshot, va, 8), "little")


def u16(snapshot: KernelSnapshot, va: int) -> int:
    return int.from_bytes(read(snapshot, va, 2), "little")


def process(snapshot: KernelSnapshot, name: str) -> KernelProcess:
    return next(p for p in snapshot.processes if p.image_file_name == name)


def driver(snapshot: KernelSnapshot, name: str) -> Driver:
    return next(d for d in snapshot.drivers if d.base_name == name)
