"""The stack walker on hand-made unwind data: every operation, partly executed prologues, chains, and invalid data."""

from __future__ import annotations

import itertools
import struct

import pytest
from dumptruth.emu.process.function_tables import NATIVE_SIZE, dynamic_function_tables
from dumptruth.emu.process.stack_trace import Function, return_addresses

BASE, UNWIND, STACK = 0x140000000, 0x3000, 0x20000
FUNCTION = Function(BASE, 0x1000, UNWIND)
CALLER = BASE + 0x2000
"""A leaf function without a caller."""


class Memory:
    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}

    def put(self, address: int, data: bytes) -> None:
        self.bytes.update({address + index: value for index, value in enumerate(data)})

    def words(self, address: int, *values: int) -> None:
        self.put(address, struct.pack(f"<{len(values)}Q", *values))

    def read(self, address: int, size: int) -> bytes | None:
        try:
            return bytes(self.bytes[address + index] for index in range(size))
        except KeyError:
            return None


def unwind_info(codes: bytes, *, prologue: int = 0x10, frame: int = 0, flags: int = 0) -> bytes:
    return bytes((1 | flags << 3, prologue, len(codes) // 2, frame)) + codes


def walk(memory: Memory, rip: int, **registers: int) -> list[int]:
    state = {"Rip": rip, "Rsp": STACK, **registers}

    def function_at(address: int) -> Function | None:
        return FUNCTION if address - BASE < 0x2000 else None

    return list(return_addresses(memory.read, lambda address: BASE <= address < BASE + 0x10000, function_at, state))


@pytest.mark.parametrize(
    ("codes", "return_at"),
    [
        (b"", 0),  # nothing to undo
        (b"\x04\x42", 0x28),  # ALLOC_SMALL 0x28
        (b"\x08\x01\x40\x00", 0x200),  # ALLOC_LARGE, 16 bits of 8 bytes
        (b"\x08\x11\x08\x00\x02\x00", 0x20008),  # ALLOC_LARGE, 32 bits
        (b"\x06\x32\x02\x30\x01\x50", 0x20 + 16),  # ALLOC_SMALL 0x20, PUSH_NONVOL Rbx, Rbp
        (b"\x0c\x34\x04\x00\x04\x72", 0x40),  # SAVE_NONVOL Rbx at 0x20, ALLOC_SMALL 0x40
        (b"\x0c\x68\x02\x00\x04\x72", 0x40),  # SAVE_XMM128, ALLOC_SMALL 0x40
    ],
)
def test_a_frame_is_undone_to_its_return_address(codes: bytes, return_at: int) -> None:
    memory = Memory()
    memory.put(BASE + UNWIND, unwind_info(codes))
    memory.words(STACK, *([0xBAD] * 16))
    memory.words(STACK + return_at, CALLER, 0)
    assert walk(memory, BASE + 0x1080) == [BASE + 0x1080, CALLER]


def test_a_frame_pointer_and_saved_registers_carry_on_to_the_frame_above() -> None:
    """The first frame restores Rbp, which the second frame needs."""
    memory = Memory()
    memory.put(BASE + UNWIND, unwind_info(b"\x05\x03\x02\x50", frame=0x15))  # SET_FPREG Rbp + 0x10, PUSH_NONVOL Rbp
    memory.words(STACK + 0x100, STACK + 0x510, BASE + 0x1090)  # at Rbp - 0x10: the caller's Rbp, the return address
    memory.words(STACK + 0x500, 0, CALLER, 0)
    found = walk(memory, BASE + 0x1080, Rbp=STACK + 0x110)
    assert found == [BASE + 0x1080, BASE + 0x1090, CALLER]


def test_of_a_prologue_only_what_has_run_is_undone() -> None:
    memory = Memory()
    memory.put(BASE + UNWIND, unwind_info(b"\x06\x32\x02\x30"))
    memory.words(STACK, 0xB0B, CALLER, 0)
    assert walk(memory, BASE + 0x1002) == [BASE + 0x1002, CALLER]  # Rbx is pushed, the stack not yet allocated
    memory.words(STACK, CALLER, 0)
    assert walk(memory, BASE + 0x1000) == [BASE + 0x1000, CALLER]


def test_a_chain_is_undone_to_its_end() -> None:
    memory = Memory()
    chained = struct.pack("<3I", 0x1000, 0x1100, UNWIND + 0x100)
    memory.put(BASE + UNWIND, unwind_info(b"\x04\x02", flags=4) + bytes(2) + chained)
    memory.put(BASE + UNWIND + 0x100, unwind_info(b"\xf0\x12"))
    memory.words(STACK, 0xBAD, 0xBAD, 0xBAD, CALLER, 0)
    assert walk(memory, BASE + 0x1004) == [BASE + 0x1004, CALLER]


def test_a_machine_frame_gives_both_pointers() -> None:
    memory = Memory()
    memory.put(BASE + UNWIND, unwind_info(b"\x00\x1a"))
    memory.words(STACK, 0xE, CALLER, 0x33, 0x246, STACK + 0x800, 0x2B)
    memory.words(STACK + 0x800, 0)
    assert walk(memory, BASE + 0x1080) == [BASE + 0x1080, CALLER]


@pytest.mark.parametrize(
    "info",
    [
        b"\x03\x10\x00\x00",  # version 3
        unwind_info(b"\x04\x0f"),  # no such operation
        unwind_info(b"\x04\x05\x00\x00"),  # SAVE_NONVOL_FAR without all of its operand
        b"\x01\x10",  # cut off
    ],
)
def test_the_walk_ends_where_unwind_data_make_no_sense(info: bytes) -> None:
    memory = Memory()
    memory.put(BASE + UNWIND, info)
    memory.words(STACK, CALLER, 0)
    assert walk(memory, BASE + 0x1080) == [BASE + 0x1080]


def test_the_walk_ends_where_the_stack_cannot_be_read() -> None:
    assert walk(Memory(), CALLER) == [CALLER]


HEAD = 0x7FFB_0000_1000


def table(memory: Memory, at: int, following: int, *, count: int = 1, kind: int = 0) -> None:
    native = struct.pack("<8Q", following, 0, at + 0x100, 0, 0x1000, 0x1040, 0, 0).ljust(0x50, b"\0")
    memory.put(at, (native + struct.pack("<II", kind, count)).ljust(NATIVE_SIZE, b"\0"))
    memory.put(at + 0x100, struct.pack("<3I", 0x1000, 0x1040, 0x2000) * min(count, 4))


def test_function_tables_are_listed_in_order() -> None:
    memory = Memory()
    memory.words(HEAD, 0x5000)
    table(memory, 0x5000, 0x6000, count=2)
    table(memory, 0x6000, 0x7000, count=3, kind=2)
    table(memory, 0x7000, HEAD)
    found = list(dynamic_function_tables(memory.read, HEAD))
    assert [len(each.entries) for each in found] == [2, 0, 1]
    assert [each.native for each in found] == [memory.read(at, NATIVE_SIZE) for at in (0x5000, 0x6000, 0x7000)]
    assert found[0].entries[0] == (0x1000, 0x1040, 0x2000)


def test_a_spoilt_list_ends_where_it_is_spoilt() -> None:
    memory = Memory()
    memory.words(HEAD, 0x5000)
    table(memory, 0x5000, 0x6000)
    table(memory, 0x6000, 0x5000)  # a ring that does not contain its head
    assert len(list(dynamic_function_tables(memory.read, HEAD))) == 2
    table(memory, 0x6000, 0xDEAD0000)
    assert len(list(dynamic_function_tables(memory.read, HEAD))) == 2
    assert list(dynamic_function_tables(memory.read, 0x1234)) == []


def test_a_table_whose_entries_cannot_be_read_is_passed_over() -> None:
    memory = Memory()
    memory.words(HEAD, 0x5000)
    table(memory, 0x5000, 0x6000, count=5)
    table(memory, 0x6000, HEAD)
    assert [each.minimum_address for each in dynamic_function_tables(memory.read, HEAD)] == [0x1000]


def test_chained_data_that_leads_back_to_itself_ends_the_walk() -> None:
    memory = Memory()
    memory.put(BASE + UNWIND, unwind_info(b"", flags=4) + struct.pack("<3I", 0x1000, 0x1100, UNWIND))
    memory.words(STACK, CALLER)
    assert walk(memory, BASE + 0x1010) == [BASE + 0x1010]


def test_tables_that_name_the_same_entries_are_listed_until_there_are_too_many() -> None:
    memory = Memory()
    head, tables, entries = 0x1000, 0x10_0000, 0x20_0000
    memory.put(entries, bytes(12 * 0x10000))
    links = [head, *(tables + 0x100 * index for index in range(10)), head]
    for here, following in itertools.pairwise(links):
        native = bytearray(NATIVE_SIZE)
        struct.pack_into("<Q", native, 0, following)
        struct.pack_into("<5Q", native, 0x10, entries, 0, 0, 0, 0)
        struct.pack_into("<II", native, 0x50, 0, 0x10000)
        memory.put(here, bytes(native))
    assert [len(table.entries) for table in dynamic_function_tables(memory.read, head)] == [0x10000] * 4
