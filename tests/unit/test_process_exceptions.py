"""Each processor fault becomes the exception record that Windows raises for it."""

from __future__ import annotations

import struct

import pytest
from dumptruth.emu.machine.traps import Access, Fault
from dumptruth.emu.process.exceptions import ExceptionRecord, exception_from_fault, record_from_bytes
from dumptruth.emu.process.instruction import divisor, is_privileged
from dumptruth.emu.process.winnt import Status

RIP = 0x7FF600001000
ZERO = dict.fromkeys(["Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp", "Rsi", "Rdi", *(f"R{n}" for n in range(8, 16))], 0) | {
    "Rip": RIP,
    "MxCsr": 0x1F80,
}


def reader(memory: dict[int, bytes]):  # type: ignore[no-untyped-def]
    def read(address: int, size: int) -> bytes | None:
        for start, data in memory.items():
            if start <= address and address + size <= start + len(data):
                return data[address - start : address - start + size]
        return None

    return read


def raised(fault: Fault, code: bytes = b"", **more: object) -> ExceptionRecord:
    registers = {**ZERO, **{name: value for name, value in more.items() if name in ZERO}}
    options = {name: value for name, value in more.items() if name not in ZERO}
    read = reader({fault.rip: code.ljust(16, b"\x90")})
    return exception_from_fault(fault, registers, read, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("access", "kind"), [(Access.READ, 0), (Access.WRITE, 1), (Access.EXECUTE, 8)])
@pytest.mark.parametrize("status", [Status.ACCESS_VIOLATION, Status.GUARD_PAGE_VIOLATION, Status.STACK_OVERFLOW])
def test_a_page_fault_carries_the_access_and_the_address(access: Access, kind: int, status: Status) -> None:
    fault = Fault(14, 4, RIP, address=0x1234, access=access)
    assert raised(fault, page_fault=status) == ExceptionRecord(status, 0, 0, RIP, (kind, 0x1234))


def test_a_general_protection_fault_is_an_access_violation_at_nowhere() -> None:
    everywhere = (1 << 64) - 1
    assert raised(Fault(13, 0, RIP), b"\x48\x8b\x00") == ExceptionRecord(0xC0000005, 0, 0, RIP, (0, everywhere))


@pytest.mark.parametrize(
    "code",
    [
        "f4",
        "fa",
        "fb",
        "0f30",
        "0f32",
        "0f20c0",
        "0f22d8",
        "0f23f8",
        "0f0118",
        "0f01f8",
        "0f00d8",
        "6c",
        "ec",
        "f3 6e",
        "0f09",
    ],
)
def test_a_privileged_instruction_has_its_own_code(code: str) -> None:
    assert raised(Fault(13, 0, RIP), bytes.fromhex(code)) == ExceptionRecord(0xC0000096, 0, 0, RIP, ())


@pytest.mark.parametrize("code", ["488b00", "0f05", "0f01d0", "0f0100", "0f0b", "cd20", "0fae00", "48cf"])
def test_other_instructions_are_not_privileged(code: str) -> None:
    assert not is_privileged(bytes.fromhex(code))


def test_the_code_is_read_up_to_the_end_of_its_page() -> None:
    at = 0x7FF600001FFF
    record = exception_from_fault(Fault(13, 0, at), ZERO, reader({at: b"\xf4"}))
    assert record.code == 0xC0000096


@pytest.mark.parametrize(
    ("fault", "code", "flags", "information"),
    [
        (Fault(1, 0, RIP), 0x80000004, 0, ()),
        (Fault(1, 0, RIP, length=1, software=True), 0x80000004, 0, ()),
        (Fault(3, 0, RIP, length=1, software=True), 0x80000003, 0, (0,)),
        (Fault(3, 0, RIP, length=2, software=True), 0x80000003, 0, (0,)),
        (Fault(6, 0, RIP), 0xC000001D, 0, ()),
        (Fault(17, 0, RIP), 0x80000002, 0, ()),
        (Fault(0x29, 0, RIP, length=2, software=True), 0xC0000409, 1, (7,)),
        (Fault(0x2C, 0, RIP, length=2, software=True), 0xC0000420, 0, ()),
        (Fault(0x2D, 0, RIP, length=2, software=True), 0x80000003, 0, (3,)),
        (Fault(4, 0, RIP, length=2, software=True), 0xC0000095, 0, ()),
        (Fault(0x21, 0, RIP, length=2, software=True), 0xC0000005, 0, (0, (1 << 64) - 1)),
        (Fault(14, 0, RIP, length=2, software=True), 0xC0000005, 0, (0, (1 << 64) - 1)),
        (Fault(1, 0, RIP, length=2, software=True), 0xC0000005, 0, (0, (1 << 64) - 1)),
    ],
)
def test_each_trap_and_interrupt_becomes_its_exception_record(
    fault: Fault, code: int, flags: int, information: tuple[int, ...]
) -> None:
    assert raised(fault, b"\xcd\x00", Rcx=0xFFFFFFFF00000007, Rax=3) == ExceptionRecord(
        code, flags, 0, RIP, information
    )


