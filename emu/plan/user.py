"""Plans a user minidump: its streams and its memory, each with a reason (docs/format/minidump-contents.md).

``STREAM_ROWS`` says when a stream is written, ``MEMORY_ROWS`` which memory a flag selects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..constants import Hresult, MinidumpType, StreamType
from ..request import Contract, DumpRefused, Request, Session, UserStream
from ..snapshot.process import POINTER_SIZE, ProcessSnapshot, XstateConfiguration
from .caller_streams import comment_of, user_streams_of
from .engines import ENGINES, Engine
from .extended_state import extended_state
from .filters import TriageFilter, triage_filter
from .flags import minidump_type
from .indirect import indirect_memory
from .memory import RangePlan, StackPlan, memory_list
from .process_data import hybrid_blocks, process_thread_data, seams_of_a_dump
from .process_view import ProcessView, WantedRange
from .ranges import RangeSet
from .reading import Reading
from .regions import all_memory, private_read_write_memory
from .reopened import as_seen
from .segments import code_segments, data_segments, module_headers
from .stacks import instruction_windows, shared_user_data, stack_ranges, stacks, unwind_data
from .triage_stacks import TriageStacks


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """A stream of the dump."""

    type: int
    """A StreamType, or a number above 0xFFFF for a stream of the caller."""
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a user minidump.

    ``streams`` are in directory order, ``stacks`` in the order of the threads, ``ranges`` in the order of the list.
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
    triage: TriageFilter | None = None
    """The filter for the bytes of ``ranges`` and for the threads' contexts."""
    base_names: bool = False
    """Whether module names are written without directory."""
    contract: Contract = Contract.DOCUMENTED
    session: Session = Session.LIVE
    unused_entries: int = 0
    """Entries of the directory behind ``streams`` that no stream uses."""

    @property
    def engine(self) -> Engine:
        """What is special to the version of the engine that the contract names."""
        return ENGINES[self.contract]

    def has(self, stream: StreamType) -> bool:
        """Whether the dump has this stream."""
        return any(planned.type == stream for planned in self.streams)

    @property
    def directory_entries(self) -> int:
        """The number of entries of the directory."""
        return len(self.streams) + self.unused_entries

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
    known_to: Callable[[Engine], bool] | None = None
    """Which versions of the engine know the stream; None: all."""

    def wanted(self, snapshot: ProcessSnapshot, flags: MinidumpType, engine: Engine) -> bool:
        """Whether the stream is written for this target, these flags, and by this engine."""
        if flags & self.without or (self.with_ and not flags & self.with_):
            return False
        if self.known_to is not None and not self.known_to(engine):
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
    StreamRow(
        _S.FunctionTableStream,
        "the process has dynamic function tables",  # the entries of other architectures are not known
        there_is=lambda snapshot: snapshot.system.architecture == "amd64" and snapshot.function_tables,
    ),
    StreamRow(_S.TokenStream, "always, without FILTER_TRIAGE", with_=_T.MiniDumpWithTokenInformation),
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
    StreamRow(
        _S.HandleDataStream,
        "requested: HANDLE_DATA, and there are handles",
        with_=_T.MiniDumpWithHandleData,
        there_is=lambda snapshot: snapshot.handles,
    ),
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
        known_to=lambda engine: engine.thread_names,
    ),
)


MEMORY_ROWS: tuple[tuple[MinidumpType, Callable[[ProcessView], Iterable[WantedRange]]], ...] = (
    # (flag, 0: always; selected memory of a MemoryList besides the stacks)
    (_T.MiniDumpNormal, instruction_windows),
    (_T.MiniDumpNormal, shared_user_data),
    (_T.MiniDumpNormal, hybrid_blocks),
    (_T.MiniDumpWithDataSegs, data_segments),
    (_T.MiniDumpWithIndirectlyReferencedMemory, indirect_memory),
    (_T.MiniDumpWithProcessThreadData, process_thread_data),
    (_T.MiniDumpWithPrivateReadWriteMemory, private_read_write_memory),
    (_T.MiniDumpWithCodeSegs, code_segments),
    (_T.MiniDumpWithModuleHeaders, module_headers),
)
_UNUSED = 4
"""Unused directory entries behind those of every stream that the flags ask for.

docs/format/minidump-contents.md#unused-directory-entries
"""
_RESERVED = (_S.HandleDataStream, _S.HandleOperationListStream)
"""Streams for which HANDLE_DATA reserves an entry, written or not."""


def plan_user(snapshot: ProcessSnapshot, request: Request) -> Plan:
    """Return the plan for a minidump of a user-mode target. Raises DumpRefused."""
    flags, warnings = minidump_type(request)
    engine = ENGINES[request.contract]
    snapshot = as_seen(snapshot, request.session, engine)
    if snapshot.system.architecture not in POINTER_SIZE:
        raise DumpRefused(
            Hresult.E_NOTIMPL,
            f"architecture {snapshot.system.architecture}: expected {', '.join(POINTER_SIZE)}",
        )
    comment, user_streams = comment_of(request), user_streams_of(request)
    streams = [StreamPlan(row.type, row.reason) for row in STREAM_ROWS if row.wanted(snapshot, flags, engine)]
    written = {planned.type for planned in streams}
    unused = _UNUSED
    if flags & _T.MiniDumpWithHandleData:
        unused += sum(stream not in written for stream in _RESERVED)
    if comment is not None:
        type_ = StreamType.CommentStreamA if isinstance(comment, bytes) else StreamType.CommentStreamW
        streams.append(StreamPlan(type_, "the request has a comment"))
    streams += [StreamPlan(stream.type, "added by the caller") for stream in user_streams]
    reading = Reading(snapshot)
    images = RangeSet.of((module.base, module.base + module.size) for module in snapshot.modules)
    wanted_stacks = stack_ranges(snapshot, reading, engine, request.session)
    target = ProcessView(snapshot, reading, flags, engine, request.session, wanted_stacks, images)
    full = flags & _T.MiniDumpWithFullMemory
    triage = TriageStacks.of(target) if flags & _T.MiniDumpFilterTriage else None
    added = () if triage is None else triage.additions
    others = [] if full else _captured(target, added, unwound=StreamType.FunctionTableStream in written)
    if full:
        ranges = tuple(all_memory(target))
    else:
        seams = [*seams_of_a_dump(target), *(() if triage is None else triage.seams)]
        ranges = memory_list(target, [*stacks(target), *others], seams)
    listed = {(planned.start, planned.end) for planned in ranges if not full}
    xstate = extended_state(snapshot, flags, warnings)
    if flags & _T.MiniDumpWithIptTrace:
        warnings.append("IPT_TRACE has no effect: the target has no processor trace")
    return Plan(
        flags,
        tuple(streams),
        tuple(StackPlan(start, end, (start, end) in listed) for start, end in target.stacks),
        ranges,
        comment,
        tuple(warnings),
        user_streams,
        xstate,
        triage=None if triage is None else triage_filter(triage, others, ranges),
        base_names=bool(flags & _T.MiniDumpFilterModulePaths),
        contract=request.contract,
        session=request.session,
        unused_entries=unused,
    )


def _captured(target: ProcessView, added: Iterable[WantedRange], *, unwound: bool) -> list[WantedRange]:
    """Return what a MemoryList holds besides the stacks.

    ``added`` is memory that a filter adds. ``unwound``: there is a FunctionTable.
    """
    wanted: list[WantedRange] = []
    for flag, memory_of in MEMORY_ROWS:
        if target.flags & flag == flag:
            wanted += memory_of(target)
    wanted += added
    if unwound:
        wanted += unwind_data(target)
    return wanted
