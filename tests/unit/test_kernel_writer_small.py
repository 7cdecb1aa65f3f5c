"""Tests small kernel dumps: recomputes every equality of the recipe from the file, by plain offsets.

docs/format/kernel-small-layouts.md#recipe-of-a-small-dump
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
from dumptruth.emu.constants import Hresult, Qualifier
from dumptruth.emu.plan.kernel import KernelPlan
from dumptruth.emu.plan.kernel_memory import PhysicalMemory, VirtualMemory
from dumptruth.emu.request import DumpRefused, KernelProfile, Request
from dumptruth.emu.snapshot.kernel import DataBlob, KernelSnapshot, Processor
from dumptruth.emu.synthetic.kernel import KERNEL_BASE, PFN_DATABASE, synthetic_machine
from dumptruth.emu.writer.dump import WriteResult
from dumptruth.emu.writer.kernel_dump import kernel_dump_bytes

BLOBS = (DataBlob(bytes(range(16)), b"a" * 13), DataBlob(bytes(16), b""), DataBlob(b"\xff" * 16, b"b" * 16))
MACHINES: dict[str, dict[str, Any]] = {
    "9600": {"build": 9600},
    "19041": {"build": 19041, "blobs": BLOBS, "processors": 4, "crashing": 1},
    "19041-bare": {"build": 19041, "unloaded": (), "drivers": 0, "processors": 1, "stack_used": 8},
    "26100": {"build": 26100, "blobs": BLOBS},
    "26100-many": {
        "build": 26100, "drivers": 31, "driver_names": [f"d{'x' * index}.sys" for index in range(31)],
        "unloaded": [f"u{index}.sys" for index in range(53)], "processors": 3, "crashing": 2, "in_user_process": True,
        "triage_data": [(KERNEL_BASE + 0x3001, 0x1003), (0x10, 5)],
    },
}  # fmt: skip


def write(machine: KernelSnapshot) -> tuple[bytes, WriteResult[KernelPlan]]:
    return kernel_dump_bytes(machine, Request(Qualifier.DEBUG_DUMP_SMALL, profile=KernelProfile.PORTABLE))


def up(value: int, step: int) -> int:
    return -(-value // step) * step


@dataclass
class Triage:
    """The triage header by the offsets of docs/format/kernel-small.md#triage-header."""

    data: bytes

    def __getattr__(self, name: str) -> int:
        places = {
            "size_of_dump": 4, "valid": 8, "mm": 0x14, "unloaded": 0x18, "prcb": 0x1C, "process": 0x20, "thread": 0x24,
            "stack": 0x28, "stack_size": 0x2C, "drivers": 0x30, "driver_count": 0x34, "pool": 0x38, "pool_size": 0x3C,
            "options": 0x44, "kdbg": 0x70, "kdbg_size": 0x74, "blocks": 0x78, "block_count": 0x7C,
        }  # fmt: skip
        return int(struct.unpack_from("<I", self.data, 0x2000 + places[name])[0])

    @property
    def top_of_stack(self) -> int:
        return int(struct.unpack_from("<Q", self.data, 0x2048)[0])

    def kdbg_u16(self, offset: int) -> int:
        return int(struct.unpack_from("<H", self.data, self.kdbg + offset)[0])

    def table(self) -> list[tuple[int, int, int]]:
        return [struct.unpack_from("<QII", self.data, self.blocks + 16 * index) for index in range(self.block_count)]


@pytest.fixture(params=sorted(MACHINES), scope="module")
def made(request: pytest.FixtureRequest) -> tuple[KernelSnapshot, Triage, VirtualMemory]:
    machine = synthetic_machine(**MACHINES[request.param])
    data, _ = write(machine)
    return machine, Triage(data), VirtualMemory(PhysicalMemory(machine), machine.directory_table_base)


Made = tuple[KernelSnapshot, Triage, VirtualMemory]


def test_the_blocks_lie_back_to_back_in_the_order_of_the_layout(made: Made) -> None:
    machine, triage, _ = made
    b = machine.system.build_number == 26100
    count = struct.unpack_from("<Q", triage.data, triage.unloaded)[0]
    unloaded_size = 0xAF8 if b else 8 + 0x38 * count
    assert triage.mm == 0x2080
    at = 0x20D0
    if not b:
        assert triage.unloaded == at
        at += unloaded_size
    prcb, process, thread = (triage.kdbg_u16(offset) for offset in (0x2B0, 0x2A8, 0x2C0))
    for offset, size in (
        (triage.prcb, prcb), (triage.process, process), (triage.thread, thread), (triage.stack, triage.stack_size),
        (triage.kdbg, triage.kdbg_size),
    ):  # fmt: skip
        assert offset == at
        at += size
    if b:
        assert triage.unloaded == at
        at += unloaded_size
    for offset, size in (
        (triage.drivers, 0x90 * triage.driver_count), (triage.pool, triage.pool_size),
        (triage.blocks, 16 * triage.block_count),
    ):  # fmt: skip
        assert offset == at
        assert offset % 8 == 0
        at += size
    for _, offset, size in triage.table():
        assert offset == at
        assert size > 0
        at += size