@pytest.mark.parametrize(
    ("status", "control", "code"),
    [
        (0x81, 0x37E, 0xC0000090),
        (0xC1, 0x37E, 0xC0000092),
        (0x84, 0x37B, 0xC000008E),
        (0x88, 0x377, 0xC0000091),
        (0x90, 0x36F, 0xC0000093),
        (0xA0, 0x35F, 0xC000008F),
        (0x85, 0x37B, 0xC000008E),  # the invalid operation is masked, the division is not
    ],
)
def test_the_first_unmasked_x87_exception_gives_the_code(status: int, control: int, code: int) -> None:
    record = raised(Fault(16, 0, RIP), b"\x9b", floating_status=status, floating_control=control)
    assert record == ExceptionRecord(code, 0, 0, RIP, (0,))


@pytest.mark.parametrize(
    ("code", "registers", "expected"),
    [
        ("f7f1", {"Rcx": 0x1_0000_0000}, 0),  # div ecx
        ("f7f1", {"Rcx": 5}, 5),
        ("48f7f9", {"Rcx": 1 << 63}, 1 << 63),  # idiv rcx
        ("66f7f1", {"Rcx": 0x10000}, 0),  # div cx
        ("f6f5", {"Rcx": 0x300}, 3),  # div ch
        ("40f6f5", {"Rbp": 0x305}, 5),  # div bpl
        ("49f7f0", {"R8": 7}, 7),  # div r8
        ("f730", {"Rax": 0x1000}, 0x44332211),  # div dword [rax]
        ("f77004", {"Rax": 0x1000}, 0x88776655),  # [rax+4]
        ("f770fc", {"Rax": 0x1004}, 0x44332211),  # [rax-4]
        ("f7b000010000", {"Rax": 0xF00}, 0x44332211),  # [rax+0x100]
        ("f73488", {"Rax": 0xFFC, "Rcx": 1}, 0x44332211),  # [rax+rcx*4]
        ("f7342500100000", {}, 0x44332211),  # [0x1000]
        ("43f734a0", {"R8": 0x1000, "R12": 0}, 0x44332211),  # [r8+r12*4]
        ("41f73424", {"R12": 0x1000}, 0x44332211),  # [r12]
        ("67f730", {"Rax": 0xFFFFFFFF00001000}, 0x44332211),  # [eax]
        ("65f730", {"Rax": 0x10}, 0x44332211),  # gs:[rax]
        ("f730", {"Rax": 0x9000}, None),  # cannot be read
        ("f7d8", {}, None),  # neg eax
        ("0f0b", {}, None),
        ("f7", {}, None),
    ],
)
def test_the_divisor_is_found_wherever_it_lies(code: str, registers: dict[str, int], expected: int | None) -> None:
    read = reader({0x1000: bytes.fromhex("1122334455667788")})
    assert divisor(bytes.fromhex(code), ZERO | registers, read, {0x65: 0xFF0}) == expected


def test_the_divisor_may_be_relative_to_rip() -> None:
    code = bytes.fromhex("f735 fa0f0000")  # div dword [rip+0xffa], six bytes long
    assert divisor(code, ZERO, reader({RIP + 0x1000: b"\x03\0\0\0"})) == 3


def test_a_quotient_that_does_not_fit_is_an_overflow_and_a_zero_a_division_by_zero() -> None:
    assert raised(Fault(0, 0, RIP), b"\xf7\xf1", Rcx=0) == ExceptionRecord(0xC0000094, 0, 0, RIP, ())
    assert raised(Fault(0, 0, RIP), b"\xf7\xf1", Rcx=1) == ExceptionRecord(0xC0000095, 0, 0, RIP, ())


def test_a_record_in_memory_is_read_with_at_most_fifteen_parameters() -> None:
    data = struct.pack("<IIQQI4x15Q", 0xE0000001, 1, 0x10, 0x20, 3, *range(15))
    assert record_from_bytes(data) == ExceptionRecord(0xE0000001, 1, 0x10, 0x20, (0, 1, 2))
    data = struct.pack("<IIQQI4x15Q", 0xE0000001, 1, 0x10, 0x20, 0xFFFFFFFF, *range(15))
    assert record_from_bytes(data).information == tuple(range(15))
