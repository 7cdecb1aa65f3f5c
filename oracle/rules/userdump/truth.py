"""Legacy full user dumps against truth and request: header, threads, contexts, modules."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

from ...case import UserdumpCase
from ...entitlement.flags import Format, Qualifier, ignores_inaccessible
from ...model import Fault, Grade, Level, Source, Span
from ...readers.facts import ContextFact
from ...readers.userdump_facts import MACHINES, CrashModule
from ...rule import Checks, bad, ok, own, userdump_rule
from ...truth.context import ThreadContextTruth
from ...truth.process import ModuleTruth, ProcessTruth
from ..asserts import TRUTH, by_field, one_of, same, same_bytes, same_keys, zero
from .header import LAYOUT

LEGACY: Final = "legacy"
_CONTEXT = Source("winnt.h CONTEXT; spec user-mode 3.11", Grade.DOCUMENTED)
# winnt.h CONTEXT_EXCEPTION_ACTIVE .. CONTEXT_EXCEPTION_REPORTING: status of the request, not contents
_STATUS = 0xF800_0000
# What no truth has a value for, by architecture (winnt.h CONTEXT)
_NO_TRUTH: Final = {
    "amd64": (
        *("P1Home", "P2Home", "P3Home", "P4Home", "P5Home", "P6Home"),
        *("VectorRegister", "VectorControl", "DebugControl"),
        *("LastBranchToRip", "LastBranchFromRip", "LastExceptionToRip", "LastExceptionFromRip"),
    ),
}
_FLOAT_SAVE: Final = ("FloatSave.ControlWord", "FloatSave.Cr0NpxState")
"""First and last member of FLOATING_SAVE_AREA in the CONTEXT of x86."""


def truth_of(case: UserdumpCase) -> ProcessTruth:
    assert case.truth is not None
    return case.truth


def _decodes(case: UserdumpCase) -> bool:
    return case.truth is not None and case.dump.architecture == case.truth.system.architecture


@userdump_rule(
    "TRUE-UDMP-REQUEST-001",
    "A full user dump exists only where the request makes one",
    Level.MUST,
    Source("learn.microsoft.com IDebugClient::WriteDumpFile; spec user-mode 1.3, 1.4", Grade.DOCUMENTED),
    applies=lambda case: case.request is not None,
)
def request_makes_a_userdump(case: UserdumpCase) -> Checks:
    """Only DEBUG_DUMP_DEFAULT does, and only under profile ``legacy``: current debuggers write this format no more, and
    whoever asks for a minidump cannot use it. Nor is there a dump of a target of which a page cannot be read, unless
    IGNORE_INACCESSIBLE_MEM allows to leave it out; whether that flag has an effect here is not known.
    """
    assert case.request is not None
    header, unreadable = case.dump.header, truth_of(case).unreadable
    asked = Format(case.request.format_flags_value & sum(Format))
    why = None
    if case.request.qualifier_value != Qualifier.DEFAULT or case.request.profile != LEGACY:
        why = f"{case.request.qualifier} under profile {case.request.profile} writes another format, or nothing"
    elif unreadable and not ignores_inaccessible(asked):
        why = f"the page at {unreadable[0].start:#x} cannot be read, and nothing allows to leave it out"
    if why is None:
        yield ok("dump")
    else:
        spans = () if header is None else (header.span,)
        yield bad("dump", f"no full user dump: {why}", "one", *spans, fault=Fault.FORBIDDEN)


@userdump_rule(
    "TRUE-UDMP-HEADER-001",
    "The header names the target's machine",
    Level.MUST,
    LAYOUT,
    TRUTH,
    needs=("header",),
    applies=own,
)
def machine(case: UserdumpCase) -> Checks:
    """MachineImageType decides how every context is read."""
    header = case.dump.header
    assert header is not None
    architecture = truth_of(case).system.architecture
    values = [number for (number, _), name in MACHINES.items() if name == architecture]
    yield from one_of(header, "header", "MachineImageType", values)


@userdump_rule(
    "TRUE-UDMP-VERSION-001",
    "The version information says that guard pages were left out",
    Level.MUST,
    LAYOUT,
    Source("spec user-mode 2.6: a guard page cannot be read without raising its exception", Grade.INFERRED),
    needs=("header", "version_info"),
    applies=own,
)
def version_information(case: UserdumpCase) -> Checks:
    """IgnoreGuardPages 1: regions with PAGE_GUARD are not among those listed."""
    assert case.dump.header is not None
    record = case.dump.version_info
    if record is None:
        span = case.dump.header.span_of("VersionInfoOffset")
        yield bad("version information", "a record", "none", span, fault=Fault.MISSING)
    else:
        yield from same(record, "version information", {"IgnoreGuardPages": 1})


@userdump_rule(
    "TRUE-UDMP-THREAD-001",
    "The thread records are those of the target's threads",
    Level.MUST,
    LAYOUT,
    TRUTH,
    needs=("header", "threads"),
    applies=own,
)
def threads(case: UserdumpCase) -> Checks:
    """One record per thread and none besides. A thread that is missing is the deadlock's other half."""
    assert case.dump.header is not None
    found = by_field(case.dump.threads, "ThreadId")
    held = [thread.thread_id for thread in truth_of(case).threads]
    yield from same_keys("thread", found, held, case.dump.header.span_of("ThreadCount"))


