"""What the map of the address space and the lists beside the threads say against the rest."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from ...case import Case
from ...decode import Record, enumeration
from ...model import Fault, Grade, Level, Source
from ...rule import Checks, bad, ok, rule

_TYPE: Final = enumeration("MINIDUMP_TYPE")
_STATE: Final = enumeration("MEM_STATE")
_PAGE_BITS: Final = enumeration("PAGE_PROTECTION")
_IMAGE: Final = enumeration("MEM_TYPE")["MEM_IMAGE"]

_LOSSES: Final = _TYPE["MiniDumpIgnoreInaccessibleMemory"] | _TYPE["MiniDumpWithoutOptionalData"]

Runs = list[tuple[int, int]]


def _merged(records: list[Record]) -> Runs:
    runs: Runs = []
    for record in sorted(records, key=lambda record: record["BaseAddress"]):
        start, end = record["BaseAddress"], record["BaseAddress"] + record["RegionSize"]
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((start, end))
    return runs


def _readable(record: Record) -> bool:
    protect = record["Protect"]
    return (
        record["State"] == _STATE["MEM_COMMIT"]
        and protect & 0xFF not in {0, _PAGE_BITS["PAGE_NOACCESS"]}
        and not protect & _PAGE_BITS["PAGE_GUARD"]
    )


def _minus(runs: Runs, others: Runs) -> Runs:
    """What of ``runs`` lies in none of ``others``; both sorted and disjoint. One sweep."""
    rest: Runs = []
    index = 0
    for start, end in runs:
        while index < len(others) and others[index][1] <= start:
            index += 1
        at, k = start, index
        while k < len(others) and others[k][0] < end:
            if others[k][0] > at:
                rest.append((at, others[k][0]))
            at = max(at, others[k][1])
            k += 1
        if at < end:
            rest.append((at, end))
    return rest


@rule(
    "XCUT-MEMORYINFO-001",
    "Every captured byte lies in a committed region",
    Level.MUST,
    Source("spec user-mode 4 V37: 3 of 3 files", Grade.OBSERVED),
    needs=("memory", "memory_info"),
)
def captured_is_committed(case: Case) -> Checks:
    """Free and reserved addresses have no bytes: a dump that holds some made them up."""
    committed = _merged([record for record in case.dump.memory_infos if record["State"] == _STATE["MEM_COMMIT"]])
    starts = [start for start, _ in committed]
    for item in case.dump.memory:
        index = bisect_right(starts, item.start) - 1
        if index >= 0 and item.end <= committed[index][1]:
            yield ok(f"memory {item.start:#x}")
        else:
            actual = f"{item.start:#x} to {item.end:#x}"
            yield bad(f"memory {item.start:#x}", "a range inside committed regions", actual, item.record.span,
                      fault=Fault.FORBIDDEN)  # fmt: skip


@rule(
    "XCUT-MEMORYINFO-002",
    "Each range of full memory starts where a region starts",
    Level.MUST,
    Source("0vercl0k/udmp-parser src/lib/udmp-parser.h; spec user-mode 4 V38", Grade.INFERRED),
    needs=("memory.9", "memory_info"),
    foreign_level=Level.SHOULD,
)
def ranges_start_with_regions(case: Case) -> Checks:
    """udmp-parser looks each range's start up among the regions and refuses the dump when it is not there. Behind
    memory that was left out because it could not be read a range starts where it can.
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
    "Full memory is every readable page that the regions name, and no other",
    Level.MUST,
    Source("MiniDumpWithFullMemory: all accessible memory; spec user-mode 2.4, 4 V39", Grade.DOCUMENTED),
    needs=("header", "memory.9", "memory_info"),
    applies=lambda case: bool(case.dump.flags & _TYPE["MiniDumpWithFullMemory"]),
    foreign_level=Level.SHOULD,
)
def full_memory_is_full(case: Case) -> Checks:
    """Committed, protection neither 0 nor PAGE_NOACCESS, not PAGE_GUARD: those pages and only those. A dump that
    ignores inaccessible memory may lack some.
    """
    readable = _merged([record for record in case.dump.memory_infos if _readable(record)])
    captured = case.dump.captured()
    for start, end in _minus(captured, readable):
        yield bad(f"memory {start:#x}", "no bytes: a page that cannot be read", f"{end - start:#x} bytes",
                  fault=Fault.FORBIDDEN)  # fmt: skip
    if not case.dump.flags & _LOSSES:
        for start, end in _minus(readable, captured):
            expected = f"{end - start:#x} bytes of a readable region"
            yield bad(f"memory {start:#x}", expected, "none", fault=Fault.MISSING)
    if readable:
        yield ok("readable runs", len(readable))


