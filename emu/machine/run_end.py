"""What a run ended with: from what the hooks saw, and the exception that Unicorn keeps, to an Event."""

from collections.abc import Callable
from dataclasses import dataclass

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
    """The guest executed an instruction whose fault Unicorn cannot produce exactly (IN and OUT, U9)."""


@dataclass(slots=True)
class Signals:
    """What the hooks saw during one run. Hooks hold this and never the Cpu, so that no reference cycle keeps RAM."""

    stop: Callable[[], object]
    """Ends the run, from a hook or from another thread."""
    vector: int | None = None
    invalid_opcode: bool = False
    syscall: bool = False
    preempted: bool = False
    stop_requested: bool = False
    bad_physical_address: int | None = None
    port_instruction: int | None = None
    blocks_left: int | None = None
    time_stamp: int = 0

    def clear(self) -> None:
        self.vector = self.bad_physical_address = self.port_instruction = None
        self.invalid_opcode = self.syscall = self.preempted = False


def event_of(signals: Signals, registers: RegisterFile, ram: Ram) -> Event | None:
    """The event that ended the run, and the registers as they were before its instruction; None if no hook saw one.

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
        # Rip is behind the instruction. CC is one byte; CD 03 ends in 03, so the byte before Rip tells them apart.
        length = 1 if _byte(rip - 1, registers, ram) == 0xCC and vector == 3 else 2
        registers.set("Rip", rip - length)
        return Fault(vector, 0, rip - length, length=length, software=True)
    error_code = error_code if vector in ERROR_CODE_VECTORS else 0
    if vector == PAGE_FAULT:
        return Fault(vector, error_code, rip, registers.get("Cr2"), access=page_fault_access(error_code))
    return Fault(vector, error_code, rip)


def _byte(va: int, registers: RegisterFile, ram: Ram) -> int:
    """A byte of code, through the page tables that the processor uses; -1 where none is mapped."""
    found = PageTables(ram, registers.get("Cr3")).translate(va)
    return -1 if found is None else ram.view[found.pa]
