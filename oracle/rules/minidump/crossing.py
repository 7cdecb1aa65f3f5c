"""Judges header, threads and exception of a minidump against each other."""

from __future__ import annotations

from typing import Final

from ...case import Case
from ...decode import enumeration
from ...memory.intervals import inside, outside
from ...memory.page import PAGE_SIZE
from ...model import Fault, Grade, Level, Source
from ...readers.contexts import without_context
from ...readers.facts import ThreadFact
from ...rule import Checks, bad, ok, rule

_TYPE: Final = enumeration("MINIDUMP_TYPE")

_FLAG_STREAMS: Final = {
    "MiniDumpWithFullMemory": 9,
    "MiniDumpWithFullMemoryInfo": 16,
    "MiniDumpWithThreadInfo": 17,
    "MiniDumpWithTokenInformation": 19,
}
"""Flag -> stream that occurs exactly with it (docs/format/minidump-contents.md#agreement-of-flags-and-streams)."""
_STREAMS_THAT_NEED: Final = {12: "MiniDumpWithHandleData", 14: "MiniDumpWithUnloadedModules"}
"""Stream -> flag without which it does not occur. The flag does not promise the stream: the list may be empty."""

# Offsets of StackBase, Self and ClientId.UniqueThread in the TEB, by pointer size
# (docs/format/minidump-process-data.md#offsets-in-teb-and-peb).
_TEB: Final = {8: (0x08, 0x30, 0x48), 4: (0x04, 0x18, 0x24)}

_CHPE_V2_CPU_AREA: Final = 0x1788
"""ChpeV2CpuAreaInfo in the TEB (docs/format/minidump-memory-ranges.md#teb-outside-its-flags)."""
_NO_TEB_UNLESS: Final = (
    _TYPE["MiniDumpWithProcessThreadData"]
    | _TYPE["MiniDumpWithIndirectlyReferencedMemory"]
    | _TYPE["MiniDumpWithFullMemory"]
    | _TYPE["MiniDumpWithPrivateReadWriteMemory"]
    | _TYPE["MiniDumpFilterTriage"]
)


@rule(
    "XCUT-FLAGS-001",
    "The header's Flags agree with the streams",
    Level.MUST,
    Source("docs/format/minidump-contents.md#agreement-of-flags-and-streams", Grade.OBSERVED),
    needs=("header", "directory"),
    foreign_level=Level.SHOULD,
)
def flags_and_streams(case: Case) -> Checks:
    """Full memory, memory info, thread info and tokens are present exactly if their bit is set. Handles and unloaded
    modules are present only with their bit. The vendor's engine relies on the bits: it refuses a Memory64List without
    its bit, and the bit without a Memory64List.
    """
    dump = case.dump
    assert dump.header is not None
    span = dump.header.span_of("Flags")
    present = {entry["StreamType"] for entry in dump.directory}
    for name, number in _FLAG_STREAMS.items():
        flag, stream = bool(dump.flags & _TYPE[name]), number in present
        if flag == stream:
            yield ok(name)
        elif stream:
            yield bad(f"stream {number}", f"{name} in Flags", f"{dump.flags:#x}", span)
        else:
            yield bad(f"stream {number}", f"the stream, since Flags has {name}", "none", span, fault=Fault.MISSING)
    for number, name in _STREAMS_THAT_NEED.items():
        if number in present and not dump.flags & _TYPE[name]:
            yield bad(f"stream {number}", f"{name} in Flags", f"{dump.flags:#x}", span)


