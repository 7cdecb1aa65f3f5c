"""Registers, x87 and SSE state, threads on one processor, preemption, time, and the return from a system call."""

import struct
import threading
import time
from dataclasses import dataclass

import pytest
from dumptruth.emu.machine.cpu import TIME_STAMP_STEP, Cpu, RunawayError
from dumptruth.emu.machine.paging import PageTables
from dumptruth.emu.machine.ram import PAGE_SIZE, Ram
from dumptruth.emu.machine.register_file import CONTEXT_REGISTERS
from dumptruth.emu.machine.traps import Event, Fault, Preempted, Stopped, Syscall

CODE = 0x0000_7FF6_0000_1000
DATA = 0x0000_00C0_0001_0000


@dataclass
class Guest:
    cpu: Cpu
    ram: Ram
    tables: PageTables

    def start(self, code: str, **registers: int) -> None:
        self.tables.write(CODE, bytes.fromhex(code))
        self.cpu.load({"Rip": CODE, "Rsp": DATA + PAGE_SIZE, **registers})

    def run(self, code: str, **registers: int) -> Event:
        self.start(code, **registers)
        return self.cpu.run()


@pytest.fixture
def target() -> Guest:
    return make_target()


def make_target(time_limit: float | None = 60.0) -> Guest:
    ram = Ram(1 << 20)
    tables = PageTables(ram)
    tables.map(CODE, ram.allocate_page(), 1, write=False, user=True, execute=True)
    tables.map(DATA, ram.allocate_page(), 1, write=True, user=True, execute=False)
    return Guest(Cpu(ram, tables.root, tables=tables, time_limit=time_limit), ram, tables)


# --- registers -------------------------------------------------------------------------------------------------------


def test_a_new_processor_is_in_user_mode_with_the_selectors_of_windows(target: Guest) -> None:
    registers = target.cpu.registers()
    selectors = {name: registers[name] for name in registers if name.startswith("Seg")}
    assert selectors == {"SegCs": 0x33, "SegSs": 0x2B, "SegDs": 0x2B, "SegEs": 0x2B, "SegFs": 0x53, "SegGs": 0x2B}
    assert (target.cpu.cpl, registers["EFlags"], registers["MxCsr"]) == (3, 0x202, 0x1F80)
    assert target.cpu.fxsave()[:2] == b"\x7f\x02"


def test_every_register_of_a_context_loads_and_reads_back_on_its_own(target: Guest) -> None:
    values = {name: 0x1122_3344_5566_0000 + number for number, name in enumerate(CONTEXT_REGISTERS)}
    values |= {"EFlags": 0x246, "MxCsr": 0x1FA0, "SegCs": 0x33}
    values |= {"SegSs": 0x2B, "SegDs": 0x2B, "SegEs": 0x23, "SegFs": 0x53, "SegGs": 0x2B}
    values |= {"Dr6": 0x1, "Dr7": 0x401}
    target.cpu.load(values)
    assert target.cpu.registers() == values
    assert {name: target.cpu.get(name) for name in CONTEXT_REGISTERS} == values
    for name in CONTEXT_REGISTERS:
        before = target.cpu.registers()
        new = 0x2B if name.startswith("Seg") and name != "SegCs" else values[name] ^ (0 if name == "SegCs" else 0x40)
        target.cpu.set(name, new)
        assert target.cpu.registers() == before | {name: new}


def test_an_unknown_register_is_refused_by_name(target: Guest) -> None:
    with pytest.raises(KeyError, match="Eax"):
        target.cpu.get("Eax")
    with pytest.raises(KeyError, match="Eax"):
        target.cpu.load({"Eax": 1})


def test_gs_relative_access_goes_through_the_gs_base(target: Guest) -> None:
    target.tables.write(DATA + 0x30, struct.pack("<Q", 0xFEED_FACE_0BAD_F00D))
    target.cpu.set("GsBase", DATA)
    assert target.run("65488b042530000000 0f0b") == Fault(6, 0, CODE + 9)  # mov rax, gs:[0x30]
    assert target.cpu.get("Rax") == 0xFEED_FACE_0BAD_F00D
    assert target.cpu.get("GsBase") == DATA


