"""Judges memory regions, thread infos, thread names and processor state against other streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ...case import Case
from ...decode import Record, enumeration
from ...memory.intervals import Range, RangeSet, joined, minus
from ...model import Fault, Grade, Level, Source
from ...rule import Checks, bad, ok, rule

_TYPE: Final = enumeration("MINIDUMP_TYPE")
_STATE: Final = enumeration("MEM_STATE")
_PAGE_BITS: Final = enumeration("PAGE_PROTECTION")
_IMAGE: Final = enumeration("MEM_TYPE")["MEM_IMAGE"]

_LOSSES: Final = _TYPE["MiniDumpIgnoreInaccessibleMemory"] | _TYPE["MiniDumpWithoutOptionalData"]


def _ranges(records: Iterable[Record]) -> Iterator[Range]:
    return ((record["BaseAddress"], record["BaseAddress"] + record["RegionSize"]) for record in records)


def _readable(record: Record) -> bool:
    protect = record["Protect"]
    return (
        record["State"] == _STATE["MEM_COMMIT"]
        and protect & 0xFF not in {0, _PAGE_BITS["PAGE_NOACCESS"]}
        and not protect & _PAGE_BITS["PAGE_GUARD"]
    )


@rule(
    "XCUT-MEMORYINFO-001",
    "Every captured byte lies in a committed region",
    Level.MUST,
    Source("docs/format/minidump-memory.md#regions-of-captured-memory", Grade.OBSERVED),
    needs=("memory", "memory_info"),
)
def captured_is_committed(case: Case) -> Checks:
    """Free and reserved addresses have no bytes. If a dump holds some, its writer invented them."""
    committed = RangeSet(
        _ranges(record for record in case.dump.memory_infos if record["State"] == _STATE["MEM_COMMIT"])
    )
    for item in case.dump.memory:
        if committed.covers(item.start, item.end):
            yield ok(f"memory {item.start:#x}")
        else:
            actual = f"{item.start:#x} to {item.end:#x}"
            yield bad(f"memory {item.start:#x}", "a range inside committed regions", actual, item.record.span,
                      fault=Fault.FORBIDDEN)  # fmt: skip


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
    bases = {record["BaseAddress"] for record in case.dump.memory_infos}
    for item in case.dump.memory:
        if item.stream != 9:
            continue
        left_out = losses and not case.dump.covered(item.start - 1, item.start)
        if item.start in bases or left_out:
            yield ok(f"memory {item.start:#x}")
        else:
            span = item.record.span_of("StartOfMemoryRange")
            yield bad(f"memory {item.start:#x}", "the BaseAddress of a region", f"{item.start:#x}", span)


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
    readable = list(joined(sorted(_ranges(record for record in case.dump.memory_infos if _readable(record)))))
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
    "XCUT-MEMORYINFO-004",
    "Every module lies in image regions of its own allocation",
    Level.SHOULD,
    Source("docs/format/minidump-memory.md#image-regions", Grade.OBSERVED),
    needs=("modules", "memory_info"),
)
def modules_are_images(case: Case) -> Checks:
    """The MEM_IMAGE regions whose AllocationBase is the module's base add up to SizeOfImage."""
    sizes: dict[int, int] = {}
    for record in case.dump.memory_infos:
        if record["Type"] == _IMAGE:
            sizes[record["AllocationBase"]] = sizes.get(record["AllocationBase"], 0) + record["RegionSize"]
    for module in case.dump.modules:
        actual = sizes.get(module.base, 0)
        if actual == -(-module.size // 0x1000) * 0x1000:
            yield ok(module.record.path)
        else:
            span = module.record.span_of("SizeOfImage")
            yield bad(module.record.path, f"{module.size:#x} bytes of image regions", f"{actual:#x}", span)


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
    living = [record for record in case.dump.thread_infos if not record["DumpFlags"] & exited]
    for index, thread in enumerate(case.dump.threads):
        if index >= len(living):
            yield bad(f"thread {thread.id:#x}", "a thread info", "none", fault=Fault.MISSING)
        elif living[index]["ThreadId"] == thread.id:
            yield ok(f"thread {thread.id:#x}")
        else:
            actual = f"{living[index]['ThreadId']:#x}"
            yield bad(living[index].path, f"thread {thread.id:#x}", actual, living[index].span_of("ThreadId"))
    for record in living[len(case.dump.threads) :]:
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


@rule(
    "XCUT-XSTATE-001",
    "The contexts have the size in XStateData",
    Level.MUST,
    Source("docs/format/minidump-contexts.md#extended-state-description", Grade.OBSERVED),
    needs=("misc_info", "contexts"),
    applies=lambda case: case.dump.misc_info is not None and case.dump.misc_info["XStateData.SizeOfInfo"] != 0,
)
def xstate_size(case: Case) -> Checks:
    """With XStateData a debugger takes ContextSize for every context. Crashpad's authors found that another size makes
    the dump invalid.
    """
    misc = case.dump.misc_info
    assert misc is not None
    size = misc["XStateData.ContextSize"]
    contexts = [(f"context of thread {thread.id:#x}", thread.record) for thread in case.dump.threads]
    if case.truth is not None and case.dump.exception is not None:  # Crashpad's may be longer than those of its threads
        contexts.append(("context of the exception", case.dump.exception.record))
    for subject, record in contexts:
        actual = record["ThreadContext.DataSize"]
        if actual == size:
            yield ok(subject)
        else:
            yield bad(subject, f"{size} bytes", str(actual), record.span_of("ThreadContext.DataSize"))


@rule(
    "XCUT-SYSTEM-001",
    "SystemInfo and SystemMemoryInfo agree on the number of processors",
    Level.SHOULD,
    Source("docs/format/minidump-system.md#values-of-system-memory-info", Grade.OBSERVED),
    needs=("system_info", "system_memory_info"),
)
def processor_counts(case: Case) -> Checks:
    """SystemInfo has 8 bits for the number, SystemMemoryInfo 32. Below 256 the numbers are equal."""
    info, memory = case.dump.system_info, case.dump.system_memory_info
    assert info is not None
    assert memory is not None
    wide, narrow = memory["BasicInfo.NumberOfProcessors"], info["NumberOfProcessors"]
    if wide > 0xFF or wide == narrow:
        yield ok("NumberOfProcessors")
    else:
        span = memory.span_of("BasicInfo.NumberOfProcessors")
        yield bad("NumberOfProcessors", f"{narrow}, as in SystemInfo", str(wide), span)


@rule(
    "XCUT-TIME-001",
    "The process was not created after the dump",
    Level.SHOULD,
    Source("docs/format/minidump-container.md#timedatestamp", Grade.OBSERVED),
    needs=("header", "misc_info"),
    applies=lambda case: case.dump.misc_info is not None and bool(case.dump.misc_info["Flags1"] & 2),
)
def created_before(case: Case) -> Checks:
    """The times of process creation and dump are 32-bit time_t values."""
    header, misc = case.dump.header, case.dump.misc_info
    assert header is not None
    assert misc is not None
    if misc["ProcessCreateTime"] <= header["TimeDateStamp"]:
        yield ok("ProcessCreateTime")
    else:
        expected = f"at most {header['TimeDateStamp']:#x}, the dump's time"
        actual = f"{misc['ProcessCreateTime']:#x}"
        yield bad("ProcessCreateTime", expected, actual, misc.span_of("ProcessCreateTime"))