@rule(
    "XCUT-MEMORYINFO-004",
    "Every module lies in image regions of its own allocation",
    Level.SHOULD,
    Source("spec user-mode 4 V41: 3 of 3 files", Grade.OBSERVED),
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
    "The thread infos are of the listed threads, all of them, in their order",
    Level.MUST,
    Source("spec user-mode 2.4, 4 V42: 2 of 2 files", Grade.OBSERVED),
    needs=("threads", "thread.ids", "thread_info"),
    foreign_level=Level.SHOULD,
)
def thread_infos(case: Case) -> Checks:
    """One entry a thread. Threads that have exited may have entries behind; they are in no thread list."""
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
    "Every name is of a listed thread",
    Level.MUST,
    Source("spec user-mode 4 V43: 6 of 6 files", Grade.OBSERVED),
    needs=("threads", "thread.ids", "thread_names"),
    foreign_level=Level.SHOULD,
)
def named_threads(case: Case) -> Checks:
    """A name without a thread shows nowhere; it is usually another thread's that lost its own."""
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
    "The contexts have the size that XStateData announces",
    Level.MUST,
    Source(
        "chromium/crashpad minidump/minidump_misc_info_writer.cc; spec user-mode 4 V35: 2 of 2 files", Grade.OBSERVED
    ),
    needs=("misc_info", "contexts"),
    applies=lambda case: case.dump.misc_info is not None and case.dump.misc_info["XStateData.SizeOfInfo"] != 0,
)
def xstate_size(case: Case) -> Checks:
    """With XStateData the debugger takes ContextSize for every context; another size makes the dump invalid to it."""
    misc = case.dump.misc_info
    assert misc is not None
    size = misc["XStateData.ContextSize"]
    contexts = [(f"context of thread {thread.id:#x}", thread.record) for thread in case.dump.threads]
    if case.truth is not None and case.dump.exception is not None:  # Crashpad's may be longer than its threads'
        contexts.append(("context of the exception", case.dump.exception.record))
    for subject, record in contexts:
        actual = record["ThreadContext.DataSize"]
        if actual == size:
            yield ok(subject)
        else:
            yield bad(subject, f"{size} bytes", str(actual), record.span_of("ThreadContext.DataSize"))


@rule(
    "XCUT-SYSTEM-001",
    "Both streams that count processors agree",
    Level.SHOULD,
    Source("spec user-mode 3.13: 17 of 17 files", Grade.OBSERVED),
    needs=("system_info", "system_memory_info"),
)
def processor_counts(case: Case) -> Checks:
    """SystemInfo has 8 bits for the number, SystemMemoryInfo 32; below 256 they say the same."""
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
    "The process was created before the dump",
    Level.SHOULD,
    Source("spec user-mode 8: 44 of 44 Microsoft files", Grade.OBSERVED),
    needs=("header", "misc_info"),
    applies=lambda case: case.dump.misc_info is not None and bool(case.dump.misc_info["Flags1"] & 2),
)
def created_before(case: Case) -> Checks:
    """Both are time_t in 32 bits."""
    header, misc = case.dump.header, case.dump.misc_info
    assert header is not None
    assert misc is not None
    if misc["ProcessCreateTime"] <= header["TimeDateStamp"]:
        yield ok("ProcessCreateTime")
    else:
        expected = f"at most {header['TimeDateStamp']:#x}, the dump's time"
        actual = f"{misc['ProcessCreateTime']:#x}"
        yield bad("ProcessCreateTime", expected, actual, misc.span_of("ProcessCreateTime"))
