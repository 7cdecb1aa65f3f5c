"""Describes the crash of a dump: what happened, where, and in which thread."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..contents import Contents
from ..readers.architectures import ARCHITECTURES
from .explain import explain_bug_check, explain_exception, explain_foreign
from .model import Crash, ThreadLine, ThreadOfCrash
from .places import Places
from .systems import WINDOWS_NT

_MACH: Final = frozenset({0x8101, 0x8102})
"""PlatformId of macOS and iOS."""
_FIRST_FOREIGN: Final = 0x8000
"""PlatformId of Unix, and of all that Breakpad added after it."""


def exception_of(contents: Contents, places: Places, platform: int = WINDOWS_NT) -> Crash | None:
    """The exception of a user-mode dump; None without one. ``platform`` is the PlatformId of its system."""
    record = contents.exception
    if record is None:
        return None
    names = {item.id: item.name for item in contents.threads}
    thread = None
    if record.thread_id is not None:
        thread = ThreadOfCrash(record.thread_id, names.get(record.thread_id))
    pointer = _instruction_pointer(contents)
    if platform >= _FIRST_FOREIGN:
        system = "mach" if platform in _MACH else "unix"
        told = explain_foreign(system, record.code, record.parameters, places.locate)
        # The record holds the address that was accessed (docs/format/minidump-exception.md#exception-address).
        kind, address, source = {"mach": "mach exception"}.get(system, "signal"), pointer, "registers"
    else:
        told = explain_exception(record.code, record.parameters, places.locate)
        kind, address, source = "exception", record.address, "exception record"
        if not address and pointer and places.locate(pointer):
            address, source = pointer, "registers"
    return Crash(
        kind,
        record.code,
        told.name,
        told.meaning,
        address,
        None if address is None else source,
        None if address is None else places.locate(address),
        told.parameters,
        thread,
    )


def bug_check_of(contents: Contents, places: Places) -> Crash | None:
    """The bug check of a kernel dump; None without a header.

    Its place is the parameter that names the instruction, else the exception record, else the registers: the first of
    them that lies in a module. After a bug check without an exception the registers are those of the kernel's own code.
    """
    check = contents.bug_check
    if check is None:
        return None
    told = explain_bug_check(check.code, check.parameters, places.locate)
    crash = Crash("bug check", check.code, told.name, told.meaning, None, None, None, told.parameters, None)
    candidates: list[tuple[int | None, str]] = []
    if told.instruction is not None:
        candidates.append((check.parameters[told.instruction - 1], f"parameter {told.instruction}"))
    candidates.append((None if contents.exception is None else contents.exception.address, "exception record"))
    candidates.append((_instruction_pointer(contents), "registers"))
    for address, source in candidates:
        place = None if address is None else places.locate(address)
        if place is not None:
            return replace(crash, address=address, address_from=source, location=place)
    for address, source in candidates[: 1 if told.instruction is not None else 0]:
        return replace(crash, address=address, address_from=source)
    return crash


def thread_lines(contents: Contents, places: Places) -> tuple[ThreadLine, ...]:
    """The threads of a process, each with the place at which it stands."""
    return tuple(
        ThreadLine(
            item.id,
            item.name,
            item.instruction_pointer,
            None if item.instruction_pointer is None else places.locate(item.instruction_pointer),
        )
        for item in contents.threads
    )


def _instruction_pointer(contents: Contents) -> int | None:
    layout = ARCHITECTURES.get(contents.architecture or "")
    return None if layout is None else contents.registers.get(layout.ip.lower())