@userdump_rule(
    "TRUE-UDMP-THREAD-002",
    "Each thread has its suspend count, priority and TEB, and nothing in the spare fields",
    Level.MUST,
    LAYOUT,
    TRUTH,
    needs=("threads",),
    applies=own,
)
def thread_fields(case: UserdumpCase) -> Checks:
    """Priority is signed. What is in the spare fields no reader can tell."""
    held = {thread.thread_id: thread for thread in truth_of(case).threads}
    for record in by_field(case.dump.threads, "ThreadId").values():
        thread = held.get(record["ThreadId"])
        if thread is not None:
            expected = {
                "SuspendCount": thread.suspend_count,
                "PriorityClass": thread.priority_class,
                "Priority": thread.priority,
                "Teb": thread.teb,
            }
            subject = f"thread {thread.thread_id:#x}"
            yield from same(record, subject, expected)
            yield from zero(record, subject, [f"Spare{index}" for index in range(7)], "spare")


@userdump_rule(
    "TRUE-UDMP-THREAD-003",
    "The thread records keep the order in which the threads were created",
    Level.SHOULD,
    Source("learn.microsoft.com IDebugSystemObjects: engine thread ids in creation order", Grade.INFERRED),
    TRUTH,
    needs=("threads",),
    applies=own,
)
def thread_order(case: UserdumpCase) -> Checks:
    """Debuggers number the threads of a dump by their place in the list: thread 0 is then the initial one."""
    held = [thread.thread_id for thread in truth_of(case).threads]
    yield from _order("threads", held, [(record["ThreadId"], record.span) for record in case.dump.threads])


def _order(what: str, held: list[int], found: list[tuple[int, Span]]) -> Checks:
    """The dump lists what the target holds in the target's order. Of other lists another rule speaks."""
    if sorted(held) != sorted(number for number, _ in found):
        return
    for index, (expected, (actual, span)) in enumerate(zip(held, found, strict=True)):
        if expected != actual:
            yield bad(f"{what}, entry {index}", f"{expected:#x}", f"{actual:#x}", span)
            return
    yield ok(what, count=max(len(held), 1))


def _contexts(case: UserdumpCase) -> Iterator[tuple[str, ContextFact, ThreadContextTruth]]:
    """The context at an index is that of the thread whose record is at the same index."""
    held = {thread.thread_id: thread.context for thread in truth_of(case).threads}
    for record, fact in zip(case.dump.threads, case.dump.contexts, strict=False):
        truth = held.get(record["ThreadId"])
        if truth is not None:
            yield f"context of thread {record['ThreadId']:#x}", fact, truth


@userdump_rule(
    "TRUE-UDMP-CONTEXT-001",
    "ContextFlags name the parts that are there",
    Level.MUST,
    _CONTEXT,
    TRUTH,
    needs=("threads", "contexts"),
    applies=_decodes,
)
def context_flags(case: UserdumpCase) -> Checks:
    """A debugger shows only the parts that ContextFlags name. The high status bits may differ."""
    for subject, fact, truth in _contexts(case):
        expected, actual = truth.context_flags & ~_STATUS, fact.flags & ~_STATUS
        span = fact.record.span_of("ContextFlags")
        name = f"{subject}, ContextFlags"
        yield ok(name) if actual == expected else bad(name, f"{expected:#x}", f"{actual:#x}", span)


@userdump_rule(
    "TRUE-UDMP-CONTEXT-002",
    "Every register has the target's value",
    Level.MUST,
    _CONTEXT,
    TRUTH,
    needs=("threads", "contexts"),
    applies=_decodes,
)
def registers(case: UserdumpCase) -> Checks:
    """Of each thread, at its own place in the array: contexts in another order than the threads give every thread the
    stack of another.
    """
    for subject, fact, truth in _contexts(case):
        arrays: dict[str, list[int]] = {}
        single: dict[str, int] = {}
        for name, value in truth.registers.items():
            if name in fact.record.structure.fields:
                single[name] = value
            else:  # Bcr0, Bcr1 .. of arm64 are one array
                arrays.setdefault(name.rstrip("0123456789"), []).append(value)
        yield from same(fact.record, subject, single)
        for name, values in arrays.items():
            span, field = fact.record.span_of(name), fact.record.structure.fields[name]
            width = field.width // field.count
            expected = b"".join(value.to_bytes(width, "little") for value in values)
            yield from same_bytes(f"{subject}, {name}", expected, fact.record.raw(name), span)


@userdump_rule(
    "TRUE-UDMP-CONTEXT-003",
    "The floating-point and vector registers are the target's",
    Level.MUST,
    _CONTEXT,
    TRUTH,
    needs=("threads", "contexts"),
    applies=_decodes,
)
def floating_point(case: UserdumpCase) -> Checks:
    """FltSave of amd64; FloatSave and ExtendedRegisters of x86; V of arm64."""
    for subject, fact, truth in _contexts(case):
        for name, span, expected in _areas(case.dump.architecture, fact, truth):
            yield from same_bytes(f"{subject}, {name}", expected, case.dump.source.read(span.start, len(span)), span)


