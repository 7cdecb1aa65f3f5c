"""Turns the records of the hooks and Unicorn's exception state into the event that ended a run."""

from collections.abc import Callable
from dataclasses import dataclass

from .block_end import Ending
from .paging import PageTables
from .ram import Ram
from .register_file import RegisterFile
from .traps import (
    DEBUG,
    ERROR_CODE_VECTORS,
    INVALID_OPCODE,
    PAGE_FAULT,
    SYSCALL_LENGTH,
    BadMemory,
    Event,
    Fault,
    Preempted,
    Stopped,
    Syscall,
    page_fault_access,
)


class UnsupportedInstructionError(RuntimeError):
    """The guest executed IN or OUT, whose faults Unicorn does not emulate (docs/format/emulation.md#not-emulated)."""


@dataclass(slots=True)
class Signals:
    """What the hooks recorded during one run. Hooks refer to this, not to the Cpu, so no reference cycle keeps RAM."""

    stop: Callable[[], object]
    """Ends the run. Callable from a hook or from another thread."""
    vector: int | None = None
    invalid_opcode: bool = False
    syscall: bool = False
    preempted: bool = False
    stop_requested: bool = False
    bad_physical_address: int | None = None
    port_instruction: int | None = None
    blocks_left: int | None = None
    time_stamp: int = 0
    block_end: Ending | None = None
    """The end of the last basic block that began, if it may be a call or a return, and calls are recorded."""
    block: int = 0
    """The address of that block."""

    def clear(self) -> None:
        """Reset the records before a run. A stop that was requested stays."""
        self.vector = self.bad_physical_address = self.port_instruction = None
        self.invalid_opcode = self.syscall = self.preempted = False


def event_of(signals: Signals, registers: RegisterFile, ram: Ram) -> Event | None:
    """The event that ended the run; None if no hook recorded one.

    Sets Rip back to the instruction of the event and clears the exception in flight.
    Raises UnsupportedInstructionError for IN and OUT.
    """
    rip = registers.get("Rip")
    if signals.port_instruction is not None:
        raise UnsupportedInstructionError(f"IN or OUT at {signals.port_instruction:#x}: not emulated exactly")
    if signals.bad_physical_address is not None:
        registers.take_exception()
        return BadMemory(rip, signals.bad_physical_address)
    if signals.vector is not None:
        return _fault(signals.vector, rip, registers, ram)
    if signals.invalid_opcode:
        registers.take_exception()
        if _byte(rip, registers, ram) == 0xF1:  # INT1 (icebp) arrives as an invalid instruction
            return Fault(DEBUG, 0, rip, length=1, software=True)
        return Fault(INVALID_OPCODE, 0, rip)
    if signals.syscall:
        rip -= SYSCALL_LENGTH
        registers.set("Rip", rip)
        return Syscall(rip)
    if signals.preempted:
        return Preempted(rip)
    if signals.stop_requested:
        signals.stop_requested = False
        return Stopped(rip)
    return None


def _fault(vector: int, rip: int, registers: RegisterFile, ram: Ram) -> Fault:
    error_code, software = registers.take_exception()
    if software:
        # Rip points after the instruction. The byte before it tells CC (INT3) from CD 03 (INT 3).
        length = 1 if _byte(rip - 1, registers, ram) == 0xCC and vector == 3 else 2
        registers.set("Rip", rip - length)
        return Fault(vector, 0, rip - length, length=length, software=True)
    error_code = error_code if vector in ERROR_CODE_VECTORS else 0
    if vector == PAGE_FAULT:
        return Fault(vector, error_code, rip, registers.get("Cr2"), access=page_fault_access(error_code))
    return Fault(vector, error_code, rip)


def _byte(va: int, registers: RegisterFile, ram: Ram) -> int:
    """A byte of code, read through the page tables of CR3; -1 if no page is mapped there."""
    found = PageTables(ram, registers.get("Cr3")).translate(va)
    return -1 if found is None else ram.view[found.pa]
