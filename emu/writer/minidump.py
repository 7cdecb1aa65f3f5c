"""A user minidump: from a plan to a layout to bytes (spec user-mode 3)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from ..constants import MINIDUMP_SIGNATURE, Hresult, StreamType
from ..plan.user import Plan, plan_user
from ..request import DumpRefused, Request
from ..snapshot.process import ProcessSnapshot
from .encode import add_struct, location, utf16
from .faults import Faults
from .function_table_stream import add_function_tables
from .handle_streams import add_handle_data, add_handle_operations
from .layout import Layout, LayoutMap, LayoutOverflow, Section, Sink
from .memory_streams import add_memory, add_memory64_list, add_memory_info_list, add_memory_list
from .module_streams import add_module_list, add_unloaded_module_list
from .sinks import BytesSink
from .structs import MINIDUMP_DIRECTORY, MINIDUMP_HEADER
from .system_streams import (
    HEADER_VERSION,
    add_misc_info,
    add_process_vm_counters,
    add_system_info,
    add_system_memory_info,
    time_t,
)
from .thread_streams import add_exception, add_thread_info_list, add_thread_list, add_thread_names
from .token_stream import add_tokens

_S = StreamType


@dataclass(frozen=True)
class WriteResult:
    """What was written: the plan with its reasons, the map of every byte, what people should know, the file's size."""

    plan: Plan
    layout: LayoutMap
    warnings: tuple[str, ...]

    @property
    def size(self) -> int:
        return self.layout.size


class Minidump:
    """A dump, decided and laid out: every value is known and every byte of memory is read, none is written yet.

    The same snapshot and request always give the same bytes. ``plan`` is written in place of what the request asks
    for: so a mutant writes a wrong one. Raises DumpRefused when the request cannot be met, and LayoutError when a value
    does not fit its field.
    """

    def __init__(
        self, snapshot: ProcessSnapshot, request: Request, *, plan: Plan | None = None, faults: Faults | None = None
    ) -> None:
        self.plan = plan_user(snapshot, request) if plan is None else plan
        self._layout = _lay_out(snapshot, self.plan, faults or Faults())
        try:
            self.layout = self._layout.freeze()
        except LayoutOverflow as error:  # of all that a freeze fills in, only RVAs and sizes grow with the target
            raise DumpRefused(Hresult.ERROR_FILE_TOO_LARGE, f"more than 32-bit RVAs reach: {error}") from error

    def emit(self, sink: Sink, *, in_order: bool = False) -> WriteResult:
        """Write it; the signature last, so that what is cut off is not a dump. Raises what the sink raises.

        ``in_order``: without going back, to a sink that takes no patch and sees to it itself that a part is no whole.
        """
        self._layout.emit(sink, last=None if in_order else ("Header", "Signature"))
        return WriteResult(self.plan, self.layout, self.plan.warnings)


def write_minidump(
    snapshot: ProcessSnapshot, request: Request, sink: Sink, *, faults: Faults | None = None
) -> WriteResult:
    """Lay out and write the dump that ``request`` asks for. Raises as ``Minidump`` and its ``emit``."""
    return Minidump(snapshot, request, faults=faults).emit(sink)


def dump_bytes(snapshot: ProcessSnapshot, request: Request, *, plan: Plan | None = None) -> tuple[bytes, WriteResult]:
    """The dump in memory. Raises as ``Minidump``."""
    sink = BytesSink()
    result = Minidump(snapshot, request, plan=plan).emit(sink)
    return sink.getvalue(), result


