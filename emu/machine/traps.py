"""Defines the events that end a run of the processor: faults, system calls, and stops requested by the host.

Unicorn delivers no exception and no system call to the guest
(docs/format/emulation.md#no-delivery-through-the-idt). In user mode the process model handles the event. In kernel
mode `delivery.py` delivers it as the processor would.
"""

import enum
from dataclasses import dataclass

# Exception vectors: Intel SDM vol. 3A, table 6-1.
DIVIDE_ERROR = 0
DEBUG = 1
BREAKPOINT = 3
INVALID_OPCODE = 6
DOUBLE_FAULT = 8
INVALID_TSS = 10
SEGMENT_NOT_PRESENT = 11
STACK_FAULT = 12
GENERAL_PROTECTION = 13
PAGE_FAULT = 14
X87_FLOATING_POINT = 16
ALIGNMENT_CHECK = 17
CONTROL_PROTECTION = 21

# Vectors that push an error code: the same table.
ERROR_CODE_VECTORS = frozenset(
    {
        DOUBLE_FAULT,
        INVALID_TSS,
        SEGMENT_NOT_PRESENT,
        STACK_FAULT,
        GENERAL_PROTECTION,
        PAGE_FAULT,
        ALIGNMENT_CHECK,
        CONTROL_PROTECTION,
    }
)

# Page-fault error code bits: Intel SDM vol. 3A, 4.7.
PF_PRESENT = 1 << 0
PF_WRITE = 1 << 1
PF_USER = 1 << 2
PF_RESERVED = 1 << 3
PF_FETCH = 1 << 4

# RFLAGS bits: Intel SDM vol. 1, 3.4.3.
RFLAGS_TF = 1 << 8
RFLAGS_IF = 1 << 9
RFLAGS_NT = 1 << 14
RFLAGS_RF = 1 << 16
RFLAGS_VM = 1 << 17

SYSCALL_LENGTH = 2  # 0F 05


class Access(enum.Enum):
    """The kind of access that caused a page fault."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception or an INT instruction. Registers are those before the instruction.

    `rip` is the address of the instruction, and the processor's Rip is set back to it. A single step (vector 1,
    length 0) reports the next instruction. A failed fetch reports the target as `rip`, as hardware does.
    `length` is the number of bytes that a trap skips (INT n, INT3, INT1); 0 for faults.
    `error_code` is 0 for vectors without one. Only page faults have `address` (CR2) and `access`.
    `software` is True for INT n, False for an exception with the same vector.
    """

    vector: int
    error_code: int
    rip: int
    address: int | None = None
    length: int = 0
    access: Access | None = None
    software: bool = False


@dataclass(frozen=True, slots=True)
class Syscall:
    """A SYSCALL instruction at `rip`, not yet executed. Continue with `Cpu.complete_syscall` or `enter_syscall`."""

    rip: int


@dataclass(frozen=True, slots=True)
class Preempted:
    """The quantum of basic blocks is used up. `rip` is the first instruction of the next block."""

    rip: int


@dataclass(frozen=True, slots=True)
class Halted:
    """HLT in supervisor mode at `rip`. The processor's Rip points to the next instruction."""

    rip: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """`Cpu.request_stop` was called; `rip` is the next instruction."""

    rip: int


@dataclass(frozen=True, slots=True)
class BadMemory:
    """The page tables map an address outside RAM; hardware raises a machine check. `rip` is the instruction."""

    rip: int
    physical_address: int


Event = Fault | Syscall | Preempted | Halted | Stopped | BadMemory


def page_fault_access(error_code: int) -> Access:
    """The kind of access in a page-fault error code."""
    if error_code & PF_FETCH:
        return Access.EXECUTE
    return Access.WRITE if error_code & PF_WRITE else Access.READ
