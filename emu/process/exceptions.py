"""From a processor fault in user code to the exception record that Windows raises for it.

Nothing here knows a process: the replayer uses the same function on the bytes of a dump. Codes: ntstatus.h; parameters:
EXCEPTION_RECORD in the winnt.h reference; which trap gives which code: the amd64 trap handlers of the public Windows
Research Kernel (trap.asm, KiPreprocessFault) as measured values confirm it (spec user-mode 3.7).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from ..machine.traps import Access, Fault
from .instruction import Read, divisor, fetch, is_privileged
from .winnt import Status

EXCEPTION_NONCONTINUABLE = 0x1  # winnt.h

ACCESS_READ, ACCESS_WRITE, ACCESS_EXECUTE = 0, 1, 8
"""ExceptionInformation[0] of an access violation (EXCEPTION_RECORD; 8: DEP violation)."""
UNKNOWN_ADDRESS = (1 << 64) - 1
"""ExceptionInformation[1] when the processor does not say which address it was (#GP)."""

_ACCESS = {Access.READ: ACCESS_READ, Access.WRITE: ACCESS_WRITE, Access.EXECUTE: ACCESS_EXECUTE}

_INT_FAST_FAIL, _INT_ASSERTION, _INT_DEBUG_SERVICE = (
    0x29,
    0x2C,
    0x2D,
)  # __fastfail, DbgRaiseAssertionFailure, DebugService


@dataclass(frozen=True, slots=True)
class ExceptionRecord:
    """EXCEPTION_RECORD64 (winnt.h); NumberParameters is the length of ``information``."""

    code: int
    flags: int
    record: int
    address: int
    information: tuple[int, ...]


def exception_from_fault(
    fault: Fault,
    registers: Mapping[str, int],
    read: Read,
    *,
    page_fault: Status = Status.ACCESS_VIOLATION,
    floating_status: int = 0,
    floating_control: int = 0,
    segment_bases: Mapping[int, int] | None = None,
) -> ExceptionRecord:
    """The record of ``fault``. The context that goes with it is the machine's at ``fault.rip``.

    ``registers`` by CONTEXT name, as at the instruction; ``read`` gives the target's memory. ``page_fault`` is what the
    memory manager made of a #PF: ACCESS_VIOLATION, GUARD_PAGE_VIOLATION or STACK_OVERFLOW; the parameters are the same.
    ``floating_status`` and ``floating_control`` are FPSW and FPCW, for #MF. ``segment_bases``: see ``divisor``.
    """

    def record(code: Status, *information: int, flags: int = 0) -> ExceptionRecord:
        return ExceptionRecord(code, flags, 0, fault.rip, information)

    if fault.software and fault.vector != 3:
        return _software_interrupt(fault, registers, record(Status.ACCESS_VIOLATION, ACCESS_READ, UNKNOWN_ADDRESS))
    match fault.vector:
        case 0:
            divided_by = divisor(fetch(read, fault.rip), registers, read, segment_bases)
            return record(Status.INTEGER_OVERFLOW if divided_by else Status.INTEGER_DIVIDE_BY_ZERO)
        case 1:
            return record(Status.SINGLE_STEP)
        case 3:
            return record(Status.BREAKPOINT, 0)  # one parameter, 0: spec user-mode 3.7 [O]
        case 4:
            return record(Status.INTEGER_OVERFLOW)
        case 6:
            return record(Status.ILLEGAL_INSTRUCTION)
        case 14:
            if fault.access is None or fault.address is None:
                raise ValueError("a page fault without an address and an access")
            return record(page_fault, _ACCESS[fault.access], fault.address)
        case 16:
            return record(_x87_status(floating_status, floating_control), 0)
        case 17:
            return record(Status.DATATYPE_MISALIGNMENT)
        case 19:
            return record(Status.FLOAT_MULTIPLE_FAULTS, 0, registers.get("MxCsr", 0))
        case _:
            # #GP and its kin: the kernel decodes the instruction; otherwise it is an access violation at nowhere.
            if is_privileged(fetch(read, fault.rip)):
                return record(Status.PRIVILEGED_INSTRUCTION)
            return record(Status.ACCESS_VIOLATION, ACCESS_READ, UNKNOWN_ADDRESS)


def _software_interrupt(fault: Fault, registers: Mapping[str, int], refused: ExceptionRecord) -> ExceptionRecord:
    """INT n: four gates are open to user code; any other is a #GP (IDT gate DPL 0)."""
    match fault.vector:
        case 0x29:
            # __fastfail reference page: the subcode is in RCX, a second-chance non-continuable exception.
            code = registers["Rcx"] & 0xFFFFFFFF
            return ExceptionRecord(Status.STACK_BUFFER_OVERRUN, EXCEPTION_NONCONTINUABLE, 0, fault.rip, (code,))
        case 0x2C:
            return ExceptionRecord(Status.ASSERTION_FAILURE, 0, 0, fault.rip, ())
        case 0x2D:
            # DebugService: the service number is in RAX (WRK KiDebugServiceTrap).
            return ExceptionRecord(Status.BREAKPOINT, 0, 0, fault.rip, (registers["Rax"],))
        case 4:
            return ExceptionRecord(Status.INTEGER_OVERFLOW, 0, 0, fault.rip, ())
        case 1 if fault.length == 1:  # INT1, F1: no gate check (SDM vol. 2, INT1); CD 01 is refused
            return ExceptionRecord(Status.SINGLE_STEP, 0, 0, fault.rip, ())
        case _:
            return refused


# SDM vol. 1, 8.1.3: exception flags of the x87 status word, in the order in which WRK KiFloatingErrorFault tests them.
_X87 = (
    (0x01, Status.FLOAT_INVALID_OPERATION),
    (0x04, Status.FLOAT_DIVIDE_BY_ZERO),
    (0x02, Status.FLOAT_INVALID_OPERATION),  # denormal: WRK maps it so
    (0x08, Status.FLOAT_OVERFLOW),
    (0x10, Status.FLOAT_UNDERFLOW),
    (0x20, Status.FLOAT_INEXACT_RESULT),
)
_X87_STACK_FAULT = 0x40


def _x87_status(status: int, control: int) -> Status:
    """The first unmasked exception flag decides."""
    unmasked = status & ~control & 0x3F
    if unmasked & 1 and status & _X87_STACK_FAULT:
        return Status.FLOAT_STACK_CHECK
    for bit, code in _X87:
        if unmasked & bit:
            return code
    return Status.FLOAT_INVALID_OPERATION


def record_from_bytes(data: bytes) -> ExceptionRecord:
    """An EXCEPTION_RECORD64 (0x98 bytes) in the target's memory. NumberParameters above 15 counts as 15."""
    code, flags, nested, address, count = struct.unpack_from("<IIQQI", data)
    return ExceptionRecord(code, flags, nested, address, struct.unpack_from(f"<{min(count, 15)}Q", data, 0x20))


EXCEPTION_RECORD_SIZE = 0x98  # winnt.h EXCEPTION_RECORD64
