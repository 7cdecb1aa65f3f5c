"""Plans a user minidump: its streams and its memory, each with a reason (docs/format/minidump-contents.md).

``STREAM_ROWS`` says when a stream is written, ``MEMORY_ROWS`` which memory a flag selects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..constants import Hresult, MinidumpType, StreamType
from ..request import DumpRefused, Request, UserStream
from ..snapshot.process import POINTER_SIZE, ProcessSnapshot, XstateConfiguration
from .caller_streams import comment_of, user_streams_of
from .extended_state import extended_state
from .filters import WordFilter, word_filters
from .flags import effective, minidump_type
from .indirect import indirect_memory
from .memory import RangePlan, StackPlan, apart_from_stacks, by_region, range_plans, with_stacks
from .process_data import process_thread_data
from .process_view import ProcessView, WantedRange
from .ranges import RangeSet
from .reading import Reading
from .regions import all_memory, private_read_write_memory
from .segments import code_segments, data_segments, module_headers
from .stacks import instruction_windows, stack_ranges, stacks, unwind_data


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """A stream of the dump."""

    type: int
    """A StreamType, or a number above 0xFFFF for a stream of the caller."""
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a user minidump.

    ``streams`` are in directory order, ``stacks`` in the order of the threads, ``ranges`` sorted by address.
    """

    flags: MinidumpType
    streams: tuple[StreamPlan, ...]
    stacks: tuple[StackPlan, ...]
    ranges: tuple[RangePlan, ...]
    comment: str | bytes | None
    """Text for CommentStreamW, bytes for CommentStreamA."""
    warnings: tuple[str, ...]
    user_streams: tuple[UserStream, ...] = ()
    xstate: XstateConfiguration | None = None
    """Configuration of the extended state in every context record; None: plain records."""
    filters: tuple[WordFilter, ...] = ()
    """Filters for the bytes of ``ranges``."""
    base_names: bool = False
    """Whether module names are written without directory."""

    def has(self, stream: StreamType) -> bool:
        """Whether the dump has this stream."""
        return any(planned.type == stream for planned in self.streams)

    @property
    def full_memory(self) -> bool:
        """Whether the memory goes to a Memory64List."""
        return self.has(StreamType.Memory64ListStream)


@dataclass(frozen=True, slots=True)
class StreamRow:
    """When a stream is written: if a bit of ``with_`` is set (0: always), no bit of ``without`` is set, and
    ``there_is`` returns a true value.
    """

    type: StreamType
    reason: str
    with_: MinidumpType = MinidumpType.MiniDumpNormal
    without: MinidumpType = MinidumpType.MiniDumpNormal
    there_is: Callable[[ProcessSnapshot], object] | None = None

    def wanted(self, snapshot: ProcessSnapshot, flags: MinidumpType) -> bool:
        """Whether the stream is written for this target and these flags."""
        if flags & self.without or (self.with_ and not flags & self.with_):
            return False
        return self.there_is is None or bool(self.there_is(snapshot))


_S, _T = StreamType, MinidumpType

STREAM_ROWS = (  # in directory order: docs/format/minidump-contents.md#directory-order
    StreamRow(_S.ThreadListStream, "always: one entry per thread"),
    StreamRow(_S.ThreadInfoListStream, "requested: THREAD_INFO", with_=_T.MiniDumpWithThreadInfo),
    StreamRow(_S.ModuleListStream, "always: one entry per module"),
    StreamRow(
        _S.UnloadedModuleListStream,
        "requested: UNLOADED_MODULES, and there are some",
        with_=_T.MiniDumpWithUnloadedModules,
        there_is=lambda snapshot: snapshot.unloaded_modules,
    ),
    StreamRow(_S.TokenStream, "the debugger knows the target's tokens", there_is=lambda snapshot: snapshot.tokens),
    StreamRow(
        _S.FunctionTableStream,
        "the process has dynamic function tables",  # the entries of other architectures are not known
        there_is=lambda snapshot: snapshot.system.architecture == "amd64" and snapshot.function_tables,
    ),
    StreamRow(
        _S.MemoryListStream, "always: the captured memory, without FULL_MEMORY", without=_T.MiniDumpWithFullMemory
    ),
    StreamRow(_S.Memory64ListStream, "requested: FULL_MEMORY", with_=_T.MiniDumpWithFullMemory),
    StreamRow(_S.MemoryInfoListStream, "requested: FULL_MEMORY_INFO", with_=_T.MiniDumpWithFullMemoryInfo),
    StreamRow(
        _S.ExceptionStream,
        "the last event is an exception",
        there_is=lambda snapshot: snapshot.exception is not None,
    ),
    StreamRow(_S.SystemInfoStream, "always: readers reject dumps that lack it"),
    StreamRow(_S.MiscInfoStream, "always: process id and times"),
    StreamRow(_S.HandleDataStream, "requested: HANDLE_DATA, even without handles", with_=_T.MiniDumpWithHandleData),
    StreamRow(
        _S.HandleOperationListStream,
        "requested: HANDLE_DATA, and handle tracing is on",
        with_=_T.MiniDumpWithHandleData,
        there_is=lambda snapshot: snapshot.handle_operations,
    ),
    StreamRow(_S.SystemMemoryInfoStream, "always: dbghelp 10.0 always writes it"),
    StreamRow(_S.ProcessVmCountersStream, "always: dbghelp 10.0 always writes it"),
    StreamRow(
        _S.ThreadNamesStream,
        "a thread has a description",
        there_is=lambda snapshot: any(thread.name is not None for thread in snapshot.threads),
    ),
)


