"""Judges captured memory against truth and request: which ranges the dump holds, and whether their bytes are right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...case import Case
from ...entitlement.duty import Duty
from ...entitlement.flags import Format, active_filter, effective
from ...memory.intervals import outside
from ...memory.page import PAGE_SIZE
from ...memory.page_compare import differing, first_difference
from ...memory.source import ByteSource
from ...model import Fault, Grade, Level, Source, Span
from ...readers.facts import MemoryRange
from ...rule import Checks, bad, ok, rule
from ...truth.region import GUARD, PRIVATE
from ..asserts import asked

if TYPE_CHECKING:
    from ...entitlement.user import Entitlement, Grant
    from ...truth.process import ProcessTruth, RegionTruth

_CHUNK = 1 << 20


_ENGINES = ("15063", "29507")


def _pages(start: int, end: int) -> int:
    """The number of pages that ``[start, end)`` touches."""
    return (end + PAGE_SIZE - 1) // PAGE_SIZE - start // PAGE_SIZE


def _required(case: Case, clause: str) -> Checks:
    """Check that every byte that the clause of that name demands is in the dump."""
    grant = case.entitlement.grant(clause)
    if grant is not None:
        yield from _captured(case, grant)


def _captured(case: Case, grant: Grant) -> Checks:
    captured = case.dump.captured()
    for piece in grant.pieces:
        holes = list(outside(captured, piece.start, piece.end))
        if not holes:
            yield ok(piece.subject, count=_pages(piece.start, piece.end))
        for start, end in holes:
            where = Span(start, end)
            expected = f"the bytes {where} ({grant.reason})"
            yield bad(piece.subject, expected, "not in the dump", fault=Fault.MISSING, memory=(where,))


@rule(
    "PAGE-REQUIRED-001",
    "Every thread's stack is in the dump",
    Level.MUST,
    Source("docs/format/minidump-captured-memory.md#stack-of-a-thread", Grade.WITNESSED, versions=_ENGINES),
    needs=("memory",),
    applies=asked,
)
def stacks(case: Case) -> Checks:
    """The stack goes from the stack pointer to StackBase. Without it a small dump gives no stack trace, its main
    purpose.
    """
    yield from _required(case, "stacks")


@rule(
    "PAGE-REQUIRED-002",
    "The code around every thread's instruction pointer is in the dump",
    Level.MUST,
    Source(
        "docs/format/minidump-captured-memory.md#instruction-window-of-a-thread",
        Grade.WITNESSED,
        versions=_ENGINES,
    ),
    needs=("memory",),
    applies=asked,
)
def instruction_windows(case: Case) -> Checks:
    """The window has 128 bytes before and after the pointer, 512 on ARM64, as far as they can be read. It shows what
    the thread was about to execute, even if the image is not available.
    """
    yield from _required(case, "instruction windows")


@rule(
    "PAGE-REQUIRED-003",
    "The code around the exception's address is in the dump",
    Level.MUST,
    Source("docs/format/minidump-captured-memory.md#window-of-the-exception", Grade.WITNESSED, versions=("29507",)),
    needs=("memory",),
    applies=asked,
)
def exception_window(case: Case) -> Checks:
    """The exception may be at another place than its thread. The window holds the instruction that failed. Where
    ExceptionAddress and the context's instruction pointer differ, only the contract of an engine demands a window.
    """
    yield from _required(case, "exception window")


@rule(
    "PAGE-REQUIRED-004",
    "A dump with full memory holds every readable page",
    Level.MUST,
    Source("docs/format/minidump-captured-memory.md#full-memory", Grade.WITNESSED, versions=_ENGINES),
    needs=("memory",),
    applies=asked,
)
def full_memory(case: Case) -> Checks:
    """A readable page is committed, not PAGE_NOACCESS and not guarded. Private, mapped and image memory all count."""
    yield from _required(case, "full memory")


_OF_EVERY_DUMP = {"stacks", "instruction windows", "exception window"}


def _by_flag(case: Case) -> list[Grant]:
    """What the request's flags and the contract's writer add to the memory of every dump."""
    return [
        grant
        for grant in case.entitlement.grants
        if grant.duty is Duty.MUST
        and not grant.clause.with_full_memory
        and grant.clause.name not in _OF_EVERY_DUMP
        and (grant.clause.flags or grant.pieces)
    ]


@rule(
    "PAGE-REQUIRED-005",
    "The dump holds all memory that a requested flag adds",
    Level.MUST,
    Source("docs/format/minidump-captured-memory.md#ranges-of-every-minidump", Grade.WITNESSED, versions=_ENGINES),
    Source("docs/format/format-flags.md#format-flags-of-user-minidumps", Grade.DOCUMENTED),
    needs=("memory",),
    applies=lambda case: asked(case) and bool(_by_flag(case)),
)
def memory_by_flag(case: Case) -> Checks:
    """Flags add indirectly referenced memory, segments, image headers, private pages, PEB and TEBs. Under the contract
    of an engine the rule also demands what this version adds at any flags, such as KUSER_SHARED_DATA.
    """
    for grant in _by_flag(case):
        yield from _captured(case, grant)


@rule(
    "PAGE-REQUIRED-006",
    "A dump with function tables holds the unwind data of every dynamic function",
    Level.MUST,
    Source("docs/format/minidump-function-tables.md#unwind-data", Grade.WITNESSED, versions=_ENGINES),
    needs=("memory",),
    applies=lambda case: asked(case) and 13 in case.dump.streams,
)
def unwind_information(case: Case) -> Checks:
    """The table holds the address of a function's unwind codes, not the codes. Without them nobody can walk the stack
    through generated code. The data are 4 bytes and the codes, not rounded up.
    """
    yield from _required(case, "unwind info")


def _is_customary(case: Case, clause: str) -> bool:
    """Whether the contract allows the memory and does not require it."""
    grant = case.entitlement.grant(clause)
    return grant is not None and grant.duty is Duty.MAY


@rule(
    "PAGE-REQUIRED-007",
    "A dump with process and thread data holds process parameters and environment",
    Level.SHOULD,
    Source("docs/format/minidump-process-data.md#process-and-thread-data", Grade.WITNESSED, versions=_ENGINES),
    needs=("memory",),
    applies=lambda case: asked(case) and _is_customary(case, "process parameters"),
)
def process_parameters(case: Case) -> Checks:
    """The dump holds RTL_USER_PROCESS_PARAMETERS, its strings, and up to 0x2000 bytes of environment. No stream holds
    the command line.
    """
    yield from _required(case, "process parameters")


@rule(
    "PAGE-FORBIDDEN-001",
    "The dump holds no memory that the request does not allow",
    Level.MUST,
    Source("docs/format/minidump-memory-ranges.md#no-other-memory", Grade.OBSERVED),
    needs=("memory",),
    applies=asked,
)
def forbidden_memory(case: Case) -> Checks:
    """A user who requests a small dump expects that it does not contain the heap with its secrets. Stacks and windows
    are exact to the byte, so a range rounded to pages is too long. Unwind data is allowed with the function tables that
    refer to it.
    """
    assert case.truth is not None
    entitlement = case.entitlement
    without = frozenset[str]() if 13 in case.dump.streams else _OF_FUNCTION_TABLES
    for item in case.dump.memory:
        yield from _forbidden(case.truth, entitlement, item, without)


_OF_FUNCTION_TABLES = frozenset({"unwind info"})


def _forbidden(truth: ProcessTruth, entitlement: Entitlement, item: MemoryRange, without: frozenset[str]) -> Checks:
    clean = True
    for start, end in entitlement.ungranted(item.start, item.end, without):
        for address, size, _ in truth.readable_runs(start, end):
            clean = False
            subject = f"memory {address:#x}..{address + size:#x}"
            yield bad(
                subject,
                "no bytes: nothing in the request allows them",
                "captured",
                _span(item, address, size),
                fault=Fault.FORBIDDEN,
            )
    if clean:
        yield ok(f"memory {item.start:#x}", count=_pages(item.start, item.end))


def _may_be_guarded(case: Case, region: RegionTruth, end: int) -> bool:
    """Whether the memory up to ``end`` is a guarded private region that the request's flag takes.

    Some writers do (docs/format/minidump-captured-memory.md#private-read-write-memory). The truth has no bytes of it.
    """
    if case.request is None or not effective(case.request) & Format.PRIVATE_READ_WRITE_MEMORY:
        return False
    return region.type == PRIVATE and bool(region.protect & GUARD) and end <= region.end


@rule(
    "PAGE-FORBIDDEN-002",
    "The dump holds no memory that cannot be read",
    Level.MUST,
    Source("docs/format/minidump-memory-ranges.md#no-other-memory", Grade.DOCUMENTED),
    needs=("memory",),
    applies=lambda case: case.truth is not None,
)
def unreadable_memory(case: Case) -> Checks:
    """A debugger cannot read free, reserved, inaccessible and guard pages. Bytes in a dump for such an address are
    invented, and hide that an access fails. PRIVATE_READ_WRITE_MEMORY may take guard pages.
    """
    assert case.truth is not None
    for item in case.dump.memory:
        at, clean = item.start, True
        readable = [(at, at + size) for at, size, _ in case.truth.readable_runs(item.start, item.end)]
        for start, end in [*readable, (item.end, item.end)]:
            if at < start:
                region = case.truth.region_at(at)
                if region is not None and _may_be_guarded(case, region, start):
                    at = end
                    continue
                clean = False
                state = (
                    "outside the user address space"
                    if region is None
                    else f"state {region.state:#x}, protect {region.protect:#x}"
                )
                span = _span(item, at, start - at)
                yield bad(f"memory {at:#x}..{start:#x}", f"no bytes: {state}", "captured", span, fault=Fault.FORBIDDEN)
            at = end
        if clean:
            yield ok(f"memory {item.start:#x}", count=_pages(item.start, item.end))


def _unfiltered(case: Case) -> bool:
    """Whether no filter may have changed a captured byte: FILTER_MEMORY of the engines changes none."""
    if case.truth is None:
        return False
    return case.request is None or not active_filter(case.request)


@rule(
    "PAGE-BYTES-001",
    "The captured bytes are the target's",
    Level.MUST,
    Source("docs/format/minidump-memory-ranges.md#captured-bytes", Grade.WITNESSED, versions=_ENGINES),
    needs=("memory",),
    applies=_unfiltered,
)
def captured_bytes(case: Case) -> Checks:
    """The rule compares every captured byte that the target could read. Bytes that come from another address look like
    memory and mislead the reader.
    """
    truth = case.truth
    assert truth is not None
    for item in sorted(case.dump.memory, key=lambda item: item.offset):
        for address, size, there in truth.readable_runs(item.start, item.end):
            place = item.offset + address - item.start
            yield from compared(case.dump.source, place, truth.contents, (address, size, there))


def compared(source: ByteSource, place: int, contents: ByteSource, run: tuple[int, int, int]) -> Checks:
    """Compare the bytes at file offset ``place`` with a run of the truth: address, size, offset in ``contents``.

    One finding for each ``_CHUNK`` bytes: the first difference.
    """
    address, size, there = run
    at = 0
    for low, high in differing(contents, there, source, place, size):
        if low < at:
            continue
        expected, actual = contents.read(there + low, high - low), source.read(place + low, high - low)
        first = low + first_difference(expected, actual)
        start, chunk = first & ~15, low - low % _CHUNK
        if at < chunk:
            yield ok(f"memory {address + at:#x}", count=_pages(address + at, address + chunk))
        at = min(chunk + _CHUNK, size)
        yield bad(
            f"memory {address + first:#x}, in page {(address + first) & ~(PAGE_SIZE - 1):#x}",
            contents.read(there + start, min(16, at - start)).hex(" "),
            source.read(place + start, min(16, at - start)).hex(" "),
            Span(place + first, place + first + 1),
        )
    if at < size:
        yield ok(f"memory {address + at:#x}", count=_pages(address + at, address + size))


def _span(item: MemoryRange, address: int, size: int) -> Span:
    """The bytes of the file that hold ``size`` bytes at ``address`` of the range."""
    start = item.offset + address - item.start
    return Span(start, start + size)
