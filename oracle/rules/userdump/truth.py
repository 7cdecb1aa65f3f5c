"""Judges a full user dump against truth and request: header, threads, contexts, modules."""

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
from ..asserts import by_an_engine, by_field, of_a_dump, one_of, same, same_bytes, same_keys, zero

LEGACY: Final = "legacy"
# CONTEXT_EXCEPTION_ACTIVE to CONTEXT_EXCEPTION_REPORTING say how the record was made, not what it holds
# (docs/format/minidump-contexts.md#high-bits-of-contextflags).
_STATUS = 0xF800_0000
_XSTATE = 0x40
"""winnt.h CONTEXT_XSTATE of x86 and amd64, without the machine bit."""
_SERVICE_PACK: Final = "CRASH: OS SP"
# Fields of CONTEXT for which the truth has no value.
_NO_TRUTH: Final = {
    "amd64": (
        *("P1Home", "P2Home", "P3Home", "P4Home", "P5Home", "P6Home"),
        *("VectorRegister", "VectorControl", "DebugControl"),
        *("LastBranchToRip", "LastBranchFromRip", "LastExceptionToRip", "LastExceptionFromRip"),
    ),
}
_FLOAT_SAVE: Final = ("FloatSave.ControlWord", "FloatSave.Cr0NpxState")
"""First and last field of FLOATING_SAVE_AREA in the CONTEXT of x86."""


def truth_of(case: UserdumpCase) -> ProcessTruth:
    assert case.truth is not None
    return case.truth


def _decodes(case: UserdumpCase) -> bool:
    return case.truth is not None and case.dump.architecture == case.truth.system.architecture


