"""Legacy full user dumps against truth: regions, their bytes, the debug event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...case import UserdumpCase
from ...decode import Record
from ...entitlement.user import outside
from ...memory.page import PAGE_SIZE
from ...memory.page_compare import differing_pages
from ...memory.source import ByteSource
from ...model import Fault, Grade, Level, Source, Span
from ...readers.userdump_facts import CapturedRegion
from ...rule import Checks, bad, ok, own, userdump_rule
from ...truth.process import ExceptionTruth, ProcessTruth, RegionTruth
from ..asserts import TRUTH, same, same_bytes, zero
from .header import MEANING
from .truth import truth_of

_ALL = Source(
    "learn.microsoft.com user-mode dump files: a full user dump has the whole memory of the process; "
    "spec user-mode 1.4, 2.6",
    Grade.DOCUMENTED,
)
_REGION = Source("winnt.h MEMORY_BASIC_INFORMATION; spec user-mode 2.6", Grade.DOCUMENTED)
_EVENT = Source("minwinbase.h DEBUG_EVENT, EXCEPTION_DEBUG_INFO; spec user-mode 2.6", Grade.DOCUMENTED)
_EXCEPTION_DEBUG_EVENT: Final = 1
_RECORD: Final = "u.Exception.ExceptionRecord."


def _held(truth: ProcessTruth) -> Iterator[tuple[int, int, RegionTruth]]:
    """Every run of pages that can be read inside one region of the target: start, end, region."""
    for region in truth.regions:
        if region.readable:
            for address, size, _ in truth.readable_runs(region.base, region.end):
                yield address, address + size, region


def _pages(start: int, end: int) -> int:
    return -(-end // PAGE_SIZE) - start // PAGE_SIZE


@userdump_rule(
    "TRUE-UDMP-REGION-001",
    "Every page that a debugger can read is in a region of the dump",
    Level.MUST,
    _ALL,
    needs=("regions", "memory"),
    applies=own,
)
def all_memory(case: UserdumpCase) -> Checks:
    """Committed, not PAGE_NOACCESS, not guarded; private, mapped and image memory alike."""
    captured = case.dump.captured()
    for start, end, region in _held(truth_of(case)):
        subject = f"region {region.base:#x}"
        holes = list(outside(captured, start, end))
        if not holes:
            yield ok(subject, count=_pages(start, end))
        for low, high in holes:
            where = Span(low, high)
            yield bad(subject, f"the bytes {where}", "not in the dump", fault=Fault.MISSING, memory=(where,))


@userdump_rule(
    "TRUE-UDMP-REGION-002",
    "No region is in the dump that a debugger could not have read",
    Level.MUST,
    MEANING,
    TRUTH,
    needs=("regions",),
    applies=own,
)
def only_memory(case: UserdumpCase) -> Checks:
    """Free, reserved, inaccessible and guard pages have no bytes. Those that a dump has for them are invented."""
    truth = truth_of(case)
    for record in case.dump.regions:
        start, end = record["BaseAddress"], record["BaseAddress"] + record["RegionSize"]
        readable = sum(size for _, size, _ in truth.readable_runs(start, end))
        if readable == end - start:
            yield ok(f"region {start:#x}", count=_pages(start, end))
        else:
            expected = f"no region where nothing can be read: {end - start - readable:#x} bytes of this one"
            yield bad(f"region {start:#x}", expected, f"{start:#x}..{end:#x}", record.span, fault=Fault.FORBIDDEN)


@userdump_rule(
    "TRUE-UDMP-REGION-003",
    "Each region is one of the target's, with its allocation, protection and type",
    Level.MUST,
    _REGION,
    TRUTH,
    needs=("regions",),
    applies=own,
)
def region_fields(case: UserdumpCase) -> Checks:
    """What VirtualQueryEx says: a run of pages alike in every respect, no more and no less of it. Of a region of which
    some pages cannot be read, each run that can.
    """
    truth = truth_of(case)
    held = {start: (end, region) for start, end, region in _held(truth)}
    for record in case.dump.regions:
        base = record["BaseAddress"]
        subject = f"region {base:#x}"
        if base not in held:
            if truth.read(base, 1) is not None:
                yield bad(f"{subject}, BaseAddress", "where a region of the target begins", f"{base:#x}",
                          record.span_of("BaseAddress"))  # fmt: skip
            continue
        end, region = held[base]
        expected = {
            "RegionSize": end - base,
            "AllocationBase": region.allocation_base,
            "AllocationProtect": region.allocation_protect,
            "State": region.state,
            "Protect": region.protect,
            "Type": region.type,
        }
        yield from same(record, subject, expected)
        if case.dump.bits == 64:
            yield from zero(record, subject, ("__alignment1", "__alignment2"), "padding")


@userdump_rule(
    "TRUE-UDMP-MEMORY-001",
    "The captured bytes are the target's",
    Level.MUST,
    _ALL,
    TRUTH,
    needs=("regions", "memory"),
    applies=own,
)
def captured_bytes(case: UserdumpCase) -> Checks:
    """Every byte of every region. One size that is wrong shifts all that follows: it looks like memory, and misleads
    whoever reads it.
    """
    for region in case.dump.memory:
        yield from _compare(case.dump.source, region, truth_of(case))


def _compare(source: ByteSource, region: CapturedRegion, truth: ProcessTruth) -> Checks:
    for address, size, there in truth.readable_runs(region.start, region.end):
        place = region.span(address, size).start
        wrong = list(differing_pages(source, place, truth.contents, there, size))
        if _pages(address, address + size) > len(wrong):
            yield ok(f"memory {address:#x}", count=_pages(address, address + size) - len(wrong))
        for index in wrong:
            start = index * PAGE_SIZE
            length = min(PAGE_SIZE, size - start)
            yield from same_bytes(
                f"memory, page {address + start:#x}",
                truth.contents.read(there + start, length),
                source.read(place + start, length),
                region.span(address + start, length),
            )


@userdump_rule(
    "TRUE-UDMP-EVENT-001",
    "There is a debug event exactly where the target has one",
    Level.MUST,
    MEANING,
    TRUTH,
    needs=("header", "debug_event"),
    applies=own,
)
def event_presence(case: UserdumpCase) -> Checks:
    """The event that the debugger stopped for. A target that was only stopped has none, and DebugEventOffset is 0."""
    assert case.dump.header is not None
    record, exception = case.dump.debug_event, truth_of(case).exception
    span = case.dump.header.span_of("DebugEventOffset")
    if (record is None) == (exception is None):
        yield ok("debug event")
    elif record is None:
        yield bad("debug event", "one: the target stopped for an exception", "none", span, fault=Fault.MISSING)
    else:
        yield bad("debug event", "none: no exception", "one", record.span, fault=Fault.FORBIDDEN)


def _both(case: UserdumpCase) -> bool:
    return case.truth is not None and case.truth.exception is not None and case.dump.debug_event is not None


def _event(case: UserdumpCase) -> tuple[Record, ExceptionTruth]:
    record, exception = case.dump.debug_event, truth_of(case).exception
    assert record is not None
    assert exception is not None
    return record, exception


@userdump_rule(
    "TRUE-UDMP-EVENT-002",
    "The debug event is the target's exception",
    Level.MUST,
    _EVENT,
    TRUTH,
    needs=("debug_event",),
    applies=_both,
)
def event_fields(case: UserdumpCase) -> Checks:
    """EXCEPTION_DEBUG_EVENT of the process and the thread that raised it; code, flags, nested record and address; and
    whether it was the first chance.
    """
    record, exception = _event(case)
    expected = {
        "dwDebugEventCode": _EXCEPTION_DEBUG_EVENT,
        "dwProcessId": truth_of(case).process.process_id,
        "dwThreadId": exception.thread_id,
        f"{_RECORD}ExceptionCode": exception.code,
        f"{_RECORD}ExceptionFlags": exception.flags,
        f"{_RECORD}ExceptionRecord": exception.record,
        f"{_RECORD}ExceptionAddress": exception.address,
        "u.Exception.dwFirstChance": int(exception.first_chance),
    }
    yield from same(record, "debug event", expected)


@userdump_rule(
    "TRUE-UDMP-EVENT-003",
    "The debug event has the exception's parameters, and zeros behind them and in its padding",
    Level.MUST,
    _EVENT,
    TRUTH,
    needs=("debug_event",),
    applies=_both,
)
def event_parameters(case: UserdumpCase) -> Checks:
    """An access violation has two: 0 read, 1 write or 8 execute, and the address. What else stands in the structure
    would be the writer's own memory.
    """
    record, exception = _event(case)
    yield from same(record, "debug event", {f"{_RECORD}NumberParameters": len(exception.information)})
    name = f"{_RECORD}ExceptionInformation"
    expected = [*exception.information, *[0] * (15 - len(exception.information))]
    wrong = [
        f"[{index}] {actual:#x} for {value:#x}"
        for index, (actual, value) in enumerate(zip(record.array(name), expected, strict=True))
        if actual != value
    ]
    if wrong:
        shown = " ".join(f"{value:#x}" for value in exception.information) or "no parameter"
        yield bad(f"debug event, {name}", f"{shown}, then zeros", ", ".join(wrong), record.span_of(name))
    else:
        yield ok(f"debug event, {name}", count=15)
    padding = [name for name in record.structure.fields if name.startswith("__alignment")]
    yield from zero(record, "debug event", padding, "padding")
