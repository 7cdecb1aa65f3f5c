"""The memory of the synthetic machine agrees with its snapshot, read by plain structure offsets."""

from __future__ import annotations

import struct

import pytest
from dumptruth.emu.plan.kernel_debugger_data import read_debugger_data
from dumptruth.emu.plan.kernel_memory import PhysicalMemory, VirtualMemory
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.synthetic.kernel import bare_machine, synthetic_machine
from dumptruth.emu.synthetic.kernel_structures import BUILDS


def memory_of(machine: KernelSnapshot) -> VirtualMemory:
    return VirtualMemory(PhysicalMemory(machine), machine.directory_table_base)


def linked(memory: VirtualMemory, head: int) -> list[int]:
    found, at, before = [], memory.pointer(head), head
    while at != head:
        assert at is not None
        assert memory.pointer(at + 8) == before
        found.append(at)
        before, at = at, memory.pointer(at)
    assert memory.pointer(head + 8) == before
    return found


@pytest.fixture(params=sorted(BUILDS), scope="module")
def machine(request: pytest.FixtureRequest) -> KernelSnapshot:
    return synthetic_machine(build=request.param, processors=3, crashing=1, in_user_process=True)


def test_the_lists_in_memory_are_those_of_the_snapshot(machine: KernelSnapshot) -> None:
    memory, symbols, build = memory_of(machine), machine.symbols, BUILDS[machine.system.build_number]
    assert linked(memory, symbols.ps_loaded_module_list) == [driver.entry for driver in machine.drivers]
    assert linked(memory, symbols.ps_active_process_head) == [
        process.process + build.eprocess_links for process in machine.processes
    ]
    for driver in machine.drivers:
        assert memory.pointer(driver.entry + 0x30) == driver.base
        length, buffer = struct.unpack("<H6xQ", memory.read(driver.entry + 0x48, 16) or b"")
        assert memory.read(buffer, length) == driver.full_name.encode("utf-16-le")
    for process in machine.processes:
        assert memory.pointer(process.process + 0x28) == process.directory_table_base
        assert linked(memory, process.process + build.eprocess_threads) == [
            thread.thread + build.ethread_links for thread in process.threads
        ]


def test_the_debugger_data_leads_to_every_processor(machine: KernelSnapshot) -> None:
    memory = memory_of(machine)
    kdbg = read_debugger_data(memory, machine.symbols.kd_debugger_data_block)
    assert (kdbg.KernBase, kdbg.PsLoadedModuleList) == (
        machine.symbols.kernel_base, machine.symbols.ps_loaded_module_list
    )  # fmt: skip
    for index, processor in enumerate(machine.processors):
        kprcb = memory.pointer(kdbg.KiProcessorBlock + 8 * index)
        assert kprcb == processor.kprcb
        assert memory.pointer(kprcb + kdbg.OffsetPrcbCurrentThread) == processor.current_thread
        assert memory.read(kprcb + kdbg.OffsetPrcbNumber, 4) == struct.pack("<I", index)
        context = memory.pointer(kprcb + kdbg.OffsetPrcbContext)
        assert context is not None
        assert memory.pointer(context + 0xF8) == processor.context["Rip"]
        assert memory.pointer(context + 0x98) == processor.context["Rsp"]


def test_the_crash_is_in_the_address_space_that_the_header_will_name(machine: KernelSnapshot) -> None:
    memory = memory_of(machine)
    thread = machine.processors[1].current_thread
    assert memory.pointer(thread + 0xB8) == machine.processes[1].process
    assert machine.directory_table_base == machine.processes[1].directory_table_base
    assert dict(machine.processors[1].special_registers)["Cr3"] == machine.directory_table_base


def test_page_lists_are_disjoint_parts_of_ram(machine: KernelSnapshot) -> None:
    ram = {frame for base, count in machine.physical_runs for frame in range(base, base + count)}
    lists = [
        {frame for base, count in runs for frame in range(base, base + count)}
        for runs in (machine.free_pages, machine.standby_pages)
    ]
    assert lists[0]
    assert lists[1]
    assert not lists[0] & lists[1]
    assert lists[0] | lists[1] < ram
    touched = {frame for run in machine.memory for frame in range(run.base_page, run.end_page)}
    assert touched < ram
    assert touched & lists[0], "some free pages hold stale bytes"


def test_equal_options_make_equal_machines() -> None:
    assert synthetic_machine() == synthetic_machine()
    assert synthetic_machine() != synthetic_machine(pool_pages=5)


def test_a_machine_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="512"):
        synthetic_machine(runs=((1, 400),))


def test_a_bare_machine_has_exactly_the_pages_that_it_was_given() -> None:
    machine = bare_machine([(0, 2), (7, 1)], {7: b"\x07" * 4096})
    assert [machine.page(frame) for frame in (0, 2, 7)] == [bytes(4096), None, b"\x07" * 4096]
