"""Judges the exception stream (docs/format/minidump-exception.md)."""

from __future__ import annotations

from typing import Final

from ...case import Case
from ...model import Fault, Grade, Level, Source
from ...readers.architectures import ARCHITECTURES
from ...readers.contexts import without_context
from ...rule import Checks, bad, ok, rule
from .threads import CONTEXT_MACHINE, CONTEXT_SIZE, machine

_MAX_PARAMETERS: Final = 15
"""winnt.h EXCEPTION_MAXIMUM_PARAMETERS."""


@rule(
    "MDMP-EXCEPTION-001",
    "The exception stream has 168 bytes",
    Level.MUST,
    Source("docs/format/minidump-exception.md#size-of-the-exception-stream", Grade.DOCUMENTED),
    needs=("stream.6",),
    reports=("exception.size",),
)
def exception_size(case: Case) -> Checks:
    """A shorter stream lacks the location of the context. A longer one has another layout."""
    if case.dump.exception is not None:
        yield ok("exception")


@rule(
    "MDMP-EXCEPTION-002",
    "The exception's context lies inside the file",
    Level.MUST,
    Source("docs/format/minidump-exception.md#context-of-the-exception", Grade.DOCUMENTED),
    needs=("exception",),
    reports=("exception.context.bounds",),
)
def exception_context_inside(case: Case) -> Checks:
    """The context holds the registers at the moment of the exception, which a debugger shows with .ecxr."""
    assert case.dump.exception is not None
    if not without_context(case.dump.exception.record) and not case.dump.defects_of("exception.context.bounds"):
        yield ok("exception")


@rule(
    "MDMP-EXCEPTION-003",
    "The exception's context is not shorter than the architecture's CONTEXT",
    Level.MUST,
    CONTEXT_SIZE,
    needs=("exception",),
    reports=("exception.context.size",),
)
def exception_context_size(case: Case) -> Checks:
    """The sizes are those of a thread's context. The request decides whether an extension may follow the record."""
    exception = case.dump.exception
    if exception is not None and exception.context is not None:
        yield ok("context of the exception")


@rule(
    "MDMP-EXCEPTION-004",
    "The exception's context is of the architecture in SystemInfo",
    Level.MUST,
    CONTEXT_MACHINE,
    needs=("exception.context",),
)
def exception_context_machine(case: Case) -> Checks:
    """ContextFlags has the bit of one machine, as in a thread's context. The context may be partial, so the other bits
    are free.
    """
    exception = case.dump.exception
    if exception is not None and exception.context is not None:
        yield machine(exception.context, "context of the exception")


@rule(
    "MDMP-EXCEPTION-005",
    "NumberParameters is at most 15",
    Level.MUST,
    Source("docs/format/minidump-exception.md#parameters", Grade.DOCUMENTED),
    needs=("exception",),
)
def parameter_count(case: Case) -> Checks:
    """ExceptionInformation has 15 slots. A reader that trusts a larger count takes the location of the context for
    parameters.
    """
    assert case.dump.exception is not None
    record = case.dump.exception.record
    number = record["ExceptionRecord.NumberParameters"]
    if number <= _MAX_PARAMETERS:
        yield ok("exception")
    else:
        span = record.span_of("ExceptionRecord.NumberParameters")
        yield bad("exception", f"at most {_MAX_PARAMETERS}", str(number), span)


@rule(
    "MDMP-EXCEPTION-006",
    "The parameters of a 32-bit target are zero-extended",
    Level.MUST,
    Source("docs/format/minidump-exception.md#sign-extension", Grade.OBSERVED),
    needs=("exception",),
    applies=lambda case: case.dump.architecture in {"x86", "arm"},
    foreign_level=Level.SHOULD,
)
def zero_extension(case: Case) -> Checks:
    """A 32-bit address above 0x7FFFFFFF whose upper 32 bits are all set is no address of the target. Some readers mask
    it to 32 bits.
    """
    assert case.dump.exception is not None
    record = case.dump.exception.record
    limit = 1 << 8 * ARCHITECTURES[case.dump.architecture or ""].pointer_size
    values = record.array("ExceptionRecord.ExceptionInformation")[: record["ExceptionRecord.NumberParameters"]]
    span = record.span_of("ExceptionRecord.ExceptionInformation")
    for index, value in enumerate(values):
        if value < limit:
            yield ok(f"parameter {index}")
        else:
            yield bad(f"parameter {index}", f"below {limit:#x}", f"{value:#x}", span)


@rule(
    "MDMP-EXCEPTION-007",
    "The exception has a context",
    Level.MUST,
    Source("docs/format/minidump-exception.md#context-of-the-exception", Grade.DOCUMENTED),
    needs=("exception",),
    foreign_level=Level.SHOULD,
)
def exception_context_present(case: Case) -> Checks:
    """Breakpad and related writers store an exception in every dump that is requested. Without a crash there are no
    registers, and minidump-writer stores size 0 and RVA 0. Readers then use the registers of the thread.
    """
    assert case.dump.exception is not None
    record = case.dump.exception.record
    if without_context(record):
        yield bad("exception", "a context", "none", record.span_of("ThreadContext.Rva"), fault=Fault.MISSING)
    else:
        yield ok("exception")
