"""Turns a processor fault in user code into the exception record that Windows raises for it.

The functions need no process, so the replayer applies them to the bytes of a dump.
Sources: codes from ntstatus.h; parameters from EXCEPTION_RECORD in winnt.h; the code of each trap from the amd64 trap
handlers of the public Windows Research Kernel (WRK: trap.asm, KiPreprocessFault). Measured values confirm them
(docs/format/minidump-exception.md#parameters-by-code).
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
"""ExceptionInformation[0] of an access violation (EXCEPTION_RECORD; 8 is a DEP violation)."""
UNKNOWN_ADDRESS = (1 << 64) - 1
"""ExceptionInformation[1] if the processor reports no address (#GP)."""

_ACCESS = {Access.READ: ACCESS_READ, Access.WRITE: ACCESS_WRITE, Access.EXECUTE: ACCESS_EXECUTE}

_INT_FAST_FAIL, _INT_ASSERTION, _INT_DEBUG_SERVICE = (
    0x29,
    0x2C,
    0x2D,
)  # __fastfail, DbgRaiseAssertionFailure, DebugService


@dataclass(frozen=True, slots=True)
class ExceptionRecord:
    """EXCEPTION_RECORD64 (winnt.h). NumberParameters is the length of ``information``."""

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
    """The exception record of ``fault``. Its context is the machine's context at ``fault.rip``.

    ``registers`` holds the registers at the instruction by CONTEXT name. ``read`` reads the target's memory.
    ``page_fault`` is the code for a #PF: ACCESS_VIOLATION, GUARD_PAGE_VIOLATION or STACK_OVERFLOW, all with the same
    parameters. ``floating_status`` and ``floating_control`` are FPSW and FPCW, for #MF. ``segment_bases`` is as for
    ``divisor``. Raises ValueError for a page fault without address or access.
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
            return record(Status.BREAKPOINT, 0)  # docs/format/minidump-exception.md#parameters-by-code
        case 4:
            return record(Status.INTEGER_OVERFLOW)
        case 6:
            return record(Status.ILLEGAL_INSTRUCTION)
        case 14:
            if fault.access is None or fault.address is None:
                raise ValueError("page fault: expected an address and an access")
            return record(page_fault, _ACCESS[fault.access], fault.address)
        case 16:
            return record(_x87_status(floating_status, floating_control), 0)
        case 17:
            return record(Status.DATATYPE_MISALIGNMENT)
        case 19:
            return record(Status.FLOAT_MULTIPLE_FAULTS, 0, registers.get("MxCsr", 0))
        case _:
            # #GP and similar: the kernel decodes the instruction. Unless it is privileged, the result is an access
            # violation without an address.
            if is_privileged(fetch(read, fault.rip)):
                return record(Status.PRIVILEGED_INSTRUCTION)
            return record(Status.ACCESS_VIOLATION, ACCESS_READ, UNKNOWN_ADDRESS)


def _software_interrupt(fault: Fault, registers: Mapping[str, int], refused: ExceptionRecord) -> ExceptionRecord:
    """The record of INT n. User code may use the gates 4, 0x29, 0x2C and 0x2D; any other raises #GP (gate DPL 0)."""
    match fault.vector:
        case 0x29:
            # __fastfail reference page: RCX holds the subcode; the exception is non-continuable and second-chance.
            code = registers["Rcx"] & 0xFFFFFFFF
            return ExceptionRecord(Status.STACK_BUFFER_OVERRUN, EXCEPTION_NONCONTINUABLE, 0, fault.rip, (code,))
        case 0x2C:
            return ExceptionRecord(Status.ASSERTION_FAILURE, 0, 0, fault.rip, ())
        case 0x2D:
            # DebugService: the service number is in RAX (WRK KiDebugServiceTrap).
            return ExceptionRecord(Status.BREAKPOINT, 0, 0, fault.rip, (registers["Rax"],))
        case 4:
            return ExceptionRecord(Status.INTEGER_OVERFLOW, 0, 0, fault.rip, ())
        case 1 if fault.length == 1:  # INT1 (F1) has no gate check (SDM vol. 2, INT1); CD 01 has one
            return ExceptionRecord(Status.SINGLE_STEP, 0, 0, fault.rip, ())
        case _:
            return refused


# SDM vol. 1, 8.1.3: exception flags of the x87 status word, in the order in which WRK KiFloatingErrorFault tests them.
_X87 = (
    (0x01, Status.FLOAT_INVALID_OPERATION),
    (0x04, Status.FLOAT_DIVIDE_BY_ZERO),
    (0x02, Status.FLOAT_INVALID_OPERATION),  # denormal operand, as in WRK
    (0x08, Status.FLOAT_OVERFLOW),
    (0x10, Status.FLOAT_UNDERFLOW),
    (0x20, Status.FLOAT_INEXACT_RESULT),
)
_X87_STACK_FAULT = 0x40


def _x87_status(status: int, control: int) -> Status:
    """The code of the first unmasked exception flag."""
    unmasked = status & ~control & 0x3F
    if unmasked & 1 and status & _X87_STACK_FAULT:
        return Status.FLOAT_STACK_CHECK
    for bit, code in _X87:
        if unmasked & bit:
            return code
    return Status.FLOAT_INVALID_OPERATION


def record_from_bytes(data: bytes) -> ExceptionRecord:
    """Parse an EXCEPTION_RECORD64 (0x98 bytes) of the target's memory. Limits NumberParameters to 15."""
    code, flags, nested, address, count = struct.unpack_from("<IIQQI", data)
    return ExceptionRecord(code, flags, nested, address, struct.unpack_from(f"<{min(count, 15)}Q", data, 0x20))


EXCEPTION_RECORD_SIZE = 0x98  # winnt.h EXCEPTION_RECORD64