def test_the_end_marker_is_where_the_formula_says(made: Made) -> None:
    machine, triage, _ = made
    table = triage.table()
    end = triage.blocks + 16 * len(table) + sum(size for *_, size in table)
    marker = end + sum(up(size, 8) - size for *_, size in table)
    build = machine.system.build_number
    if build == 9600:
        assert (triage.size_of_dump, triage.valid) == (0x40000, 0x3FFFC)
        assert triage.data[end : triage.valid] == bytes(triage.valid - end)
    elif build == 19041:
        assert (triage.size_of_dump, triage.valid) == (marker + 4, marker)
        assert triage.data[end:marker] == bytes(marker - end)
    else:
        assert triage.size_of_dump == up(marker + 4, 512)
        assert triage.valid == triage.size_of_dump - 4
        assert triage.data[marker : marker + 4] == b"TRGD"
        assert triage.data[marker + 4 : triage.valid] == bytes(triage.valid - marker - 4)
    assert triage.data[triage.valid : triage.valid + 4] == b"TRGD"


def test_the_raw_blocks_are_the_targets_memory(made: Made) -> None:
    machine, triage, memory = made
    processor = machine.processors[machine.crashing_processor]
    process = memory.pointer(processor.current_thread + 0xB8)
    assert process is not None
    for offset, address, size in (
        (triage.prcb, processor.kprcb, triage.kdbg_u16(0x2B0)),
        (triage.process, process, triage.kdbg_u16(0x2A8)),
        (triage.thread, processor.current_thread, triage.kdbg_u16(0x2C0)),
        (triage.stack, triage.top_of_stack, triage.stack_size),
        (triage.kdbg, machine.symbols.kd_debugger_data_block, triage.kdbg_size),
    ):
        assert triage.data[offset : offset + size] == memory.read(address, size)
    assert triage.top_of_stack == processor.context["Rsp"]
    assert triage.top_of_stack + triage.stack_size == processor.stack_base


def test_the_data_blocks_are_the_targets_memory_and_overlap_only_with_themselves(made: Made) -> None:
    machine, triage, memory = made
    for address, offset, size in triage.table():
        assert triage.data[offset : offset + size] == memory.read(address, size)
    if machine.system.build_number != 26100:
        ends = sorted((address, address + size) for address, _, size in triage.table())
        assert all(end <= start for (_, end), (start, _) in pairwise(ends))


def covered(triage: Triage, address: int, size: int) -> bool:
    found = [(at, at + length) for at, _, length in triage.table()]
    return all(any(start <= byte < end for start, end in found) for byte in range(address, address + size, 8))


def test_the_data_blocks_hold_what_real_dumps_hold(made: Made) -> None:
    machine, triage, memory = made
    processor = machine.processors[machine.crashing_processor]
    rip = processor.context["Rip"]
    assert covered(triage, rip & -0x1000, 0x1000)
    pte = 0xFFFFF68000000000 + (rip >> 9 & 0x7FFFFFFFF8)
    pde = 0xFFFFF68000000000 + (pte >> 9 & 0x7FFFFFFFF8)
    assert any(block[0] == pde and block[2] == 8 for block in triage.table())
    blocks = triage.table()
    if machine.system.build_number == 26100:
        assert any(block[0] == rip - 0x100 and block[2] == 0x200 for block in blocks)
        return
    assert blocks[0][2] == 0x9C  # MmVerifierData
    assert covered(triage, triage.top_of_stack, min(triage.stack_size, 0x2000))
    if machine.system.build_number == 19041:
        for other in machine.processors:
            assert covered(triage, other.kprcb, triage.kdbg_u16(0x2B0))
            context = memory.pointer(other.kprcb + triage.kdbg_u16(0x338))
            assert context is not None
            assert covered(triage, context, 0x4D0)
            assert covered(triage, other.context["Rsp"], other.stack_base - other.context["Rsp"])


