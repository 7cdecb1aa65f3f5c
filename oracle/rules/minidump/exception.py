"""The exception stream."""

from __future__ import annotations

from typing import Final

from ...case import Case
from ...model import Fault, Grade, Level, Source
from ...readers.architectures import ARCHITECTURES
from ...readers.contexts import without_context
from ...rule import Checks, bad, ok, rule
from .threads import CONTEXT_SOURCE, machine

_MAX_PARAMETERS: Final = 15
"""EXCEPTION_MAXIMUM_PARAMETERS, winnt.h."""


@rule(
    "MDMP-EXCEPTION-001",
    "The exception stream has 168 bytes",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_EXCEPTION_STREAM; spec user-mode 3.7", Grade.DOCUMENTED),
    needs=("stream.6",),
    reports=("exception.size",),
)
def exception_size(case: Case) -> Checks:
    """A shorter stream has no context location, a longer one is of some other layout."""
    if case.dump.exception is not None:
        yield ok("exception")


@rule(
    "MDMP-EXCEPTION-002",
    "The exception's context lies inside the file",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_EXCEPTION_STREAM; spec user-mode 4 V26", Grade.DOCUMENTED),
    needs=("exception",),
    reports=("exception.context.bounds",),
)
def exception_context_inside(case: Case) -> Checks:
    """The registers at the moment of the exception are what a crash dump is for; a debugger's .ecxr shows them."""
    assert case.dump.exception is not None
    if not without_context(case.dump.exception.record) and not case.dump.defects_of("exception.context.bounds"):
        yield ok("exception")


@rule(
    "MDMP-EXCEPTION-003",
    "The exception's context is not shorter than the architecture's CONTEXT",
    Level.MUST,
    CONTEXT_SOURCE,
    needs=("exception",),
    reports=("exception.context.size",),
)
def exception_context_size(case: Case) -> Checks:
    """As a thread's context. What may stand behind the record is the request's business."""
    exception = case.dump.exception
    if exception is not None and exception.context is not None:
        yield ok("context of the exception")


@rule(
    "MDMP-EXCEPTION-004",
    "The exception's context is of the machine that SystemInfo names",
    Level.MUST,
    CONTEXT_SOURCE,
    needs=("exception.context",),
)
def exception_context_machine(case: Case) -> Checks:
    """As a thread's context. It may be partial: the other bits of ContextFlags are free."""
    exception = case.dump.exception
    if exception is not None and exception.context is not None:
        yield machine(case, exception.context, "context of the exception")


@rule(
    "MDMP-EXCEPTION-005",
    "NumberParameters is at most 15",
    Level.MUST,
    Source("winnt.h EXCEPTION_MAXIMUM_PARAMETERS; spec user-mode 4 V28", Grade.DOCUMENTED),
    needs=("exception",),
)
def parameter_count(case: Case) -> Checks:
    """ExceptionInformation has 15 slots; readers that trust a larger count read the context's location as data."""
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
    Source("spec user-mode 4 V28: 28 of 29 x86 files", Grade.OBSERVED),
    needs=("exception",),
    applies=lambda case: case.dump.architecture in {"x86", "arm"},
    foreign_level=Level.SHOULD,
)
def zero_extension(case: Case) -> Checks:
    """A 32-bit address above 0x7FFFFFFF with 32 one bits in front is no address of the target. Readers mask it,
    when they know.
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
    Source("minidumpapiset.h MINIDUMP_EXCEPTION_STREAM; spec user-mode 3.7, 4 V26", Grade.DOCUMENTED),
    Source("rust-minidump/minidump-writer src/linux/sections/exception_stream.rs: size and RVA 0", Grade.IMPLEMENTED),
    needs=("exception",),
    foreign_level=Level.SHOULD,
)
def exception_context_present(case: Case) -> Checks:
    """Breakpad's kin store an exception for every dump that is asked for, and where nothing crashed there are no
    registers to show. Readers then take those of the thread.
    """
    assert case.dump.exception is not None
    record = case.dump.exception.record
    if without_context(record):
        yield bad("exception", "a context", "none", record.span_of("ThreadContext.Rva"), fault=Fault.MISSING)
    else:
        yield ok("exception")