def test_loading_selectors_keeps_the_gs_base(target: Guest) -> None:
    target.cpu.set("GsBase", DATA)
    target.cpu.load({"SegGs": 0x2B, "SegFs": 0x53, "SegCs": 0x33})
    assert target.cpu.get("GsBase") == DATA


# --- x87 and SSE -----------------------------------------------------------------------------------------------------


def test_the_fxsave_image_is_the_one_the_processor_itself_stores(target: Guest) -> None:
    """Guest code loads the x87 stack past its wrap, XMM0 and XMM15, then executes FXSAVE."""
    target.tables.write(DATA + 0x400, bytes(range(0x80, 0xA0)))
    code = (
        "d9e8 d9eb d9ea"  # fld1; fldpi; fldl2e
        "0f1000 440f107810"  # movups xmm0, [rax]; movups xmm15, [rax+16]
        "d9f7 dec9"  # fincstp; fmulp
        "0fae03 0f0b"  # fxsave [rbx]; ud2
    )
    target.run(code, Rax=DATA + 0x400, Rbx=DATA + 0x800)
    stored = target.tables.read(DATA + 0x800, 512)
    image = target.cpu.fxsave()
    # Bytes 6 to 23 are the pointers: Unicorn's own FXSAVE stores 64 bits of the first and nothing of the second.
    assert image[:6] + image[24:416] == stored[:6] + stored[24:416]
    assert any(stored[32:160])
    assert stored[160:176] == bytes(range(0x80, 0x90))


def test_the_fxsave_image_holds_the_last_x87_instruction_and_its_operand(target: Guest) -> None:
    target.run("90 dd00 0f0b", Rax=DATA + 0x10)  # fld qword [rax]
    offset, selector, data, data_selector = struct.unpack_from("<IHxxIH", target.cpu.fxsave(), 8)
    assert (offset, selector) == (CODE + 1 & 0xFFFF_FFFF, 0x33)
    assert (data, data_selector) == (DATA + 0x10 & 0xFFFF_FFFF, 0x2B)


def test_an_fxsave_image_round_trips_and_the_guest_sees_it(target: Guest) -> None:
    image = bytearray(512)
    struct.pack_into("<HHB", image, 0, 0x037F, 3 << 11 | 0x4100, 0b0111_1000)  # TOP 3; registers 3 to 6 in use
    struct.pack_into("<HIHxxIH", image, 6, 0x01D8, 0x1234_5678, 0x33, 0x9ABC_DEF0, 0x2B)
    struct.pack_into("<II", image, 24, 0x1FBF, 0xFFFF)
    for number in range(8):
        struct.pack_into("<QH", image, 32 + 16 * number, 0x8000_0000_0000_0000 | number << 40, 0x3FFF + number)
    image[160:416] = bytes((n * 7 + 3) & 0xFF for n in range(256))
    target.cpu.load_fxsave(bytes(image))
    assert target.cpu.fxsave() == bytes(image)
    assert target.cpu.get("MxCsr") == 0x1FBF
    target.run("0fae03 0f0b", Rbx=DATA + 0x800)
    assert target.tables.read(DATA + 0x818, 392) == bytes(image[24:416])


def test_the_rounding_modes_of_a_loaded_image_take_effect(target: Guest) -> None:
    """1/3 in SSE under round-up and under round-down differ by one unit in the last place."""
    results = []
    for mxcsr in (0x5F80, 0x3F80):  # RC = 10 up, 01 down
        image = bytearray(target.cpu.fxsave())
        struct.pack_into("<I", image, 24, mxcsr)
        image[160:176] = struct.pack("<dd", 1.0, 0)
        image[176:192] = struct.pack("<dd", 3.0, 0)
        target.cpu.load_fxsave(bytes(image))
        target.run("f20f5ec1 0f0b")  # divsd xmm0, xmm1
        results.append(struct.unpack_from("<Q", target.cpu.fxsave(), 160)[0])
    assert results[0] - results[1] == 1


