"""Walks the stack of an amd64 thread by the unwind data of images and of generated code.

Source: learn.microsoft.com "x64 exception handling" (RUNTIME_FUNCTION, UNWIND_INFO, UNWIND_CODE).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from .function_tables import RUNTIME_FUNCTION_SIZE, Read

NONVOLATILE = ("Rbx", "Rbp", "Rsi", "Rdi", "R12", "R13", "R14", "R15")
# Registers by their number in an unwind operation.
_REGISTERS = (
    "Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp", "Rsi", "Rdi", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15",
)  # fmt: skip
_UNW_FLAG_CHAININFO = 4
_CHAIN_LIMIT = 32
"""Number of chained entries of a function. Chained data of a hostile program may lead back to itself."""


class Unwind(IntEnum):
    """UNWIND_CODE.UnwindOp."""

    PUSH_NONVOL = 0
    ALLOC_LARGE = 1
    ALLOC_SMALL = 2
    SET_FPREG = 3
    SAVE_NONVOL = 4
    SAVE_NONVOL_FAR = 5
    EPILOG = 6
    SPARE = 7
    SAVE_XMM128 = 8
    SAVE_XMM128_FAR = 9
    PUSH_MACHFRAME = 10


_OPERAND_SLOTS = {
    Unwind.SAVE_NONVOL: 1, Unwind.SAVE_NONVOL_FAR: 2, Unwind.SPARE: 2, Unwind.SAVE_XMM128: 1, Unwind.SAVE_XMM128_FAR: 2
}  # fmt: skip
"""Number of 2-byte slots after a code. ALLOC_LARGE has 1 or 2; codes that are not listed have none."""


class Code(NamedTuple):
    """One UNWIND_CODE with its operand."""

    place: int
    """Offset of the end of the prologue instruction from the function's begin."""
    operation: Unwind
    info: int
    operand: int


@dataclass(frozen=True, slots=True)
class Function:
    """A RUNTIME_FUNCTION. ``begin`` and ``unwind_data`` are offsets from ``base``."""

    base: int
    begin: int
    unwind_data: int


class NoUnwindData(Exception):  # noqa: N818 - it ends the walk and is not an error
    """The stack cannot be walked further."""


def return_addresses(
    read: Read,
    covers: Callable[[int], bool],
    function_at: Callable[[int], Function | None],
    registers: Mapping[str, int],
) -> Iterator[int]:
    """Yield the instruction pointer of ``registers``, then the return address of each frame. Stops at the first address
    that is not code.

    ``covers`` returns whether an address lies in an image or a dynamic function table. ``function_at`` returns the
    entry for an address, None for a leaf function. ``registers`` holds Rip, Rsp and the nonvolatile registers.
    """
    state = {**dict.fromkeys(_REGISTERS, 0), **registers}
    while covers(state["Rip"]):
        yield state["Rip"]
        try:
            _step(read, function_at(state["Rip"]), state)
        except NoUnwindData:
            return


def _step(read: Read, function: Function | None, state: dict[str, int]) -> None:
    """Change ``state`` from a frame to the frame of its caller."""
    if function is None or not _undo(read, function, state):
        state["Rip"] = _u64(read, state["Rsp"])
        state["Rsp"] += 8


def _undo(read: Read, function: Function, state: dict[str, int]) -> bool:
    """Undo the executed part of a function's prologue. Returns whether a machine frame set Rip too."""
    executed = state["Rip"] - function.base - function.begin
    unwind = function.base + function.unwind_data
    for _ in range(_CHAIN_LIMIT):
        version_and_flags, _, count, frame = _bytes(read, unwind, 4)
        if version_and_flags & 7 not in (1, 2):
            raise NoUnwindData
        codes = [code for code in unwind_codes(_bytes(read, unwind + 4, 2 * count)) if code.place <= executed]
        if _undo_codes(read, codes, frame, state):
            return True
        if not version_and_flags >> 3 & _UNW_FLAG_CHAININFO:
            return False
        # The chained entry follows the codes, whose count is rounded up to even. Its prologue has run completely.
        chained = _bytes(read, unwind + 4 + 2 * (count + count % 2), RUNTIME_FUNCTION_SIZE)
        unwind = function.base + struct.unpack_from("<I", chained, 8)[0]
        executed = 0xFF
    raise NoUnwindData


def unwind_codes(data: bytes) -> list[Code]:
    """The codes of an UNWIND_INFO, in its order. Raises NoUnwindData."""
    found = []
    at = 0
    while at < len(data):
        try:
            operation = Unwind(data[at + 1] & 0xF)
        except ValueError:
            raise NoUnwindData from None
        info = data[at + 1] >> 4
        slots = (2 if info else 1) if operation is Unwind.ALLOC_LARGE else _OPERAND_SLOTS.get(operation, 0)
        operand = int.from_bytes(data[at + 2 : at + 2 + 2 * slots], "little")
        found.append(Code(data[at], operation, info, operand))
        at += 2 + 2 * slots
    if at > len(data):
        raise NoUnwindData
    return found


def _undo_codes(read: Read, codes: list[Code], frame: int, state: dict[str, int]) -> bool:
    base = state["Rsp"]
    if any(code.operation is Unwind.SET_FPREG for code in codes):
        base = state[_REGISTERS[frame & 0xF]] - 16 * (frame >> 4)
    for _, operation, info, operand in codes:
        match operation:
            case Unwind.PUSH_NONVOL:
                state[_REGISTERS[info]] = _u64(read, state["Rsp"])
                state["Rsp"] += 8
            case Unwind.ALLOC_LARGE:
                state["Rsp"] += operand if info else 8 * operand
            case Unwind.ALLOC_SMALL:
                state["Rsp"] += 8 * info + 8
            case Unwind.SET_FPREG:
                state["Rsp"] = base
            case Unwind.SAVE_NONVOL | Unwind.SAVE_NONVOL_FAR:
                offset = operand if operation is Unwind.SAVE_NONVOL_FAR else 8 * operand
                state[_REGISTERS[info]] = _u64(read, base + offset)
            case Unwind.PUSH_MACHFRAME:
                machine_frame = state["Rsp"] + 8 * info
                state["Rip"], state["Rsp"] = _u64(read, machine_frame), _u64(read, machine_frame + 24)
                return True
            case _:  # epilogue codes of version 2 and XMM registers do not affect the walk
                pass
    return False


def _bytes(read: Read, address: int, size: int) -> bytes:
    data = read(address, size) if size else b""
    if data is None:
        raise NoUnwindData
    return data


def _u64(read: Read, address: int) -> int:
    return int.from_bytes(_bytes(read, address, 8), "little")
