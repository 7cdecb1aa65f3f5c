"""Legacy full user dumps: threads, modules, regions, memory, the debug event. Judged without truth."""

from __future__ import annotations

from itertools import pairwise

from ...case import UserdumpCase
from ...decode import enumeration
from ...memory.page import PAGE_SIZE
from ...model import Grade, Level, Source, Span
from ...readers.architectures import ARCHITECTURES
from ...rule import Checks, bad, ok, userdump_rule
from .header import LAYOUT, MEANING

_REGION = Source("winnt.h MEMORY_BASIC_INFORMATION; spec user-mode 2.6", Grade.DOCUMENTED)


@userdump_rule(
    "UDMP-THREAD-001",
    "ThreadCount thread records lie in the file",
    Level.MUST,
    LAYOUT,
    needs=("header",),
    reports=("userdump.threads",),
)
def threads_inside(case: UserdumpCase) -> Checks:
    """80 bytes each, 48 for a 32-bit target, at ThreadStateOffset. Readers that trust the count run over the end."""
    if case.dump.threads:
        yield ok("threads", len(case.dump.threads))


@userdump_rule(
    "UDMP-THREAD-002",
    "Every thread has an id of its own, not 0",
    Level.MUST,
    MEANING,
    needs=("threads",),
)
def thread_ids(case: UserdumpCase) -> Checks:
    """A debugger finds a thread by its id; 0 is the id of the idle thread, which no process has."""
    seen: set[int] = set()
    for record in case.dump.threads:
        number = record["ThreadId"]
        if number and number not in seen:
            yield ok(record.path)
        else:
            expected = "an id that no other thread has, not 0"
            yield bad(f"{record.path}, ThreadId", expected, f"{number:#x}", record.span_of("ThreadId"))
        seen.add(number)


@userdump_rule(
    "UDMP-CONTEXT-001",
    "ThreadCount contexts lie in the file",
    Level.MUST,
    LAYOUT,
    Source("NationalSecurityAgency/ghidra dump/userdump/Userdump.java: an array of CONTEXT at ThreadOffset",
           Grade.INFERRED),
    needs=("header",),
    reports=("userdump.contexts",),
)  # fmt: skip
def contexts_inside(case: UserdumpCase) -> Checks:
    """Behind each other at ThreadOffset, each as long as the machine's CONTEXT, in the order of the thread records."""
    if case.dump.contexts:
        yield ok("contexts", len(case.dump.contexts))


@userdump_rule(
    "UDMP-CONTEXT-002",
    "Every context has the flag of the machine",
    Level.MUST,
    Source("winnt.h CONTEXT_i386, CONTEXT_AMD64, CONTEXT_ARM64; spec user-mode 3.11", Grade.DOCUMENTED),
    MEANING,
    needs=("contexts",),
)
def context_machine(case: UserdumpCase) -> Checks:
    """ContextFlags name the machine. One that does not is no CONTEXT, or lies elsewhere than the reader looks."""
    assert case.dump.architecture is not None
    machines = sum(layout.machine_bit for layout in ARCHITECTURES.values())
    wanted = ARCHITECTURES[case.dump.architecture].machine_bit
    for context in case.dump.contexts:
        actual = context.flags & machines
        if actual == wanted:
            yield ok(context.record.path)
        else:
            span = context.record.span_of("ContextFlags")
            expected = f"{wanted:#x} of the machine bits {machines:#x}"
            yield bad(f"{context.record.path}, ContextFlags", expected, f"{context.flags:#x}", span)


@userdump_rule(
    "UDMP-MODULE-001",
    "ModuleCount module records lie in the file, one behind the other",
    Level.MUST,
    LAYOUT,
    needs=("header",),
    reports=("userdump.modules",),
)
def modules_inside(case: UserdumpCase) -> Checks:
    """Each record is followed by its name, ImageNameLength bytes, and that by the next record. One wrong length puts
    every module behind it in the wrong place.
    """
    if case.dump.modules:
        yield ok("modules", len(case.dump.modules))


@userdump_rule(
    "UDMP-MODULE-002",
    "Modules have a size, and do not overlap",
    Level.MUST,
    MEANING,
    needs=("modules",),
)
def module_ranges(case: UserdumpCase) -> Checks:
    """``[BaseOfImage, BaseOfImage + SizeOfImage)`` is where the image is mapped, below the end of the address space."""
    top = 1 << case.dump.bits
    for module in case.dump.modules:
        if module.size and module.end <= top:
            yield ok(module.record.path)
        else:
            span = Span(module.record.span_of("BaseOfImage").start, module.record.span_of("SizeOfImage").end)
            expected = f"a size, and an end at most {top:#x}"
            yield bad(module.record.path, expected, f"{module.base:#x}..{module.end:#x}", span)
    for first, second in pairwise(sorted(case.dump.modules, key=lambda module: module.base)):
        if first.end <= second.base:
            yield ok(second.record.path)
        else:
            expected = f"a base from {first.end:#x} on: {first.record.path} ends there"
            yield bad(second.record.path, expected, f"{second.base:#x}", second.record.span_of("BaseOfImage"))