def test_an_image_of_the_wrong_size_is_refused(target: Guest) -> None:
    with pytest.raises(ValueError, match="expected 512"):
        target.cpu.load_fxsave(bytes(511))


# --- threads ---------------------------------------------------------------------------------------------------------


def test_two_threads_on_one_processor_do_not_see_each_other(target: Guest) -> None:
    """Each thread adds its step to a general and an XMM register, with its GS base, one system call at a time."""
    target.tables.write(CODE, bytes.fromhex("4801f8 66480f6ec8 660fd4c1 65488b1c2500000000 0f05 ebe7"))
    target.tables.write(DATA, struct.pack("<Q", 111) + bytes(56) + struct.pack("<Q", 222))
    states = []
    for number in range(2):
        states.append(target.cpu.new_thread_state({"Rip": CODE, "Rdi": 10**number, "GsBase": DATA + 64 * number}))
    for _ in range(5):
        for number in range(2):
            target.cpu.restore(states[number])
            assert isinstance(target.cpu.run(), Syscall)
            target.cpu.complete_syscall(target.cpu.get("Rax"))
            states[number] = target.cpu.save()
    for number, base in enumerate((111, 222)):
        target.cpu.restore(states[number])
        assert target.cpu.get("Rax") == 5 * 10**number
        assert struct.unpack_from("<Q", target.cpu.fxsave(), 160)[0] == 15 * 10**number
        assert target.cpu.get("Rbx") == base


def test_a_new_thread_state_leaves_the_running_thread_alone(target: Guest) -> None:
    target.cpu.load({"Rax": 5, "EFlags": 0x246})
    before, fxsave = target.cpu.registers(), target.cpu.fxsave()
    state = target.cpu.new_thread_state({"Rip": CODE, "Rcx": 9})
    assert (target.cpu.registers(), target.cpu.fxsave()) == (before, fxsave)
    target.cpu.restore(state)
    assert target.cpu.registers() == before | {"Rip": CODE, "Rcx": 9, "Rax": 0, "EFlags": 0x202}


# --- system calls ----------------------------------------------------------------------------------------------------


def test_a_system_call_shows_its_own_address_and_returns_as_sysret_does(target: Guest) -> None:
    assert target.run("39c0 0f05 0f0b", Rcx=1, R11=2) == Syscall(CODE + 2)  # cmp eax, eax; syscall
    assert (target.cpu.get("Rip"), target.cpu.get("Rcx"), target.cpu.get("R11")) == (CODE + 2, 1, 2)
    target.cpu.set("EFlags", 0x10246)
    target.cpu.complete_syscall(-0x3FFFFFFB & 0xFFFFFFFF)
    assert target.cpu.run() == Fault(6, 0, CODE + 4)
    registers = target.cpu.registers()
    assert (registers["Rcx"], registers["R11"], registers["EFlags"]) == (CODE + 4, 0x246, 0x246)
    assert registers["Rax"] == 0xC0000005


def test_a_system_call_keeps_the_trap_flag(target: Guest) -> None:
    target.start("0f05 90 90", EFlags=0x202)
    target.cpu.run()
    target.cpu.set("EFlags", 0x302)
    target.cpu.complete_syscall(0)
    assert target.cpu.run() == Fault(1, 0, CODE + 3)


# --- preemption ------------------------------------------------------------------------------------------------------

# xor eax, eax; 1: add rax, rcx; test cl, 1; jz 2; adc rdx, rax; 2: dec rcx; jnz 1; ud2
SUM = "31c0 4801c8 f6c101 7403 4811c2 48ffc9 75f0 0f0b"