def test_the_string_pool_parses_and_names_every_driver(made: Made) -> None:
    machine, triage, _ = made
    b = machine.system.build_number == 26100
    at, end = triage.pool, triage.pool + triage.pool_size
    wanted = []
    for index, driver in enumerate(machine.drivers):
        name = driver.base_name if b else driver.full_name
        entry = triage.drivers + 0x90 * index
        assert struct.unpack_from("<I", triage.data, entry)[0] == at
        length = struct.unpack_from("<I", triage.data, at)[0]
        assert triage.data[at + 4 : at + 4 + 2 * length].decode("utf-16-le") == name
        assert triage.data[at + 4 + 2 * length : at + up(4 + 2 * length + 2, 8)].strip(b"\0") == b""
        wanted.append(len(name))
        at += up(4 + 2 * length + 2, 8)
    assert triage.data[at:end] == bytes(end - at)
    sizes = sum(2 * length + 15 for length in wanted) if b else sum(up(4 + 2 * length + 2, 8) for length in wanted)
    assert triage.pool_size == up(sizes, 8)
    assert triage.driver_count == len(machine.drivers)


def test_driver_entries_hold_what_their_layout_fills_in(made: Made) -> None:
    machine, triage, memory = made
    for index, driver in enumerate(machine.drivers):
        entry = triage.data[triage.drivers + 0x90 * index + 8 : triage.drivers + 0x90 * (index + 1)]
        assert struct.unpack_from("<Q", entry, 0x30)[0] == driver.base
        assert struct.unpack_from("<I", entry, 0x40)[0] == driver.size
        assert struct.unpack_from("<I", entry, 0x78)[0] == driver.checksum
        assert struct.unpack_from("<Q", entry, 0x80)[0] == driver.time_date_stamp
        if machine.system.build_number == 26100:
            assert entry[:0x80] == memory.read(driver.entry, 0x80)
        else:
            filled = set(range(0x30, 0x38)) | set(range(0x40, 0x44)) | set(range(0x78, 0x7C)) | set(range(0x80, 0x84))
            assert not any(byte for at, byte in enumerate(entry) if at not in filled)


def test_unloaded_drivers_keep_twelve_units_of_their_names(made: Made) -> None:
    machine, triage, memory = made
    wanted = machine.unloaded_drivers[-50:]
    assert struct.unpack_from("<Q", triage.data, triage.unloaded)[0] == len(wanted)
    for index, driver in enumerate(wanted):
        at = triage.unloaded + 8 + 0x38 * index
        length, maximum, buffer = struct.unpack_from("<HH4xQ", triage.data, at)
        assert length == maximum == 2 * min(len(driver.name), 12)
        assert triage.data[at + 0x10 : at + 0x10 + length].decode("utf-16-le") == driver.name[:12]
        assert struct.unpack_from("<QQ", triage.data, at + 0x28) == (driver.start, driver.end)
        if machine.system.build_number == 26100:
            assert (memory.read(buffer, length) or b"").decode("utf-16-le") == driver.name[:12]
        else:
            assert buffer == 0


def test_secondary_data_starts_at_the_end_of_the_triage_part_and_ends_the_file(made: Made) -> None:
    machine, triage, _ = made
    data, at = triage.data, triage.size_of_dump
    build = machine.system.build_number
    assert data[at : at + 16] == b"DumpBlob" + struct.pack("<II", 0x10, 0xF0000000 + build)
    at += 16
    wanted = [*machine.blobs, DataBlob(bytes(16), b"")] if build == 9600 else list(machine.blobs)
    for blob in wanted:
        size, tag, length, before, after = struct.unpack_from("<I16sIII", data, at)
        assert (size, tag, length, before) == (0x20, blob.tag, len(blob.data), 0)
        assert after == (0 if build == 26100 else -length % 8)
        assert data[at + 0x20 : at + 0x20 + length] == blob.data
        at += size + length + after
    assert data[at:] == bytes(up(at, 512) - at if build == 26100 else 0)
    assert struct.unpack_from("<Q", data, 0xFA0)[0] == len(data)


def test_the_main_header_stores_the_fields_of_its_layout(made: Made) -> None:
    machine, triage, _ = made
    data, fill = triage.data, b"PAGE" * 1024
    symbols = machine.symbols
    if machine.system.build_number == 26100:
        assert struct.unpack_from("<Q", data, 0x18)[0] == PFN_DATABASE
        assert data[0x60:0x80] == bytes(32)
        assert struct.unpack_from("<I4xQ", data, 0x88) == (3, 1423)
        assert data[0x818:0xF00] == fill[:0x6E8]
        assert data[0x103C:0x1040] == bytes(4)
        assert data[0x1048:0x1050] == b"PAGEPA\x04\x45"
        assert struct.unpack_from("<I", data, 0x1054)[0] == 7
        assert data[0x1058:0x1060] == struct.pack("<II", 0x298, 0x298)
        assert data[0x11F0:0x120C] == b"Dump completed successfully."
        assert data[0x12F0:0x12FC] == "26100".encode("utf-16-le") + b"\0\0"
        assert data[0x12FC:0x130C] == b"PAGE" + struct.pack("<III", 1, 10, 0)
        assert data[0x130C:0x2000] == fill[:0xCF4]
    else:
        assert struct.unpack_from("<Q", data, 0x18)[0] == symbols.mm_pfn_database
        assert data[0x60:0x80] == fill[:32]
        assert data[0x88:0x348] == fill[:0x2C0]
        assert data[0x818:0xF00] == bytes(0x6E8)
        assert data[0x103C:0x1040] == b"PAGE"
        assert data[0x1048:0x1050] == b"\0\0\0\0P\0GE"
        assert data[0x1054:0x2000] == fill[:0xFAC]
    assert data[0x1050:0x1054] == bytes([8, 0, 0, 0])  # Attributes: KernelGeneratedTriageDump
    assert struct.unpack_from("<Q", data, 0x10)[0] == machine.directory_table_base


