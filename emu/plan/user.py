"""What a user-mode dump holds: from a request to streams and memory, each with the reason it is there.

``STREAM_ROWS`` says which stream is written when; its sources are 2.3 (always) and 2.4 (asked for) of the user-mode
specification.
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
    type: int
    """A StreamType; of a caller's stream any number above 0xFFFF."""
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A user minidump, decided. ``streams`` in directory order; ``stacks`` as the threads; ``ranges`` by address."""

    flags: MinidumpType
    streams: tuple[StreamPlan, ...]
    stacks: tuple[StackPlan, ...]
    ranges: tuple[RangePlan, ...]
    comment: str | bytes | None
    """Text of CommentStreamW; bytes: of CommentStreamA."""
    warnings: tuple[str, ...]
    user_streams: tuple[UserStream, ...] = ()
    xstate: XstateConfiguration | None = None
    """Of what extended state every context record has; None: it is plain."""
    filters: tuple[WordFilter, ...] = ()
    """What is taken out of the ranges' bytes."""
    base_names: bool = False
    """Modules are named without directory."""

    def has(self, stream: StreamType) -> bool:
        return any(planned.type == stream for planned in self.streams)

    @property
    def full_memory(self) -> bool:
        return self.has(StreamType.Memory64ListStream)


@dataclass(frozen=True, slots=True)
class StreamRow:
    """When a stream is written: a bit of ``with_`` is asked for (0: always), none of ``without``, and there is any."""

    type: StreamType
    reason: str
    with_: MinidumpType = MinidumpType.MiniDumpNormal
    without: MinidumpType = MinidumpType.MiniDumpNormal
    there_is: Callable[[ProcessSnapshot], object] | None = None

    def wanted(self, snapshot: ProcessSnapshot, flags: MinidumpType) -> bool:
        if flags & self.without or (self.with_ and not flags & self.with_):
            return False
        return self.there_is is None or bool(self.there_is(snapshot))


_S, _T = StreamType, MinidumpType

STREAM_ROWS = (  # in the directory order of spec 3.2
    StreamRow(_S.ThreadListStream, "always: one entry per thread"),
    StreamRow(_S.ThreadInfoListStream, "asked for: THREAD_INFO", with_=_T.MiniDumpWithThreadInfo),
    StreamRow(_S.ModuleListStream, "always: one entry per module"),
    StreamRow(
        _S.UnloadedModuleListStream,
        "asked for: UNLOADED_MODULES, and there are some",
        with_=_T.MiniDumpWithUnloadedModules,
        there_is=lambda snapshot: snapshot.unloaded_modules,
    ),
    StreamRow(_S.TokenStream, "the debugger knows the target's tokens", there_is=lambda snapshot: snapshot.tokens),
    StreamRow(
        _S.FunctionTableStream,
        "there are dynamic function tables",  # of other architectures the format's entries are not known
        there_is=lambda snapshot: snapshot.system.architecture == "amd64" and snapshot.function_tables,
    ),
    StreamRow(_S.MemoryListStream, "the memory that was asked for", without=_T.MiniDumpWithFullMemory),
    StreamRow(_S.Memory64ListStream, "asked for: FULL_MEMORY", with_=_T.MiniDumpWithFullMemory),
    StreamRow(_S.MemoryInfoListStream, "asked for: FULL_MEMORY_INFO", with_=_T.MiniDumpWithFullMemoryInfo),
    StreamRow(
        _S.ExceptionStream,
        "the last event is an exception",
        there_is=lambda snapshot: snapshot.exception is not None,
    ),
    StreamRow(_S.SystemInfoStream, "always: readers refuse a dump without"),
    StreamRow(_S.MiscInfoStream, "always: process id and times"),
    StreamRow(_S.HandleDataStream, "asked for: HANDLE_DATA, also with no handle", with_=_T.MiniDumpWithHandleData),
    StreamRow(
        _S.HandleOperationListStream,
        "asked for: HANDLE_DATA, and handles were traced",
        with_=_T.MiniDumpWithHandleData,
        there_is=lambda snapshot: snapshot.handle_operations,
    ),
    StreamRow(_S.SystemMemoryInfoStream, "as every writer of 10.0 does"),
    StreamRow(_S.ProcessVmCountersStream, "as every writer of 10.0 does"),
    StreamRow(
        _S.ThreadNamesStream,
        "a thread has a description",
        there_is=lambda snapshot: any(thread.name is not None for thread in snapshot.threads),
    ),
)


MEMORY_ROWS: tuple[tuple[MinidumpType, Callable[[ProcessView], Iterable[WantedRange]]], ...] = (
    # (the flag that asks for it, 0: always; which memory it is)
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
    """Decide the dump of a user-mode target. Raises DumpRefused, whose HRESULT says why it cannot be."""
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
        asked |= _T.MiniDumpWithTokenInformation  # the engine adds it by itself (spec 2.3)
    if comment is not None:
        type_ = StreamType.CommentStreamA if isinstance(comment, bytes) else StreamType.CommentStreamW
        streams.append(StreamPlan(type_, "a comment was given"))
    streams += [StreamPlan(stream.type, "the caller gave it") for stream in user_streams]
    reading = Reading(snapshot)
    images = RangeSet.of((module.base, module.base + module.size) for module in snapshot.modules)
    target = ProcessView(snapshot, reading, flags, stack_ranges(snapshot, reading), images)
    ranges, stack_plans = _memory(target, unwound=StreamType.FunctionTableStream in written)
    xstate = extended_state(snapshot, flags, warnings)
    if flags & _T.MiniDumpWithIptTrace:
        warnings.append("IPT_TRACE: the target is not traced; there is no trace to write")
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
    """The ranges of the file, and the threads' stack descriptors. ``unwound``: function tables are in the file."""
    wanted: list[WantedRange] = []
    for flag, wished in MEMORY_ROWS:
        if target.flags & flag == flag:
            wanted += wished(target)
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
