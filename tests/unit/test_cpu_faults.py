"""Every fault of user mode has the exact vector, error code, address, access kind and Rip."""

from dataclasses import dataclass

import pytest
from dumptruth.emu.machine.cpu import Cpu
from dumptruth.emu.machine.paging import PageTables
from dumptruth.emu.machine.ram import PAGE_SIZE, Ram
from dumptruth.emu.machine.run_end import UnsupportedInstructionError
from dumptruth.emu.machine.traps import Access, Fault

CODE = 0x0000_7FF6_0000_1000  # read, execute
READ_ONLY = 0x0000_0001_0000_0000
KERNEL = 0xFFFF_F800_0000_1000  # supervisor only
STACK = 0x0000_00C0_0001_0000  # read, write, no execute; nothing below
STACK_TOP = STACK + PAGE_SIZE
DATA = 0x0000_0001_0010_0000  # read, write; the page after it is read-only, then nothing


@dataclass
class Guest:
    cpu: Cpu
    tables: PageTables

    def run(self, code: str, **registers: int) -> object:
        """Puts `code` (hex) at CODE and runs it from there."""
        self.tables.write(CODE, bytes.fromhex(code))
        self.cpu.load({"Rip": CODE, "Rsp": STACK_TOP, **registers})
        return self.cpu.run()


@pytest.fixture
def target() -> Guest:
    ram = Ram(4 << 20)
    tables = PageTables(ram)
    for va, write, user, execute in (
        (CODE, False, True, True),
        (READ_ONLY, False, True, False),
        (KERNEL, True, False, True),
        (STACK, True, True, False),
        (DATA, True, True, False),
        (DATA + PAGE_SIZE, False, True, False),
    ):
        tables.map(va, ram.allocate_page(), 1, write=write, user=user, execute=execute)
    return Guest(Cpu(ram, tables.root, tables=tables), tables)


def test_a_null_read_faults_with_its_address(target: Guest) -> None:
    assert target.run("90 488b00") == Fault(14, 0x4, CODE + 1, 0, access=Access.READ)  # mov rax, [rax]


def test_a_null_write_faults_with_its_address(target: Guest) -> None:
    assert target.run("90 c60001") == Fault(14, 0x6, CODE + 1, 0, access=Access.WRITE)  # mov byte [rax], 1


def test_a_write_to_a_read_only_page_is_a_page_fault(target: Guest) -> None:
    event = target.run("8908", Rax=READ_ONLY + 0x10)  # mov [rax], ecx
    assert event == Fault(14, 0x7, CODE, READ_ONLY + 0x10, access=Access.WRITE)


def test_a_write_to_code_is_a_page_fault(target: Guest) -> None:
    assert target.run("8908", Rax=CODE) == Fault(14, 0x7, CODE, CODE, access=Access.WRITE)


def test_execute_of_a_no_execute_page_reports_the_target(target: Guest) -> None:
    assert target.run("ffe0", Rax=DATA + 8) == Fault(14, 0x15, DATA + 8, DATA + 8, access=Access.EXECUTE)  # jmp rax


def test_call_through_null_has_rip_0_and_the_return_address_pushed(target: Guest) -> None:
    assert target.run("90 ffd0") == Fault(14, 0x14, 0, 0, access=Access.EXECUTE)  # call rax
    assert target.cpu.get("Rsp") == STACK_TOP - 8
    assert target.tables.read(STACK_TOP - 8, 8) == (CODE + 3).to_bytes(8, "little")


def test_a_call_through_a_wild_pointer_faults_at_the_target(target: Guest) -> None:
    wild = 0x1234_5678_9ABC
    assert target.run("ffd0", Rax=wild) == Fault(14, 0x14, wild, wild, access=Access.EXECUTE)


@pytest.mark.parametrize(("code", "error_code", "access"), [("8b08", 0x5, Access.READ), ("8908", 0x7, Access.WRITE)])
def test_a_supervisor_page_faults_from_user_mode(target: Guest, code: str, error_code: int, access: Access) -> None:
    assert target.run(code, Rax=KERNEL + 4) == Fault(14, error_code, CODE, KERNEL + 4, access=access)


def test_a_jump_into_a_supervisor_page_faults_at_the_target(target: Guest) -> None:
    assert target.run("ffe0", Rax=KERNEL) == Fault(14, 0x15, KERNEL, KERNEL, access=Access.EXECUTE)