def test_the_headers_processor_is_the_crashing_one(made: Made) -> None:
    machine, triage, _ = made
    processor = machine.processors[machine.crashing_processor]
    assert struct.unpack_from("<Q", triage.data, 0x348 + 0xF8)[0] == processor.context["Rip"]
    assert struct.unpack_from("<I", triage.data, triage.prcb + 0x24)[0] == processor.number
    assert struct.unpack_from("<I", triage.data, 0x34)[0] == len(machine.processors)


def test_ranges_of_triage_callbacks_are_there_as_far_as_they_can_be_read() -> None:
    machine = synthetic_machine(build=26100, triage_data=[(KERNEL_BASE + 0x3001, 0x1003), (0x10, 5)])
    _, result = write(machine)
    assert result.plan.small is not None
    asked = [block for block in result.plan.small.blocks if "TriageDumpData" in block.reason]
    assert [(block.address, block.size) for block in asked] == [(KERNEL_BASE + 0x3001, 0x1003)]


def test_build_9600_drops_blocks_that_do_not_fit_its_fixed_size_and_warns() -> None:
    machine = synthetic_machine(build=9600, triage_data=[(KERNEL_BASE, 0x40000), (KERNEL_BASE + 0x50000, 0x100)])
    data, result = write(machine)
    assert struct.unpack_from("<I", data, 0x2004)[0] == 0x40000
    assert any("1 data blocks are left out" in warning for warning in result.warnings)
    assert result.plan.small is not None
    assert any(block.address == KERNEL_BASE + 0x50000 for block in result.plan.small.blocks)


def test_a_stack_pointer_outside_every_stack_saves_the_processors_stack_and_warns() -> None:
    machine = synthetic_machine(build=19041, registers={"Rsp": 0x1234})
    data, result = write(machine)
    processor = machine.processors[0]
    assert Triage(data).top_of_stack == processor.stack_limit
    assert any("is in no stack" in warning for warning in result.warnings)


def test_another_stack_than_the_threads_is_saved_up_to_its_end_but_at_most_8_kib() -> None:
    machine = synthetic_machine(build=19041, processors=2)
    first, second = machine.processors
    away = replace(first, stack_limit=second.stack_limit, stack_base=second.stack_base, context=replace(
        first.context, registers=tuple(
            (name, second.stack_limit + 0x1000 if name == "Rsp" else value) for name, value in first.context.registers
        )))  # fmt: skip
    data, _ = write(replace(machine, processors=(away, second)))
    assert (Triage(data).top_of_stack, Triage(data).stack_size) == (second.stack_limit + 0x1000, 0x2000)


NOWHERE = 0xFFFF_C000_0000_0000


@pytest.mark.parametrize(
    "moved",
    [lambda cpu: replace(cpu, kprcb=NOWHERE), lambda cpu: replace(cpu, current_thread=NOWHERE)],
    ids=["kprcb", "current_thread"],
)
def test_a_structure_that_cannot_be_read_refuses_the_dump(moved: Callable[[Processor], Processor]) -> None:
    machine = synthetic_machine()
    broken = moved(machine.processors[0])
    with pytest.raises(DumpRefused, match="cannot be read") as refused:
        write(replace(machine, processors=(broken, *machine.processors[1:])))
    assert refused.value.hresult == Hresult.ERROR_PARTIAL_COPY


def test_an_invalid_debugger_data_block_refuses_the_dump() -> None:
    machine = synthetic_machine()
    wrong = replace(machine, symbols=replace(machine.symbols, kd_debugger_data_block=KERNEL_BASE))
    with pytest.raises(DumpRefused, match="OwnerTag 0x0, Size 0x0, expected") as refused:
        write(wrong)
    assert refused.value.hresult == Hresult.E_FAIL
