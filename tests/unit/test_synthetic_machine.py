"""Hand-made machines and processes have what a debugger reads first (docs/format/engine.md#what-a-target-must-have)."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from dumptruth.emu.image import load_image
from dumptruth.emu.plan.kernel_debugger_data import KDDEBUGGER_DATA64
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.synthetic.flag_process import flag_target
from dumptruth.emu.synthetic.kernel import synthetic_machine
from dumptruth.emu.synthetic.process import synthetic_process

PRESENT, LARGE, FRAME = 1, 0x80, 0xFFFFFFFFFF000


def read(snapshot: KernelSnapshot, address: int, size: int, root: int | None = None) -> bytes:
    data = b""
    while len(data) < size:
        table, at = root or snapshot.system_directory_table_base, address + len(data)
        for shift in (39, 30, 21, 12):
            page = snapshot.page(table >> 12)
            assert page is not None
            (entry,) = struct.unpack_from("<Q", page, (at >> shift & 511) * 8)
            assert entry & PRESENT, hex(at)
            table = entry & FRAME
            if entry & LARGE:
                table += at & 0x1FF000
                break
        page = snapshot.page(table >> 12)
        part = bytes(4096) if page is None else bytes(page)
        data += part[at & 0xFFF :][: size - len(data)]
    return data


@pytest.mark.parametrize("build", [9600, 19041, 26100])
def test_a_machine_has_the_seven_descriptors(build: int) -> None:
    snapshot = synthetic_machine(build=build)
    for processor in snapshot.processors:
        registers = dict(processor.special_registers)
        table = struct.unpack("<11Q", read(snapshot, registers["Gdtr.Base"], registers["Gdtr.Limit"] + 1))
        assert int.from_bytes(read(snapshot, processor.kpcr, 8), "little") == registers["Gdtr.Base"]
        present = [index * 8 for index, entry in enumerate(table) if entry >> 47 & 1]
        assert present == [0x10, 0x18, 0x20, 0x28, 0x30, registers["Tr"], 0x50]
        long_mode = [index * 8 for index, entry in enumerate(table) if entry >> 53 & 1 and entry >> 44 & 1]
        assert long_mode == [0x10, 0x30], "64-bit code of kernel and user"


def test_a_machine_counts_its_unloaded_drivers() -> None:
    snapshot = synthetic_machine(unloaded=("one.sys", "two.sys", "three.sys"))
    block = read(snapshot, snapshot.symbols.kd_debugger_data_block, 0x3A0)
    address = KDDEBUGGER_DATA64.from_buffer_copy(block.ljust(0x400, b"\0")).MmLastUnloadedDriver
    assert int.from_bytes(read(snapshot, address, 4), "little") == 3


def test_every_driver_of_a_machine_is_an_image() -> None:
    snapshot = synthetic_machine()
    for driver in snapshot.drivers:
        headers = read(snapshot, driver.base, 0x1000)
        image = load_image(headers.ljust(0x3000, b"\0"), name=driver.base_name)
        assert (image.size_of_image, image.checksum) == (driver.size, driver.checksum)
        assert (image.time_date_stamp, image.image_base) == (driver.time_date_stamp, driver.base)


def first_pointers(snapshot: ProcessSnapshot) -> list[int]:
    size = 4 if snapshot.system.architecture == "x86" else 8
    found = []
    for thread in snapshot.threads:
        data = snapshot.read(thread.teb, size)
        assert data is not None
        found.append(int.from_bytes(data, "little"))
    return found


@pytest.mark.parametrize("architecture", ["amd64", "x86", "arm64"])
@pytest.mark.parametrize("make", [flag_target, synthetic_process])
def test_a_teb_begins_with_the_end_of_an_exception_list(
    make: Callable[[str], ProcessSnapshot], architecture: str
) -> None:
    snapshot = make(architecture)
    end = 0xFFFFFFFF if architecture == "x86" else 0
    assert set(first_pointers(snapshot)) == {end}


def test_a_user_process_of_a_machine_has_a_teb() -> None:
    snapshot = synthetic_machine()
    for process in snapshot.processes[1:]:
        for thread in process.threads:
            teb = read(snapshot, thread.teb, 0x68, process.directory_table_base)
            assert teb[:8] == bytes(8)
            assert struct.unpack_from("<Q", teb, 0x30)[0] == thread.teb
            assert struct.unpack_from("<QQ", teb, 0x40) == (process.process_id, thread.thread_id)
            assert struct.unpack_from("<Q", teb, 0x60)[0] == process.peb
