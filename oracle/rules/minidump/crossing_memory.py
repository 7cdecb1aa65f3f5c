"""Judges memory regions, thread infos and thread names against other streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...case import Case
from ...decode import enumeration
from ...memory.intervals import Range, RangeSet, joined, minus
from ...model import Fault, Grade, Level, Source
from ...rule import Checks, bad, ok, rule

_TYPE: Final = enumeration("MINIDUMP_TYPE")
_STATE: Final = enumeration("MEM_STATE")
_PAGE_BITS: Final = enumeration("PAGE_PROTECTION")

_LOSSES: Final = _TYPE["MiniDumpIgnoreInaccessibleMemory"] | _TYPE["MiniDumpWithoutOptionalData"]


def _committed(case: Case, *, readable: bool) -> Iterator[Range]:
    """The committed regions; with ``readable`` only those that can be read."""
    commit, none, guard = _STATE["MEM_COMMIT"], (0, _PAGE_BITS["PAGE_NOACCESS"]), _PAGE_BITS["PAGE_GUARD"]
    for base, size, state, protect in case.dump.memory_infos.rows("BaseAddress", "RegionSize", "State", "Protect"):
        if state == commit and not (readable and (protect & 0xFF in none or protect & guard)):
            yield base, base + size


@rule(
    "XCUT-MEMORYINFO-001",
    "Every captured byte lies in a committed region",
    Level.MUST,
    Source("docs/format/minidump-memory.md#regions-of-captured-memory", Grade.OBSERVED),
    needs=("memory", "memory_info"),
    foreign_level=Level.SHOULD,
)
def captured_is_committed(case: Case) -> Checks:
    """Free and reserved addresses have no bytes. If a dump holds some, its writer invented them."""
    committed = RangeSet(_committed(case, readable=False))
    right = 0
    for item in case.dump.memory:
        if committed.covers(item.start, item.end):
            right += 1
        else:
            actual = f"{item.start:#x} to {item.end:#x}"
            yield bad(f"memory {item.start:#x}", "a range inside committed regions", actual, item.record.span,
                      fault=Fault.FORBIDDEN)  # fmt: skip
    if right:
        yield ok("memory ranges", right)


@rule(
    "XCUT-MEMORYINFO-002",
    "Each range of full memory starts where a region starts",
    Level.MUST,
    Source(
        "docs/format/minidump-memory-ranges.md#start-of-full-memory-ranges",
        Grade.WITNESSED,
        versions=("15063", "29507"),
    ),
    needs=("memory.9", "memory_info"),
    foreign_level=Level.SHOULD,
)
def ranges_start_with_regions(case: Case) -> Checks:
    """udmp-parser looks up the start of each range among the regions, and refuses the dump if it is missing. After
    memory that could not be read, a range starts where the memory can be read again.
    """
    losses = case.dump.flags & _TYPE["MiniDumpIgnoreInaccessibleMemory"]
    bases, right = set(case.dump.memory_infos.column("BaseAddress")), 0
    for item in case.dump.memory:
        if item.stream != 9:
            continue
        left_out = losses and not case.dump.covered(item.start - 1, item.start)
        if item.start in bases or left_out:
            right += 1
        else:
            span = item.record.span_of("StartOfMemoryRange")
            yield bad(f"memory {item.start:#x}", "the BaseAddress of a region", f"{item.start:#x}", span)
    if right:
        yield ok("memory ranges", right)


@rule(
    "XCUT-MEMORYINFO-003",
    "Full memory consists of exactly the readable pages of the regions",
    Level.MUST,
    Source(
        "docs/format/minidump-memory-ranges.md#completeness-of-full-memory",
        Grade.WITNESSED,
        versions=("15063", "29507"),
    ),
    needs=("header", "memory.9", "memory_info"),
    applies=lambda case: bool(case.dump.flags & _TYPE["MiniDumpWithFullMemory"]),
    foreign_level=Level.SHOULD,
)
def full_memory_is_full(case: Case) -> Checks:
    """A readable page is committed, has a protection other than 0 and PAGE_NOACCESS, and is not PAGE_GUARD. A dump that
    ignores inaccessible memory may lack some.
    """
    readable = list(joined(sorted(_committed(case, readable=True))))
    captured = case.dump.captured()
    for start, end in minus(captured, readable):
        yield bad(f"memory {start:#x}", "no bytes: the page cannot be read", f"{end - start:#x} bytes",
                  fault=Fault.FORBIDDEN)  # fmt: skip
    if not case.dump.flags & _LOSSES:
        for start, end in minus(readable, captured):
            expected = f"{end - start:#x} bytes of a readable region"
            yield bad(f"memory {start:#x}", expected, "none", fault=Fault.MISSING)
    if readable:
        yield ok("readable runs", len(readable))


@rule(
    "XCUT-THREADINFO-001",
    "The thread info list has all listed threads, in the same order",
    Level.MUST,
    Source("docs/format/minidump-threads.md#threads-of-the-info-list", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("threads", "thread.ids", "thread_info"),
    foreign_level=Level.SHOULD,
)
def thread_infos(case: Case) -> Checks:
    """Each thread has one entry. The list may also have entries of exited threads, which are not in the thread list."""
    exited = enumeration("MINIDUMP_THREAD_INFO_FLAGS")["MINIDUMP_THREAD_INFO_EXITED_THREAD"]
    rows = case.dump.thread_infos.rows("ThreadId", "DumpFlags")
    living = [(number, index) for index, (number, flags) in enumerate(rows) if not flags & exited]
    right = 0
    for index, thread in enumerate(case.dump.threads):
        if index >= len(living):
            yield bad(f"thread {thread.id:#x}", "a thread info", "none", fault=Fault.MISSING)
        elif living[index][0] == thread.id:
            right += 1
        else:
            record = case.dump.thread_infos[living[index][1]]
            actual = f"{record['ThreadId']:#x}"
            yield bad(record.path, f"thread {thread.id:#x}", actual, record.span_of("ThreadId"))
    if right:
        yield ok("threads", right)
    for _, index in living[len(case.dump.threads) :]:
        record = case.dump.thread_infos[index]
        span = record.span_of("ThreadId")
        yield bad(record.path, "a listed thread", f"{record['ThreadId']:#x}", span, fault=Fault.FORBIDDEN)


@rule(
    "XCUT-THREADNAMES-001",
    "Every thread name belongs to a listed thread",
    Level.MUST,
    Source("docs/format/minidump-threads.md#threads-of-the-name-list", Grade.WITNESSED, versions=("29507",)),
    needs=("threads", "thread.ids", "thread_names"),
    foreign_level=Level.SHOULD,
)
def named_threads(case: Case) -> Checks:
    """A reader cannot show the name of an unlisted thread. Usually such a name belongs to a listed thread that then has
    none.
    """
    ids = {thread.id for thread in case.dump.threads}
    for item in case.dump.thread_names:
        number = item.record["ThreadId"]
        if number in ids:
            yield ok(f"name of thread {number:#x}")
        else:
            span = item.record.span_of("ThreadId")
            yield bad(item.record.path, "the id of a listed thread", f"{number:#x}", span)
