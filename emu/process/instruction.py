"""Decodes amd64 instructions as far as the fault handler of Windows does: privileged instructions, divisors of DIV.

Intel SDM vol. 2: 2.1 instruction format, 2.2.1 REX prefixes, tables 2-1 to 2-3 (ModR/M, SIB), appendix A opcode maps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Read = Callable[[int, int], bytes | None]
"""Reads (address, size) of the target's memory; None if a byte cannot be read."""

LONGEST_INSTRUCTION = 15

_REGISTERS = (
    "Rax",
    "Rcx",
    "Rdx",
    "Rbx",
    "Rsp",
    "Rbp",
    "Rsi",
    "Rdi",
    "R8",
    "R9",
    "R10",
    "R11",
    "R12",
    "R13",
    "R14",
    "R15",
)
_LEGACY_PREFIXES = frozenset(b"\xf0\xf2\xf3\x2e\x36\x3e\x26\x64\x65\x66\x67")

# Instructions that raise #GP because of CPL or IOPL (SDM vol. 2, "#GP(0) if the current privilege level is not 0").
_PRIVILEGED = frozenset(b"\xf4\xfa\xfb\xe4\xe5\xe6\xe7\xec\xed\xee\xef\x6c\x6d\x6e\x6f")  # hlt cli sti in out ins outs
_PRIVILEGED_0F = frozenset(
    b"\x06\x08\x09\x20\x21\x22\x23\x30\x32\x33\x35"
)  # clts invd wbinvd mov-cr/dr wrmsr rdmsr ...
_PRIVILEGED_0F_GROUPS = {0x00: (2, 3), 0x01: (2, 3, 6, 7)}  # lldt ltr; lgdt lidt lmsw invlpg


@dataclass(frozen=True, slots=True)
class Instruction:
    """Prefixes, opcode (0x0F00 + second byte for the two-byte map) and the bytes after the opcode."""

    rex: int
    operand_size_prefix: bool
    address_size_prefix: bool
    segment: int
    """The segment override prefix byte, 0 for none."""
    opcode: int
    tail: bytes
    opcode_end: int
    """Bytes from the start of the instruction to the end of the opcode."""


def decode(code: bytes) -> Instruction | None:
    """Decode prefixes and opcode. None if the bytes end before the opcode does."""
    at, operand16, address32, segment, rex = 0, False, False, 0, 0
    while at < len(code) and code[at] in _LEGACY_PREFIXES:
        operand16 |= code[at] == 0x66
        address32 |= code[at] == 0x67
        if code[at] in b"\x2e\x36\x3e\x26\x64\x65":
            segment = code[at]
        at += 1
    if at < len(code) and code[at] & 0xF0 == 0x40:
        rex = code[at]
        at += 1
    if at >= len(code):
        return None
    opcode = code[at]
    at += 1
    if opcode == 0x0F:
        if at >= len(code):
            return None
        opcode = 0x0F00 | code[at]
        at += 1
    return Instruction(rex, operand16, address32, segment, opcode, code[at:], at)


def fetch(read: Read, address: int) -> bytes:
    """15 bytes at ``address``, or fewer if the next page cannot be read."""
    code = read(address, LONGEST_INSTRUCTION)
    if code is not None:
        return code
    return read(address, min(LONGEST_INSTRUCTION, 0x1000 - (address & 0xFFF))) or b""


def is_privileged(code: bytes) -> bool:
    """Whether the instruction raises #GP in user mode because of the privilege level."""
    instruction = decode(code)
    if instruction is None:
        return False
    opcode = instruction.opcode
    if opcode < 0x0F00:
        return opcode in _PRIVILEGED
    low = opcode & 0xFF
    if low in _PRIVILEGED_0F_GROUPS and instruction.tail:
        modrm = instruction.tail[0]
        if low == 0x01 and modrm >> 6 == 3:
            return modrm == 0xF8 or (modrm >> 3) & 7 == 6  # swapgs, lmsw
        return (modrm >> 3) & 7 in _PRIVILEGED_0F_GROUPS[low]
    return low in _PRIVILEGED_0F


def divisor(
    code: bytes, registers: Mapping[str, int], read: Read, bases: Mapping[int, int] | None = None
) -> int | None:
    """The divisor of the DIV or IDIV in ``code``; None for another instruction or an operand that cannot be read.

    ``registers`` are those before the instruction. ``bases`` maps the override prefix byte (0x64 FS, 0x65 GS) to the
    segment base.
    """
    instruction = decode(code)
    if instruction is None or instruction.opcode not in (0xF6, 0xF7) or not instruction.tail:
        return None
    if (instruction.tail[0] >> 3) & 7 not in (6, 7):  # F6/F7 /6 DIV, /7 IDIV
        return None
    if instruction.opcode == 0xF6:
        size = 1
    elif instruction.rex & 8:
        size = 8
    else:
        size = 2 if instruction.operand_size_prefix else 4
    modrm = instruction.tail[0]
    if modrm >> 6 == 3:
        number = (modrm & 7) | (instruction.rex & 1) << 3
        if size == 1 and not instruction.rex and number >= 4:  # AH CH DH BH
            return registers[_REGISTERS[number - 4]] >> 8 & 0xFF
        return registers[_REGISTERS[number]] & ((1 << 8 * size) - 1)
    address = _effective_address(instruction, registers)
    if address is None:
        return None
    address += (bases or {}).get(instruction.segment, 0)
    data = read(address & (1 << 64) - 1, size)
    return None if data is None else int.from_bytes(data, "little")


def _effective_address(instruction: Instruction, registers: Mapping[str, int]) -> int | None:
    """Address of a ModR/M memory operand without an immediate (SDM vol. 2 tables 2-2, 2-3; 2.2.1.6 RIP-relative)."""
    modrm, rest = instruction.tail[0], instruction.tail[1:]
    mode, rm, rex = modrm >> 6, modrm & 7, instruction.rex
    used = instruction.opcode_end + 1
    address = 0
    relative = False
    displacement_size = (0, 1, 4)[mode]
    if rm == 4:
        if not rest:
            return None
        sib, rest = rest[0], rest[1:]
        used += 1
        index = (sib >> 3 & 7) | (rex & 2) << 2
        if index != 4:
            address += registers[_REGISTERS[index]] << (sib >> 6)
        if mode == 0 and sib & 7 == 5:
            displacement_size = 4
        else:
            address += registers[_REGISTERS[(sib & 7) | (rex & 1) << 3]]
    elif mode == 0 and rm == 5:
        displacement_size, relative = 4, True
    else:
        address = registers[_REGISTERS[rm | (rex & 1) << 3]]
    if len(rest) < displacement_size:
        return None
    address += int.from_bytes(rest[:displacement_size], "little", signed=True)
    if relative:
        address += registers["Rip"] + used + displacement_size
    return address & ((1 << 32) - 1 if instruction.address_size_prefix else (1 << 64) - 1)
