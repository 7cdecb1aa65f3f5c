"""Judges the CONTEXT records of the threads and of the exception against truth, to the last byte."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...case import Case
from ...decode import Record
from ...entitlement.flags import Format, effective
from ...model import Fault, Grade, Level, Source, Span
from ...readers.architectures import ARCHITECTURES
from ...readers.facts import ContextFact
from ...rule import Check, Checks, bad, ok, own, rule
from ..asserts import same_bytes, zero
from .threads import known_threads
from .triage import FILL, Triage

if TYPE_CHECKING:
    from ...truth.context import ThreadContextTruth

_LAYOUTS = (
    Source("docs/format/minidump-contexts.md#amd64-layout", Grade.DOCUMENTED),
    Source("docs/format/minidump-contexts.md#x86-layout", Grade.DOCUMENTED),
    Source("docs/format/minidump-contexts.md#arm64-layout", Grade.DOCUMENTED),
)
# winnt.h CONTEXT_EXCEPTION_ACTIVE to CONTEXT_EXCEPTION_REPORTING: the status of a request, no contents
_STATUS = 0xF800_0000
_XSTATE = 0x40
"""winnt.h CONTEXT_XSTATE of x86 and amd64, without the machine bit."""
_DEBUG = re.compile(r"Dr\d|[BW][cv]r\d")
# winnt.h: the part of ContextFlags that a register belongs to, by architecture. Registers in no set are INTEGER.
_CONTROL = {
    "amd64": {"SegCs", "SegSs", "Rip", "Rsp", "EFlags"},
    "x86": {"SegCs", "SegSs", "Eip", "Esp", "Ebp", "EFlags"},
    "arm64": {"Fp", "Lr", "Sp", "Pc", "Cpsr"},
}
_SEGMENTS = {"SegDs", "SegEs", "SegFs", "SegGs"}
_FLOATING = {"MxCsr", "Fpcr", "Fpsr"}
_FLOATING_BIT = {"amd64": 0x8, "x86": 0x8, "arm64": 0x4}
_DEBUG_BIT = {"amd64": 0x10, "x86": 0x10, "arm64": 0x8}
_VECTORS = "VectorRegister"
_EXTENDED_REGISTERS = 0x20
"""winnt.h CONTEXT_EXTENDED_REGISTERS, x86 only."""
_NO_TRUTH = {
    "amd64": (
        *("P1Home", "P2Home", "P3Home", "P4Home", "P5Home", "P6Home"),
        *("VectorRegister", "VectorControl", "DebugControl"),
        *("LastBranchToRip", "LastBranchFromRip", "LastExceptionToRip", "LastExceptionFromRip"),
    )
}
"""The fields of a record for which no truth has a value. The other architectures have no such fields."""


def _bit(architecture: str, register: str) -> int:
    """The bit of ContextFlags that names the part of this register."""
    if register in _CONTROL[architecture]:
        return 0x1
    if register in _SEGMENTS:
        return 0x4
    if register == "X18":
        return 0x10  # winnt.h CONTEXT_ARM64_X18
    if register in _FLOATING:
        return _FLOATING_BIT[architecture]
    return _DEBUG_BIT[architecture] if _DEBUG.fullmatch(register) else 0x2


def known_contexts(case: Case) -> Iterator[tuple[str, ContextFact, ThreadContextTruth]]:
    """Each context of the dump whose owner is in the truth: subject, context, truth. Without records of other layouts,
    which TRUE-CONTEXT-001 reports.
    """
    return (item for item in _contexts(case) if item[1].record.structure.name == _plain(case))


def _plain(case: Case) -> str | None:
    """The structure of Windows' CONTEXT for the dump's architecture."""
    layout = ARCHITECTURES.get(case.dump.architecture or "")
    return None if layout is None else layout.structure


def _contexts(case: Case) -> Iterator[tuple[str, ContextFact, ThreadContextTruth]]:
    assert case.truth is not None
    for fact, thread in known_threads(case):
        if fact.context is not None:
            yield f"context of thread {fact.id:#x}", fact.context, thread.context
    exception = case.dump.exception
    if exception is not None and exception.context is not None and case.truth.exception is not None:
        yield "context of the exception", exception.context, case.truth.exception.context


def decodes(case: Case) -> bool:
    """Whether the dump has the architecture of the truth, so that contexts can be compared."""
    return case.truth is not None and case.dump.architecture == case.truth.system.architecture


@rule(
    "TRUE-CONTEXT-001",
    "ContextFlags names the parts that the context holds",
    Level.MUST,
    Source("docs/format/minidump-contexts.md#parts-of-contextflags", Grade.DOCUMENTED),
    needs=("contexts",),
    applies=decodes,
)
def context_flags(case: Case) -> Checks:
    """A debugger shows only the parts that ContextFlags names. The high status bits may differ. If extended state
    follows the record, the XSTATE bit may be set; on x86 it must be set, or Breakpad refuses the size. The engines set
    the bit in the exception's context too, which they store without extended state.
    """
    x86, triage = case.dump.architecture == "x86", Triage(case)
    avx = case.request is not None and bool(effective(case.request) & Format.ADD_AVX_XSTATE_CONTEXT)
    for subject, fact, truth in _contexts(case):
        if fact.record.structure.name != _plain(case):
            yield bad(subject, f"a {_plain(case)}", f"a {fact.record.structure.name}", fact.span)
            continue
        expected = truth.context_flags & ~_STATUS
        accepted = {expected}
        if len(fact.extension):
            accepted = {expected | _XSTATE} if x86 else {expected, expected | _XSTATE}
        elif avx and triage.in_exception(fact):
            accepted.add(expected | _XSTATE)
        actual = fact.flags & ~_STATUS
        if actual in accepted:
            yield ok(f"{subject}, ContextFlags")
        else:
            span = fact.record.span_of("ContextFlags")
            shown = tuple(f"{value:#x}" for value in sorted(accepted))
            yield bad(f"{subject}, ContextFlags", shown, f"{actual:#x}", span)


@rule(
    "TRUE-CONTEXT-002",
    "Every register has the target's value",
    Level.MUST,
    *_LAYOUTS,
    Source("docs/format/minidump-filters.md#filter-triage-contexts", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("contexts",),
    applies=decodes,
)
def registers(case: Case) -> Checks:
    """The rule compares the integer, control, segment and debug registers. A wrong frame pointer ends the stack trace,
    a wrong instruction pointer shows the wrong function. Registers of a part that ContextFlags does not name may be 0.
    FILTER_TRIAGE fills integer registers that do not lead to an image or a stack. Where a stack begins and ends for
    that, and whether EFlags of x86 stays, depends on the engine.
    """
    architecture, triage = case.dump.architecture or "", Triage(case)
    for subject, fact, truth in known_contexts(case):
        for name in truth.registers:
            actual, span = _register(fact.record, name)
            expected = _triaged(case, triage, fact, name, truth)
            if actual in expected or (actual == 0 and not truth.context_flags & _bit(architecture, name)):
                yield ok(f"{subject}, {name}")
            else:
                yield bad(f"{subject}, {name}", tuple(f"{item:#x}" for item in expected), f"{actual:#x}", span)


def _triaged(case: Case, triage: Triage, fact: ContextFact, name: str, truth: ThreadContextTruth) -> tuple[int, ...]:
    """The values that a register may have after FILTER_TRIAGE."""
    value = truth.registers[name]
    if not triage.active:
        return (value,)
    filled = int.from_bytes(bytes([FILL]) * len(_span(fact, name)), "little")
    if triage.in_exception(fact):
        return (value, filled) if case.dump.architecture == "x86" else (value,)  # x86 was not measured
    kept = triage.keeps(name, value, truth)
    return (value, filled) if kept is None else (value if kept else filled,)


def _span(fact: ContextFact, name: str) -> Span:
    return _register(fact.record, name)[1]


def _register(record: Record, name: str) -> tuple[int, Span]:
    """Value and span of a register; ``Bcr3`` is the fourth element of Bcr."""
    if name in record.structure.fields:
        return record[name], record.span_of(name)
    array, index = name[:-1], int(name[-1])
    field, span = record.structure.fields[array], record.span_of(array)
    values = record.array(array)
    width = field.width // len(values)
    return values[index], Span(span.start + index * width, span.start + (index + 1) * width)


@rule(
    "TRUE-CONTEXT-003",
    "The floating-point and vector registers have the target's values",
    Level.MUST,
    Source("docs/format/minidump-contexts.md#amd64-floating-point-area", Grade.DOCUMENTED),
    *_LAYOUTS,
    Source("docs/format/minidump-filters.md#filter-triage-contexts", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("contexts",),
    applies=decodes,
)
def floating_point(case: Case) -> Checks:
    """The state is x87 and SSE as FXSAVE stores it, 512 bytes; on x86 also x87 as FLOATING_SAVE_AREA; on arm64 V0 to
    V31. Parts that ContextFlags does not name may be zero. FILTER_TRIAGE fills the areas of amd64 and x86.
    """
    architecture, triage = case.dump.architecture or "", Triage(case)
    for subject, fact, truth in known_contexts(case):
        floating = truth.context_flags & _FLOATING_BIT[architecture]
        areas: dict[str, list[tuple[str, bytes | None, int]]] = {
            "amd64": [("FltSave", truth.fxsave, floating)],
            "x86": [
                ("FloatSave", truth.float_save, floating),
                ("ExtendedRegisters", truth.fxsave, truth.context_flags & _EXTENDED_REGISTERS),
            ],
            "arm64": [("V", truth.v, floating)],
        }
        for name, expected, named in areas[architecture]:
            raw = fact.record.raw(name)
            if not named and not any(raw):
                yield ok(f"{subject}, {name}")
            elif triage.active:
                yield _fill(f"{subject}, {name}", raw, fact.record.span_of(name))
            else:
                yield from same_bytes(f"{subject}, {name}", expected or b"", raw, fact.record.span_of(name))


@rule(
    "TRUE-CONTEXT-004",
    "Context fields for which the target has no value are zero",
    Level.MUST,
    Source("docs/format/minidump-contexts.md#fields-without-a-value", Grade.INFERRED),
    Source("docs/format/minidump-filters.md#filter-triage-contexts", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("contexts",),
    applies=decodes,
)
def unused_parts(case: Case) -> Checks:
    """A saved context uses no home slots, vector registers, debug control and last branch fields. Other bytes there are
    left over from some other memory. FILTER_TRIAGE fills the vector registers.
    """
    triage = Triage(case)
    names = _NO_TRUTH.get(case.dump.architecture or "", ())
    for subject, fact, _ in known_contexts(case):
        filled = [name for name in names if triage.active and name == _VECTORS]
        yield from zero(fact.record, subject, [name for name in names if name not in filled], "the truth has no value")
        for name in filled:
            yield _fill(f"{subject}, {name}", fact.record.raw(name), fact.record.span_of(name))


def _fill(subject: str, raw: bytes, span: Span) -> Check:
    """Check that FILTER_TRIAGE filled the bytes."""
    if raw.count(FILL) == len(raw):
        return ok(subject)
    return bad(subject, f"{len(raw)} bytes {FILL:#x}: FILTER_TRIAGE removes them", f"{raw[:16].hex()} ...", span)


@rule(
    "TRUE-CONTEXT-005",
    "A context has an extension only if AVX state was requested",
    Level.MUST,
    Source("docs/format/minidump-contents.md#streams-by-flag", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("contexts",),
    applies=own,
)
def no_extension(case: Case) -> Checks:
    """CONTEXT_EX and XSTATE follow the record only with ADD_AVX_XSTATE_CONTEXT. Breakpad refuses contexts of a size
    that it does not know.
    """
    if case.request is not None and effective(case.request) & Format.ADD_AVX_XSTATE_CONTEXT:
        return
    for subject, fact, _ in known_contexts(case):
        extra = fact.extension
        if len(extra):
            yield bad(subject, f"{fact.record.structure.size} bytes", f"{len(fact.span)}", extra, fault=Fault.FORBIDDEN)
        else:
            yield ok(subject)