@rule(
    "XCUT-PATHS-001",
    "No module name has a directory if paths are filtered",
    Level.MUST,
    Source("docs/format/minidump-filters.md#filter-paths", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("header", "modules", "module.names"),
    applies=lambda case: bool(case.dump.flags & _TYPE["MiniDumpFilterModulePaths"]),
    foreign_level=Level.SHOULD,
)
def filtered_paths(case: Case) -> Checks:
    """Directories reveal who the user is and what is installed. With the flag no name of a loaded or unloaded module
    has a separator or a drive.
    """
    names = [(module.record.path, module.name) for module in case.dump.modules]
    if "unloaded_modules.names" in case.dump.facts:
        names += [(module.record.path, module.name) for module in case.dump.unloaded_modules]
    for subject, name in names:
        if name is None:
            continue
        if any(separator in name.text for separator in "\\/:"):
            yield bad(f"name of {subject}", "a base name", repr(name.text), name.span, fault=Fault.FORBIDDEN)
        else:
            yield ok(f"name of {subject}")


@rule(
    "XCUT-STACK-001",
    "Every thread's stack is a range of the memory list, or its RVA is 0",
    Level.MUST,
    Source("docs/format/minidump-memory-ranges.md#stack-descriptor-and-its-range", Grade.WITNESSED, ("15063", "29507")),
    Source("docs/format/minidump-readers.md#threads-and-contexts-in-readers", Grade.IMPLEMENTED),
    needs=("threads", "memory.5"),
    applies=lambda case: 9 not in case.dump.streams,
    foreign_level=Level.SHOULD,
)
def stack_is_a_range(case: Case) -> Checks:
    """Start, size and RVA of the stack are those of one range. A stack that is merged with other memory, shared or
    readable in part is no range of its own: its RVA is 0, and readers find it by its address. LLDB reads stacks from
    the memory list only.
    """
    ranges = {(item.start, item.size): item.offset for item in case.dump.memory}
    for thread in case.dump.threads:
        start, size, rva = thread.stack_start, thread.stack_size, thread.stack_rva
        own = ranges.get((start, size))
        if size == 0 or (rva == (own or 0) and (own or _in_memory(case, thread))):
            yield ok("stack")
            continue
        span = thread.record.span_of("Stack.StartOfMemoryRange")
        actual = f"{size:#x} bytes from {start:#x} at file offset {rva:#x}"
        yield bad(f"stack of thread {thread.id:#x}", "start, size and RVA of a range of the memory list", actual, span)


def _in_memory(case: Case, thread: ThreadFact) -> bool:
    """Whether the dump holds the stack, or a part of a stack of which the rest cannot be read."""
    if case.dump.covered(thread.stack_start, thread.stack_end):
        return True
    if case.truth is not None:
        return case.truth.read(thread.stack_start, thread.stack_size) is None
    return any(inside(case.dump.captured(), thread.stack_start, thread.stack_end))


@rule(
    "XCUT-STACK-002",
    "With full memory the dump holds every stack, and its RVA is 0",
    Level.MUST,
    Source("docs/format/minidump-threads.md#stack-with-full-memory", Grade.WITNESSED, versions=("15063", "29507")),
    Source(
        "docs/format/minidump-captured-memory.md#unreadable-pages-in-full-memory", Grade.WITNESSED, versions=("29507",)
    ),
    needs=("threads", "memory.9"),
    applies=lambda case: 5 not in case.dump.streams,
    foreign_level=Level.SHOULD,
)
def stack_by_address(case: Case) -> Checks:
    """The bytes may lie beyond the reach of an RVA. So Rva is 0, and the Memory64List holds the stack's range. A region
    with a page that cannot be read is lost, and a stack in it too: a range of size 0 stands in its place.
    """
    for thread in case.dump.threads:
        subject = f"stack of thread {thread.id:#x}"
        if thread.stack_rva:
            yield bad(subject, "Rva 0", f"{thread.stack_rva:#x}", thread.record.span_of("Stack.Memory.Rva"))
        elif not case.dump.covered(thread.stack_start, thread.stack_end) and not _given_up(case, thread):
            actual = f"{thread.stack_start:#x} to {thread.stack_end:#x}"
            span = thread.record.span_of("Stack.StartOfMemoryRange")
            yield bad(subject, "a captured range", actual, span)
        else:
            yield ok(subject)


def _given_up(case: Case, thread: ThreadFact) -> bool:
    """Whether every gap of the stack has a range of size 0, between the captured memory below it and the gap's end."""
    captured = case.dump.captured()
    empty = [item.start for item in case.dump.memory if item.size == 0]
    for low, high in outside(captured, thread.stack_start, thread.stack_end):
        below = max((end for _, end in captured if end <= low), default=0)
        if not any(below <= start < high for start in empty):
            return False
    return True


def _off_stack(case: Case, thread: ThreadFact, sp: int) -> bool:
    """Whether, by the truth, a stack pointer lies outside its thread's stack."""
    truth = None if case.truth is None else case.truth.thread(thread.id)
    return truth is not None and not truth.stack_limit <= sp < truth.stack_base


@rule(
    "XCUT-STACK-003",
    "Every thread's stack pointer lies in its captured stack",
    Level.MUST,
    Source("docs/format/minidump-memory-ranges.md#stack-pointer-and-start-of-the-stack", Grade.OBSERVED),
    Source(
        "docs/format/minidump-memory-ranges.md#stack-pointer-at-the-end", Grade.WITNESSED, versions=("15063", "29507")
    ),
    needs=("threads", "contexts"),
    foreign_level=Level.SHOULD,
)
def stack_pointer_inside(case: Case) -> Checks:
    """A debugger walks the stack from the stack pointer on. Memory that does not hold the pointer belongs to another
    stack. The rule skips pointers that the truth has outside the stack's bounds. The pointer may be the end of a stack
    that holds nothing: then the whole stack is captured, on x86 also its last word alone.
    """
    for thread in case.dump.threads:
        if thread.context is None or thread.stack_size == 0 or _off_stack(case, thread, thread.context.sp):
            continue
        sp, start = thread.context.sp, thread.stack_start
        last_word = case.dump.architecture == "x86" and start == sp - 4
        empty = sp == thread.stack_end and (start % PAGE_SIZE == 0 or last_word)
        if start <= sp < thread.stack_end or empty:
            yield ok("stack pointer")
        else:
            expected = f"a stack pointer in {thread.stack_start:#x} to {thread.stack_end:#x}"
            yield bad(f"thread {thread.id:#x}", expected, f"{sp:#x}", thread.context.span)


@rule(
    "XCUT-STACK-004",
    "Every stack ends at a page boundary",
    Level.MUST,
    Source("docs/format/minidump-threads.md#end-of-the-stack", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("threads",),
    foreign_level=Level.SHOULD,
)
def stack_end_aligned(case: Case) -> Checks:
    """A stack is captured up to its base, and the base is the end of an allocation. Crashpad on Linux takes the
    thread's control block, in the last page, for the end (snapshot/linux/process_reader_linux.cc).
    """
    for thread in case.dump.threads:
        if thread.stack_size == 0:
            continue
        if thread.stack_end % PAGE_SIZE == 0:
            yield ok("end of the stack")
        else:
            span = thread.record.span_of("Stack.Memory.DataSize")
            expected = f"an end at a multiple of {PAGE_SIZE:#x}"
            yield bad(f"stack of thread {thread.id:#x}", expected, f"{thread.stack_end:#x}", span)


@rule(
    "XCUT-TEB-001",
    "A captured TEB belongs to its thread",
    Level.MUST,
    Source("docs/format/minidump-threads.md#address-of-the-teb", Grade.OBSERVED),
    needs=("threads", "memory"),
    applies=lambda case: case.dump.architecture in {"amd64", "x86"},
    foreign_level=Level.SHOULD,
)
def teb_of_thread(case: Case) -> Checks:
    """Self is the TEB's address, ClientId the thread's id, StackBase the stack's end. A triage filter may have filled
    them: an id is no pointer, and StackBase points past captured memory.
    """
    filtered = bool(case.dump.flags & _TYPE["MiniDumpFilterTriage"])
    pointer = 8 if case.dump.architecture == "amd64" else 4
    base_at, self_at, id_at = _TEB[pointer]
    for thread in case.dump.threads:
        teb = thread.record["Teb"]
        data = case.dump.read_memory(teb, id_at + pointer)
        if data is None or thread.stack_size == 0:
            continue
        values = [int.from_bytes(data[at : at + pointer], "little") for at in (self_at, id_at, base_at)]
        right = [teb, thread.id, thread.stack_end]
        filled = (0, int.from_bytes(b"\xaa" * pointer, "little")) if filtered else ()
        if all(value == due or value in filled for value, due in zip(values, right, strict=True)):
            yield ok("TEB")
            continue
        expected = f"Self {teb:#x}, thread id {thread.id:#x}, StackBase {thread.stack_end:#x}"
        actual = f"{values[0]:#x}, {values[1]:#x}, {values[2]:#x}"
        yield bad(f"TEB of thread {thread.id:#x}", expected, actual, thread.record.span_of("Teb"))


def _emulates(case: Case, teb: int) -> bool:
    """Whether ChpeV2CpuAreaInfo of a captured TEB is set."""
    if case.dump.architecture not in {"amd64", "arm64"}:
        return False
    area = case.dump.read_memory(teb + _CHPE_V2_CPU_AREA, 8)
    return area is not None and any(area)


@rule(
    "XCUT-TEB-002",
    "A TEB is captured only if a flag adds TEBs",
    Level.MUST,
    Source("docs/format/minidump-memory-ranges.md#teb-outside-its-flags", Grade.OBSERVED),
    needs=("header", "threads", "memory"),
    applies=lambda case: not case.dump.flags & _NO_TEB_UNLESS,
    foreign_level=Level.SHOULD,
)
def no_teb(case: Case) -> Checks:
    """TEBs hold thread-local data. Only process and thread data, indirectly referenced memory, full memory and private
    memory include them. The exception is a process that runs amd64 code on ARM64: engine 29507 takes all its TEBs.
    """
    if any(_emulates(case, thread.record["Teb"]) for thread in case.dump.threads):
        yield ok("TEBs of an emulated process", len(case.dump.threads))
        return
    for thread in case.dump.threads:
        teb = thread.record["Teb"]
        if teb and case.dump.covered(teb, teb + 1):
            span = thread.record.span_of("Teb")
            yield bad(f"TEB of thread {thread.id:#x}", "not captured", f"{teb:#x} is", span, fault=Fault.FORBIDDEN)
        else:
            yield ok("TEB")


@rule(
    "XCUT-EXCEPTION-001",
    "The exception's thread is in the thread list",
    Level.MUST,
    Source("docs/format/minidump-exception.md#thread-of-the-exception", Grade.WITNESSED, versions=("29507",)),
    needs=("exception", "threads", "thread.ids"),
)
def exception_thread(case: Case) -> Checks:
    """A debugger shows the exception on this thread. udmp-parser refuses a file that names another; the vendor's engine
    opens it with errors and without modules. Without truth the rule skips thread 0, an empty thread list and an
    exception without context: no listed thread is meant.
    """
    assert case.dump.exception is not None
    record = case.dump.exception.record
    if case.truth is None and (not record["ThreadId"] or not case.dump.threads or without_context(record)):
        return
    if any(thread.id == record["ThreadId"] for thread in case.dump.threads):
        yield ok("exception")
    else:
        yield bad("exception", "the id of a listed thread", f"{record['ThreadId']:#x}", record.span_of("ThreadId"))


@rule(
    "XCUT-EXCEPTION-002",
    "The exception's stack pointer lies in the stack of its thread",
    Level.MUST,
    Source("docs/format/minidump-exception.md#stack-pointer-of-the-exception", Grade.OBSERVED),
    needs=("exception", "exception.context", "threads", "thread.ids"),
    foreign_level=Level.SHOULD,
)
def exception_stack(case: Case) -> Checks:
    """Two of 43 real Microsoft files name the wrong thread. The rule skips a pointer that the truth has outside the
    stack's bounds.
    """
    exception = case.dump.exception
    assert exception is not None
    if exception.context is None:
        return
    sp = exception.context.sp
    for thread in case.dump.threads:
        if thread.id != exception.record["ThreadId"] or thread.stack_size == 0 or _off_stack(case, thread, sp):
            continue
        if thread.stack_start <= sp < thread.stack_end:
            yield ok("exception")
        else:
            expected = f"a stack pointer in {thread.stack_start:#x} to {thread.stack_end:#x}, thread {thread.id:#x}"
            yield bad("exception", expected, f"{sp:#x}", exception.context.span)


@rule(
    "XCUT-EXCEPTION-003",
    "The exception's address is 0, the instruction pointer, or in a module",
    Level.SHOULD,
    Source("docs/format/minidump-exception.md#exception-address", Grade.OBSERVED),
    needs=("exception", "exception.context", "modules"),
)
def exception_address(case: Case) -> Checks:
    """Unix writers store the address of the signal instead. After a jump to a wild address it lies outside every
    module.
    """
    exception = case.dump.exception
    assert exception is not None
    address = exception.record["ExceptionRecord.ExceptionAddress"]
    known = {0} if exception.context is None else {0, exception.context.ip}
    if address in known or any(module.base <= address < module.end for module in case.dump.modules):
        yield ok("exception")
    else:
        span = exception.record.span_of("ExceptionRecord.ExceptionAddress")
        yield bad("exception", tuple(f"{value:#x}" for value in sorted(known)), f"{address:#x}", span)
