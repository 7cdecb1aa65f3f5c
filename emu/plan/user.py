"""What a user-mode dump holds: from a request to streams and memory, each with the reason it is there.

``STREAM_ROWS`` says which stream is written when; its sources are 2.3 (always) and 2.4 (asked for) of the user-mode
specification.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..constants import Hresult, MinidumpType, StreamType
from ..snapshot.model import ProcessSnapshot
from .flags import minidump_type
from .memory import RangePlan, StackPlan, all_memory, small_memory, stack_ranges
from .reading import Reading
from .request import DumpRefused, Request


@dataclass(frozen=True, slots=True)
class StreamPlan:
    type: StreamType
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
    StreamRow(_S.MemoryListStream, "stacks and instruction windows", without=_T.MiniDumpWithFullMemory),
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
    StreamRow(_S.SystemMemoryInfoStream, "as every writer of 10.0 does"),
    StreamRow(_S.ProcessVmCountersStream, "as every writer of 10.0 does"),
    StreamRow(
        _S.ThreadNamesStream,
        "a thread has a description",
        there_is=lambda snapshot: any(thread.name is not None for thread in snapshot.threads),
    ),
)


def plan_user(snapshot: ProcessSnapshot, request: Request) -> Plan:
    """Decide the dump of a user-mode target. Raises DumpRefused, whose HRESULT says why it cannot be."""
    flags, warnings = minidump_type(request)
    if snapshot.system.architecture != "amd64":
        raise DumpRefused(Hresult.E_NOTIMPL, f"architecture {snapshot.system.architecture}: only amd64 is built")
    comment = request.comment or None  # spec 1.2: an empty comment is none
    if "\0" in (request.comment_text or ""):
        raise DumpRefused(Hresult.E_INVALIDARG, "Comment: a NUL ends the string, none may lie inside")
    reading = Reading(snapshot)
    stack_list = stack_ranges(snapshot, reading)
    if flags & MinidumpType.MiniDumpWithFullMemory:
        ranges = tuple(all_memory(snapshot, reading))
        stacks = tuple(StackPlan(start, end, listed=False) for start, end in stack_list)
    else:
        ranges, stacks = small_memory(snapshot, reading, stack_list)
    streams = [StreamPlan(row.type, row.reason) for row in STREAM_ROWS if row.wanted(snapshot, flags)]
    if comment:  # a user stream, so behind the writer's own (spec 1.2, 3.2)
        ansi = isinstance(comment, bytes)
        type_ = StreamType.CommentStreamA if ansi else StreamType.CommentStreamW
        streams.append(StreamPlan(type_, "a comment was given"))
    return Plan(flags, tuple(streams), stacks, ranges, comment, tuple(warnings))