@userdump_rule(
    "UDMP-MODULE-003",
    "Every module has a name of printable characters",
    Level.MUST,
    MEANING,
    needs=("modules",),
)
def module_names(case: UserdumpCase) -> Checks:
    """ANSI. A NUL at the end may be counted or not: which is not known. A control character anywhere says that the
    length is wrong, and that the next record begins elsewhere.
    """
    for module in case.dump.modules:
        if module.text and not any(byte < 0x20 for byte in module.text):
            yield ok(f"{module.record.path}, name")
        else:
            shown = repr(module.text[:40])[1:]
            yield bad(f"{module.record.path}, name", "characters, none of them a control character", shown, module.name)


@userdump_rule(
    "UDMP-REGION-001",
    "MemoryRegionCount region descriptors lie in the file",
    Level.MUST,
    LAYOUT,
    needs=("header",),
    reports=("userdump.regions",),
)
def regions_inside(case: UserdumpCase) -> Checks:
    """MEMORY_BASIC_INFORMATION of the target's width, 48 or 28 bytes each, at MemoryRegionOffset."""
    if case.dump.regions:
        yield ok("regions", len(case.dump.regions))


@userdump_rule(
    "UDMP-REGION-002",
    "Every region is a run of committed pages that can be read",
    Level.MUST,
    _REGION,
    MEANING,
    needs=("regions",),
    foreign_level=Level.SHOULD,
)
def region_kinds(case: UserdumpCase) -> Checks:
    """The dump has bytes for each region listed, so there must have been some: state MEM_COMMIT, a protection that
    allows a read, neither PAGE_NOACCESS nor PAGE_GUARD, and memory that is private, mapped or of an image. Base and
    size are whole pages inside the address space, in an allocation that begins there or before.
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
            "AllocationBase": record["AllocationBase"] > base and f"at most {base:#x}, BaseAddress",
            "State": record["State"] != commit and f"{commit:#x}, MEM_COMMIT",
            "Type": record["Type"] not in types and "0x20000, 0x40000 or 0x1000000",
            "Protect": (protect & 0xFF not in basic or protect & never)
            and "one PAGE_ constant that allows a read, without PAGE_GUARD",
        }
        faults = [(name, expected) for name, expected in wrong.items() if expected]
        for name, expected in faults:
            yield bad(f"{record.path} at {base:#x}, {name}", str(expected), f"{record[name]:#x}", record.span_of(name))
        if len(faults) < len(wrong):
            yield ok(record.path, len(wrong) - len(faults))


@userdump_rule(
    "UDMP-REGION-003",
    "Regions ascend, and do not overlap",
    Level.MUST,
    MEANING,
    needs=("regions",),
)
def region_order(case: UserdumpCase) -> Checks:
    """They are what a walk with VirtualQueryEx met, which ascends. Of an address that two regions have, the dump would
    have two values.
    """
    for first, second in pairwise(case.dump.regions):
        end = first["BaseAddress"] + first["RegionSize"]
        if second["BaseAddress"] >= end:
            yield ok(second.path)
        else:
            expected = f"at least {end:#x}, where {first.path} ends"
            span = second.span_of("BaseAddress")
            yield bad(f"{second.path}, BaseAddress", expected, f"{second['BaseAddress']:#x}", span)


@userdump_rule(
    "UDMP-MEMORY-001",
    "The bytes of all regions lie in the file",
    Level.MUST,
    LAYOUT,
    Source("NationalSecurityAgency/ghidra dump/userdump/Userdump.java: one region's bytes behind the other's",
           Grade.INFERRED),
    needs=("header",),
    reports=("userdump.memory",),
)  # fmt: skip
def memory_inside(case: UserdumpCase) -> Checks:
    """From DataOffset on, the regions' bytes follow each other in the order of their descriptors. A file that ends
    before they do is cut off.
    """
    if case.dump.memory:
        yield ok("regions", len(case.dump.memory))


@userdump_rule(
    "UDMP-EVENT-001",
    "The debug event lies in the file",
    Level.MUST,
    LAYOUT,
    needs=("header",),
    reports=("userdump.debug_event",),
)
def event_inside(case: UserdumpCase) -> Checks:
    """A DEBUG_EVENT of the target's width, 176 or 96 bytes. Offset 0 is a dump without one."""
    if case.dump.debug_event is not None:
        yield ok("debug event")


@userdump_rule(
    "UDMP-EVENT-002",
    "The debug event is one that the debugging interface knows, of a thread of the dump",
    Level.MUST,
    Source("minwinbase.h DEBUG_EVENT, EXCEPTION_DEBUG_INFO", Grade.DOCUMENTED),
    MEANING,
    needs=("debug_event", "threads"),
    applies=lambda case: case.dump.debug_event is not None,
)
def event_kind(case: UserdumpCase) -> Checks:
    """Codes 1 to 9. The thread of an event still exists when the debugger is told; the one of its end, too. An
    exception has at most 15 parameters.
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
