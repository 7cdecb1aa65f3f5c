"""Against truth and request: which memory the dump holds, and whether its bytes are the target's."""

from __future__ import annotations

from ...case import Case
from ...entitlement.flags import Format, effective
from ...entitlement.user import Entitlement, outside
from ...memory.page import PAGE_SIZE
from ...memory.page_compare import differing, first_difference
from ...memory.source import ByteSource
from ...model import Fault, Grade, Level, Source, Span
from ...readers.facts import MemoryRange
from ...rule import Checks, bad, ok, rule
from ...truth.process import ProcessTruth
from ..asserts import TRUTH, asked

_SMALL = Source("spec user-mode 2.3: 461 threads of 44 real dumps", Grade.OBSERVED)
_FULL = Source(
    "learn.microsoft.com DEBUG_FORMAT_XXX: all accessible committed pages; spec user-mode 2.4", Grade.DOCUMENTED
)
_CHUNK = 1 << 20


def _pages(start: int, end: int) -> int:
    """How many pages ``[start, end)`` touches."""
    return (end + PAGE_SIZE - 1) // PAGE_SIZE - start // PAGE_SIZE


def _required(case: Case, clause: str) -> Checks:
    """Every byte that the clause demands is in the dump."""
    grant = case.entitlement.grant(clause)
    captured = case.dump.captured()
    for piece in grant.pieces if grant else ():
        holes = list(outside(captured, piece.start, piece.end))
        if not holes:
            yield ok(piece.subject, count=_pages(piece.start, piece.end))
        for start, end in holes:
            where = Span(start, end)
            yield bad(piece.subject, f"the bytes {where}", "not in the dump", fault=Fault.MISSING, memory=(where,))


@rule("PAGE-REQUIRED-001", "Every thread's stack is in the dump", Level.MUST, _SMALL, needs=("memory",), applies=asked)
def stacks(case: Case) -> Checks:
    """From the stack pointer to StackBase: without it there is no stack trace, which is what a small dump is for."""
    yield from _required(case, "stacks")


@rule(
    "PAGE-REQUIRED-002",
    "The code around every thread's instruction pointer is in the dump",
    Level.MUST,
    _SMALL,
    needs=("memory",),
    applies=asked,
)
def instruction_windows(case: Case) -> Checks:
    """128 bytes before and after, where they can be read: what the thread was about to execute, even where the image
    cannot be found any more.
    """
    yield from _required(case, "instruction windows")


@rule(
    "PAGE-REQUIRED-003",
    "The code around the exception's instruction pointer is in the dump",
    Level.MUST,
    Source("spec user-mode 2.3: 36 of 36 files by dbghelp 6.1 to 10.0", Grade.OBSERVED),
    needs=("memory",),
    applies=asked,
)
def exception_window(case: Case) -> Checks:
    """The exception's own context may stand elsewhere than its thread's: this is the instruction that failed."""
    yield from _required(case, "exception window")


@rule(
    "PAGE-REQUIRED-004",
    "Every readable page is in a dump with full memory",
    Level.MUST,
    _FULL,
    needs=("memory",),
    applies=asked,
)
def full_memory(case: Case) -> Checks:
    """Committed, not PAGE_NOACCESS, not guarded; private, mapped and image memory alike."""
    yield from _required(case, "full memory")


_BY_FLAG = (
    "indirect memory",
    "data segments",
    "code segments",
    "module headers",
    "private read-write memory",
    "process and thread data",
)


@rule(
    "PAGE-REQUIRED-005",
    "The memory that a flag adds is in the dump",
    Level.MUST,
    Source("learn.microsoft.com DEBUG_FORMAT_XXX; spec user-mode 2.4", Grade.DOCUMENTED),
    needs=("memory",),
    applies=lambda case: asked(case) and any(case.entitlement.grant(clause) for clause in _BY_FLAG),
)
def memory_by_flag(case: Case) -> Checks:
    """Indirectly referenced memory, segments, image headers, private pages, PEB and TEBs: each by its flag."""
    for clause in _BY_FLAG:
        yield from _required(case, clause)