def _areas(architecture: str | None, fact: ContextFact, truth: ThreadContextTruth) -> Iterator[tuple[str, Span, bytes]]:
    """Name, place and truth of each area of registers that are stored as the processor does."""
    record = fact.record
    if architecture == "amd64":
        yield "FltSave", record.span_of("FltSave"), truth.fxsave
    if architecture == "x86":
        first, last = (record.span_of(name) for name in _FLOAT_SAVE)
        yield "FloatSave", Span(first.start, last.end), truth.float_save or b""
        yield "ExtendedRegisters", record.span_of("ExtendedRegisters"), truth.fxsave
    if architecture == "arm64":
        yield "V", record.span_of("V"), truth.v or b""


@userdump_rule(
    "TRUE-UDMP-CONTEXT-004",
    "What a context has no value for is zero",
    Level.MUST,
    _CONTEXT,
    needs=("threads", "contexts"),
    applies=lambda case: _decodes(case) and case.dump.architecture in _NO_TRUTH,
)
def unused_parts(case: UserdumpCase) -> Checks:
    """Home slots, vector registers, debug control and last branch of amd64: a saved context uses none of them. Bytes
    left over there are some other process's memory.
    """
    names = _NO_TRUTH[case.dump.architecture or ""]
    for subject, fact, _ in _contexts(case):
        yield from zero(fact.record, subject, names, "the target has no value for it")


@userdump_rule(
    "TRUE-UDMP-MODULE-001",
    "The module records are those of the target's modules",
    Level.MUST,
    LAYOUT,
    TRUTH,
    needs=("header", "modules"),
    applies=own,
)
def modules(case: UserdumpCase) -> Checks:
    """One record per loaded module and none besides, told apart by base address."""
    assert case.dump.header is not None
    found = by_field((module.record for module in case.dump.modules), "BaseOfImage")
    held = [module.base for module in truth_of(case).modules]
    yield from same_keys("module", found, held, case.dump.header.span_of("ModuleCount"))


def _known(case: UserdumpCase) -> Iterator[tuple[CrashModule, ModuleTruth]]:
    held = {module.base: module for module in truth_of(case).modules}
    for fact in case.dump.modules:
        module = held.pop(fact.base, None)
        if module is not None:
            yield fact, module


@userdump_rule(
    "TRUE-UDMP-MODULE-002",
    "Each module has its size",
    Level.MUST,
    LAYOUT,
    TRUTH,
    needs=("modules",),
    applies=own,
)
def module_sizes(case: UserdumpCase) -> Checks:
    """An address is in the module whose range holds it."""
    for fact, module in _known(case):
        yield from same(fact.record, f"module {fact.base:#x}", {"SizeOfImage": module.size})


@userdump_rule(
    "TRUE-UDMP-MODULE-003",
    "Each module has its full path, in ANSI",
    Level.MUST,
    LAYOUT,
    Source("learn.microsoft.com WideCharToMultiByte: the default character for what the code page has not; "
           "code page 1252 is this project's decision", Grade.INFERRED),
    TRUTH,
    needs=("modules",),
    applies=own,
)  # fmt: skip
def module_names(case: UserdumpCase) -> Checks:
    """Code page 1252, and a question mark for a character that it has not. The request's flags have no effect on this
    format, FILTER_PATHS neither.
    """
    for fact, module in _known(case):
        names = ansi(module.name)
        subject = f"name of module {fact.base:#x}"
        if fact.text in names:
            yield ok(subject)
        else:
            yield bad(subject, tuple(repr(name)[1:] for name in names), repr(fact.text)[1:], fact.name)


def ansi(text: str) -> tuple[bytes, ...]:
    """What ``text`` may be in code page 1252.

    A character beyond the Basic Multilingual Plane is two UTF-16 units: one question mark or two. The five code points
    from U+0081 to U+009D that the code page leaves open are a question mark to some, and themselves to others.
    """
    found = dict.fromkeys(
        b"".join(_ansi_character(character, units, open_too) for character in text)
        for units, open_too in product((False, True), repeat=2)
    )
    return tuple(found)


_OPEN: Final = frozenset("\x81\x8d\x8f\x90\x9d")


def _ansi_character(character: str, units: bool, open_too: bool) -> bytes:
    if open_too and character in _OPEN:
        return character.encode("latin-1")
    data = character.encode("cp1252", "replace")
    return data * 2 if units and ord(character) > 0xFFFF else data


@userdump_rule(
    "TRUE-UDMP-MODULE-004",
    "The module records keep the load order",
    Level.SHOULD,
    Source("spec user-mode 3.6: so do module lists of minidumps", Grade.INFERRED),
    TRUTH,
    needs=("modules",),
    applies=own,
)
def module_order(case: UserdumpCase) -> Checks:
    """The main image first, the others as they were loaded: readers take the first module for the program."""
    held = [module.base for module in truth_of(case).modules]
    yield from _order("modules", held, [(module.base, module.record.span) for module in case.dump.modules])