@pytest.mark.parametrize("code", ["488b00", "488900"], ids=["read", "write"])
@pytest.mark.parametrize("address", [0x8000_0000_0000_0000, 0x0000_8000_0000_0000, 0x4141_4141_4141_4141])
def test_non_canonical_address_is_a_protection_fault_without_address(target: Guest, code: str, address: int) -> None:
    assert target.run("90" + code, Rax=address) == Fault(13, 0, CODE + 1)


def test_a_store_that_straddles_into_a_read_only_page_writes_nothing(target: Guest) -> None:
    event = target.run("488908", Rax=DATA + PAGE_SIZE - 4, Rcx=0x1122_3344_5566_7788)  # mov [rax], rcx
    assert event == Fault(14, 0x7, CODE, DATA + PAGE_SIZE, access=Access.WRITE)
    assert target.tables.read(DATA + PAGE_SIZE - 4, 8) == bytes(8)


def test_a_load_that_straddles_into_nothing_reports_the_missing_page(target: Guest) -> None:
    end = DATA + 2 * PAGE_SIZE
    assert target.run("488b08", Rax=end - 1) == Fault(14, 0x4, CODE, end, access=Access.READ)


def test_instruction_that_straddles_into_nothing_reports_the_missing_page(target: Guest) -> None:
    target.tables.write(CODE + PAGE_SIZE - 1, b"\x8b")
    target.cpu.load({"Rip": CODE + PAGE_SIZE - 1, "Rsp": STACK_TOP})
    event = target.cpu.run()
    assert event == Fault(14, 0x14, CODE + PAGE_SIZE - 1, CODE + PAGE_SIZE, access=Access.EXECUTE)


def test_division_by_zero_is_a_divide_error(target: Guest) -> None:
    assert target.run("31c9 f7f1", Rax=7) == Fault(0, 0, CODE + 2)  # xor ecx, ecx; div ecx
    assert target.cpu.get("Rax") == 7


def test_an_overflowing_signed_division_is_a_divide_error(target: Guest) -> None:
    event = target.run("48f7f9", Rax=1 << 63, Rdx=(1 << 64) - 1, Rcx=(1 << 64) - 1)  # idiv rcx
    assert event == Fault(0, 0, CODE)


@pytest.mark.parametrize("code", ["0f0b", "f00f0b", "06", "ce"], ids=["ud2", "lock ud2", "push es", "into"])
def test_an_invalid_opcode_reports_its_address(target: Guest, code: str) -> None:
    assert target.run("90" + code) == Fault(6, 0, CODE + 1)


def test_int3_reports_the_instruction_and_its_length(target: Guest) -> None:
    assert target.run("90 cc") == Fault(3, 0, CODE + 1, length=1, software=True)
    assert target.cpu.get("Rip") == CODE + 1


@pytest.mark.parametrize("vector", [0x03, 0x0D, 0x29, 0x2C, 0x2D, 0x2E, 0x80, 0xCC])
def test_int_n_is_distinguished_from_an_exception_of_the_same_number(target: Guest, vector: int) -> None:
    # The byte before is CC, which must not be taken for an INT3.
    assert target.run(f"90cd{vector:02x}") == Fault(vector, 0, CODE + 1, length=2, software=True)
    assert target.cpu.get("Rip") == CODE + 1


def test_int1_is_a_debug_trap(target: Guest) -> None:
    assert target.run("90 f1") == Fault(1, 0, CODE + 1, length=1, software=True)


def test_single_step_reports_the_next_instruction(target: Guest) -> None:
    assert target.run("ffc0 ffc0", EFlags=0x302) == Fault(1, 0, CODE + 2)
    assert target.cpu.get("Rax") == 1


PRIVILEGED = {
    "hlt": "f4",
    "cli": "fa",
    "sti": "fb",
    "rdmsr": "0f32",
    "wrmsr": "0f30",
    "mov rax, cr0": "0f20c0",
    "mov cr3, rax": "0f22d8",
    "lgdt": "0f0110",
    "invlpg": "0f0138",
    "swapgs": "0f01f8",
    "sysretq": "480f07",
    "wbinvd": "0f09",
    "clts": "0f06",
}


