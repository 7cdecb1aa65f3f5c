"""The run loop on kernels of a few instructions: turns, interrupts, hypercalls, and every error."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from dumptruth.emu.kernel import machine as machine_module
from dumptruth.emu.kernel.boot_block import CLOCK_VECTOR, NMI_VECTOR, Hypercall
from dumptruth.emu.kernel.machine import Finished, Machine, MachineError, Stopped
from dumptruth.emu.kernel.physical_memory import PhysicalMemory, memory_map
from dumptruth.emu.kernel.system_space import ProcessorArea, SystemSpace
from dumptruth.emu.limits import DEFAULTS, LimitReached, Limits

CODE = 0xFFFFF80000000000
DATA = 0xFFFFF80000100000
IDT = 0xFFFFF80000200000
GDT = 0xFFFFF80000201000
CLI, STI, IRETQ = b"\xfa", b"\xfb", b"\x48\xcf"
SPIN = b"\xeb\xfe"


def call(code: int, rcx: int = 0, rdx: int = 0) -> bytes:
    """mov rcx; mov rdx; mov eax; hlt"""
    return struct.pack("<2sQ2sQBIB", b"\x48\xb9", rcx, b"\x48\xba", rdx, 0xB8, code, 0xF4)


def yields(times: int) -> bytes:
    return call(Hypercall.YIELD) * times


def increment(slot: int) -> bytes:
    """mov rax, imm64; inc qword [rax]"""
    return struct.pack("<2sQ3s", b"\x48\xb8", DATA + 8 * slot, b"\x48\xff\x00")


FINISH = call(Hypercall.FINISHED)


class Guest:
    """A kernel of the given code, entered by every processor. ``handlers``: code by interrupt vector."""

    def __init__(
        self,
        code: bytes,
        processors: int = 1,
        handlers: dict[int, bytes] | None = None,
        limits: Limits = DEFAULTS,
    ) -> None:
        memory = PhysicalMemory(memory_map(4 << 20), first=0x100)
        self.space = space = SystemSpace(memory)
        areas = [ProcessorArea(space, number) for number in range(processors)]
        page = memory.allocate_page()
        memory.write(page, code)
        space.tables.map(CODE, page, 1, write=False, user=False, execute=True)
        space.map_new(DATA, 1)
        space.map_new(IDT, 2)
        # Selectors 0x10 and 0x18: 64-bit code, data (AMD64 manual vol. 2, 4.8).
        space.tables.write(GDT, struct.pack("<4Q", 0, 0, 0x00209B0000000000, 0x00CF93000000FFFF))
        at = CODE + 0x800
        for vector, body in (handlers or {}).items():
            memory.write(page + at - CODE, body)
            gate = struct.pack("<HHBBHI4x", at & 0xFFFF, 0x10, 0, 0x8E, at >> 16 & 0xFFFF, at >> 32)
            space.tables.write(IDT + 16 * vector, gate)
            at += 0x100
        kernel = SimpleNamespace(entry_point=CODE)
        boot: Any = SimpleNamespace(
            memory=memory, space=space, processors=areas, parameters_address=DATA, kernel=kernel
        )
        self.machine = Machine(boot, limits)
        for cpu in self.machine.cpus:
            cpu.set_descriptor_table("Idtr", IDT, 0xFFF)
            cpu.set_descriptor_table("Gdtr", GDT, 0x1F)

    def slot(self, number: int) -> int:
        return int.from_bytes(self.space.tables.read(DATA + 8 * number, 8), "little")


def test_a_processor_enters_with_the_boot_block_its_number_and_its_own_stack() -> None:
    guest = Guest(FINISH)
    cpu = guest.machine.cpus[0]
    assert (cpu.get("Rcx"), cpu.get("Rdx"), cpu.cpl, cpu.get("EFlags")) == (DATA, 0, 0, 2)
    assert cpu.get("Rsp") == guest.machine.boot.processors[0].idle_stack - 0x28
    assert guest.machine.run() == Finished()


def test_a_bug_check_stops_the_machine_and_a_live_dump_does_not() -> None:
    guest = Guest(call(Hypercall.LIVE_DUMP, 0x161) + call(Hypercall.STOPPED, 0xD1))
    assert guest.machine.run() == Stopped(0, 0x161, live=True)
    assert guest.machine.run() == Stopped(0, 0xD1, live=False)


def test_what_the_kernel_prints_is_kept() -> None:
    guest = Guest(call(Hypercall.PRINT, CODE + 0x100, 5) + FINISH.ljust(0xE0) + b"hello world")
    guest.space.memory.write(guest.space.tables.translate(CODE + 0x100).pa, b"hello world")  # type: ignore[union-attr]
    guest.machine.run()
    assert guest.machine.output == b"hello"


def test_an_unreadable_message_is_reported_as_such() -> None:
    guest = Guest(call(Hypercall.FATAL, 0xFFFF800000000000))
    with pytest.raises(MachineError, match=r"processor 0 at 0x\w+: fatal error of the kernel: \(no text"):
        guest.machine.run()


def test_the_clock_ticks_when_everybody_has_yielded_and_only_for_those_that_take_it() -> None:
    handlers = {CLOCK_VECTOR: increment(1) + IRETQ}
    guest = Guest(STI + yields(5) + CLI + yields(5) + FINISH, handlers=handlers)
    guest.machine.run()
    assert guest.slot(1) == 5  # one before each turn that follows a yield; none while IF is 0


def test_a_busy_processor_gets_clock_interrupts_too() -> None:
    finish_on_third = increment(1) + bytes.fromhex("48833803") + b"\x75" + bytes([len(FINISH)]) + FINISH + IRETQ
    guest = Guest(STI + SPIN, handlers={CLOCK_VECTOR: finish_on_third})  # cmp qword [rax], 3; jne
    machine_module_quantum, machine_module.QUANTUM = machine_module.QUANTUM, 100
    try:
        assert guest.machine.run() == Finished()
    finally:
        machine_module.QUANTUM = machine_module_quantum
    assert guest.slot(1) == 3


def test_an_nmi_is_taken_with_interrupts_off_a_clock_interrupt_is_not() -> None:
    handlers = {NMI_VECTOR: increment(2) + IRETQ, CLOCK_VECTOR: increment(1) + IRETQ}
    both = call(Hypercall.INTERRUPT, 1, CLOCK_VECTOR) + call(Hypercall.INTERRUPT, 1, NMI_VECTOR)
    guest = Guest(both + FINISH, handlers=handlers)
    guest.machine.run()
    assert (guest.slot(1), guest.slot(2)) == (0, 1)


def test_another_processor_runs_when_it_is_started_and_gets_the_interrupts_meant_for_it() -> None:
    # cmp edx, 1; je second
    first = call(Hypercall.START_PROCESSOR, 1) + call(Hypercall.INTERRUPT, 2, NMI_VECTOR) + yields(3) + FINISH
    second = increment(3) + yields(9)
    code = bytes.fromhex("83fa01") + b"\x0f\x84" + struct.pack("<i", len(first)) + first + second
    guest = Guest(code, processors=2, handlers={NMI_VECTOR: increment(2) + IRETQ})
    assert guest.machine.run() == Finished()
    assert (guest.slot(2), guest.slot(3)) == (1, 1)
    assert guest.machine.cpus[1].get("Rsp") == guest.machine.boot.processors[1].idle_stack - 0x28


def test_a_fault_enters_the_kernels_handler() -> None:
    guest = Guest(b"\x0f\x0b", handlers={6: FINISH})
    assert guest.machine.run() == Finished()


def test_a_fault_without_a_stack_is_a_double_fault_and_without_a_handler_for_that_the_end() -> None:
    bad_stack = b"\x31\xe4\x50"  # xor esp, esp; push rax
    guest = Guest(bad_stack, handlers={14: FINISH})
    with pytest.raises(MachineError, match=r"processor 0 at 0x\w+: vector 8: gate"):
        guest.machine.run()


def test_a_handler_that_faults_itself_is_an_error() -> None:
    guest = Guest(b"\x0f\x0b", handlers={6: bytes.fromhex("4883c4280f0b")})  # add rsp, 0x28; ud2
    with pytest.raises(MachineError, match=r"processor 0 at 0x\w+: more than 1000 faults in a row, .* Fault\(vector=6"):
        guest.machine.run()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (call(99), r"invalid hypercall 0x63 \(0x0, 0x0\)"),
        (call(Hypercall.START_PROCESSOR, 0), "processor 0: started twice"),
        (call(Hypercall.START_PROCESSOR, 5), "hypercall 0x7"),
        (call(Hypercall.INTERRUPT, 1, 14), "hypercall 0x5"),
        (b"\xe4\x60", "IN or OUT"),
    ],
)
def test_unsupported_operations_are_errors(code: bytes, message: str) -> None:
    with pytest.raises(MachineError, match=message):
        Guest(code).machine.run()


@pytest.mark.parametrize(
    ("code", "limits", "line"),
    [
        (yields(70) + SPIN, Limits(guest_seconds=1), "1 seconds of the guest's clock; every processor waits"),
        (SPIN, Limits(blocks=100_000), r"100,000 basic blocks of code; processor 0 runs at 0x\w+[a-z ]*;"),
        (CLI + SPIN, Limits(blocks=100_000), r"100,000 basic .* with interrupts off;"),
        (call(Hypercall.PRINT, DATA, 9) + b"\xeb\xe4", Limits(services=50), "50 system calls and faults; processor 0"),
    ],
)
def test_a_machine_that_never_ends_uses_up_a_limit(code: bytes, limits: Limits, line: str) -> None:
    with pytest.raises(LimitReached, match=rf"^the machine: used up the limit of {line}.*--limit [a-z-]+=N changes"):
        Guest(code, limits=limits).machine.run()


def test_output_of_the_debugger_is_cut_and_the_length_of_the_rest_is_told() -> None:
    machine = Guest(call(Hypercall.PRINT, DATA, 9) * 3 + FINISH, limits=Limits(debug=20)).machine
    assert isinstance(machine.run(), Finished)
    assert len(machine.output) == 20
    assert machine.meter.notes() == (
        "the machine: limit of 20 bytes of debug output: 7 more bytes were cut; --limit debug=N changes it",
    )


def test_an_interrupt_that_is_requested_again_is_delivered_once() -> None:
    nmi = call(Hypercall.INTERRUPT, 1, 2)
    guest = Guest(CLI + call(Hypercall.INTERRUPT, 1, CLOCK_VECTOR) * 40 + nmi + FINISH, handlers={2: IRETQ})
    assert isinstance(guest.machine.run(), Finished)
    assert [processor.pending for processor in guest.machine._processors] == [[CLOCK_VECTOR]]


def test_missing_memory_is_an_error_with_its_address() -> None:
    guest = Guest(struct.pack("<2sQ3s", b"\x48\xb8", CODE + 0x300000, b"\x48\xff\x00"))
    guest.space.tables.map(CODE + 0x300000, 0xA0000, 1, write=True, user=False, execute=False)
    with pytest.raises(MachineError, match="no memory at physical address 0xa0000"):
        guest.machine.run()