@pytest.mark.parametrize("quantum", [1, 2, 3, 7, 100])
def test_a_loop_cut_into_quanta_computes_what_it_computes_in_one_piece(quantum: int) -> None:
    whole, cut = make_target(), make_target()
    assert whole.run(SUM, Rcx=1000) == Fault(6, 0, CODE + 18)
    cut.cpu.quantum = quantum
    event, pieces = cut.run(SUM, Rcx=1000), 1
    while isinstance(event, Preempted):
        assert event.rip == cut.cpu.get("Rip")
        assert event.rip - CODE in (2, 10, 13, 18)  # block starts
        # Host actions between two quanta must have no effect.
        state = cut.cpu.save()
        cut.cpu.load(dict.fromkeys(("Rax", "Rcx", "Rdx", "EFlags"), 0))
        cut.cpu.restore(state)
        event, pieces = cut.cpu.run(), pieces + 1
    assert event == Fault(6, 0, CODE + 18)
    assert cut.cpu.registers() == whole.cpu.registers()
    assert cut.cpu.get("Rax") == 1000 * 1001 // 2
    assert pieces >= 2000 // quantum


def test_a_quantum_counts_blocks_exactly(target: Guest) -> None:
    target.cpu.quantum = 4
    assert target.run("ffc0 ebfc") == Preempted(CODE)  # 1: inc eax; jmp 1
    assert target.cpu.get("Rax") == 4
    assert target.cpu.run() == Preempted(CODE)
    assert target.cpu.get("Rax") == 8


def test_repeated_string_instructions_are_cut_and_resumed_seamlessly(target: Guest) -> None:
    # std; rep stosb; cld; repe cmpsb; ud2
    code = "fd f3aa fc f3a6 0f0b"
    target.tables.write(DATA + 0x200, b"\x77" * 150)
    target.cpu.quantum = 7
    event, pieces = target.run(code, Rdi=DATA + 99, Rcx=100, Rax=0x77, Rsi=DATA + 0x200), 1
    while isinstance(event, Preempted):
        if event.rip == CODE + 3 and target.cpu.get("Rcx") == 0:
            target.cpu.load({"Rcx": 150, "Rdi": DATA})
        event, pieces = target.cpu.run(), pieces + 1
    assert event == Fault(6, 0, CODE + 6)
    assert pieces > 14
    assert target.tables.read(DATA, 101) == b"\x77" * 100 + b"\0"
    assert target.cpu.get("EFlags") & 0x400 == 0


def test_without_a_quantum_nothing_is_preempted_even_after_one_was_set(target: Guest) -> None:
    target.cpu.quantum = 1
    assert isinstance(target.run(SUM, Rcx=10), Preempted)
    target.cpu.quantum = None
    assert target.cpu.run() == Fault(6, 0, CODE + 18)


def test_a_quantum_below_one_is_refused(target: Guest) -> None:
    target.cpu.quantum = 0
    with pytest.raises(ValueError, match="quantum of 0"):
        target.run(SUM)


# --- stopping --------------------------------------------------------------------------------------------------------


def test_a_stop_requested_before_a_run_ends_it_at_once_and_only_once(target: Guest) -> None:
    target.start("ffc0 0f0b")
    target.cpu.request_stop()
    assert target.cpu.run() == Stopped(CODE)
    assert target.cpu.run() == Fault(6, 0, CODE + 2)


def test_a_stop_requested_from_another_thread_ends_a_run_that_never_ends() -> None:
    target = make_target()
    target.start("ffc0 ebfc")
    timer = threading.Timer(0.05, target.cpu.request_stop)
    timer.start()
    event = target.cpu.run()
    timer.join()
    assert isinstance(event, Stopped)
    assert event.rip == CODE


def test_a_run_that_never_ends_is_an_error_after_the_time_limit() -> None:
    target = make_target(time_limit=0.1)
    target.start("ebfe")
    with pytest.raises(RunawayError, match=f"{CODE:#x}"):
        target.cpu.run()
    assert target.run("0f0b") == Fault(6, 0, CODE)


def test_short_runs_are_not_stopped_however_long_they_go_on() -> None:
    target = make_target(time_limit=0.5)
    target.start("0f05 ebfc")
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        assert isinstance(target.cpu.run(), Syscall)
        target.cpu.complete_syscall(0)