@rule(
    "PAGE-REQUIRED-006",
    "The unwind information of every dynamic function is in a dump with function tables",
    Level.MUST,
    Source("spec user-mode 2.3, 3.14: 7876 of 7876 entries of 3 files", Grade.OBSERVED),
    needs=("memory",),
    applies=lambda case: asked(case) and 13 in case.dump.streams,
)
def unwind_information(case: Case) -> Checks:
    """The table says where a function's unwind codes are, not what they are: without them the stack cannot be walked
    through generated code. Four bytes and the codes, not rounded up.
    """
    yield from _required(case, "unwind info")


@rule(
    "PAGE-REQUIRED-007",
    "Process parameters and environment are in a dump with process and thread data",
    Level.SHOULD,
    Source("spec user-mode 2.5: 4 real dumps", Grade.OBSERVED),
    needs=("memory",),
    applies=lambda case: asked(case) and case.entitlement.grant("process parameters") is not None,
)
def process_parameters(case: Case) -> Checks:
    """RTL_USER_PROCESS_PARAMETERS, the strings that it names, and up to 0x2000 bytes of environment: the command line
    is in no stream, only here.
    """
    yield from _required(case, "process parameters")


@rule(
    "PAGE-FORBIDDEN-001",
    "No memory is in the dump that the request does not entitle it to",
    Level.MUST,
    Source("learn.microsoft.com DEBUG_FORMAT_XXX; spec user-mode 2.3, 2.4: closure", Grade.OBSERVED),
    needs=("memory",),
    applies=asked,
)
def forbidden_memory(case: Case) -> Checks:
    """Whoever asks for a small dump trusts that the heap, with all its secrets, stays on the machine. Stacks and
    windows are named to the byte, so a range rounded to pages is too much. Unwind information comes with the function
    tables that refer to it.
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
                "no such bytes: no clause names them",
                "captured",
                _span(item, address, size),
                fault=Fault.FORBIDDEN,
            )
    if clean:
        yield ok(f"memory {item.start:#x}", count=_pages(item.start, item.end))


@rule(
    "PAGE-FORBIDDEN-002",
    "No memory is in the dump that nobody could have read",
    Level.MUST,
    Source("learn.microsoft.com MINIDUMP_TYPE; spec user-mode 2.4", Grade.DOCUMENTED),
    TRUTH,
    needs=("memory",),
    applies=lambda case: case.truth is not None,
)
def unreadable_memory(case: Case) -> Checks:
    """Free, reserved, inaccessible and guard pages have no bytes that a debugger can read. Bytes in a dump for such an
    address are invented, and hide that the access was impossible.
    """
    assert case.truth is not None
    for item in case.dump.memory:
        at, clean = item.start, True
        readable = [(at, at + size) for at, size, _ in case.truth.readable_runs(item.start, item.end)]
        for start, end in [*readable, (item.end, item.end)]:
            if at < start:
                clean = False
                region = case.truth.region_at(at)
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
    if case.truth is None:
        return False
    return case.request is None or not effective(case.request) & (Format.FILTER_MEMORY | Format.FILTER_TRIAGE)


@rule(
    "PAGE-BYTES-001",
    "The captured bytes are the target's",
    Level.MUST,
    Source("learn.microsoft.com MINIDUMP_MEMORY_DESCRIPTOR; spec user-mode V50", Grade.DOCUMENTED),
    TRUTH,
    needs=("memory",),
    applies=_unfiltered,
)
def captured_bytes(case: Case) -> Checks:
    """Every byte of every captured page that the target could read. Bytes that are shifted by one range, or come from
    another address, look like memory and mislead whoever reads them.
    """
    assert case.truth is not None
    for item in case.dump.memory:
        for run in case.truth.readable_runs(item.start, item.end):
            yield from _compare(case.dump.source, item, case.truth.contents, run)


def _compare(source: ByteSource, item: MemoryRange, contents: ByteSource, run: tuple[int, int, int]) -> Checks:
    """One finding in each ``_CHUNK`` bytes: where they first differ. ``run`` is one of readable memory."""
    address, size, there = run
    place = item.offset + address - item.start
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
            _span(item, address + first, 1),
        )
    if at < size:
        yield ok(f"memory {address + at:#x}", count=_pages(address + at, address + size))


def _span(item: MemoryRange, address: int, size: int) -> Span:
    """Where in the file ``size`` bytes of the range at ``address`` are."""
    start = item.offset + address - item.start
    return Span(start, start + size)
