"""Judges the lists of a full user dump by themselves: threads, modules, regions, memory, debug event."""

from __future__ import annotations

from itertools import pairwise

from ...case import UserdumpCase
from ...decode import enumeration
from ...memory.page import PAGE_SIZE
from ...model import Grade, Level, Source, Span
from ...readers.architectures import ARCHITECTURES
from ...rule import Checks, bad, ok, userdump_rule


@userdump_rule(
    "UDMP-THREAD-001",
    "The file holds ThreadCount thread records",
    Level.MUST,
    Source("docs/format/user-dump.md#thread-records", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/user-dump.md#thread-records", Grade.DOCUMENTED),
    needs=("header",),
    reports=("userdump.threads",),
)
def threads_inside(case: UserdumpCase) -> Checks:
    """ThreadStateOffset leads to the records: 80 bytes each, 48 for a 32-bit target. A reader that trusts the count
    reads beyond the end of the file.
    """
    if case.dump.threads:
        yield ok("threads", len(case.dump.threads))


@userdump_rule(
    "UDMP-THREAD-002",
    "Thread ids are unique and not 0",
    Level.MUST,
    Source("docs/format/user-dump.md#thread-records", Grade.INFERRED),
    needs=("threads",),
)
def thread_ids(case: UserdumpCase) -> Checks:
    """A debugger finds a thread by its id. 0 is the id of the idle thread, which belongs to no user process."""
    seen: set[int] = set()
    for record in case.dump.threads:
        number = record["ThreadId"]
        if number and number not in seen:
            yield ok(record.path)
        else:
            expected = "a unique id, not 0"
            yield bad(f"{record.path}, ThreadId", expected, f"{number:#x}", record.span_of("ThreadId"))
        seen.add(number)


@userdump_rule(
    "UDMP-CONTEXT-001",
    "The file holds ThreadCount contexts",
    Level.MUST,
    Source("docs/format/user-dump.md#thread-contexts", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/user-dump.md#thread-contexts", Grade.IMPLEMENTED),
    needs=("header",),
    reports=("userdump.contexts",),
)
def contexts_inside(case: UserdumpCase) -> Checks:
    """ThreadOffset leads to the contexts. They follow each other in the order of the thread records; each has the size
    of the machine's CONTEXT.
    """
    if case.dump.contexts:
        yield ok("contexts", len(case.dump.contexts))


@userdump_rule(
    "UDMP-CONTEXT-002",
    "ContextFlags of every context have the bit of the machine",
    Level.MUST,
    Source("docs/format/user-dump.md#thread-contexts", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/minidump-contexts.md#parts-of-contextflags", Grade.DOCUMENTED),
    needs=("contexts",),
)
def context_machine(case: UserdumpCase) -> Checks:
    """If the bit of the machine is missing, the record is not a CONTEXT of this machine, or its offset is wrong."""
    assert case.dump.architecture is not None
    machines = sum(layout.machine_bit for layout in ARCHITECTURES.values())
    wanted = ARCHITECTURES[case.dump.architecture].machine_bit
    for context in case.dump.contexts:
        actual = context.flags & machines
        if actual == wanted:
            yield ok(context.record.path)
        else:
            span = context.record.span_of("ContextFlags")
            expected = f"{wanted:#x} among the machine bits {machines:#x}"
            yield bad(f"{context.record.path}, ContextFlags", expected, f"{context.flags:#x}", span)


@userdump_rule(
    "UDMP-MODULE-001",
    "The file holds ModuleCount module records",
    Level.MUST,
    Source("docs/format/user-dump.md#module-records", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/user-dump.md#module-records", Grade.DOCUMENTED),
    needs=("header",),
    reports=("userdump.modules",),
)
def modules_inside(case: UserdumpCase) -> Checks:
    """Each record is followed by its name of ImageNameLength bytes, then by the next record. One wrong length misplaces
    every later module.
    """
    if case.dump.modules:
        yield ok("modules", len(case.dump.modules))


@userdump_rule(
    "UDMP-MODULE-002",
    "Modules have a size and do not overlap",
    Level.MUST,
    Source("docs/format/user-dump.md#module-records", Grade.INFERRED),
    needs=("modules",),
)
def module_ranges(case: UserdumpCase) -> Checks:
    """The image is mapped at ``[BaseOfImage, BaseOfImage + SizeOfImage)``, inside the address space."""
    top = 1 << case.dump.bits
    for module in case.dump.modules:
        if module.size and module.end <= top:
            yield ok(module.record.path)
        else:
            span = Span(module.record.span_of("BaseOfImage").start, module.record.span_of("SizeOfImage").end)
            expected = f"a size above 0, and an end of at most {top:#x}"
            yield bad(module.record.path, expected, f"{module.base:#x}..{module.end:#x}", span)
    for first, second in pairwise(sorted(case.dump.modules, key=lambda module: module.base)):
        if first.end <= second.base:
            yield ok(second.record.path)
        else:
            expected = f"at least {first.end:#x}, the end of {first.record.path}"
            yield bad(second.record.path, expected, f"{second.base:#x}", second.record.span_of("BaseOfImage"))


@userdump_rule(
    "UDMP-MODULE-003",
    "Module names are not empty and have no control characters",
    Level.MUST,
    Source("docs/format/user-dump.md#module-records", Grade.INFERRED),
    needs=("modules",),
)
def module_names(case: UserdumpCase) -> Checks:
    """Names are ANSI. ImageNameLength counts the NUL; the engine accepts a name without NUL, too. A control character
    means that the length is wrong and that the next record begins elsewhere.
    """
    for module in case.dump.modules:
        if module.text and not any(byte < 0x20 for byte in module.text):
            yield ok(f"{module.record.path}, name")
        else:
            shown = repr(module.text[:40])[1:]
            yield bad(
                f"{module.record.path}, name",
                "at least one character, none of them a control character",
                shown,
                module.name,
            )


@userdump_rule(
    "UDMP-REGION-001",
    "The file holds MemoryRegionCount region descriptors",
    Level.MUST,
    Source("docs/format/user-dump.md#memory-regions", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/user-dump.md#memory-regions", Grade.DOCUMENTED),
    needs=("header",),
    reports=("userdump.regions",),
)
def regions_inside(case: UserdumpCase) -> Checks:
    """MemoryRegionOffset leads to MEMORY_BASIC_INFORMATION records of the target's width: 48 bytes each, or 28."""
    if case.dump.regions:
        yield ok("regions", len(case.dump.regions))


@userdump_rule(
    "UDMP-REGION-002",
    "Every region is committed and readable",
    Level.MUST,
    Source("docs/format/user-dump.md#memory-regions", Grade.INFERRED),
    needs=("regions",),
    foreign_level=Level.SHOULD,
)
def region_kinds(case: UserdumpCase) -> Checks:
    """The dump holds bytes for each region. So State is MEM_COMMIT, and Protect is one constant that allows reads,
    without PAGE_GUARD. Type is private, mapped or image. Base and size are whole pages inside the address space.
    AllocationBase is not above the base.
    """
    commit, types = enumeration("MEM_STATE")["MEM_COMMIT"], set(enumeration("MEM_TYPE").members.values())
    protection = enumeration("PAGE_PROTECTION")
    guard, no_access = protection["PAGE_GUARD"], protection["PAGE_NOACCESS"]
    basic = {value for value in protection.members.values() if value < guard and value != no_access}
    never = guard | ~protection.mask
    top = 1 << case.dump.bits
    for record in case.dump.regions:
        base, size, protect = record["BaseAddress"], record["RegionSize"], record["Protect"]
        wrong = {
            "BaseAddress": base % PAGE_SIZE and "a multiple of 0x1000",
            "RegionSize": (size == 0 or size % PAGE_SIZE or base + size > top) and f"whole pages below {top:#x}",
            "AllocationBase": record["AllocationBase"] > base and f"at most {base:#x}, the BaseAddress",
            "State": record["State"] != commit and f"{commit:#x}, MEM_COMMIT",
            "Type": record["Type"] not in types and "0x20000, 0x40000 or 0x1000000",
            "Protect": (protect & 0xFF not in basic or protect & never)
            and "one PAGE_ constant that allows reads, without PAGE_GUARD",
        }
        faults = [(name, expected) for name, expected in wrong.items() if expected]
        for name, expected in faults:
            yield bad(f"{record.path} at {base:#x}, {name}", str(expected), f"{record[name]:#x}", record.span_of(name))
        if len(faults) < len(wrong):
            yield ok(record.path, len(wrong) - len(faults))


@userdump_rule(
    "UDMP-REGION-003",
    "Regions ascend and do not overlap",
    Level.MUST,
    Source("docs/format/user-dump.md#memory-regions", Grade.INFERRED),
    needs=("regions",),
)
def region_order(case: UserdumpCase) -> Checks:
    """A writer collects the regions with VirtualQueryEx, from low to high addresses. If two regions overlap, the dump
    holds two values for one address.
    """
    for first, second in pairwise(case.dump.regions):
        end = first["BaseAddress"] + first["RegionSize"]
        if second["BaseAddress"] >= end:
            yield ok(second.path)
        else:
            expected = f"at least {end:#x}, the end of {first.path}"
            span = second.span_of("BaseAddress")
            yield bad(f"{second.path}, BaseAddress", expected, f"{second['BaseAddress']:#x}", span)


@userdump_rule(
    "UDMP-MEMORY-001",
    "The bytes of all regions lie in the file",
    Level.MUST,
    Source("docs/format/user-dump.md#memory-bytes", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/user-dump.md#memory-bytes", Grade.IMPLEMENTED),
    needs=("header",),
    reports=("userdump.memory",),
)
def memory_inside(case: UserdumpCase) -> Checks:
    """The bytes begin at DataOffset and follow each other in the order of the descriptors. A file that ends earlier is
    truncated.
    """
    if case.dump.memory:
        yield ok("regions", len(case.dump.memory))


@userdump_rule(
    "UDMP-EVENT-001",
    "The debug event lies in the file",
    Level.MUST,
    Source("docs/format/user-dump.md#debug-event", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/user-dump.md#debug-event", Grade.DOCUMENTED),
    needs=("header",),
    reports=("userdump.debug_event",),
)
def event_inside(case: UserdumpCase) -> Checks:
    """A DEBUG_EVENT of the target's width has 176 or 96 bytes. DebugEventOffset 0 means that the dump has no event."""
    if case.dump.debug_event is not None:
        yield ok("debug event")


@userdump_rule(
    "UDMP-EVENT-002",
    "The debug event has a known code and a thread of the dump",
    Level.MUST,
    Source("docs/format/user-dump.md#debug-event", Grade.DOCUMENTED),
    needs=("debug_event", "threads"),
    applies=lambda case: case.dump.debug_event is not None,
    foreign_level=Level.SHOULD,
)
def event_kind(case: UserdumpCase) -> Checks:
    """Codes are 1 to 9. The event's thread still exists when the debugger is notified, even for the event of its exit.
    An exception has at most 15 parameters.
    """
    record = case.dump.debug_event
    assert record is not None
    codes = enumeration("DEBUG_EVENT_CODE").members
    code = record["dwDebugEventCode"]
    if code in codes.values():
        yield ok("debug event, dwDebugEventCode")
    else:
        yield bad("debug event, dwDebugEventCode", "1 to 9", f"{code:#x}", record.span_of("dwDebugEventCode"))
    thread = record["dwThreadId"]
    if any(item["ThreadId"] == thread for item in case.dump.threads):
        yield ok("debug event, dwThreadId")
    else:
        yield bad("debug event, dwThreadId", "a thread of the dump", f"{thread:#x}", record.span_of("dwThreadId"))
    name = "u.Exception.ExceptionRecord.NumberParameters"
    if code == codes["EXCEPTION_DEBUG_EVENT"]:
        if record[name] <= 15:
            yield ok(f"debug event, {name}")
        else:
            yield bad(f"debug event, {name}", "at most 15", str(record[name]), record.span_of(name))
