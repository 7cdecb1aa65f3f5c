"""Against truth: the CONTEXT records of the threads and of the exception, to the last byte."""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case
from ..entitle.flags import Format, effective
from ..model import Fault, Grade, Level, Source
from ..readers.facts import ContextFact
from ..rule import Checks, bad, ok, own, rule
from ..truth_context import ThreadContextTruth
from .truth_fields import TRUTH, same, same_bytes, zero
from .truth_threads import known_threads

_CONTEXT = Source("winnt.h CONTEXT; spec user-mode 3.11", Grade.DOCUMENTED)
# winnt.h CONTEXT_EXCEPTION_ACTIVE .. CONTEXT_EXCEPTION_REPORTING: status of the request, not contents
_STATUS = 0xF800_0000
_NO_TRUTH = (
    *("P1Home", "P2Home", "P3Home", "P4Home", "P5Home", "P6Home", "VectorRegister", "VectorControl", "DebugControl"),
    *("LastBranchToRip", "LastBranchFromRip", "LastExceptionToRip", "LastExceptionFromRip"),
)


def _contexts(case: Case) -> Iterator[tuple[str, ContextFact, ThreadContextTruth]]:
    """Each context of the dump whose owner the truth knows."""
    assert case.truth is not None
    for fact, thread in known_threads(case):
        if fact.context is not None:
            yield f"context of thread {fact.id:#x}", fact.context, thread.context
    exception = case.dump.exception
    if exception is not None and exception.context is not None and case.truth.exception is not None:
        yield "context of the exception", exception.context, case.truth.exception.context


def _decodes(case: Case) -> bool:
    return case.truth is not None and case.dump.architecture == case.truth.system.architecture


@rule(
    "TRUE-CONTEXT-001",
    "ContextFlags name the parts that are there",
    Level.MUST,
    _CONTEXT,
    TRUTH,
    needs=("contexts",),
    applies=_decodes,
)
def context_flags(case: Case) -> Checks:
    """A debugger shows only the parts that ContextFlags name. The high status bits may differ."""
    for subject, fact, truth in _contexts(case):
        actual = fact.flags & ~_STATUS
        if actual == truth.context_flags & ~_STATUS:
            yield ok(f"{subject}, ContextFlags")
        else:
            span = fact.record.span_of("ContextFlags")
            yield bad(f"{subject}, ContextFlags", f"{truth.context_flags & ~_STATUS:#x}", f"{actual:#x}", span)


@rule(
    "TRUE-CONTEXT-002",
    "Every register has the target's value",
    Level.MUST,
    _CONTEXT,
    TRUTH,
    needs=("contexts",),
    applies=_decodes,
)
def registers(case: Case) -> Checks:
    """Integer, control, segment and debug registers and MxCsr. A wrong frame pointer ends the stack trace; a wrong
    instruction pointer shows the wrong function.
    """
    for subject, fact, truth in _contexts(case):
        yield from same(fact.record, subject, truth.registers)


@rule(
    "TRUE-CONTEXT-003",
    "FltSave is the target's FXSAVE image",
    Level.MUST,
    _CONTEXT,
    TRUTH,
    needs=("contexts",),
    applies=_decodes,
)
def floating_point(case: Case) -> Checks:
    """x87 and SSE state as FXSAVE stores it, 512 bytes."""
    for subject, fact, truth in _contexts(case):
        span = fact.record.span_of("FltSave")
        yield from same_bytes(f"{subject}, FltSave", truth.fxsave, fact.record.raw("FltSave"), span)


@rule(
    "TRUE-CONTEXT-004",
    "What a context has no value for is zero",
    Level.MUST,
    _CONTEXT,
    needs=("contexts",),
    applies=_decodes,
)
def unused_parts(case: Case) -> Checks:
    """Home slots, vector registers, debug control and last branch: a saved context uses none of them. Bytes left over
    there are some other process's memory.
    """
    for subject, fact, _ in _contexts(case):
        yield from zero(fact.record, subject, _NO_TRUTH, "the target has no value for it")


@rule(
    "TRUE-CONTEXT-005",
    "A context has an extension only where AVX state was asked for",
    Level.MUST,
    Source("learn.microsoft.com DEBUG_FORMAT_XXX; spec user-mode 2.4, 3.11", Grade.DOCUMENTED),
    needs=("contexts",),
    applies=own,
)
def no_extension(case: Case) -> Checks:
    """CONTEXT_EX and XSTATE follow the record only with ADD_AVX_XSTATE_CONTEXT; Breakpad refuses what it cannot
    size.
    """
    if case.request is not None and effective(case.request) & Format.ADD_AVX_XSTATE_CONTEXT:
        return
    for subject, fact, _ in _contexts(case):
        extra = fact.extension
        if len(extra):
            yield bad(subject, f"{fact.record.structure.size} bytes", f"{len(fact.span)}", extra, fault=Fault.FORBIDDEN)
        else:
            yield ok(subject)