@pytest.mark.parametrize("code", PRIVILEGED.values(), ids=PRIVILEGED.keys())
def test_a_privileged_instruction_in_user_mode_is_a_protection_fault(target: Guest, code: str) -> None:
    assert target.run("90" + code) == Fault(13, 0, CODE + 1)


def test_loading_a_segment_that_does_not_exist_names_the_selector(target: Guest) -> None:
    assert target.run("8ed8", Rax=0x58) == Fault(13, 0x58, CODE)  # mov ds, eax


def test_an_instruction_of_16_bytes_is_a_protection_fault(target: Guest) -> None:
    assert target.run("66" * 15 + "90") == Fault(13, 0, CODE)


def test_x87_exception_arrives_at_the_next_waiting_instruction(target: Guest) -> None:
    # fnclex; fldcw [rax] with division unmasked; fld1; fldz; fdivp; fwait
    target.tables.write(DATA, (0x027B).to_bytes(2, "little"))
    assert target.run("dbe2 d928 d9e8 d9ee def9 9b", Rax=DATA) == Fault(16, 0, CODE + 10)


def test_push_below_the_stack_leaves_rsp_alone(target: Guest) -> None:
    assert target.run("90 50", Rsp=STACK) == Fault(14, 0x6, CODE + 1, STACK - 8, access=Access.WRITE)
    assert target.cpu.get("Rsp") == STACK


def test_call_below_the_stack_reports_the_call(target: Guest) -> None:
    assert target.run("e800000000", Rsp=STACK) == Fault(14, 0x6, CODE, STACK - 8, access=Access.WRITE)
    assert target.cpu.get("Rsp") == STACK


def test_rep_stos_across_the_end_keeps_its_progress(target: Guest) -> None:
    event = target.run("f3aa", Rdi=DATA + PAGE_SIZE - 3, Rcx=10, Rax=0x55)
    assert event == Fault(14, 0x7, CODE, DATA + PAGE_SIZE, access=Access.WRITE)
    assert (target.cpu.get("Rdi"), target.cpu.get("Rcx")) == (DATA + PAGE_SIZE, 7)
    assert target.tables.read(DATA + PAGE_SIZE - 3, 4) == b"UUU\0"


def test_flags_at_a_fault_are_those_of_the_last_instruction(target: Guest) -> None:
    target.run("39c0 8b00")  # cmp eax, eax; mov eax, [rax]
    assert target.cpu.get("EFlags") == 0x246


def test_port_instructions_are_an_error(target: Guest) -> None:
    with pytest.raises(UnsupportedInstructionError, match=f"{CODE + 1:#x}"):
        target.run("90 e460")
    with pytest.raises(UnsupportedInstructionError, match=f"{CODE:#x}"):
        target.run("e660")
    assert target.run("0f0b") == Fault(6, 0, CODE)


def test_a_faulting_instruction_completes_once_the_page_is_there(target: Guest) -> None:
    """Demand paging: the instruction is retried after the host has mapped the page.

    Without a flush the page would stay absent: docs/format/emulation.md#tlb-flush.
    """
    address = 0x2_0000_0000
    assert target.run("488b18 f4", Rax=address) == Fault(14, 0x4, CODE, address, access=Access.READ)
    pa = target.tables.translate(DATA)
    assert pa is not None
    target.tables.write(DATA, b"\x39\x30\0\0\0\0\0\0")
    target.tables.map(address, pa.pa, 1, write=False, user=True, execute=False)
    assert target.cpu.run() == Fault(13, 0, CODE + 3)
    assert target.cpu.get("Rbx") == 12345


def test_many_different_faults_on_one_processor_are_all_exact(target: Guest) -> None:
    """Unicorn alone makes the second a double fault and loses the third.

    See docs/format/emulation.md#exception-in-flight.
    """
    for _ in range(3):
        assert target.run("488b00", Rax=0) == Fault(14, 0x4, CODE, 0, access=Access.READ)
        assert target.run("f7f1", Rcx=0) == Fault(0, 0, CODE)
        assert target.run("8908", Rax=1 << 63) == Fault(13, 0, CODE)
        assert target.run("cd29") == Fault(0x29, 0, CODE, length=2, software=True)
        assert target.run("0f0b") == Fault(6, 0, CODE)
        assert target.run("8908", Rax=READ_ONLY) == Fault(14, 0x7, CODE, READ_ONLY, access=Access.WRITE)
        assert target.run("f4") == Fault(13, 0, CODE)