MEMORY_ROWS: tuple[tuple[MinidumpType, Callable[[ProcessView], Iterable[WantedRange]]], ...] = (
    # (flag, 0: always; selected memory)
    (_T.MiniDumpNormal, stacks),
    (_T.MiniDumpNormal, instruction_windows),
    (_T.MiniDumpWithDataSegs, data_segments),
    (_T.MiniDumpWithFullMemory, all_memory),
    (_T.MiniDumpWithIndirectlyReferencedMemory, indirect_memory),
    (_T.MiniDumpWithProcessThreadData, process_thread_data),
    (_T.MiniDumpWithPrivateReadWriteMemory, private_read_write_memory),
    (_T.MiniDumpWithCodeSegs, code_segments),
    (_T.MiniDumpWithModuleHeaders, module_headers),
)


def plan_user(snapshot: ProcessSnapshot, request: Request) -> Plan:
    """Return the plan for a minidump of a user-mode target. Raises DumpRefused."""
    asked, warnings = minidump_type(request)
    if snapshot.system.architecture not in POINTER_SIZE:
        raise DumpRefused(
            Hresult.E_NOTIMPL,
            f"architecture {snapshot.system.architecture}: expected {', '.join(POINTER_SIZE)}",
        )
    comment, user_streams = comment_of(request), user_streams_of(request)
    flags = effective(asked)
    streams = [StreamPlan(row.type, row.reason) for row in STREAM_ROWS if row.wanted(snapshot, flags)]
    written = {planned.type for planned in streams}
    if StreamType.TokenStream in written:
        asked |= _T.MiniDumpWithTokenInformation  # the engine adds the bit: docs/format/format-flags.md#token-bit
    if comment is not None:
        type_ = StreamType.CommentStreamA if isinstance(comment, bytes) else StreamType.CommentStreamW
        streams.append(StreamPlan(type_, "the request has a comment"))
    streams += [StreamPlan(stream.type, "added by the caller") for stream in user_streams]
    reading = Reading(snapshot)
    images = RangeSet.of((module.base, module.base + module.size) for module in snapshot.modules)
    target = ProcessView(snapshot, reading, flags, stack_ranges(snapshot, reading), images)
    ranges, stack_plans = _memory(target, unwound=StreamType.FunctionTableStream in written)
    xstate = extended_state(snapshot, flags, warnings)
    if flags & _T.MiniDumpWithIptTrace:
        warnings.append("IPT_TRACE has no effect: the target has no processor trace")
    return Plan(
        asked,
        tuple(streams),
        stack_plans,
        ranges,
        comment,
        tuple(warnings),
        user_streams,
        xstate,
        filters=tuple(word_filters(target, [(planned.start, planned.end) for planned in ranges])),
        base_names=bool(flags & _T.MiniDumpFilterModulePaths),
    )


def _memory(target: ProcessView, *, unwound: bool) -> tuple[tuple[RangePlan, ...], tuple[StackPlan, ...]]:
    """Return the ranges of the file and the stack descriptors. ``unwound``: the file has a FunctionTable stream."""
    wanted: list[WantedRange] = []
    for flag, memory_of in MEMORY_ROWS:
        if target.flags & flag == flag:
            wanted += memory_of(target)
    if unwound:
        wanted += unwind_data(target)
    full = bool(target.flags & _T.MiniDumpWithFullMemory)
    if full:
        ranges = by_region(wanted, [region.base for region in target.snapshot.regions])
    elif target.flags & _T.MiniDumpWithIndirectlyReferencedMemory:
        ranges = with_stacks(wanted)
    else:
        ranges = apart_from_stacks(wanted, target.stacks)
    listed = set() if full else set(ranges)
    return (
        range_plans(ranges, wanted),
        tuple(StackPlan(start, end, (start, end) in listed) for start, end in target.stacks),
    )
