"""Declares the bug check that a run must end with, and compares it with the result."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..machine.paging import ACCESSED, DIRTY, PageNotPresent, PageTables
from ..snapshot.kernel import KernelSnapshot
from .boot import Boot
from .system_space import pte_address

_WINDOWS_10 = 10240
_PAGE_FAULT_IN_NONPAGED_AREA = 0x50
_CONTEXT_RIP, _EXCEPTION_ADDRESS = 0xF8, 0x10  # winnt.h CONTEXT, EXCEPTION_RECORD


class Pointee(enum.Enum):
    """A bug check parameter that is an address chosen by the kernel. The member says what the address must point to."""

    CONTEXT = "the CONTEXT of the exception"
    EXCEPTION_RECORD = "the EXCEPTION_RECORD"
    TRAP_FRAME = "a trap frame on the kernel stack"
    POOL = "nonpaged pool"
    PTE = "the page-table entry of parameter 1"
    CRITICAL_PROCESS = "the EPROCESS of csrss.exe"


Parameter = int | str | Pointee
"""A value, an address as ``image!export``, or the kind of object that the address points to."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """The bug check of a scenario. ``place`` is the instruction address in its CONTEXT and EXCEPTION_RECORD."""

    code: int
    parameters: tuple[Parameter, Parameter, Parameter, Parameter]
    place: str | None = None

    def on_build(self, build: int) -> Declaration:
        """The declaration for a Windows build.

        In bug check 0x50, parameter 2 of a write is 1 before Windows 10 and 2 since then (reference page of 0x50).
        """
        if self.code != _PAGE_FAULT_IN_NONPAGED_AREA or build >= _WINDOWS_10:
            return self
        address, operation, *others = self.parameters
        return Declaration(self.code, (address, int(operation == 2), others[0], others[1]), self.place)

    def text(self, boot: Boot) -> str:
        """The text for messages, with the addresses of the loaded images."""
        return ", ".join([f"0x{self.code:X}", *(_text(parameter, boot) for parameter in self.parameters)])

    def agrees(self, boot: Boot, snapshot: KernelSnapshot) -> bool:
        """Whether the machine that started as ``boot`` ended as declared."""
        found = snapshot.bug_check
        return found.code == self.code and all(
            self._holds(expected, value, boot, snapshot)
            for expected, value in zip(self.parameters, found.parameters, strict=True)
        )

    def _holds(self, parameter: Parameter, value: int, boot: Boot, snapshot: KernelSnapshot) -> bool:
        tables = boot.space.tables
        processor = snapshot.processors[snapshot.crashing_processor]
        on_stack = processor.stack_limit <= value < processor.stack_base
        match parameter:
            case int():
                return value == parameter
            case str():
                return value == _address(parameter, boot)
            case Pointee.CONTEXT:
                return on_stack and self._names_place(tables, value + _CONTEXT_RIP, boot)
            case Pointee.EXCEPTION_RECORD:
                return on_stack and self._names_place(tables, value + _EXCEPTION_ADDRESS, boot)
            case Pointee.TRAP_FRAME:
                return on_stack
            case Pointee.POOL:
                start, size = boot.non_paged_pool
                return start <= value < start + size
            case Pointee.PTE:
                entry = tables.translate(pte_address(snapshot.bug_check.parameters[0]))
                return entry is not None and not (boot.memory.read_u64(entry.pa) ^ value) & ~(ACCESSED | DIRTY)
            case Pointee.CRITICAL_PROCESS:
                return any(p.process == value and p.image_file_name == "csrss.exe" for p in snapshot.processes)

    def _names_place(self, tables: PageTables, address: int, boot: Boot) -> bool:
        try:
            found = int.from_bytes(tables.read(address, 8), "little")
        except PageNotPresent:
            return False
        return self.place is not None and found == _address(self.place, boot)


def _address(place: str, boot: Boot) -> int:
    """The address of ``image!export``. Raises KeyError for an unknown image or export."""
    name, _, export = place.partition("!")
    images = {image.name: image for image in boot.images}
    return images[name].address_of(export)


def _text(parameter: Parameter, boot: Boot) -> str:
    match parameter:
        case int():
            return f"0x{parameter:X}"
        case str():
            return f"0x{_address(parameter, boot):X} ({parameter})"
        case Pointee():
            return parameter.value
