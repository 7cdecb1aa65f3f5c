"""Judges a full user dump against truth: regions, their bytes, the debug event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...case import UserdumpCase
from ...decode import Record
from ...memory.intervals import outside
from ...memory.page import PAGE_SIZE
from ...memory.page_compare import differing_pages
from ...memory.source import ByteSource
from ...model import Fault, Grade, Level, Source, Span
from ...rule import Checks, bad, ok, own, userdump_rule
from ...truth.process import ExceptionTruth, ProcessTruth, RegionTruth
from ..asserts import same, same_bytes, zero
from .truth import truth_of

_EXCEPTION_DEBUG_EVENT: Final = 1
_BREAKPOINT: Final = 0x80000003
"""ntstatus.h STATUS_BREAKPOINT."""
_RECORD: Final = "u.Exception.ExceptionRecord."


def _held(truth: ProcessTruth) -> Iterator[tuple[int, int, RegionTruth]]:
    """Yield (start, end, region) of every readable run of pages; a run never crosses a region."""
    for region in truth.regions:
        if region.readable:
            for address, size, _ in truth.readable_runs(region.base, region.end):
                yield address, address + size, region


def _pages(start: int, end: int) -> int:
    return -(-end // PAGE_SIZE) - start // PAGE_SIZE


@userdump_rule(
    "TRUE-UDMP-REGION-001",
    "Every readable page of the target is in a region of the dump",
    Level.MUST,
    Source("docs/format/user-dump.md#who-writes-it", Grade.DOCUMENTED),
    Source("docs/format/write-dump-file.md#default-in-a-user-session", Grade.DOCUMENTED),
    needs=("regions", "memory"),
    applies=own,
)
def all_memory(case: UserdumpCase) -> Checks:
    """A page is readable if it is committed and has neither PAGE_NOACCESS nor PAGE_GUARD. Private, mapped and image
    memory count alike.
    """
    captured = case.dump.captured()
    for start, end, region in _held(truth_of(case)):
        subject = f"region {region.base:#x}"
        holes = list(outside(captured, start, end))
        if not holes:
            yield ok(subject, count=_pages(start, end))
        for low, high in holes:
            where = Span(low, high)
            yield bad(subject, f"the memory {where}", "not in the dump", fault=Fault.MISSING, memory=(where,))


@userdump_rule(
    "TRUE-UDMP-REGION-002",
    "Regions hold only readable pages",
    Level.MUST,
    Source("docs/format/user-dump.md#memory-regions", Grade.INFERRED),
    needs=("regions",),
    applies=own,
)
def only_memory(case: UserdumpCase) -> Checks:
    """Free, reserved, inaccessible and guard pages have no bytes that a debugger could read. A dump that stores such
    bytes has invented them.
    """
    truth = truth_of(case)
    for record in case.dump.regions:
        start, end = record["BaseAddress"], record["BaseAddress"] + record["RegionSize"]
        readable = sum(size for _, size, _ in truth.readable_runs(start, end))
        if readable == end - start:
            yield ok(f"region {start:#x}", count=_pages(start, end))
        else:
            expected = f"readable pages only, but {end - start - readable:#x} bytes cannot be read"
            yield bad(f"region {start:#x}", expected, f"{start:#x}..{end:#x}", record.span, fault=Fault.FORBIDDEN)


@userdump_rule(
    "TRUE-UDMP-REGION-003",
    "Each region is a region of the target, with its allocation, protection and type",
    Level.MUST,
    Source("docs/format/user-dump.md#memory-regions", Grade.DOCUMENTED),
    needs=("regions",),
    applies=own,
)
def region_fields(case: UserdumpCase) -> Checks:
    """A region is what VirtualQueryEx returns: one run of pages with equal attributes, whole. If some of its pages
    cannot be read, each readable run counts as a region.
    """
    truth = truth_of(case)
    held = {start: (end, region) for start, end, region in _held(truth)}
    for record in case.dump.regions:
        base = record["BaseAddress"]
        subject = f"region {base:#x}"
        if base not in held:
            if truth.read(base, 1) is not None:
                yield bad(f"{subject}, BaseAddress", "the start of a region of the target", f"{base:#x}",
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
    Source("docs/format/user-dump.md#memory-bytes", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/user-dump.md#who-writes-it", Grade.DOCUMENTED),
    needs=("regions", "memory"),
    applies=own,
)
def captured_bytes(case: UserdumpCase) -> Checks:
    """The rule compares every byte of every region. One wrong size shifts all bytes after it, which still look like
    memory.
    """
    truth = truth_of(case)
    for region in case.dump.memory:
        for address, size, there in truth.readable_runs(region.start, region.end):
            yield from _compare(case.dump.source, region.span(address, size).start, truth, (address, size, there))


def _compare(source: ByteSource, place: int, truth: ProcessTruth, run: tuple[int, int, int]) -> Checks:
    """Compare the bytes at file offset ``place`` with a run of the truth: address, size, offset in its memory."""
    address, size, there = run
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
            Span(place + start, place + start + length),
        )


@userdump_rule(
    "TRUE-UDMP-EVENT-001",
    "The dump has a debug event if the target has one, else a breakpoint or none",
    Level.MUST,
    Source("docs/format/user-dump.md#debug-event", Grade.WITNESSED, versions=("15063",)),
    needs=("header", "debug_event"),
    applies=own,
)
def event_presence(case: UserdumpCase) -> Checks:
    """The debug event is the event that the debugger stopped for. If the target was stopped without an event, engine
    15063 stores a breakpoint. Other writers may leave DebugEventOffset 0.
    """
    assert case.dump.header is not None
    record, exception = case.dump.debug_event, truth_of(case).exception
    span = case.dump.header.span_of("DebugEventOffset")
    by_engine = case.request is not None and case.request.contract != "documented"
    if record is None and (exception is not None or by_engine):
        why = "because the target has an exception" if exception is not None else "as E15063 stores"
        yield bad("debug event", f"an event, {why}", "none", span, fault=Fault.MISSING)
    elif record is not None and exception is None and record[f"{_RECORD}ExceptionCode"] != _BREAKPOINT:
        expected = f"none or {_BREAKPOINT:#x}, because the target has no exception"
        actual = f"{record[f'{_RECORD}ExceptionCode']:#x}"
        yield bad("debug event, ExceptionCode", expected, actual, record.span, fault=Fault.FORBIDDEN)
    else:
        yield ok("debug event")


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
    Source("docs/format/user-dump.md#debug-event", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/user-dump.md#debug-event", Grade.DOCUMENTED),
    needs=("debug_event",),
    applies=_both,
)
def event_fields(case: UserdumpCase) -> Checks:
    """EXCEPTION_DEBUG_EVENT names the process and the thread that raised the exception. Code, flags, nested record,
    address and first chance are those of the exception.
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
    "The debug event has the exception's parameters, and its padding is 0",
    Level.MUST,
    Source("docs/format/user-dump.md#debug-event", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/user-dump.md#debug-event", Grade.INFERRED),
    needs=("debug_event",),
    applies=_both,
)
def event_parameters(case: UserdumpCase) -> Checks:
    """An access violation has two parameters: 0 for a read, 1 for a write or 8 for an execution, then the address.
    Unused slots hold stale bytes in dumps by the vendor's engine.
    """
    record, exception = _event(case)
    yield from same(record, "debug event", {f"{_RECORD}NumberParameters": len(exception.information)})
    name = f"{_RECORD}ExceptionInformation"
    wrong = [
        f"[{index}] {actual:#x} for {value:#x}"
        for index, (actual, value) in enumerate(zip(record.array(name), exception.information, strict=False))
        if actual != value
    ]
    if wrong:
        shown = " ".join(f"{value:#x}" for value in exception.information)
        yield bad(f"debug event, {name}", shown, ", ".join(wrong), record.span_of(name))
    else:
        yield ok(f"debug event, {name}", count=max(1, len(exception.information)))
    padding = [name for name in record.structure.fields if name.startswith("__alignment")]
    yield from zero(record, "debug event", padding, "padding")