def _lay_out(snapshot: ProcessSnapshot, plan: Plan, faults: Faults) -> Layout:
    """All sections in the file order of spec 3.2; bulk memory behind a Memory64List is last (V12).

    Of that order two habits of dbghelp are left out, which readers skip: unused directory entries, and the 12 zero
    bytes where a ThreadInfoList could have been.
    """
    header, directory = Section("Header"), Section("Directory")
    strings, code_views = Section("Strings"), Section("CodeViews")
    contexts, exception_context = Section("ThreadContexts"), Section("ExceptionContext")
    handle_strings = Section("HandleStrings")
    memory, places = add_memory(snapshot, plan, faults)

    # The order of these calls is the order of the string area: CSD version, thread names, module names.
    streams: dict[int, Section] = {
        _S.SystemInfoStream: add_system_info(snapshot, strings),
        _S.MiscInfoStream: add_misc_info(snapshot, plan),
    }
    if plan.has(_S.ExceptionStream):
        streams[_S.ExceptionStream] = add_exception(snapshot, plan, exception_context)
    streams[_S.ThreadListStream] = add_thread_list(snapshot, plan, contexts, places)
    if plan.has(_S.ThreadInfoListStream):
        streams[_S.ThreadInfoListStream] = add_thread_info_list(snapshot)
    names = add_thread_names(snapshot, strings) if plan.has(_S.ThreadNamesStream) else None
    streams[_S.ModuleListStream] = add_module_list(snapshot, plan, strings, code_views)
    if plan.has(_S.UnloadedModuleListStream):
        streams[_S.UnloadedModuleListStream] = add_unloaded_module_list(snapshot, plan, strings)
    if plan.has(_S.TokenStream):
        streams[_S.TokenStream] = add_tokens(snapshot)
    if plan.has(_S.FunctionTableStream):
        rva = _front_size(plan) + sum(section.size for section in streams.values())
        streams[_S.FunctionTableStream] = add_function_tables(snapshot, rva)
    streams[_S.SystemMemoryInfoStream] = add_system_memory_info(snapshot)
    streams[_S.ProcessVmCountersStream] = add_process_vm_counters(snapshot)
    if names is not None:
        streams[_S.ThreadNamesStream] = names
    in_front = [*streams.values(), strings, exception_context, contexts, code_views]
    if plan.comment is not None:
        kind, section = _comment(plan.comment)
        streams[kind] = section
        in_front.append(section)
    for stream in plan.user_streams:
        streams[stream.type] = Section(f"UserStream[{stream.type:#x}]")
        streams[stream.type].add(f"UserStream[{stream.type:#x}]", "user stream", stream.data)
        in_front.append(streams[stream.type])

    behind: list[Section] = []
    if plan.has(_S.HandleDataStream):
        streams[_S.HandleDataStream] = add_handle_data(snapshot, handle_strings)
        behind += [handle_strings, streams[_S.HandleDataStream]]
    if plan.has(_S.HandleOperationListStream):
        streams[_S.HandleOperationListStream] = add_handle_operations(snapshot)
        behind.append(streams[_S.HandleOperationListStream])
    if plan.has(_S.MemoryInfoListStream):
        streams[_S.MemoryInfoListStream] = add_memory_info_list(snapshot)
        behind.append(streams[_S.MemoryInfoListStream])
    if plan.full_memory:
        streams[_S.Memory64ListStream] = add_memory64_list(plan, memory)
        body = [*in_front, *behind, streams[_S.Memory64ListStream], memory]
    else:
        streams[_S.MemoryListStream] = add_memory_list(plan, places)
        body = [*in_front, streams[_S.MemoryListStream], memory, *behind]

    _add_header(header, snapshot, plan, directory)
    for index, planned in enumerate(plan.streams):
        add_struct(directory, f"Directory[{index}]", MINIDUMP_DIRECTORY, {
            "StreamType": planned.type,
            "Location": location(streams[planned.type]),
        })  # fmt: skip
    layout = Layout()
    for section in (header, directory, *body):
        layout.place(section)
    return layout


def _front_size(plan: Plan) -> int:
    """Bytes of the header and the directory."""
    return ctypes.sizeof(MINIDUMP_HEADER) + len(plan.streams) * ctypes.sizeof(MINIDUMP_DIRECTORY)


def _add_header(section: Section, snapshot: ProcessSnapshot, plan: Plan, directory: Section) -> None:
    """MINIDUMP_HEADER (spec 3.1)."""
    add_struct(section, "Header", MINIDUMP_HEADER, {
        "Signature": MINIDUMP_SIGNATURE,
        "Version": HEADER_VERSION,
        "NumberOfStreams": len(plan.streams),
        "StreamDirectoryRva": directory.start,
        "TimeDateStamp": time_t(snapshot.time),
        "Flags": plan.flags,
    }, zero=["CheckSum"])  # fmt: skip


def _comment(comment: str | bytes) -> tuple[StreamType, Section]:
    """CommentStreamW, raw UTF-16LE, or CommentStreamA, raw ANSI: a NUL at its end, no length (spec 3.2)."""
    if isinstance(comment, bytes):
        kind, section, data, end = _S.CommentStreamA, Section("CommentA"), comment, b"\0"
    else:
        kind, section, data, end = _S.CommentStreamW, Section("CommentW"), utf16(comment), b"\0\0"
    fields = {"Text": (0, len(data)), "Terminator": (len(data), len(end))}
    section.add(section.path, kind.name, data + end, fields=fields)
    return kind, section
