"""What a user-mode dump holds: from a request to streams and memory, each with the reason it is there.

``STREAM_ROWS`` says which stream is written when. "spec 2.3" and the like are sections of the user-mode specification.
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
    comment: str | None
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
    StreamRow(_S.ThreadListStream, "spec 2.3: one entry per thread"),
    StreamRow(_S.ThreadInfoListStream, "spec 2.4: THREAD_INFO", with_=_T.MiniDumpWithThreadInfo),
    StreamRow(_S.ModuleListStream, "spec 2.3: one entry per module"),
    StreamRow(
        _S.UnloadedModuleListStream,
        "spec 2.4: UNLOADED_MODULES and the list is not empty",
        with_=_T.MiniDumpWithUnloadedModules,
        there_is=lambda snapshot: snapshot.unloaded_modules,
    ),
    StreamRow(_S.MemoryListStream, "spec 2.3: stacks and instruction windows", without=_T.MiniDumpWithFullMemory),
    StreamRow(_S.Memory64ListStream, "spec 2.4: FULL_MEMORY", with_=_T.MiniDumpWithFullMemory),
    StreamRow(_S.MemoryInfoListStream, "spec 2.4: FULL_MEMORY_INFO", with_=_T.MiniDumpWithFullMemoryInfo),
    StreamRow(
        _S.ExceptionStream,
        "spec 2.3: the last event is an exception",
        there_is=lambda snapshot: snapshot.exception is not None,
    ),
    StreamRow(_S.SystemInfoStream, "spec 2.3: readers refuse a dump without"),
    StreamRow(_S.MiscInfoStream, "spec 2.3"),
    StreamRow(_S.HandleDataStream, "spec 2.4: HANDLE_DATA, also with no handle", with_=_T.MiniDumpWithHandleData),
    StreamRow(_S.SystemMemoryInfoStream, "spec 2.3: every writer of 10.0"),
    StreamRow(_S.ProcessVmCountersStream, "spec 2.3: every writer of 10.0"),
    StreamRow(
        _S.ThreadNamesStream,
        "spec 2.3: a thread has a description",
        there_is=lambda snapshot: any(thread.name is not None for thread in snapshot.threads),
    ),
)


def plan_user(snapshot: ProcessSnapshot, request: Request) -> Plan:
    """Decide the dump of a user-mode target. Raises DumpRefused, whose HRESULT says why it cannot be."""
    flags, warnings = minidump_type(request)
    if snapshot.system.architecture != "amd64":
        raise DumpRefused(Hresult.E_NOTIMPL, f"architecture {snapshot.system.architecture}: only amd64 is built")
    comment = request.comment or None  # spec 1.2: an empty comment is none
    if comment and "\0" in comment:
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
        streams.append(StreamPlan(StreamType.CommentStreamW, "spec 1.2: a comment was given"))
    return Plan(flags, tuple(streams), stacks, ranges, comment, tuple(warnings))
