"""Delivers exceptions and system calls to the guest's kernel, which Unicorn does not do.

See docs/format/emulation.md#delivery-by-hand.
"""

import struct

from .cpu import Cpu
from .paging import PageNotPresent, PageTables
from .traps import (
    BREAKPOINT,
    DEBUG,
    ERROR_CODE_VECTORS,
    GENERAL_PROTECTION,
    RFLAGS_IF,
    RFLAGS_NT,
    RFLAGS_RF,
    RFLAGS_TF,
    RFLAGS_VM,
    SYSCALL_LENGTH,
    Fault,
    Syscall,
)

# Model-specific registers: AMD64 manual vol. 2, 6.1.1.
MSR_STAR = 0xC000_0081
MSR_LSTAR = 0xC000_0082
MSR_FMASK = 0xC000_0084

# Long-mode gate types and the 64-bit TSS: AMD64 manual vol. 2, 4.8.4 and 12.2.5.
_INTERRUPT_GATE, _TRAP_GATE = 0xE, 0xF
_TSS_RSP0, _TSS_IST1 = 0x04, 0x24


class DeliveryError(RuntimeError):
    """An exception could not be delivered to the guest's kernel. Hardware would raise a double fault."""


def deliver_fault(cpu: Cpu, tables: PageTables, fault: Fault) -> None:
    """Enters the guest's handler for `fault`. Raises DeliveryError."""
    has_code = fault.vector in ERROR_CODE_VECTORS and not fault.software
    is_trap = fault.software or fault.vector in (DEBUG, BREAKPOINT)
    deliver_interrupt(
        cpu,
        tables,
        fault.vector,
        fault.error_code if has_code else None,
        return_rip=fault.rip + fault.length,
        software=fault.software,
        # Intel SDM vol. 3A, 6.8.3: the image of RFLAGS that a fault pushes has RF set.
        resume=not is_trap,
    )


def deliver_interrupt(
    cpu: Cpu,
    tables: PageTables,
    vector: int,
    error_code: int | None,
    *,
    return_rip: int,
    software: bool = False,
    resume: bool = False,
) -> None:
    """Enters the handler of `vector` (0 to 255) in the interrupt descriptor table. AMD64 manual vol. 2, 8.9.

    The stack comes from the gate's IST slot. Without an IST slot it is RSP0 of the TSS if the privilege changes, else
    the current stack. Pushes SS, RSP, RFLAGS (with RF when `resume`), CS, `return_rip` and the error code if there is
    one. If the gate's privilege level forbids a `software` interrupt, delivers #GP with the vector in its error code.
    Raises DeliveryError if the table, gate, TSS or stack is missing.
    """
    idt, limit = cpu.descriptor_table("Idtr")
    if vector * 16 + 15 > limit:
        raise DeliveryError(f"vector {vector}: beyond the limit {limit:#x} of the interrupt descriptor table")
    low, selector, ist, kind, middle, high = struct.unpack("<HHBBHI4x", _read(tables, idt + 16 * vector, 16, "gate"))
    old_cpl = cpu.cpl
    if software and kind >> 5 & 3 < old_cpl:
        at = return_rip - 2  # CD nn: the fault reports the address of the instruction
        deliver_interrupt(cpu, tables, GENERAL_PROTECTION, vector * 8 + 2, return_rip=at, resume=True)
        return
    if not kind & 0x80 or kind & 0xF not in (_INTERRUPT_GATE, _TRAP_GATE):
        raise DeliveryError(f"vector {vector}: gate type byte {kind:#x}, expected a present interrupt or trap gate")
    new_cpl = 0
    old_rsp, rflags = cpu.get("Rsp"), cpu.get("EFlags")
    stack = old_rsp
    if ist & 7 or old_cpl != new_cpl:
        tss, _ = cpu.descriptor_table("Tr")
        slot = _TSS_IST1 + 8 * ((ist & 7) - 1) if ist & 7 else _TSS_RSP0
        stack = int.from_bytes(_read(tables, tss + slot, 8, "stack pointer in the TSS"), "little")
    pushed = rflags | RFLAGS_RF if resume else rflags
    frame = [return_rip, cpu.get("SegCs"), pushed, old_rsp, cpu.get("SegSs")]
    if error_code is not None:
        frame.insert(0, error_code)
    top = (stack & ~0xF) - 8 * len(frame)
    try:
        tables.write(top, struct.pack(f"<{len(frame)}Q", *frame))
    except PageNotPresent as missing:
        raise DeliveryError(f"vector {vector}: no stack for the handler: {missing}") from missing
    cpu.set_privilege(new_cpl, selector, 0 if old_cpl != new_cpl else cpu.get("SegSs"))
    cleared = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM
    if kind & 0xF == _INTERRUPT_GATE:
        cleared |= RFLAGS_IF
    cpu.set("EFlags", rflags & ~cleared)
    cpu.set("Rsp", top)
    cpu.set("Rip", low | middle << 16 | high << 32)


def enter_syscall(cpu: Cpu, call: Syscall) -> None:
    """Enters the guest's kernel through LSTAR, STAR and FMASK as SYSCALL does. AMD64 manual vol. 3, SYSCALL."""
    rflags = cpu.get("EFlags")
    star = cpu.read_msr(MSR_STAR)
    cpu.set("Rcx", call.rip + SYSCALL_LENGTH)
    cpu.set("R11", rflags & ~RFLAGS_RF)
    kernel_code = star >> 32 & 0xFFFC
    cpu.set_privilege(0, kernel_code, kernel_code + 8)
    cpu.set("EFlags", rflags & ~cpu.read_msr(MSR_FMASK) & ~RFLAGS_RF)
    cpu.set("Rip", cpu.read_msr(MSR_LSTAR))


def _read(tables: PageTables, va: int, size: int, what: str) -> bytes:
    try:
        return tables.read(va, size)
    except PageNotPresent as missing:
        raise DeliveryError(f"{what}: {missing}") from missing