@userdump_rule(
    "TRUE-UDMP-REQUEST-001",
    "A full user dump exists only if the request asks for one",
    Level.MUST,
    Source("docs/format/user-dump.md#who-writes-it", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/user-dump.md#what-the-format-cannot-store", Grade.INFERRED),
    applies=lambda case: case.request is not None,
)
def request_makes_a_userdump(case: UserdumpCase) -> Checks:
    """Only DEBUG_DUMP_DEFAULT under profile ``legacy`` requests a full user dump. Engine 15063 makes one of every live
    process, and refuses every flag of small dumps, and a comment. Engine 29507 does not write the format. A page that
    cannot be read must fail the dump, unless IGNORE_INACCESSIBLE_MEM is set; whether that flag works here is unknown.
    """
    assert case.request is not None
    header, unreadable = case.dump.header, truth_of(case).unreadable
    asked = Format(case.request.format_flags_value & sum(Format))
    why = None
    legacy = case.request.contract == "e15063" or (
        case.request.contract == "documented" and case.request.profile == LEGACY
    )
    if case.request.qualifier_value != Qualifier.DEFAULT or not legacy:
        choice = f"profile {case.request.profile}, contract {case.request.contract}"
        why = f"{case.request.qualifier} under {choice} makes no full user dump"
    elif case.request.contract == "e15063" and of_a_dump(case):
        why = "engine 15063 writes the format of a live process only"
    elif case.request.contract == "e15063" and (asked or case.request.comment is not None):
        why = "engine 15063 refuses flags of small dumps, and a comment"
    elif unreadable and not ignores_inaccessible(asked):
        why = f"the page at {unreadable[0].start:#x} cannot be read, and no flag allows to leave it out"
    if why is None:
        yield ok("dump")
    else:
        spans = () if header is None else (header.span,)
        yield bad("dump", f"no file, because {why}", "a full user dump", *spans, fault=Fault.FORBIDDEN)


@userdump_rule(
    "TRUE-UDMP-HEADER-001",
    "MachineImageType is the target's machine",
    Level.MUST,
    Source("docs/format/user-dump.md#header", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/user-dump.md#header", Grade.DOCUMENTED),
    needs=("header",),
    applies=own,
)
def machine(case: UserdumpCase) -> Checks:
    """Readers choose the layout of every context by MachineImageType."""
    header = case.dump.header
    assert header is not None
    architecture = truth_of(case).system.architecture
    values = [number for (number, _), name in MACHINES.items() if name == architecture]
    yield from one_of(header, "header", "MachineImageType", values)


@userdump_rule(
    "TRUE-UDMP-VERSION-001",
    "The version information names the service pack, or says that guard pages are left out",
    Level.MUST,
    Source("docs/format/user-dump.md#version-information", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/user-dump.md#version-information", Grade.DOCUMENTED),
    Source("docs/format/user-dump.md#memory-regions", Grade.INFERRED),
    needs=("header", "version_info"),
    applies=own,
)
def version_information(case: UserdumpCase) -> Checks:
    """Engine 15063 writes texts, the service pack or ``none`` among them. The published record says that the regions
    leave out pages with PAGE_GUARD: a guard page cannot be read without raising its exception. A dump under the
    contract of the engine has the texts.
    """
    assert case.dump.header is not None
    record, texts = case.dump.version_info, case.dump.version_texts
    subject, span = "version information", case.dump.header.span_of("VersionInfoOffset")
    if texts is not None:
        named = dict(zip(texts[::2], texts[1::2], strict=False))
        pack = truth_of(case).system.csd_version or "none"
        if named.get(_SERVICE_PACK) == pack:
            yield ok(subject)
        else:
            yield bad(f"{subject}, {_SERVICE_PACK}", repr(pack), repr(named.get(_SERVICE_PACK)), span)
    elif record is not None and not by_an_engine(case):
        yield from same(record, subject, {"IgnoreGuardPages": 1})
    else:
        expected = "texts" if by_an_engine(case) else "texts or a record"
        yield bad(subject, expected, "none" if record is None else "a record", span, fault=Fault.MISSING)


@userdump_rule(
    "TRUE-UDMP-THREAD-001",
    "The thread records list the target's threads",
    Level.MUST,
    Source("docs/format/user-dump.md#thread-records", Grade.WITNESSED, versions=("15063",)),
    needs=("header", "threads"),
    applies=own,
)
def threads(case: UserdumpCase) -> Checks:
    """Each thread has one record, and no other record exists. In a deadlock, a missing thread may be the one that holds
    the lock.
    """
    assert case.dump.header is not None
    found = by_field(case.dump.threads, "ThreadId")
    held = [thread.thread_id for thread in truth_of(case).threads]
    yield from same_keys("thread", found, held, case.dump.header.span_of("ThreadCount"))


@userdump_rule(
    "TRUE-UDMP-THREAD-002",
    "Suspend count, priority and TEB of each thread are the target's, spare fields are 0",
    Level.MUST,
    Source("docs/format/user-dump.md#thread-records", Grade.WITNESSED, versions=("15063",)),
    needs=("threads",),
    applies=own,
)
def thread_fields(case: UserdumpCase) -> Checks:
    """Priority is signed. No reader knows a meaning of the spare fields."""
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
    "The thread records are in the order of creation",
    Level.SHOULD,
    Source("docs/format/user-dump.md#thread-records", Grade.INFERRED),
    needs=("threads",),
    applies=own,
)
def thread_order(case: UserdumpCase) -> Checks:
    """Debuggers number the threads by their place in the list. Thread 0 is then the initial one."""
    held = [thread.thread_id for thread in truth_of(case).threads]
    yield from _order("threads", held, [(record["ThreadId"], record.span) for record in case.dump.threads])


def _order(what: str, held: list[int], found: list[tuple[int, Span]]) -> Checks:
    """Check the order of ``found`` if it has the same members as ``held``; another rule judges the members."""
    if sorted(held) != sorted(number for number, _ in found):
        return
    for index, (expected, (actual, span)) in enumerate(zip(held, found, strict=True)):
        if expected != actual:
            yield bad(f"{what}, entry {index}", f"{expected:#x}", f"{actual:#x}", span)
            return
    yield ok(what, count=max(len(held), 1))


def _contexts(case: UserdumpCase) -> Iterator[tuple[str, ContextFact, ThreadContextTruth]]:
    """Each context that belongs to a thread of the target; contexts and thread records match by index."""
    held = {thread.thread_id: thread.context for thread in truth_of(case).threads}
    for record, fact in zip(case.dump.threads, case.dump.contexts, strict=False):
        truth = held.get(record["ThreadId"])
        if truth is not None:
            yield f"context of thread {record['ThreadId']:#x}", fact, truth


@userdump_rule(
    "TRUE-UDMP-CONTEXT-001",
    "ContextFlags are the target's",
    Level.MUST,
    Source("docs/format/minidump-contexts.md#parts-of-contextflags", Grade.DOCUMENTED),
    Source("docs/format/minidump-contexts.md#contextflags-in-real-files", Grade.WITNESSED, versions=("15063",)),
    needs=("threads", "contexts"),
    applies=_decodes,
)
def context_flags(case: UserdumpCase) -> Checks:
    """A debugger shows only the parts that ContextFlags name. The status bits 0xF8000000 may differ. Engine 15063 sets
    the XSTATE bit, though no extended state follows.
    """
    for subject, fact, truth in _contexts(case):
        expected, actual = truth.context_flags & ~_STATUS, fact.flags & ~_STATUS
        span = fact.record.span_of("ContextFlags")
        name = f"{subject}, ContextFlags"
        accepted = {expected} if case.dump.architecture == "arm64" else {expected, expected | _XSTATE}
        if actual in accepted:
            yield ok(name)
        else:
            yield bad(name, tuple(f"{value:#x}" for value in sorted(accepted)), f"{actual:#x}", span)


@userdump_rule(
    "TRUE-UDMP-CONTEXT-002",
    "Every register has the target's value",
    Level.MUST,
    Source("docs/format/user-dump.md#thread-contexts", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/minidump-contexts.md#amd64-layout", Grade.DOCUMENTED),
    Source("docs/format/minidump-contexts.md#x86-layout", Grade.DOCUMENTED),
    Source("docs/format/minidump-contexts.md#arm64-layout", Grade.DOCUMENTED),
    needs=("threads", "contexts"),
    applies=_decodes,
)
def registers(case: UserdumpCase) -> Checks:
    """The rule compares each thread with the context at its own index. Contexts in another order would give every
    thread the registers of another.
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
    Source("docs/format/minidump-contexts.md#amd64-floating-point-area", Grade.DOCUMENTED),
    Source("docs/format/minidump-contexts.md#x86-layout", Grade.DOCUMENTED),
    Source("docs/format/minidump-contexts.md#arm64-layout", Grade.DOCUMENTED),
    needs=("threads", "contexts"),
    applies=_decodes,
)
def floating_point(case: UserdumpCase) -> Checks:
    """The areas are FltSave of amd64, FloatSave and ExtendedRegisters of x86, and V of arm64."""
    for subject, fact, truth in _contexts(case):
        for name, span, expected in _areas(case.dump.architecture, fact, truth):
            yield from same_bytes(f"{subject}, {name}", expected, case.dump.source.read(span.start, len(span)), span)


def _areas(architecture: str | None, fact: ContextFact, truth: ThreadContextTruth) -> Iterator[tuple[str, Span, bytes]]:
    """Name, place and expected bytes of each register area that has the processor's own layout."""
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
    "Unused parts of a context are zero",
    Level.MUST,
    Source("docs/format/user-dump.md#thread-contexts", Grade.INFERRED),
    needs=("threads", "contexts"),
    applies=lambda case: _decodes(case) and case.dump.architecture in _NO_TRUTH,
)
def unused_parts(case: UserdumpCase) -> Checks:
    """A saved context of amd64 uses no home slots, vector registers, debug control or last branch fields. Other bytes
    there would be leaked memory of the writer.
    """
    names = _NO_TRUTH[case.dump.architecture or ""]
    for subject, fact, _ in _contexts(case):
        yield from zero(fact.record, subject, names, "unused in a saved context")


@userdump_rule(
    "TRUE-UDMP-MODULE-001",
    "The module records list the target's modules",
    Level.MUST,
    Source("docs/format/user-dump.md#module-records", Grade.WITNESSED, versions=("15063",)),
    needs=("header", "modules"),
    applies=own,
)
def modules(case: UserdumpCase) -> Checks:
    """Each loaded module has one record, and no other record exists. Records are matched by base address."""
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
    "SizeOfImage of each module is the target's",
    Level.MUST,
    Source("docs/format/user-dump.md#module-records", Grade.WITNESSED, versions=("15063",)),
    needs=("modules",),
    applies=own,
)
def module_sizes(case: UserdumpCase) -> Checks:
    """A reader finds the module of an address by the module's range."""
    for fact, module in _known(case):
        yield from same(fact.record, f"module {fact.base:#x}", {"SizeOfImage": module.size})


@userdump_rule(
    "TRUE-UDMP-MODULE-003",
    "The name of each module is its full path in code page 1252",
    Level.MUST,
    Source("docs/format/user-dump.md#module-records", Grade.WITNESSED, versions=("15063",)),
    Source(
        "https://learn.microsoft.com/windows/win32/api/stringapiset/nf-stringapiset-widechartomultibyte",
        Grade.DOCUMENTED,
    ),
    needs=("modules",),
    applies=own,
)
def module_names(case: UserdumpCase) -> Checks:
    """A character that the code page lacks becomes a question mark. The format flags of the request, FILTER_PATHS
    included, do not affect this format. The format says only ANSI; code page 1252 is this project's choice.
    """
    for fact, module in _known(case):
        names = ansi(module.name)
        subject = f"name of module {fact.base:#x}"
        if fact.text in names:
            yield ok(subject)
        else:
            yield bad(subject, tuple(repr(name)[1:] for name in names), repr(fact.text)[1:], fact.name)


def ansi(text: str) -> tuple[bytes, ...]:
    """The acceptable encodings of ``text`` in code page 1252.

    A character beyond the Basic Multilingual Plane has two UTF-16 units and becomes one question mark or two. The code
    page leaves five values from 0x81 to 0x9D open. A converter turns those characters into a question mark or keeps
    the byte.
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
    "The module records are in load order",
    Level.SHOULD,
    Source("docs/format/user-dump.md#module-records", Grade.INFERRED),
    needs=("modules",),
    applies=own,
)
def module_order(case: UserdumpCase) -> Checks:
    """The main image comes first, as in minidumps. Readers take the first module for the program."""
    held = [module.base for module in truth_of(case).modules]
    yield from _order("modules", held, [(module.base, module.record.span) for module in case.dump.modules])
