"""Judges the address of the exception against its context."""

from __future__ import annotations

from typing import Final

from ...case import Case
from ...decode import enumeration
from ...model import Grade, Level, Source
from ...rule import Checks, bad, ok, rule

_WINDOWS: Final = enumeration("PLATFORM_ID")["VER_PLATFORM_WIN32_NT"]
_PROCESSOR_FAULTS: Final = frozenset(
    {0x80000001, 0x80000002, 0xC0000005, 0xC0000006, 0xC000001D, *range(0xC000008C, 0xC0000097), 0xC00000FD}
)
"""NTSTATUS of faults, which restart at their instruction (docs/format/minidump-exception.md#exception-address): guard
page, misalignment, access violation, in-page error, illegal and privileged instruction, arithmetic, stack overflow."""


@rule(
    "XCUT-EXCEPTION-004",
    "A processor fault has the address of the context's instruction",
    Level.SHOULD,
    Source("docs/format/minidump-exception.md#exception-address", Grade.OBSERVED),
    needs=("exception", "exception.context", "system_info"),
    applies=lambda case: case.dump.system_info is not None and case.dump.system_info["PlatformId"] == _WINDOWS,
)
def fault_address(case: Case) -> Checks:
    """A fault restarts at its instruction, so ExceptionAddress is the instruction pointer. Another one is that of a
    caller: the writer has walked the stack in the context that it stored. The two were equal in 44 of 45 real dumps;
    the other has no processor fault. The rule skips an exception whose truth has two values.
    """
    exception = case.dump.exception
    assert exception is not None
    code, address = (exception.record[f"ExceptionRecord.{name}"] for name in ("ExceptionCode", "ExceptionAddress"))
    held = None if case.truth is None else case.truth.exception
    if exception.context is None or code not in _PROCESSOR_FAULTS or (held and held.address != held.context.ip):
        return
    if address == exception.context.ip:
        yield ok("exception")
    else:
        span = exception.record.span_of("ExceptionRecord.ExceptionAddress")
        yield bad("exception", f"{exception.context.ip:#x}, the context's instruction pointer", f"{address:#x}", span)