# --- determinism -----------------------------------------------------------------------------------------------------


def test_the_time_stamp_counter_is_deterministic() -> None:
    def read() -> list[int]:
        target = make_target()
        target.cpu.time_stamp = 0x1_0000_0000 - TIME_STAMP_STEP
        # rdtsc; mov r8d, eax; mov r9d, edx; rdtscp; ud2
        target.run("0f31 4189c0 4189d1 0f01f9 0f0b", Rax=1 << 40, Rcx=5)
        return [target.cpu.get(name) for name in ("R8", "R9", "Rax", "Rdx", "Rcx")]

    assert read() == [0x1_0000_0000 - TIME_STAMP_STEP, 0, 0, 1, 0]
    assert read() == read()


def test_the_processor_has_no_hardware_randomness(target: Guest) -> None:
    """Unicorn's RDRAND and RDSEED give host randomness. On this model they are invalid, and CPUID lacks them."""
    assert target.run("0fc7f0") == Fault(6, 0, CODE)
    assert target.run("0fc7f8") == Fault(6, 0, CODE)
    assert Cpu.cpuid(1)[2] >> 30 & 1 == 0
    assert Cpu.cpuid(7)[1] >> 18 & 1 == 0


def test_cpuid_is_what_guest_code_gets(target: Guest) -> None:
    for leaf in (0, 1, 0x8000_0001):
        target.run("0fa2 0f0b", Rax=leaf, Rcx=0)
        assert Cpu.cpuid(leaf) == tuple(target.cpu.get(name) for name in ("Rax", "Rbx", "Rcx", "Rdx"))
    vendor = b"".join(struct.pack("<I", Cpu.cpuid(0)[register]) for register in (1, 3, 2))
    assert vendor == b"GenuineIntel"


# --- host edits ------------------------------------------------------------------------------------------------------


def test_host_edits_of_code_are_seen_by_the_next_run(target: Guest) -> None:
    """Translated code is stale without a flush, which PageTables.write makes.

    See docs/format/emulation.md#host-writes-into-code.
    """
    assert target.run("b801000000 0f0b") == Fault(6, 0, CODE + 5)
    assert target.run("b802000000 0f0b") == Fault(6, 0, CODE + 5)
    assert target.cpu.get("Rax") == 2


def test_code_in_a_recycled_frame_is_translated_anew(target: Guest) -> None:
    assert target.run("b801000000 0f0b") == Fault(6, 0, CODE + 5)
    found = target.tables.translate(CODE)
    assert found is not None
    target.tables.unmap(CODE, 1)
    target.ram.write(found.pa, bytes.fromhex("b807000000"))
    target.tables.map(CODE, found.pa, 1, write=False, user=True, execute=True)
    target.cpu.set("Rip", CODE)
    assert target.cpu.run() == Fault(6, 0, CODE + 5)
    assert target.cpu.get("Rax") == 7


def test_code_that_changes_itself_sees_the_change(target: Guest) -> None:
    alias = 0x1_0000_0000
    found = target.tables.translate(CODE)
    assert found is not None
    target.tables.map(alias, found.pa, 1, write=True, user=True, execute=False)
    # mov byte [rbx+8], 5 (the immediate of the next instruction, by the writable alias); mov eax, 1; ud2
    assert target.run("c6430505 b801000000 0f0b", Rbx=alias) == Fault(6, 0, CODE + 9)
    assert target.cpu.get("Rax") == 5


def test_dirty_pages_are_those_the_guest_wrote_again_after_each_taking(target: Guest) -> None:
    target.tables.take_dirty(DATA, 1)
    for _ in range(2):
        target.run("8b03 0f0b", Rbx=DATA)
        assert target.tables.take_dirty(DATA, 1) == []
        target.run("8903 0f0b", Rbx=DATA)
        assert target.tables.take_dirty(DATA, 1) == [DATA]
